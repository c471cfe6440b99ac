//! The included rules: none fires on a release without errors, and each fires on its own error. The releases are SQL
//! too, in `reports/audit/tests`: `clean.sql`, and for each mistake a file that changes a view and states which rule
//! must fire (`-- fires:`) and with which words (`-- with:`).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may take a thing for granted")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::{SessionConfig, SessionContext};
use retrace_audit::Rule;
use retrace_query::functions;
use tokio::runtime::Runtime;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports/audit/tests")
}

/// A session and its runtime.
struct Tables {
    context: SessionContext,
    runtime: Runtime,
}

impl Tables {
    fn new() -> Self {
        let config = SessionConfig::new().with_target_partitions(2);
        let context = SessionContext::new_with_state(functions::state(config).unwrap());
        Self { context, runtime: tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap() }
    }

    /// The rows of each statement of `sql`: their number, and their text.
    fn run(&self, sql: &str) -> Vec<(usize, String)> {
        let said = |statement: &&str| statement.lines().any(|line| !line.starts_with("--") && !line.trim().is_empty());
        let run = |statement: &str| {
            self.runtime.block_on(async {
                let frame = self.context.sql(statement).await.unwrap_or_else(|e| panic!("{e}\n{statement}"));
                let rows = frame.collect().await.unwrap_or_else(|e| panic!("{e}\n{statement}"));
                let text = pretty_format_batches(&rows).unwrap().to_string();
                (rows.iter().map(|batch| batch.num_rows()).sum(), text)
            })
        };
        let statements = sql.split(";\n").map(str::trim).filter(said);
        statements.map(|statement| run(statement.trim_end_matches(';'))).collect()
    }

    /// The number of rows that the rule finds, and the rows.
    fn ask(&self, rule: &Rule) -> (usize, String) {
        self.run(&rule.sql).pop().unwrap()
    }
}

#[test]
fn a_clean_release_gives_none_and_each_mistake_its_rule() {
    let rules = Rule::built_in().unwrap().into_iter().map(|rule| (rule.id.clone(), rule));
    let rules: BTreeMap<String, Rule> = rules.collect();
    let clean = std::fs::read_to_string(directory().join("clean.sql")).unwrap();
    let tables = Tables::new();
    tables.run(&clean);
    for rule in rules.values() {
        let (rows, found) = tables.ask(rule);
        assert_eq!(rows, 0, "{} fires on a clean release:\n{found}", rule.id);
    }
    let table = |line: &'static str| line.strip_prefix("create or replace view clean_")?.split_whitespace().next();
    let clean: &'static str = clean.leak();
    let restore: Vec<String> = clean
        .lines()
        .filter_map(table)
        .map(|table| format!("create or replace view {table} as select * from clean_{table}"))
        .collect();
    assert!(restore.len() >= 8, "{restore:?}");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "sql") && !path.ends_with("clean.sql"));
    paths.sort();
    let mut fired = BTreeMap::new();
    for path in &paths {
        let text = std::fs::read_to_string(path).unwrap();
        let field = |name: &str| {
            let of = |line: &str| Some(line.strip_prefix("-- ")?.strip_prefix(name)?.trim().to_owned());
            text.lines().find_map(of).unwrap_or_else(|| panic!("{} has no `-- {name}`", path.display()))
        };
        let (rule, with) = (field("fires:"), field("with:"));
        tables.run(&text);
        let (rows, found) = tables.ask(&rules[&rule]);
        assert!(rows > 0 && found.contains(&with), "{}: {rule} does not say {with:?}:\n{found}", path.display());
        *fired.entry(rule).or_insert(0) += 1;
        restore.iter().for_each(|sql| drop(tables.run(sql)));
    }
    let silent: Vec<&String> = rules.keys().filter(|rule| !fired.contains_key(*rule)).collect();
    assert!(silent.is_empty(), "nothing shows that these fire: {silent:?}");
}

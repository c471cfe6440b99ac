//! `query`: one answer, in every format, and read-only.

use crate::support::{Ran, Release, retrace};

/// A small release, sealed, so that it has the tables `artifacts` and `steps`.
fn release() -> Release {
    let release = Release::new();
    release.run(&["clean", "clean.yaml"]).code(0);
    release.run(&["seal", "."]).code(0);
    release
}

fn query(release: &Release, arguments: &[&str]) -> Ran {
    release.run(&[&["query"], arguments].concat())
}

const RAW: &str = "select path, size from artifacts where path like 'raw/%' order by path";

#[test]
fn every_format_tells_the_same() {
    let release = release();
    let size = |path: &str| release.read(path).len();
    let (a, b) = (size("raw/en-00.jsonl"), size("raw/en-01.jsonl"));
    let csv = query(&release, &[RAW, "--format", "csv"]).code(0).out;
    assert_eq!(csv, format!("path,size\nraw/en-00.jsonl,{a}\nraw/en-01.jsonl,{b}\n"));
    let json: serde_json::Value =
        serde_json::from_str(&query(&release, &[RAW, "--format", "json"]).code(0).out).unwrap();
    let rows = serde_json::json!([{"path": "raw/en-00.jsonl", "size": a}, {"path": "raw/en-01.jsonl", "size": b}]);
    assert_eq!(json, rows);
    assert_eq!(query(&release, &[RAW, "--json"]).code(0).json("query/1")["rows"], rows);
    let table = query(&release, &[RAW]).code(0);
    let lines: Vec<&str> = table.out.lines().collect();
    assert_eq!(lines.len(), 4, "a head, a rule, two rows:\n{}", table.out);
    assert!(lines[2].contains("raw/en-00.jsonl") && lines[2].ends_with(&a.to_string()), "{}", table.out);
    table.says(&["2 rows"]);
    let parquet = retrace().args(["query", RAW, "--format", "parquet"]).current_dir(release.root()).output().unwrap();
    assert!(parquet.stdout.starts_with(b"PAR1") && parquet.stdout.ends_with(b"PAR1"));
}

#[test]
fn rows_of_two_releases_come_together() {
    let (a, b) = (release(), release());
    let (a, b) = (a.root().to_str().unwrap(), b.root().to_str().unwrap());
    let count = "select count(*) as n from artifacts where path = 'clean.yaml'";
    let ran = crate::support::run(&["query", count, a, b, "--format", "csv"]).code(0);
    assert_eq!(ran.out, "n\n2\n");
}

#[test]
fn what_there_is_can_be_asked_and_what_there_is_not_is_told() {
    let release = release();
    let tables = query(&release, &["show tables"]).code(0).out;
    assert!(tables.contains("artifacts: ") && tables.contains("steps: "), "{tables}");
    query(&release, &["select * from artefacts"]).code(2).says(&["artefacts", "help:", "artifacts"]);
    query(&release, &["select sise from artifacts"]).code(2).says(&["sise", "help:", "size"]);
    query(&release, &["selct 1"]).code(2).says(&["help:"]);
    query(&release, &["select 1", "no-such-directory"]).code(2).says(&["no-such-directory"]);
    query(&release, &["select 1", "raw"]).code(2).says(&["raw", "no tables"]);
    query(&release, &["select 1", "--format", "xml"]).code(2).says(&["xml", "table, csv, json, parquet"]);
}

#[test]
fn a_query_only_reads() {
    let release = release();
    let before = release.content();
    for sql in [
        "create table t as select 1",
        "drop table artifacts",
        "insert into artifacts select * from artifacts",
        "copy (select 1) to 'out.csv'",
        "create external table t stored as csv location '/etc/passwd'",
        "select * from '/etc/passwd'",
        "set datafusion.execution.target_partitions = 4",
    ] {
        let ran = query(&release, &[sql]);
        assert_eq!(ran.code, 2, "{sql}: {}", ran.out);
        assert!(ran.out.is_empty(), "{sql}: {}", ran.out);
    }
    assert_eq!(release.content(), before);
}

#[test]
fn files_are_asked_by_name_and_in_sql() {
    let release = Release::new();
    release.write("runs/val loss.csv", "step,loss\n1,2.5\n2,2.0\n");
    release.write("runs/b.jsonl", "{\"step\":3,\"loss\":1.0}\n");
    let mean = |arguments: &[&str]| query(&release, &[arguments, &["--format", "csv"]].concat()).code(0).out;
    assert_eq!(mean(&["select max(loss) as m from 'runs/val loss.csv'"]), "m\n2.5\n");
    assert_eq!(mean(&["--sql", "select max(loss) as m from val_loss", "runs/val loss.csv"]), "m\n2.5\n");
    let both = "select max(loss) as m from (select loss from val_loss union all select loss from b)";
    assert_eq!(mean(&["-c", both, "runs/val loss.csv", "runs/b.jsonl"]), "m\n2.5\n");
    query(&release, &["runs/val loss.csv"]).code(2).says(&["not SQL", "white space", "--sql"]);
    query(&release, &["select 1", "select 2"]).code(2).says(&["two queries"]);
    query(&release, &["select * from 'raw/en-00.txt'"]).code(2).says(&["raw/en-00.txt", ".parquet"]);
    query(&release, &["select 1", "clean.yaml"]).code(2).says(&["clean.yaml"]);
}

#[test]
fn a_mistake_is_shown_where_it_is() {
    let release = release();
    let ran = query(&release, &["select path,\n  sise\nfrom artifacts"]).code(2);
    let lines: Vec<&str> = ran.err.lines().collect();
    assert!(ran.err.contains("[query:2:3]"), "{}", ran.err);
    let at = lines.iter().position(|line| line.ends_with("|   sise")).unwrap_or_else(|| panic!("{}", ran.err));
    // Below the word itself, and with its length.
    let word = lines[at].find("sise").unwrap();
    let marks = lines[at + 1];
    assert_eq!(marks.chars().filter(|c| *c == '^').count(), 4, "{}", ran.err);
    assert_eq!(marks.find('^'), Some(word), "{}", ran.err);
    ran.says(&["there is no column sise", "help: the nearest column is size"]);
    query(&release, &["select count(*) fro artifacts"]).code(2).says(&["[query:1:", "did you mean `from` for `fro`?"]);
    query(&release, &["select lenght(path) from artifacts"]).code(2).says(&["no function lenght", "length"]);
}

#[test]
fn a_query_comes_from_standard_input_where_there_is_no_terminal() {
    use std::io::Write;
    let release = release();
    let ask = |sql: &str| {
        let mut child = retrace()
            .args(["query", "--format", "csv", "."])
            .current_dir(release.root())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
        Ran::from(child.wait_with_output().unwrap())
    };
    assert_eq!(ask("select count(*) as n\nfrom artifacts\nwhere path = 'clean.yaml';\n").code(0).out, "n\n1\n");
    ask(" \n").code(2).says(&["no query given"]);
    query(&release, &["."]).code(2).says(&["no query given"]);
}

#[test]
fn named_queries_are_listed_told_and_asked() {
    let release = Release::new();
    let list = query(&release, &["--list"]).code(0).out;
    assert!(list.contains("@emergence: ") && list.contains("    margin = 0.05: "), "{list}");
    let json = query(&release, &["--list", "--json"]).code(0).json("queries/1");
    assert!(json["queries"].as_array().unwrap().len() >= 15);
    release.write(
        "mine/of-kind.sql",
        "-- question: Which files are of a kind?\n-- parameter kind: the kind\n-- parameter least = 0: bytes\n\
         select path from artifacts where kind = $kind and size >= $least order by path\n",
    );
    release.run(&["seal", "."]).code(0);
    let ask = |arguments: &[&str]| query(&release, &[&["--queries", "mine"], arguments].concat());
    let list = ask(&["--list"]).code(0).out;
    assert!(
        list.contains("@of-kind: Which files are of a kind?\n    kind: the kind\n    least = 0: bytes\n"),
        "{list}"
    );
    let none = ask(&["@of-kind", "--set", "kind=' or 1=1 --", "--format", "csv"]).code(0).out;
    assert_eq!(none, "path\n");
    let all = ask(&["@of-kind", "--set", "kind=other", "--set", "least=1", "--format", "csv"]).code(0).out;
    assert!(all.starts_with("path\n"), "{all}");
    ask(&["@of-kind"]).code(2).says(&["@of-kind", "kind is missing", "least = 0"]);
    ask(&["@of-kind", "--set", "kind=a", "--set", "leest=1"]).code(2).says(&["leest", "least = 0"]);
    ask(&["@of-kind", "--set", "kind=a", "--set", "least=many"]).code(2).says(&["many", "integer"]);
    ask(&["@of-kind", "--set", "kind"]).code(2).says(&["NAME=VALUE"]);
    ask(&["@of-kin"]).code(2).says(&["@of-kin", "the nearest query is of-kind"]);
    ask(&["select 1", "--set", "a=b"]).code(2).says(&["only named queries"]);
}

#[test]
fn an_answer_is_drawn() {
    let release = Release::new();
    let rows: String =
        (1..30).map(|step| format!("{step},{},one\n{step},{},two\n", 9.0 / f64::from(step), step)).collect();
    release.write("curve.csv", format!("step,loss,run\n{rows}"));
    let draw = |sql: &str, file: &str| query(&release, &[sql, "curve.csv", "--plot", file]);
    let ran = draw("select * from curve", "a.svg").code(0).says(&["drew", "58 rows", "a.svg"]);
    assert!(ran.out.is_empty(), "{}", ran.out);
    let svg = String::from_utf8(release.read("a.svg")).unwrap();
    for part in [
        "<svg ",
        "loss (nats a token)",
        ">\nstep\n",
        ">\none\n",
        ">\ntwo\n",
        "aria-label=\"select * from curve. Vertical: loss (nats a token). Horizontal: step.",
    ] {
        assert!(svg.contains(part), "{part:?} is not in\n{svg}");
    }
    draw("select * from curve", "a.png").code(0);
    assert!(release.read("a.png").starts_with(b"\x89PNG\r\n\x1a\n"));
    // With a format, the answer is still written.
    let both = query(&release, &["select count(*) as n from curve", "curve.csv", "--plot", "n.svg", "--format", "csv"]);
    assert_eq!(both.code(0).out, "n\n58\n");
    draw("select run from curve", "b.svg").code(2).says(&["no column of numbers"]);
    draw("select * from curve where step > 99", "b.svg").code(2).says(&["no rows"]);
    draw("select * from curve", "b.gif").code(2).says(&["b.gif", ".svg or .png"]);
    assert!(!release.path("b.svg").exists() && !release.path("b.gif").exists());
}

#[test]
fn a_table_is_held_against_the_manifest() {
    let release = Release::new();
    let made = |sql: &str| {
        let made = retrace().args(["query", sql, "--format", "parquet"]).current_dir(release.root()).output().unwrap();
        release.write("tables/numbers.parquet", made.stdout);
    };
    made("select 1 as n union all select 2");
    let sum = ["select sum(n) as s from numbers", "--format", "csv"];
    // No manifest yet: this is reported, and only then.
    assert_eq!(query(&release, &sum).code(0).says(&["not sealed", "numbers.parquet"]).out, "s\n3\n");
    release.run(&["seal", "."]).code(0);
    assert!(!query(&release, &sum).code(0).err.contains("not sealed"));
    let held = |ran: Ran| ran.code(0).json("query/1")["held"][0]["by"].as_str().map(str::to_owned);
    assert_eq!(held(query(&release, &[sum[0], "--json"])).as_deref(), Some("manifest"));
    made("select 1 as n union all select 3");
    query(&release, &sum).code(2).says(&[
        "differs from the sealed file",
        "numbers.parquet",
        "manifest.yaml",
        "--unchecked",
    ]);
    let path = ["select * from 'tables/numbers.parquet'", "."];
    query(&release, &path).code(2).says(&["differs from the sealed file"]);
    assert_eq!(query(&release, &[&sum[..], &["--unchecked"]].concat()).code(0).out, "s\n4\n");
    assert_eq!(held(query(&release, &[sum[0], "--json", "--unchecked"])).as_deref(), Some("nothing"));
}

#[test]
fn a_query_has_limits_and_a_url_a_scheme() {
    let release = Release::new();
    let endless = "select sum(a.value * b.value) from range(1000000000000) a cross join range(1000000000) b";
    query(&release, &[endless, "--timeout", "0.3"]).code(2).says(&["the query was stopped after 0.3 s", "--timeout"]);
    query(&release, &["select repeat('x', 10000000000)"]).code(2).says(&["repeat"]);
    let much = "select value from range(100000000) order by value % 7";
    query(&release, &[much, "--memory", "30M"]).code(2).says(&["more than 30 MiB", "--memory"]);
    query(&release, &["select * from 'http://127.0.0.1:9/a.csv'"]).code(2).says(&["https://"]);
    release.write("queries/theirs.sql", "-- question: ?\nselect * from 'private.csv'");
    release.write("private.csv", "a\n1\n");
    let theirs = ["@theirs", "--queries", "queries", "private.csv", "--format", "csv"];
    query(&release, &theirs).code(2).says(&["private.csv", "--trust-queries"]);
    assert_eq!(query(&release, &[&theirs[..], &["--trust-queries"]].concat()).code(0).out, "a\n1\n");
}

/// A release with a table of a training log, `tables/train_log.parquet`, and its sources.
fn with_tables() -> Release {
    let release = Release::new();
    release.write("log/a.csv", "step,loss\n1,2.5\n2,2.25\n");
    release.write("mapping.yaml", "retrace: mapping/1\nstep: [step]\nloss: loss\n");
    let import = ["import", "csv", "log", "--mapping", "mapping.yaml", "-o", "tables", "--release", "x"];
    release.run(&import).code(0);
    release
}

const LOSSES: &str = "select sum(loss) from train_log";

#[test]
fn a_table_that_was_sealed_and_is_gone_is_no_answer() {
    let release = with_tables();
    release.run(&["seal", "."]).code(0);
    release.run(&["query", LOSSES, "."]).code(0);
    release.run(&["audit", "."]).code(0);
    std::fs::remove_file(release.path("tables/sources.parquet")).unwrap();
    for arguments in [&["query", LOSSES, "."][..], &["audit", "."]] {
        release.run(arguments).code(2).says(&["sources.parquet does not exist, but", "lists it"]);
    }
    release.run(&["query", LOSSES, ".", "--unchecked"]).code(0);
    std::fs::remove_dir_all(release.path("tables")).unwrap();
    release.run(&["audit", "."]).code(2).says(&["lists it"]);
}

#[test]
fn tables_of_a_part_are_held_against_the_part_and_never_against_nothing() {
    let release = with_tables();
    release.run(&["seal", "tables"]).code(0);
    release.run(&["seal", ".", "--nest", "tables"]).code(0);
    release.run(&["query", LOSSES, "."]).code(0);
    let part = release.read("tables/manifest.yaml");
    std::fs::remove_file(release.path("tables/manifest.yaml")).unwrap();
    release.run(&["query", LOSSES, "."]).code(2).says(&["the part tables cannot be checked"]);
    assert_ne!(release.run(&["audit", "."]).code, 0);
    // Another manifest cannot replace that of the part either.
    release.write("log/a.csv", "step,loss\n1,9.5\n2,2.25\n");
    release.run(&["import", "csv", "log", "--mapping", "mapping.yaml", "-o", "tables", "--release", "x"]).code(0);
    release.run(&["seal", "tables"]).code(0);
    assert_ne!(release.read("tables/manifest.yaml"), part);
    release.run(&["query", LOSSES, "."]).code(2);
}

#[test]
fn what_a_part_that_is_not_known_leaves_out_of_a_table_is_said() {
    let release = Release::new();
    release.run(&["seal", "raw"]).code(0);
    release.run(&["seal", ".", "--nest", "raw"]).code(0);
    let count = "select count(*) as n from artifacts where path like 'raw/%'";
    let ask = |sql: &str, more: &[&str]| release.run(&[&["query", sql, "."], more].concat());
    let whole = ask(count, &["--format", "csv"]).code(0).out;
    assert_ne!(whole, "n\n1\n", "the part's files are counted");
    // Its manifest is sealed; its expected content is unknown.
    std::fs::remove_file(release.path("raw/manifest.yaml")).unwrap();
    let told = ["incomplete", "manifest.yaml: raw", "none of its files were checked"];
    assert_eq!(ask(count, &["--format", "csv"]).code(2).says(&told).out, "n\n1\n");
    ask("select id from steps", &[]).code(2).says(&told);
    let document = ask("select id from (select * from steps)", &["--json"]).code(2).json("query/1");
    assert_eq!(document["unknown"][0]["at"], "raw");
    // This query's answer is complete.
    ask("select root from manifests", &[]).code(0);
    // A rule that reads only sealed tables has no findings, and did not see everything.
    release.write(
        "rules/sizes.sql",
        "-- title: Empty files\n-- severity: error\n-- means: m\n-- do: a\n-- needs: artifacts\n\n\
         select release, path as subject, 'empty' as finding, path as evidence, 'certain' as sure \
         from artifacts where size < 0",
    );
    release.run(&["audit", ".", "--rules", "rules", "--only", "sizes"]).code(2).says(&told);
    release.run(&["audit", "."]).code(1);
}

#[test]
fn the_order_of_what_is_asked_decides_nothing() {
    let release = with_tables();
    release.run(&["seal", "."]).code(0);
    release.write("log/a.csv", "step,loss\n1,9.5\n2,2.25\n");
    release.run(&["import", "csv", "log", "--mapping", "mapping.yaml", "-o", "tables", "--release", "x"]).code(0);
    for paths in [[".", "tables"], ["tables", "."]] {
        release.run(&["query", LOSSES, paths[0], paths[1]]).code(2).says(&["differs from the sealed file"]);
    }
}

//! `manifests/leak`, smaller: a corpus with planted leaks, what finds them, and what a run made of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::support::{Ran, retrace};

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../manifests/leak");

/// Leaked texts per language.
const LEAKED: usize = 8;
const STEPS: u64 = 60;

/// The documents of `manifests/leak`, with less of everything.
fn documents(root: &Path) {
    let smaller = [
        ("documents: 300", "documents: 100"),
        ("held_out: 60", "held_out: 24"),
        ("leaked_texts: 20", "leaked_texts: 8"),
        ("vocab_size: 2048", "vocab_size: 1024"),
        ("hidden_size: 64", "hidden_size: 32"),
        ("intermediate_size: 176", "intermediate_size: 96"),
        ("batch_size: 8", "batch_size: 4"),
        ("steps: 160", "steps: 60"),
        ("checkpoint_every: 20", "checkpoint_every: 15"),
    ];
    fs::create_dir(root.join("tasks")).unwrap();
    for directory in ["", "tasks/"] {
        for entry in fs::read_dir(Path::new(MANIFEST).join(directory)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.ends_with(".yaml") && name != "manifest.yaml" {
                let text = fs::read_to_string(&path).unwrap();
                let text = smaller.iter().fold(text, |text, (from, to)| text.replace(from, to));
                fs::write(root.join(format!("{directory}{name}")), text).unwrap();
            }
        }
    }
}

/// The rows of an answer as CSV, without its head.
fn query(root: &Path, sql: &str) -> Vec<String> {
    let ran: Ran =
        retrace().current_dir(root).args(["query", sql, ".", "--format", "csv", "--quiet"]).output().unwrap().into();
    ran.code(0).out.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn a_leak_from_the_corpus_to_the_page() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    documents(root);
    let run = |arguments: &[&str]| -> Ran { retrace().current_dir(root).args(arguments).output().unwrap().into() };
    run(&["make", ".", "--quiet"]).code(0);

    // What was planted is found. The grammar of the corpus also writes texts that are like a held-out one by chance; of
    // these, none is word for word.
    let leaks = "select distinct benchmark, item from contamination where verdict = 'leak' and form = 'verbatim'";
    let found: BTreeSet<String> = query(root, leaks).into_iter().collect();
    let planted =
        (0..LEAKED).flat_map(|number| ["en", "zh"].map(|code| format!("heldout-{code},{code}-held-out-{number:05}")));
    assert_eq!(found, planted.collect());

    // The run saw them, its twin did not, and every step is one of the run's.
    let exposures =
        query(root, "select run, min(step), max(step), count(distinct document) from exposures group by run");
    let [exposed] = exposures.as_slice() else { panic!("{exposures:?}") };
    let fields: Vec<&str> = exposed.split(',').collect();
    assert_eq!(fields[0], "leaked");
    let steps: Vec<u64> = fields[1..3].iter().map(|step| step.parse().unwrap()).collect();
    assert!(steps[0] >= 1 && steps[1] <= STEPS, "{exposures:?}");
    assert!(!fs::read_to_string(root.join("without/en-00000.jsonl")).unwrap().contains("en-leak-"));

    // The page has the items with the changes that the named query computes.
    let page = fs::read_to_string(root.join("report.html")).unwrap();
    let asked = run(&["query", "@leaked-items", ".", "--format", "csv", "--quiet"]).code(0).out;
    let mut by_benchmark: BTreeMap<&str, usize> = BTreeMap::new();
    for row in asked.lines().skip(1) {
        let fields: Vec<&str> = row.split(',').collect();
        let [run, benchmark, item, .., change, _] = fields.as_slice() else { panic!("{row}") };
        assert_eq!(*run, "leaked");
        *by_benchmark.entry(benchmark).or_default() += 1;
        let on_page =
            page.lines().find(|line| line.starts_with(&format!("{item},"))).unwrap_or_else(|| panic!("{row}"));
        let there = on_page.split(',').nth(8).unwrap();
        match (change.parse::<f64>(), there.parse::<f64>()) {
            (Ok(change), Ok(there)) => assert!((change - there).abs() < 1e-9, "{row}\n{on_page}"),
            // Not compared, for the same reason.
            (asked, shown) => assert!(asked.is_err() && shown.is_err(), "{row}\n{on_page}"),
        }
    }
    assert_eq!(by_benchmark.len(), 2, "{asked}");
    assert!(page.contains("Gain on twin") && page.contains("What leaks changed"));

    // It is a release as any other.
    run(&["seal", ".", "--quiet"]).code(0);
    run(&["verify", "manifest.yaml", "--quiet"]).code(0);
    run(&["replay", "manifest.yaml", "--all", "--quiet"]).code(0);

    // A twin that saw the leak is none.
    let text = fs::read_to_string(root.join("page.yaml")).unwrap();
    fs::write(root.join("page.yaml"), text.replace("{leaked: twin}", "{twin: leaked}")).unwrap();
    let ran = run(&["make", "."]).code(2);
    let said = ran.out + &ran.err;
    assert!(said.contains("\"leaked\" saw leaked items of") && said.contains("correct `twins`"), "{said}");
}

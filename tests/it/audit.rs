//! `retrace audit` and `retrace openness`: errors are found, correct data gives no finding, and existing components
//! are reported.

use crate::support::{CLEAN, Release, run};

/// A list of checkpoints in which one path holds two steps.
const LIST: &str = "Step,Checkpoint Directory
1000,https://example.org/a/step1000/
2000,https://example.org/a/step2000/
3000,https://example.org/a/step2000/
";

#[test]
fn what_a_list_cannot_mean_is_found_with_its_line() {
    let release = Release::new();
    release.write("lists/model.csv", LIST);
    release.run(&["import", "checkpoint-list", "lists", "-o", "tables"]).code(0);
    let ran = release.run(&["audit", "tables"]).code(1).says(&["found", "there is no graph"]);
    assert!(ran.out.contains("error same-content: "), "{}", ran.out);
    assert!(ran.out.contains("listed at step 2000 and at step 3000"), "{}", ran.out);
    assert!(ran.out.contains("at lists/model.csv line 3, line 4"), "{}", ran.out);
    let report = release.run(&["audit", "tables", "--only", "same-content", "--json"]).code(1);
    let report = report.json("audit/1");
    assert_eq!(report["findings"].as_array().unwrap().len(), 1);
    assert_eq!(report["findings"][0]["severity"], "error");
    // After correction, nothing is found.
    release.write(
        "lists/model.csv",
        LIST.replace("3000,https://example.org/a/step2000/", "3000,https://example.org/a/step3000/"),
    );
    release.run(&["import", "checkpoint-list", "lists", "-o", "tables"]).code(0);
    release.run(&["audit", "tables"]).code(0).says(&["clean"]);
}

/// Arguments as open_lm publishes them: a list, in the file that also has the hyperparameters.
#[test]
fn hyperparameters_are_compared_with_the_arguments_that_an_import_read() {
    let release = Release::new();
    let published = |lr: &str| {
        format!(
            r#"{{"hyperparameters": {{"lr": 0.0003, "wd": 0.1}}, "open_lm_args": ["--wd", "0.1", "--lr", "{lr}"]}}"#
        )
    };
    release.write("models/m.json", published("0.003"));
    release.run(&["import", "configs", "models", "-o", "tables"]).code(0);
    let ran = release.run(&["audit", "tables"]).code(1);
    assert!(ran.out.contains("hyperparameters.lr is 0.0003, but the run's argument is 0.003"), "{}", ran.out);
    assert!(ran.out.contains("models/m.json /hyperparameters/lr, /open_lm_args/3"), "{}", ran.out);
    release.write("models/m.json", published("3e-4"));
    release.run(&["import", "configs", "models", "-o", "tables"]).code(0);
    release.run(&["audit", "tables"]).code(0).says(&["clean"]);
}

#[test]
fn a_rule_without_any_of_its_tables_is_not_applied() {
    let release = Release::new();
    release.write("lists/model.csv", LIST.replace("step2000/\n3000", "step2000/\n3500"));
    release.run(&["import", "checkpoint-list", "lists", "-o", "tables"]).code(0);
    // The list gives no metrics and no tensors.
    for (rule, table) in [("stderr-does-not-fit", "metrics"), ("constant-metric", "tensors")] {
        let ran = release.run(&["audit", "tables", "--only", rule]).code(2);
        ran.says(&["not applied", rule, table, "no table that a rule reads"]);
    }
    let report = release.run(&["audit", "tables", "--json"]).code(1).json("audit/1");
    let rules = report["rules"].as_array().unwrap();
    let applied = |name: &str| rules.iter().find(|rule| rule["rule"] == name).unwrap()["outcome"]["findings"].is_u64();
    assert!(applied("same-content") && applied("unreadable"));
    assert!(!applied("stderr-does-not-fit") && !applied("constant-metric"));
    // A release without tables has a graph only.
    let bare = Release::new();
    bare.write("notes.txt", "nothing");
    bare.run(&["seal", "."]).code(0);
    let rules = bare.run(&["audit", ".", "--json"]).code(0).json("audit/1")["rules"].as_array().unwrap().clone();
    let applied = rules.iter().filter(|rule| rule["outcome"]["findings"].is_u64());
    assert_eq!(applied.map(|rule| rule["rule"].as_str().unwrap().to_owned()).collect::<Vec<_>>(), ["graph"]);
}

#[test]
fn a_rule_of_ones_own_is_a_file() {
    let release = Release::new();
    release.write("lists/model.csv", LIST);
    release.run(&["import", "checkpoint-list", "lists", "-o", "tables"]).code(0);
    let header = "-- title: A step is high\n-- severity: note\n-- means: M\n-- do: D\n";
    release.write(
        "rules/high.sql",
        format!("{header}select release, run as subject, 'step ' || cast(step as varchar) as finding, place as evidence, 'certain' as sure from checkpoints where step > 2500"),
    );
    let ran = release.run(&["audit", "tables", "--rules", "rules", "--only", "high"]).code(1);
    assert!(ran.out.contains("note high: A step is high") && ran.out.contains("model: step 3000"), "{}", ran.out);
    release
        .run(&["audit", "tables", "--only", "hihg"])
        .code(2)
        .says(&["there is no rule hihg", "one of agree-beyond-chance"]);
    release.write("rules/high.sql", format!("{header}select 1 as one from checkpoints"));
    release.run(&["audit", "tables", "--rules", "rules", "--only", "high"]).code(2).says(&["rule high", "release"]);
    // A rule can read only the opened tables, unless it is trusted.
    release.write("private.csv", "name,pw\nme,hunter2\n");
    let reads = "select name as release, name as subject, pw as finding, '' as evidence, '' as sure from 'private.csv'";
    release.write("rules/high.sql", format!("{header}{reads}"));
    let ran = release.run(&["audit", "tables", "--rules", "rules", "--only", "high"]).code(2);
    assert!(!ran.out.contains("hunter2") && ran.err.contains("private.csv"), "{ran:?}");
    let trusting = ["audit", "tables", "--rules", "rules", "--only", "high", "--trust-queries"];
    assert!(release.run(&trusting).code(1).out.contains("hunter2"));
    release.write("rules/high.sql", format!("{header}drop table checkpoints"));
    release.run(&["audit", "tables", "--rules", "rules", "--only", "high"]).code(2).says(&["rule high"]);
    release.write("rules/high.sql", "select 1");
    release.run(&["audit", "tables", "--rules", "rules"]).code(2).says(&["high.sql", "-- title: …"]);
    let listed = run(&["audit", "--list", "--json"]).code(0);
    assert!(listed.json("rules/1")["rules"].as_array().unwrap().len() >= 15);
}

/// The auditor's own list decides which root is the latest; nothing in the release does.
#[test]
fn an_old_manifest_is_told_by_the_roots_that_are_known() {
    let release = Release::new();
    let seal = |name: &str, note: &str| {
        release.write("note.txt", note);
        release.run(&["seal", ".", "--name", name, "--json"]).code(0).json("seal/1")["root"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (first, second) = (seal("small", "1"), seal("small", "2"));
    let auditors = tempfile::tempdir().unwrap();
    let list = auditors.path().join("known.yaml");
    let known = |roots: &[&str]| {
        let roots: String =
            roots.iter().map(|root| format!("      - root: {root}\n        seen: on paper\n")).collect();
        std::fs::write(&list, format!("retrace: known-roots/1\nreleases:\n  - name: small\n    roots:\n{roots}"))
            .unwrap();
    };
    let list = list.to_str().unwrap();
    let only = ["--only", "rolled-back", "--only", "unknown-root"];
    let audit = || release.run(&[&["audit", ".", "--known-roots", list][..], &only].concat());
    known(&[&first, &second]);
    audit().code(0).says(&["clean"]);
    let unasked = release.run(&[&["audit", "."][..], &only].concat()).code(2);
    unasked.says(&["not applied", "rolled-back (there is no known-roots)"]);
    // Restored; and the same under another name.
    for name in ["small", "renamed"] {
        assert_eq!(seal(name, "1"), first);
        let ran = audit().code(1);
        assert!(ran.out.contains("error rolled-back") && ran.out.contains("number 1 of the 2"), "{}", ran.out);
        assert!(ran.out.contains(&second) && ran.out.contains("on paper"), "{}", ran.out);
        assert!(!ran.out.contains("unknown-root"), "{}", ran.out);
    }
    known(&[&second]);
    let ran = audit().code(1);
    assert!(
        ran.out.contains("note unknown-root") && ran.out.contains("nor any of a release of this name"),
        "{}",
        ran.out
    );
    seal("small", "3");
    let json = [&["audit", ".", "--json", "--known-roots", list][..], &only].concat();
    let report = release.run(&json).code(1).json("audit/1");
    assert_eq!(report["findings"][0]["rule"], "unknown-root");
    assert!(report["findings"][0]["finding"].as_str().unwrap().contains("none of the 1 that are known of it"));
    known(&[&first, &first]);
    audit().code(2).says(&["known.yaml", "releases[0].roots[1]"]);
}

#[test]
fn a_component_is_absent_present_verified_or_replayed() {
    let release = Release::new();
    release.write("clean.yaml", CLEAN);
    release.run(&["clean", "clean.yaml"]).code(0);
    release.write("README.md", "# A release");
    release.run(&["seal", "."]).code(0);
    let told = |arguments: &[&str]| {
        let report = release.run(&[&["openness", "manifest.yaml", "--json"], arguments].concat()).code(0);
        let report = report.json("openness/1")["openness"].clone();
        let components = report["components"].as_array().unwrap().clone();
        assert_eq!((components.len(), &report["class"]), (17, &serde_json::Value::Null));
        let of = |name: &str| {
            components.iter().find(|component| component["name"] == name).unwrap()["status"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        [of("Datasets"), of("Model card"), of("Data card"), of("Data preprocessing code")]
    };
    assert_eq!(told(&[]), ["verified", "verified", "absent", "verified"]);
    release.run(&["replay", "manifest.yaml", "--all", "-o", "replayed.json"]).code(0);
    // The raw shards and the recipe were made by no step; the cleaned ones were.
    assert_eq!(told(&["--replayed", "replayed.json"]), ["replayed", "verified", "absent", "verified"]);
    release.write("clean/en-00.jsonl", "changed");
    assert_eq!(told(&["--replayed", "replayed.json"])[0], "present");
    release.write("not.json", "{}");
    release.run(&["openness", "manifest.yaml", "--replayed", "not.json"]).code(2).says(&["not.json"]);
}

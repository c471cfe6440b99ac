//! `retrace audit` and `retrace openness`: what is wrong is found, what is not is not, what is there is told.

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
    // Put right, nothing is found.
    release.write(
        "lists/model.csv",
        LIST.replace("3000,https://example.org/a/step2000/", "3000,https://example.org/a/step3000/"),
    );
    release.run(&["import", "checkpoint-list", "lists", "-o", "tables"]).code(0);
    release.run(&["audit", "tables"]).code(0).says(&["clean"]);
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
    // A rule asks the tables that are open, unless it is trusted.
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
    // The raw shards and the recipe were made by no step; the clean ones were.
    assert_eq!(told(&["--replayed", "replayed.json"]), ["replayed", "verified", "absent", "verified"]);
    release.write("clean/en-00.jsonl", "changed");
    assert_eq!(told(&["--replayed", "replayed.json"])[0], "present");
    release.write("not.json", "{}");
    release.run(&["openness", "manifest.yaml", "--replayed", "not.json"]).code(2).says(&["not.json"]);
}

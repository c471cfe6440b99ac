//! The step `scaling/1`: what it makes, when it is made again, that it is replayed, and what it refuses.

use serde_json::Value;

use crate::support::{Ran, Release, run};

/// Six sizes with four checkpoints each, around the law E = 1.7, A = 400, B = 410, α = 0.34, β = 0.28.
fn points(columns: &str) -> String {
    let mut text = format!("{columns}\n");
    for size in 0..6_u32 {
        for at in 1..=4_u32 {
            let params = 1e7 * f64::from(1 << size);
            let tokens = 2e9 * f64::from(at * (size + 1));
            let noise = 1.0 + 0.002 * (f64::from((size * 7 + at * 3) % 5) - 2.0);
            let loss = (1.7 + 400.0 / params.powf(0.34) + 410.0 / tokens.powf(0.28)) * noise;
            text += &format!("run-{size},{params:.0},{tokens:.0},{loss:.6}\n");
        }
    }
    text
}

const DOCUMENT: &str = "\
retrace: scaling/1
name: law
points: runs.csv
loss: C4's validation split
laws: [hoffmann-3, kaplan, hoffmann-2]
fit: {updates: 500}
cuts: 1
intervals: {by: run, samples: 20, level: 0.9, seed: 3}
predict: [{compute: 1e20}, {params: 1e9, tokens: 2e10}]
output: law/scaling.json
prediction: law/prediction.json
report: law
";

const PAGE: &str = "retrace: page/1\nname: page\ntitle: laws\noutput: page.html\nsections:\n  - {section: scaling, law: law/scaling.json}\n";

fn release() -> Release {
    let release = Release::new();
    release.write("runs.csv", points("run,params_total,tokens,loss_nats_per_token"));
    release.write("law.yaml", DOCUMENT);
    release.write("page.yaml", PAGE);
    release
}

/// The steps that were made now.
fn made(release: &Release) -> Vec<String> {
    let ran = release.run(&["make", "--json", "."]).code(0);
    let steps = ran.json("make/1")["steps"].as_array().unwrap().clone();
    let made = steps.iter().filter(|step| step["outcome"] == "made");
    let mut ids: Vec<String> = made.map(|step| step["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[test]
fn a_document_of_laws_is_made_sealed_verified_and_replayed() {
    let release = release();
    assert_eq!(made(&release), ["clean", "law", "page", "tokenize"]);
    assert!(made(&release).is_empty());
    let report: Value = serde_json::from_slice(&release.read("law/scaling.json")).unwrap();
    assert_eq!(report["laws"][0]["intervals"].as_object().unwrap().len(), 5);
    // No two of these runs have one compute.
    assert!(report["laws"][2]["failed"].as_str().unwrap().contains("hoffmann-2"), "{}", report["laws"][2]);
    let page = String::from_utf8(release.read("page.html")).unwrap();
    for part in ["C4's validation split", "hoffmann-3", "kaplan", "Not fitted:", "Compute-optimal models", "<svg "] {
        assert!(page.contains(part), "{part}");
    }

    let root = release.run(&["seal", ".", "--name", "laws", "--quiet"]).code(0).out.trim().to_owned();
    release.run(&["verify", "manifest.yaml", "--root", &root]).code(0);
    let replayed = release.run(&["replay", "manifest.yaml", "--all", "--json"]).code(0).json("replay-all/2");
    let text = replayed.to_string();
    assert!(text.contains("\"law\"") && !text.contains("\"different\":[\""), "{text}");

    // The command on the page makes the same files, whatever the number of threads and the instruction set.
    let markdown = String::from_utf8(release.read("law/report.md")).unwrap();
    let command = markdown.lines().find(|line| line.starts_with("retrace report scaling")).unwrap().to_owned();
    let mut shell = std::process::Command::new("sh");
    let line = format!("\"$0\" {} --threads 1 -o \"$1\"", command.strip_prefix("retrace").unwrap());
    let elsewhere = tempfile::tempdir().unwrap();
    let again = elsewhere.path().join("again");
    let program = crate::support::retrace().get_program().to_owned();
    shell.current_dir(release.root()).args(["-c", &line]).arg(program).arg(&again);
    shell.env("RETRACE_ISA", "baseline");
    // A law was not fitted.
    Ran::from(shell.output().unwrap()).code(1).says(&["not fitted hoffmann-2"]);
    let names = |directory: &std::path::Path| {
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        entries.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names(&again), names(&release.path("law")));
    for name in names(&again) {
        let (one, other) = (again.join(&name), release.path("law").join(&name));
        assert!(std::fs::read(one).unwrap() == std::fs::read(other).unwrap(), "{}", name.display());
    }

    // The sealed prediction is compared with a later run.
    release.write("later.csv", "params_total,tokens,loss_nats_per_token\n1e9,2e10,2.6\n");
    let check = ["report", "scaling", "--points", "later.csv", "--check", "law/prediction.json"];
    let checked = release.run(&check);
    assert!(checked.code < 2 && checked.out.contains("hoffmann-3: predicted 2."), "{} {}", checked.out, checked.err);
}

#[test]
fn other_points_make_only_the_law_and_its_page_again() {
    let release = release();
    made(&release);
    release.run(&["seal", ".", "--name", "laws", "--quiet"]).code(0);
    let before = release.read("law/scaling.json");
    let fewer: String =
        points("run,params_total,tokens,loss_nats_per_token").lines().take(21).map(|l| format!("{l}\n")).collect();
    release.write("runs.csv", fewer);
    assert_eq!(made(&release), ["law", "page"]);
    assert_ne!(release.read("law/scaling.json"), before);
    // Charts that are no longer drawn are no longer there.
    release.write("law.yaml", DOCUMENT.replace("intervals: {by: run,", "intervals: {by: none,"));
    assert!(release.path("law/samples-1-E.csv").exists());
    assert_eq!(made(&release), ["law", "page"]);
    assert!(!release.path("law/samples-1-E.csv").exists() && release.path("law/points.csv").exists());
}

#[test]
fn points_that_are_none_are_an_error_of_their_field_and_nothing_is_written() {
    let release = Release::new();
    release.write("runs.csv", points("run,params_total,tokens,loss_nats_per_token"));
    let table = ["query", "select * from 'runs.csv'", "--format", "parquet"];
    let parquet = crate::support::retrace().args(table).current_dir(release.root()).output().unwrap();
    std::fs::create_dir(release.path("tables")).unwrap();
    release.write("tables/runs.parquet", parquet.stdout);
    let document = |points: &str, more: &str| {
        format!(
            "retrace: scaling/1\nname: law\ntables: [tables/runs.parquet]\npoints: {points}\n{more}output: law.json\nreport: law\n"
        )
    };
    let rest = "tokens, loss_nats_per_token from runs";
    for (points, more, said) in [
        (format!("select params_total, {rest} limit 3"), "", &["points", "3 points cannot determine the 5 parameters"][..]),
        (format!("select params_total, {rest} where false"), "", &["points", "there are no points"]),
        ("select params_total, tokens, loss_nats_per_token / 0.0 - loss_nats_per_token / 0.0 as loss_nats_per_token from runs".to_owned(), "", &["points", "loss NaN"]),
        ("select params_total, tokens, -loss_nats_per_token as loss_nats_per_token from runs".to_owned(), "", &["points", "loss is not a finite number above 0"]),
        (format!("select params_total as params, {rest}"), "", &["params_unit", "is not stated"]),
        ("select params_total, tokens, loss_nats_per_token as loss from runs".to_owned(), "", &["loss_unit", "is not stated"]),
        ("select params_total, loss_nats_per_token from runs".to_owned(), "", &["columns", "no column has tokens"]),
        (format!("select params_total, {rest}"), "columns: {loss: nats}\n", &["columns", "no column \"nats\""]),
        (format!("select params_total, {rest}"), "params_unit: non-embedding\n", &["points", "says another unit"]),
        (format!("select params_total, {rest}"), "laws: [chinchilla]\n", &["law.yaml", "chinchilla"]),
        (format!("select params_total, {rest}"), "intervals: {samples: 0}\n", &["intervals.samples", "must be"]),
        ("select size from runs".to_owned(), "", &["size"]),
    ] {
        release.write("law.yaml", document(&points, more));
        let ran = release.run(&["make", "."]).code(2);
        ran.says(said);
        assert!(!release.path("law.json").exists() && !release.path("law").exists(), "{points} {more}");
    }
    release.write(
        "law.yaml",
        document("select params_total, tokens, loss_nats_per_token from runs", "")
            .replace("tables: [tables/runs.parquet]\n", ""),
    );
    release.run(&["make", "."]).code(2).says(&["points", "without `tables` it is a file"]);
    release.write("law.yaml", document("absent.csv", "").replace("tables: [tables/runs.parquet]\n", ""));
    release.run(&["make", "."]).code(2).says(&["absent.csv"]);
    // What the message asks for is enough.
    let sql = format!("select params_total as params, {rest}");
    release.write("law.yaml", document(&sql, "params_unit: total\nintervals: {by: none}\ncuts: 0\n"));
    let ran = release.run(&["make", "."]).code(0);
    assert!(ran.out.contains("hoffmann-3: E 1.") || ran.err.contains("hoffmann-3: E 1."), "{} {}", ran.out, ran.err);
    run(&["help", "report", "scaling"]).code(0);
}

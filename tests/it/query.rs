//! `query`: one answer, in every format, and nothing but reading.

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

//! Queries over a small release, with answers worked out by hand.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use retrace_query::tables::{self, Metric};
use retrace_query::{Format, QueryError, Session};
use retrace_spec::{Step, Tokens};

fn metric(step: u64, task: &str, value: f64) -> Metric {
    Metric {
        release: "r".to_owned(),
        run: "base".to_owned(),
        step: Some(Step(step)),
        tokens: Some(Tokens(step * 10)),
        task: task.to_owned(),
        shots: Some(0),
        metric: "acc".to_owned(),
        value,
        stderr: (step > 0).then_some(0.5),
        source: "eval, \"base\"".to_owned(),
        place: "line 1".to_owned(),
    }
}

fn release(directory: &Path) -> Session {
    let rows = vec![metric(2, "事实", 0.1 + 0.2), metric(0, "b", 1.0), metric(0, "a", -0.0)];
    tables::write(&directory.join("tables"), &rows).unwrap();
    Session::open(&[directory.to_owned()]).unwrap()
}

#[test]
fn rows_come_back_in_every_format() {
    let directory = tempfile::tempdir().unwrap();
    let session = release(directory.path());
    let answer = session.run("select step, task, value, stderr, source from metrics order by step, task").unwrap();
    assert_eq!(answer.rows(), 3);
    let text = |format| String::from_utf8(answer.write(format).unwrap()).unwrap();
    assert_eq!(
        text(Format::Csv),
        "step,task,value,stderr,source\n0,a,-0.0,,\"eval, \"\"base\"\"\"\n0,b,1.0,,\"eval, \"\"base\"\"\"\n2,事实,0.30000000000000004,0.5,\"eval, \"\"base\"\"\"\n"
    );
    let table = text(Format::Table);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "step  task                value  stderr  source");
    assert_eq!(lines[4], "   2  事实  0.30000000000000004     0.5  eval, \"base\"");
    let json: serde_json::Value = serde_json::from_str(&text(Format::Json)).unwrap();
    assert_eq!(
        json[2],
        serde_json::json!({"step": 2, "task": "事实", "value": 0.30000000000000004, "stderr": 0.5, "source": "eval, \"base\""})
    );
    assert_eq!(json[0]["stderr"], serde_json::Value::Null);
    // Parquet, read back as a table of its own.
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("copy.parquet"), answer.write(Format::Parquet).unwrap()).unwrap();
    let copy = Session::open(&[other.path().to_owned()]).unwrap().run("select * from copy").unwrap();
    assert_eq!(copy.write(Format::Csv).unwrap(), answer.write(Format::Csv).unwrap());
    assert_eq!(answer.floats("value").unwrap()[2].to_bits(), (0.1f64 + 0.2).to_bits());
    assert_eq!(answer.numbers("step").unwrap(), [Some(0), Some(0), Some(2)]);
    assert_eq!(answer.texts("task").unwrap(), ["a", "b", "事实"]);
    assert!(answer.floats("nothing").is_err());
}

#[test]
fn the_same_rows_are_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let rows = [metric(2, "c", 1.0), metric(0, "b", 1.0), metric(0, "a", 2.0)];
    let first = tables::write(directory.path(), &rows).unwrap();
    let turned: Vec<Metric> = rows.into_iter().rev().collect();
    assert_eq!(tables::write(directory.path(), &turned).unwrap(), first);
}

#[test]
fn several_releases_are_one_table() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    release(one.path());
    release(two.path());
    let session = Session::open(&[one.path().to_owned(), two.path().to_owned()]).unwrap();
    let answer = session.run("select count(*) as n, sum(value) as total from metrics").unwrap();
    assert_eq!(answer.numbers("n").unwrap(), [Some(6)]);
}

#[test]
fn a_query_that_is_not_one_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let session = release(directory.path());
    for (sql, message, helps) in [
        ("select * from metric", "metric", "the nearest table is metrics"),
        ("select valu from metrics", "valu", "the nearest column is value"),
        ("selec 1", "selec", ""),
        ("drop table metrics", "DDL", ""),
        ("insert into metrics values (1)", "", ""),
        ("copy metrics to 'x.csv'", "", ""),
        ("set datafusion.execution.target_partitions = 8", "", ""),
    ] {
        match session.run(sql) {
            Err(QueryError::Sql { message: said, help }) => {
                assert!(said.contains(message), "{sql}: {said}");
                assert!(help.contains(helps), "{sql}: {said} {help}");
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn what_is_no_table_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    assert!(matches!(Session::open(&[directory.path().to_owned()]), Err(QueryError::NoTables { .. })));
    for bytes in [&b""[..], b"PAR1", b"PAR1PAR1", b"not a table at all"] {
        std::fs::write(directory.path().join("bad.parquet"), bytes).unwrap();
        let error = Session::open(&[directory.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("bad.parquet"), "{error}");
    }
}

//! Inputs of queries: releases, manifests and files, valid and invalid.

use std::fs;
use std::path::{Path, PathBuf};

use retrace_query::{Format, Options, QueryError, Session};
use retrace_tables::Metric;

use crate::{csv, metric, release};

fn open(paths: &[&Path]) -> Result<Session, QueryError> {
    Session::open(&paths.iter().map(PathBuf::from).collect::<Vec<_>>())
}

#[test]
fn files_are_tables_by_their_names() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("Val Loss.csv"), "step,loss,note\n1,2.5,\"a, b\"\n2,2,\"two\nlines\"\n").unwrap();
    fs::write(path("runs.tsv"), "run\tseed\na\t1\n").unwrap();
    fs::write(path("items.jsonl"), "{\"id\":\"x\",\"n\":1}\n{\"id\":\"y\",\"n\":2.5}\n{\"m\":true}\n").unwrap();
    let session = open(&[&path("Val Loss.csv"), &path("runs.tsv"), &path("items.jsonl")]).unwrap();
    assert_eq!(session.tables().keys().collect::<Vec<_>>(), ["items", "runs", "val_loss"]);
    assert_eq!(csv(&session, "select sum(loss) as s, max(note) as n from val_loss"), "s,n\n4.5,\"two\nlines\"\n");
    assert_eq!(csv(&session, "select * from runs"), "run,seed\na,1\n");
    assert_eq!(csv(&session, "select id, n from items order by n"), "id,n\nx,1.0\ny,2.5\n,\n");
    // The same by their paths in SQL, without opening a table first.
    let session = Session::open(&[]).unwrap();
    let at = path("Val Loss.csv").display().to_string();
    assert_eq!(csv(&session, &format!("select count(*) as n from '{at}' as v where v.loss > 2")), "n\n1\n");
    let both =
        format!("select a.run from '{}' as a cross join '{at}' as b where b.step = 1", path("runs.tsv").display());
    assert_eq!(csv(&session, &both), "run\na\n");
    // Rows that were written meanwhile are in the next answer.
    fs::write(path("runs.tsv"), "run\tseed\tmore\nb\t1\t2\n").unwrap();
    assert_eq!(csv(&session, &format!("select more from '{}'", path("runs.tsv").display())), "more\n2\n");
}

/// As Python's `json` writes floats that JSON does not have.
#[test]
fn json_lines_with_nan_and_infinities_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.jsonl");
    let lines = [
        r#"{"step": 0, "loss": 2.5, "note": "NaN, \"Infinity\"", "inner": {"a": [1, NaN]}}"#,
        r#"{"step": 1, "loss": NaN, "note": "NaN", "inner": {"a": []}, "only": NaN}"#,
        r#"{"step": 2, "loss":-Infinity, "note": null, "inner": {"a": [Infinity]}}"#,
        r#"{"step": 3, "loss":Infinity, "only": null}"#,
    ];
    fs::write(&path, lines.join("\n")).unwrap();
    let session = open(&[&path]).unwrap();
    assert_eq!(
        csv(&session, "select step, loss, note from log"),
        "step,loss,note\n0,2.5,\"NaN, \"\"Infinity\"\"\"\n1,NaN,NaN\n2,-inf,\n3,inf,\n"
    );
    assert_eq!(csv(&session, "select step, unnest(inner['a']) as a from log"), "step,a\n0,1.0\n0,NaN\n2,inf\n");
    assert_eq!(csv(&session, "select only from log where only is not null"), "only\nNaN\n");
    assert_eq!(csv(&session, "select step from log where loss > 100"), "step\n1\n3\n");
    // A file that several partitions read, and that is read in several parts.
    let line = |at: u32| match at % 1000 {
        7 => format!("{{\"n\": {at}, \"x\": NaN, \"text\": \"{}\"}}\n", "NaN ".repeat(at as usize % 50)),
        _ => format!("{{\"n\": {at}, \"x\": {at}.5, \"text\": \"Name\"}}\n"),
    };
    fs::write(&path, (0..60_000).map(line).collect::<String>()).unwrap();
    for partitions in [1, 3] {
        let options = Options { partitions: partitions.try_into().unwrap(), ..Options::default() };
        let session = Session::open_with(std::slice::from_ref(&path), options).unwrap();
        let sql = "select count(*) as n, sum(n) as s, sum(x) filter (where not isnan(x)) as x,
                   count(*) filter (where isnan(x)) as nans from log";
        let (numbers, odd): (Vec<u64>, Vec<u64>) = (0..60_000).partition(|at| at % 1000 != 7);
        let sum: f64 = numbers.iter().map(|at| *at as f64 + 0.5).sum();
        let all: u64 = numbers.iter().chain(&odd).sum();
        assert_eq!(csv(&session, sql), format!("n,s,x,nans\n60000,{all},{sum:?},{}\n", odd.len()));
    }
    for broken in ["{\"a\":nan}", "{\"a\":NaNs}", "{\"a\":Inf}", "{\"a\":NaN", "{NaN:1}", "{\"a\":1}\nNaN"] {
        fs::write(&path, broken).unwrap();
        let read = open(&[&path]).and_then(|session| session.run("select * from log"));
        assert!(read.is_err(), "{broken}: {read:?}");
    }
}

/// A fraction after many integers is not cut off, and a column that begins late is there.
#[test]
fn the_last_of_many_json_lines_counts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.jsonl");
    let lines: String = (0..100_100).map(|at| format!("{{\"n\":{at}}}\n")).collect();
    fs::write(&path, lines + "{\"n\":2.5,\"late\":true}\n").unwrap();
    let session = open(&[&path]).unwrap();
    assert_eq!(csv(&session, "select n, late from log where n > 1 and n < 4"), "n,late\n2.0,\n2.5,true\n3.0,\n");
}

#[test]
fn several_releases_are_one_table_with_the_columns_of_all() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    release(one.path());
    // An older release, without some columns, and with steps and values as other types.
    let old = Session::open(&[one.path().to_owned()]).unwrap();
    let old = old.run(
        "select release, run, cast(step as int) as step, task, cast(1 as int) as value, 'x' as extra from metrics",
    );
    fs::write(two.path().join("metrics.parquet"), old.unwrap().write(Format::Parquet).unwrap()).unwrap();
    let session = open(&[one.path(), two.path()]).unwrap();
    let counts =
        "select count(*) as n, count(metric) as m, count(extra) as x, sum(step) as s, sum(value) as v from metrics";
    assert_eq!(csv(&session, counts), "n,m,x,s,v\n6,3,3,4,4.3\n");
    // The last two are those that a file has only if a row has a value there.
    assert_eq!(session.tables()["metrics"][11..], ["extra", "is_group", "time"]);
    // A column that is text in one file and a number in another cannot be one column.
    let odd = tempfile::tempdir().unwrap();
    let text = session.run("select 'much' as value").unwrap().write(Format::Parquet).unwrap();
    fs::write(odd.path().join("metrics.parquet"), text).unwrap();
    let error = open(&[one.path(), odd.path()]).unwrap_err();
    assert!(matches!(&error, QueryError::Columns { column, .. } if column == "value"), "{error}");
}

#[test]
fn a_name_is_taken_as_it_stands() {
    let directory = tempfile::tempdir().unwrap();
    for name in [
        "a*b.csv",
        "[x]?.csv",
        "100%.csv",
        "a%20b.csv",
        "#1.csv",
        " ' .csv",
        "事 实.csv",
        "{a,b}.csv",
        "..csv",
        "a;b.csv",
    ] {
        // Another file that would match if the path were a pattern.
        fs::write(directory.path().join("axb.csv"), "n\n7\n").unwrap();
        let path = directory.path().join(name);
        fs::write(&path, "n\n1\n").unwrap();
        let session = open(&[&path]).unwrap_or_else(|e| panic!("{name}: {e}"));
        let table = session.tables().keys().next().unwrap().clone();
        assert_eq!(csv(&session, &format!("select * from \"{table}\"")), "n\n1\n", "{name}");
        let quoted = path.display().to_string().replace('\'', "''");
        assert_eq!(csv(&session, &format!("select * from '{quoted}'")), "n\n1\n", "{name}");
    }
}

#[test]
fn what_is_no_table_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let refused = |paths: &[&Path], says: &str| {
        let error = open(paths).map(|session| format!("{session:?}")).unwrap_err();
        assert!(error.to_string().contains(says), "{says:?} is not in {error}");
    };
    refused(&[directory.path()], "has no tables");
    refused(&[&path("nothing.csv")], "nothing.csv");
    fs::write(path("notes.txt"), "a").unwrap();
    refused(&[&path("notes.txt")], "must end in .parquet");
    fs::write(path("empty.csv"), "").unwrap();
    refused(&[&path("empty.csv")], "empty");
    fs::write(path("odd.jsonl"), "{\"a\":1}\n{\"a\":\n").unwrap();
    refused(&[&path("odd.jsonl")], "odd.jsonl");
    fs::write(path("no.yaml"), "retrace: run/1\n").unwrap();
    refused(&[&path("no.yaml")], "no.yaml");
    fs::create_dir(path("dir.csv")).unwrap();
    refused(&[&path("dir.csv")], "dir.csv");
    // Two files of the same name are combined only if they have the same format.
    fs::write(path("a.csv"), "n\n1\n").unwrap();
    fs::write(path("a.tsv"), "n\n1\n").unwrap();
    refused(&[&path("a.csv"), &path("a.tsv")], "have the same table name a");
    let session = Session::open(&[]).unwrap();
    for sql in ["select * from '/etc/passwd'", "select * from './no-such.csv'", "select * from '../x/'"] {
        assert!(session.run(sql).is_err(), "{sql}");
    }
    let lying = b"PAR1\xff\xff\xff\x7fPAR1";
    let long = b"PAR1 a footer that says it is longer than the file \xff\xff\x00\x00PAR1";
    for bytes in [&b""[..], b"PAR1", b"PAR1PAR1", b"PAR1\0\0\0\0PAR1", lying, long, b"not a table at all"] {
        fs::write(path("bad.parquet"), bytes).unwrap();
        refused(&[directory.path()], "bad.parquet");
        refused(&[&path("bad.parquet")], "bad.parquet");
    }
    // A complete table whose end, or middle, is removed.
    let rows: Vec<Metric> = (0..2000).map(|step| metric(step, "task", step as f64)).collect();
    retrace_tables::write(&path("tables"), &rows).unwrap();
    let whole = fs::read(path("tables/metrics.parquet")).unwrap();
    fs::remove_file(path("bad.parquet")).unwrap();
    fs::write(path("tables/metrics.parquet"), &whole[..whole.len() / 2]).unwrap();
    refused(&[directory.path()], "metrics.parquet");
    let mut holed = whole.clone();
    holed[4..whole.len() / 2].fill(0xff);
    fs::write(path("tables/metrics.parquet"), holed).unwrap();
    let session = open(&[directory.path()]).unwrap();
    assert!(session.run("select * from metrics").is_err());
}

#[cfg(unix)]
#[test]
fn no_link_leads_out_of_a_release_and_no_pipe_is_waited_for() {
    let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    release(outside.path());
    let table = outside.path().join("tables/metrics.parquet");
    let link = inside.path().join("metrics.parquet");
    std::os::unix::fs::symlink(&table, &link).unwrap();
    let error = open(&[inside.path()]).unwrap_err().to_string();
    assert!(error.contains("link") && error.contains("metrics.parquet"), "{error}");
    // A user who names a link means its target.
    assert_eq!(csv(&open(&[&link]).unwrap(), "select count(*) as n from metrics"), "n\n3\n");
    fs::remove_file(&link).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&link).status().unwrap().success());
    for path in [inside.path(), &link] {
        let error = open(&[path]).unwrap_err().to_string();
        assert!(error.contains("not a regular file"), "{error}");
    }
}

#[test]
fn a_manifest_is_asked_by_itself() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/tour/manifest.yaml");
    let session = open(&[&manifest]).unwrap();
    // The published release, whose numbers are in the README.
    assert_eq!(csv(&session, "select count(*) as n from artifacts"), "n\n152\n");
    let twice = open(&[&manifest, &manifest]).unwrap();
    assert_eq!(csv(&twice, "select count(*) as n from artifacts"), "n\n304\n");
}

/// Each byte of a Parquet file's footer inverted: some of these make Parquet's and Arrow's readers panic.
#[test]
fn damaged_files_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.parquet");
    let answer = release(directory.path()).run("select value, task from metrics").unwrap();
    let whole = answer.write(Format::Parquet).unwrap();
    let footer = u32::from_le_bytes(*whole[..whole.len() - 4].last_chunk().unwrap()) as usize;
    let mut damaged = 0;
    for at in whole.len() - 8 - footer..whole.len() {
        for byte in [0xff, 0x45] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            fs::write(&path, &bytes).unwrap();
            let answer =
                open(&[&path]).and_then(|session| session.run("select count(*), sum(value), max(task) from x"));
            damaged += usize::from(matches!(answer, Err(QueryError::Damaged { .. })));
        }
    }
    assert!(damaged > 0, "the readers panic no more: what guards against it can go");
}

//! Answers for a small release, computed by hand.

use retrace_query::{Format, Session};
use retrace_tables::Metric;

use crate::{metric, release};

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
fn a_table_is_fitted_and_says_what_it_leaves_out() {
    let directory = tempfile::tempdir().unwrap();
    let session = release(directory.path());
    let sql = "select step, source, place, value, 12345678901234567890 as n from metrics order by step, task";
    let answer = session.run(sql).unwrap();
    let whole = answer.table(None, None).unwrap();
    assert_eq!((whole.cut, whole.more_rows, whole.more_columns.len()), (0, 0, 0));
    assert!(whole.text.contains("eval, \"base\"") && whole.text.contains("0.30000000000000004"));
    for width in [1, 20, 40, 55, 60, 80, 200] {
        let fitted = answer.table(Some(width), Some(2)).unwrap();
        assert_eq!(fitted.more_rows, 1);
        let lines: Vec<&str> = fitted.text.lines().collect();
        assert_eq!(lines.len(), 4);
        if width >= 20 {
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}:\n{}", fitted.text);
        }
        // An integer is shown with all its digits, or not at all.
        let shown = fitted.text.contains("12345678901234567890");
        assert_eq!(shown, !fitted.more_columns.contains(&"n".to_owned()), "{width}:\n{}", fitted.text);
        assert_eq!(fitted.cut > 0, fitted.text.contains('…'));
    }
}

#[test]
fn the_same_rows_are_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let rows = [metric(2, "c", 1.0), metric(0, "b", 1.0), metric(0, "a", 2.0)];
    let first = retrace_tables::write(directory.path(), &rows).unwrap();
    let turned: Vec<Metric> = rows.into_iter().rev().collect();
    assert_eq!(retrace_tables::write(directory.path(), &turned).unwrap(), first);
}

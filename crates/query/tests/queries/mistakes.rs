//! Queries with a mistake: the message, the words that it points at, and the advice.

use retrace_query::QueryError;

use crate::release;

#[test]
fn a_mistake_is_pointed_at_and_the_nearest_name_told() {
    let directory = tempfile::tempdir().unwrap();
    let session = release(directory.path());
    for (sql, message, place, helps) in [
        ("select * from metric", "no table metric", "metric", "the nearest table is metrics"),
        ("select *\nfrom metrics\njoin sample using (task)", "no table sample", "sample", "there is metrics"),
        ("select valu from metrics", "no column valu", "valu", "the nearest column is value"),
        ("select '事实', m.taks from metrics as m", "no column taks", "m.taks", "the nearest column is task"),
        ("select step from metrics where tokns > 3", "no column tokns", "tokns", "tokens"),
        ("select x.step from metrics", "no column step", "x.step", "reads no table x"),
        ("select stdev(value) from metrics", "no function stdev", "stdev", "the nearest function is stddev"),
        ("select cout(*) from metrics", "no function cout", "cout", "the nearest function is count"),
        ("select * from alignd('a', 'b')", "no function alignd", "alignd", ""),
        ("selec 1", "not SQL", "selec", "did you mean `select` for `selec`?"),
        ("select value form metrics", "not SQL", "metrics", "did you mean `from` for `form`?"),
        ("select value\n  from metrics\n  wher step = 0", "not SQL", "step", "did you mean `where` for `wher`?"),
        ("select (value from metrics", "not SQL", "from", ""),
        ("select 'text from metrics", "not SQL", "'text from metrics", ""),
        ("select value from", "not SQL", "", ""),
        ("select task, avg(value) from metrics", "GROUP BY", "task", "to GROUP BY"),
        (
            "select step from metrics as a join metrics as b on a.task = b.task",
            "more than one",
            "step",
            "name the table, as in a.step",
        ),
        ("select value from metrics where task = $task", "has no value", "$task", ""),
    ] {
        match session.run(sql) {
            Err(QueryError::Sql { message: said, help, sql: of, place: at }) => {
                assert!(said.contains(message), "{sql}: {said}");
                assert!(help.contains(helps), "{sql}: {said}: {help}");
                assert_eq!(of, sql);
                let at = at.unwrap_or_else(|| panic!("{sql}: no place: {said}"));
                assert_eq!(sql.get(at.clone()), Some(place), "{sql}: {at:?} {said}");
            }
            other => panic!("{sql}: {other:?}"),
        }
    }
}

#[test]
fn nothing_but_reading() {
    let directory = tempfile::tempdir().unwrap();
    let session = release(directory.path());
    for sql in [
        "drop table metrics",
        "insert into metrics values (1)",
        "copy metrics to 'x.csv'",
        "copy (select 1) to 'x.parquet'",
        "create table t as select 1",
        "create external table t stored as csv location 'x.csv'",
        "set datafusion.execution.target_partitions = 8",
        "explain drop table metrics",
        "select 1; select 2",
        "",
        ";",
    ] {
        assert!(matches!(session.run(sql), Err(QueryError::Sql { .. })), "{sql}: {:?}", session.run(sql));
    }
    assert!(session.run("explain select * from metrics").is_ok());
}

//! The faster versions of DataFusion's operators give the results of a simple loop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringArray, UInt64Array};
use retrace_numerics::random::Stream;

use super::{session, spread, table, text};

/// A run, a step, and a task, each of which may be null.
type Row = (Option<String>, u64, Option<String>);

/// The values beside a row, from the tasks of its run and its position among them.
type Value<'a> = dyn Fn(&[Option<&str>], usize) -> Option<String> + 'a;

/// Runs of many lengths, whose rows are at and beside the ends of batches of 64.
fn rows(seed: u64) -> Vec<Row> {
    let stream = Stream::new(seed, "rows");
    let mut rows = Vec::new();
    for run in 0..40 {
        let name = (run != 7).then(|| format!("a run with a name that is not short {run}"));
        for step in 0..[1, 2, 63, 64, 65, 128, 3][run as usize % 7] {
            let task = stream.at(run, step)[0] % 6;
            rows.push((name.clone(), step, (task > 0).then(|| format!("task {task}"))));
        }
    }
    rows
}

fn shown(value: Option<&str>) -> String {
    value.unwrap_or("null").to_owned()
}

fn registered(rows: &[Row], seed: u64, partitions: usize) -> datafusion::prelude::SessionContext {
    let session = session(partitions);
    let column =
        |of: fn(&Row) -> Option<&String>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<StringArray>()) };
    let steps: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.1)).collect::<UInt64Array>());
    let columns = [("run", column(|row| row.0.as_ref())), ("step", steps), ("task", column(|row| row.2.as_ref()))];
    spread(&session, "t", &table(&columns), seed, 3);
    session
}

#[tokio::test]
async fn lag_is_the_row_before_in_the_partition() {
    let rows = rows(1);
    let mut runs: BTreeMap<Option<&str>, Vec<Option<&str>>> = BTreeMap::new();
    for (run, _, task) in &rows {
        runs.entry(run.as_deref()).or_default().push(task.as_deref());
    }
    let expected = |value: &Value<'_>| {
        let lines = runs.iter().flat_map(|(run, tasks)| {
            let line = |at| format!("{} {at} {}", shown(*run), shown(value(tasks, at).as_deref()));
            (0..tasks.len()).map(line).collect::<Vec<_>>()
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    let owned = |task: Option<Option<&str>>| task.flatten().map(str::to_owned);
    let before = |tasks: &[Option<&str>], at: usize| owned(at.checked_sub(1).and_then(|at| tasks.get(at).copied()));
    let two_before = |tasks: &[Option<&str>], at: usize| owned(at.checked_sub(2).and_then(|at| tasks.get(at).copied()));
    let after = |tasks: &[Option<&str>], at: usize| owned(tasks.get(at + 1).copied());
    let last_there = |tasks: &[Option<&str>], at: usize| owned(tasks[..at].iter().rev().copied().find(Option::is_some));
    let or_none = |tasks: &[Option<&str>], at: usize| if at == 0 { Some("none".to_owned()) } else { before(tasks, at) };
    for (asked, quick, value) in [
        ("lag(task)", true, &before as &Value<'_>),
        ("lag(task) ignore nulls", false, &last_there),
        ("lag(task, 2)", false, &two_before),
        ("lag(task, 1, 'none')", false, &or_none),
        ("lead(task)", false, &after),
    ] {
        let sql = format!(
            "select run, step, {asked} over (partition by run order by step) from t order by run nulls first, step"
        );
        for (partitions, seed) in [(1, 1), (2, 2), (5, 3)] {
            let session = registered(&rows, seed, partitions);
            assert_eq!(text(&session, &sql).await, expected(value), "{asked}");
            let plan = text(&session, &format!("explain {sql}")).await;
            assert_eq!(plan.contains("Lag: "), quick, "{asked}: {plan}");
        }
    }
}

#[tokio::test]
async fn lag_without_partitions_goes_through_all_rows() {
    let rows = rows(2);
    let session = registered(&rows, 4, 3);
    let sql = "select i, lag(i) over (order by i) from (select row_number() over (order by run, step) as i from t)";
    let line = |i: usize| format!("{i} {}", if i == 1 { "null".to_owned() } else { (i - 1).to_string() });
    let expected: Vec<String> = (1..=rows.len()).map(line).collect();
    assert_eq!(text(&session, sql).await, expected.join("\n"));
}

#[tokio::test]
async fn distinct_texts_are_counted_by_group() {
    let rows = rows(3);
    let mut groups: BTreeMap<Option<&str>, [BTreeSet<&str>; 2]> = BTreeMap::new();
    for (run, step, task) in &rows {
        let [all, some] = groups.entry(run.as_deref()).or_default();
        all.extend(task.as_deref());
        some.extend(task.as_deref().filter(|_| step % 3 == 1));
    }
    let line = |(run, [all, some]): (&Option<&str>, &[BTreeSet<&str>; 2])| {
        format!("{} {} {}", shown(*run), all.len(), some.len())
    };
    let expected: Vec<String> = groups.iter().map(line).collect();
    let sql = "select run, count(distinct task), count(distinct task) filter (where step % 3 = 1) from t group by run order by run nulls first";
    for (partitions, seed) in [(1, 1), (2, 2), (5, 3)] {
        let session = registered(&rows, seed, partitions);
        assert_eq!(text(&session, sql).await, expected.join("\n"));
        let all: BTreeSet<&str> = rows.iter().filter_map(|row| row.2.as_deref()).collect();
        assert_eq!(text(&session, "select count(distinct task) from t").await, all.len().to_string());
        // Also as views and as large texts.
        for kind in ["Utf8View", "LargeUtf8"] {
            let cast = sql.replace("count(distinct task)", &format!("count(distinct arrow_cast(task, '{kind}'))"));
            assert_eq!(text(&session, &cast).await, expected.join("\n"), "{kind}");
        }
    }
}

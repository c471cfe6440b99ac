//! One query, one answer: including its bits and the order of the rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};

use retrace_query::{Format, Options, Session};
use retrace_spec::Step;
use retrace_tables::Metric;

use super::exact::{patterns, sum_of};
use super::{failure, float_column, session, spread, table, text};

/// Metrics with ties in everything but their value, and zeros of both signs.
fn metrics() -> RecordBatch {
    let n = 700u64;
    let values: Vec<Option<f64>> = patterns("metrics", n, 40)
        .into_iter()
        .enumerate()
        .map(|(at, x)| match at % 50 {
            0 => None,
            1 => Some(-0.0),
            2 => Some(0.0),
            _ => Some(x),
        })
        .collect();
    let names = |every: u64, name: &str| (0..n).map(|at| format!("{name}{}", at / every % 3)).collect::<Vec<_>>();
    table(&[
        ("run", Arc::new(StringArray::from(names(1, "run"))) as ArrayRef),
        ("task", Arc::new(StringArray::from(names(7, "task"))) as ArrayRef),
        ("metric", Arc::new(StringArray::from(vec!["acc"; n as usize])) as ArrayRef),
        ("shots", Arc::new(UInt64Array::from(vec![0; n as usize])) as ArrayRef),
        ("step", Arc::new((0..n).map(|at| Some(at * 7 % 40)).collect::<UInt64Array>()) as ArrayRef),
        ("tokens", Arc::new((0..n).map(|at| Some(at * 7 % 40 * 1000)).collect::<UInt64Array>()) as ArrayRef),
        ("value", float_column(values)),
    ])
}

const QUERIES: [&str; 49] = [
    "select * from (select step, value from metrics order by value desc) s limit 5",
    "with best as (select run, value from metrics order by step) select value from best",
    "select run, array_agg(distinct step), string_agg(distinct task, ',' order by task desc), count(distinct value) from metrics group by run",
    "select run, task, sum(value), array_agg(value order by step) from metrics group by rollup (run, task)",
    "select run, unnest(array_agg(value order by tokens)) as v from metrics group by run limit 30",
    "select run, sum(value) filter (where step > 5), avg(distinct value), corr(distinct value, step) from metrics group by run having count(*) > 1",
    "select value, count(*) from metrics group by value",
    "select value, run, count(*) from metrics group by value, run",
    "select min(value), max(value) from metrics where abs(value) = 0",
    "select run, min(value), max(value), median(value), percentile_cont(0.9) within group (order by value) from metrics where abs(value) = 0 group by run",
    "select step, min(value) over (order by step rows between 2 preceding and 2 following) from metrics where abs(value) = 0",
    "select * from metrics",
    "select run, ln(abs(value) + 1) - 1 as l from metrics order by abs(ln(abs(value) + 1) - 1) desc, run",
    "select value from metrics order by step",
    "select run, value from metrics order by task desc limit 17",
    "select * from metrics limit 9 offset 3",
    "select count(*), sum(value) from (select value from metrics limit 20)",
    "select sum(value) from metrics where value in (select value from metrics order by step limit 30)",
    "select run, step, (select max(value) from (select value from metrics order by step limit 5)) as m from metrics limit 3",
    "select run, task, sum(value), avg(value), stddev(value), var_pop(value) from metrics group by run, task",
    "select corr(value, tokens), regr_slope(value, tokens), covar_samp(value, tokens), log_slope(value, tokens) from metrics",
    "select run, kendall(step, value), spearman(step, value), forgetting(step, value), first_reaching(step, value, 0) from metrics group by run order by run",
    "select paired_bootstrap(value, tokens, 200) from metrics",
    "select step, row_number() over (order by step) as n, value from metrics order by n limit 40",
    "select row_number() over () as n, run, value from metrics",
    "select run, value, lag(value) over (partition by run order by step), ntile(7) over (order by step) from metrics",
    "select value, sum(value) over (partition by run order by step rows between 3 preceding and current row) from metrics",
    "select value, sum(value) over (partition by run order by step), rank() over (order by step) from metrics",
    "select value, first_value(value) over (partition by run order by step), last_value(value) over (partition by run order by step) from metrics",
    "select ema(value, 0.3) over (partition by run, task order by step), spike(value, 5, 2) over (partition by run order by step) from metrics",
    "select run, array_agg(value), string_agg(task, ','), first_value(value order by step), last_value(value) from metrics group by run",
    "select run, array_agg(value order by step desc), nth_value(value, 3 order by step) from metrics group by run",
    "select distinct on (run) run, value from metrics order by run, step",
    "select distinct on (task) task, run, step from metrics",
    "select distinct value from metrics",
    "select a.run, b.run, a.value from metrics a join metrics b on a.step = b.step and a.task = b.task where a.run < b.run limit 50",
    "select task, value from metrics where run = 'run0' union all select task, value from metrics where run = 'run1' order by task",
    "select * from aligned('run0', 'run1') limit 60",
    "select run, lag(value) over (partition by run order by step), rank() over (partition by run order by step) from metrics",
    "select run, count(*) from (select run, value from metrics order by step limit 40) group by run",
    "select count(*) from (select row_number() over (order by step) as n, value from metrics) where n < 30 and value > 0",
    "select m.run, x.v from (select distinct run from metrics) m, lateral (select max(value) as v from metrics where metrics.run = m.run) x",
    "select run, lead(step) over (partition by run order by task), last_value(task) over (order by step rows between unbounded preceding and unbounded following) from metrics",
    "select sum(step) from (select step, value, ntile(3) over (order by task) as n from metrics) where n = 2",
    "select run, v from (select run, max(value) over (partition by run) as v, row_number() over (partition by run order by step) as r from metrics) where r = 1",
    "select step, count(distinct task), count(distinct run), count(distinct value) from metrics group by step",
    "select run, percent_rank() over (order by step), cume_dist() over (order by step), dense_rank() over (order by task) from metrics",
    "select run, array_agg(task order by step)[2], count(distinct task) from metrics group by run",
    "select run, step, nth_value(value, 2) over (partition by run order by task), lag(task, 2, 'none') over (partition by run order by task) from metrics",
];

/// Every query on the rows in `runs` other orders, each in 1, 2 and 8 partitions.
async fn have_one_answer(runs: u64) {
    let rows = metrics();
    let mut answers: Vec<BTreeSet<String>> = vec![BTreeSet::new(); QUERIES.len()];
    for run in 0..runs {
        for partitions in [1, 2, 8] {
            let session = session(partitions);
            spread(&session, "metrics", &rows, run * 10 + partitions as u64, partitions);
            for (query, answers) in QUERIES.iter().zip(&mut answers) {
                answers.insert(text(&session, query).await);
            }
        }
    }
    for (query, answers) in QUERIES.iter().zip(&answers) {
        assert_eq!(answers.len(), 1, "{query}: {:?}", answers.iter().take(2).collect::<Vec<_>>());
        assert!(answers.iter().all(|answer| !answer.is_empty()), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_runs_have_one_answer() {
    have_one_answer(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "minutes"]
async fn forty_runs_have_one_answer() {
    have_one_answer(40).await;
}

/// The order of the answer is the documented one.
#[tokio::test]
async fn rows_come_in_the_promised_order() {
    let session = session(4);
    let columns = [
        ("a", Arc::new(UInt64Array::from(vec![Some(2), Some(1), None, Some(1)])) as ArrayRef),
        ("x", float_column([0.5, f64::INFINITY, 3.0, -1.0])),
    ];
    spread(&session, "t", &table(&columns), 1, 3);
    assert_eq!(text(&session, "select a, x from t").await, "null 3.0\n1 -1.0\n1 inf\n2 0.5");
    assert_eq!(text(&session, "select x, a from t").await, "-1.0 1\n0.5 2\n3.0 null\ninf 1");
    assert_eq!(text(&session, "select a, x from t limit 2").await, "null 3.0\n1 -1.0");
    assert_eq!(text(&session, "select x from t order by a desc nulls last").await, "0.5\n-1.0\ninf\n3.0");
    assert_eq!(text(&session, "select x from t order by a limit 1 offset 1").await, "inf");
    assert_eq!(text(&session, "select * from (select x from t order by x desc) s limit 2").await, "inf\n3.0");
    assert_eq!(text(&session, "with s as (select x, a from t order by x desc) select a from s").await, "1\nnull\n2\n1");
    assert_eq!(text(&session, "select array_agg(x) from t").await, "[-1.0, 0.5, 3.0, inf]");
    assert_eq!(text(&session, "select array_agg(x order by a desc nulls last) from t").await, "[0.5, -1.0, inf, 3.0]");
    assert_eq!(text(&session, "select first_value(x), last_value(x order by a nulls first) from t").await, "-1.0 0.5");
    assert_eq!(text(&session, "select sum(a), row_number() over () from t group by a").await, "null 1\n2 2\n2 3");
    // A null key, and the total, whose key is null too.
    assert_eq!(text(&session, "select a, sum(x) from t group by rollup (a)").await, "null 3.0\nnull inf\n1 inf\n2 0.5");
}

#[tokio::test]
async fn what_has_no_one_answer_is_refused() {
    let session = session(2);
    for (sql, says) in [
        ("select random()", "a different value each time"),
        ("select now()", "a different value each time"),
        ("select current_date", "a different value each time"),
        ("select uuid()", "a different value each time"),
        ("select v from (values (1), (2)) t(v) order by random()", "a different value each time"),
        ("select v from (values (1)) t(v) where v in (select random())", "a different value each time"),
        ("select approx_distinct(v) from (values (1)) t(v)", "write count(distinct x)"),
        ("select approx_median(v) from (values (1)) t(v)", "write median(x)"),
        ("select approx_percentile_cont(0.5) within group (order by v) from (values (1e0)) t(v)", "percentile_cont"),
        ("select any_value(v) from (values (1)) t(v)", "min(x)"),
        (
            "select first_value(v) over (order by v range between 1 preceding and current row) from (values (1)) t(v)",
            "write ROWS",
        ),
    ] {
        let said = failure(&session, sql).await;
        assert!(said.contains(says), "{sql}: {said}");
    }
}

/// A subquery that depends on the outer row has the same answer as without the rule.
#[tokio::test]
async fn subqueries_that_depend_on_the_row_outside() {
    let session = session(2);
    let columns = [("a", Arc::new(UInt64Array::from(vec![1, 2, 3])) as ArrayRef), ("x", float_column([0.5, 1.0, 1.5]))];
    spread(&session, "t", &table(&columns), 1, 2);
    for (sql, expected) in [
        ("select a from t where exists (select 1 from t s where s.a = t.a + 1 limit 1)", "1\n2"),
        ("select a from t where a in (select s.a from t s where s.x > 0.7 and s.a = t.a)", "2\n3"),
        ("select a, (select sum(s.x) from t s where s.a = t.a) as n from t", "1 0.5\n2 1.0\n3 1.5"),
        ("select t.a, y.n from t, lateral (select sum(s.x) as n from t s where s.a = t.a) y", "1 0.5\n2 1.0\n3 1.5"),
        ("select t.a, y.x from t, lateral (select s.x, s.a from t s where s.a = t.a and s.x > 0.7) y", "2 1.0\n3 1.5"),
    ] {
        assert_eq!(text(&session, sql).await, expected, "{sql}");
    }
}

/// Functions of one window, some of which depend on how ties are broken.
#[tokio::test]
async fn functions_of_one_window_may_have_orders_of_their_own() {
    let columns = [
        ("a", Arc::new(UInt64Array::from(vec![1, 1, 2, 2, 3])) as ArrayRef),
        ("x", float_column([5.0, 4.0, 3.0, 2.0, 1.0])),
    ];
    let over = "over (order by a)";
    for (of, expected) in [
        (["rank()", "lag(x)"], ["1 null", "1 4.0", "3 5.0", "3 2.0", "5 3.0"]),
        (["lag(x)", "rank()"], ["null 1", "4.0 1", "5.0 3", "2.0 3", "3.0 5"]),
        (["sum(x)", "row_number()"], ["9.0 1", "9.0 2", "14.0 3", "14.0 4", "15.0 5"]),
    ] {
        let sql = format!("select {} {over} as p, {} {over} as q from t order by a, x", of[0], of[1]);
        for (partitions, seed) in [(1, 0), (2, 5), (4, 9)] {
            let session = session(partitions);
            spread(&session, "t", &table(&columns), seed, 3);
            assert_eq!(text(&session, &sql).await, expected.join("\n"), "{sql}");
        }
    }
}

/// Through Parquet and [`Session`], in the given number of partitions.
#[test]
fn a_session_has_one_answer_in_any_number_of_partitions() {
    let directory = tempfile::tempdir().unwrap();
    let metric = |at: u64, value: f64| Metric {
        release: "r".to_owned(),
        run: format!("run{}", at % 3),
        step: Some(Step(at % 20)),
        tokens: None,
        task: "t".to_owned(),
        shots: None,
        metric: "acc".to_owned(),
        value,
        stderr: None,
        source: "s".to_owned(),
        place: format!("line {at}"),
        is_group: None,
        time: None,
    };
    let rows: Vec<Metric> = (0..).zip(patterns("session", 20_000, 60)).map(|(at, x)| metric(at, x)).collect();
    retrace_tables::write(directory.path(), &rows).unwrap();
    for sql in [
        "select run, sum(value) as s, stddev(value) as d, array_agg(place order by step) as p from metrics group by run",
        "select * from metrics",
    ] {
        let answers: BTreeSet<[Vec<u8>; 2]> = [1, 2, 8]
            .map(|partitions| {
                let session = Session::open_with(
                    &[directory.path().to_owned()],
                    Options { partitions: partitions.try_into().unwrap(), ..Options::default() },
                )
                .unwrap();
                let answer = session.run(sql).unwrap();
                [Format::Csv, Format::Parquet].map(|format| answer.write(format).unwrap())
            })
            .into();
        assert_eq!(answers.len(), 1, "{sql}");
    }
    let session = Session::open(&[directory.path().to_owned()]).unwrap();
    let sums = session.run("select sum(value) as s from metrics").unwrap().floats("s").unwrap();
    assert_eq!(sums[0].to_bits(), sum_of(&rows.iter().map(|row| row.value).collect::<Vec<_>>()).to_bits());
}

#[tokio::test]
async fn an_explained_plan_shows_the_order() {
    let session = session(2);
    spread(&session, "metrics", &metrics(), 1, 2);
    let plan = text(&session, "explain select run, sum(value) from metrics group by run limit 2").await;
    // A grouped table is sorted by its key alone.
    assert!(plan.contains("Sort: metrics.run ASC NULLS FIRST, fetch=2"), "{plan}");
}

//! NaN in functions: one rule, whether rows are grouped, in a window, or all together.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::Float64Type;
use datafusion::prelude::SessionContext;
use proptest::prelude::*;

use super::{ask, float_column, session, spread, table, text};

fn stored() -> impl Strategy<Value = Option<f64>> {
    let numbers = [0.0, -0.0, 1.0, 2.5, -2.5, 1e300, f64::INFINITY, f64::NEG_INFINITY];
    prop_oneof![
        4 => prop::sample::select(numbers.to_vec()).prop_map(Some),
        // x86 makes NaN with the sign bit set, other processors without.
        2 => prop::sample::select(vec![f64::NAN, -f64::NAN]).prop_map(Some),
        1 => Just(None),
    ]
}

/// n, 1, 2, 3, …; k, always the same text; and x, these values.
fn rows(values: &[Option<f64>]) -> RecordBatch {
    table(&[
        ("n", Arc::new(Int64Array::from_iter_values(1..=values.len() as i64)) as ArrayRef),
        ("k", Arc::new(StringArray::from(vec!["k"; values.len()])) as ArrayRef),
        ("x", float_column(values.to_vec())),
    ])
}

fn with(values: &[Option<f64>], partitions: usize) -> SessionContext {
    let session = session(partitions);
    spread(&session, "t", &rows(values), 7, partitions);
    session
}

/// By definition: of the values that are numbers; NaN if there are only NaNs; null if there is nothing.
fn extreme(values: &[Option<f64>], greatest: bool) -> Option<f64> {
    let there: Vec<f64> = values.iter().copied().flatten().collect();
    let numbers = there.iter().copied().filter(|x| !x.is_nan());
    let found = if greatest { numbers.max_by(f64::total_cmp) } else { numbers.min_by(f64::total_cmp) };
    found.or(there.first().map(|_| f64::NAN))
}

fn bits(value: Option<f64>) -> Option<u64> {
    value.map(|x| if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() })
}

async fn floats(session: &SessionContext, sql: &str, column: usize) -> Vec<Option<u64>> {
    let answer = ask(session, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    answer.column(column).as_primitive::<Float64Type>().iter().map(bits).collect()
}

/// Every aggregate of one number a row.
const AGGREGATES: [&str; 24] = [
    "min(x)",
    "max(x)",
    "sum(x)",
    "avg(x)",
    "var_samp(x)",
    "var_pop(x)",
    "stddev(x)",
    "median(x)",
    "percentile_cont(0.9) within group (order by x)",
    "percentile_cont(0) within group (order by x)",
    "percentile_cont(1) within group (order by x)",
    "percentile_cont(0.9) within group (order by x desc)",
    "count(x)",
    "count(distinct x)",
    "sum(distinct x)",
    "corr(x, n)",
    "covar_samp(x, n)",
    "regr_slope(x, n)",
    "spearman(x, n)",
    "kendall(x, n)",
    "log_slope(x, n)",
    "forgetting(n, x)",
    "first_reaching(n, x, 1)",
    "interpolate(n, x, 2.5)",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn extremes_are_never_nan_if_there_is_a_number(
        values in prop::collection::vec(stored(), 1..16),
        (before, after) in (0usize..4, 0usize..4),
        partitions in 1usize..4,
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let session = with(&values, partitions);
        for (name, greatest) in [("min", false), ("max", true)] {
            let all = vec![bits(extreme(&values, greatest))];
            for sql in [
                format!("select {name}(x) from t"),
                format!("select {name}(x) from t group by k"),
                format!("select {name}(cast(x as float))::double from t where x is null or abs(x) < 1e30 or isnan(x)"),
            ] {
                let expected = match sql.contains("float") {
                    true => {
                        let some = values.iter().copied().filter(|x| x.is_none_or(|x| x.is_nan() || x.abs() < 1e30));
                        vec![bits(extreme(&some.collect::<Vec<_>>(), greatest))]
                    }
                    false => all.clone(),
                };
                prop_assert_eq!(runtime.block_on(floats(&session, &sql, 0)), expected, "{}", sql);
            }
            let frames = [
                (format!("rows between {before} preceding and {after} following"), before, after),
                ("rows between unbounded preceding and current row".to_owned(), values.len(), 0),
                ("rows between current row and unbounded following".to_owned(), 0, values.len()),
            ];
            for (frame, before, after) in frames {
                let sql = format!("select n, {name}(x) over (partition by k order by n {frame}) from t order by n");
                let around = |at: usize| &values[at.saturating_sub(before)..(at + after + 1).min(values.len())];
                let expected: Vec<_> = (0..values.len()).map(|at| bits(extreme(around(at), greatest))).collect();
                prop_assert_eq!(runtime.block_on(floats(&session, &sql, 1)), expected, "{}", sql);
            }
        }
    }

    #[test]
    fn grouped_and_ungrouped_answers_agree(values in prop::collection::vec(stored(), 1..12)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for partitions in [1, 3] {
            let session = with(&values, partitions);
            for aggregate in AGGREGATES {
                let all = runtime.block_on(text(&session, &format!("select {aggregate} from t")));
                let grouped = runtime.block_on(text(&session, &format!("select {aggregate} from t group by k")));
                prop_assert_eq!(&grouped, &all, "{}", aggregate);
                if !aggregate.contains("within group") {
                    let window = format!("select {aggregate} over (partition by k) from t limit 1");
                    if !aggregate.contains("distinct") {
                        prop_assert_eq!(&runtime.block_on(text(&session, &window)), &all, "{}", window);
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn each_function_by_hand() {
    let nan = "'NaN'::double";
    let run = format!("(values (1, 1e0), (2, {nan}), (3, 5e0), (4, 2e0)) as t (s, v)");
    let ends = format!("(values (1, 1e0), (2, 3e0), (3, {nan})) as t (s, v)");
    let lost = format!("(values (1e0, 1e0), (2e0, 5e0), ({nan}, 2e0)) as t (s, v)");
    let session = session(2);
    for (sql, expected) in [
        (format!("select min(v), max(v), avg(v), sum(v), count(v), median(v) from {run}"), "1.0 5.0 NaN NaN 4 3.5"),
        (format!("select max(v) from {run} where s = 2"), "NaN"),
        // The peak is 5, not NaN; a run that ends with NaN has lost an unknown amount.
        (format!("select forgetting(s, v) from {run}"), "3.0"),
        (format!("select forgetting(s, v) from {ends}"), "NaN"),
        (format!("select first_reaching(s, v, 1) from {run}"), "3"),
        (
            format!("select interpolate(s, v, 3.5), interpolate(s, v, 2.5), interpolate(s, v, 1) from {run}"),
            "3.5 NaN 1.0",
        ),
        // A step that is NaN is nowhere.
        (
            format!(
                "select forgetting(s, v), first_reaching(s, v, 1), interpolate(s, v, 1.5), log_slope(v, s) > 0 from {lost}"
            ),
            "0.0 1.0 3.0 true",
        ),
        (
            format!("select spearman(s, v), kendall(s, v), corr(s, v), log_slope(v, s), stddev(v) from {run}"),
            "NaN NaN NaN NaN NaN",
        ),
        (format!("select s, ema(v, 0.5) over (order by s) from {run}"), "1 1.0\n2 NaN\n3 3.0\n4 2.5"),
        (format!("select s, spike(v, 2, 1) over (order by s) from {run}"), "1 null\n2 true\n3 null\n4 false"),
        (format!("select differs({nan}, 1, 0, 1), differs(1, {nan}, 0, 1), differs(9, 1, 0, 1)"), "null null true"),
        (format!("select s from {run} order by v"), "1\n4\n3\n2"),
        (format!("select s from {run} order by v desc"), "2\n3\n4\n1"),
        (format!("select s from {run} where v > 4"), "2\n3"),
        (
            format!("select {nan} = {nan}, {nan} > 'Infinity'::double, greatest(1e0, {nan}), least(1e0, {nan})"),
            "true true NaN 1.0",
        ),
    ] {
        assert_eq!(text(&session, &sql).await, expected, "{sql}");
    }
}

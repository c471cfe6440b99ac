//! Aggregates of moments, through SQL, compared with exact fractions computed here.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, LargeBinaryArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::function::AccumulatorArgs;
use num_bigint::{BigInt, Sign};
use retrace_numerics::random::Stream;

use super::exact::{nearest, patterns, sum_of, whole};
use super::{failure, float_column, numbers, session, spread, table, text};

/// The square root of `above`/`below`·2^-`units`, to the nearest float, by comparing squares.
fn nearest_root(above: &BigInt, below: &BigInt) -> f64 {
    // Squares of floats are in units of 2^-2148, and so is the target here.
    let target: BigInt = above << 2148u32;
    let square = |x: &BigInt| x * x * below;
    let (mut low, mut high) = (0u64, f64::MAX.to_bits());
    while high - low > 1 {
        let middle = low.midpoint(high);
        if square(&whole(f64::from_bits(middle))) <= target { low = middle } else { high = middle }
    }
    // The midpoint between the two, doubled.
    let middle = whole(f64::from_bits(low)) + whole(f64::from_bits(high));
    let target: BigInt = target * 4;
    let up = square(&middle) < target || square(&middle) == target && low & 1 == 1;
    f64::from_bits(if up { high } else { low })
}

/// Σ, Σ of squares or products, times n, less the product of sums: n² times the covariance, in units
/// of 2^-2148.
fn spread_of(x: &[f64], y: &[f64]) -> BigInt {
    let product: BigInt = x.iter().zip(y).map(|(x, y)| whole(*x) * whole(*y)).sum();
    let (x_sum, y_sum): (BigInt, BigInt) = (x.iter().map(|x| whole(*x)).sum(), y.iter().map(|y| whole(*y)).sum());
    product * x.len() - x_sum * y_sum
}

fn check(what: &str, got: Option<f64>, expected: f64) {
    let got = got.unwrap();
    assert!(got == expected, "{what}: {got:e}, not {expected:e}");
}

const EVERYTHING: &str = "select sum(x), avg(x), mean(x), var(x), var_samp(x), var_pop(x), stddev(x), stddev_samp(x),
    stddev_pop(x), covar_samp(y, x), covar(y, x), covar_pop(y, x), corr(y, x), regr_slope(y, x), regr_intercept(y, x), regr_r2(y, x),
    regr_avgx(y, x), regr_avgy(y, x), regr_sxx(y, x), regr_syy(y, x), regr_sxy(y, x), regr_count(y, x) from t";

#[tokio::test]
async fn every_one_is_the_exact_fraction_rounded_once() {
    let n = 500usize;
    let offset = |by: f64, name: &str| patterns(name, n as u64, 6).iter().map(|x| by + x).collect::<Vec<f64>>();
    for (case, x, y) in [
        ("plain", patterns("a", n as u64, 10), patterns("b", n as u64, 10)),
        ("offset", offset(1e9, "c"), offset(-3e11, "d")),
        ("wide", patterns("e", n as u64, 400), patterns("f", n as u64, 400)),
        // Squares below the smallest float, which no product of floats could represent.
        ("tiny", patterns("g", n as u64, 8).iter().map(|x| x * 1e-200).collect(), patterns("h", n as u64, 8)),
    ] {
        let (count, one) = (BigInt::from(n), BigInt::from(1));
        let (sxx, syy, sxy) = (spread_of(&x, &x), spread_of(&y, &y), spread_of(&x, &y));
        let (sum_x, sum_y): (BigInt, BigInt) = (x.iter().map(|x| whole(*x)).sum(), y.iter().map(|y| whole(*y)).sum());
        let (less, squared) = (BigInt::from(n * (n - 1)), BigInt::from(n * n));
        let signed = |above: &BigInt, below: &BigInt, units| match below.sign() {
            Sign::Minus => nearest(&-above, &-below, units),
            _ => nearest(above, below, units),
        };
        let r = nearest_root(&(&sxy * &sxy), &(&sxx * &syy));
        let expected = [
            sum_of(&x),
            nearest(&sum_x, &count, 1074),
            nearest(&sum_x, &count, 1074),
            nearest(&sxx, &less, 2148),
            nearest(&sxx, &less, 2148),
            nearest(&sxx, &squared, 2148),
            nearest_root(&sxx, &(&less << 2148u32)),
            nearest_root(&sxx, &(&less << 2148u32)),
            nearest_root(&sxx, &(&squared << 2148u32)),
            nearest(&sxy, &less, 2148),
            nearest(&sxy, &less, 2148),
            nearest(&sxy, &squared, 2148),
            if sxy.sign() == Sign::Minus { -r } else { r },
            signed(&(&sxy << 1074u32), &sxx, 1074),
            signed(&((&sum_y * &sxx - &sxy * &sum_x) * &one), &(&count * &sxx), 1074),
            nearest(&((&sxy * &sxy) << 1074u32), &(&sxx * &syy), 1074),
            nearest(&sum_x, &count, 1074),
            nearest(&sum_y, &count, 1074),
            nearest(&sxx, &count, 2148),
            nearest(&syy, &count, 2148),
            nearest(&sxy, &count, 2148),
            n as f64,
        ];
        let rows = table(&[("x", float_column(x.clone())), ("y", float_column(y.clone()))]);
        for (partitions, seed) in [(1, 0), (1, 1), (3, 2), (8, 3)] {
            let session = session(partitions);
            spread(&session, "t", &rows, seed, partitions);
            let got = numbers(&session, EVERYTHING).await;
            for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
                check(&format!("{case}, column {at}, {partitions} partitions"), *got, expected);
            }
        }
    }
}

/// Computed by scipy 1.17.1 (`stats.linregress`) on the same ten pairs, to its own rounding.
#[tokio::test]
async fn regression_as_scipy_does_it() {
    let session = session(2);
    let x = [2.5, 1.0, 4.0, 4.0, -3.0, 7.5, 0.0, 2.5, 9.25, -3.0];
    let y = [1.0, 1.0, 3.5, 2.0, -1.0, 2.0, 0.5, 6.0, 8.0, -2.5];
    spread(&session, "t", &table(&[("x", float_column(x)), ("y", float_column(y))]), 1, 2);
    let got = numbers(&session, "select regr_slope(y, x), regr_intercept(y, x), corr(y, x) from t").await;
    for (got, scipy) in got.iter().zip([0.6196364267430258, 0.5163998438110109, 0.7940380332922423]) {
        assert!((got.unwrap() - scipy).abs() < 1e-14, "{got:?} {scipy}");
    }
}

#[tokio::test]
async fn few_rows_nulls_and_what_is_no_number() {
    let session = session(2);
    let inf = f64::INFINITY;
    for (x, expected) in [
        (vec![], "null null null null null null"),
        (vec![None, None], "null null null null null null"),
        (vec![Some(2.5), None], "2.5 2.5 null 0.0 null null"),
        (vec![Some(3.0), Some(3.0)], "6.0 3.0 0.0 0.0 0.0 null"),
        (
            vec![Some(1.0), Some(2.0), Some(4.0), None],
            "7.0 2.3333333333333335 2.3333333333333335 1.5555555555555556 1.5275252316519468 1.0",
        ),
        (vec![Some(inf), Some(1.0)], "inf inf NaN NaN NaN NaN"),
        (vec![Some(inf), Some(-inf)], "NaN NaN NaN NaN NaN NaN"),
        (vec![Some(f64::NAN), Some(1.0)], "NaN NaN NaN NaN NaN NaN"),
        (vec![Some(-0.0), Some(-0.0)], "0.0 0.0 0.0 0.0 0.0 null"),
    ] {
        spread(&session, "t", &table(&[("x", float_column(x))]), 0, 2);
        let sql = "select sum(x), avg(x), var(x), var_pop(x), stddev(x), corr(x, x) from t";
        assert_eq!(text(&session, sql).await, expected);
    }
}

/// Groups of one row, of thousands, and of numbers that no window can hold, filtered and distinct.
#[tokio::test]
async fn groups_are_exact() {
    let x = patterns("grouped", 6_000, 2000);
    let key: Vec<f64> = (0..x.len())
        .map(|at| f64::from(at as u32 % 7) * f64::from(u8::from(at < 5_990)) + (at / 5_990 * at) as f64)
        .collect();
    let mut keys = key.clone();
    keys.sort_by(f64::total_cmp);
    keys.dedup();
    let expected: Vec<String> = keys
        .iter()
        .map(|of| {
            let members: Vec<f64> = key.iter().zip(&x).filter(|(key, _)| *key == of).map(|(_, x)| *x).collect();
            let above: Vec<f64> = members.iter().copied().filter(|x| *x > 0.0).collect();
            let filtered = if above.is_empty() { "null".to_owned() } else { format!("{:?}", sum_of(&above)) };
            format!("{of:?} {:?} {filtered} {:?}", sum_of(&members), sum_of(&members))
        })
        .collect();
    let x_twice: Vec<f64> = x.iter().chain(&x).copied().collect();
    let key_twice: Vec<f64> = key.iter().chain(&key).copied().collect();
    for (partitions, seed) in [(1, 0), (2, 4), (8, 5)] {
        let session = session(partitions);
        spread(
            &session,
            "t",
            &table(&[("k", float_column(key.clone())), ("x", float_column(x.clone()))]),
            seed,
            partitions,
        );
        let sql = "select k, sum(x), sum(x) filter (where x > 0), sum(distinct x) from t group by k";
        let floats = |text: String| {
            text.lines()
                .map(|line| line.split(' ').map(|n| n.parse::<f64>().ok()).collect::<Vec<_>>())
                .collect::<Vec<_>>()
        };
        assert_eq!(floats(text(&session, sql).await), floats(expected.join("\n")));
        spread(
            &session,
            "t",
            &table(&[("k", float_column(key_twice.clone())), ("x", float_column(x_twice.clone()))]),
            seed,
            partitions,
        );
        let distinct =
            numbers(&session, "select sum(distinct x), avg(distinct x), count(distinct x), var(distinct x) from t")
                .await;
        check("distinct", distinct[0], sum_of(&x));
        let total: BigInt = x.iter().map(|x| whole(*x)).sum();
        check("distinct mean", distinct[1], nearest(&total, &BigInt::from(x.len()), 1074));
    }
}

/// Each row's frame compared with its exact sum: rows that leave the frame leave no error.
#[tokio::test]
async fn frames_that_slide_are_exact() {
    let x: Vec<f64> = patterns("frames", 300, 300)
        .iter()
        .enumerate()
        .map(|(at, x)| if at == 40 { f64::INFINITY } else { *x })
        .collect();
    let steps: Vec<f64> = (0..x.len()).map(|at| at as f64).collect();
    for partitions in [1, 4] {
        let session = session(partitions);
        spread(
            &session,
            "t",
            &table(&[("s", float_column(steps.clone())), ("x", float_column(x.clone()))]),
            9,
            partitions,
        );
        let sql = "select s, sum(x) over w, avg(x) over w, var_pop(x) over w, sum(distinct x) over w, corr(x, s) over w
             from t window w as (order by s rows between 4 preceding and current row)";
        let answer = text(&session, sql).await;
        assert_eq!(answer.lines().count(), x.len());
        for (at, line) in answer.lines().enumerate() {
            let cells: Vec<&str> = line.split(' ').collect();
            let frame = &x[at.saturating_sub(4)..=at];
            let (sum, mean, variance) = if frame.iter().all(|x| x.is_finite()) {
                let total: BigInt = frame.iter().map(|x| whole(*x)).sum();
                let n = BigInt::from(frame.len());
                (sum_of(frame), nearest(&total, &n, 1074), nearest(&spread_of(frame, frame), &(&n * &n), 2148))
            } else {
                (f64::INFINITY, f64::INFINITY, f64::NAN)
            };
            for (cell, expected) in [(1, sum), (2, mean), (3, variance), (4, sum)] {
                let got: f64 = cells[cell].parse().unwrap();
                assert!(
                    got == expected || got.is_nan() && expected.is_nan(),
                    "row {at}, column {cell}: {got:e}, not {expected:e}"
                );
            }
        }
    }
}

#[tokio::test]
async fn whole_numbers_and_decimals_stay_what_they_are() {
    let session = session(2);
    assert_eq!(
        text(&session, "select sum(v), sum(v + 1), avg(v) from (values (1), (2), (4)) t(v)").await,
        "7 10 2.3333333333333335"
    );
    assert_eq!(
        text(
            &session,
            "select sum(v), avg(v), arrow_typeof(sum(v)) from (values (1.10::decimal(4,2)), (2.20::decimal(4,2))) t(v)"
        )
        .await,
        "3.30 1.650000 Decimal128(14, 2)"
    );
    // Each x + 0.1 is rounded, so this is not sum(x) + 3 * 0.1.
    let expected = sum_of(&[1.0 + 0.1, 1e16 + 0.1, 3.0 + 0.1]);
    let got = numbers(&session, "select sum(v + 0.1::double) from (values (1e0), (1e16), (3e0)) t(v)").await;
    check("sum of sums", got[0], expected);
    // binary32 is converted to binary64, which is exact.
    let got = numbers(
        &session,
        "select sum(v), avg(v) from (select arrow_cast(v, 'Float32') as v from (values (0.1), (0.2)) t(v)) s",
    )
    .await;
    check("binary32", got[0], f64::from(0.1f32) + f64::from(0.2f32));
    assert!(failure(&session, "select sum('a')").await.contains("sum"));
}

/// States come from other machines: an invalid one is an error, and an unusual one does not cause a panic.
#[test]
fn states_that_are_none_are_refused() {
    let session = session(1).state();
    let stream = Stream::new(5, "states");
    let float = Arc::new(Field::new("x", DataType::Float64, true));
    for (name, arguments) in [
        ("sum", 1),
        ("avg", 1),
        ("var", 1),
        ("stddev_pop", 1),
        ("corr", 2),
        ("log_slope", 2),
        ("kendall", 2),
        ("spearman", 2),
        ("forgetting", 2),
        ("first_reaching", 3),
        ("interpolate", 3),
    ] {
        let function = &session.aggregate_functions()[name];
        let fields = vec![Arc::clone(&float); arguments];
        let schema = Schema::new(fields.clone());
        for distinct in [false, true] {
            let args = AccumulatorArgs {
                return_field: Arc::clone(&float),
                schema: &schema,
                ignore_nulls: false,
                order_bys: &[],
                is_reversed: false,
                name,
                is_distinct: distinct,
                exprs: &[],
                expr_fields: &fields,
            };
            let new = || function.accumulator(args.clone()).unwrap();
            let mut honest = new();
            let columns: Vec<ArrayRef> = (0..arguments).map(|_| float_column([1.0, 1e300, -5e-324])).collect();
            honest.update_batch(&columns).unwrap();
            let ScalarValue::LargeBinary(Some(state)) = honest.state().unwrap().remove(0) else { panic!("{name}") };
            let merge = |bytes: &[u8]| {
                let mut accumulator = new();
                let merged = accumulator.merge_batch(&[Arc::new(LargeBinaryArray::from(vec![bytes])) as ArrayRef]);
                merged.map(|()| accumulator.evaluate())
            };
            assert!(merge(&state).is_ok(), "{name}");
            for cut in 0..state.len() {
                assert!(merge(&state[..cut]).is_err(), "{name}: {cut} bytes of {}", state.len());
            }
            assert!(merge(&[state.as_slice(), &[0]].concat()).is_err(), "{name}: oversized");
            for round in 0..500 {
                let mut lie = state.clone();
                let [at, byte, ..] = stream.at(0, round);
                lie[at as usize % state.len()] = byte as u8;
                let _ = merge(&lie);
            }
        }
    }
}

//! Functions for questions about checkpoints: rankings, trajectories, the bootstrap, windows, aligned runs.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, StringArray, UInt64Array};
use proptest::prelude::*;
use retrace_numerics::random::Stream;

use super::{failure, float_column, numbers, session, spread, table, text};

/// Computed by scipy 1.17.1 (`spearmanr`, `kendalltau`) on the same ten pairs, including ties.
#[tokio::test]
async fn rankings_as_scipy_does_them() {
    let session = session(3);
    let x = [2.5, 1.0, 4.0, 4.0, -3.0, 7.5, 0.0, 2.5, 9.25, -3.0];
    let y = [1.0, 1.0, 3.5, 2.0, -1.0, 2.0, 0.5, 6.0, 8.0, -2.5];
    spread(&session, "t", &table(&[("x", float_column(x)), ("y", float_column(y))]), 3, 2);
    let got = numbers(&session, "select spearman(x, y), kendall(x, y) from t").await;
    for (got, scipy) in got.iter().zip([0.8676964151406811, 0.7529932885360188]) {
        assert!((got.unwrap() - scipy).abs() < 1e-15, "{got:?} {scipy}");
    }
    let sql = "select spearman(x, 1), kendall(x, 1), spearman(x, null), kendall(x, x), spearman(x, -x), kendall(x, 0/0.0::double) from t";
    assert_eq!(text(&session, sql).await, "null null null 1.0 -1.0 NaN");
}

/// τ-b and ρ by their definitions, over all pairs.
fn by_definition(rows: &[(f64, f64)]) -> (f64, f64) {
    let sign = |a: f64, b: f64| if a < b { -1.0 } else { f64::from(u8::from(a > b)) };
    let (mut both, mut first, mut second) = (0.0, 0.0, 0.0);
    for a in rows {
        for b in rows {
            let (x, y) = (sign(a.0, b.0), sign(a.1, b.1));
            both += x * y;
            first += x * x;
            second += y * y;
        }
    }
    let rank = |of: &dyn Fn(&(f64, f64)) -> f64| -> Vec<f64> {
        rows.iter().map(|a| rows.iter().map(|b| 0.5 + 0.5 * sign(of(a), of(b))).sum()).collect()
    };
    let (p, q) = (rank(&|row| row.0), rank(&|row| row.1));
    let middle = rows.len() as f64 / 2.0;
    let cross = |p: &[f64], q: &[f64]| p.iter().zip(q).map(|(p, q)| (p - middle) * (q - middle)).sum::<f64>();
    (both / f64::sqrt(first * second), cross(&p, &q) / f64::sqrt(cross(&p, &p) * cross(&q, &q)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn rankings_are_their_definitions(rows in prop::collection::vec((-4i8..4, -4i8..4), 2..60), seed in 1u64..100) {
        let rows: Vec<(f64, f64)> = rows.into_iter().map(|(x, y)| (f64::from(x) / 4.0, f64::from(y) * 0.1)).collect();
        let (tau, rho) = by_definition(&rows);
        let session = session(2);
        let columns = [("x", float_column(rows.iter().map(|row| row.0))), ("y", float_column(rows.iter().map(|row| row.1)))];
        spread(&session, "t", &table(&columns), seed, 2);
        let got = tokio::runtime::Runtime::new().unwrap().block_on(numbers(&session, "select kendall(x, y), spearman(x, y) from t"));
        for (got, expected) in got.into_iter().zip([tau, rho]) {
            match got {
                Some(got) => prop_assert!((got - expected).abs() < 1e-12, "{got} {expected}"),
                None => prop_assert!(expected.is_nan()),
            }
        }
    }
}

fn steps(values: &[u64]) -> ArrayRef {
    Arc::new(UInt64Array::from(values.to_vec()))
}

/// A run computed by hand.
#[tokio::test]
async fn trajectories_by_hand() {
    let session = session(2);
    let columns = [
        ("step", steps(&[0, 10, 20, 30, 40, 50])),
        ("tokens", steps(&[0, 100, 200, 300, 400, 500])),
        ("value", float_column([0.25, 0.5, 0.375, 0.75, 0.625, 0.5])),
    ];
    spread(&session, "run", &table(&columns), 5, 2);
    let sql =
        "select first_reaching(step, value, 0.5), first_reaching(step, value, 0.25), first_reaching(step, value, 0.9),
         first_reaching(step, value, 0.55), arrow_typeof(first_reaching(step, value, 0.5)), forgetting(step, value),
         interpolate(tokens, value, 250), interpolate(tokens, value, 300), interpolate(tokens, value, 501),
         interpolate(tokens, value, 0), interpolate(tokens, value, -1) from run";
    assert_eq!(text(&session, sql).await, "30 0 null null UInt64 0.25 0.5625 0.75 null 0.25 null");
    // No rows give no result, and one point is a valid input.
    let sql = "select first_reaching(step, value, 0.5), forgetting(step, value), interpolate(tokens, value, 1), log_slope(value, tokens)
         from run where step > 99";
    assert_eq!(text(&session, sql).await, "null null null null");
    // A NaN is not above any threshold.
    let sql = "select first_reaching(s, v, 0) from (values (1, 1e0), (2, 'nan'::double), (3, 1e0)) t(s, v)";
    assert_eq!(text(&session, sql).await, "3");
    // Values at the same step or tokens.
    let sql = "select first_reaching(s, v, 1), forgetting(s, v), interpolate(s, v, 2) from (values (1, 1e0), (2, 3e0), (2, 0e0), (3, 1e0), (3, 2e0)) t(s, v)";
    assert_eq!(text(&session, sql).await, "3 1.5 1.5");
    assert!(
        failure(&session, "select interpolate(tokens, value, step) from run")
            .await
            .contains("at is not the same number")
    );
    assert!(
        failure(&session, "select first_reaching(step, value) from run").await.contains("(step, value, threshold)")
    );
    assert!(failure(&session, "select kendall(value, 'a') from run").await.contains("kendall"));
}

/// Computed by numpy and scipy 1.17.1: `linregress(log(tokens), value)`.
#[tokio::test]
async fn log_slope_as_scipy_does_it() {
    let session = session(2);
    let tokens = [0.0, 1e6, 2e6, 4e6, 8e6, 5e7, 3e8, 2.5e9, 1e10];
    let value = [99.0, 10.9, 9.7, 8.1, 7.2, 5.5, 4.1, 3.3, 3.05];
    spread(&session, "t", &table(&[("tokens", float_column(tokens)), ("value", float_column(value))]), 2, 2);
    let got = numbers(&session, "select log_slope(value, tokens) from t").await[0].unwrap();
    assert!((got - -0.8289976844616442).abs() < 1e-14, "{got}");
}

/// The percentile interval of many pairs is the normal one: mean ± 1.96 standard errors, within the accuracy of a
/// quantile from 10 000 resamples (about 3 % of a standard error; the test allows four of those).
#[tokio::test]
async fn the_bootstrap_is_normal_for_many_pairs() {
    let n = 2_000;
    let mut noise = vec![0f32; 2 * n];
    Stream::new(3, "noise").normal(0, 1.0, &mut noise);
    for (shift, least, most) in [(0.0, 0.005, 1.0), (0.1, 0.0, 0.01)] {
        let a: Vec<f64> = noise[..n].iter().map(|x| f64::from(*x) + shift).collect();
        let b: Vec<f64> = noise[n..].iter().zip(&noise).map(|(y, x)| f64::from(*x) * 0.9 + f64::from(*y)).collect();
        let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
        let mean = differences.iter().sum::<f64>() / n as f64;
        let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / n as f64;
        let error = (variance / n as f64).sqrt();
        let session = session(4);
        spread(&session, "t", &table(&[("a", float_column(a)), ("b", float_column(b))]), 8, 4);
        let sql =
            "select r['difference'], r['low'], r['high'], r['p'] from (select paired_bootstrap(a, b) as r from t) t";
        let got: Vec<f64> = numbers(&session, sql).await.into_iter().map(Option::unwrap).collect();
        assert!((got[0] - mean).abs() < 1e-12);
        assert!((got[1] - (mean - 1.96 * error)).abs() < 0.12 * error, "{got:?} {mean} {error}");
        assert!((got[2] - (mean + 1.96 * error)).abs() < 0.12 * error, "{got:?} {mean} {error}");
        // The normal two-sided p is 2·(1 − Φ(|mean| / error)), and (1 − erf) is libm's.
        let normal = libm::erfc(mean.abs() / error / 2f64.sqrt());
        assert!((got[3] - normal).abs() < 0.03 && (least..=most).contains(&got[3]), "{got:?} {normal}");
    }
}

#[tokio::test]
async fn the_bootstrap_of_few() {
    let session = session(1);
    for (rows, expected) in [
        ("(1e0, 3e0)", "{difference: -2.0, low: , high: , p: }"),
        ("(1e0, 3e0), (2e0, 4e0)", "{difference: -2.0, low: -2.0, high: -2.0, p: 0.5}"),
        ("(1e0, 1e0), (2e0, 2e0)", "{difference: 0.0, low: 0.0, high: 0.0, p: 1.0}"),
        ("(1e0, 'nan'::double), (2e0, 2e0)", "{difference: NaN, low: NaN, high: NaN, p: NaN}"),
        ("(null, 1e0)", "{difference: , low: , high: , p: }"),
    ] {
        let sql = format!("select paired_bootstrap(a, b) from (values {rows}) t(a, b)");
        let answer = text(&session, &sql).await;
        assert_eq!(answer.replace("null", ""), expected, "{rows}");
    }
    let sql = "select paired_bootstrap(a, a, 99)['p'] from (values (1e0), (2e0)) t(a)";
    assert_eq!(text(&session, sql).await, "1.0");
    for resamples in ["0", "1e9", "-5", "a"] {
        let sql = format!("select paired_bootstrap(a, a, {resamples}) from (values (1e0), (2e0)) t(a)");
        assert!(failure(&session, &sql).await.contains("resamples is not one number"), "{resamples}");
    }
}

/// Exact values by Python's integers: 2 · Σ C(n, i) / 2^n over i ≤ the smaller number of signs.
#[tokio::test]
async fn p_of_right_and_wrong_answers_is_mcnemars() {
    let session = session(2);
    for (only_a, only_b, both, expected) in [
        (3, 0, 7, 0.25),
        (5, 0, 5, 0.0625),
        (0, 5, 5, 0.0625),
        (2, 2, 6, 1.0),
        (8, 1, 0, 0.0390625),
        (60, 40, 900, 0.05688793364098079),
        (2600, 2400, 0, 0.004883649737517518),
    ] {
        let sql = format!(
            "select paired_bootstrap(a, b)['p'] from (select 1e0 a, 0e0 b from range({only_a}) \
             union all select 0e0, 1e0 from range({only_b}) union all select 1e0, 1e0 from range({both}))"
        );
        let got = numbers(&session, &sql).await[0].unwrap();
        assert!((got - expected).abs() < 1e-11, "{only_a} {only_b}: {got} {expected}");
    }
}

/// Few pairs: every choice of signs is looked at here too. Many: within the error of 10 000 choices.
#[tokio::test]
async fn p_is_the_share_of_signs() {
    let session = session(1);
    for (n, within) in [(2, 1e-12), (7, 1e-12), (13, 1e-12), (16, 0.02)] {
        let mut noise = vec![0f32; n];
        Stream::new(n as u64, "noise").normal(0, 1.0, &mut noise);
        let differences: Vec<f64> = noise.iter().map(|x| f64::from(*x) + 0.4).collect();
        let sum = |signs: usize| {
            let signed = |(at, d): (usize, &f64)| if signs >> at & 1 == 1 { -d } else { *d };
            differences.iter().enumerate().map(signed).sum::<f64>().abs()
        };
        let far = (0..1 << n).filter(|signs| sum(*signs) >= sum(0) - 1e-9).count();
        let rows: Vec<String> = differences.iter().map(|d| format!("({d:e}, 0e0)")).collect();
        let sql = format!("select paired_bootstrap(a, b)['p'] from (values {}) t(a, b)", rows.join(", "));
        let got = numbers(&session, &sql).await[0].unwrap();
        assert!((got - far as f64 / (1 << n) as f64).abs() < within, "{n}: {got} {far}");
    }
}

#[tokio::test]
async fn differs_by_hand() {
    let session = session(1);
    // 0.04 over √(0.012² + 0.016²) = 0.02 is two standard errors, more than 1.96; the same with the arguments
    // exchanged.
    let sql = "select differs(0.5, 0.012, 0.46, 0.016), differs(0.46, 0.012, 0.5, 0.016), differs(0.5, 0.012, 0.461, 0.016),
         differs(0.5, 0.012, 0.46, 0.016, 2.1), differs(0.5, 0.012, 0.46, null), differs(1, 0, 1, 0), differs(1, 0, 2, 0)";
    assert_eq!(text(&session, sql).await, "true true false false null false true");
}

#[tokio::test]
async fn windows_by_hand() {
    let session = session(2);
    let rows = "(values (1, 4e0), (2, 8e0), (3, null), (4, 0e0)) t(step, value)";
    let sql = format!("select step, ema(value, 0.25) over (order by step) from {rows}");
    assert_eq!(text(&session, &sql).await, "1 4.0\n2 5.0\n3 null\n4 3.75");
    let sql = format!("select step, ema(value, 1.5) over (order by step) from {rows}");
    assert!(failure(&session, &sql).await.contains("alpha is not one number"));
    // Before 10: 1, 3 and 2 have mean 2 and deviation 1. Before 5: 3, 2, 10 have mean 5.
    let rows =
        "(values (1, 1e0), (2, 3e0), (3, 2e0), (4, 10e0), (5, 5e0), (6, 'inf'::double), (7, 5e0)) t(step, value)";
    let sql = format!(
        "select spike(value, 3, 7.9) over (order by step), spike(value, 3, 8) over (order by step) from {rows}"
    );
    let sql = format!(
        "select array_agg(a order by step), array_agg(b order by step) from (select step, {} as b from {rows}) t",
        sql.trim_start_matches("select ").split(" from ").next().unwrap().replacen("step),", "step) as a,", 1)
    );
    assert_eq!(
        text(&session, &sql).await,
        "[null, null, false, true, false, true, false] [null, null, false, false, false, true, false]"
    );
    assert!(
        failure(&session, "select spike(v, 1.5, 3) over (order by v) from (values (1e0)) t(v)")
            .await
            .contains("window is not one whole number")
    );
}

#[tokio::test]
async fn elementary_functions_are_libms() {
    let session = session(1);
    let x = 0.7310585786300049;
    let sql = format!(
        "select acos(x), acosh(1 + x), asin(x), asinh(x), atan(x), atanh(x), cbrt(x), cos(x), cosh(x), exp(x), ln(x), log10(x), log2(x),
         sin(x), sinh(x), tan(x), tanh(x), atan2(x, 3), power(x, 2.5), pow(x, -1), log(x), log(2, x), log(10, x), log(3, x), cot(x)
         from (values ({x:?}::double)) t(x)"
    );
    let expected = [
        libm::acos(x),
        libm::acosh(1.0 + x),
        libm::asin(x),
        libm::asinh(x),
        libm::atan(x),
        libm::atanh(x),
        libm::cbrt(x),
        libm::cos(x),
        libm::cosh(x),
        libm::exp(x),
        libm::log(x),
        libm::log10(x),
        libm::log2(x),
        libm::sin(x),
        libm::sinh(x),
        libm::tan(x),
        libm::tanh(x),
        libm::atan2(x, 3.0),
        libm::pow(x, 2.5),
        libm::pow(x, -1.0),
        libm::log10(x),
        libm::log2(x),
        libm::log10(x),
        libm::log(x) / libm::log(3.0),
        1.0 / libm::tan(x),
    ];
    let got = numbers(&session, &sql).await;
    assert_eq!(got.len(), expected.len());
    for (at, (got, expected)) in got.into_iter().zip(expected).enumerate() {
        assert_eq!(got.unwrap().to_bits(), expected.to_bits(), "column {at}");
    }
    // For every type of number.
    assert_eq!(
        text(&session, "select exp(0), ln(arrow_cast(1, 'Float32')), power(2, 10), log(100), ln(null)").await,
        "1.0 0.0 1024.0 2.0 null"
    );
}

#[tokio::test]
async fn aligned_runs_by_hand() {
    let session = session(2);
    let text_column = |values: &[&str]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let columns = [
        ("run", text_column(&["it's", "it's", "it's", "b", "b", "b", "b"])),
        ("task", text_column(&["t"; 7])),
        ("metric", text_column(&["acc"; 7])),
        ("shots", Arc::new(UInt64Array::from(vec![None::<u64>; 7])) as ArrayRef),
        ("step", steps(&[10, 20, 30, 10, 10, 15, 25])),
        ("tokens", steps(&[100, 200, 300, 100, 100, 150, 250])),
        ("value", float_column([0.5, 0.6, 0.7, 0.25, 0.75, 0.25, 0.75])),
    ];
    spread(&session, "metrics", &table(&columns), 4, 2);
    // Step 10: the mean of both; step 20: halfway between 150 and 250 tokens; step 30: no row.
    let sql = "select task, metric, shots, step, tokens, a, b, difference from aligned('it''s', 'b') order by step";
    assert_eq!(
        text(&session, sql).await,
        format!("t acc null 10 100 0.5 0.5 0.0\nt acc null 20 200 0.6 0.5 {:?}", 0.6 - 0.5)
    );
    assert!(failure(&session, "select * from aligned('a')").await.contains("aligned takes the names of two runs"));
}

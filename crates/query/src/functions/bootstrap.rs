//! The uncertainty of a difference of means of pairs: its interval by the bootstrap, its p by a test of signs.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float64Array, StructArray};
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result, ScalarValue};
use retrace_numerics::random::Stream;

use super::exact::Exact;
use super::statistic::{Rows, refused};

/// Number of resamples if it is not specified.
const RESAMPLES: f64 = 10_000.0;
/// Maximum number of resamples.
const MOST: f64 = 1_000_000.0;

fn fields() -> Fields {
    ["difference", "low", "high", "p"].map(|name| Field::new(name, DataType::Float64, true)).into_iter().collect()
}

/// The result of [`paired_bootstrap`].
pub(super) fn kind() -> DataType {
    DataType::Struct(fields())
}

/// For (a, b, resamples): the difference of the means of a and b, its 95 % interval by percentiles of the bootstrap
/// (B. Efron and R. Tibshirani, "An introduction to the bootstrap", 1993), and the two-sided p of the test that gives
/// the difference of each pair a random sign (R. A. Fisher, "The design of experiments", 1935). Percentiles are too
/// narrow for few pairs, so p is not derived from them: three differences of one sign are chance in one of four cases.
///
/// p is exact if all differences are of one size, as between right and wrong answers (the test is then McNemar's exact
/// one), or if there are not more signs than `resamples`. Otherwise it is from as many random signs, and counts the
/// sample itself (A. Davison and D. Hinkley, 1997), so that it is never 0.
///
/// Pairs are drawn with replacement, as many as there are. The draws are fixed: pairs are sorted first; resample i's
/// draw j is word j mod 4 of [`Stream::at`] (i, ⌊j/4⌋) of the stream `paired_bootstrap` of seed 0, times the number of
/// pairs, divided by 2^32. A resample's mean is summed in that order. The signs of resample i are the bits of the words
/// at (i, 0), (i, 1), … of the stream `paired_signs`, one for each pair that differs. The result is null without pairs;
/// with one pair, the interval and p are null.
pub(super) fn paired_bootstrap(rows: &Rows<3>) -> Result<ScalarValue> {
    let rows = rows.sorted();
    let resamples = rows.first().map_or(RESAMPLES, |row| row[2]);
    if !(1.0..=MOST).contains(&resamples) || rows.iter().any(|row| row[2] != resamples) {
        return Err(refused(
            "paired_bootstrap(a, b, resamples): resamples is not one number from 1 to 1000000 in all rows of a group",
        ));
    }
    let pairs: Vec<[f64; 2]> = rows.iter().map(|[a, b, _]| [*a, *b]).collect();
    Ok(answer(&pairs, resamples as u64))
}

/// [`paired_bootstrap`] of (a, b), with the default number of resamples.
pub(super) fn paired_bootstrap_as_usual(rows: &Rows<2>) -> Result<ScalarValue> {
    Ok(answer(&rows.sorted(), RESAMPLES as u64))
}

fn answer(pairs: &[[f64; 2]], resamples: u64) -> ScalarValue {
    let mut answer = [None; 4];
    if !pairs.is_empty() {
        let mut sum = Exact::<2>::default();
        pairs.iter().for_each(|[a, b]| {
            sum.add(*a);
            sum.add(-*b);
        });
        let difference = sum.mean(pairs.len() as u64);
        answer[0] = Some(difference);
        if !difference.is_finite() {
            answer = [Some(f64::NAN); 4];
        } else if pairs.len() > 1 {
            let differences: Vec<f64> = pairs.iter().map(|[a, b]| a - b).collect();
            let (low, high) = interval(&differences, resamples);
            let p = of_signs(&differences, resamples);
            answer = [difference, low, high, p].map(Some);
        }
    }
    let columns = answer.map(|number| Arc::new(Float64Array::from(vec![number])) as ArrayRef);
    ScalarValue::Struct(Arc::new(StructArray::new(fields(), columns.to_vec(), None)))
}

fn interval(differences: &[f64], resamples: u64) -> (f64, f64) {
    let stream = Stream::new(0, "paired_bootstrap");
    let n = differences.len() as u64;
    let mean = |resample: u64| {
        let mut sum = 0.0;
        for block in 0..n.div_ceil(4) {
            let left = n - 4 * block;
            for word in stream.at(resample, block).into_iter().take(left.min(4) as usize) {
                sum += differences[((u64::from(word) * n) >> 32) as usize];
            }
        }
        sum / n as f64
    };
    let mut means: Vec<f64> = (0..resamples).map(mean).collect();
    means.sort_unstable_by(f64::total_cmp);
    // The nearest rank inside: 2.5 % of the resamples are below `low`, 2.5 % above `high`.
    let outside = resamples as usize * 25 / 1000;
    (means[outside], means[means.len() - 1 - outside])
}

/// The share of all choices of signs, or of as many as `resamples`, whose sum is at least as far from 0 as that of
/// `differences`.
fn of_signs(differences: &[f64], resamples: u64) -> f64 {
    let sizes: Vec<f64> = differences.iter().filter(|d| **d != 0.0).map(|d| d.abs()).collect();
    let Some(first) = sizes.first() else { return 1.0 };
    let n = sizes.len() as u64;
    if sizes.iter().all(|size| size == first) {
        let positive = differences.iter().filter(|d| **d > 0.0).count() as u64;
        return (2.0 * binomial(positive.min(n - positive), n)).min(1.0);
    }
    // The same sum in another order differs by rounding.
    let far = differences.iter().sum::<f64>().abs() * (1.0 - 1e-9);
    let is_far = |bits: &dyn Fn(usize) -> bool| {
        let signed = sizes.iter().enumerate().map(|(at, size)| if bits(at) { *size } else { -size });
        signed.sum::<f64>().abs() >= far
    };
    if let Some(all) = 1u64.checked_shl(n as u32).filter(|all| n < 64 && *all <= resamples) {
        let count = (0..all).filter(|signs| is_far(&|at| signs >> at & 1 == 1)).count();
        return count as f64 / all as f64;
    }
    let stream = Stream::new(0, "paired_signs");
    let random = |resample: &u64| {
        let words: Vec<u32> = (0..n.div_ceil(128)).flat_map(|block| stream.at(*resample, block)).collect();
        is_far(&|at| words[at / 32] >> (at % 32) & 1 == 1)
    };
    let count = (0..resamples).filter(random).count();
    (count + 1) as f64 / (resamples + 1) as f64
}

/// The probability of at most `k` of `n` tosses of a fair coin, for k ≤ n/2.
fn binomial(k: u64, n: u64) -> f64 {
    let (last, of) = (k as f64, n as f64);
    let choices = libm::lgamma(of + 1.0) - libm::lgamma(last + 1.0) - libm::lgamma(of - last + 1.0);
    // Powers of two and products of few integers are exact; 2^-1022 is the least normal number.
    let largest = match n <= 1000 {
        true => (0..k).fold(0.5f64.powi(n as i32), |term, at| term * (of - at as f64) / (at as f64 + 1.0)),
        false => libm::exp(choices - of * std::f64::consts::LN_2),
    };
    let (mut sum, mut term) = (0.0, largest);
    for at in (0..=k).rev() {
        sum += term;
        term *= at as f64 / (of - at as f64 + 1.0);
        if term < sum * 1e-18 {
            break;
        }
    }
    sum
}

//! The paired bootstrap: the uncertainty of a difference of means.

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

/// For (a, b, resamples): the difference of the means of a and b, its 95 % interval by percentiles, and a two-sided p
/// that it is 0 (B. Efron and R. Tibshirani, "An introduction to the bootstrap", 1993; p counts the sample itself, as
/// A. Davison and D. Hinkley do, 1997, so it is never 0).
///
/// Pairs are drawn with replacement, as many as there are. The draws are fixed: pairs are sorted first; resample i's
/// draw j is word j mod 4 of [`Stream::at`] (i, ⌊j/4⌋) of the stream `paired_bootstrap` of seed 0, times the number of
/// pairs, divided by 2^32. A resample's mean is summed in that order. The result is null without pairs; with one pair,
/// the interval and p are null.
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
            let (low, high, p) = interval(&differences, resamples);
            answer = [difference, low, high, p].map(Some);
        }
    }
    let columns = answer.map(|number| Arc::new(Float64Array::from(vec![number])) as ArrayRef);
    ScalarValue::Struct(Arc::new(StructArray::new(fields(), columns.to_vec(), None)))
}

fn interval(differences: &[f64], resamples: u64) -> (f64, f64, f64) {
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
    let (low, high) = (means[outside], means[means.len() - 1 - outside]);
    let (below, above) = (means.iter().filter(|mean| **mean <= 0.0), means.iter().filter(|mean| **mean >= 0.0));
    let fewer = below.count().min(above.count());
    let p = 2.0 * (fewer + 1) as f64 / (resamples + 1) as f64;
    (low, high, p.min(1.0))
}

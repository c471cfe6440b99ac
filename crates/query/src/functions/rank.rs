//! Rank correlation: Spearman's and Kendall's.

use datafusion::common::{Result, ScalarValue};

use super::moments::Pairs;
use super::ratio::Number;
use super::statistic::{Rows, Statistic};

/// Null for fewer than two rows; NaN if there is any NaN, which has no rank.
fn ranked(rows: &Rows<2>) -> Option<Result<Vec<[f64; 2]>, f64>> {
    // Zeros of both signs are tied.
    let rows: Vec<[f64; 2]> = rows.sorted().into_iter().map(|row| row.map(|number| number + 0.0)).collect();
    if rows.len() < 2 {
        return None;
    }
    if rows.iter().flatten().any(|number| number.is_nan()) {
        return Some(Err(f64::NAN));
    }
    Some(Ok(rows))
}

/// Spearman's ρ: Pearson's r of the ranks, where tied values have the mean of their ranks. Null for fewer than two
/// rows, or if a column does not vary.
pub(super) fn spearman(rows: &Rows<2>) -> Result<ScalarValue> {
    let rho = match ranked(rows) {
        None => None,
        Some(Err(nan)) => Some(nan),
        Some(Ok(rows)) => {
            let (x, y) = (ranks(rows.iter().map(|row| row[0])), ranks(rows.iter().map(|row| row[1])));
            let mut pairs = Pairs::default();
            pairs.add_all([&x, &y]);
            pairs.correlation()
        }
    };
    Ok(ScalarValue::Float64(rho))
}

/// Twice the rank of each value, in ascending order, so that it is an integer.
fn ranks(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let values: Vec<f64> = values.collect();
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tied in order.chunk_by(|a, b| values[*a] == values[*b]) {
        // Ranks before + 1 to before + length.
        let twice = (2 * before + tied.len() + 1) as f64;
        tied.iter().for_each(|at| ranks[*at] = twice);
        before += tied.len();
    }
    ranks
}

/// Kendall's τ-b: (C − D) / √((P − X)(P − Y)), with C concordant and D discordant of P pairs, X of which are tied in
/// the first and Y in the second column. Null for fewer than two rows, or if a column does not vary. In n log n steps
/// (W. Knight, "A computer method for calculating Kendall's tau with ungrouped data", 1966).
pub(super) fn kendall(rows: &Rows<2>) -> Result<ScalarValue> {
    let tau = match ranked(rows) {
        None => None,
        Some(Err(nan)) => Some(nan),
        Some(Ok(mut rows)) => {
            // Zeros of different signs may be in the wrong order for the second column.
            rows.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
            tau(&rows)
        }
    };
    Ok(ScalarValue::Float64(tau))
}

/// For rows sorted by both columns.
fn tau(rows: &[[f64; 2]]) -> Option<f64> {
    let pairs = |tied: usize| tied as i128 * (tied as i128 - 1) / 2;
    let tied_first: i128 = rows.chunk_by(|a, b| a[0] == b[0]).map(|tied| pairs(tied.len())).sum();
    let tied_both: i128 = rows.chunk_by(|a, b| a == b).map(|tied| pairs(tied.len())).sum();
    let mut second: Vec<f64> = rows.iter().map(|row| row[1]).collect();
    let discordant = inversions(&mut second);
    let tied_second: i128 = second.chunk_by(|a, b| a == b).map(|tied| pairs(tied.len())).sum();
    let all = pairs(rows.len());
    let (first, second) = (all - tied_first, all - tied_second);
    if first == 0 || second == 0 {
        return None;
    }
    // Pairs tied in neither are concordant or discordant.
    let difference = all - tied_first - tied_second + tied_both - 2 * discordant;
    let whole = Number::from(difference);
    let root = whole.times(&whole).root_over(&Number::from(first).times(&Number::from(second)));
    Some(root.copysign(difference as f64))
}

/// Sorts the values; returns how many pairs were in the wrong order.
fn inversions(values: &mut [f64]) -> i128 {
    if values.len() < 2 {
        return 0;
    }
    let (left, right) = values.split_at_mut(values.len() / 2);
    let mut count = inversions(left) + inversions(right);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut a, mut b) = (&*left, &*right);
    loop {
        match (a.split_first(), b.split_first()) {
            (Some((x, after)), Some((y, _))) if x <= y => {
                merged.push(*x);
                a = after;
            }
            (_, Some((y, after))) => {
                merged.push(*y);
                count += a.len() as i128;
                b = after;
            }
            (Some((x, after)), None) => {
                merged.push(*x);
                a = after;
            }
            (None, None) => break,
        }
    }
    values.copy_from_slice(&merged);
    count
}

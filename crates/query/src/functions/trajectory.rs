//! Functions of a value during a run: when it reached a threshold, how much it lost, and interpolation.

use std::cell::Cell;

use datafusion::common::{Result, ScalarValue};

use super::exact::Exact;
use super::moments::Pairs;
use super::statistic::{Rows, Statistic, refused};

/// The rows in order, without those whose first column, their step or tokens, is NaN: they have no place in a run.
fn along<const N: usize>(rows: &Rows<N>) -> Vec<[f64; N]> {
    let mut rows = rows.sorted();
    rows.retain(|row| !row[0].is_nan());
    rows
}

/// For (step, value, threshold): the first step from which on no value is below the threshold, or NaN; null if there
/// is none.
pub(super) fn first_reaching(rows: &Rows<3>) -> Result<ScalarValue> {
    let mut first = None;
    for at_step in along(rows).chunk_by(|a, b| a[0] == b[0]) {
        let stays = at_step.iter().all(|[_, value, threshold]| value >= threshold);
        first = if stays { first.or(Some(at_step[0][0])) } else { None };
    }
    Ok(ScalarValue::Float64(first))
}

/// For (step, value): the greatest value minus that at the last step, or minus the mean of the values there. NaN is
/// never the greatest value; at the last step it makes the result NaN.
pub(super) fn forgetting(rows: &Rows<2>) -> Result<ScalarValue> {
    let rows = along(rows);
    let numbers = rows.iter().map(|row| row[1]).filter(|value| !value.is_nan());
    let peak = numbers.max_by(f64::total_cmp).or_else(|| (!rows.is_empty()).then_some(f64::NAN));
    let last = rows.chunk_by(|a, b| a[0] == b[0]).last().map(mean);
    Ok(ScalarValue::Float64(peak.zip(last).map(|(peak, last)| peak - last)))
}

/// The mean of the second column.
fn mean<const N: usize>(rows: &[[f64; N]]) -> f64 {
    let mut sum = Exact::<2>::default();
    rows.iter().for_each(|row| sum.add(row[1]));
    sum.mean(rows.len() as u64)
}

/// For (tokens, value, at): the value at `at`, by linear interpolation between the two neighbours; null before the
/// first and after the last. Several values at the same tokens are averaged.
pub(super) fn interpolate(rows: &Rows<3>) -> Result<ScalarValue> {
    let rows = along(rows);
    let Some([_, _, at]) = rows.first().copied() else { return Ok(ScalarValue::Float64(None)) };
    if rows.iter().any(|row| row[2].to_bits() != at.to_bits()) {
        return Err(refused("interpolate(tokens, value, at): at is not the same number in all rows of a group"));
    }
    let (mut before, mut after) = (None, None);
    for same in rows.chunk_by(|a, b| a[0] == b[0]) {
        if same[0][0] <= at {
            before = Some(same);
        }
        if same[0][0] >= at && after.is_none() {
            after = Some(same);
        }
    }
    let value = before.zip(after).map(|(before, after)| {
        let ((x0, y0), (x1, y1)) = ((before[0][0], mean(before)), (after[0][0], mean(after)));
        if x0 == x1 { y0 } else { y0 + (y1 - y0) * ((at - x0) / (x1 - x0)) }
    });
    Ok(ScalarValue::Float64(value))
}

/// The slope of value over ln tokens by least squares. Rows with no tokens, which have no logarithm, are left out;
/// null if fewer than two rows remain, or if tokens do not vary.
#[derive(Debug, Clone, Default)]
pub(super) struct LogSlope(Pairs);

thread_local! {
    /// The last tokens and their logarithm: the tasks of a checkpoint are in rows beside each other.
    static LAST: Cell<[f64; 2]> = const { Cell::new([1.0, 0.0]) };
}

fn log(tokens: f64) -> f64 {
    let [last, known] = LAST.get();
    if tokens.to_bits() == last.to_bits() {
        return known;
    }
    let log = libm::log(tokens);
    LAST.set([tokens, log]);
    log
}

impl Statistic<2> for LogSlope {
    fn add(&mut self, [value, tokens]: [f64; 2]) {
        if tokens > 0.0 {
            self.0.add([value, log(tokens)]);
        }
    }

    fn remove(&mut self, [value, tokens]: [f64; 2]) {
        if tokens > 0.0 {
            self.0.remove([value, log(tokens)]);
        }
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0);
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Pairs::read(bytes).map(Self)
    }

    fn heap(&self) -> usize {
        self.0.heap()
    }
}

impl LogSlope {
    pub(super) fn slope(&self) -> Option<f64> {
        self.0.slope()
    }
}

//! What a replay finds, and its classification.

use std::fmt;

use retrace_spec::Step;
use serde::Serialize;

/// A difference that is not a consequence of another one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Its kind.
    pub kind: DifferenceKind,
    /// The first step at which it is visible: for a checkpoint, that step; for a configuration, the first step that
    /// differs from the run file.
    pub step: Step,
    /// What differs, and how that is known, as a sentence.
    pub what: String,
    /// The location: fields of the run file or journal, sequences of shards, tensors.
    pub places: Vec<String>,
    /// The first number that differs, if both are available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub element: Option<Element>,
}

/// The kinds of differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// The record contradicts itself or the recomputation: the record was changed, not the run.
    Record,
    /// The run was computed with a configuration other than the run file's.
    Config,
    /// A checkpoint is not the state of the run at that step.
    Checkpoint,
    /// A step used other data than the run file's order gives.
    Data,
    /// The same state, data and configuration gave another result.
    Arithmetic,
}

impl DifferenceKind {
    /// As shown to the user: `the data differ`.
    pub const fn told(self) -> &'static str {
        match self {
            Self::Record => "the record differs",
            Self::Config => "the config differs",
            Self::Checkpoint => "the checkpoint differs",
            Self::Data => "the data differ",
            Self::Arithmetic => "the arithmetic differs",
        }
    }
}

/// One number of a tensor that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Element {
    /// The tensor.
    pub tensor: String,
    /// The number's index, in row-major order, from 0.
    pub index: usize,
    /// How many of the tensor's numbers differ.
    pub differing: usize,
    /// The number in the release.
    pub recorded: f32,
    /// The number in the replay.
    pub replayed: f32,
    /// The distance of the two in units of binary32: neighbouring numbers have distance 1.
    pub units_in_last_place: u64,
}

impl Element {
    /// The first difference between two tensors of the same size.
    pub(crate) fn first(tensor: &str, recorded: &[f32], replayed: &[f32]) -> Option<Self> {
        let differ = |(a, b): &(&f32, &f32)| a.to_bits() != b.to_bits();
        let pairs = || recorded.iter().zip(replayed);
        let index = pairs().position(|pair| differ(&pair))?;
        let (recorded, replayed, differing) = (recorded[index], replayed[index], pairs().filter(differ).count());
        let units_in_last_place = order(recorded).abs_diff(order(replayed));
        Some(Self { tensor: tensor.to_owned(), index, differing, recorded, replayed, units_in_last_place })
    }
}

/// The index of a number in the order of all numbers, so that neighbours are 1 apart and −0 equals +0.
fn order(value: f32) -> i64 {
    let magnitude = i64::from(value.to_bits() & 0x7fff_ffff);
    if value.is_sign_negative() { -magnitude } else { magnitude }
}

/// For example `step 61, the data differ: it learned from the batch of step 62`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The number of places that are named; the others are counted.
        const MOST: usize = 8;
        let Self { kind, step, what, places, element } = self;
        write!(f, "step {step}, {}: {what}", kind.told())?;
        if !places.is_empty() {
            let named = places.iter().take(MOST).cloned().collect::<Vec<_>>().join("; ");
            let more = places.len().saturating_sub(MOST);
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            write!(f, " [{named}{more}]")?;
        }
        if let Some(Element { tensor, index, differing, recorded, replayed, units_in_last_place: units }) = element {
            let others = if *differing > 1 { format!(", the first of {differing}") } else { String::new() };
            let unit = if *units == 1 { "unit" } else { "units" };
            write!(
                f,
                "; {tensor}[{index}]{others}: recorded {recorded:e}, replayed {replayed:e}, a difference of {units} {unit} in the last place"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_in_the_last_place_are_counted() {
        let apart = |a: f32, b: f32| Element::first("t", &[a], &[b]).map(|element| element.units_in_last_place);
        assert_eq!(apart(1.0, 1.0), None);
        assert_eq!(apart(1.0, 1.0 + f32::EPSILON), Some(1));
        assert_eq!(apart(1.0, 1.0 - f32::EPSILON), Some(2));
        assert_eq!(apart(0.0, -0.0), Some(0));
        assert_eq!(apart(f32::from_bits(1), -f32::from_bits(1)), Some(2));
        let first = Element::first("t", &[1.0, 2.0, 3.0, 4.0], &[1.0, 2.5, 3.0, 5.0]).unwrap();
        assert_eq!((first.index, first.differing, first.recorded, first.replayed), (1, 2, 2.0, 2.5));
    }
}

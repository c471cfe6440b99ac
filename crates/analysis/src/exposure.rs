//! What a leak did to the scores of a benchmark: leaked items before and after a run saw them, against the benchmark's
//! other items.
//!
//! A score may rise or fall after a leak: nothing here assumes a direction. [`compare`] works within a run: the change of
//! a leaked item less the mean change of the clean items between the same two checkpoints, so that general progress is not
//! taken for the leak. [`compare_with_twin`] works between the run and one that never saw the leak.
//!
//! The limit of the first: leaked items are no random sample of a benchmark. If the items that leak are also those that
//! a model improves on for another reason, the difference is not the leak's. The second compares an item with itself, so
//! it does not have this limit.

mod compare;
mod effect;
mod permutation;
mod student;
mod twin;

use retrace_spec::{Step, Tokens};
use serde::{Deserialize, Serialize};

pub use compare::{AtCheckpoint, Comparison, Group, LeakedItem, NotCompared, compare};
pub use effect::{Effect, Interval, adjust};
pub use permutation::Arrangements;
pub use twin::{TwinAt, TwinComparison, compare_with_twin};

/// A checkpoint whose items have scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The step after which it was saved: it has seen the batches up to this step.
    pub step: Step,
    /// The tokens that it was trained on.
    pub tokens: Tokens,
}

/// What is known about an item's leak and a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leak {
    /// No document of the corpus leaks it.
    None,
    /// The steps in whose batches the run had a document that leaks it, ascending; empty if the run used none.
    Seen(Vec<Step>),
    /// It leaks, but not all documents that leak it are known, so neither is the first step.
    PartlyKnown,
}

/// An item of a benchmark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Its id.
    pub id: String,
    /// Its leak.
    pub leak: Leak,
    /// Its score at each checkpoint, in their order: 1 or 0 for an answer, a log-likelihood in nats. `None` if it has none.
    pub scores: Vec<Option<f64>>,
}

/// The scores of a benchmark's items at the checkpoints of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// The checkpoints, ascending by step.
    pub checkpoints: Vec<Checkpoint>,
    /// The items.
    pub items: Vec<Item>,
}

impl Scored {
    /// The score of an item at a checkpoint, if it is a number.
    fn score(item: &Item, checkpoint: usize) -> Option<f64> {
        item.scores.get(checkpoint).copied().flatten().filter(|score| score.is_finite())
    }

    /// Whether an item has a score at each of these checkpoints.
    fn is_complete(item: &Item, checkpoints: &[usize]) -> bool {
        checkpoints.iter().all(|at| Self::score(item, *at).is_some())
    }
}

//! A run that saw a leak, and a run that did not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::effect::{Effect, Interval};
use super::permutation::Changes;
use super::student::{mean, welch};
use super::{Checkpoint, Item, Leak, Scored};

/// A run against its twin, which never saw the leak.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TwinComparison {
    /// The difference at each checkpoint that both have at the same number of tokens.
    pub checkpoints: Vec<TwinAt>,
    /// At the last of them, of the leaked items that the run had seen by then.
    pub last: Option<Effect>,
}

/// The differences of a run's scores from its twin's, at a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TwinAt {
    /// The run's checkpoint.
    pub checkpoint: Checkpoint,
    /// Leaked items that the run had seen by then.
    pub seen: usize,
    /// Clean items.
    pub clean: usize,
    /// The mean difference of the seen items less that of the clean items. That takes off what else differs between the
    /// runs, such as the order of their data. None without items of both kinds.
    pub difference: Option<f64>,
    /// Its interval (Welch).
    pub interval: Option<Interval>,
}

/// Compares the items of a benchmark in `run` with the same items in `twin`, a run that saw none of the leaks, at equal
/// tokens. Items that one of them has no score of at a checkpoint do not count there.
pub fn compare_with_twin(run: &Scored, twin: &Scored) -> TwinComparison {
    let others: BTreeMap<&str, &Item> = twin.items.iter().map(|item| (item.id.as_str(), item)).collect();
    let mut checkpoints = Vec::new();
    let mut last = None;
    for (at, checkpoint) in run.checkpoints.iter().enumerate() {
        let Some(there) = twin.checkpoints.iter().position(|other| other.tokens == checkpoint.tokens) else { continue };
        let (mut seen, mut clean) = (Vec::new(), Vec::new());
        for item in &run.items {
            let other = others.get(item.id.as_str()).and_then(|other| Scored::score(other, there));
            let Some(difference) = Scored::score(item, at).zip(other).map(|(here, there)| here - there) else {
                continue;
            };
            match &item.leak {
                Leak::None => clean.push(difference),
                Leak::Seen(steps) if steps.iter().any(|step| *step <= checkpoint.step) => seen.push(difference),
                Leak::Seen(_) | Leak::PartlyKnown => {}
            }
        }
        let both = !seen.is_empty() && !clean.is_empty();
        checkpoints.push(TwinAt {
            checkpoint: *checkpoint,
            seen: seen.len(),
            clean: clean.len(),
            difference: both.then(|| mean(&seen) - mean(&clean)),
            interval: welch(&seen, &clean),
        });
        last = Some((seen, clean));
    }
    let last = last.and_then(|(seen, clean)| {
        let windows = vec![0; seen.len()];
        Effect::of(&Changes { changes: seen.into_iter().chain(clean).map(|change| vec![change]).collect(), windows })
    });
    TwinComparison { checkpoints, last }
}

//! Leaked items before and after a run saw them.

use retrace_spec::Step;
use serde::{Deserialize, Serialize};

use super::effect::{Effect, Interval};
use super::permutation::Changes;
use super::student::{mean, squared_error, welch};
use super::{Checkpoint, Item, Leak, Scored};

/// A benchmark's leaked items in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The scores at each checkpoint.
    pub checkpoints: Vec<AtCheckpoint>,
    /// The leaked items, in their order.
    pub leaked: Vec<LeakedItem>,
    /// The clean items.
    pub clean: usize,
    /// From the last checkpoint before an item was first seen to the first checkpoint after.
    pub first: Option<Effect>,
    /// From the last checkpoint before an item was first seen to the run's last checkpoint.
    pub last: Option<Effect>,
}

/// The items of a kind at a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// How many have a score.
    pub items: usize,
    /// The mean of the scores.
    pub mean: f64,
    /// Its standard error; none for one item.
    pub stderr: Option<f64>,
}

/// The scores at a checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AtCheckpoint {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// Items that did not leak.
    pub clean: Option<Group>,
    /// Leaked items that the run had seen by then.
    pub seen: Option<Group>,
    /// Leaked items that it had not seen by then.
    pub unseen: Option<Group>,
    /// The mean of the seen items less that of the clean ones. The items differ, so this is no effect of the leak.
    pub difference: Option<f64>,
    /// Its interval (Welch).
    pub interval: Option<Interval>,
}

/// A leaked item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeakedItem {
    /// The item.
    pub item: String,
    /// The steps at which the run saw it.
    pub exposures: Vec<Step>,
    /// The last checkpoint before it was first seen, and its score there.
    pub before: Option<(Step, f64)>,
    /// The first checkpoint after it was first seen, and its score there.
    pub after: Option<(Step, f64)>,
    /// The run's last checkpoint, and its score there.
    pub last: Option<(Step, f64)>,
    /// The change from before to after less the mean change of the clean items.
    pub change: Option<f64>,
    /// The same to the last checkpoint.
    pub last_change: Option<f64>,
    /// Why it was not compared.
    pub not_compared: Option<NotCompared>,
}

/// Why a leaked item was not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotCompared {
    /// Not all documents that leak it are known, so the step at which it was first seen is not known.
    PartlyKnown,
    /// The run used no document that leaks it.
    NeverSeen,
    /// It was seen before the first checkpoint.
    NoCheckpointBefore,
    /// It was first seen after the last checkpoint.
    NoCheckpointAfter,
    /// It has no score at a checkpoint.
    NoScore,
    /// There are no clean items to compare it with.
    NoCleanItems,
}

/// The checkpoints before and after an item was first seen.
#[derive(Clone, Copy)]
struct Around {
    before: usize,
    after: usize,
}

/// Compares the leaked items of a benchmark before and after a run saw them with its clean items.
///
/// Only items with a score at every checkpoint are compared, so that every window has the same clean items.
pub fn compare(scored: &Scored) -> Comparison {
    let all: Vec<usize> = (0..scored.checkpoints.len()).collect();
    let is_clean = |item: &&Item| item.leak == Leak::None;
    let clean: Vec<&Item> =
        scored.items.iter().filter(is_clean).filter(|item| Scored::is_complete(item, &all)).collect();
    let leaked: Vec<&Item> = scored.items.iter().filter(|item| !is_clean(item)).collect();
    let places: Vec<Result<Around, NotCompared>> =
        leaked.iter().map(|item| around(scored, item, &all, !clean.is_empty())).collect();
    let compared: Vec<(&Item, Around)> =
        leaked.iter().zip(&places).filter_map(|(item, place)| Some((*item, (*place).ok()?))).collect();
    let last = all.len().saturating_sub(1);
    let first_changes = changes(&compared, &clean, |around| (around.before, around.after));
    let last_changes = changes(&compared, &clean, |around| (around.before, last));
    let (mut to_first, mut to_last) = (first_changes.adjusted().into_iter(), last_changes.adjusted().into_iter());
    let leaked = leaked.iter().zip(&places).map(|(item, place)| {
        let at = |checkpoint: usize| Some((scored.checkpoints.get(checkpoint)?.step, Scored::score(item, checkpoint)?));
        let (change, last_change) = match place {
            Ok(_) => (to_first.next(), to_last.next()),
            Err(_) => (None, None),
        };
        LeakedItem {
            item: item.id.clone(),
            exposures: match &item.leak {
                Leak::Seen(steps) => steps.clone(),
                Leak::None | Leak::PartlyKnown => Vec::new(),
            },
            before: place.ok().and_then(|place| at(place.before)),
            after: place.ok().and_then(|place| at(place.after)),
            last: at(last),
            change,
            last_change,
            not_compared: place.err(),
        }
    });
    Comparison {
        checkpoints: all.iter().filter_map(|at| at_checkpoint(scored, *at)).collect(),
        leaked: leaked.collect(),
        clean: scored.items.iter().filter(is_clean).count(),
        first: Effect::of(&first_changes),
        last: Effect::of(&last_changes),
    }
}

/// The checkpoints around the step at which an item was first seen. A checkpoint is saved after its step's update, so the
/// one of that step has seen it.
fn around(scored: &Scored, item: &Item, all: &[usize], has_clean: bool) -> Result<Around, NotCompared> {
    let steps = match &item.leak {
        Leak::Seen(steps) => steps,
        Leak::None | Leak::PartlyKnown => return Err(NotCompared::PartlyKnown),
    };
    let first = steps.iter().min().ok_or(NotCompared::NeverSeen)?;
    let after = scored.checkpoints.partition_point(|checkpoint| checkpoint.step < *first);
    let before = after.checked_sub(1).ok_or(NotCompared::NoCheckpointBefore)?;
    if after >= scored.checkpoints.len() {
        return Err(NotCompared::NoCheckpointAfter);
    }
    if !Scored::is_complete(item, all) {
        return Err(NotCompared::NoScore);
    }
    if !has_clean {
        return Err(NotCompared::NoCleanItems);
    }
    Ok(Around { before, after })
}

/// The changes of all items over the windows of the leaked items; `window` says between which checkpoints.
fn changes(compared: &[(&Item, Around)], clean: &[&Item], window: impl Fn(&Around) -> (usize, usize)) -> Changes {
    let mut windows: Vec<(usize, usize)> = compared.iter().map(|(_, around)| window(around)).collect();
    let of_items = windows.clone();
    windows.sort_unstable();
    windows.dedup();
    let change = |item: &Item| {
        let score = |at: usize| Scored::score(item, at).unwrap_or(0.0);
        windows.iter().map(|(from, to)| score(*to) - score(*from)).collect()
    };
    let items = compared.iter().map(|(item, _)| *item).chain(clean.iter().copied());
    Changes {
        changes: items.map(change).collect(),
        windows: of_items.iter().map(|of| windows.partition_point(|window| window < of)).collect(),
    }
}

fn at_checkpoint(scored: &Scored, at: usize) -> Option<AtCheckpoint> {
    let checkpoint = *scored.checkpoints.get(at)?;
    let scores = |holds: &dyn Fn(&Leak) -> bool| -> Vec<f64> {
        scored.items.iter().filter(|item| holds(&item.leak)).filter_map(|item| Scored::score(item, at)).collect()
    };
    let is_seen = |steps: &[Step]| steps.iter().any(|step| *step <= checkpoint.step);
    let clean = scores(&|leak| *leak == Leak::None);
    let seen = scores(&|leak| matches!(leak, Leak::Seen(steps) if is_seen(steps)));
    let unseen = scores(&|leak| matches!(leak, Leak::Seen(steps) if !is_seen(steps)));
    let both = !clean.is_empty() && !seen.is_empty();
    Some(AtCheckpoint {
        checkpoint,
        difference: both.then(|| mean(&seen) - mean(&clean)),
        interval: welch(&seen, &clean),
        clean: group(&clean),
        seen: group(&seen),
        unseen: group(&unseen),
    })
}

/// A group of scores; `None` if there are none.
fn group(scores: &[f64]) -> Option<Group> {
    let stderr = squared_error(scores).map(f64::sqrt);
    (!scores.is_empty()).then(|| Group { items: scores.len(), mean: mean(scores), stderr })
}

//! The mean change of leaked items against clean ones: its size, its interval and its p.

use serde::{Deserialize, Serialize};

use super::permutation::{Arrangements, Changes};
use super::student::{mean, welch};

/// The ends of a 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The mean change of leaked items less that of clean items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Leaked items that were compared.
    pub leaked: usize,
    /// Clean items that they were compared with.
    pub clean: usize,
    /// The mean, over leaked items, of the item's change less the mean change of the clean items between the same two
    /// checkpoints.
    pub mean: f64,
    /// Its interval (Welch), for both kinds of items as samples. None if there are too few of one kind, or none varies.
    pub interval: Option<Interval>,
    /// Leaked items whose adjusted change is above 0.
    pub rose: usize,
    /// Leaked items whose adjusted change is below 0.
    pub fell: usize,
    /// The two-sided p of the permutation test that no leak changed a score.
    pub p: f64,
    /// How many arrangements p is from.
    pub arrangements: Arrangements,
    /// [`Self::p`], adjusted for several tests by [`adjust`].
    pub p_adjusted: f64,
}

impl Effect {
    /// The effect, without adjustment of p; `None` without leaked or clean items.
    pub(super) fn of(changes: &Changes) -> Option<Self> {
        let (p, arrangements) = changes.test()?;
        let (adjusted, clean) = (changes.adjusted(), changes.clean());
        // A change that is the mean of the others up to rounding is none.
        let largest = changes.changes.iter().flatten().fold(0.0_f64, |largest, change| largest.max(change.abs()));
        let above = |least: f64| adjusted.iter().filter(|change| **change * least.signum() > 1e-12 * largest).count();
        let middle = mean(&clean);
        let centred: Vec<f64> = clean.iter().map(|change| change - middle).collect();
        Some(Self {
            leaked: adjusted.len(),
            clean: clean.len(),
            mean: mean(&adjusted),
            interval: welch(&adjusted, &centred),
            rose: above(1.0),
            fell: above(-1.0),
            p,
            arrangements,
            p_adjusted: p,
        })
    }
}

/// Adjusts the p of tests that are read together (Holm 1979), so that the probability of any p_adjusted ≤ α where no
/// leak changed a score is at most α.
pub fn adjust(effects: &mut [&mut Effect]) {
    let mut order: Vec<usize> = (0..effects.len()).collect();
    let p = |effects: &[&mut Effect], at: usize| effects.get(at).map_or(1.0, |effect| effect.p);
    order.sort_by(|a, b| p(effects, *a).total_cmp(&p(effects, *b)));
    let mut least = 0.0_f64;
    for (rank, at) in order.iter().enumerate() {
        let tests = order.len() - rank;
        if let Some(effect) = effects.get_mut(*at) {
            least = least.max((effect.p * tests as f64).min(1.0));
            effect.p_adjusted = least;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(p: f64) -> Effect {
        let arrangements = Arrangements::All(1);
        Effect { leaked: 1, clean: 1, mean: 0.0, interval: None, rose: 0, fell: 0, p, arrangements, p_adjusted: p }
    }

    /// R's `p.adjust(c(0.01, 0.04, 0.03, 0.005, 0.6), "holm")` is 0.04, 0.09, 0.09, 0.025, 0.6 by the definition: each times
    /// the number of those that are not smaller, and never below a smaller one's.
    #[test]
    fn several_tests_are_adjusted() {
        let mut all = [0.01, 0.04, 0.03, 0.005, 0.6].map(effect);
        adjust(&mut all.iter_mut().collect::<Vec<_>>());
        for (effect, expected) in all.iter().zip([0.04, 0.09, 0.09, 0.025, 0.6]) {
            assert!((effect.p_adjusted - expected).abs() < 1e-15, "{effect:?}");
        }
    }
}

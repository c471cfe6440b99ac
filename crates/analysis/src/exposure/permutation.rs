//! The permutation test: which items leaked, and when, is shuffled among all items of the benchmark.
//!
//! If a leak changes no score, the leaked items' changes are as likely on any other items; then the test's p is at most α
//! in at most a part α of all cases, exactly and for any number of items. Flipping the signs of the leaked items' changes,
//! once the clean items' mean is taken off, would not do: that mean is the same error in all of them, and with few clean
//! items such a test finds what is not there.

use rayon::prelude::*;
use retrace_numerics::random::Stream;
use serde::{Deserialize, Serialize};

/// All arrangements are gone through if there are at most so many.
const ALL: u64 = 100_000;
/// Otherwise so many are drawn.
const DRAWN: u64 = 19_999;
/// Sums that differ by less than this part of their terms are equal: they are added in different orders.
const TIE: f64 = 1e-12;

/// How many arrangements a p is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrangements {
    /// All that there are.
    All(u64),
    /// So many, drawn at random with a fixed seed, and the one that was observed.
    Drawn(u64),
}

/// The changes of items over windows: from one checkpoint to another, or from one run to another.
#[derive(Debug)]
pub(super) struct Changes {
    /// By item, then by window. The first items are the leaked ones.
    pub(super) changes: Vec<Vec<f64>>,
    /// The window of each leaked item.
    pub(super) windows: Vec<usize>,
}

impl Changes {
    /// Leaked items, and clean items.
    fn sizes(&self) -> (usize, usize) {
        (self.windows.len(), self.changes.len() - self.windows.len())
    }

    fn change(&self, item: usize, window: usize) -> f64 {
        self.changes.get(item).and_then(|of| of.get(window)).copied().unwrap_or(0.0)
    }

    /// The mean change of clean item number `item` over the windows of the leaked items, each window as often as it has
    /// leaked items.
    pub(super) fn clean(&self) -> Vec<f64> {
        let (leaked, _) = self.sizes();
        (leaked..self.changes.len()).map(|item| self.over_windows(item) / leaked as f64).collect()
    }

    /// The change of each leaked item over its window, less the mean change of the clean items over it.
    pub(super) fn adjusted(&self) -> Vec<f64> {
        let (leaked, clean) = self.sizes();
        let mean = |window: usize| {
            (leaked..self.changes.len()).map(|item| self.change(item, window)).sum::<f64>() / clean.max(1) as f64
        };
        self.windows.iter().enumerate().map(|(item, window)| self.change(item, *window) - mean(*window)).collect()
    }

    fn over_windows(&self, item: usize) -> f64 {
        self.windows.iter().map(|window| self.change(item, *window)).sum()
    }

    /// The two-sided p of the mean adjusted change: twice the part of the arrangements in which it is as far on the same
    /// side; and how many they were. `None` without leaked or clean items.
    ///
    /// With the items on n places, c the change of place i's item over that place's window, and the other m items clean,
    /// the mean adjusted change is the mean over places of c + g / m, less what is the same for all arrangements, where g is
    /// the sum of the item's changes over the windows of all places.
    pub(super) fn test(&self) -> Option<(f64, Arrangements)> {
        let (leaked, clean) = self.sizes();
        if leaked == 0 || clean == 0 {
            return None;
        }
        let terms: Vec<Vec<f64>> = (0..self.changes.len())
            .map(|item| {
                let shared = self.over_windows(item) / clean as f64;
                self.windows.iter().map(|window| self.change(item, *window) + shared).collect()
            })
            .collect();
        let observed: f64 = (0..leaked).map(|place| terms[place][place]).sum();
        let largest = terms.iter().flatten().fold(0.0_f64, |largest, term| largest.max(term.abs()));
        let tie = TIE * largest * leaked as f64;
        let sum =
            |chosen: &[usize]| -> f64 { chosen.iter().enumerate().map(|(place, item)| terms[*item][place]).sum() };
        let items = self.changes.len() as u64;
        let all =
            (0..leaked as u64).try_fold(1u64, |all, place| all.checked_mul(items - place).filter(|all| *all <= ALL));
        let count = |arrangements: u64, digit: &(dyn Fn(u64, u64, u64) -> u64 + Sync)| {
            (0..arrangements)
                .into_par_iter()
                .map_init(
                    || (0..self.changes.len()).collect::<Vec<usize>>(),
                    |order, number| {
                        let sum = choose(order, leaked, |place, left| digit(number, place, left), sum);
                        (u64::from(sum >= observed - tie), u64::from(sum <= observed + tie))
                    },
                )
                .reduce(|| (0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
        };
        let (higher, lower, of, arrangements) = match all {
            Some(all) => {
                // The digits of the arrangement's number, place by place, to the bases n, n - 1, …
                let digit = |number: u64, place: u64, left: u64| {
                    let before = (0..place).fold(number, |number, before| number / (items - before));
                    before % left
                };
                let (higher, lower) = count(all, &digit);
                (higher, lower, all, Arrangements::All(all))
            }
            None => {
                let stream = Stream::new(0, "exposure permutation");
                let (higher, lower) = count(DRAWN, &|number, place, left| stream.below(number, place, left));
                // The observed one counts too, so that p is never 0 (Phipson and Smyth 2010).
                (higher + 1, lower + 1, DRAWN + 1, Arrangements::Drawn(DRAWN))
            }
        };
        Some(((2.0 * higher.min(lower) as f64 / of as f64).min(1.0), arrangements))
    }
}

/// Chooses `places` of the items in `order`, one after another: `digit(place, left)` says which of those that are left.
/// Returns `of` the chosen ones, and leaves `order` as it was.
fn choose<T>(order: &mut [usize], places: usize, digit: impl Fn(u64, u64) -> u64, of: impl FnOnce(&[usize]) -> T) -> T {
    let mut swaps = Vec::with_capacity(places);
    for place in 0..places {
        let other = place + digit(place as u64, (order.len() - place) as u64) as usize;
        order.swap(place, other);
        swaps.push(other);
    }
    let value = of(&order[..places]);
    swaps.into_iter().enumerate().rev().for_each(|(place, other)| order.swap(place, other));
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_window(leaked: &[f64], clean: &[f64]) -> Changes {
        let changes = leaked.iter().chain(clean).map(|value| vec![*value]).collect();
        Changes { changes, windows: vec![0; leaked.len()] }
    }

    /// scipy.stats.permutation_test 1.17.1 with the difference of means, permutation_type="independent" and all
    /// permutations.
    #[test]
    fn p_is_that_of_scipy() {
        for (leaked, clean, expected) in [
            (vec![3.1, -0.4, 2.2, 5.0, 1.7], vec![0.3, -1.1, 0.8, 0.0, -0.2, 1.4, 0.9], 0.035_353_535_353_535_35),
            (vec![1.0, 1.0, 0.0, 1.0], vec![0.0, 0.0, 1.0, 0.0, 0.0, 0.0], 0.238_095_238_095_238_08),
            (vec![-2.5, -1.9], vec![0.1, 0.4, -0.3, 0.9, -3.0, 1.0, 0.2, 0.6], 0.133_333_333_333_333_33),
        ] {
            let (p, arrangements) = one_window(&leaked, &clean).test().unwrap();
            assert!((p - expected).abs() < 1e-12, "{p} is not {expected}");
            assert!(matches!(arrangements, Arrangements::All(_)));
        }
        let leaked = [0.7, 1.9, -0.2, 2.4, 1.1, 0.4];
        let clean = [0.3, -1.1, 0.8, 0.0, -0.2, 1.4, 0.9, -0.5, 0.1, 0.6, -0.8, 0.2, 1.0, -0.4];
        let (p, arrangements) = one_window(&leaked, &clean).test().unwrap();
        assert_eq!(arrangements, Arrangements::Drawn(DRAWN));
        // Within four standard errors of a draw.
        let expected: f64 = 0.044_066_047_471_620_226;
        assert!((p - expected).abs() < 4.0 * (2.0 * expected / DRAWN as f64).sqrt(), "{p} is not {expected}");
    }

    /// Every order of the items, from which the first are on the places.
    fn orders(left: Vec<usize>) -> Vec<Vec<usize>> {
        if left.is_empty() {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for at in 0..left.len() {
            let mut rest = left.clone();
            let first = rest.remove(at);
            all.extend(orders(rest).into_iter().map(|rest| [vec![first], rest].concat()));
        }
        all
    }

    /// Compared with the definition, for several windows: the mean over places of the change of the item there less the mean
    /// change of the clean items over the same window, in every order of the items.
    #[test]
    fn p_is_that_of_the_definition() {
        let stream = Stream::new(7, "test");
        for case in 0..30u64 {
            let windows: Vec<usize> = (0..1 + case % 3).map(|place| stream.below(case, place, 3) as usize).collect();
            // Whole numbers make ties.
            let change = |item: u64, window: u64| stream.below(1000 + case, 10 * item + window, 5) as f64 - 2.0;
            let changes: Vec<Vec<f64>> =
                (0..7).map(|item| (0..3).map(|window| change(item, window)).collect()).collect();
            let statistic = |order: &[usize]| -> f64 {
                let (on, clean) = order.split_at(windows.len());
                let adjusted = on.iter().zip(&windows).map(|(item, window)| {
                    let sum: f64 = clean.iter().map(|item| changes[*item][*window]).sum();
                    changes[*item][*window] - sum / clean.len() as f64
                });
                adjusted.sum::<f64>() / windows.len() as f64
            };
            let all: Vec<f64> = orders((0..7).collect()).iter().map(|order| statistic(order)).collect();
            let observed = statistic(&[0, 1, 2, 3, 4, 5, 6]);
            let part = |holds: &dyn Fn(&f64) -> bool| all.iter().filter(|v| holds(v)).count() as f64 / all.len() as f64;
            let (higher, lower) = (part(&|v| *v >= observed - 1e-9), part(&|v| *v <= observed + 1e-9));
            let expected = (2.0 * higher.min(lower)).min(1.0);
            let of = Changes { changes: changes.clone(), windows: windows.clone() };
            let (p, _) = of.test().unwrap();
            assert!((p - expected).abs() < 1e-12, "{p} is not {expected}");
            let adjusted = of.adjusted();
            assert!((adjusted.iter().sum::<f64>() / adjusted.len() as f64 - observed).abs() < 1e-12);
        }
    }

    #[test]
    fn one_leaked_item_is_ranked_among_the_clean_ones() {
        let clean: Vec<f64> = (0..39).map(f64::from).collect();
        assert_eq!(one_window(&[100.0], &clean).test().unwrap(), (0.05, Arrangements::All(40)));
        assert_eq!(one_window(&[19.5], &clean).test().unwrap().0, 1.0);
        assert_eq!(one_window(&[1.0], &[1.0, 1.0]).test().unwrap().0, 1.0);
        assert!(one_window(&[1.0], &[]).test().is_none() && one_window(&[], &[1.0]).test().is_none());
    }

    #[test]
    fn threads_do_not_matter() {
        let of = one_window(&[0.7, 1.9, -0.2, 2.4, 1.1, 0.4], &(0..40).map(|n| f64::from(n % 7)).collect::<Vec<_>>());
        let on = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| of.test());
        assert_eq!(on(1), on(3));
    }
}

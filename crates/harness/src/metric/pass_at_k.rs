//! pass@k of outcomes that are given: nothing is executed here.

use crate::numpy::count;

/// The chance that at least one of `k` answers, drawn from `total` of which `correct` are right, is right: the unbiased
/// estimator of Chen et al. (2021), equation 1. Nothing if more are right, or drawn, than there are.
#[must_use]
pub fn pass_at_k(total: usize, correct: usize, k: usize) -> Option<f64> {
    let wrong = total.checked_sub(correct)?;
    if k > total {
        return None;
    }
    if wrong < k {
        return Some(1.0);
    }
    let none = (wrong + 1..=total).fold(1.0, |product, place| product * (1.0 - count(k) / count(place)));
    Some(1.0 - none)
}

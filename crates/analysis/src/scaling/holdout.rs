//! How well a law foretells points that it was not fitted to.

use retrace_spec::recipe::scaling::{FitOptions, LawName};
use serde::{Deserialize, Serialize};

use super::fit::{Fit, FitError, fit};
use super::point::Points;

/// A law fitted to some points and tested on others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holdout {
    /// The fit to the points that were kept.
    pub fit: Fit,
    /// The number of points that were held out.
    pub held: usize,
    /// The largest compute among those held out, divided by the largest among those kept.
    pub factor: f64,
    /// The root mean square of ln (predicted / observed) over the points held out.
    pub error: f64,
    /// The mean of ln (predicted / observed): above 0 the law foretells too high a loss. It is at most the error.
    pub bias: f64,
    /// The same root mean square over the points kept, for comparison.
    pub error_kept: f64,
}

/// The law fitted to the points that `keep` accepts, tested on the others.
///
/// # Errors
/// As [`fit`]; or if no point is held out, or the law says no loss.
fn holdout(
    points: &Points,
    law: LawName,
    options: &FitOptions,
    keep: impl Fn(usize) -> bool,
) -> Result<Holdout, FitError> {
    if !law.has_loss() {
        return Err(FitError::NoLoss { law });
    }
    let (kept, held) = (points.keep(&keep), points.keep(|at| !keep(at)));
    if held.rows().is_empty() {
        return Err(FitError::Needs { law, what: "points to hold out" });
    }
    let fit = fit(&kept, law, options)?;
    let logs = |points: &Points| -> Vec<f64> {
        points.rows().iter().map(|p| libm::log(fit.loss_at(p)) - libm::log(p.loss)).collect()
    };
    let root = |logs: &[f64]| (logs.iter().map(|log| log * log).sum::<f64>() / logs.len() as f64).sqrt();
    let missed = logs(&held);
    let most = |points: &Points| points.rows().iter().map(super::Point::compute).fold(0.0, f64::max);
    let tested = Holdout {
        held: held.rows().len(),
        factor: most(&held) / most(&kept),
        error: root(&missed),
        bias: missed.iter().sum::<f64>() / missed.len() as f64,
        error_kept: root(&logs(&kept)),
        fit,
    };
    // A law may have no loss above 0 so far away.
    match [tested.factor, tested.error, tested.bias, tested.error_kept].iter().all(|number| number.is_finite()) {
        true => Ok(tested),
        false => Err(FitError::Needs { law, what: "points at which its loss is above 0; at those held out it is not" }),
    }
}

/// Computes that differ by less than this part are one budget: N and D of one budget are rounded, and a cut between the
/// products would divide it.
const ROUNDING: f64 = 1e-6;

/// Each run's largest compute. Those of one budget are the same number.
fn run_computes(points: &Points) -> Vec<f64> {
    let mut computes = vec![0.0_f64; points.runs()];
    for (point, run) in points.rows().iter().zip(points.clusters()) {
        computes[*run] = computes[*run].max(point.compute());
    }
    let mut order: Vec<usize> = (0..computes.len()).collect();
    order.sort_by(|a, b| computes[*a].total_cmp(&computes[*b]));
    let (mut budget, mut before) = (0.0, 0.0);
    for run in order {
        if computes[run] > before * (1.0 + ROUNDING) {
            budget = computes[run];
        }
        before = computes[run];
        computes[run] = budget;
    }
    computes
}

/// The law fitted without the largest models, tested on them.
///
/// # Errors
/// As [`fit`] for the points of the smaller models; or if the law says no loss.
pub fn leave_largest_out(points: &Points, law: LawName, options: &FitOptions) -> Result<Holdout, FitError> {
    let largest = points.rows().iter().map(|p| p.params).fold(0.0, f64::max);
    holdout(points, law, options, |at| points.rows()[at].params < largest)
}

/// The law fitted to the runs of the smallest computes, tested on the others, of which there are at least the part
/// `share` of all runs.
///
/// # Errors
/// As [`fit`] for the runs that are kept; or if the law says no loss.
pub fn hold_out_compute(points: &Points, law: LawName, options: &FitOptions, share: f64) -> Result<Holdout, FitError> {
    if !(share > 0.0 && share < 1.0) {
        return Err(FitError::Option("share", "between 0 and 1"));
    }
    let computes = run_computes(points);
    let mut sorted = computes.clone();
    sorted.sort_by(f64::total_cmp);
    let kept = (computes.len() as f64 * (1.0 - share)) as usize;
    let Some(cut) = sorted.get(kept) else { return Err(FitError::Option("share", "between 0 and 1")) };
    holdout(points, law, options, |at| computes[points.clusters()[at]] < *cut)
}

/// For each of `cuts` computes, evenly many runs apart: the law fitted to the runs below it, tested on those from there
/// to the next cut. A cut below which the law has too few points gives why.
pub fn rolling(points: &Points, law: LawName, options: &FitOptions, cuts: usize) -> Vec<Result<Holdout, FitError>> {
    let computes = run_computes(points);
    let mut sorted = computes.clone();
    sorted.sort_by(f64::total_cmp);
    let cut = |k: usize| sorted.get(sorted.len() * k / (cuts + 1)).copied().unwrap_or(f64::INFINITY);
    (1..=cuts)
        .map(|k| {
            let (low, high) = (cut(k), cut(k + 1));
            let within = points.keep(|at| computes[points.clusters()[at]] < high);
            let computes = run_computes(&within);
            holdout(&within, law, options, |at| computes[within.clusters()[at]] < low)
        })
        .collect()
}

/// Laws by their error on the same held-out runs, the best first; then those that could not be tested, with why.
pub fn compare(
    points: &Points,
    laws: &[LawName],
    options: &FitOptions,
    share: f64,
) -> Vec<(LawName, Result<Holdout, FitError>)> {
    let mut all: Vec<_> = laws.iter().map(|law| (*law, hold_out_compute(points, *law, options, share))).collect();
    all.sort_by(|a, b| match (&a.1, &b.1) {
        (Ok(a), Ok(b)) => a.error.total_cmp(&b.error),
        (a, b) => b.is_ok().cmp(&a.is_ok()),
    });
    all
}

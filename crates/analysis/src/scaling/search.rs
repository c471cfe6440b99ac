//! The search for a form's parameters: from a grid of starts to the best optimum, and again for resampled points.

use rayon::prelude::*;
use retrace_spec::recipe::scaling::{FitOptions, Tolerance};

use super::fit::{FitError, Starts};
use super::minimise::{Minimum, Stop, minimise};
use super::objective::{Blocks, COLUMNS, Huber};
use super::parameters::{Centre, Search};

/// A point as a form sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) x: [f64; COLUMNS],
    pub(super) target: f64,
}

/// Another sample of the same points.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample<'a> {
    /// How often each point counts.
    pub(super) weights: &'a [f64],
    /// The points' losses, if they are others.
    pub(super) losses: Option<&'a [f64]>,
}

/// A law that was fitted, and can be fitted again to a sample.
pub(super) trait Refit: Send + Sync {
    /// The law's parameters for the sample; `None` if there is no fit.
    fn refit(&self, sample: Sample<'_>) -> Option<Vec<f64>>;
}

/// A form fitted to rows.
#[derive(Debug, Clone)]
pub(super) struct Found<F, const W: usize> {
    pub(super) form: F,
    pub(super) rows: Vec<Row>,
    pub(super) centre: Centre,
    pub(super) huber: Huber,
    pub(super) best: Minimum<W>,
    pub(super) starts: Starts,
    /// The parameters after the search is continued with the strictest tolerance.
    pub(super) continued: Minimum<W>,
    inverse: Option<[[f64; W]; W]>,
    stop: Stop,
}

/// The strictest tolerance: that of rounding.
const STRICT: Stop = Stop { relative: 1e-15, absolute: 0.0, still: 8, updates: 4000 };

/// The part of the objective by which it may still decrease in a search that converged.
const CONVERGED: f64 = 1e-9;

/// The first search from each start, which finds its basin.
const COARSE: Stop = Stop { relative: 1e-4, absolute: 0.0, still: 2, updates: 200 };

/// The number of the lowest that are then followed to the options' tolerance.
const FOLLOWED: usize = 100;

/// The largest number of times that the best is searched on from.
const RESTARTS: usize = 20;

pub(super) fn stop(options: &FitOptions) -> Stop {
    let (relative, absolute, still) = match options.tolerance {
        Tolerance::Relative(relative) => (relative, 0.0, 2),
        Tolerance::Absolute(absolute) => (0.0, absolute, 1),
    };
    Stop { relative, absolute, still, updates: options.updates }
}

fn blocks(rows: &[Row], weights: impl Iterator<Item = f64>) -> Blocks {
    Blocks::new(rows.iter().zip(weights).map(|(row, weight)| (row.x, row.target, weight)))
}

/// The best optimum of `form` from all `starts`, the first of equals. A short search from each start finds its basin;
/// the lowest are then followed.
pub(super) fn search<F: Search<W>, const W: usize>(
    form: F,
    rows: Vec<Row>,
    centre: Centre,
    huber: Huber,
    starts: &[[f64; W]],
    stop: Stop,
) -> Result<Found<F, W>, FitError> {
    let all = blocks(&rows, rows.iter().map(|_| 1.0));
    let function = |at: &[f64; W]| all.objective(&form, huber, at);
    let first =
        Stop { relative: stop.relative.max(COARSE.relative), updates: stop.updates.min(COARSE.updates), ..COARSE };
    let first = if stop.absolute > 0.0 { stop } else { first };
    let found: Vec<Option<Minimum<W>>> =
        starts.par_iter().with_min_len(16).map(|start| minimise(&function, *start, None, first)).collect();
    let mut low: Vec<Minimum<W>> = found.iter().flatten().copied().collect();
    low.sort_by(|a, b| a.value.total_cmp(&b.value));
    low.truncate(FOLLOWED);
    if stop.absolute == 0.0 {
        low = low.par_iter().filter_map(|minimum| minimise(&function, minimum.at, None, stop)).collect();
    }
    let lower = |best: Minimum<W>, next: Minimum<W>| if next.value < best.value { next } else { best };
    let mut best = low.iter().copied().reduce(lower).ok_or(FitError::NoFit)?;
    // In a flat valley a search with another matrix goes on where the first stopped.
    let again = |best: Minimum<W>, stop: Stop| {
        let inverse = all.inverse_hessian(&form, huber, &best.at);
        let from = |inverse| minimise(&function, best.at, inverse, stop);
        [inverse, None].into_iter().filter_map(from).fold(best, lower)
    };
    for _ in 0..if stop.absolute > 0.0 { 0 } else { RESTARTS } {
        let next = again(best, stop);
        let gain = best.value - next.value;
        best = next;
        if gain <= CONVERGED * best.value {
            break;
        }
    }
    // Exact points have an objective of 0, which no search reaches: residuals of δ/1000 are as good.
    let floor = huber.scale * rows.len() as f64 * 0.5e-6 * huber.delta.min(1e-3) * huber.delta.min(1e-3);
    let within = |minimum: &&Minimum<W>| minimum.value <= 1.01 * best.value + floor;
    let reached = found.iter().flatten().filter(within).count().max(low.iter().filter(within).count());
    let continued = again(best, STRICT);
    let inverse = all.inverse_hessian(&form, huber, &best.at);
    let gain = best.value - continued.value;
    let converged = gain <= CONVERGED * best.value + 1e-3 * floor;
    let starts =
        Starts { tried: starts.len(), failed: found.iter().filter(|f| f.is_none()).count(), reached, converged };
    Ok(Found { form, rows, centre, huber, best, starts, continued, inverse, stop })
}

impl<F: Search<W>, const W: usize> Found<F, W> {
    /// The law's parameters at the best optimum.
    pub(super) fn parameters(&self) -> Vec<f64> {
        self.form.law(&self.best.at, &self.centre)
    }

    /// The minimum for a sample of rows, searched for from the best optimum of all of them.
    pub(super) fn again(&self, weights: &[f64], targets: Option<&[f64]>) -> Option<Minimum<W>> {
        let sample = match targets {
            None => blocks(&self.rows, weights.iter().copied()),
            Some(targets) => {
                let rows = self.rows.iter().zip(targets).zip(weights);
                Blocks::new(rows.map(|((row, target), weight)| (row.x, *target, *weight)))
            }
        };
        let function = |at: &[f64; W]| sample.objective(&self.form, self.huber, at);
        minimise(&function, self.best.at, self.inverse, self.stop)
    }
}

impl<F: Search<W> + Send, const W: usize> Refit for Found<F, W> {
    fn refit(&self, sample: Sample<'_>) -> Option<Vec<f64>> {
        let targets: Option<Vec<f64>> =
            sample.losses.map(|losses| losses.iter().map(|loss| self.form.target(*loss)).collect());
        let minimum = self.again(sample.weights, targets.as_deref())?;
        let parameters = self.form.law(&minimum.at, &self.centre);
        parameters.iter().all(|value| value.is_finite()).then_some(parameters)
    }
}

#[cfg(test)]
mod tests {
    use retrace_numerics::random::Stream;
    use retrace_spec::recipe::scaling::LawName;

    use super::*;
    use crate::scaling::form::Additive;
    use crate::scaling::{Point, Points, fit};

    /// A search from the optimum of all points ends as low as one from the whole grid.
    #[test]
    fn a_sample_is_fitted_as_well_as_from_the_whole_grid() {
        let stream = Stream::new(7, "test");
        let mut noise = vec![0.0; 60];
        stream.normal(0, 0.01, &mut noise);
        let row = |(at, noise): (usize, &f32)| {
            let (n, d) = (5e7 * 1.09f64.powi(at as i32), 1e9 * 1.7f64.powi((at * 7 % 12) as i32));
            let loss = 1.8172 + 482.01 * n.powf(-0.3478) + 2085.43 * d.powf(-0.3658);
            Point::new(n, d, loss * f64::from(*noise).exp())
        };
        let points = Points::new(None, None, noise.iter().enumerate().map(row).collect()).unwrap();
        let (rows, centre) = crate::scaling::fit::rows(&points, libm::log);
        let options = FitOptions::default();
        let huber = crate::scaling::fit::huber(&options, rows.len());
        let found = search(Additive, rows, centre, huber, &Additive.grid(&centre), stop(&options)).unwrap();
        for sample in 1..6 {
            let mut weights = vec![0.0; 60];
            for index in 0..60 {
                weights[stream.below(sample, index, 60) as usize] += 1.0;
            }
            let again = found.again(&weights, None).unwrap();
            let drawn = points.rows().iter().zip(&weights).flat_map(|(p, count)| vec![p.clone(); *count as usize]);
            let drawn = Points::new(None, None, drawn.collect()).unwrap();
            let whole = fit(&drawn, LawName::Hoffmann3, &options).unwrap();
            assert!(
                (again.value / whole.objective - 1.0).abs() < 1e-9,
                "{sample}: {} {}",
                again.value,
                whole.objective
            );
        }
    }
}

//! The loss on a task from N and D, and the task's accuracy from this loss (Bhagia et al. 2024, the OLMo ladder).

use retrace_spec::recipe::scaling::{FitOptions, LawName};

use super::fit::{FitError, Prepared, enough, finish, huber, rows, starts};
use super::form::{Additive, Sigmoid};
use super::minimise::{Minimum, Stop, minimise};
use super::objective::{Blocks, Huber};
use super::point::Points;
use super::search::{Found, Refit, Sample, search, stop};

const LAW: LawName = LawName::TwoStep;

/// (loss, accuracy, the row that it ends at) of step 2.
type Pair = (f64, f64, usize);

pub(super) fn fit(points: &Points, options: &FitOptions) -> Result<Prepared, FitError> {
    let pairs = pairs(points, options);
    if pairs.len() < 5 {
        return Err(FitError::Needs { law: LAW, what: "at least five points with an accuracy" });
    }
    let ends = ends(points);
    let losses: Vec<f64> = ends.iter().map(|end| last_loss(points, *end, options.window)).collect();
    let finals = points.keep(|at| ends.contains(&at)).with_losses(|at| losses[at]);
    enough(&finals, LAW)?;
    let (rows, centre) = rows(&finals, libm::log);
    let huber = huber(options, rows.len());
    let starts = starts(&Additive, &centre, LAW, &options.grid)?;
    let first = search(Additive, rows, centre, huber, &starts, stop(options))?;
    let second = sigmoid(&pairs, |_| 1.0, None).ok_or(FitError::NoFit)?;
    let mut values = first.parameters();
    values.extend(second);
    let again = Again { first: first.clone(), ends, pairs, second };
    let mut prepared = finish(finals, LAW, values, first, options)?;
    // Samples are of all points: the sigmoid is fitted to those along the runs.
    prepared.points = points.clone();
    prepared.again = Box::new(again);
    Ok(prepared)
}

/// The indices of the last points of the runs.
fn ends(points: &Points) -> Vec<usize> {
    let mut last = vec![0.0_f64; points.runs()];
    for (point, run) in points.rows().iter().zip(points.clusters()) {
        last[*run] = last[*run].max(point.tokens);
    }
    let is_end = |at: &usize| points.rows()[*at].tokens == last[points.clusters()[*at]];
    (0..points.rows().len()).filter(is_end).collect()
}

/// The loss at the end of a run: the mean of its last `window` points, as the ladder takes it.
fn last_loss(points: &Points, end: usize, window: usize) -> f64 {
    let run = points.clusters()[end];
    // Rows are sorted by size and tokens, so that those of a run are in its order.
    let losses = (0..=end).rev().filter(|at| points.clusters()[*at] == run).map(|at| points.rows()[at].loss);
    let losses: Vec<f64> = losses.take(window).collect();
    losses.iter().sum::<f64>() / losses.len() as f64
}

/// Loss and accuracy along each run, without its beginning, averaged over a window that ends at each point.
fn pairs(points: &Points, options: &FitOptions) -> Vec<Pair> {
    let mut all = Vec::new();
    for run in 0..points.runs() {
        let rows: Vec<usize> = (0..points.rows().len())
            .filter(|at| points.clusters()[*at] == run && points.rows()[*at].accuracy.is_some())
            .collect();
        let skipped = libm::ceil(rows.len() as f64 * options.skip) as usize;
        let kept = if rows.len() > 1 { &rows[skipped..] } else { &rows[..] };
        for end in 0..kept.len() {
            let window = &kept[(end + 1).saturating_sub(options.window)..=end];
            let mean = |of: fn(&super::Point) -> f64| {
                window.iter().map(|at| of(&points.rows()[*at])).sum::<f64>() / window.len() as f64
            };
            all.push((mean(|p| p.loss), mean(|p| p.accuracy.unwrap_or(0.0)), kept[end]));
        }
    }
    all
}

/// (a, k, L₀, b) by least squares, with the ladder's additional point of accuracy 1 at loss 0 and its bounds: a from -1
/// to 0, k and L₀ not below 0, b from 0 to 1. Where the free minimum is beyond a bound, this parameter stays at it.
fn sigmoid(pairs: &[Pair], weight: impl Fn(usize) -> f64, start: Option<[f64; 4]>) -> Option<[f64; 4]> {
    let rows = pairs.iter().map(|(loss, accuracy, at)| ([*loss, 0.0, 0.0, 0.0], *accuracy, weight(*at)));
    let blocks = Blocks::new(rows.chain([([0.0; 4], 1.0, 1.0)]));
    let huber = Huber { delta: f64::INFINITY, scale: 1.0 };
    let stop = Stop { relative: 1e-13, absolute: 0.0, still: 3, updates: 2000 };
    let least = pairs.iter().map(|pair| pair.1).fold(f64::INFINITY, f64::min);
    let middle = pairs.iter().map(|pair| pair.0).sum::<f64>() / pairs.len() as f64;
    let mut starts: Vec<[f64; 4]> = start.into_iter().collect();
    if starts.is_empty() {
        for k in [1.0, 3.0, 10.0] {
            starts.extend([0.5, 0.9, 1.2].map(|part| [least - 1.0, k, part * middle, 1.0]));
        }
    }
    let (low, high) = ([-1.0, 0.0, 0.0, 0.0], [0.0, f64::INFINITY, f64::INFINITY, 1.0]);
    let mut free = [true; 4];
    // Each round fixes one parameter, so that there are at most as many.
    for _ in 0..=free.len() {
        let form = Sigmoid { free };
        let function = |at: &[f64; 4]| blocks.objective(&form, huber, at);
        let all = starts.iter().filter_map(|start| minimise(&function, *start, None, stop));
        let best: Minimum<4> = all.reduce(|best, next| if next.value < best.value { next } else { best })?;
        let beyond = |k: usize| (low[k] - best.at[k]).max(best.at[k] - high[k]).max(0.0);
        let worst = (0..4).filter(|k| free[*k]).max_by(|a, b| beyond(*a).total_cmp(&beyond(*b)));
        match worst.filter(|k| beyond(*k) > 0.0) {
            None => return Some(best.at),
            Some(k) => {
                free[k] = false;
                let bound = best.at[k].clamp(low[k], high[k]);
                for start in &mut starts {
                    start[k] = bound;
                }
            }
        }
    }
    None
}

struct Again {
    first: Found<Additive, 5>,
    ends: Vec<usize>,
    pairs: Vec<Pair>,
    second: [f64; 4],
}

impl Refit for Again {
    fn refit(&self, sample: Sample<'_>) -> Option<Vec<f64>> {
        let of_ends = |values: &[f64]| -> Vec<f64> { self.ends.iter().map(|at| values[*at]).collect() };
        let (weights, losses) = (of_ends(sample.weights), sample.losses.map(of_ends));
        let mut values = self.first.refit(Sample { weights: &weights, losses: losses.as_deref() })?;
        values.extend(sigmoid(&self.pairs, |at| sample.weights[at], Some(self.second))?);
        Some(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SciPy 1.17 on the same curve and the additional point: `curve_fit` with the ladder's bounds, `p0=[-0.75, 0.9, 3,
    /// 1]`, `xtol=ftol=gtol=1e-15`. In the second case b ends at its bound.
    #[test]
    fn scipy_finds_the_same_sigmoids() {
        let curve = |[a, k, middle, b]: [f64; 4], from: f64, step: f64, count: i32| -> Vec<Pair> {
            let loss = (0..count).map(|i| from + step * f64::from(i));
            loss.map(|l| (l, a / (1.0 + (-k * (l - middle)).exp()) + b, 0)).collect()
        };
        for (pairs, expected) in [
            (curve([-0.7, 5.0, 0.8, 0.97], 0.3, 0.006, 200), [-0.711_519_11, 4.877_507_02, 0.795_837_43, 0.978_573_79]),
            (curve([-0.9, 4.0, 0.8, 1.1], 0.5, 0.01, 60), [-0.705_237_12, 5.339_859_24, 0.803_378_52, 1.0]),
        ] {
            let found = sigmoid(&pairs, |_| 1.0, None).unwrap();
            for (found, expected) in found.iter().zip(expected) {
                assert!((found / expected - 1.0).abs() < 1e-6, "{found}, not {expected}");
            }
        }
    }
}

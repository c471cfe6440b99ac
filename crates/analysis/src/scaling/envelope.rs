//! Approach 1 of Hoffmann et al. (2022): at each compute, the run that has the least loss when it has used it.

use std::collections::BTreeMap;

use retrace_spec::recipe::scaling::{FitOptions, LawName};

use super::fit::{FitError, Prepared, distinct};
use super::isoflop::{Best, powers, result};
use super::point::Points;
use super::search::{Refit, Sample};

/// The training curves of runs.
#[derive(Debug, Clone)]
pub(super) struct Envelope {
    /// The rows of each run with at least two, by compute: (index, ln C, ln N, ln D).
    runs: Vec<Vec<(usize, [f64; 3])>>,
    losses: Vec<f64>,
    /// The computes, as logarithms.
    computes: Vec<f64>,
}

impl Envelope {
    pub(super) fn fit(points: &Points, options: &FitOptions) -> Result<Prepared, FitError> {
        let law = LawName::Hoffmann1;
        let mut runs: BTreeMap<usize, Vec<(usize, [f64; 3])>> = BTreeMap::new();
        for (at, (point, run)) in points.rows().iter().zip(points.clusters()).enumerate() {
            let logs = [point.compute(), point.params, point.tokens].map(libm::log);
            runs.entry(*run).or_default().push((at, logs));
        }
        let mut runs: Vec<_> = runs.into_values().filter(|run| run.len() > 1).collect();
        for run in &mut runs {
            run.sort_by(|a, b| a.1[0].total_cmp(&b.1[0]));
        }
        if runs.len() < 3 || distinct(points, |point| point.params) < 3 {
            return Err(FitError::Needs {
                law,
                what: "points along the runs of at least three sizes, with a run column",
            });
        }
        let ends = |run: &Vec<(usize, [f64; 3])>| (run[0].1[0], run[run.len() - 1].1[0]);
        let low = runs.iter().map(|run| ends(run).0).fold(f64::INFINITY, f64::min);
        let high = runs.iter().map(|run| ends(run).1).fold(f64::NEG_INFINITY, f64::max);
        let last = (options.envelope - 1) as f64;
        let computes = (0..options.envelope).map(|i| low + (high - low) * (i as f64 / last)).collect();
        let losses = points.rows().iter().map(|p| p.loss).collect();
        let envelope = Self { runs, losses, computes };
        let best = envelope.best(|_| true, |at| envelope.losses[at]);
        if best.len() < 2 {
            return Err(FitError::Needs { law, what: "runs whose ranges of compute overlap" });
        }
        result(law, points, &best, Box::new(envelope), options)
    }

    /// The best run at each compute that at least two runs pass, each curve a polygon of loss over ln C.
    fn best(&self, counts: impl Fn(usize) -> bool, loss: impl Fn(usize) -> f64) -> Vec<Best> {
        let curves: Vec<Vec<(f64, f64, f64, f64)>> = self
            .runs
            .iter()
            .map(|run| {
                let rows = run.iter().filter(|(at, _)| counts(*at));
                rows.map(|(at, [c, n, d])| (*c, loss(*at), *n, *d)).collect()
            })
            .collect();
        let mut position = vec![0; curves.len()];
        let mut all = Vec::new();
        for compute in &self.computes {
            let (mut passing, mut best) = (0, None);
            for (curve, position) in curves.iter().zip(&mut position) {
                while *position + 1 < curve.len() && curve[*position + 1].0 < *compute {
                    *position += 1;
                }
                let (Some(a), Some(b)) = (curve.get(*position), curve.get(*position + 1)) else { continue };
                if !(a.0..=b.0).contains(compute) {
                    continue;
                }
                passing += 1;
                let part = if b.0 > a.0 { (compute - a.0) / (b.0 - a.0) } else { 0.0 };
                let between = |a: f64, b: f64| a + part * (b - a);
                let loss = between(a.1, b.1);
                if best.is_none_or(|(least, _)| loss < least) {
                    let log_tokens = between(a.3, b.3);
                    best = Some((loss, Best { log_compute: *compute, log_params: a.2, log_tokens }));
                }
            }
            all.extend(best.filter(|_| passing > 1).map(|(_, best)| best));
        }
        all
    }
}

impl Refit for Envelope {
    fn refit(&self, sample: Sample<'_>) -> Option<Vec<f64>> {
        let losses = sample.losses.unwrap_or(&self.losses);
        powers(&self.best(|at| sample.weights[at] > 0.0, |at| losses[at]))
    }
}

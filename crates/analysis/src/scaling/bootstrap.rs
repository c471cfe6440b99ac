//! Intervals by resampling.

use std::collections::BTreeMap;

use rayon::prelude::*;
use retrace_numerics::random::Stream;
use retrace_spec::recipe::scaling::{Bootstrap, FitOptions, LawName, Resampling};
use serde::{Deserialize, Serialize};

use super::fit::{Fit, FitError, prepare};
use super::point::Points;
use super::search::Sample;

/// The intervals of a law's parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// How they were found.
    pub bootstrap: Bootstrap,
    /// The samples to which the law could not be fitted; they are left out.
    pub failed: usize,
    /// The percentile interval of each parameter.
    pub parameters: BTreeMap<String, [f64; 2]>,
}

/// A fit with its bootstrap samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Resampled {
    /// The fit, with intervals.
    pub fit: Fit,
    /// The points that it was fitted to.
    pub points: Points,
    /// The parameters for each sample, in the order of [`LawName::parameters`].
    pub samples: Vec<Vec<f64>>,
    pub(super) bootstrap: Bootstrap,
}

/// Fits a law and finds its parameters' intervals. The result depends on the seed and not on the threads.
///
/// # Errors
/// As [`super::fit`]; or if an option of the bootstrap is out of its range, or losses are to be drawn from a law that
/// says none.
pub fn bootstrap(
    points: &Points,
    law: LawName,
    options: &FitOptions,
    bootstrap: &Bootstrap,
) -> Result<Resampled, FitError> {
    bootstrap.check().map_err(|(option, expected)| FitError::Option(option, expected))?;
    if bootstrap.by == Resampling::Parametric && !law.has_loss() {
        return Err(FitError::Needs {
            law,
            what: "a bootstrap by run or case: it says no loss from which losses could be drawn",
        });
    }
    let prepared = prepare(points, law, options)?;
    let (mut fit, points, again) = (prepared.fit, prepared.points, prepared.again);
    if bootstrap.by == Resampling::None {
        return Ok(Resampled { fit, points, samples: Vec::new(), bootstrap: *bootstrap });
    }
    let rows = points.rows();
    let stream = Stream::new(bootstrap.seed, "scaling bootstrap");
    let laws: Vec<f64> = rows.iter().map(|p| libm::log(fit.loss_at(p))).collect();
    let deviation = deviation(&fit, &points);
    let ones = vec![1.0; rows.len()];
    let draw = |sample: usize| {
        let counts = |n: usize| {
            let mut counts = vec![0.0; n];
            for index in 0..n {
                counts[stream.below(sample as u64, index as u64, n as u64) as usize] += 1.0;
            }
            counts
        };
        match bootstrap.by {
            Resampling::Case => again.refit(Sample { weights: &counts(rows.len()), losses: None }),
            Resampling::Run => {
                let counts = counts(points.runs());
                let weights: Vec<f64> = points.clusters().iter().map(|run| counts[*run]).collect();
                again.refit(Sample { weights: &weights, losses: None })
            }
            Resampling::Parametric => {
                let mut noise = vec![0.0; rows.len()];
                stream.normal(sample as u64, deviation, &mut noise);
                let losses: Vec<f64> =
                    laws.iter().zip(noise).map(|(law, noise)| libm::exp(law + f64::from(noise))).collect();
                again.refit(Sample { weights: &ones, losses: Some(&losses) })
            }
            Resampling::None => None,
        }
    };
    let samples: Vec<Vec<f64>> = (0..bootstrap.samples).into_par_iter().with_min_len(8).filter_map(draw).collect();
    let failed = bootstrap.samples - samples.len();
    if samples.is_empty() {
        return Err(FitError::NoFit);
    }
    let parameters = law.parameters().iter().enumerate().map(|(k, name)| {
        let values = samples.iter().map(|sample| sample[k]).collect();
        ((*name).to_owned(), interval(values, bootstrap.level))
    });
    let parameters = parameters.collect();
    fit.intervals = Some(Intervals { bootstrap: *bootstrap, failed, parameters });
    Ok(Resampled { fit, points, samples, bootstrap: *bootstrap })
}

/// The standard deviation of the points' ln L around the law, with the parameters' degrees of freedom taken off.
pub(super) fn deviation(fit: &Fit, points: &Points) -> f64 {
    // The two-step law's loss is that at the end of a run.
    let finals = (fit.law == LawName::TwoStep).then(|| points.finals());
    let points = finals.as_ref().unwrap_or(points);
    let squares = points.rows().iter().map(|p| {
        let missed = libm::log(fit.loss_at(p)) - libm::log(p.loss);
        missed * missed
    });
    let free = points.rows().len().saturating_sub(fit.law.parameters().len()).max(1);
    (squares.sum::<f64>() / free as f64).sqrt()
}

/// The interval that holds the part `level` of the values and leaves out as many below as above, between neighbours by
/// linear interpolation.
pub(super) fn interval(mut values: Vec<f64>, level: f64) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    let at = |part: f64| {
        let place = part * (values.len() - 1) as f64;
        let below = (libm::floor(place) as usize).min(values.len() - 1);
        let above = (below + 1).min(values.len() - 1);
        let (part, gap) = (place - below as f64, values[above] - values[below]);
        // The gap between finite numbers need not be one.
        if gap.is_finite() { values[below] + part * gap } else { (1.0 - part) * values[below] + part * values[above] }
    };
    [at((1.0 - level) / 2.0), at(1.0 - (1.0 - level) / 2.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_leaves_out_as_much_on_both_sides() {
        // numpy.quantile(range(9), [0.125, 0.875]) is [1, 7], and of range(8) [0.875, 6.125].
        assert_eq!(interval((0..9).rev().map(f64::from).collect(), 0.75), [1.0, 7.0]);
        assert_eq!(interval((0..8).rev().map(f64::from).collect(), 0.75), [0.875, 6.125]);
        assert_eq!(interval(vec![3.0], 0.9), [3.0, 3.0]);
    }
}

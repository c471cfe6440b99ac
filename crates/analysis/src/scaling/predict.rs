//! What a law says about models that were not trained: the loss of one, the best one for a budget, and how far two fits
//! are apart.

use std::collections::BTreeMap;

use retrace_numerics::random::Stream;
use retrace_spec::recipe::scaling::{Budget, LawName};
use serde::{Deserialize, Serialize};

use super::bootstrap::{Resampled, deviation, interval};
use super::fit::Fit;
use super::law::loss;
use super::point::Points;
use super::predictions::Incomparable;
use super::warning::Warning;

/// The best model for a compute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Optimum {
    /// C, in floating-point operations.
    pub compute: f64,
    /// N_opt.
    pub params: f64,
    /// D_opt.
    pub tokens: f64,
    /// D_opt / N_opt.
    pub tokens_per_param: f64,
}

/// The intervals of an [`Optimum`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OptimumInterval {
    /// Of N_opt.
    pub params: [f64; 2],
    /// Of D_opt.
    pub tokens: [f64; 2],
    /// Of D_opt / N_opt.
    pub tokens_per_param: [f64; 2],
    /// The samples whose law has no optimum at this compute; they are left out.
    pub failed: usize,
}

/// A law's prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The law.
    pub law: LawName,
    /// N.
    pub params: f64,
    /// D.
    pub tokens: f64,
    /// The loss, in the points' unit; `None` if the law says none.
    pub loss: Option<f64>,
    /// The interval of the law's loss: what resampling changes.
    pub loss_interval: Option<[f64; 2]>,
    /// The interval of the loss of a run: the law's with the points' distance from the law. It is what a later run is
    /// compared with.
    pub run_interval: Option<[f64; 2]>,
    /// The accuracy (`two-step`).
    pub accuracy: Option<f64>,
    /// Its interval.
    pub accuracy_interval: Option<[f64; 2]>,
    /// How far it is beyond the points.
    pub warnings: Vec<Warning>,
}

/// How a prediction came out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// (observed - predicted) / predicted.
    pub error: f64,
    /// Whether the observed loss is in the interval of a run's.
    pub within: bool,
}

impl Prediction {
    /// The loss and the interval of a run, with which a later run is compared.
    ///
    /// # Errors
    /// If there is none, so that no later run can be compared.
    pub fn checkable(&self) -> Result<(f64, [f64; 2]), Incomparable> {
        let loss = self.loss.ok_or(Incomparable::NoLoss)?;
        Ok((loss, self.run_interval.ok_or(Incomparable::NoInterval)?))
    }

    /// Compares the prediction with a loss observed later, in the same unit; `None` if no loss was predicted.
    pub fn outcome(&self, observed: f64) -> Option<Outcome> {
        let (loss, [low, high]) = self.checkable().ok()?;
        Some(Outcome { error: (observed - loss) / loss, within: (low..=high).contains(&observed) })
    }
}

/// How far two fits of the same law are apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distance {
    /// Second minus first, by parameter.
    pub parameters: BTreeMap<String, f64>,
    /// The largest difference of an exponent, without sign.
    pub exponents: f64,
    /// The root mean square of the relative difference of the losses at the points of both; `None` if the law says none.
    pub loss: Option<f64>,
}

/// Two digitisations of one figure differ by up to this in the exponents (those of Hoffmann et al.'s figure 4 by 0.02 to
/// 0.03): a smaller difference is no difference, and a smaller agreement says nothing.
pub const DIGITISATION: f64 = 0.03;

impl Distance {
    /// Whether the exponents differ by no more than two digitisations of one figure do.
    pub fn is_below_digitisation(&self) -> bool {
        self.exponents <= DIGITISATION
    }
}

/// The names of exponents.
fn is_exponent(name: &str) -> bool {
    matches!(name, "a" | "b" | "alpha" | "beta" | "gamma" | "delta" | "alpha_N" | "alpha_D")
}

/// The distance of two fits; `None` if they are not of one law.
pub fn distance(first: (&Fit, &Points), second: (&Fit, &Points)) -> Option<Distance> {
    let (law, other) = (first.0, second.0);
    if law.law != other.law {
        return None;
    }
    let parameters: BTreeMap<String, f64> =
        law.parameters.iter().filter_map(|(name, a)| Some((name.clone(), other.parameters.get(name)? - a))).collect();
    // In the two-step and bounded laws, a and b are coefficients.
    let powers = matches!(law.law, LawName::Hoffmann1 | LawName::Hoffmann2);
    let exponents = parameters
        .iter()
        .filter(|(name, _)| is_exponent(name) && (powers || !matches!(name.as_str(), "a" | "b")))
        .map(|(_, change)| change.abs())
        .fold(0.0, f64::max);
    let loss = law.law.has_loss().then(|| {
        let rows = first.1.rows().iter().chain(second.1.rows());
        let squares: f64 = rows
            .clone()
            .map(|p| {
                let ratio = libm::log(other.loss_at(p)) - libm::log(law.loss_at(p));
                ratio * ratio
            })
            .sum();
        (squares / rows.count() as f64).sqrt()
    });
    Some(Distance { parameters, exponents, loss })
}

/// The best model for a compute by a law's parameters; `None` where there is none between one parameter and one token.
fn optimum(law: LawName, p: &[f64], compute: f64) -> Option<Optimum> {
    let (params, tokens) = match (law, p) {
        (LawName::Hoffmann1 | LawName::Hoffmann2, &[g_n, a, g_d, b]) => {
            (g_n * libm::pow(compute, a), g_d * libm::pow(compute, b))
        }
        // Hoffmann et al. (2022), equation 4.
        (LawName::Hoffmann3 | LawName::VariableProjection, &[_, a, b, alpha, beta])
        | (LawName::TwoStep, &[_, a, b, alpha, beta, ..]) => {
            if !(alpha > 0.0 && beta > 0.0) {
                return None;
            }
            let g = libm::pow(alpha * a / (beta * b), 1.0 / (alpha + beta));
            let params = g * libm::pow(compute / 6.0, beta / (alpha + beta));
            (params, compute / 6.0 / params)
        }
        _ => {
            let params = libm::exp(lowest(libm::log(compute / 6.0), |log_n| {
                let params = libm::exp(log_n);
                let tokens = compute / 6.0 / params;
                loss(law, p, params, tokens, tokens)
            })?);
            (params, compute / 6.0 / params)
        }
    };
    let tokens_per_param = tokens / params;
    let all = [params, tokens, tokens_per_param];
    let possible = all.iter().all(|value| value.is_finite() && *value > 0.0);
    possible.then_some(Optimum { compute, params, tokens, tokens_per_param })
}

/// Where a function is lowest between 0 and `end`: the lowest of 200 places, then the golden section. `None` if that is
/// at an end.
fn lowest(end: f64, function: impl Fn(f64) -> f64) -> Option<f64> {
    const PLACES: i32 = 200;
    let place = |i: i32| end * f64::from(i) / f64::from(PLACES);
    let value = |i: i32| Some(function(place(i))).filter(|value| value.is_finite());
    let best = (0..=PLACES).filter_map(|i| Some((i, value(i)?))).reduce(|a, b| if b.1 < a.1 { b } else { a })?.0;
    if best == 0 || best == PLACES || value(best - 1).is_none() || value(best + 1).is_none() {
        return None;
    }
    let (mut low, mut high) = (place(best - 1), place(best + 1));
    let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
    for _ in 0..80 {
        let (a, b) = (high - ratio * (high - low), low + ratio * (high - low));
        if function(a) <= function(b) {
            high = b;
        } else {
            low = a;
        }
    }
    Some(0.5 * (low + high))
}

/// The two-step law's accuracy for a loss.
fn accuracy(law: LawName, p: &[f64], loss: f64) -> Option<f64> {
    let (LawName::TwoStep, &[.., a, k, middle, b]) = (law, p) else { return None };
    Some(a / (1.0 + libm::exp(-k * (loss - middle))) + b)
}

impl Fit {
    /// The best model for a training compute; `None` where the law has none.
    pub fn optimum(&self, compute: f64) -> Option<Optimum> {
        optimum(self.law, &self.values(), compute)
    }

    /// The accuracy at a loss on the task (`two-step`); `None` for other laws.
    pub fn accuracy(&self, loss: f64) -> Option<f64> {
        accuracy(self.law, &self.values(), loss)
    }
}

impl Resampled {
    /// The best model for a training compute with its intervals; `None` where the law has none.
    pub fn optimum(&self, compute: f64) -> Option<(Optimum, OptimumInterval)> {
        let best = self.fit.optimum(compute)?;
        let all: Vec<Optimum> =
            self.samples.iter().filter_map(|sample| optimum(self.fit.law, sample, compute)).collect();
        if all.is_empty() {
            return None;
        }
        let of = |value: fn(&Optimum) -> f64| interval(all.iter().map(value).collect(), self.bootstrap.level);
        let intervals = OptimumInterval {
            params: of(|best| best.params),
            tokens: of(|best| best.tokens),
            tokens_per_param: of(|best| best.tokens_per_param),
            failed: self.samples.len() - all.len(),
        };
        Some((best, intervals))
    }

    /// What the law says for a budget, with intervals; `None` where it has no optimum for a compute.
    pub fn predict(&self, budget: Budget) -> Option<Prediction> {
        let (params, tokens) = match budget {
            Budget::Model { params, tokens } => (params, tokens),
            Budget::Compute(compute) => {
                let best = self.fit.optimum(compute)?;
                (best.params, best.tokens)
            }
        };
        let law = self.fit.law;
        let said = Some(self.fit.loss(params, tokens)).filter(|loss| loss.is_finite());
        let losses: Vec<f64> = self
            .samples
            .iter()
            .map(|sample| loss(law, sample, params, tokens, tokens))
            .filter(|loss| loss.is_finite())
            .collect();
        let level = self.bootstrap.level;
        let of = |values: Vec<f64>| (!values.is_empty()).then(|| interval(values, level));
        let mut noise = vec![0.0_f32; losses.len()];
        if law.has_loss() {
            let deviation = deviation(&self.fit, &self.points);
            Stream::new(self.bootstrap.seed, "scaling prediction").normal(0, deviation, &mut noise);
        }
        // A law that is far from the points says little: the largest number stands for an infinite one.
        let runs = losses.iter().zip(noise).map(|(loss, noise)| loss * libm::exp(f64::from(noise)));
        let runs = runs.filter(|loss| !loss.is_nan()).map(|loss| loss.min(f64::MAX)).collect();
        let accuracies = self.samples.iter().filter_map(|sample| {
            accuracy(law, sample, loss(law, sample, params, tokens, tokens)).filter(|value| value.is_finite())
        });
        Some(Prediction {
            law,
            params,
            tokens,
            loss: said,
            accuracy: said.and_then(|loss| self.fit.accuracy(loss)),
            accuracy_interval: of(accuracies.collect()),
            run_interval: of(runs),
            loss_interval: of(losses),
            warnings: Warning::extrapolation(&self.points, params, tokens, 6.0 * params * tokens).into_iter().collect(),
        })
    }
}

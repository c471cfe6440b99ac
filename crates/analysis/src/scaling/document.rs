//! The document of the step `scaling/1`: points and the law of Hoffmann et al. (2022, approach 3) fitted to them.

use retrace_spec::recipe::{LossUnit, ParamsUnit};
use serde::{Deserialize, Serialize};

use super::fit::{FitError, Options};
use super::law::LawName;
use super::point::Points;

/// The law's five constants, and the quality of the fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hoffmann3 {
    /// E, the loss that neither size nor data reduces, in nats per token.
    pub e: f64,
    /// A, the coefficient of size.
    pub a: f64,
    /// B, the coefficient of data.
    pub b: f64,
    /// α, the exponent of size.
    pub alpha: f64,
    /// β, the exponent of data.
    pub beta: f64,
    /// The sum of the Huber losses over the points.
    pub objective: f64,
    /// The fraction of the log loss's variance that the law explains, on the same points to which it was fitted.
    pub r2: f64,
    /// The number of points.
    pub points: usize,
    /// The number of different sizes among them.
    pub sizes: usize,
}

/// The points of a fit, and the law or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Law {
    /// What the loss is measured on, in a few words.
    pub loss: String,
    /// Which parameters are counted.
    pub params_unit: ParamsUnit,
    /// The unit of the loss.
    pub loss_unit: LossUnit,
    /// The points.
    pub runs: Vec<RunPoints>,
    /// The law, or why there is none.
    pub fit: Result<Hoffmann3, String>,
}

/// The points of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunPoints {
    /// The run.
    pub run: String,
    /// Its model's parameters.
    pub params: f64,
    /// (tokens, loss).
    pub points: Vec<(f64, f64)>,
}

impl Hoffmann3 {
    /// Whether the constants can be a law: both exponents above 0, so that more size or data means less loss, and at
    /// most 2, the steepest of the starting points. Published exponents are below 1. A term that falls more steeply is
    /// a step between two sizes, or caused by a few outliers.
    pub fn is_plausible(&self) -> bool {
        [self.alpha, self.beta].iter().all(|exponent| *exponent > 0.0 && *exponent <= 2.0)
    }

    /// The law's loss for a model of `params` parameters after `tokens` tokens.
    pub fn loss(&self, params: f64, tokens: f64) -> f64 {
        self.e + self.a * libm::pow(params, -self.alpha) + self.b * libm::pow(tokens, -self.beta)
    }

    /// Fits the law by its paper's procedure.
    ///
    /// # Errors
    /// If the points cannot determine it: fewer than 6, or all of the same size or the same number of tokens.
    pub fn fit(points: &Points) -> Result<Self, FitError> {
        let fit = super::fit(points, LawName::Hoffmann3, &Options::default())?;
        let &[e, a, b, alpha, beta] = fit.values().as_slice() else { return Err(FitError::NoFit) };
        let (objective, r2, points, sizes) = (fit.objective, fit.r2, fit.points, fit.sizes);
        Ok(Self { e, a, b, alpha, beta, objective, r2, points, sizes })
    }
}

//! A law fitted to points.

use std::collections::{BTreeMap, BTreeSet};

use retrace_spec::recipe::scaling::{FitOptions, Grid, LawName, Reduction};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::envelope::Envelope;
use super::form::{Additive, Bounded, Kaplan, Neo};
use super::isoflop::IsoFlop;
use super::law::loss;
use super::objective::{COLUMNS, Huber};
use super::parameters::{Centre, Search};
use super::point::{Point, Points};
use super::search::{Found, Refit, Row, search, stop};
use super::warning::{Warning, most_changed};
use super::{projection, repeated, two_step};

/// The searches of a fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starts {
    /// The number of starting points.
    pub tried: usize,
    /// Those without a finite objective.
    pub failed: usize,
    /// Those whose search came within a hundredth of the best objective.
    pub reached: usize,
    /// Whether the best converged: continued with the strictest tolerance, its objective decreases by no more than
    /// 10⁻⁹ of itself.
    pub converged: bool,
}

/// A law with its parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The law.
    pub law: LawName,
    /// Its parameters by name ([`LawName::parameters`]); losses in the points' unit.
    pub parameters: BTreeMap<String, f64>,
    /// The sum of the Huber losses; for `variable-projection` half the sum of squares in L, for `hoffmann-1` and
    /// `hoffmann-2` half the sum of squares in ln N_opt.
    pub objective: f64,
    /// The fraction of the variance of ln L that the law explains on the points to which it was fitted; of ln N_opt for
    /// `hoffmann-1` and `hoffmann-2`.
    pub r2: f64,
    /// The number of points that it was fitted to.
    pub points: usize,
    /// The number of different sizes among them.
    pub sizes: usize,
    /// The searches.
    pub starts: Starts,
    /// The intervals of the parameters, if they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intervals: Option<super::bootstrap::Intervals>,
    /// What a reader must know before believing the numbers.
    pub warnings: Vec<Warning>,
}

/// Why no law was fitted.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum FitError {
    /// As many parameters as points, or more.
    #[error("{points} points cannot determine the {parameters} parameters of the law {law}; at least {} are needed", parameters + 1)]
    TooFew {
        /// The law.
        law: LawName,
        /// The number of points.
        points: usize,
        /// The number of its parameters.
        parameters: usize,
    },
    /// One value only: a term of the law cannot be distinguished from the irreducible loss.
    #[error(
        "all points have the same {0}, so its term cannot be separated from the irreducible loss; at least two values are needed"
    )]
    Single(&'static str),
    /// The points lack what the law needs.
    #[error("the law {law} needs {what}")]
    Needs {
        /// The law.
        law: LawName,
        /// What it needs.
        what: &'static str,
    },
    /// The law has no loss that could be compared with points.
    #[error("the law {law} says the best model for a compute, and no loss that could be compared with the points")]
    NoLoss {
        /// The law.
        law: LawName,
    },
    /// An option out of its range.
    #[error("the option {0} must be {1}")]
    Option(&'static str, &'static str),
    /// No starting point led to a result.
    #[error("no fit was found from any starting point: the range of the points is too large for binary64")]
    NoFit,
}

impl Fit {
    /// The parameters in the order of [`LawName::parameters`].
    pub fn values(&self) -> Vec<f64> {
        self.law.parameters().iter().map(|name| self.parameters.get(*name).copied().unwrap_or(f64::NAN)).collect()
    }

    /// The law's loss for a model of `params` parameters after `tokens` tokens without repetition; NaN for a law that
    /// says none ([`LawName::has_loss`]), or where it is not above 0.
    pub fn loss(&self, params: f64, tokens: f64) -> f64 {
        loss(self.law, &self.values(), params, tokens, tokens)
    }

    /// As [`Self::loss`] at a point, with its unique tokens.
    pub fn loss_at(&self, point: &Point) -> f64 {
        loss(self.law, &self.values(), point.params, point.tokens, point.unique_tokens.unwrap_or(point.tokens))
    }
}

/// Fits a law.
///
/// # Errors
/// If the points cannot determine it, or lack what it needs, or an option is out of its range.
pub fn fit(points: &Points, law: LawName, options: &FitOptions) -> Result<Fit, FitError> {
    Ok(prepare(points, law, options)?.fit)
}

/// A fit and what fits the law again to a sample.
pub(super) struct Prepared {
    pub(super) fit: Fit,
    /// The points that it was fitted to.
    pub(super) points: Points,
    pub(super) again: Box<dyn Refit>,
}

pub(super) fn prepare(points: &Points, law: LawName, options: &FitOptions) -> Result<Prepared, FitError> {
    options.check().map_err(|(option, expected)| FitError::Option(option, expected))?;
    let enough = |points: &Points| enough(points, law);
    match law {
        LawName::Kaplan => {
            enough(points)?;
            by_form(points.clone(), law, Kaplan, options)
        }
        LawName::Hoffmann3 => {
            enough(points)?;
            by_form(points.clone(), law, Additive, options)
        }
        LawName::Neo => {
            enough(points)?;
            by_form(points.clone(), law, Neo, options)
        }
        LawName::Bounded => {
            enough(points)?;
            if points.rows().iter().all(|p| p.unique_tokens.is_none_or(|unique| unique == p.tokens)) {
                return Err(FitError::Needs { law, what: "points with repeated tokens (unique_tokens below tokens)" });
            }
            by_form(points.clone(), law, Bounded, options)
        }
        LawName::Hoffmann1 => Envelope::fit(points, options),
        LawName::Hoffmann2 => IsoFlop::fit(points, options),
        LawName::VariableProjection => {
            enough(points)?;
            projection::fit(points, options)
        }
        LawName::DataConstrained => repeated::fit(points, options),
        LawName::TwoStep => two_step::fit(points, options),
    }
}

/// The number of different values among the points.
pub(super) fn distinct(points: &Points, of: impl Fn(&Point) -> f64) -> usize {
    points.rows().iter().map(|p| of(p).to_bits()).collect::<BTreeSet<_>>().len()
}

/// Whether there are more points than parameters, of several sizes and several numbers of tokens.
pub(super) fn enough(points: &Points, law: LawName) -> Result<(), FitError> {
    let parameters = match law {
        LawName::TwoStep => 5,
        law => law.parameters().len(),
    };
    if points.rows().len() <= parameters {
        return Err(FitError::TooFew { law, points: points.rows().len(), parameters });
    }
    if distinct(points, |point| point.params) == 1 {
        return Err(FitError::Single("params"));
    }
    if distinct(points, |point| point.tokens) == 1 {
        return Err(FitError::Single("tokens"));
    }
    Ok(())
}

/// The rows of points for forms of ln N, ln D and ln of the unique tokens, from their centres.
pub(super) fn rows(points: &Points, target: impl Fn(f64) -> f64) -> (Vec<Row>, Centre) {
    let logs: Vec<[f64; 3]> = points
        .rows()
        .iter()
        .map(|p| [p.params, p.tokens, p.unique_tokens.unwrap_or(p.tokens)].map(libm::log))
        .collect();
    let middle = |k: usize| logs.iter().map(|log| log[k]).sum::<f64>() / logs.len() as f64;
    let x: [f64; COLUMNS] = [middle(0), middle(1), middle(2), 0.0];
    let losses = points.rows().iter().map(|p| p.loss);
    let centre =
        Centre { x, least: losses.clone().fold(f64::INFINITY, f64::min), most: losses.clone().fold(0.0, f64::max) };
    let rows = logs
        .iter()
        .zip(losses)
        .map(|([n, d, u], loss)| Row { x: [n - x[0], d - x[1], u - x[2], 0.0], target: target(loss) })
        .collect();
    (rows, centre)
}

pub(super) fn huber(options: &FitOptions, points: usize) -> Huber {
    let scale = match options.reduction {
        Reduction::Sum => 1.0,
        Reduction::Mean => 1.0 / points as f64,
    };
    Huber { delta: options.delta, scale }
}

/// The starts of a grid for a law.
pub(super) fn starts<F: Search<W>, const W: usize>(
    form: &F,
    centre: &Centre,
    law: LawName,
    grid: &Grid,
) -> Result<Vec<[f64; W]>, FitError> {
    if grid.is_paper() {
        return Ok(form.grid(centre));
    }
    let starts: Option<Vec<_>> = grid.starts(law).into_iter().flatten().map(|start| form.at(&start, centre)).collect();
    let starts = starts.filter(|starts| !starts.is_empty());
    starts.ok_or(FitError::Option("grid", "values of each parameter that the law searches for, coefficients above 0"))
}

fn by_form<F: Search<W> + Send + 'static, const W: usize>(
    points: Points,
    law: LawName,
    form: F,
    options: &FitOptions,
) -> Result<Prepared, FitError> {
    let (rows, centre) = rows(&points, |loss| form.target(loss));
    let huber = huber(options, rows.len());
    let starts = starts(&form, &centre, law, &options.grid)?;
    let found = search(form, rows, centre, huber, &starts, stop(options))?;
    finish(points, law, found.parameters(), found, options)
}

/// The result of a law that was found by one search.
pub(super) fn finish<F: Search<W> + Send + 'static, const W: usize>(
    points: Points,
    law: LawName,
    values: Vec<f64>,
    found: Found<F, W>,
    options: &FitOptions,
) -> Result<Prepared, FitError> {
    if !values.iter().all(|value| value.is_finite()) {
        return Err(FitError::NoFit);
    }
    let mut fit = Fit {
        law,
        parameters: named(law, &values),
        objective: found.best.value / found.huber.scale,
        r2: 0.0,
        points: points.rows().len(),
        sizes: distinct(&points, |point| point.params),
        starts: found.starts,
        intervals: None,
        warnings: Vec::new(),
    };
    let logs = points.rows().iter().map(|p| (libm::log(p.loss), libm::log(fit.loss_at(p))));
    fit.r2 = explained(logs);
    if !found.starts.converged {
        let gain = (found.best.value - found.continued.value) / found.best.value;
        let continued = named(law, &found.form.law(&found.continued.at, &found.centre));
        fit.warnings.push(Warning::stopped_early(gain, &fit.parameters, &continued));
    }
    fit.warnings.extend(outliers(&fit, &points, &found));
    fit.warnings.extend(Warning::of(&fit, &points, options));
    Ok(Prepared { fit, points, again: Box::new(found) })
}

/// Points are outliers from this many robust standard deviations on (1.4826 times the median absolute residual): among
/// normal residuals one in 5 · 10⁸ is.
const OUTLYING: f64 = 6.0;

/// The points far from the law, and what the law would be without them.
fn outliers<F: Search<W>, const W: usize>(fit: &Fit, points: &Points, found: &Found<F, W>) -> Option<Warning> {
    let sizes: Vec<f64> = points.rows().iter().map(|p| (libm::log(fit.loss_at(p)) - libm::log(p.loss)).abs()).collect();
    let mut sorted = sizes.clone();
    sorted.sort_by(f64::total_cmp);
    // Exact points have residuals of rounding only.
    let limit = (OUTLYING * 1.4826 * sorted[sorted.len() / 2]).max(1e-6);
    let rows: Vec<usize> = (0..sizes.len()).filter(|at| sizes[*at] > limit).collect();
    if rows.is_empty() {
        return None;
    }
    let weights: Vec<f64> = sizes.iter().map(|size| if *size > limit { 0.0 } else { 1.0 }).collect();
    let without = found.again(&weights, None)?;
    let without = named(fit.law, &found.form.law(&without.at, &found.centre));
    let (parameter, _) = most_changed(&fit.parameters, &without);
    let without = without.get(&parameter).copied().filter(|value| value.is_finite())?;
    Some(Warning::Outliers { rows, parameter, without })
}

pub(super) fn named(law: LawName, values: &[f64]) -> BTreeMap<String, f64> {
    law.parameters().iter().map(|name| (*name).to_owned()).zip(values.iter().copied()).collect()
}

/// R² of (value, prediction).
pub(super) fn explained(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let count = pairs.clone().count() as f64;
    let mean = pairs.clone().map(|(value, _)| value).sum::<f64>() / count;
    let missed: f64 = pairs.clone().map(|(value, predicted)| (predicted - value) * (predicted - value)).sum();
    let whole: f64 = pairs.map(|(value, _)| (value - mean) * (value - mean)).sum();
    if whole > 0.0 { 1.0 - missed / whole } else { 0.0 }
}

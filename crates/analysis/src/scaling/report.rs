//! Everything that a report of scaling laws says, from the points. It is the document that the step `scaling/1` and
//! `retrace report scaling` write, and has all that is needed to fit again.

use std::collections::BTreeMap;

use rayon::prelude::*;
use retrace_spec::recipe::scaling::{Bootstrap, Budget, FitOptions, LawName};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::law::loss;
use super::{
    Fit, FitError, Holdout, Optimum, OptimumInterval, Point, Points, Prediction, Resampled, Starts, Warning, bootstrap,
    compare, leave_largest_out, rolling,
};

/// What a report is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The laws.
    pub laws: Vec<LawName>,
    /// How they are fitted.
    pub fit: FitOptions,
    /// How their intervals are found.
    pub intervals: Bootstrap,
    /// The part of the runs, those with the largest computes, that is held out when laws are compared.
    pub held_out: f64,
    /// The number of cuts at which extrapolation is tested.
    pub cuts: usize,
    /// What is predicted.
    pub predict: Vec<Budget>,
}

/// A report of scaling laws.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// [`Report::SCHEMA`].
    #[serde(deserialize_with = "schema")]
    pub retrace: String,
    /// What the loss is measured on, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
    /// What was asked for.
    pub request: Request,
    /// The laws, in the order of the request.
    pub laws: Vec<LawReport>,
    /// The laws by their error on the same held-out runs, the best first.
    pub compared: Vec<Compared>,
    /// The points.
    pub points: Points,
}

/// What the report says of a law.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LawReport {
    /// The law.
    pub law: LawName,
    /// Why it was not fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Its parameters; losses in the points' unit.
    pub parameters: BTreeMap<String, f64>,
    /// The sum of the Huber losses, as [`Fit::objective`].
    pub objective: Option<f64>,
    /// As [`Fit::r2`].
    pub r2: Option<f64>,
    /// The number of points that it was fitted to.
    pub points: usize,
    /// The number of different sizes among them.
    pub sizes: usize,
    /// The interval of each parameter.
    pub intervals: BTreeMap<String, [f64; 2]>,
    /// The bootstrap samples to which the law could not be fitted; they are left out.
    pub samples_failed: usize,
    /// The searches.
    pub starts: Option<Starts>,
    /// The best model for the computes of the points and beyond, a power of ten each.
    pub frontier: Vec<FrontierPoint>,
    /// What it predicts for the budgets of the request, in their order; `None` where it has no optimum.
    pub predictions: Vec<Option<Prediction>>,
    /// The error without the largest models.
    pub without_largest: Option<Tested>,
    /// The errors at cuts of compute, the smallest first.
    pub rolling: Vec<Tested>,
    /// What a reader must know before believing the numbers.
    pub warnings: Vec<Told>,
    /// The parameters for each bootstrap sample, for charts. No document has them.
    #[serde(skip)]
    pub samples: Vec<Vec<f64>>,
}

/// The best model for a compute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FrontierPoint {
    /// The model.
    #[serde(flatten)]
    pub best: Optimum,
    /// Its intervals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intervals: Option<OptimumInterval>,
}

/// A law tested on points that it was not fitted to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tested {
    /// The number of points that were held out.
    pub held: usize,
    /// The largest compute among those held out, divided by the largest among those kept.
    pub factor: f64,
    /// The root mean square of ln (predicted / observed) over the points held out.
    pub error: f64,
    /// The mean of ln (predicted / observed).
    pub bias: f64,
    /// The same root mean square over the points kept.
    pub error_kept: f64,
}

/// A law among others on held-out compute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    /// The law.
    pub law: LawName,
    /// Its test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tested: Option<Tested>,
    /// Why it was not tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// A warning and its sentence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The warning.
    #[serde(flatten)]
    pub warning: Warning,
    /// The sentence.
    pub text: String,
}

impl From<Warning> for Told {
    fn from(warning: Warning) -> Self {
        let text = warning.to_string();
        Self { warning, text }
    }
}

impl From<Holdout> for Tested {
    fn from(Holdout { held, factor, error, bias, error_kept, .. }: Holdout) -> Self {
        Self { held, factor, error, bias, error_kept }
    }
}

fn schema<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let schema = String::deserialize(deserializer)?;
    let refuse = || D::Error::custom(format_args!("it is {schema:?}, and {:?} is read here", Report::SCHEMA));
    if schema == Report::SCHEMA { Ok(schema) } else { Err(refuse()) }
}

impl Report {
    /// The kind of the document.
    pub const SCHEMA: &'static str = "scaling-report/1";

    /// The report of these points; `loss` says what their loss is measured on. Laws that cannot be fitted say why.
    ///
    /// # Errors
    /// If no law is asked for that has fewer parameters than there are points.
    pub fn of(points: Points, loss: Option<String>, request: Request) -> Result<Self, FitError> {
        let parameters = |law: &LawName| match law {
            // Their other parameters are fitted to other numbers, or known.
            LawName::TwoStep | LawName::DataConstrained => law.searched().len(),
            law => law.parameters().len(),
        };
        let least = request.laws.iter().map(|law| (parameters(law), *law)).min_by_key(|(count, _)| *count);
        if let Some((parameters, law)) = least.filter(|(count, _)| points.rows().len() <= *count) {
            return Err(FitError::TooFew { law, points: points.rows().len(), parameters });
        }
        let laws = request.laws.par_iter().map(|law| LawReport::of(&points, *law, &request)).collect();
        let compared = compare(&points, &request.laws, &request.fit, request.held_out)
            .into_iter()
            .map(|(law, tested)| match tested {
                Ok(holdout) => Compared { law, tested: Some(holdout.into()), failed: None },
                Err(why) => Compared { law, tested: None, failed: Some(why.to_string()) },
            })
            .collect();
        Ok(Self { retrace: Self::SCHEMA.to_owned(), loss, request, laws, compared, points })
    }

    /// The laws that were fitted.
    pub fn fitted(&self) -> impl Iterator<Item = &LawReport> {
        self.laws.iter().filter(|law| law.failed.is_none())
    }

    /// The number of points that are not the last of their run.
    pub fn along_runs(&self) -> usize {
        self.points.rows().len() - self.points.finals().rows().len()
    }
}

impl LawReport {
    fn of(points: &Points, law: LawName, request: &Request) -> Self {
        match bootstrap(points, law, &request.fit, &request.intervals) {
            Ok(fitted) => Self::fitted(points, fitted, request),
            Err(why) => Self::failed(law, &why),
        }
    }

    fn failed(law: LawName, why: &FitError) -> Self {
        Self {
            law,
            failed: Some(why.to_string()),
            parameters: BTreeMap::new(),
            objective: None,
            r2: None,
            points: 0,
            sizes: 0,
            intervals: BTreeMap::new(),
            samples_failed: 0,
            starts: None,
            frontier: Vec::new(),
            predictions: Vec::new(),
            without_largest: None,
            rolling: Vec::new(),
            warnings: Vec::new(),
            samples: Vec::new(),
        }
    }

    fn fitted(points: &Points, fitted: Resampled, request: &Request) -> Self {
        let (frontier, predictions) = (frontier(points, &fitted), request.predict.iter().map(|of| fitted.predict(*of)));
        let predictions = predictions.collect();
        let Fit { law, parameters, objective, r2, points: count, sizes, starts, intervals, warnings } = fitted.fit;
        let tested = |test: Result<Holdout, FitError>| test.ok().map(Tested::from);
        Self {
            law,
            failed: None,
            parameters,
            objective: Some(objective),
            r2: Some(r2),
            points: count,
            sizes,
            samples_failed: intervals.as_ref().map_or(0, |found| found.failed),
            intervals: intervals.map(|found| found.parameters).unwrap_or_default(),
            starts: Some(starts),
            frontier,
            predictions,
            without_largest: tested(leave_largest_out(points, law, &request.fit)),
            rolling: rolling(points, law, &request.fit, request.cuts).into_iter().filter_map(tested).collect(),
            warnings: warnings.into_iter().map(Told::from).collect(),
            samples: fitted.samples,
        }
    }

    /// The law's loss for a model of `params` parameters after `tokens` tokens without repetition; `None` where it says
    /// none.
    pub fn loss(&self, params: f64, tokens: f64) -> Option<f64> {
        self.loss_at(&Point::new(params, tokens, 1.0))
    }

    /// As [`Self::loss`] at a point, with its unique tokens.
    pub fn loss_at(&self, point: &Point) -> Option<f64> {
        let value = |name: &&str| self.parameters.get(*name).copied();
        let parameters: Vec<f64> = self.law.parameters().iter().map(value).collect::<Option<_>>()?;
        let unique = point.unique_tokens.unwrap_or(point.tokens);
        Some(loss(self.law, &parameters, point.params, point.tokens, unique)).filter(|loss| loss.is_finite())
    }

    /// The significant digits that its parameters need: with fewer, they do not give its losses.
    pub fn digits(&self) -> u32 {
        let needed = self.warnings.iter().filter_map(|told| match told.warning {
            Warning::RoundedConstants { digits, .. } => Some(digits),
            _ => None,
        });
        needed.max().unwrap_or(0).max(4)
    }

    /// Whether all exponents are those of a law: nothing warns of them.
    pub fn is_plausible(&self) -> bool {
        self.failed.is_none() && !self.warnings.iter().any(|told| matches!(told.warning, Warning::Implausible { .. }))
    }
}

/// The best model for powers of ten: from the smallest compute of the points to two beyond the largest.
fn frontier(points: &Points, fitted: &Resampled) -> Vec<FrontierPoint> {
    let computes = || points.rows().iter().map(Point::compute);
    let (least, most) = (computes().fold(f64::INFINITY, f64::min), computes().fold(0.0, f64::max));
    let (first, last) = (libm::ceil(libm::log10(least)) as i32, libm::floor(libm::log10(most)) as i32 + 2);
    let at = |power: i32| {
        let compute = libm::pow(10.0, f64::from(power));
        match fitted.samples.is_empty() {
            true => Some(FrontierPoint { best: fitted.fit.optimum(compute)?, intervals: None }),
            false => {
                fitted.optimum(compute).map(|(best, intervals)| FrontierPoint { best, intervals: Some(intervals) })
            }
        }
    };
    (first..=last).filter_map(at).collect()
}

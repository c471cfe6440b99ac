//! Everything that a report of scaling laws says, from the points.

use std::collections::BTreeMap;

use rayon::prelude::*;
use retrace_spec::recipe::{LossUnit, ParamsUnit};
use serde::Serialize;

use super::{
    Bootstrap, Budget, Fit, FitError, Holdout, LawName, Optimum, OptimumInterval, Options, Points, Prediction,
    Resampled, Starts, Warning, bootstrap, compare, distance, fit, leave_largest_out, rolling,
};

/// What a report is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The laws.
    pub laws: Vec<LawName>,
    /// How they are fitted.
    pub options: Options,
    /// How their intervals are found; `None` for no intervals.
    pub bootstrap: Option<Bootstrap>,
    /// The part of the runs, those with the largest computes, that is held out when laws are compared.
    pub held_out: f64,
    /// The number of cuts at which extrapolation is tested.
    pub cuts: usize,
    /// What is predicted.
    pub budgets: Vec<Budget>,
}

/// A report of scaling laws.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What N counts; `None` if nobody knows.
    pub params_unit: Option<ParamsUnit>,
    /// The unit of the loss; `None` if nobody knows.
    pub loss_unit: Option<LossUnit>,
    /// The number of points.
    pub points: usize,
    /// The number of runs; a point without a run is its own.
    pub runs: usize,
    /// The number of points that are not the last of their run.
    pub along_runs: usize,
    /// The laws, in the order of the request.
    pub laws: Vec<LawReport>,
    /// The laws by their error on the same held-out runs, the best first.
    pub compared: Vec<Compared>,
}

/// What the report says of a law.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LawReport {
    /// The law.
    pub law: LawName,
    /// Why it was not fitted.
    #[serde(skip_serializing_if = "Option::is_none")]
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
    /// How the intervals were found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<BootstrapReport>,
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
    /// The fit with its samples, for charts.
    #[serde(skip)]
    pub fitted: Option<Resampled>,
}

/// How intervals were found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BootstrapReport {
    /// The procedure.
    #[serde(flatten)]
    pub bootstrap: Bootstrap,
    /// The samples to which the law could not be fitted.
    pub failed: usize,
}

/// The best model for a compute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FrontierPoint {
    /// The model.
    #[serde(flatten)]
    pub best: Optimum,
    /// Its intervals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intervals: Option<OptimumInterval>,
}

/// A law tested on points that it was not fitted to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tested {
    /// The number of points that were held out.
    pub held: usize,
    /// The largest compute among those held out, divided by the largest among those kept.
    pub factor: f64,
    /// The root mean square of ln (predicted / observed) over the points held out.
    pub error: f64,
    /// The mean of (predicted - observed) / observed.
    pub bias: f64,
    /// The same root mean square over the points kept.
    pub error_kept: f64,
}

/// A law among others on held-out compute.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// The law.
    pub law: LawName,
    /// Its test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tested: Option<Tested>,
    /// Why it was not tested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// A warning and its sentence.
#[derive(Debug, Clone, PartialEq, Serialize)]
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

impl Report {
    /// The report of these points. Laws that cannot be fitted say why.
    pub fn of(points: &Points, request: &Request) -> Self {
        let laws = request.laws.par_iter().map(|law| LawReport::of(points, *law, request)).collect();
        let compared = compare(points, &request.laws, &request.options, request.held_out)
            .into_iter()
            .map(|(law, tested)| match tested {
                Ok(holdout) => Compared { law, tested: Some(holdout.into()), failed: None },
                Err(why) => Compared { law, tested: None, failed: Some(why.to_string()) },
            })
            .collect();
        Self {
            params_unit: points.params_unit(),
            loss_unit: points.loss_unit(),
            points: points.rows().len(),
            runs: points.runs(),
            along_runs: points.rows().len() - points.finals().rows().len(),
            laws,
            compared,
        }
    }
}

impl LawReport {
    fn of(points: &Points, law: LawName, request: &Request) -> Self {
        let fitted = match &request.bootstrap {
            Some(how) => bootstrap(points, law, &request.options, how),
            None => fit(points, law, &request.options).map(|fit| Resampled::without(fit, points.clone())),
        };
        match fitted {
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
            bootstrap: None,
            starts: None,
            frontier: Vec::new(),
            predictions: Vec::new(),
            without_largest: None,
            rolling: Vec::new(),
            warnings: Vec::new(),
            fitted: None,
        }
    }

    fn fitted(points: &Points, fitted: Resampled, request: &Request) -> Self {
        let Fit { law, parameters, objective, r2, points: count, sizes, starts, intervals, warnings } =
            fitted.fit.clone();
        let tested = |test: Result<Holdout, FitError>| test.ok().map(Tested::from);
        Self {
            law,
            failed: None,
            parameters,
            objective: Some(objective),
            r2: Some(r2),
            points: count,
            sizes,
            bootstrap: intervals
                .as_ref()
                .map(|found| BootstrapReport { bootstrap: found.bootstrap, failed: found.failed }),
            intervals: intervals.map(|found| found.parameters).unwrap_or_default(),
            starts: Some(starts),
            frontier: frontier(points, &fitted),
            predictions: request.budgets.iter().map(|budget| fitted.predict(*budget)).collect(),
            without_largest: tested(leave_largest_out(points, law, &request.options)),
            rolling: rolling(points, law, &request.options, request.cuts).into_iter().filter_map(tested).collect(),
            warnings: warnings.into_iter().map(Told::from).collect(),
            fitted: Some(fitted),
        }
    }

    /// The largest difference of an exponent between this law's fit and another's, as [`distance`].
    pub fn exponents_apart(&self, other: &Self) -> Option<f64> {
        let (a, b) = (self.fitted.as_ref()?, other.fitted.as_ref()?);
        Some(distance((&a.fit, &a.points), (&b.fit, &b.points))?.exponents)
    }
}

/// The best model for powers of ten: from the smallest compute of the points to two beyond the largest.
fn frontier(points: &Points, fitted: &Resampled) -> Vec<FrontierPoint> {
    let computes = || points.rows().iter().map(super::Point::compute);
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

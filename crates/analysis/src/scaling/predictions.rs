//! The document of predictions: what laws say of models before these are trained, and how it came out.

use std::collections::BTreeMap;

use retrace_spec::recipe::scaling::{Budget, LawName, LossUnit, ParamsUnit};
use retrace_spec::{Digest, SpecError, canonical_digest};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Outcome, Point, Points, Prediction, Report};

/// What laws said before a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predictions {
    /// [`Predictions::SCHEMA`].
    pub retrace: String,
    /// The command that makes it.
    pub made: String,
    /// What the loss is measured on, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
    /// The digest of the points that the laws were fitted to.
    pub points_digest: Digest,
    /// N, D and L of each of them: later points are compared only if they are none of these.
    pub fitted: Vec<[f64; 3]>,
    /// What N counts.
    pub params_unit: Option<ParamsUnit>,
    /// The unit of the loss.
    pub loss_unit: Option<LossUnit>,
    /// The predictions.
    pub predictions: Vec<Predicted>,
}

/// A prediction and what it is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Predicted {
    /// The law.
    pub law: LawName,
    /// Its budget.
    pub budget: Budget,
    /// What the law says; `None` if it has no optimum for the budget.
    pub said: Option<Prediction>,
}

/// Later points beside the predictions about them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checks {
    /// Every run that a prediction is about, for each prediction.
    pub compared: Vec<Checked>,
    /// The predictions that no point was compared with.
    pub not_compared: Vec<NotCompared>,
    /// The number of points that were left out because the laws were fitted to them.
    pub fitted: usize,
    /// Points of a predicted compute whose size or tokens are not near the predicted ones. They were left out.
    pub other_shape: Vec<Point>,
}

/// A prediction beside a point that it is about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    /// The law.
    pub law: LawName,
    /// The budget.
    pub budget: Budget,
    /// The predicted loss.
    pub predicted: f64,
    /// The interval of a run's loss.
    pub interval: [f64; 2],
    /// The observed loss.
    pub observed: f64,
    /// Whether it is in the interval.
    pub inside: bool,
    /// (observed - predicted) / predicted.
    pub error: f64,
    /// The point.
    pub point: Point,
}

/// A prediction that was compared with no point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct NotCompared {
    /// The law.
    pub law: LawName,
    /// The budget.
    pub budget: Budget,
    /// The reason.
    pub why: Incomparable,
}

/// Why a prediction cannot be compared with points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Error)]
#[serde(rename_all = "kebab-case")]
pub enum Incomparable {
    /// The law has no optimum for the compute.
    #[error("the law has no best model for this compute")]
    NoOptimum,
    /// The law says no loss.
    #[error("the law says the best model for a compute, and no loss")]
    NoLoss,
    /// There is no interval.
    #[error("the prediction has no interval, because it was made with --bootstrap none")]
    NoInterval,
    /// All points of the model were fitted.
    #[error("the laws were fitted to every point of this model")]
    Fitted,
    /// The compute is the predicted one, the size or the tokens are not.
    #[error(
        "the points of this compute are of other sizes: their parameters or tokens are not near the predicted ones"
    )]
    Shape,
    /// No point is the model.
    #[error("no point is this model")]
    NoModel,
}

/// Why predictions cannot be compared with points.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The points measure something else.
    #[error("the units of the points are not those of the predictions")]
    Units,
    /// All points are those that the predictions were made from.
    #[error("the predictions were made from these points")]
    SamePoints,
    /// No prediction can be compared. The reasons are those of all of them.
    #[error("nothing can be compared: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Nothing(Vec<Incomparable>),
    /// The points have no digest.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// A model counts as the predicted one if its parameters and tokens, or its compute, differ by at most this part.
const NEAR: f64 = 0.02;

/// A model of a predicted compute is compared if its parameters and its tokens are within this factor of the predicted
/// ones: so near the best model the loss is nearly the same.
const SHAPE: f64 = 1.25;

/// A point whose three numbers differ from those of a fitted one by less than this part is that one, also if it was
/// written with six digits.
const SAME: f64 = 1e-5;

impl Predictions {
    /// The kind of the document.
    pub const SCHEMA: &'static str = "prediction/2";

    /// The earlier kind. It does not say which points were fitted, so that nothing is compared with it.
    pub const WITHOUT_POINTS: &'static str = "prediction/1";

    /// The predictions of a report; `made` is the command that makes them.
    ///
    /// # Errors
    /// If the points have no digest.
    pub fn of(report: &Report, made: String) -> Result<Self, SpecError> {
        let predictions = report.fitted().flat_map(|law| {
            let of = |(budget, said): (&Budget, &Option<Prediction>)| Predicted {
                law: law.law,
                budget: *budget,
                said: said.clone(),
            };
            report.request.predict.iter().zip(&law.predictions).map(of)
        });
        Ok(Self {
            retrace: Self::SCHEMA.to_owned(),
            made,
            loss: report.loss.clone(),
            points_digest: digest(&report.points)?,
            fitted: report.points.rows().iter().map(|p| [p.params, p.tokens, p.loss]).collect(),
            params_unit: report.points.params_unit(),
            loss_unit: report.points.loss_unit(),
            predictions: predictions.collect(),
        })
    }

    /// Compares each prediction with every later run that it is about. The laws were not fitted to the points that are
    /// compared.
    ///
    /// # Errors
    /// If the points are of other units or those that the predictions were made from, or nothing can be compared.
    pub fn check(&self, points: &Points) -> Result<Checks, CheckError> {
        if (self.params_unit, self.loss_unit) != (points.params_unit(), points.loss_unit()) {
            return Err(CheckError::Units);
        }
        let same = |a: f64, b: f64| (a - b).abs() <= SAME * b.abs();
        let of = |known: &[f64; 3], p: &Point| {
            [p.params, p.tokens, p.loss].into_iter().zip(known).all(|(new, known)| same(new, *known))
        };
        let later = points.keep(|at| points.rows().get(at).is_some_and(|p| !self.fitted.iter().any(|k| of(k, p))));
        if later.rows().is_empty() {
            return Err(CheckError::SamePoints);
        }
        let fitted = points.rows().len() - later.rows().len();
        let (mut compared, mut not_compared, mut other_shape) = (Vec::new(), Vec::new(), Vec::new());
        for prediction in &self.predictions {
            match prediction.check(&later, points, &mut other_shape) {
                Ok(found) => compared.extend(found),
                Err(why) => not_compared.push(NotCompared { law: prediction.law, budget: prediction.budget, why }),
            }
        }
        if compared.is_empty() {
            let mut why: Vec<Incomparable> = Vec::new();
            for of in &not_compared {
                if !why.contains(&of.why) {
                    why.push(of.why);
                }
            }
            return Err(CheckError::Nothing(why));
        }
        Ok(Checks { compared, not_compared, fitted, other_shape })
    }
}

impl Predicted {
    /// The runs among the `later` points that it is about; `all` has the fitted points too.
    fn check(&self, later: &Points, all: &Points, other_shape: &mut Vec<Point>) -> Result<Vec<Checked>, Incomparable> {
        let said = self.said.as_ref().ok_or(Incomparable::NoOptimum)?;
        let (predicted, interval) = said.checkable()?;
        let near = |a: f64, b: f64| (a / b - 1.0).abs() <= NEAR;
        let is_it = |p: &Point| match self.budget {
            Budget::Compute(compute) => near(p.compute(), compute),
            Budget::Model { params, tokens } => near(p.params, params) && near(p.tokens, tokens),
        };
        let log = |a: f64, b: f64| libm::log(a / b).abs();
        let shaped = |p: &Point| match self.budget {
            Budget::Compute(_) => log(p.params, said.params).max(log(p.tokens, said.tokens)) <= libm::log(SHAPE),
            Budget::Model { .. } => true,
        };
        let away = |p: &Point| match self.budget {
            Budget::Compute(compute) => log(p.compute(), compute),
            Budget::Model { params, tokens } => log(p.params, params) + log(p.tokens, tokens),
        };
        let mut nearest: BTreeMap<usize, f64> = BTreeMap::new();
        let rows = || later.rows().iter().zip(later.clusters());
        for (point, run) in rows().filter(|(point, _)| is_it(point)) {
            if shaped(point) {
                let least = nearest.entry(*run).or_insert(f64::INFINITY);
                *least = least.min(away(point));
            } else if !other_shape.contains(point) {
                other_shape.push(point.clone());
            }
        }
        if nearest.is_empty() {
            return Err(match () {
                () if all.rows().iter().any(|p| is_it(p) && shaped(p)) => Incomparable::Fitted,
                () if all.rows().iter().any(is_it) => Incomparable::Shape,
                () => Incomparable::NoModel,
            });
        }
        // Of a run its nearest point; if several are as near, all of them.
        let found =
            rows().filter(|(p, run)| is_it(p) && shaped(p) && nearest.get(run).is_some_and(|at| away(p) <= *at));
        let checked = found.filter_map(|(point, _)| {
            let Outcome { error, within: inside } = said.outcome(point.loss)?;
            let (law, budget, observed, point) = (self.law, self.budget, point.loss, point.clone());
            Some(Checked { law, budget, predicted, interval, observed, inside, error, point })
        });
        Ok(checked.collect())
    }
}

fn digest(points: &Points) -> Result<Digest, SpecError> {
    canonical_digest("points/1", points.rows())
}

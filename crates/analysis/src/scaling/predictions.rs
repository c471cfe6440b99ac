//! The document of predictions: what laws say of models before these are trained, and how it came out.

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
    /// Their number.
    pub points: usize,
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

/// A prediction beside the point that it is about.
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

/// Why predictions cannot be compared with points.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The points measure something else.
    #[error("the units of the points are not those of the predictions")]
    Units,
    /// The points are those that the predictions were made from.
    #[error("these are the points that the predictions were made from")]
    SamePoints,
    /// No point is a predicted model.
    #[error("no point is a model that is predicted with an interval")]
    NoModel,
    /// The points have no digest.
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// A model counts as the predicted one if its parameters and tokens, or its compute, differ by at most this part.
const NEAR: f64 = 0.02;

impl Predictions {
    /// The kind of the document.
    pub const SCHEMA: &'static str = "prediction/1";

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
            points: report.points.rows().len(),
            params_unit: report.points.params_unit(),
            loss_unit: report.points.loss_unit(),
            predictions: predictions.collect(),
        })
    }

    /// Compares with the points of a later run. A prediction about no point is left out.
    ///
    /// # Errors
    /// If the points are of other units or those that the predictions were made from, or none is a predicted model.
    pub fn check(&self, points: &Points) -> Result<Vec<Checked>, CheckError> {
        if (self.params_unit, self.loss_unit) != (points.params_unit(), points.loss_unit()) {
            return Err(CheckError::Units);
        }
        if digest(points)? == self.points_digest {
            return Err(CheckError::SamePoints);
        }
        let checked = self.predictions.iter().filter_map(|Predicted { law, budget, said }| {
            let (said, point) = (said.as_ref()?, observed(*budget, points)?);
            let (predicted, interval, observed) = (said.loss?, said.run_interval?, point.loss);
            let Outcome { error, within: inside } = said.outcome(observed)?;
            let (law, budget, point) = (*law, *budget, point.clone());
            Some(Checked { law, budget, predicted, interval, observed, inside, error, point })
        });
        let checked: Vec<Checked> = checked.collect();
        if checked.is_empty() { Err(CheckError::NoModel) } else { Ok(checked) }
    }
}

fn digest(points: &Points) -> Result<Digest, SpecError> {
    canonical_digest("points/1", points.rows())
}

/// The point that a prediction is about: the predicted model; for a budget of compute, the one with the least loss.
fn observed(budget: Budget, points: &Points) -> Option<&Point> {
    let near = |a: f64, b: f64| (a / b - 1.0).abs() <= NEAR;
    let is_it = |point: &&Point| match budget {
        Budget::Compute(compute) => near(point.compute(), compute),
        Budget::Model { params, tokens } => near(point.params, params) && near(point.tokens, tokens),
    };
    points.rows().iter().filter(is_it).min_by(|a, b| a.loss.total_cmp(&b.loss))
}

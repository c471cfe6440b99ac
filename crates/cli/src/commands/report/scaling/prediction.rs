//! Predictions that are written before a run, and compared with it afterwards.

use std::path::Path;

use retrace_analysis::scaling::{
    Bootstrap, Budget, LawName, Options, Outcome, Point, Points, Prediction, Report, Request,
};
use retrace_files::FileError;
use retrace_spec::recipe::{LossUnit, ParamsUnit};
use retrace_spec::{Digest, canonical_digest};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::super::{Exit, read_text, seal};
use super::{between, number};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone};

/// The kind of the document.
const SCHEMA: &str = "prediction/1";

/// What laws said before a run.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Predictions {
    /// `prediction/1`.
    retrace: String,
    /// The program that made it.
    tool: String,
    /// The arguments.
    made: String,
    /// The digest of the points that the laws were fitted to.
    points_digest: Digest,
    /// Their number.
    points: usize,
    /// What N counts.
    params_unit: Option<ParamsUnit>,
    /// The unit of the loss.
    loss_unit: Option<LossUnit>,
    /// How the laws were fitted.
    options: Options,
    /// How the intervals were found.
    bootstrap: Option<Bootstrap>,
    /// The predictions.
    predictions: Vec<Predicted>,
}

/// A prediction and what it is for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predicted {
    /// The law.
    law: LawName,
    /// Its budget.
    budget: Budget,
    /// What the law says; `None` if it has no optimum for the budget.
    said: Option<Prediction>,
}

/// The predictions of a report.
pub(super) fn of(report: &Report, points: &Points, request: &Request, made: &str) -> Result<Predictions, Failure> {
    let predictions = report.laws.iter().filter(|law| law.failed.is_none()).flat_map(|law| {
        let of = |(budget, said): (&Budget, &Option<Prediction>)| Predicted {
            law: law.law,
            budget: *budget,
            said: said.clone(),
        };
        request.budgets.iter().zip(&law.predictions).map(of)
    });
    Ok(Predictions {
        retrace: SCHEMA.to_owned(),
        tool: seal::TOOL.to_owned(),
        made: made.to_owned(),
        points_digest: canonical_digest("points/1", points.rows())?,
        points: points.rows().len(),
        params_unit: points.params_unit(),
        loss_unit: points.loss_unit(),
        options: request.options.clone(),
        bootstrap: request.bootstrap,
        predictions: predictions.collect(),
    })
}

/// A model counts as the predicted one if its parameters and tokens, or its compute, differ by at most this part.
const NEAR: f64 = 0.02;

/// The point that a prediction is about: the predicted model; for a budget of compute, the one with the least loss.
fn observed(budget: Budget, points: &Points) -> Option<&Point> {
    let near = |a: f64, b: f64| (a / b - 1.0).abs() <= NEAR;
    let is_it = |point: &&Point| match budget {
        Budget::Compute(compute) => near(point.compute(), compute),
        Budget::Model { params, tokens } => near(point.params, params) && near(point.tokens, tokens),
    };
    points.rows().iter().filter(is_it).min_by(|a, b| a.loss.total_cmp(&b.loss))
}

/// Compares the predictions in `file` with the points of a later run.
pub(super) fn check(file: &Path, points: &Points, terminal: &Terminal) -> Result<Exit, Failure> {
    let text = read_text(file)?;
    let made: Predictions = serde_json::from_str(&text).map_err(|e| FileError::Json {
        path: file.to_owned(),
        line: e.line(),
        what: format!("{e}; it must be a prediction that `retrace report scaling --predict` wrote"),
    })?;
    if made.retrace != SCHEMA {
        let what = format!("{} is {:?}, and {SCHEMA:?} is read here", file.display(), made.retrace);
        return Err(Failure::usage(what, "give a prediction that `retrace report scaling --predict` wrote"));
    }
    if (made.params_unit, made.loss_unit) != (points.params_unit(), points.loss_unit()) {
        let what = format!("the units of the points are not those of {}", file.display());
        return Err(Failure::usage(what, "give the points in the same units of parameters and loss"));
    }
    if canonical_digest("points/1", points.rows())? == made.points_digest {
        let what = format!("these are the points that {} was made from", file.display());
        return Err(Failure::usage(what, "give the points of the run that was predicted"));
    }
    let mut rows = Vec::new();
    for Predicted { law, budget, said } in &made.predictions {
        let (Some(said), Some(point)) = (said, observed(*budget, points)) else { continue };
        let (Some(loss), Some(interval), Some(outcome)) = (said.loss, said.run_interval, said.outcome(point.loss))
        else {
            continue;
        };
        rows.push((*law, *budget, loss, interval, point.clone(), outcome));
    }
    if rows.is_empty() {
        let what = format!("no point is a model that {} predicts with an interval", file.display());
        let help = "give points with these parameters and tokens, or this compute, within 2 %";
        return Err(Failure::usage(what, help));
    }
    let compared = rows.len();
    let holds = rows.iter().all(|(.., outcome)| outcome.within) && compared == made.predictions.len();
    let in_json = |(law, budget, loss, interval, point, outcome): &(LawName, Budget, f64, [f64; 2], Point, Outcome)| {
        json!({"law": law, "budget": budget, "predicted": loss, "interval": interval, "observed": point.loss,
            "point": point, "inside": outcome.within, "error": outcome.error})
    };
    let compared_json: Vec<_> = rows.iter().map(in_json).collect();
    let result = json!({"holds": holds, "predictions": made.predictions.len(), "compared": compared_json});
    terminal.result("prediction-check/1", &result, |out| {
        for (law, _, loss, interval, point, outcome) in &rows {
            let tone = if outcome.within { Tone::Good } else { Tone::Bad };
            let word = terminal.tone(tone, if outcome.within { "inside " } else { "outside" });
            let off = 100.0 * outcome.error;
            let said =
                format!("predicted {} ({}), observed {}", number(*loss), between(Some(*interval)), number(point.loss));
            writeln!(out, "{word} {law}: {said}, {off:+.2} %")?;
        }
        Ok(())
    })?;
    if compared < made.predictions.len() {
        let what = format_args!(
            "{} of {} predictions: no such model among the points",
            made.predictions.len() - compared,
            made.predictions.len()
        );
        terminal.say(Tone::Bad, "not compared", what);
    }
    Ok(Exit::holds(holds))
}

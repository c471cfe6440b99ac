//! Predictions that were written before a run, compared with the points of the run.

use std::path::Path;

use retrace_analysis::scaling::{CheckError, Checked, Incomparable, Point, Points, Predictions, Report};
use retrace_files::FileError;
use retrace_spec::schema_of;
use serde_json::json;

use super::super::super::{Exit, read_text};
use super::text::{between, number};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Compares the predictions in `file` with the points of a later run.
pub(super) fn check(file: &Path, points: &Points, terminal: &Terminal) -> Result<Exit, Failure> {
    let made = read(file)?;
    let checks = made.check(points).map_err(|error| {
        let help = match &error {
            CheckError::Units => "give the points in the same units of parameters and loss",
            CheckError::SamePoints => "give the points of a run that was trained after the prediction",
            CheckError::Nothing(why) => match why.first() {
                Some(Incomparable::NoOptimum | Incomparable::NoLoss | Incomparable::NoInterval) => {
                    "the points are not the reason; predict with a law that says a loss, such as hoffmann-3, and with a bootstrap"
                }
                Some(Incomparable::Fitted) => "give the points of a run that was trained after the prediction",
                Some(Incomparable::Shape) => {
                    "give points with this compute within 2 %, and parameters and tokens within 25 % of the predicted ones"
                }
                Some(Incomparable::NoModel) | None => {
                    "give points with these parameters and tokens, or this compute, within 2 %"
                }
            },
            CheckError::Spec(_) => "give points with finite numbers",
        };
        Failure::usage(format!("{}: {error}", file.display()), help)
    })?;
    let holds = checks.compared.iter().all(|of| of.inside) && checks.not_compared.is_empty();
    let result = json!({
        "holds": holds,
        "predictions": made.predictions.len(),
        "compared": checks.compared,
        "not_compared": checks.not_compared,
        "fitted": checks.fitted,
        "other_shape": checks.other_shape,
    });
    terminal.result("prediction-check/1", &result, |out| {
        for of in &checks.compared {
            let tone = if of.inside { Tone::Good } else { Tone::Bad };
            let word = terminal.tone(tone, if of.inside { "inside " } else { "outside" });
            let Checked { law, predicted, interval, observed, error, point, .. } = of;
            let (predicted, interval) = (number(*predicted), between(Some(*interval)));
            let (observed, off) = (number(*observed), 100.0 * error);
            let model = model(point);
            writeln!(
                out,
                "{word} {law}: predicted {predicted} ({interval}), observed {observed}, {off:+.2} %; {model}"
            )?;
        }
        Ok(())
    })?;
    if checks.fitted > 0 {
        let what = format_args!("{}: the laws were fitted to them", count(checks.fitted as u64, "point"));
        terminal.say(Tone::Faint, "left out", what);
    }
    for point in &checks.other_shape {
        let what = format_args!("{}: parameters or tokens are not within 25 % of the predicted ones", model(point));
        terminal.say(Tone::Faint, "left out", what);
    }
    for of in &checks.not_compared {
        terminal.say(Tone::Bad, "not compared", format_args!("{}, {}: {}", of.law, of.budget, of.why));
    }
    Ok(Exit::holds(holds))
}

fn read(file: &Path) -> Result<Predictions, Failure> {
    let text = read_text(file)?;
    if schema_of(&text) == Some(Predictions::WITHOUT_POINTS) {
        let what = format!(
            "{} is {:?}, which does not say which points its laws were fitted to; {:?} is read here",
            file.display(),
            Predictions::WITHOUT_POINTS,
            Predictions::SCHEMA
        );
        return Err(Failure::usage(
            what,
            "run the command in its field `made` again with the same points; the new file has the same `points_digest`",
        ));
    }
    let made: Predictions = serde_json::from_str(&text).map_err(|e| FileError::Json {
        path: file.to_owned(),
        line: e.line(),
        what: format!("{e}; it must be a prediction that `retrace report scaling --predict` wrote"),
    })?;
    if made.retrace != Predictions::SCHEMA {
        let what = format!("{} is {:?}, and {:?} is read here", file.display(), made.retrace, Predictions::SCHEMA);
        return Err(Failure::usage(what, "give a prediction that `retrace report scaling --predict` wrote"));
    }
    Ok(made)
}

/// A point's run, parameters and tokens.
fn model(point: &Point) -> String {
    let run = point.run.as_ref().map_or_else(String::new, |run| format!("run {run}, "));
    let seed = point.seed.map_or_else(String::new, |seed| format!("seed {seed}, "));
    format!("{run}{seed}{:.4e} parameters, {:.4e} tokens", point.params, point.tokens)
}

/// Says which predictions of a report no later run can be compared with.
pub(super) fn tell_unchecked(report: &Report, terminal: &Terminal) {
    for law in report.fitted() {
        for (budget, said) in report.request.predict.iter().zip(&law.predictions) {
            let Err(why) = said.as_ref().map_or(Err(Incomparable::NoOptimum), |said| said.checkable()) else {
                continue;
            };
            terminal.say(Tone::Bad, "cannot be checked later", format_args!("{}, {budget}: {why}", law.law));
        }
    }
}

//! Predictions that were written before a run, compared with the points of the run.

use std::path::Path;

use retrace_analysis::scaling::{CheckError, Points, Predictions};
use retrace_files::FileError;
use serde_json::json;

use super::super::super::{Exit, read_text};
use super::text::{between, number};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone};

/// Compares the predictions in `file` with the points of a later run.
pub(super) fn check(file: &Path, points: &Points, terminal: &Terminal) -> Result<Exit, Failure> {
    let text = read_text(file)?;
    let made: Predictions = serde_json::from_str(&text).map_err(|e| FileError::Json {
        path: file.to_owned(),
        line: e.line(),
        what: format!("{e}; it must be a prediction that `retrace report scaling --predict` wrote"),
    })?;
    if made.retrace != Predictions::SCHEMA {
        let what = format!("{} is {:?}, and {:?} is read here", file.display(), made.retrace, Predictions::SCHEMA);
        return Err(Failure::usage(what, "give a prediction that `retrace report scaling --predict` wrote"));
    }
    let checked = made.check(points).map_err(|error| {
        let help = match error {
            CheckError::Units => "give the points in the same units of parameters and loss",
            CheckError::SamePoints => "give the points of the run that was predicted",
            CheckError::NoModel => "give points with these parameters and tokens, or this compute, within 2 %",
            CheckError::Spec(error) => return Failure::from(error),
        };
        Failure::usage(format!("{}: {error}", file.display()), help)
    })?;
    let compared = checked.len();
    let holds = checked.iter().all(|of| of.inside) && compared == made.predictions.len();
    let result = json!({"holds": holds, "predictions": made.predictions.len(), "compared": checked});
    terminal.result("prediction-check/1", &result, |out| {
        for of in &checked {
            let tone = if of.inside { Tone::Good } else { Tone::Bad };
            let word = terminal.tone(tone, if of.inside { "inside " } else { "outside" });
            let (predicted, interval) = (number(of.predicted), between(Some(of.interval)));
            let (observed, off) = (number(of.observed), 100.0 * of.error);
            writeln!(out, "{word} {}: predicted {predicted} ({interval}), observed {observed}, {off:+.2} %", of.law)?;
        }
        Ok(())
    })?;
    if compared < made.predictions.len() {
        let (missing, all) = (made.predictions.len() - compared, made.predictions.len());
        let what = format_args!("{missing} of {all} predictions: no such model among the points");
        terminal.say(Tone::Bad, "not compared", what);
    }
    Ok(Exit::holds(holds))
}

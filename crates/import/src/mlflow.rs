//! MLflow's directories: `mlruns/EXPERIMENT/RUN/{meta.yaml,metrics/NAME,params/NAME}`.
//!
//! The run is its id, which alone is its own: names are given twice. What `meta.yaml` and `params/`
//! say are claims of it, `run_name` among them. Every metric is a file of its own, so a row of the
//! training log has only the one number that its file holds.

use crate::configs;
use crate::rows::{Input, Problem, Rows};
use crate::scalars::Logged;

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    if input.name() == "meta.yaml" {
        return configs::read_as(input, &input.folder(0), rows);
    }
    let text = std::str::from_utf8(input.bytes)
        .map_err(|e| Problem::at(format_args!("byte {}", e.valid_up_to()), "not UTF-8"))?;
    let path = std::path::absolute(input.path).unwrap_or_default();
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    let place = parts.iter().rposition(|part| part == "metrics" || part == "params").filter(|at| *at > 0);
    let Some((at, run)) = place.and_then(|at| Some((at, parts.get(at - 1)?))) else {
        return Err(Problem::whole("not of a run: it lies neither in `metrics` nor in `params`"));
    };
    let name = parts.get(at + 1..).unwrap_or_default().join("/");
    if parts.get(at).is_some_and(|part| part == "params") {
        rows.claims.push(input.claim(run, &format!("params.{name}"), text, text.trim().parse().ok(), "line 1"));
        return Ok(());
    }
    for (index, line) in text.lines().enumerate() {
        let place = format!("line {}", index + 1);
        let mut words = line.split_ascii_whitespace();
        // When, the value, and since MLflow 1.0 the step.
        let (Some(when), Some(value), step, None) = (words.next(), words.next(), words.next(), words.next()) else {
            rows.problem(Problem::at(place, "not `time value step`"));
            continue;
        };
        let mut logged = Logged::default();
        let step = step.is_none_or(|step| {
            logged.step = step.parse().ok();
            logged.step.is_some()
        });
        if when.parse::<i64>().is_err() || !step || !logged.take(&name, value) {
            rows.problem(Problem::at(place, "not `time value step`"));
            continue;
        }
        logged.give(input, run, &place, rows);
    }
    Ok(())
}

//! MLflow's directories: `mlruns/EXPERIMENT/RUN/{meta.yaml,metrics/NAME,params/NAME}`.
//!
//! The run is its id, because only the id is unique: names can be repeated. The content of `meta.yaml` and `params/`
//! becomes claims about it, including `run_name`. Every metric is a separate file, so a row of the training log has
//! only the one number in its file.

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
        return Err(Problem::whole("not a file of a run: it is neither in `metrics` nor in `params`"));
    };
    let name = parts.get(at + 1..).unwrap_or_default().join("/");
    if parts.get(at).is_some_and(|part| part == "params") {
        rows.claim(input, run, &format!("params.{name}"), text, text.trim().parse().ok(), "line 1");
        return Ok(());
    }
    for (index, line) in text.lines().enumerate() {
        let place = format!("line {}", index + 1);
        let mut words = line.split_ascii_whitespace();
        // The time, the value, and since MLflow 1.0 the step.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{read_as, survives};

    /// Files as mlflow 3.17 writes them.
    #[test]
    fn a_run() {
        let rows = read_as("mlruns/1/a3b7/metrics/train/loss", b"1795649267774 2.5 0\n1795649267775 1.5 10\n", read);
        let log: Vec<_> =
            rows.train_log.iter().map(|row| (row.run.as_str(), row.step.0, row.loss, row.place.as_str())).collect();
        assert_eq!(log, [("a3b7", 0, Some(2.5), "line 1"), ("a3b7", 10, Some(1.5), "line 2")]);
        let rows =
            read_as("a3b7/metrics/acc", b"1795649267775 nan 10\n1795649267776 inf 10\n1795649267776 -0.5\n", read);
        assert_eq!(rows.problems(), None);
        assert!(
            rows.metrics[0].value.is_nan() && rows.metrics[1].value == f64::INFINITY && rows.metrics[2].step.is_none()
        );
        let rows = read_as("a3b7/params/lr", b"0.001", read);
        let claim = &rows.claims[0];
        assert_eq!((claim.subject.as_str(), claim.name.as_str(), claim.number), ("a3b7", "params.lr", Some(0.001)));
        let rows = read_as("1/a3b7/meta.yaml", b"run_id: a3b7\nrun_name: base\nstatus: 3\ntags: []\n", read);
        let claims: Vec<_> =
            rows.claims.iter().map(|c| (c.subject.as_str(), c.name.as_str(), c.value.as_str())).collect();
        assert_eq!(
            claims,
            [("a3b7", "run_id", "a3b7"), ("a3b7", "run_name", "base"), ("a3b7", "status", "3"), ("a3b7", "tags", "[]")]
        );
    }

    #[test]
    fn what_does_not_fit_is_told_and_anything_is_survived() {
        for (source, bytes, expected) in [
            ("r/metrics/m", &b"1 2 3\nx 2 3\n1 2 3 4\n\n"[..], "line 2: not `time value step`; line 3"),
            ("r/metrics/m", b"1 2 -3\n", "line 1"),
            ("r/metrics/m", b"1 \xff 3\n", "byte 2: not UTF-8"),
            ("r/other/m", b"1 2 3\n", "not a file of a run"),
            ("r/meta.yaml", b"a: [\n", "2:1"),
            ("r/meta.yaml", b"a: 1\na: 2\n", "duplicate"),
        ] {
            let problems = read_as(source, bytes, read).problems().unwrap_or_default();
            assert!(problems.contains(expected), "{problems:?} lacks {expected:?}");
        }
        survives("r/metrics/m", b"1795649267774 2.5 0\n1795649267775 1.5 10\n", read);
    }
}

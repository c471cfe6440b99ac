//! MLflow's directories (its databases are in `mlflow_database.rs`): `mlruns/EXPERIMENT/RUN/{meta.yaml,metrics/NAME,params/NAME,tags/NAME}`.
//!
//! The run is its id, because only the id is unique: names can be repeated. The content of `meta.yaml`, `params/` and
//! `tags/` becomes claims about it, including `run_name`. Every metric is a separate file, so a row of the training log has
//! only the one number in its file. Deleted runs are left out. The metrics of a logged model (`EXPERIMENT/models/m-…`) are
//! those of its run again; only what the run lacks is taken from there.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use retrace_spec::{guard, read_yaml};

use crate::beside::{Beside, ReadFile};
use crate::rows::{Input, Problem, Rows};
use crate::scalars::{Log, Logged, is_before_the_first};
use crate::value::{Value, Yaml};
use crate::{configs, mlflow_database, sqlite};

/// The directories of a run.
const METRICS: &str = "metrics";
const PARAMS: &str = "params";
const TAGS: &str = "tags";

/// A file of a run or a model, by its path.
struct Place {
    /// The id of the run or model.
    id: String,
    /// Whether it is one of a model.
    is_model: bool,
    /// `metrics`, `params` or `tags`.
    folder: &'static str,
    /// The name of the metric, parameter or tag.
    name: String,
}

impl Place {
    fn of(path: &Path) -> Option<Self> {
        let path = std::path::absolute(path).ok()?;
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
        let folder = |part: &str| [METRICS, PARAMS, TAGS].into_iter().find(|folder| *folder == part);
        let at = parts.iter().rposition(|part| folder(part).is_some()).filter(|at| *at > 0)?;
        let id = parts.get(at - 1)?.to_string();
        let is_model = id.starts_with("m-") && at.checked_sub(2).and_then(|at| parts.get(at))? == "models";
        Some(Self { id, is_model, folder: folder(parts.get(at)?)?, name: parts.get(at + 1..)?.join("/") })
    }
}

/// Which files are of deleted runs, and for metrics of models, which runs have them too.
pub(crate) fn beside(files: &[&Path], read: &ReadFile<'_>) -> HashMap<PathBuf, Beside> {
    let is_meta = |path: &&&Path| path.file_name().is_some_and(|name| name == "meta.yaml");
    let deleted = files.iter().filter(is_meta).filter(|path| read(path).is_some_and(|bytes| is_deleted(&bytes)));
    let deleted: HashSet<&Path> = deleted.filter_map(|path| path.parent()).collect();
    let mut runs: HashMap<String, HashSet<String>> = HashMap::new();
    let mut of_models = Vec::new();
    let mut beside = HashMap::new();
    for path in files {
        if path.ancestors().any(|folder| deleted.contains(folder)) {
            beside.insert((*path).to_owned(), Beside::Deleted);
            continue;
        }
        match Place::of(path).filter(|place| place.folder == METRICS) {
            Some(place) if place.is_model => of_models.push((*path, place.name)),
            Some(place) => {
                runs.entry(place.name).or_default().insert(place.id);
            }
            None => {}
        }
    }
    let with_runs = of_models
        .into_iter()
        .filter_map(|(path, name)| Some((path.to_owned(), Beside::Runs(runs.get(&name)?.clone()))));
    beside.extend(with_runs);
    beside
}

/// Whether a `meta.yaml` is of something deleted.
fn is_deleted(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let mut room = Yaml::room(text);
    let value = guard(|| read_yaml(text, "", Yaml::new(&mut room)).ok()).ok().flatten();
    value.is_some_and(|value| value.get("lifecycle_stage").and_then(Value::text) == Some("deleted"))
}

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    if *input.beside == Beside::Deleted {
        rows.note(Problem::whole("it is of a deleted run, and left out"));
        return Ok(());
    }
    if input.bytes.starts_with(sqlite::MAGIC) || sqlite::is_named(input.name()) && Place::of(input.path).is_none() {
        return mlflow_database::read(input, rows);
    }
    if input.name() == "meta.yaml" {
        return configs::read_as(input, &input.folder(0), rows);
    }
    let text = std::str::from_utf8(input.bytes)
        .map_err(|e| Problem::at(format_args!("byte {}", e.valid_up_to()), "not UTF-8"))?;
    let Some(place) = Place::of(input.path) else {
        let what = "not a file of a run: it is not in `metrics`, `params` or `tags`";
        return Err(Problem::whole(what));
    };
    if place.folder != METRICS {
        let name = format!("{}.{}", place.folder, place.name);
        rows.claim(input, &place.id, &name, text, text.trim().parse().ok(), "line 1");
        return Ok(());
    }
    let (mut log, mut datasets) = (Log::default(), BTreeSet::new());
    for (index, line) in text.lines().enumerate() {
        let at = format!("line {}", index + 1);
        let Some(Point { time, value, step, run, dataset }) = Point::of(line, place.is_model) else {
            let what = "not a line of MLflow: `time value`, `time value step`, or with dataset and digest at the end";
            rows.problem(Problem::at(at, what));
            continue;
        };
        datasets.extend(dataset);
        if let Beside::Runs(runs) = input.beside
            && run.is_some_and(|run| runs.contains(run))
        {
            continue;
        }
        let mut logged = Logged::at(None, Some(time as f64 / 1000.0));
        // Without a step, it is not known.
        if step.is_none_or(|step| logged.take("step", step)) && logged.take(&place.name, value) {
            logged.give(input, run.unwrap_or(&place.id), &at, rows, &mut log);
        } else {
            rows.problem(Problem::at(at, "its value or its step is no number"));
        }
    }
    if datasets.len() > 1 {
        let what = "its values are of several datasets, and their rows do not say of which";
        rows.note(Problem::whole(what));
    }
    Ok(())
}

/// A line of a metric: `TIME VALUE`, since MLflow 1.0 with ` STEP`, since MLflow 3 also with ` DATASET DIGEST`. In the
/// metrics of a model the run's id follows the step. The name of a dataset may contain spaces.
struct Point<'a> {
    /// In milliseconds since 1970.
    time: i64,
    value: &'a str,
    step: Option<&'a str>,
    run: Option<&'a str>,
    dataset: Option<&'a str>,
}

impl<'a> Point<'a> {
    fn of(line: &'a str, is_model: bool) -> Option<Self> {
        let (time, rest) = line.split_once(' ')?;
        let (value, rest) = rest.split_once(' ').map_or((rest, None), |(value, rest)| (value, Some(rest)));
        let (step, rest) = split(rest);
        let (run, dataset) = if is_model { split(rest) } else { (None, rest) };
        let known = step.is_none_or(|step| step.parse::<u64>().is_ok() || is_before_the_first(step));
        let fits = known && !value.is_empty() && (!is_model || run.is_some());
        // A dataset has a name and a digest.
        let fits = fits && dataset.is_none_or(|dataset| dataset.trim().contains(' '));
        Some(Self { time: time.parse().ok().filter(|_| fits)?, value, step, run, dataset })
    }
}

/// The first word, and the rest.
fn split(text: Option<&str>) -> (Option<&str>, Option<&str>) {
    match text.and_then(|text| text.split_once(' ')) {
        Some((word, rest)) => (Some(word), Some(rest)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{read_as, read_beside, survives};

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

    /// As mlflow 3.17 writes them.
    #[test]
    fn lines_that_name_a_dataset_and_a_step_before_the_first() {
        let lines = b"1795991074220 0.25 0 c4-val 0a1b2c3d\n1795991074225 0.5 1 my own data 0a1b2c3d\n1795991074232 0.75 2\n1795991074300 4.5 -1\n";
        let rows = read_as("mlruns/1/a3b7/metrics/eval/acc", lines, read);
        assert_eq!(rows.problems(), None);
        let told: Vec<_> = rows.metrics.iter().map(|row| (row.step.map(|step| step.0), row.value, row.time)).collect();
        assert_eq!(
            told,
            [
                (Some(0), 0.25, Some(1_795_991_074.22)),
                (Some(1), 0.5, Some(1_795_991_074.225)),
                (Some(2), 0.75, Some(1_795_991_074.232)),
                (None, 4.5, Some(1_795_991_074.3))
            ]
        );
        let notes = rows.notes().join("; ");
        assert!(notes.contains("line 4: its step is negative") && notes.contains("several datasets"), "{notes}");
    }

    #[test]
    fn deleted_runs_are_out_and_the_copies_of_models_too() {
        let files = HashMap::from([
            ("mlruns/1/meta.yaml", "lifecycle_stage: active\n"),
            ("mlruns/1/a3/meta.yaml", "lifecycle_stage: active\nrun_id: a3\n"),
            ("mlruns/1/a3/metrics/eval/acc", "1000 0.5 1 d x\n"),
            ("mlruns/1/b4/meta.yaml", "run_id: b4\nlifecycle_stage: 'deleted'\n"),
            ("mlruns/1/b4/metrics/eval/acc", "1000 9.0 1\n"),
            ("mlruns/1/b4/tags/mlflow.note.content", "bad"),
            ("mlruns/2/meta.yaml", "lifecycle_stage: deleted\n"),
            ("mlruns/2/c5/metrics/eval/acc", "1000 8.0 1\n"),
            ("mlruns/1/models/m-7/metrics/eval/acc", "1000 0.5 1 a3 d x\n1000 0.75 2 e6\n"),
            ("mlruns/1/models/m-7/metrics/eval/f1", "1000 0.25 1 a3\n"),
            ("mlruns/1/a3/tags/mlflow.parentRunId", "e6"),
        ]);
        let paths: Vec<PathBuf> = files.keys().map(|path| Path::new("/somewhere").join(path)).collect();
        let there: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
        let below = |path: &Path| path.strip_prefix("/somewhere").unwrap().to_str().unwrap().to_owned();
        let beside = beside(&there, &|path| Some(files[&below(path)[..]].as_bytes().to_vec()));
        let (mut metrics, mut claims) = (Vec::new(), Vec::new());
        for path in there {
            let of = beside.get(path).cloned().unwrap_or_default();
            let rows = read_beside(&below(path), files[&below(path)[..]].as_bytes(), &of, read);
            assert_eq!(rows.problems(), None);
            metrics.extend(rows.metrics.into_iter().map(|row| (row.run, row.metric, row.value)));
            claims.extend(rows.claims.into_iter().map(|claim| (claim.subject, claim.name, claim.value)));
        }
        metrics.sort_by(|a, b| a.partial_cmp(b).unwrap());
        let row = |run: &str, metric: &str, value: f64| (run.to_owned(), metric.to_owned(), value);
        assert_eq!(metrics, [row("a3", "acc", 0.5), row("a3", "f1", 0.25), row("e6", "acc", 0.75)]);
        claims.sort();
        let claim = |subject: &str, name: &str, value: &str| (subject.to_owned(), name.to_owned(), value.to_owned());
        assert_eq!(
            claims,
            [
                claim("1", "lifecycle_stage", "active"),
                claim("a3", "lifecycle_stage", "active"),
                claim("a3", "run_id", "a3"),
                claim("a3", "tags.mlflow.parentRunId", "e6"),
            ]
        );
    }

    #[test]
    fn what_does_not_fit_is_told_and_anything_is_survived() {
        for (source, bytes, expected) in [
            ("r/metrics/m", &b"1 2 3\nx 2 3\n1 2 3 4\n\n"[..], "line 2: not a line of MLflow"),
            ("r/metrics/m", b"1 2 3\n1 2 3 4\n", "line 2: not a line of MLflow"),
            ("r/metrics/m", b"1 2 -3.5\n", "line 1"),
            ("r/metrics/m", b"1 x 3\n", "line 1: its value"),
            ("r/metrics/m", b"1 \xff 3\n", "byte 2: not UTF-8"),
            ("r/other/m", b"1 2 3\n", "not a file of a run"),
            ("mlflow.db", b"SQLite format 3\0\x10\0\xff", "cut off"),
            ("mlflow.db", b"", "not a database of SQLite"),
            ("r/meta.yaml", b"a: [\n", "2:1"),
            ("r/meta.yaml", b"a: 1\na: 2\n", "duplicate"),
        ] {
            let problems = read_as(source, bytes, read).problems().unwrap_or_default();
            assert!(problems.contains(expected), "{problems:?} lacks {expected:?}");
        }
        survives("r/metrics/m", b"1795649267774 2.5 0\n1795649267775 1.5 10\n", read);
    }
}

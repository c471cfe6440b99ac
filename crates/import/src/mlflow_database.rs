//! MLflow's database, the default since MLflow 3: the tables of `SqlAlchemyStore`, as MLflow 3.17 and before make them.
//!
//! The rows are those of a directory (`mlflow.rs`): the run is its id; its row in `runs`, `params` and `tags` are claims
//! with the same names; deleted runs, and all of deleted experiments, are left out. `latest_metrics` repeats `metrics`.

use std::collections::HashSet;

use crate::rows::{Input, Problem, Rows};
use crate::scalars::{Log, Logged};
use crate::sqlite::{Database, Row};

/// What MLflow writes for an infinity, because its column has none.
const INFINITE: f64 = f64::MAX;
/// Tables of which rows are not imported.
const LEFT_OUT: [&str; 6] =
    ["trace_info", "spans", "datasets", "logged_models", "registered_models", "evaluation_datasets"];
/// The columns of `runs`, with the names that `meta.yaml` has for them.
const OF_RUNS: [(&str, &str); 13] = [
    ("run_uuid", "run_id"),
    ("name", "run_name"),
    ("status", "status"),
    ("start_time", "start_time"),
    ("end_time", "end_time"),
    ("lifecycle_stage", "lifecycle_stage"),
    ("experiment_id", "experiment_id"),
    ("source_type", "source_type"),
    ("source_name", "source_name"),
    ("source_version", "source_version"),
    ("entry_point_name", "entry_point_name"),
    ("user_id", "user_id"),
    ("artifact_uri", "artifact_uri"),
];
const OF_EXPERIMENTS: [&str; 6] =
    ["experiment_id", "name", "lifecycle_stage", "creation_time", "last_update_time", "artifact_location"];

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let database = Database::open(input.bytes, input.beside, rows)?;
    for table in ["runs", "metrics"] {
        if !database.has(table)? {
            return Err(Problem::whole(format!("not a database of MLflow: it has no table `{table}`")));
        }
    }
    let is_deleted = |row: &Row<'_>, column| row.text(column).is_some_and(|stage| stage == "deleted");
    let (mut experiments, mut deleted) = (HashSet::new(), HashSet::new());
    if database.has("experiments")? {
        database.each("experiments", &OF_EXPERIMENTS, rows, |row, rows| {
            let Some(id) = row.text(0) else { return };
            if is_deleted(row, 2) {
                experiments.insert(id);
                return;
            }
            claims(input, row, &id, OF_EXPERIMENTS, rows);
        })?;
    }
    let mut runs = HashSet::new();
    let columns = OF_RUNS.map(|(column, _)| column);
    database.each("runs", &columns, rows, |row, rows| {
        let Some(id) = row.text(0) else { return };
        if is_deleted(row, 5) || row.text(6).is_some_and(|of| experiments.contains(&of)) {
            deleted.insert(id);
            return;
        }
        claims(input, row, &id, OF_RUNS.map(|(_, name)| name), rows);
        runs.insert(id);
    })?;
    for table in ["params", "tags"] {
        if database.has(table)? {
            database.each(table, &["run_uuid", "key", "value"], rows, |row, rows| {
                if let (Some(run), Some(key), Some(value)) = (row.text(0), row.text(1), row.text(2))
                    && runs.contains(&run)
                {
                    let name = format!("{table}.{key}");
                    rows.claim(input, &run, &name, &value, value.trim().parse().ok(), &row.place());
                }
            })?;
        }
    }
    let mut metrics = Metrics {
        input,
        runs,
        deleted,
        seen: HashSet::new(),
        log: Log::default(),
        infinite: 0,
        datasets: HashSet::new(),
    };
    database.each("metrics", &["run_uuid", "key", "value", "timestamp", "step", "is_nan"], rows, |row, rows| {
        metrics.take(row, rows);
    })?;
    if database.has("logged_model_metrics")? {
        let columns = [
            "run_id",
            "metric_name",
            "metric_value",
            "metric_timestamp_ms",
            "metric_step",
            "is_nan",
            "dataset_name",
            "dataset_digest",
        ];
        let of_runs = metrics.seen.clone();
        database.each("logged_model_metrics", &columns, rows, |row, rows| {
            if let (Some(name), Some(digest)) = (row.text(6), row.text(7)) {
                metrics.datasets.insert((name, digest));
            }
            let copy = row.text(0).zip(row.text(1)).is_some_and(|name| of_runs.contains(&name));
            if !copy {
                metrics.take(row, rows);
            }
        })?;
    }
    if metrics.infinite > 0 {
        let infinite = metrics.infinite;
        rows.note(Problem::whole(format!("values of ±{INFINITE:e}, as MLflow writes infinities: {infinite}")));
    }
    if metrics.datasets.len() > 1 {
        rows.note(Problem::whole("its values are of several datasets, and their rows do not say of which"));
    }
    if !metrics.deleted.is_empty() {
        rows.note(Problem::whole(format!("deleted runs that are left out: {}", metrics.deleted.len())));
    }
    database.note_left_out(&LEFT_OUT, rows)
}

/// The values of a row as claims, by these names.
fn claims<const N: usize>(input: &Input<'_>, row: &Row<'_>, subject: &str, names: [&str; N], rows: &mut Rows) {
    for (column, name) in names.into_iter().enumerate() {
        if let Some(text) = row.text(column).filter(|text| !text.is_empty()) {
            rows.claim(input, subject, name, &text, text.parse().ok(), &row.place());
        }
    }
}

/// Reads rows of metrics.
struct Metrics<'a> {
    input: &'a Input<'a>,
    /// The runs that are not deleted.
    runs: HashSet<String>,
    deleted: HashSet<String>,
    /// Which metrics of which runs there are.
    seen: HashSet<(String, String)>,
    log: Log,
    infinite: u64,
    datasets: HashSet<(String, String)>,
}

impl Metrics<'_> {
    fn take(&mut self, row: &Row<'_>, rows: &mut Rows) {
        let place = row.place();
        let (Some(run), Some(name)) = (row.text(0), row.text(1)) else {
            return rows.problem(Problem::at(place, "its run or its name is missing"));
        };
        if self.deleted.contains(&run) {
            return;
        }
        if !self.runs.contains(&run) {
            return rows.problem(Problem::at(place, "its run has no row in `runs`"));
        }
        let nan = row.integer(5).is_some_and(|is_nan| is_nan != 0);
        let value = if nan { Some(f64::NAN) } else { row.number(2) };
        let Some(value) = value else { return rows.problem(Problem::at(place, "its value is not a number")) };
        self.infinite += u64::from(value.abs() == INFINITE);
        let mut logged = Logged::at(None, row.integer(3).map(|time| time as f64 / 1000.0));
        // Before MLflow 1.0 there were no steps.
        if row.text(4).is_none_or(|step| logged.take("step", &step)) {
            logged.take(&name, &format!("{value:?}"));
            logged.give(self.input, &run, &place, rows, &mut self.log);
        } else {
            rows.problem(Problem::at(place, "its step is not an integer"));
        }
        self.seen.insert((run, name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{read_as, survives};
    use crate::sqlite::database_of;

    /// Written by mlflow 3.17.2 (`tests/trackers/make.py`).
    const REAL: &[u8] = include_bytes!("../tests/trackers/mlflow.db");

    #[test]
    fn a_database_of_mlflow() {
        let rows = read_as("mlflow.db", REAL, read);
        assert_eq!(rows.problems(), None);
        let runs: HashSet<_> =
            rows.train_log.iter().map(|row| &row.run).chain(rows.metrics.iter().map(|row| &row.run)).collect();
        assert_eq!(runs.len(), 1);
        let log: Vec<_> = rows.train_log.iter().map(|row| (row.step.0, row.loss, &row.place[..])).collect();
        assert_eq!(
            log,
            [
                (0, Some(2.5), "metrics, row 1"),
                (10, Some(1.25), "metrics, row 2"),
                (20, Some(2.5 / 3.0), "metrics, row 3"),
                (30, Some(0.625), "metrics, row 4"),
            ]
        );
        let told: Vec<_> =
            rows.metrics.iter().map(|row| (&row.task[..], &row.metric[..], row.step.map(|s| s.0), row.value)).collect();
        let [nan, most, before] = told.as_slice() else { panic!("{told:?}") };
        assert!(nan.3.is_nan() && (nan.0, nan.1, nan.2) == ("eval", "odd", Some(1)));
        // As MLflow's own client gives it.
        assert_eq!(*most, ("eval", "odd", Some(2), f64::MAX));
        assert_eq!(*before, ("eval", "odd", None, -1.5));
        let claims: Vec<_> = rows.claims.iter().map(|claim| (&claim.name[..], &claim.value[..])).collect();
        for expected in [
            ("run_name", "base"),
            ("status", "FINISHED"),
            ("params.lr", "0.001"),
            ("tags.note", "x"),
            ("name", "small"),
        ] {
            assert!(claims.contains(&expected), "{expected:?} is not in {claims:?}");
        }
        assert!(!claims.contains(&("run_name", "gone")));
        let notes = rows.notes().join("; ");
        for expected in [
            "its step is negative",
            "values of ±1.7976931348623157e308, as MLflow writes infinities: 1",
            "deleted runs that are left out: 1",
        ] {
            assert!(notes.contains(expected), "{notes}");
        }
    }

    #[test]
    fn tables_of_other_versions() {
        let rows = read_as(
            "old.db",
            &database_of(
                "CREATE TABLE runs(run_uuid TEXT, name TEXT); INSERT INTO runs VALUES('r', 'one'), (NULL, 'two');
                 CREATE TABLE metrics(key TEXT, value FLOAT, timestamp BIGINT, run_uuid TEXT);
                 INSERT INTO metrics VALUES('loss', 0.5, 1000, 'r'), ('acc', 'x', 1000, 'r'), ('acc', 0.25, NULL, 'r'), ('acc', 1, 1, 'other');
                 CREATE TABLE logged_model_metrics(run_id TEXT, metric_name TEXT, metric_value FLOAT, metric_step BIGINT);
                 INSERT INTO logged_model_metrics VALUES('r', 'acc', 9, 1), ('r', 'f1', 0.75, 2);
                 CREATE TABLE spans(x); INSERT INTO spans VALUES(1);",
            ),
            read,
        );
        let mut told: Vec<_> =
            rows.metrics.iter().map(|row| (&row.metric[..], row.step.map(|s| s.0), row.value, row.time)).collect();
        told.sort_by(|a, b| a.partial_cmp(b).unwrap());
        assert_eq!(told, [("acc", None, 0.25, None), ("f1", Some(2), 0.75, None), ("loss", None, 0.5, Some(1.0))]);
        let expected = "metrics, row 2: its value is not a number; metrics, row 4: its run has no row in `runs`";
        assert_eq!(rows.problems().unwrap(), expected);
        assert_eq!(rows.notes(), ["tables that are not imported: spans"]);
    }

    #[test]
    fn what_does_not_fit_is_told_and_anything_is_survived() {
        for (bytes, expected) in [
            (&b"1 2 3"[..], "byte 0: not a database"),
            (&REAL[..99], "cut off"),
            (&REAL[..REAL.len() - 512], "it is cut off: it has 13824 bytes, and its pages 14336"),
            (&REAL[..REAL.len() - 1], "it is cut off: it has 14335 bytes, and its pages 14336"),
            (&database_of("CREATE TABLE a(x)"), "no table `runs`"),
            (&database_of("CREATE TABLE runs(run_uuid); CREATE VIEW metrics AS SELECT 1 AS key"), "no table `metrics`"),
        ] {
            let problems = read_as("mlflow.db", bytes, read).problems().unwrap_or_default();
            assert!(problems.contains(expected), "{problems:?} lacks {expected:?}");
        }
        survives("mlflow.db", REAL, read);
    }
}

//! trackio's database of a project: `PROJECT.db`, as trackio 0.43 and before write it.
//!
//! A row of `metrics` is what one call logged, as JSON; its column `step` counts as wandb's `_step`. The run is its id
//! if the table has ids, else its name. Configs are claims.

use std::collections::BTreeMap;

use crate::history::objects;
use crate::json;
use crate::mapping::Plan;
use crate::rows::{Input, Problem, Rows};
use crate::scalars::CALLS;
use crate::sqlite::{Database, Row};
use crate::value::{Value, pointer};

/// wandb's name, and ours, for when something was logged.
const TIME: &str = "_timestamp";
/// The first columns of each table.
const OF_RUN: [&str; 2] = ["run_id", "run_name"];
/// Tables of which rows are not imported.
const LEFT_OUT: [&str; 4] = ["system_metrics", "traces", "alerts", "artifacts"];

pub(crate) fn read(input: &Input<'_>, plan: &Plan, rows: &mut Rows) -> Result<(), Problem> {
    let database = Database::open(input.bytes, input.beside, rows)?;
    if !database.has("metrics")? {
        return Err(Problem::whole("not a database of trackio: it has no table `metrics`"));
    }
    let mut names = BTreeMap::new();
    let columns = [OF_RUN[0], OF_RUN[1], "metrics", "step", "timestamp"];
    // The problems of the rows are those of the last reading below.
    database.each("metrics", &columns, &mut Rows::default(), |row, _| {
        if let Some((run, name)) = run(row).zip(row.text(1))
            && run != name
        {
            names.entry(run).or_insert((name, row.place()));
        }
    })?;
    objects(input, plan, rows, &|rows, take| {
        let read = database.each("metrics", &columns, rows, |row, rows| {
            let place = row.place();
            let read = || -> Result<_, Problem> {
                let run = run(row).ok_or_else(|| Problem::at(&place, "its run is missing"))?;
                let text = row.bytes(2).ok_or_else(|| Problem::at(&place, "it is not JSON"))?;
                Ok((run, json::read(text).map_err(|e| Problem::at(&place, e))?))
            };
            match read() {
                Ok((run, line)) => {
                    let (step, time) = (row.text(3), row.text(4));
                    take(&run, &place, &with(line, step.as_deref(), time.as_deref()), rows);
                }
                Err(problem) => rows.problem(problem),
            }
        });
        if let Err(problem) = read {
            rows.problem(problem);
        }
    });
    for (run, (name, place)) in names {
        rows.claim(input, &run, "run_name", &name, name.parse().ok(), &place);
    }
    if database.has("configs")? {
        database.each("configs", &[OF_RUN[0], OF_RUN[1], "config"], rows, |row, rows| {
            let place = row.place();
            let (Some(run), Some(text)) = (run(row), row.bytes(2)) else {
                return rows.problem(Problem::at(place, "its run or its config is missing"));
            };
            match json::read(text) {
                Ok(config) => config.leaves("config", &pointer([]), &mut |name, _, text, number| {
                    rows.claim(input, &run, name, text, number, &place);
                }),
                Err(problem) => rows.problem(Problem::at(place, problem)),
            }
        })?;
    }
    database.note_left_out(&LEFT_OUT, rows)
}

/// The run of a row.
fn run(row: &Row<'_>) -> Option<String> {
    row.text(0).or_else(|| row.text(1))
}

/// What was logged, with the step and the time of its row.
fn with<'a>(line: Value<'a>, step: Option<&'a str>, time: Option<&'a str>) -> Value<'a> {
    let Value::Object(mut entries) = line else { return line };
    let step = step.map(|step| (CALLS, Value::Number(step.into())));
    let time = time.map(|time| (TIME, Value::String(time.into())));
    for (name, value) in step.into_iter().chain(time) {
        if !entries.iter().any(|(key, _)| key == name) {
            entries.push((name.into(), value));
        }
    }
    Value::Object(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{read_as, survives};
    use crate::sqlite::database_of;

    /// Written by trackio 0.43.0 (`tests/trackers/make.py`).
    const REAL: &[u8] = include_bytes!("../tests/trackers/trackio.db");

    fn rows(bytes: &[u8]) -> Rows {
        read_as("trackio/small.db", bytes, |input, rows| read(input, &Plan::default(), rows))
    }

    #[test]
    fn a_database_of_trackio() {
        let rows = rows(REAL);
        assert_eq!(rows.problems(), None);
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
        assert!(rows.train_log.iter().all(|row| row.time.is_some_and(|time| (1.79e9..1.8e9).contains(&time))));
        let values = |metric: &str| -> Vec<f64> {
            rows.metrics.iter().filter(|row| row.metric == metric).map(|row| row.value).collect()
        };
        assert_eq!(values("nested.a"), [0.0, 1.0, 2.0, 3.0]);
        let odd = values("odd");
        assert!(odd[1].is_nan() && odd[0] == 1.0 && odd[2..] == [f64::INFINITY, f64::NEG_INFINITY], "{odd:?}");
        assert_eq!(rows.metrics.len(), 8);
        let claims: Vec<_> = rows.claims.iter().map(|claim| (&claim.name[..], &claim.value[..])).collect();
        assert!(claims.contains(&("run_name", "first")) && claims.contains(&("config.lr", "0.001")), "{claims:?}");
    }

    /// Before runs had ids; and the trainer's own step.
    #[test]
    fn tables_of_other_versions() {
        let rows = rows(&database_of(
            r#"CREATE TABLE metrics(id INTEGER PRIMARY KEY, timestamp TEXT, run_name TEXT, step INTEGER, metrics TEXT);
               INSERT INTO metrics VALUES
                 (1, '2026-01-02T00:00:00+00:00', 'a', 0, '{"loss": 2.5, "train/global_step": 100}'),
                 (3, '2026-01-02T00:00:01+00:00', 'b', 7, '{"loss": 1.5}'),
                 (4, 'x', 'b', 8, '{"loss": '),
                 (5, 'x', NULL, 8, '{"loss": 1}'),
                 (6, 'x', 'b', 9, 5);
               CREATE TABLE alerts(x); INSERT INTO alerts VALUES(1);"#,
        ));
        let log: Vec<_> =
            rows.train_log.iter().map(|row| (&row.run[..], row.step.0, row.loss, &row.place[..])).collect();
        assert_eq!(log, [("a", 100, Some(2.5), "metrics, row 1"), ("b", 7, Some(1.5), "metrics, row 3")]);
        assert_eq!(rows.train_log[0].time, Some(1_767_312_000.0));
        let problems = rows.problems().unwrap();
        for expected in ["metrics, row 4: line 1, column 10", "metrics, row 5: its run is missing", "metrics, row 6"] {
            assert!(problems.contains(expected), "{problems}");
        }
        assert!(rows.notes().contains(&"tables that are not imported: alerts".to_owned()) && rows.claims.is_empty());
    }

    #[test]
    fn values_that_are_no_numbers_are_counted() {
        let rows = rows(&database_of(
            r#"CREATE TABLE metrics(id INTEGER PRIMARY KEY, timestamp TEXT, run_name TEXT, step INTEGER, metrics TEXT);
               INSERT INTO metrics VALUES
                 (1, '2026-01-02T00:00:00+00:00', 'a', 0, '{"loss": 2.5, "done": false, "a": {"list": [1, 2]}, "none": null}'),
                 (2, '2026-01-02T00:00:01+00:00', 'a', 1, '{"note": "text", "odd": "NaN", "picture": {"_type": "image"}}');"#,
        ));
        assert_eq!(rows.problems(), None);
        let note = "values that are no numbers and are not imported: 4, the first as `done`";
        assert!(rows.notes().contains(&note.to_owned()), "{:?}", rows.notes());
    }

    #[test]
    fn what_does_not_fit_is_told_and_anything_is_survived() {
        let problems = rows(&database_of("CREATE TABLE a(x)")).problems().unwrap();
        assert!(problems.contains("no table `metrics`"), "{problems}");
        survives("trackio/small.db", REAL, |input, rows| read(input, &Plan::default(), rows));
    }
}

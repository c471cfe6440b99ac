//! Exports of Weights & Biases: a run's history as CSV or JSON lines, a chart as CSV (`RUN - METRIC`
//! columns), and the table of runs as CSV.

use std::collections::BTreeMap;

use crate::csv::{self, Table};
use crate::json;
use crate::mapping::Plan;
use crate::rows::{Input, Problem, Rows};
use crate::scalars::{Logged, Meaning};
use crate::value::Value;

pub(crate) fn read(input: &Input<'_>, plan: &Plan, rows: &mut Rows) -> Result<(), Problem> {
    if !input.name().ends_with(".csv") {
        return history(input, rows);
    }
    let table = Table::open(input.bytes)?;
    match chart(&table.names) {
        Some(series) => {
            read_chart(input, table, &series, rows);
            Ok(())
        }
        None => csv::read(input, plan, rows),
    }
}

/// The run and metric of each column except the first, if this is an exported chart. Its columns `__MIN` and `__MAX`
/// are the bounds of what was drawn, and not separate values.
fn chart(names: &[String]) -> Option<Vec<Option<(String, String)>>> {
    let (first, others) = names.split_first()?;
    let by_step = Meaning::of(first) == Meaning::Step;
    let series = |name: &String| name.rsplit_once(" - ").map(|(run, metric)| (run.to_owned(), metric.to_owned()));
    if !by_step || others.is_empty() || others.iter().any(|name| series(name).is_none()) {
        return None;
    }
    let value = |(_, metric): &(String, String)| {
        !metric.ends_with("__MIN") && !metric.ends_with("__MAX") && Meaning::of(metric) != Meaning::Step
    };
    Some(others.iter().map(|name| series(name).filter(value)).collect())
}

fn read_chart(input: &Input<'_>, table: Table<'_>, series: &[Option<(String, String)>], rows: &mut Rows) {
    table.each(rows, |line, cells, rows| {
        let place = format!("line {line}");
        let step = cells.get(0).and_then(crate::value::whole);
        if step.is_none() {
            return rows.problem(Problem::at(&place, "its step is not an integer"));
        }
        let mut runs: BTreeMap<&str, Logged<'_>> = BTreeMap::new();
        for (at, (run, metric)) in series.iter().enumerate().filter_map(|(at, series)| Some((at, series.as_ref()?))) {
            let Some(text) = cells.get(at + 1) else { continue };
            let logged = runs.entry(run).or_insert_with(|| Logged { step, ..Logged::default() });
            if !logged.take(metric, text) {
                rows.problem(Problem::at(&place, format_args!("{metric} of {run} is {text:?}, not a valid number")));
            }
        }
        runs.into_iter().for_each(|(run, logged)| logged.give(input, run, &place, rows));
    });
}

/// A history as JSON lines: one object per step, whose nested names are joined by dots.
fn history(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let before = rows.len();
    let mut any = false;
    json::lines(input.bytes, rows, |number, line, rows| {
        any = true;
        let place = format!("line {number}");
        let Some(entries) = line.object() else {
            return rows.problem(Problem::at(place, "not an object"));
        };
        let mut numbers = Vec::new();
        for (name, value) in entries {
            scalars(&mut name.to_string(), value, &mut |name, text| {
                if rows.accept(&place, &[name]) {
                    numbers.push((name.to_owned(), text));
                }
            });
        }
        let run = entries.iter().find(|(name, value)| Meaning::of(name) == Meaning::Run && value.text().is_some());
        let run = run.and_then(|(_, value)| Value::text(value)).unwrap_or_else(|| input.stem());
        let mut logged = Logged::default();
        for (name, text) in &numbers {
            if !logged.take(name, text) {
                rows.problem(Problem::at(&place, format_args!("{name} is {text}, not an integer")));
            }
        }
        logged.give(input, run, &place, rows);
    });
    if any && rows.len() == before && rows.problems().is_none() {
        return Err(Problem::whole("not the history of a run: its lines have no numbers"));
    }
    Ok(())
}

/// The numbers in a value, by their dotted names. A list is not a scalar, and an object with a `_type` is a picture, a
/// histogram or a table.
fn scalars<'a>(name: &mut String, value: &'a Value<'_>, take: &mut impl FnMut(&str, &'a str)) {
    match value {
        Value::Number(text) => take(name, text),
        Value::Object(entries) if value.get("_type").is_none() => {
            let length = name.len();
            for (key, value) in entries {
                name.push('.');
                name.push_str(key);
                scalars(name, value, take);
                name.truncate(length);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{read_as, survives};

    fn rows(source: &str, bytes: &[u8]) -> Rows {
        read_as(source, bytes, |input, rows| read(input, &Plan::default(), rows))
    }

    #[test]
    fn nested_names_are_joined_once() {
        let deep = (0..100).fold("{\"x\":1}".to_owned(), |inner, _| format!("{{\"{}\":{inner}}}", "k".repeat(1000)));
        let rows = rows(
            "history.jsonl",
            format!("{{\"_step\":1,\"a\":{{\"b\":{{\"c\":2}},\"d\":3}},\"e\":{deep}}}\n").as_bytes(),
        );
        let told: Vec<_> = rows.metrics.iter().map(|row| (row.metric.as_str(), row.value)).collect();
        assert_eq!(told, [("a.b.c", 2.0), ("a.d", 3.0)]);
        assert!(rows.problems().unwrap().contains("line 1: a name has"), "{:?}", rows.problems());
    }

    #[test]
    fn a_chart_has_a_column_a_run() {
        let rows = rows("chart.csv", b"\"Step\",\"lucky - sun - train/loss\",\"lucky - sun - train/loss__MIN\",\"lucky - sun - train/loss__MAX\",\"b - eval/acc\",\"b - _step\"\n10,2.5,2.0,3.0,0.5,10\n20,2.25,,,,\n");
        assert_eq!(rows.problems(), None);
        let log: Vec<_> = rows.train_log.iter().map(|row| (row.run.as_str(), row.step.0, row.loss)).collect();
        assert_eq!(log, [("lucky - sun", 10, Some(2.5)), ("lucky - sun", 20, Some(2.25))]);
        let [row] = rows.metrics.as_slice() else { panic!("{:?}", rows.metrics) };
        assert_eq!((row.run.as_str(), row.task.as_str(), row.metric.as_str(), row.value), ("b", "eval", "acc", 0.5));
    }

    #[test]
    fn a_table_of_runs() {
        let rows = rows("runs.csv", b"\"Name\",\"_wandb\",\"scaling/global_loss\"\n\"run one\",\"\",\"2.5\"\n");
        let [row] = rows.metrics.as_slice() else { panic!("{:?}", rows.metrics) };
        assert_eq!(
            (row.run.as_str(), row.task.as_str(), row.metric.as_str(), row.step),
            ("run one", "scaling", "global_loss", None)
        );
    }

    #[test]
    fn a_history_of_json_lines_and_anything_is_survived() {
        let lines = concat!(
            r#"{"_step": 1, "_runtime": 1.5, "_timestamp": 1.7e9, "train/loss": 2.5, "lr": 0.5, "eval": {"acc": 0.25}, "h": {"_type": "histogram", "values": 1}, "ids": [1, 2], "note": "x"}"#,
            "\n\n",
            r#"{"_step": 2, "train/loss": NaN}"#,
            "\n",
            "{\"_step\": \n",
            "[1]\n",
            r#"{"_step": 1.5, "m": 1}"#,
            "\n",
        );
        let rows = rows("h.jsonl", lines.as_bytes());
        let [first, second] = rows.train_log.as_slice() else { panic!("{:?}", rows.train_log) };
        assert_eq!((first.step.0, first.loss, first.learning_rate), (1, Some(2.5), Some(0.5)));
        assert!(second.loss.unwrap().is_nan() && second.place == "line 3");
        assert_eq!((rows.metrics[0].metric.as_str(), rows.metrics[0].value, rows.metrics.len()), ("eval.acc", 0.25, 2));
        let problems = rows.problems().unwrap();
        for expected in ["line 4", "line 5: not an object", "line 6: _step is 1.5"] {
            assert!(problems.contains(expected), "{problems}");
        }
        survives("h.jsonl", lines.as_bytes(), |input, rows| read(input, &Plan::default(), rows));
    }

    #[test]
    fn steps_and_values_that_are_none_are_told() {
        let problems = rows("c.csv", b"Step,r - m\nx,1\n2,y\n").problems().unwrap();
        assert!(problems.contains("line 2: its step") && problems.contains("line 3: m of r is \"y\""), "{problems}");
        assert!(rows("h.jsonl", b"{\"a\": \"b\"}\n").problems().unwrap().contains("no numbers"));
    }
}

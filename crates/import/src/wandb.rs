//! What is exported from Weights & Biases: a run's history as CSV or as JSON lines, a chart as CSV
//! (`RUN - METRIC` columns), and the table of runs as CSV.

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

/// The run and metric of each column but the first, if this is an exported chart. Its columns
/// `__MIN` and `__MAX` bound what was drawn, and are no values of their own.
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
            return rows.problem(Problem::at(&place, "its step is no whole number"));
        }
        let mut runs: BTreeMap<&str, Logged<'_>> = BTreeMap::new();
        for (at, (run, metric)) in series.iter().enumerate().filter_map(|(at, series)| Some((at, series.as_ref()?))) {
            let Some(text) = cells.get(at + 1) else { continue };
            let logged = runs.entry(run).or_insert_with(|| Logged { step, ..Logged::default() });
            if !logged.take(metric, text) {
                rows.problem(Problem::at(&place, format_args!("{text:?}, {metric} of {run}, is no such number")));
            }
        }
        runs.into_iter().for_each(|(run, logged)| logged.give(input, run, &place, rows));
    });
}

/// A history as JSON lines: an object a step, whose nested names are joined by dots.
fn history(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let before = rows.len();
    let mut any = false;
    json::lines(input.bytes, rows, |number, line, rows| {
        any = true;
        let place = format!("line {number}");
        let Some(entries) = line.object() else {
            return rows.problem(Problem::at(place, "no object"));
        };
        let mut leaves = Vec::new();
        // A value with a `_type` is a picture, a histogram, a table.
        for (name, value) in entries.iter().filter(|(_, value)| value.get("_type").is_none()) {
            value.leaves(name, "", &mut |name, _, text, number| {
                leaves.extend(number.map(|_| (name.to_owned(), text.to_owned())));
            });
        }
        let run = entries.iter().find(|(name, value)| Meaning::of(name) == Meaning::Run && value.text().is_some());
        let run = run.and_then(|(_, value)| Value::text(value)).unwrap_or_else(|| input.stem());
        let mut logged = Logged::default();
        for (name, text) in &leaves {
            if !logged.take(name, text) {
                rows.problem(Problem::at(&place, format_args!("{name} is {text}, no whole number")));
            }
        }
        logged.give(input, run, &place, rows);
    });
    if any && rows.len() == before && rows.problems().is_none() {
        return Err(Problem::whole("no history of a run: its lines have no numbers"));
    }
    Ok(())
}

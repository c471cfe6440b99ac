//! Weights & Biases: its own log of a run (`wandb/file.rs`), and exports: a run's history as CSV or JSON lines, a chart
//! as CSV (`RUN - METRIC` columns), and the table of runs as CSV.

mod about;
mod blocks;
mod file;
mod record;

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::csv::{self, Cells, Table};
use crate::history::{Cell, History, objects};
use crate::json;
use crate::mapping::Plan;
use crate::rows::{Input, Problem, Rows};
use crate::scalars::{CALLS, Meaning};

pub(crate) fn read(input: &Input<'_>, plan: &Plan, rows: &mut Rows) -> Result<(), Problem> {
    if file::is(input.bytes) || input.name().ends_with(".wandb") {
        return file::read(input, plan, rows);
    }
    if !input.name().ends_with(".csv") {
        return lines(input, plan, rows);
    }
    let table = Table::open(input.bytes)?;
    match Chart::of(&table.names, plan) {
        Some(chart) => chart.read(input, plan, table, rows),
        None => csv::read(input, plan, rows),
    }
}

/// What wandb's count of its calls is called on an axis.
const AXIS_OF_CALLS: &str = "Step";

/// Whether an axis is the step of a group of metrics, as `eval/step`, which wandb's users define for `eval/*`.
fn is_own_step(axis: &str) -> bool {
    let last = axis.rsplit_once('/').map(|(_, last)| last.to_ascii_lowercase());
    Meaning::of(axis) == Meaning::Other && matches!(last.as_deref(), Some("step" | "steps" | "iteration" | "iter"))
}

/// An exported chart: its first column is the axis, and each other column a metric of a run.
struct Chart {
    /// The axis, which is `step` if it is a step by another name, then each metric once.
    names: Vec<String>,
    /// For each run, the metrics that it has and their columns.
    runs: BTreeMap<String, BTreeMap<usize, usize>>,
}

impl Chart {
    /// The chart whose columns have these names, if it is one. Its columns `__MIN` and `__MAX` are the bounds of what was
    /// drawn, and not separate values.
    fn of(columns: &[String], plan: &Plan) -> Option<Self> {
        let (axis, others) = columns.split_first()?;
        let there: HashSet<&str> = others.iter().map(String::as_str).collect();
        let is_bound = |name: &String| {
            let of = name.strip_suffix("__MIN").or_else(|| name.strip_suffix("__MAX"));
            of.is_some_and(|of| there.contains(of))
        };
        let series: Option<Vec<(&str, &str)>> = others.iter().map(|name| name.rsplit_once(" - ")).collect();
        let is_step = !plan.names(axis) && is_own_step(axis);
        let drawn = is_step || Meaning::of(axis) == Meaning::Step || others.iter().any(is_bound);
        let series = series.filter(|series| drawn && !series.is_empty())?;
        let mut names = vec![if is_step { "step".to_owned() } else { axis.clone() }];
        let mut places = HashMap::from([(axis.as_str(), 0)]);
        if axis == AXIS_OF_CALLS && !plan.names(axis) {
            places.insert(CALLS, 0);
        }
        let mut runs: BTreeMap<String, BTreeMap<usize, usize>> = BTreeMap::new();
        for (column, (run, metric)) in series.into_iter().enumerate() {
            if others.get(column).is_some_and(is_bound) {
                continue;
            }
            let place = *places.entry(metric).or_insert_with(|| {
                names.push(metric.to_owned());
                names.len() - 1
            });
            // The axis itself may be drawn too.
            if place > 0 {
                runs.entry(run.to_owned()).or_default().insert(place, column + 1);
            }
        }
        Some(Self { names, runs })
    }

    fn read(&self, input: &Input<'_>, plan: &Plan, table: Table<'_>, rows: &mut Rows) -> Result<(), Problem> {
        let axis = self.names.first().map(String::as_str).filter(|axis| *axis == AXIS_OF_CALLS && !plan.names(axis));
        let mut history = History::new(plan, &self.names, "column", axis.unwrap_or(CALLS), rows);
        // The problems of the first reading are the same as those of the second.
        Table::open(input.bytes)?.each(&mut Rows::default(), |_, cells, _| {
            for (run, columns) in &self.runs {
                history.look(run, &of_run(columns, cells));
            }
        });
        history.looked(rows);
        table.each(rows, |line, cells, rows| {
            for (run, columns) in &self.runs {
                history.record(input, run, &format!("line {line}"), &of_run(columns, cells), rows);
            }
        });
        Ok(())
    }
}

/// A run's cells in a line of a chart: the axis and its metrics; none, if the line is one of other runs.
fn of_run<'a>(columns: &BTreeMap<usize, usize>, cells: &'a Cells<'_>) -> Vec<Cell<'a>> {
    let metrics = columns.iter().filter_map(|(at, column)| Some((*at, cells.get(*column)?)));
    let all: Vec<Cell<'a>> = cells.get(0).map(|axis| (0, axis)).into_iter().chain(metrics).collect();
    if all.iter().any(|(at, _)| *at > 0) { all } else { Vec::new() }
}

/// A history as JSON lines: one object per step, whose nested names are joined by dots.
fn lines(input: &Input<'_>, plan: &Plan, rows: &mut Rows) -> Result<(), Problem> {
    let before = rows.len();
    let any = objects(input, plan, rows, &|rows, take| {
        json::lines(input.bytes, rows, |number, line, rows| {
            take(input.stem(), &format_args!("line {number}"), line, rows);
        });
    });
    if any && rows.len() == before && rows.problems().is_none() {
        return Err(Problem::whole("not the history of a run: its lines have no numbers"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use retrace_spec::Document;

    use super::*;
    use crate::mapping::Mapping;
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

    /// As `run.log({"eval/acc": 0.5, "step": 4})` after a loss that was logged without a step of the user's own.
    #[test]
    fn a_row_with_a_step_of_its_own_does_not_take_the_steps_of_many() {
        let losses: String = (0..3).map(|step| format!("{{\"_step\": {step}, \"loss\": {step}.5}}\n")).collect();
        let odd = |name: &str| format!("{losses}{{\"_step\": 3, \"{name}\": 9, \"eval/acc\": 0.5, \"loss\": 3.5}}\n");
        for name in ["step", "global_step", "train/global_step", "trainer/global_step", "iteration"] {
            let rows = rows("h.jsonl", odd(name).as_bytes());
            let log: Vec<_> = rows.train_log.iter().map(|row| (row.step.0, row.loss)).collect();
            assert_eq!(log, [(0, Some(0.5)), (1, Some(1.5)), (2, Some(2.5)), (3, Some(3.5))], "{name}");
            let accuracy = rows.metrics.iter().find(|row| row.metric == "acc").unwrap();
            assert_eq!(accuracy.step.map(|step| step.0), Some(3), "{name}");
            assert!(rows.metrics.iter().any(|row| row.value == 9.0), "{name}");
            let [note] = &rows.notes()[..] else { panic!("{name}: {:?}", rows.notes()) };
            assert!(note.contains("the step is `_step`, as 3 rows have no other"), "{note}");
        }
        // Where most rows have it, it is the step.
        let rows = rows("h.jsonl", b"{\"_step\": 0, \"step\": 5, \"loss\": 1}\n{\"_step\": 1, \"step\": 6, \"loss\": 2}\n{\"_step\": 2, \"loss\": 3}\n");
        let log: Vec<_> = rows.train_log.iter().map(|row| (row.step.0, row.loss)).collect();
        assert_eq!(log, [(5, Some(1.0)), (6, Some(2.0))]);
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
        for expected in ["line 4", "line 5: not an object", "line 6, key \"_step\": \"1.5\""] {
            assert!(problems.contains(expected), "{problems}");
        }
        survives("h.jsonl", lines.as_bytes(), |input, rows| read(input, &Plan::default(), rows));
    }

    fn told(rows: &Rows) -> Vec<(&str, u64, Option<f64>)> {
        let mut told: Vec<_> = rows.train_log.iter().map(|row| (&row.run[..], row.step.0, row.loss)).collect();
        told.sort_by(|a, b| a.partial_cmp(b).unwrap());
        told
    }

    /// As transformers' callback logs: wandb counts the calls, and a call of the system has no step of the trainer.
    #[test]
    fn the_trainers_step_is_the_step_whatever_the_order_of_keys() {
        let lines = [
            r#"{"_step": 0, "_timestamp": 1750000010.5, "train/loss": 3.5, "train/global_step": 10}"#,
            r#"{"train/global_step": 20, "train/loss": 3.25, "_step": 1, "_timestamp": 1750000020.5}"#,
            r#"{"eval/loss": 4.5, "train/global_step": 20, "_step": 2}"#,
            r#"{"_step": 3, "gpu": 0.5}"#,
        ];
        let table = [
            "_step,_timestamp,train/loss,train/global_step,eval/loss,gpu",
            "0,1750000010.5,3.5,10,,",
            "1,1750000020.5,3.25,20,,",
            "2,,,20,4.5,",
            "3,,,,,0.5",
        ];
        let turn = |line: &&str| line.split(',').rev().collect::<Vec<_>>().join(",");
        let turned = table.iter().map(turn).collect::<Vec<_>>().join("\n");
        let all = [
            rows("h.jsonl", lines.join("\n").as_bytes()),
            rows("h.csv", table.join("\n").as_bytes()),
            rows("h.csv", turned.as_bytes()),
        ];
        for rows in all {
            assert_eq!(rows.problems(), None);
            assert_eq!(told(&rows), [("h", 10, Some(3.5)), ("h", 20, Some(3.25))]);
            assert_eq!(rows.train_log[0].time, Some(1_750_000_010.5));
            let mut metrics: Vec<_> =
                rows.metrics.iter().map(|row| (&row.metric[..], row.step.map(|step| step.0), row.value)).collect();
            metrics.sort_by(|a, b| a.0.cmp(b.0));
            assert_eq!(metrics, [("gpu", None, 0.5), ("loss", Some(20), 4.5)]);
            assert_eq!(
                rows.notes(),
                [
                    "the step is `train/global_step`; `_step`, which counts differently, is not used",
                    "rows with only `_step`, and so without a step: 1"
                ]
            );
        }
        // Of three counters the note says which one is taken.
        let lines = [
            r#"{"_step": 0, "trainer/global_step": 1, "train/global_step": 10, "global_step": 100, "train": {"loss": 1}}"#,
            r#"{"_step": 1, "trainer/global_step": 2, "train/global_step": 20, "global_step": 2, "train": {"loss": 2}}"#,
        ];
        let three = rows("h.jsonl", lines.join("\n").as_bytes());
        assert_eq!(told(&three), [("h", 1, Some(1.0)), ("h", 2, Some(2.0))]);
        let note = "the step is `trainer/global_step`; `global_step` and `train/global_step` and `_step`, which count \
                    differently, are not used";
        assert_eq!((three.notes(), three.metrics.len()), (vec![note.to_owned()], 0));
        // Where the two are the same, nothing needs to be said, and a row with one of them has it.
        let lines = b"{\"_step\": 10, \"global_step\": 10, \"loss\": 1}\n{\"_step\": 11, \"loss\": 2}\n";
        let rows = rows("h.jsonl", lines);
        assert_eq!((told(&rows), rows.notes()), (vec![("h", 10, Some(1.0)), ("h", 11, Some(2.0))], Vec::new()));
    }

    #[test]
    fn a_mapping_is_for_json_lines_and_charts_too() {
        let plan = |text: &str| Plan::new(&Mapping::parse(&format!("retrace: mapping/1\n{text}"), "m").unwrap());
        let mapping = "run: id\nstep: my/steps\nloss: nll\nclaims: [gpu]\nskip: ['x.*']\nmetrics:\n  \
                       - {column: 'bpb/(?<task>.+)_(?<shots>[0-9]+)shot', metric: bpb}\n";
        let line = r#"{"_step": 7, "id": "a", "my": {"x": 1}, "my/steps": 30, "nll": 2.5, "gpu": "H100", "x1": 5,
            "bpb/arc_5shot": 0.5}"#
            .replace('\n', " ");
        let json = read_as("h.jsonl", line.as_bytes(), |input, rows| read(input, &plan(mapping), rows));
        assert_eq!((json.problems(), told(&json)), (None, vec![("a", 30, Some(2.5))]));
        let metrics: Vec<_> =
            json.metrics.iter().map(|row| (&row.task[..], &row.metric[..], row.shots, row.value)).collect();
        assert_eq!(metrics, [("arc", "bpb", Some(5), 0.5), ("", "my.x", None, 1.0)]);
        assert_eq!((&json.claims[0].name[..], &json.claims[0].value[..]), ("gpu", "H100"));
        let chart = b"\"Step\",\"a - nll\",\"a - nll__MIN\",\"a - my/steps\"\n7,2.5,2.5,30\n";
        let mapping = "step: my/steps\nloss: nll\n";
        let chart = read_as("c.csv", chart, |input, rows| read(input, &plan(mapping), rows));
        assert_eq!((chart.problems(), told(&chart), chart.metrics.len()), (None, vec![("a", 30, Some(2.5))], 0));
        let missing = read_as("h.jsonl", line.as_bytes(), |input, rows| read(input, &plan("step: t\n"), rows));
        assert!(missing.problems().unwrap().contains("no column t"));
    }

    #[test]
    fn charts_over_other_axes_keep_run_and_step() {
        let chart = |axis: &str, value: &str, more: &str, step: &str| {
            let names = format!("{axis},a - train/loss,a - train/loss__MIN,a - train/loss__MAX{more}");
            let rows = rows("c.csv", format!("{names}\n{value},2.5,2.5,2.5{step}\n").as_bytes());
            assert_eq!(rows.problems(), None);
            let log = rows.train_log.iter();
            let log: Vec<_> = log.map(|row| (row.run.clone(), row.step.0, row.tokens.map(|t| t.0), row.loss)).collect();
            let metrics = rows.metrics.iter();
            let metrics: Vec<_> =
                metrics.map(|row| (row.run.clone(), row.metric.clone(), row.step.map(|s| s.0), row.value)).collect();
            (log, metrics)
        };
        let a = || "a".to_owned();
        assert_eq!(chart("train/global_step", "10", "", ""), (vec![(a(), 10, None, Some(2.5))], vec![]));
        let counted = chart("Relative Time (Process)", "1.5", ",a - _step", ",7");
        assert_eq!(counted, (vec![(a(), 7, None, Some(2.5))], vec![]));
        let by_tokens = chart("throughput/total_tokens", "4096", ",a - trainer/global_step", ",4");
        assert_eq!(by_tokens, (vec![(a(), 4, Some(4096), Some(2.5))], vec![]));
        // The trainer's step, and not the axis of calls.
        let by_calls = chart("Step", "9", ",a - trainer/global_step", ",4");
        assert_eq!(by_calls, (vec![(a(), 4, None, Some(2.5))], vec![]));
        assert_eq!(chart("eval/step", "10", "", ""), (vec![(a(), 10, None, Some(2.5))], vec![]));
        let by_epochs = chart("train/epoch", "0.5", "", "");
        assert_eq!(
            by_epochs,
            (vec![], vec![(a(), "epoch".to_owned(), None, 0.5), (a(), "loss".to_owned(), None, 2.5)])
        );
        // Without a step the loss is a metric, with the value on the axis.
        let unknown = chart("train/samples", "0.5", "", "");
        assert_eq!(
            unknown,
            (vec![], vec![(a(), "samples".to_owned(), None, 0.5), (a(), "loss".to_owned(), None, 2.5)])
        );
    }

    /// trackio, and wandb's own interface to histories.
    #[test]
    fn nan_and_infinity_as_texts_are_numbers() {
        let lines = [
            r#"{"_step": 0, "train/loss": "NaN", "m": "Infinity", "note": "NaN", "id": "7"}"#,
            r#"{"_step": 1, "train/loss": 2.5, "m": "-Infinity", "note": "hello"}"#,
        ];
        let rows = rows("h.jsonl", lines.join("\n").as_bytes());
        assert_eq!(rows.problems(), None);
        assert!(rows.train_log.iter().any(|row| row.step.0 == 0 && row.loss.is_some_and(f64::is_nan)));
        // A column of texts has no numbers, also where a text is `NaN`.
        let told: Vec<_> = rows.metrics.iter().map(|row| (&row.metric[..], row.value)).collect();
        assert_eq!(told, [("m", f64::INFINITY), ("m", f64::NEG_INFINITY)]);
    }

    #[test]
    fn names_that_differ_in_each_line_take_no_longer() {
        let started = std::time::Instant::now();
        let lines: String = (0..100_000).map(|at| format!("{{\"_step\": {at}, \"m{at}\": 1}}\n")).collect();
        assert_eq!(rows("h.jsonl", lines.as_bytes()).metrics.len(), 100_000);
        assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
    }

    #[test]
    fn steps_and_values_that_are_none_are_told() {
        let problems = rows("c.csv", b"Step,r - m\nx,1\n2,y\n").problems().unwrap();
        for expected in ["line 2, column \"Step\": \"x\"", "line 3, column \"m\": \"y\""] {
            assert!(problems.contains(expected), "{problems}");
        }
        assert!(rows("h.jsonl", b"{\"a\": \"b\"}\n").problems().unwrap().contains("no numbers"));
    }
}

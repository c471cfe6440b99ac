//! The meaning of a table's columns: the mapping as a document, and its application to a table.

use std::collections::HashMap;

use regex::Regex;
use retrace_spec::{Complaint, Document};
use serde::{Deserialize, Serialize};

use crate::rows::Problem;
use crate::scalars::{Meaning, against_another_axis, task_and_metric};

/// The meaning of a table's columns. If it does not define a column, the name decides by convention: `step`, `lr`.
///
/// ```yaml
/// retrace: mapping/1
/// run: run_id                       # without it, the file's name
/// step: [train/global_step, _step]  # the first of these that the table has
/// tokens: throughput/total_tokens?   # with a question mark: a table may lack it
/// learning_rate: optim/learning_rate_group0
/// claims: [gpu, torch]              # what the table says of the run
/// skip: ["_.*"]                     # regular expressions, of whole names
/// metrics:                          # the first that fits gives task, metric and shots
///   - {column: "eval/downstream_bpb/(?<task>.+)_(?<shots>[0-9]+)shot_bpb", metric: bpb}
///   - {column: "eval/(?<task>.+)-validation/(?<metric>.+)"}
/// ```
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mapping {
    pub(crate) retrace: String,
    pub(crate) run: Names,
    pub(crate) step: Names,
    pub(crate) tokens: Names,
    pub(crate) loss: Names,
    pub(crate) learning_rate: Names,
    pub(crate) grad_norm: Names,
    /// For a table with one line per task.
    pub(crate) task: Names,
    pub(crate) shots: Names,
    /// For a table with one line per value.
    pub(crate) metric: Names,
    pub(crate) value: Names,
    pub(crate) stderr: Names,
    pub(crate) claims: Vec<String>,
    pub(crate) skip: Vec<String>,
    pub(crate) metrics: Vec<Pattern>,
}

/// A column's name, or several, of which the first that exists is used.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Names {
    One(String),
    Several(Vec<String>),
}

impl Default for Names {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl From<&str> for Names {
    fn from(name: &str) -> Self {
        Self::One(name.to_owned())
    }
}

impl Names {
    fn all(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

/// Columns whose name states what they measure.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pattern {
    /// A regular expression for the complete name; its groups `task`, `metric` and `shots` are used.
    column: String,
    task: Option<String>,
    metric: Option<String>,
    shots: Option<u64>,
}

impl Document for Mapping {
    const SCHEMA: &'static str = "mapping/1";

    fn schema(&self) -> &str {
        &self.retrace
    }

    fn check(&self) -> Result<(), Complaint> {
        let check = |field: String, text: &str| whole(text).map(|_| ()).map_err(|e| (field, e.to_string()));
        for (index, text) in self.skip.iter().enumerate() {
            check(format!("skip.{index}"), text)?;
        }
        for (index, pattern) in self.metrics.iter().enumerate() {
            check(format!("metrics.{index}.column"), &pattern.column)?;
        }
        Ok(())
    }
}

fn whole(text: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{text})$"))
}

/// The meaning of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Column {
    Skipped,
    Run,
    Task,
    Shots,
    Metric,
    Value,
    Stderr,
    Claim,
    Scalar(Meaning),
    /// `stepless`: the step of its line counts something else.
    Measure {
        task: String,
        metric: String,
        shots: Option<u64>,
        stderr: Option<usize>,
        stepless: bool,
    },
}

/// A mapping ready for use.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    mapping: Mapping,
    skip: Vec<Regex>,
    metrics: Vec<(Regex, Pattern)>,
}

impl Plan {
    /// From a mapping that has been checked.
    pub(crate) fn new(mapping: &Mapping) -> Self {
        let skip = mapping.skip.iter().filter_map(|text| whole(text).ok()).collect();
        let metrics = mapping
            .metrics
            .iter()
            .filter_map(|pattern| Some((whole(&pattern.column).ok()?, pattern.clone())))
            .collect();
        Self { mapping: mapping.clone(), skip, metrics }
    }

    /// The meaning of each column, and the columns in the mapping that do not exist.
    pub(crate) fn columns(&self, names: &[String]) -> (Vec<Column>, Vec<Problem>) {
        let mapping = &self.mapping;
        let mut problems = Vec::new();
        let mut columns: Vec<Option<Column>> = vec![None; names.len()];
        let places: HashMap<&str, usize> = names.iter().zip(0..).map(|(name, at)| (name.as_str(), at)).collect();
        let mut place = |wanted: &[String], column: Column, columns: &mut Vec<Option<Column>>| {
            let found = wanted.iter().find_map(|name| places.get(name.strip_suffix('?').unwrap_or(name)));
            match found.and_then(|at| columns.get_mut(*at)) {
                Some(slot) => *slot = Some(column),
                None if wanted.is_empty() || wanted.iter().any(|name| name.ends_with('?')) => {}
                None => problems.push(Problem::whole(format!("no column {}", wanted.join(" or ")))),
            }
        };
        for (wanted, column) in [
            (&mapping.run, Column::Run),
            (&mapping.step, Column::Scalar(Meaning::Step)),
            (&mapping.tokens, Column::Scalar(Meaning::Tokens)),
            (&mapping.loss, Column::Scalar(Meaning::Loss)),
            (&mapping.learning_rate, Column::Scalar(Meaning::LearningRate)),
            (&mapping.grad_norm, Column::Scalar(Meaning::GradNorm)),
            (&mapping.task, Column::Task),
            (&mapping.shots, Column::Shots),
            (&mapping.metric, Column::Metric),
            (&mapping.value, Column::Value),
            (&mapping.stderr, Column::Stderr),
        ] {
            place(wanted.all(), column, &mut columns);
        }
        for name in &mapping.claims {
            place(std::slice::from_ref(name), Column::Claim, &mut columns);
        }
        // By kind: each convention applies to only one column.
        let named: Vec<Column> = columns.iter().flatten().filter(|column| **column != Column::Claim).cloned().collect();
        let taken = |column: &Column| named.contains(column);
        let stderrs: HashMap<&str, usize> =
            places.iter().filter_map(|(name, at)| Some((name.strip_suffix("_stderr")?, *at))).collect();
        let columns = names.iter().zip(columns).map(|(name, column)| {
            if let Some(column) = column {
                return column;
            }
            if self.skip.iter().any(|skip| skip.is_match(name)) {
                return Column::Skipped;
            }
            if name.strip_suffix("_stderr").is_some_and(|of| places.contains_key(of)) {
                return Column::Skipped;
            }
            if let Some(measure) = self.measure(name) {
                return measure;
            }
            let conventional = match (name.as_str(), Meaning::of(name)) {
                ("task", _) => Column::Task,
                ("shots" | "num_fewshot" | "fewshot", _) => Column::Shots,
                ("metric", _) => Column::Metric,
                ("value", _) => Column::Value,
                ("stderr", _) => Column::Stderr,
                (_, Meaning::Run) => Column::Run,
                (_, Meaning::Aside) => Column::Skipped,
                (_, Meaning::Other) => {
                    let (task, metric) = task_and_metric(name);
                    let twin = against_another_axis(name);
                    if twin.is_some_and(|twin| places.contains_key(twin)) {
                        return Column::Skipped;
                    }
                    return Column::Measure {
                        task: task.into(),
                        metric: metric.into(),
                        shots: None,
                        stderr: stderrs.get(name.as_str()).copied(),
                        stepless: twin.is_some(),
                    };
                }
                (_, meaning) => Column::Scalar(meaning),
            };
            // If the mapping has assigned a meaning to a column already, convention does not assign it to a second
            // one.
            if taken(&conventional) { Column::Skipped } else { conventional }
        });
        (columns.collect(), problems)
    }

    /// What a name measures, by the first pattern that matches it.
    fn measure(&self, name: &str) -> Option<Column> {
        self.metrics.iter().find_map(|(regex, pattern)| {
            let groups = regex.captures(name)?;
            let group = |of: &str| groups.name(of).map(|text| text.as_str().to_owned());
            let (task, metric) = task_and_metric(name);
            Some(Column::Measure {
                task: group("task").or_else(|| pattern.task.clone()).unwrap_or_else(|| task.to_owned()),
                metric: group("metric").or_else(|| pattern.metric.clone()).unwrap_or_else(|| metric.to_owned()),
                shots: group("shots").and_then(|shots| shots.parse().ok()).or(pattern.shots),
                stderr: None,
                stepless: against_another_axis(name).is_some(),
            })
        })
    }

    /// Whether the mapping has a column of this name.
    pub(crate) fn names(&self, column: &str) -> bool {
        let mapping = &self.mapping;
        let names = [&mapping.run, &mapping.step, &mapping.tokens, &mapping.loss, &mapping.learning_rate];
        let names = names.into_iter().chain([&mapping.grad_norm]).flat_map(Names::all);
        names.chain(&mapping.claims).any(|name| name.strip_suffix('?').unwrap_or(name) == column)
    }
}

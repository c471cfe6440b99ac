//! Groups of tasks: what their tasks scored, put together.

use serde_json::Value;

use crate::error::ScoreError;
use crate::numpy;
use crate::object::{Object, map};

/// One entry of a group's `aggregate_metric_list`.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateMetric {
    /// The metric.
    pub metric: String,
    /// The filters; without them all that the tasks have.
    pub filter_list: Option<Vec<String>>,
    /// Whether a task counts by the number of its documents.
    pub weight_by_size: bool,
}

impl AggregateMetric {
    /// Reads a group's `aggregate_metric_list`.
    ///
    /// # Errors
    ///
    /// If it is malformed, or names an aggregation besides the mean.
    pub fn of_group(list: Option<&Value>) -> Result<Vec<Self>, ScoreError> {
        let place = "aggregate_metric_list";
        let entries = match list {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(entry @ Value::Object(_)) => std::slice::from_ref(entry),
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err(ScoreError::wrong(place, "it is neither a list nor a mapping")),
        };
        entries.iter().enumerate().map(|(at, entry)| Self::read(&format!("{place}[{at}]"), entry)).collect()
    }

    fn read(place: &str, entry: &Value) -> Result<Self, ScoreError> {
        let entry = entry.as_object().ok_or_else(|| ScoreError::wrong(place, "it is not a mapping"))?;
        let (mut metric, mut filter_list, mut weight_by_size) = (None, None, true);
        for (key, value) in entry {
            match (key.as_str(), value) {
                ("metric", Value::String(name)) => metric = Some(name.clone()),
                ("filter_list", Value::Null) => {}
                ("filter_list", Value::String(name)) => filter_list = Some(vec![name.clone()]),
                ("filter_list", Value::Array(names)) => {
                    let names: Option<Vec<String>> =
                        names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
                    filter_list =
                        Some(names.ok_or_else(|| ScoreError::wrong(place, "'filter_list' has what is not a text"))?);
                }
                ("aggregation", Value::String(name)) if name == "mean" => {}
                ("aggregation", other) => {
                    let why = "the harness only has 'mean', and nothing foreign is executed";
                    return Err(ScoreError::refused(place, format!("the aggregation {other}"), why));
                }
                ("weight_by_size", Value::Bool(flag)) => weight_by_size = *flag,
                ("metric" | "filter_list" | "weight_by_size", _) => {
                    return Err(ScoreError::wrong(place, format!("'{key}' has the wrong type")));
                }
                _ => return Err(ScoreError::wrong(place, format!("the field '{key}' is unknown"))),
            }
        }
        let metric = metric.ok_or_else(|| ScoreError::wrong(place, "it has no 'metric'"))?;
        Ok(Self { metric, filter_list, weight_by_size })
    }
}

/// What one task scored, as a group needs it.
#[derive(Debug, Clone, Copy)]
pub struct TaskScores<'a> {
    /// The task's name.
    pub task: &'a str,
    /// Its results by their keys.
    pub results: &'a [(String, Object)],
    /// How many documents were evaluated.
    pub evaluated: usize,
}

/// What a group scored.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupScores {
    /// The entry of the group in `results` and `groups`, without its name and alias; empty without metrics.
    pub entry: Vec<(String, Object)>,
    /// Metrics of which some tasks or all have none: the key and the tasks without it.
    pub missing: Vec<Missing>,
}

/// A metric's key, and the tasks that do not have it.
pub type Missing = (String, Vec<String>);

/// Puts the scores of a group's tasks together: all tasks below it, in the order of the harness, one that is in two of
/// its subgroups twice.
///
/// # Errors
///
/// If a result is not a number, or the harness would divide by zero.
pub fn group_scores(metrics: &[AggregateMetric], tasks: &[TaskScores]) -> Result<GroupScores, ScoreError> {
    let (mut entry, mut missing) = (Vec::new(), Vec::new());
    if metrics.is_empty() {
        return Ok(GroupScores { entry, missing });
    }
    let total: usize = tasks.iter().map(|task| task.evaluated).sum();
    entry.push(("sample_len".to_owned(), Object::Integer(total as i128)));
    let mut counts: Vec<(String, Object)> = Vec::new();
    for metric in metrics {
        let filters = metric.filter_list.clone().unwrap_or_else(|| filters_of(&metric.metric, tasks));
        for filter in filters {
            let key = format!("{},{filter}", metric.metric);
            let error_key = format!("{}_stderr,{filter}", metric.metric);
            let failed = |problem: &str| ScoreError::Aggregate { metric: key.clone(), problem: problem.to_owned() };
            let (mut values, mut sizes, mut errors, mut without) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            let mut complete = true;
            for task in tasks {
                let Some(value) = result(task, &key) else {
                    without.push(task.task.to_owned());
                    continue;
                };
                values.push(value.number().ok_or_else(|| failed("the result of a task is not a number"))?);
                sizes.push(task.evaluated);
                match result(task, &error_key).map(Object::number) {
                    Some(Some(error)) => errors.push(error),
                    _ => complete = false,
                }
            }
            if !without.is_empty() {
                missing.push((key.clone(), without));
            }
            if values.is_empty() {
                continue;
            }
            let value =
                weighted(&values, &sizes, metric.weight_by_size).ok_or_else(|| failed("no document was evaluated"))?;
            set(&mut entry, &key, Object::Float(value));
            set(&mut counts, &key, Object::Integer(sizes.iter().sum::<usize>() as i128));
            let error = match (complete, metric.weight_by_size) {
                (false, _) => Object::from("N/A"),
                (true, true) => Object::Float(
                    pooled(&errors, &sizes)
                        .ok_or_else(|| failed("no task has two documents, so that errors cannot be pooled"))?,
                ),
                (true, false) => Object::Float(unweighted(&errors)),
            };
            set(&mut entry, &error_key, error);
        }
    }
    if !counts.is_empty() {
        entry.push(("sample_count".to_owned(), Object::Map(counts)));
    }
    Ok(GroupScores { entry, missing })
}

/// A group without metrics and one with them, as the harness writes them into `results`.
#[must_use]
pub fn group_entry(name: &str, alias: Option<&str>, scores: &GroupScores) -> Object {
    let Object::Map(mut entry) = map([("alias", Object::from(alias.unwrap_or(name))), ("name", Object::from(name))])
    else {
        return Object::None;
    };
    entry.extend(scores.entry.iter().cloned());
    Object::Map(entry)
}

fn result<'a>(task: &TaskScores<'a>, key: &str) -> Option<&'a Object> {
    task.results.iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

/// The filters of a metric that the tasks have, sorted.
fn filters_of(metric: &str, tasks: &[TaskScores]) -> Vec<String> {
    let prefix = format!("{metric},");
    let keys = tasks.iter().flat_map(|task| task.results).filter(|(key, _)| !key.contains("_stderr"));
    let mut filters: Vec<String> = keys.filter_map(|(key, _)| key.strip_prefix(&prefix)).map(str::to_owned).collect();
    filters.sort_unstable();
    filters.dedup();
    filters
}

/// Sets an entry at its place, as a dict of Python does.
fn set(entries: &mut Vec<(String, Object)>, key: &str, value: Object) {
    match entries.iter_mut().find(|(name, _)| name == key) {
        Some((_, entry)) => *entry = value,
        None => entries.push((key.to_owned(), value)),
    }
}

/// The mean of the tasks' values, by size or not.
fn weighted(values: &[f64], sizes: &[usize], by_size: bool) -> Option<f64> {
    let weight = |size: &usize| if by_size { numpy::count(*size) } else { 1.0 };
    let total: f64 = sizes.iter().map(weight).sum();
    let sum = numpy::python_sum(values.iter().zip(sizes).map(|(value, size)| value * weight(size)));
    (total != 0.0).then(|| sum / total)
}

/// The standard error of a mean by size, from the errors of the tasks: as if their variances were pooled.
fn pooled(errors: &[f64], sizes: &[usize]) -> Option<f64> {
    let total: usize = sizes.iter().sum();
    let freedom = numpy::count(total) - numpy::count(sizes.len());
    let sum = numpy::python_sum(
        sizes
            .iter()
            .zip(errors)
            .map(|(size, error)| (numpy::count(*size) - 1.0) * (error * error) * numpy::count(*size)),
    );
    (freedom != 0.0 && total != 0).then(|| (sum / freedom / numpy::count(total)).sqrt())
}

/// The standard error of a mean in which each task counts the same.
fn unweighted(errors: &[f64]) -> f64 {
    numpy::python_sum(errors.iter().map(|error| error * error)).sqrt() / numpy::count(errors.len())
}

//! What a task says about scores, read once.

use serde_json::{Map, Value};

use crate::document::{Aggregate, ProcessResults};
use crate::error::ScoreError;
use crate::filter::Pipeline;
use crate::metric::{self, Aggregation, ExactMatch, OutputType, aggregation};
use crate::object::Object;

/// What a task says about scores.
#[derive(Debug, Clone)]
pub struct Rules<'a> {
    /// What it asks.
    pub output_type: OutputType,
    /// Its `filter_list` as written.
    pub filter_list: Option<&'a Value>,
    /// Its `metric_list` as written.
    pub metric_list: Option<&'a Value>,
    /// The port of its own `process_results`, if it has one.
    pub process_results: Option<ProcessResults>,
    /// The ports of its own aggregations, by the metric.
    pub aggregations: &'a [(String, Aggregate)],
    /// Whether it has `doc_to_choice`.
    pub has_choices: bool,
    /// Whether `doc_to_text` gives a number for the first document: the choices are in the contexts.
    pub multiple_inputs: bool,
    /// Whether `doc_to_target` gives a list for the first document.
    pub multiple_targets: bool,
}

/// A metric of a task.
#[derive(Debug, Clone)]
pub struct TaskMetric {
    /// Its name.
    pub name: String,
    /// How documents are put together.
    pub aggregation: Aggregation,
    /// Whether a higher value is better, as the task says; the harness passes on what is no such thing.
    pub higher_is_better: Object,
    /// The options of `exact_match`.
    pub(super) exact_match: ExactMatch,
}

/// How a task is scored.
#[derive(Debug, Clone)]
pub struct Scoring {
    /// What it asks.
    pub output_type: OutputType,
    /// Its filters.
    pub filters: Vec<Pipeline>,
    /// Its metrics.
    pub metrics: Vec<TaskMetric>,
    pub(super) process_results: Option<ProcessResults>,
    pub(super) has_choices: bool,
    pub(super) multiple_inputs: bool,
    pub(super) multiple_targets: bool,
}

impl Scoring {
    /// Reads what a task says.
    ///
    /// # Errors
    ///
    /// If a filter or metric is malformed, unknown or not supported.
    pub fn new(rules: &Rules) -> Result<Self, ScoreError> {
        let mut metrics: Vec<TaskMetric> = Vec::new();
        match rules.metric_list.filter(|list| !list.is_null()) {
            None => {
                for name in rules.output_type.default_metrics() {
                    let entry = Map::from_iter([("metric".to_owned(), Value::from(*name))]);
                    metrics.push(TaskMetric::read("metric_list", &entry, rules)?);
                }
            }
            Some(list) => {
                let entries = list.as_array().ok_or_else(|| ScoreError::wrong("metric_list", "it is not a list"))?;
                for (place, entry) in entries.iter().enumerate() {
                    let place = format!("metric_list[{place}]");
                    let entry = entry.as_object().ok_or_else(|| ScoreError::wrong(&place, "it is not a mapping"))?;
                    let metric = TaskMetric::read(&place, entry, rules)?;
                    // Of two with one name the later counts, at the place of the earlier.
                    match metrics.iter_mut().find(|earlier| earlier.name == metric.name) {
                        Some(earlier) => *earlier = metric,
                        None => metrics.push(metric),
                    }
                }
            }
        }
        Ok(Self {
            output_type: rules.output_type,
            filters: Pipeline::of_task(rules.filter_list)?,
            metrics,
            process_results: rules.process_results,
            has_choices: rules.has_choices,
            multiple_inputs: rules.multiple_inputs,
            multiple_targets: rules.multiple_targets,
        })
    }

    /// For each metric, whether a higher value is better (`higher_is_better` of the results).
    #[must_use]
    pub fn higher_is_better(&self) -> Vec<(String, Object)> {
        self.metrics.iter().map(|metric| (metric.name.clone(), metric.higher_is_better.clone())).collect()
    }

    pub(super) fn has(&self, metric: &str) -> bool {
        self.metrics.iter().any(|listed| listed.name == metric)
    }
}

const IN_PYTHON: &str = "it is a function of Python, and nothing foreign is executed";

impl TaskMetric {
    fn read(place: &str, entry: &Map<String, Value>, rules: &Rules) -> Result<Self, ScoreError> {
        let name = match entry.get("metric") {
            Some(Value::String(name)) => name.clone(),
            Some(_) => return Err(ScoreError::refused(place, "a metric of its own", IN_PYTHON)),
            None => return Err(ScoreError::wrong(place, "it has no 'metric'")),
        };
        let place = format!("{place} ({name})");
        let registered = metric::named(&name);
        let options: Map<String, Value> = entry
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "metric" | "aggregation" | "higher_is_better" | "hf_evaluate"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let mut exact_match = ExactMatch::default();
        if rules.process_results.is_none() {
            let refused = metric::REFUSED.iter().find(|(refused, _)| *refused == name);
            match (registered, refused) {
                _ if entry.get("hf_evaluate") == Some(&Value::Bool(true)) => {
                    let what = format!("'{name}' of Hugging Face evaluate");
                    return Err(ScoreError::refused(place, what, IN_PYTHON));
                }
                (_, Some((_, why))) => return Err(ScoreError::refused(place, format!("the metric '{name}'"), *why)),
                (None, None) => {
                    let why = "the harness does not register it, and looks for it in Hugging Face evaluate";
                    return Err(ScoreError::refused(place, format!("the metric '{name}'"), why));
                }
                (Some(metric), None) if rules.output_type == OutputType::GenerateUntil => {
                    if metric.of_document.generation.is_none() {
                        let why = "the harness has no rule that makes it of a generated text";
                        return Err(ScoreError::refused(place, format!("the metric '{name}'"), why));
                    }
                    if name == "exact_match" {
                        exact_match = ExactMatch::read(&place, &options)?;
                    }
                }
                (Some(_), None) => {}
            }
        }
        let ported = rules.aggregations.iter().find(|(metric, _)| *metric == name);
        // A function of the task's own is bound to its metric, so its name in the file is not looked at.
        let aggregation = match (ported, entry.get("aggregation"), registered) {
            (Some((_, aggregate)), ..) => Aggregation::Ported(*aggregate),
            (None, Some(Value::String(name)), _) => Aggregation::named(name).ok_or_else(|| {
                if aggregation::REFUSED.contains(&name.as_str()) {
                    ScoreError::refused(&place, format!("the aggregation '{name}'"), "it is not ported")
                } else {
                    ScoreError::wrong(&place, format!("the aggregation '{name}' is unknown"))
                }
            })?,
            (None, Some(_), _) => return Err(ScoreError::refused(place, "an aggregation of its own", IN_PYTHON)),
            (None, None, Some(metric)) => metric.aggregation,
            (None, None, None) => {
                return Err(ScoreError::wrong(
                    place,
                    "it has no 'aggregation', and no metric of this name has a default",
                ));
            }
        };
        let higher_is_better = match (entry.get("higher_is_better"), registered) {
            (Some(value), _) => Object::from(value),
            (None, Some(metric)) => Object::Bool(metric.higher_is_better),
            (None, None) => Object::None,
        };
        Ok(Self { name, aggregation, higher_is_better, exact_match })
    }
}

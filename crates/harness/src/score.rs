//! From a model's answers to the values of each document and the results of a task.
//!
//! A [`Scoring`] has the rules of a task: its filters and its metrics. [`Scoring::score`] passes the answers through
//! each filter, scores each document, and puts the values together. Where the harness would stop with an error, this
//! is an error too.
//!
//! Ties, infinities and NaN are as numpy has them: of equal choices the first is the best, and a NaN is greater than
//! every number.

mod document;
mod rules;

use std::collections::BTreeMap;

use crate::document::Document;
use crate::error::ScoreError;
use crate::metric::Aggregation;
use crate::object::Object;
use crate::request::{Instance, Response};
use crate::stderr::standard_error;

pub use rules::{Rules, Scoring, TaskMetric};

/// A request and the answers to it: one, or as many as the task's `repeats`.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// What was asked.
    pub instance: &'a Instance,
    /// What the model answered.
    pub responses: &'a [Response],
}

/// What one document scored with one filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The document's number in the split.
    pub document: usize,
    /// The filter.
    pub filter: String,
    /// The answers to each of its requests, after the filter.
    pub filtered: Vec<Object>,
    /// The value of each metric.
    pub values: Vec<(String, Object)>,
}

/// What a task scored.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Each document with each filter: all documents with the first filter, then with the next.
    pub samples: Vec<Sample>,
    /// The results by their keys (`acc,none`, `acc_stderr,none`), in the harness's order.
    pub results: Vec<(String, Object)>,
    /// How many documents have a value of the metric that most have (`sample_len`).
    pub evaluated: usize,
    /// Metrics that the task does not list and that are therefore averaged.
    pub averaged: Vec<String>,
}

impl Response {
    /// The answer as Python has it.
    #[must_use]
    pub fn object(&self) -> Object {
        match self {
            Self::Continuation { log_likelihood, greedy } => {
                Object::Tuple(vec![Object::Float(*log_likelihood), Object::Bool(*greedy)])
            }
            Self::Text(log_likelihood) => Object::Float(*log_likelihood),
            Self::Generation(text) => Object::Text(text.clone()),
        }
    }
}

impl Scoring {
    /// Scores the answers to all requests of a task. `documents` are those that were asked about, each with its number
    /// in the split; `bootstraps` is how many samples are drawn for a standard error, none if it is 0.
    ///
    /// # Errors
    ///
    /// If answers are missing or do not fit their documents, or a metric cannot be computed of them.
    pub fn score(
        &self,
        documents: &[(usize, &Document)],
        answered: &[Answered],
        bootstraps: usize,
    ) -> Result<Scored, ScoreError> {
        let by_number: BTreeMap<usize, &Document> = documents.iter().copied().collect();
        let mut columns = Vec::with_capacity(answered.len());
        let mut requests: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, answer) in answered.iter().enumerate() {
            let number = answer.instance.document;
            let problem = |problem: &str| ScoreError::Document { document: number, problem: problem.to_owned() };
            let document = by_number.get(&number).ok_or_else(|| problem("it was asked about, but is not there"))?;
            if answer.responses.is_empty() {
                return Err(problem("a request has no answer"));
            }
            columns.push(&document.columns);
            requests.entry(number).or_default().push(place);
        }
        for places in requests.values_mut() {
            places.sort_by_key(|place| answered[*place].instance.index);
        }
        let mut samples = Vec::with_capacity(documents.len() * self.filters.len());
        for filter in &self.filters {
            let answers = answered
                .iter()
                .map(|answer| Object::List(answer.responses.iter().map(Response::object).collect()))
                .collect();
            let filtered = filter.apply(answers, &columns)?;
            for (number, document) in documents {
                let problem = |problem: String| ScoreError::Document { document: *number, problem };
                let places = requests.get(number).ok_or_else(|| problem("no request is about it".to_owned()))?;
                let filtered: Vec<Object> = places.iter().map(|place| filtered[*place].clone()).collect();
                let values = self.of_document(document, &filtered).map_err(problem)?;
                samples.push(Sample { document: *number, filter: filter.name.clone(), filtered, values });
            }
        }
        self.aggregate(samples, bootstraps)
    }

    /// Puts the values of all documents together.
    fn aggregate(&self, samples: Vec<Sample>, bootstraps: usize) -> Result<Scored, ScoreError> {
        let mut columns: Vec<(&str, &str, Vec<Object>)> = Vec::new();
        for sample in &samples {
            for (metric, value) in &sample.values {
                match columns.iter_mut().find(|(name, filter, _)| name == metric && *filter == sample.filter) {
                    Some((_, _, values)) => values.push(value.clone()),
                    None => columns.push((metric, &sample.filter, vec![value.clone()])),
                }
            }
        }
        let (mut results, mut evaluated, mut averaged) = (Vec::new(), 0, Vec::new());
        for (metric, filter, values) in columns {
            let listed = self.metrics.iter().find(|listed| listed.name == metric);
            if listed.is_none() && !averaged.iter().any(|name| name == metric) {
                averaged.push(metric.to_owned());
            }
            let aggregation = listed.map_or(Aggregation::Mean, |listed| listed.aggregation);
            let failed = |problem: String| ScoreError::Aggregate { metric: metric.to_owned(), problem };
            let value = aggregation.of(&values).map_err(failed)?;
            let error = standard_error(metric, aggregation, &values, bootstraps).map_err(failed)?;
            results.push((format!("{metric},{filter}"), value));
            results.push((format!("{metric}_stderr,{filter}"), error.map_or(Object::from("N/A"), Object::Float)));
            evaluated = evaluated.max(values.len());
        }
        Ok(Scored { results, evaluated, averaged, samples })
    }
}

//! Filters: what is taken out of a model's answers before they are scored (`filter_list`).
//!
//! A request has as many answers as the task's `repeats`. A [`Pipeline`] passes the answers of each request through its
//! steps. As in the harness, a step that is given one text instead of a list goes through its characters, so the order
//! of steps matters.

mod choices;
mod step;

use serde_json::{Map, Value};

use crate::error::ScoreError;
use crate::object::Object;

pub use step::{NAMES, Step};

/// The steps of one entry of `filter_list`.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Its name, which stands behind the comma of a result's key.
    pub name: String,
    /// What is done, in this order.
    pub steps: Vec<Step>,
}

impl Pipeline {
    /// The pipelines of a task. Without `filter_list` there is one, `none`, which takes the first answer.
    ///
    /// # Errors
    ///
    /// If `filter_list` is malformed, or names a filter or an option that is unknown or not supported.
    pub fn of_task(filter_list: Option<&Value>) -> Result<Vec<Self>, ScoreError> {
        let Some(list) = filter_list.filter(|list| !list.is_null()) else {
            return Ok(vec![Self { name: "none".to_owned(), steps: vec![Step::TakeFirst] }]);
        };
        let entries = list.as_array().ok_or_else(|| ScoreError::wrong("filter_list", "it is not a list"))?;
        let mut pipelines: Vec<Self> = Vec::with_capacity(entries.len());
        for (place, entry) in entries.iter().enumerate() {
            let place = format!("filter_list[{place}]");
            let name = entry
                .get("name")
                .and_then(Value::as_str)
                .ok_or_else(|| ScoreError::wrong(&place, "it has no text 'name'"))?
                .to_owned();
            let steps = entry
                .get("filter")
                .and_then(Value::as_array)
                .ok_or_else(|| ScoreError::wrong(&place, "it has no list 'filter'"))?
                .iter()
                .enumerate()
                .map(|(at, step)| Step::read(&format!("{place}.filter[{at}]"), step))
                .collect::<Result<_, _>>()?;
            let pipeline = Self { name, steps };
            // The harness keeps results by the name: of two pipelines with one name the later counts, at the place
            // of the earlier.
            match pipelines.iter_mut().find(|earlier| earlier.name == pipeline.name) {
                Some(earlier) => *earlier = pipeline,
                None => pipelines.push(pipeline),
            }
        }
        if pipelines.is_empty() {
            return Err(ScoreError::wrong("filter_list", "it is empty, so that nothing would be scored"));
        }
        Ok(pipelines)
    }

    /// Passes the answers of all requests of a task through the steps. `documents` has, for each request, the columns
    /// of its document.
    ///
    /// # Errors
    ///
    /// If a step cannot be applied to what it is given.
    pub fn apply(
        &self,
        mut answers: Vec<Object>,
        documents: &[&Map<String, Value>],
    ) -> Result<Vec<Object>, ScoreError> {
        for (at, step) in self.steps.iter().enumerate() {
            let place = format!("filter '{}', step {} ({})", self.name, at + 1, step.name());
            answers = step.apply(&place, answers, documents)?;
        }
        Ok(answers)
    }
}

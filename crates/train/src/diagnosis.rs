//! Classifies a difference between two lines of a journal.
//!
//! Both lines are of the same step: the recorded one, and the one recomputed from the same weights. The rules, in this
//! order, follow from the dependencies: the batch depends only on data and order, the loss on weights and batch, the
//! weights after the update on all of these. So if the weights after the step are the same, any other difference in
//! the line did not exist when the run was computed: the record was changed.

use retrace_spec::{Digest, Run, Step};
use serde_json::Value;

use crate::finding::{DifferenceKind, Finding};
use crate::{Batches, Line, State, TrainError};

/// The distance from its own step, in steps, within which a batch is searched for.
const NEAR: u64 = 200;
/// The number of places that are named; the rest are counted.
const MOST_PLACES: usize = 12;

/// The inputs of a diagnosis.
pub(crate) struct Case<'a> {
    pub(crate) run: &'a Run,
    pub(crate) batches: &'a Batches,
    /// The recomputed state after the step.
    pub(crate) state: &'a State,
    /// The recorded weights' root before the step, if it is known.
    pub(crate) before: Option<Digest>,
}

impl Case<'_> {
    /// The finding, if the lines differ in anything that is not only a consequence of earlier lines.
    ///
    /// # Errors
    /// If the tokens cannot be read.
    pub(crate) fn compare(&self, recorded: &Line, replayed: &Line) -> Result<Option<Finding>, TrainError> {
        let step = replayed.step;
        let found = |kind, what: String, places| Ok(Some(Finding { kind, step, what, places, element: None }));
        let fields = differing_fields(recorded, replayed)?;
        let fields: Vec<String> = fields.into_iter().filter(|field| field != "previous").collect();
        let differs = |name: &str| fields.iter().any(|field| field == name);
        if fields.is_empty() {
            return Ok(None);
        }
        let told = |names: &[String]| names.join(", ");
        if !differs("weights") && fields != ["state"] {
            let what = format!(
                "the weights after the step are the same, so this line of the journal was changed in {}",
                told(&fields)
            );
            return found(DifferenceKind::Record, what, fields);
        }
        if !differs("weights") {
            let what = "the weights are the same, but not the optimizer's moments".to_owned();
            return found(DifferenceKind::Arithmetic, what, Vec::new());
        }
        if differs("batch") {
            return self.of_data(recorded, replayed).map(Some);
        }
        if differs("learning_rate") {
            let what = format!(
                "the learning rate was {}, but phase {:?} gives {}",
                recorded.learning_rate, replayed.phase, replayed.learning_rate
            );
            let phase = self.run.phases.iter().position(|phase| phase.name == replayed.phase).unwrap_or(0);
            return found(DifferenceKind::Config, what, vec![format!("phases[{phase}].learning_rate")]);
        }
        let tensors = self.tensors(recorded, replayed);
        if tensors.is_empty() {
            let what =
                "the digest of the weights does not match the digests of the tensors in the same line".to_owned();
            return found(DifferenceKind::Record, what, vec!["weights".to_owned()]);
        }
        let what = if differs("loss") {
            "the weights and the batch are the same, but the loss differs"
        } else if differs("grad_norm") {
            "the loss is the same, but the gradient differs"
        } else if self.before == Some(recorded.weights) {
            "the step changed no weight, although it is not an outlier"
        } else {
            "the loss and the norm of the gradient are the same, but the update differs: in the weights, the moments or the update itself"
        };
        found(DifferenceKind::Arithmetic, what.to_owned(), tensors)
    }

    /// The tensors that differ according to the lines.
    fn tensors(&self, recorded: &Line, replayed: &Line) -> Vec<String> {
        let names: Vec<&str> = self.state.weights.layout().iter().map(|(name, ..)| name).collect();
        let differ = recorded.tensors.differ(&replayed.tensors);
        differ.into_iter().filter_map(|at| names.get(at).map(|name| (*name).to_owned())).collect()
    }

    fn of_data(&self, recorded: &Line, replayed: &Line) -> Result<Finding, TrainError> {
        let step = replayed.step;
        let finding = |what, places| Finding { kind: DifferenceKind::Data, step, what, places, element: None };
        let steps = self.run.steps().get();
        for other in step.get().saturating_sub(NEAR).max(1)..=(step.get() + NEAR).min(steps) {
            if self.batches.batch(Step(other))?.digest == recorded.batch {
                return Ok(finding(format!("it used the batch of step {other}"), Vec::new()));
            }
        }
        let slots = recorded.sequences.differ(&replayed.sequences);
        if slots.is_empty() {
            let what =
                "the digest of the batch does not match the digests of the sequences in the same line".to_owned();
            return Ok(Finding { kind: DifferenceKind::Record, ..finding(what, vec!["batch".to_owned()]) });
        }
        let all = replayed.sequences.count();
        let mut places = Vec::new();
        for slot in slots.iter().take(MOST_PLACES) {
            places.push(self.batches.place(step, *slot as u64)?);
        }
        let rest = match slots.len().saturating_sub(MOST_PLACES) {
            0 => String::new(),
            more => format!(" ({more} more are not listed)"),
        };
        let what = match slots.len() == all {
            true => format!(
                "none of its {all} sequences is the one that seed, order and shards give here, nor is it the batch of \
                 a step near by{rest}"
            ),
            false => {
                format!(
                    "{} of its {all} sequences are not those that the data order and the shards give{rest}",
                    slots.len()
                )
            }
        };
        Ok(finding(what, places))
    }
}

/// The names of the top-level fields whose values differ.
fn differing_fields(a: &Line, b: &Line) -> Result<Vec<String>, TrainError> {
    Ok(differences(&value(a)?, &value(b)?)
        .into_iter()
        .map(|(field, ..)| field.split(['.', '[']).next().unwrap_or_default().to_owned())
        .collect())
}

/// The fields in which two runs differ: path, value in the first, value in the second.
///
/// # Errors
/// If a run has no JSON form.
pub(crate) fn differing_run_fields(a: &Run, b: &Run) -> Result<Vec<(String, Value, Value)>, TrainError> {
    Ok(differences(&value(a)?, &value(b)?))
}

fn value(of: &impl serde::Serialize) -> Result<Value, TrainError> {
    serde_json::to_value(of).map_err(|e| retrace_spec::SpecError::Canonical(e.to_string()).into())
}

/// The leaves in which two values differ, with their paths.
fn differences(a: &Value, b: &Value) -> Vec<(String, Value, Value)> {
    fn walk(path: &str, a: &Value, b: &Value, found: &mut Vec<(String, Value, Value)>) {
        match (a, b) {
            (Value::Object(left), Value::Object(right)) => {
                let names: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
                for name in names {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    let (a, b) = (left.get(name).unwrap_or(&Value::Null), right.get(name).unwrap_or(&Value::Null));
                    walk(&path, a, b, found);
                }
            }
            (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
                for (at, (a, b)) in left.iter().zip(right).enumerate() {
                    walk(&format!("{path}[{at}]"), a, b, found);
                }
            }
            _ if a != b => found.push((path.to_owned(), a.clone(), b.clone())),
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk("", a, b, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn differences_are_named_by_their_path() {
        let a = json!({"seed": 1, "phases": [{"steps": 3}, {"steps": 4}], "same": {"x": [1, 2]}, "only": true});
        let b = json!({"seed": 2, "phases": [{"steps": 3}, {"steps": 5}], "same": {"x": [1, 2]}});
        let paths: Vec<String> = differences(&a, &b).into_iter().map(|(path, ..)| path).collect();
        assert_eq!(paths, ["only", "phases[1].steps", "seed"]);
        let longer = json!({"phases": [1]});
        assert_eq!(differences(&longer, &json!({"phases": [1, 2]}))[0].0, "phases");
    }
}

//! The results of a model as a file, in the format of lm-evaluation-harness, with every item.
//!
//! ```json
//! {
//!   "results": {"TASK": {"alias": "TASK", "acc,none": 0.5, "acc_stderr,none": 0.1}},
//!   "samples": {"TASK": [{"item": "1", "log_likelihoods": [-2.5, -1.5], "correct": true}]}
//! }
//! ```

use std::collections::BTreeMap;
use std::io::Write as _;

use retrace_files::{FileError, RegularFile, WholeFile};
use retrace_spec::ResultKey;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{EvalError, ItemScore, Metric, Scores};

/// The maximum size of a results file in bytes.
const LARGEST: u64 = 1 << 30;
/// The key of a task's name among its numbers.
const ALIAS: &str = "alias";
/// The value that means that there is no standard error.
const NO_STDERR: &str = "N/A";

/// The scores of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// One entry per task, no task twice.
    pub scores: Vec<Scores>,
}

/// The file's content.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    results: BTreeMap<String, Map<String, Value>>,
    samples: BTreeMap<String, Vec<ItemScore>>,
}

impl Results {
    /// The numbers in the form of lm-evaluation-harness: by task, `METRIC,none` and `METRIC_stderr,none`.
    pub fn harness(&self) -> Value {
        let tasks = self.scores.iter().map(|scores| (scores.task.clone(), Value::Object(numbers(scores))));
        Value::Object(tasks.collect())
    }

    /// Writes the results file, keys sorted.
    ///
    /// # Errors
    /// If writing to the disk fails.
    pub fn write(&self, mut file: WholeFile) -> Result<(), EvalError> {
        let path = file.path();
        let samples: BTreeMap<&str, &[ItemScore]> =
            self.scores.iter().map(|scores| (scores.task.as_str(), scores.samples.as_slice())).collect();
        let mut value = json!({"results": self.harness(), "samples": samples});
        value.sort_all_objects();
        writeln!(file, "{value:#}").map_err(FileError::io(&path, "write"))?;
        file.commit()?;
        Ok(())
    }

    /// Reads a results file that [`Results::write`] wrote; tasks and metrics are sorted by name.
    ///
    /// # Errors
    /// If it is not such a file: one of the harness itself has no items, or different ones.
    pub fn read(file: RegularFile) -> Result<Self, EvalError> {
        let path = file.path().to_owned();
        let text = file.read(LARGEST)?;
        let Written { results, mut samples } = serde_json::from_slice(&text).map_err(|e| FileError::Json {
            path: path.clone(),
            line: e.line(),
            what: e.to_string(),
        })?;
        let refuse =
            |place: String, what: &str| EvalError::Results { path: path.clone(), place, what: what.to_owned() };
        let mut scores = Vec::with_capacity(results.len());
        for (task, numbers) in results {
            let at = |key: &str| format!("results, {task}, {key}");
            let mut metrics = Vec::new();
            for (name, number) in numbers.iter().filter(|(name, _)| *name != ALIAS) {
                let key = ResultKey::parse(name);
                if !key.is_unfiltered() {
                    return Err(refuse(at(name), "`retrace eval` has no filters"));
                }
                if key.stderr {
                    continue;
                }
                let value = number.as_f64().ok_or_else(|| refuse(at(name), "not a number"))?;
                let error = key.stderr().to_string();
                let stderr = match numbers.get(&error) {
                    Some(Value::String(text)) if text == NO_STDERR => None,
                    Some(number) => Some(number.as_f64().ok_or_else(|| refuse(at(&error), "not a number"))?),
                    None => return Err(refuse(at(&error), "missing")),
                };
                metrics.push(Metric { name: key.metric.to_owned(), value, stderr });
            }
            let samples = samples.remove(&task).ok_or_else(|| refuse(format!("samples, {task}"), "missing"))?;
            scores.push(Scores { task, metrics, samples });
        }
        match samples.keys().next() {
            Some(task) => Err(refuse(format!("results, {task}"), "missing, although its items are present")),
            None => Ok(Self { scores }),
        }
    }
}

/// The numbers of a task.
fn numbers(scores: &Scores) -> Map<String, Value> {
    let mut numbers = Map::new();
    numbers.insert(ALIAS.to_owned(), scores.task.clone().into());
    for metric in &scores.metrics {
        let key = ResultKey::unfiltered(&metric.name);
        numbers.insert(key.to_string(), metric.value.into());
        numbers.insert(key.stderr().to_string(), metric.stderr.map_or_else(|| NO_STDERR.into(), Value::from));
    }
    numbers
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn sample(item: &str, log_likelihoods: &[f64], correct: Option<bool>) -> ItemScore {
        ItemScore { item: item.to_owned(), log_likelihoods: log_likelihoods.to_vec(), correct }
    }

    fn results() -> Results {
        let metric = |name: &str, value, stderr| Metric { name: name.to_owned(), value, stderr };
        Results {
            scores: vec![
                Scores {
                    task: "facts".to_owned(),
                    metrics: vec![metric("acc", 0.1 + 0.2, Some(1e-300)), metric("acc_norm", 0.5, Some(0.1))],
                    samples: vec![sample("1", &[-2.5, -0.1 - 0.2], Some(true))],
                },
                Scores {
                    task: "heldout".to_owned(),
                    metrics: vec![metric("bits_per_byte", 2.0, None)],
                    samples: vec![sample("a", &[-12.25], None)],
                },
            ],
        }
    }

    fn read(path: &Path) -> Result<Results, EvalError> {
        Results::read(RegularFile::open(path)?)
    }

    #[test]
    fn what_is_written_is_read_again_to_the_bit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results.json");
        results().write(WholeFile::create(&path).unwrap()).unwrap();
        assert_eq!(read(&path).unwrap(), results());
    }

    /// Written out by hand.
    #[test]
    fn the_file_has_the_shape_of_the_harness() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results.json");
        let results = Results { scores: vec![results().scores.remove(1)] };
        results.write(WholeFile::create(&path).unwrap()).unwrap();
        let expected = r#"{
  "results": {
    "heldout": {
      "alias": "heldout",
      "bits_per_byte,none": 2.0,
      "bits_per_byte_stderr,none": "N/A"
    }
  },
  "samples": {
    "heldout": [
      {
        "correct": null,
        "item": "a",
        "log_likelihoods": [
          -12.25
        ]
      }
    ]
  }
}
"#;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn another_file_is_refused_with_the_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results.json");
        for (text, expected) in [
            ("", "results.json:1: "),
            ("[]", "results.json:1: "),
            ("{\"results\": {},\n\"samples\": 1}", "results.json:2: "),
            (r#"{"results": {}}"#, "missing field `samples`"),
            (r#"{"results": {}, "samples": {}, "versions": {}}"#, "unknown field `versions`"),
            (r#"{"results": {"t": {"acc,none": 1}}, "samples": {"t": []}}"#, "results, t, acc_stderr,none: missing"),
            (r#"{"results": {"t": {"acc,none": "1"}}, "samples": {"t": []}}"#, "results, t, acc,none: not a number"),
            (
                r#"{"results": {"t": {"acc,none": 1, "acc_stderr,none": "no"}}, "samples": {"t": []}}"#,
                "results, t, acc_stderr,none: not a number",
            ),
            (r#"{"results": {"t": {"acc,strict": 1}}, "samples": {"t": []}}"#, "results, t, acc,strict: "),
            (r#"{"results": {"t": {}}, "samples": {}}"#, "samples, t: missing"),
            (r#"{"results": {}, "samples": {"t": []}}"#, "results, t: missing"),
        ] {
            std::fs::write(&path, text).unwrap();
            let told = read(&path).unwrap_err().to_string();
            assert!(told.contains(expected), "{text}: {told}");
        }
    }
}

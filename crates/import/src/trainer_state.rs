//! `trainer_state.json`, as the Trainer of transformers writes it: its `log_history`, and the rest as
//! claims.
//!
//! The run is the directory that contains the file, or the one above if that is `checkpoint-N`.

use retrace_spec::CheckpointName;

use crate::json;
use crate::rows::{Input, Problem, Rows};
use crate::scalars::{Logged, Meaning, Measured};
use crate::value::{Value, pointer};

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let value = json::read(input.bytes)?;
    let Some(history) = value.get("log_history").and_then(Value::array) else {
        return Err(Problem::whole("not a trainer state: it has no list `log_history`"));
    };
    let folder = input.folder(0);
    let in_checkpoint = folder.starts_with("checkpoint-") && CheckpointName::of(&folder).step.is_some();
    let run = if in_checkpoint { input.folder(1) } else { folder };
    for (index, entry) in history.iter().enumerate() {
        let place = pointer(["log_history", &index.to_string()]);
        let Some(entries) = entry.object() else {
            rows.problem(Problem::at(place, "not an object"));
            continue;
        };
        let mut logged = Logged::default();
        for (name, value) in entries {
            let (Value::Number(text), name) = (value, name.as_ref()) else { continue };
            let fits = match (name, Meaning::of(name)) {
                // `train_loss` is the mean over all steps, logged at the end.
                ("train_loss", _) | (_, Meaning::Other) => {
                    let (task, metric) = name
                        .split_once('_')
                        .filter(|(task, _)| matches!(*task, "eval" | "train" | "test"))
                        .unwrap_or(("", name));
                    let number = text.parse();
                    logged.rest.extend(number.iter().map(|value| Measured {
                        task,
                        metric,
                        value: *value,
                        ..Measured::default()
                    }));
                    number.is_ok()
                }
                (_, meaning) => logged.take_as(meaning, text),
            };
            if !fits {
                rows.problem(Problem::at(&place, format_args!("{name} is {text}, not an integer")));
            }
        }
        logged.give(input, &run, &place, rows);
    }
    for (key, value) in value.object().unwrap_or_default().iter().filter(|(key, _)| key != "log_history") {
        value.leaves(key, &pointer([key.as_ref()]), &mut |name, place, text, number| {
            rows.claim(input, &run, name, text, number, place);
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{read_as, survives};

    /// As transformers' `TrainerState.save_to_json` writes it, shortened.
    const STATE: &[u8] = br#"{
  "best_metric": null,
  "epoch": 1.0,
  "global_step": 20,
  "log_history": [
    {"epoch": 0.5, "grad_norm": 1.25, "learning_rate": 5e-05, "loss": 2.5, "num_input_tokens_seen": 4096, "step": 10},
    {"epoch": 0.5, "eval_accuracy": 0.5, "eval_loss": NaN, "eval_runtime": 1.5, "step": 10},
    {"epoch": 1.0, "step": 20, "train_loss": 2.0, "train_runtime": 10.0}
  ],
  "stateful_callbacks": {"TrainerControl": {"args": {"should_log": false}}},
  "total_flos": 1500000000000.0
}"#;

    #[test]
    fn the_history_of_a_run() {
        for source in ["out/mine/trainer_state.json", "out/mine/checkpoint-20/trainer_state.json"] {
            let rows = read_as(source, STATE, read);
            assert_eq!(rows.problems(), None);
            let [log] = rows.train_log.as_slice() else { panic!("{:?}", rows.train_log) };
            assert_eq!(
                (log.run.as_str(), log.step.0, log.tokens.map(|t| t.0), log.loss),
                ("mine", 10, Some(4096), Some(2.5))
            );
            assert_eq!(
                (log.learning_rate, log.grad_norm, log.place.as_str()),
                (Some(5e-5), Some(1.25), "/log_history/0")
            );
            let metrics: Vec<_> = rows.metrics.iter().map(|row| (row.task.as_str(), row.metric.as_str())).collect();
            assert_eq!(
                metrics,
                [("eval", "accuracy"), ("eval", "loss"), ("eval", "runtime"), ("train", "loss"), ("train", "runtime")]
            );
            assert!(rows.metrics[1].value.is_nan());
            let claim = rows.claims.last().unwrap();
            assert_eq!(
                (claim.name.as_str(), claim.value.as_str(), claim.place.as_str()),
                ("total_flos", "1500000000000.0", "/total_flos")
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_told_and_anything_is_survived() {
        for (bytes, expected) in [
            (&b"{}"[..], "no list `log_history`"),
            (
                br#"{"log_history": [1, {"step": 1.5, "loss": 1}]}"#,
                "/log_history/0: not an object; /log_history/1: step is 1.5",
            ),
            (br#"{"log_history": [], "log_history": []}"#, "duplicate key"),
        ] {
            let problems = read_as("a/trainer_state.json", bytes, read).problems().unwrap();
            assert!(problems.contains(expected), "{problems}");
        }
        survives("a/trainer_state.json", STATE, read);
    }
}

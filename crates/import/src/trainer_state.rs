//! `trainer_state.json`, as the Trainer of transformers writes it: its `log_history`, and the rest as
//! claims.
//!
//! The run is the directory that contains the file, or the one above if that is `checkpoint-N`. Each checkpoint has the
//! history up to it, so the files of a run have most entries several times: the file with the longest history gives them,
//! and the others what it lacks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use retrace_spec::{CheckpointName, Digest, guard};

use crate::beside::{Beside, ReadFile};
use crate::json;
use crate::rows::{Input, Problem, Rows};
use crate::scalars::{Log, Logged, Meaning, Measured};
use crate::value::{Value, is_non_finite, pointer};

/// Whether a directory is a checkpoint of a run.
fn is_checkpoint(folder: &str) -> bool {
    folder.starts_with("checkpoint-") && CheckpointName::of(folder).step.is_some()
}

/// For states of a Trainer: the entries that another file of their run gives.
pub(crate) fn given(files: &[&Path], read: &ReadFile<'_>) -> HashMap<PathBuf, Beside> {
    let mut runs: BTreeMap<PathBuf, Vec<&Path>> = BTreeMap::new();
    for path in files {
        // `.` and `./run` are the same directories.
        let whole = std::path::absolute(path).unwrap_or_else(|_| (*path).to_owned());
        let folder = whole.parent().unwrap_or(&whole);
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let run = if is_checkpoint(name) { folder.parent().unwrap_or(folder) } else { folder };
        runs.entry(run.to_owned()).or_default().push(path);
    }
    let mut given = HashMap::new();
    for files in runs.into_values().filter(|files| files.len() > 1) {
        let mut histories: Vec<(Vec<Digest>, &Path)> =
            files.into_iter().map(|path| (read(path).map(|bytes| entries(&bytes)).unwrap_or_default(), path)).collect();
        // The longest first; of those of one length, the one of the run itself.
        histories.sort_by_key(|(entries, path)| (usize::MAX - entries.len(), path.components().count(), *path));
        let mut most: HashMap<Digest, usize> = HashMap::new();
        for (entries, path) in histories {
            let mut times: HashMap<Digest, usize> = HashMap::new();
            let mut there = HashSet::new();
            for (index, entry) in entries.into_iter().enumerate() {
                let time = times.entry(entry).or_default();
                *time += 1;
                if most.get(&entry).is_some_and(|most| *time <= *most) {
                    there.insert(index);
                }
            }
            for (entry, time) in times {
                let most = most.entry(entry).or_default();
                *most = time.max(*most);
            }
            given.insert(path.to_owned(), Beside::Given(there));
        }
    }
    given
}

/// A digest of each entry of a history.
fn entries(bytes: &[u8]) -> Vec<Digest> {
    let read = guard(|| json::read(bytes));
    let value = read.ok().and_then(Result::ok).unwrap_or(Value::Null);
    let entries = value.get("log_history").and_then(Value::array).unwrap_or_default();
    entries.iter().map(|entry| Digest::of(format!("{entry:?}").as_bytes())).collect()
}

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let value = json::read(input.bytes)?;
    let Some(history) = value.get("log_history").and_then(Value::array) else {
        return Err(Problem::whole("not a trainer state: it has no list `log_history`"));
    };
    let folder = input.folder(0);
    // What a checkpoint says of itself is not said of the run.
    let (run, subject) = match is_checkpoint(&folder) {
        true => (input.folder(1), format!("{}/{folder}", input.folder(1))),
        false => (folder.clone(), folder),
    };
    let nothing = HashSet::new();
    let given = if let Beside::Given(given) = input.beside { given } else { &nothing };
    if !given.is_empty() {
        let what = "entries of its history that a longer one of the same run has too are taken from there";
        rows.note(Problem::whole(what));
    }
    let mut log = Log::default();
    for (index, entry) in history.iter().enumerate().filter(|(index, _)| !given.contains(index)) {
        let place = pointer(["log_history", &index.to_string()]);
        let Some(entries) = entry.object() else {
            rows.problem(Problem::at(place, "not an object"));
            continue;
        };
        let mut logged = Logged::default();
        for (name, value) in entries {
            let name = name.as_ref();
            let text = match value {
                Value::Number(text) => text,
                Value::String(text) if is_non_finite(text) => text,
                _ => continue,
            };
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
                (_, meaning) => logged.take_as(meaning, name, text),
            };
            if !fits {
                rows.problem(Problem::at(&place, format_args!("{name} is {text}, not an integer")));
            }
        }
        logged.give(input, &run, &place, rows, &mut log);
    }
    for (key, value) in value.object().unwrap_or_default().iter().filter(|(key, _)| key != "log_history") {
        value.leaves(key, &pointer([key.as_ref()]), &mut |name, place, text, number| {
            rows.claim(input, &subject, name, text, number, place);
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{read_as, read_beside, survives};

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
    fn a_history_that_each_checkpoint_has_counts_once() {
        let state = |entries: &[&str]| format!("{{\"log_history\": [{}], \"global_step\": 1}}", entries.join(", "));
        let entry = |step: u32, loss: u32| format!("{{\"step\": {step}, \"loss\": {loss}.5}}");
        let (one, two, three) = (entry(10, 4), entry(20, 3), entry(30, 2));
        // The first try of step 20 was given up; in the second, the last entry was logged twice.
        let (other, end) = (entry(20, 9), entry(30, 2));
        let files = HashMap::from([
            ("out/mine/checkpoint-10/trainer_state.json".to_owned(), state(&[&one])),
            ("out/mine/checkpoint-20/trainer_state.json".to_owned(), state(&[&one, &other])),
            ("out/mine/checkpoint-30/trainer_state.json".to_owned(), state(&[&one, &two, &three])),
            ("out/mine/trainer_state.json".to_owned(), state(&[&one, &two, &three, &end])),
            ("out/other/trainer_state.json".to_owned(), state(&[&one])),
        ]);
        let paths: Vec<&Path> = files.keys().map(Path::new).collect();
        let beside = given(&paths, &|path| Some(files.get(path.to_str()?)?.clone().into_bytes()));
        let mut told = Vec::new();
        for (source, text) in &files {
            let nothing = Beside::Nothing;
            let beside = beside.get(Path::new(source)).unwrap_or(&nothing);
            let rows = read_beside(source, text.as_bytes(), beside, read);
            assert_eq!((rows.problems(), rows.claims.len()), (None, 1));
            told.extend(rows.train_log.into_iter().map(|row| (row.run, row.step.0, row.loss.unwrap(), row.source)));
        }
        told.sort_by(|a, b| a.partial_cmp(b).unwrap());
        let row = |step: u64, loss: f64, below: &str| {
            ("mine".to_owned(), step, loss, format!("out/mine/{below}trainer_state.json"))
        };
        let other = ("other".to_owned(), 10, 4.5, "out/other/trainer_state.json".to_owned());
        let mine =
            [row(10, 4.5, ""), row(20, 3.5, ""), row(20, 9.5, "checkpoint-20/"), row(30, 2.5, ""), row(30, 2.5, "")];
        assert_eq!(told, [&mine[..], &[other]].concat());
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

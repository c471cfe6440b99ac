//! `trainer_state.json`, as the Trainer of transformers writes it: its `log_history`, and the rest as
//! claims.
//!
//! The run is the directory that contains the file, or the one above if that is a checkpoint: `checkpoint-500`,
//! `epoch_3`, `best_model`. Each checkpoint has the history up to it, so the files of a run have most entries several times:
//! the history that goes farthest gives them, and the others what it lacks. Whether two files are of one run, their
//! histories decide: those of a run begin with the same entry.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use retrace_spec::{Digest, guard};

use crate::beside::{Beside, ReadFile};
use crate::json;
use crate::rows::{Input, Problem, Rows};
use crate::scalars::{Log, Logged, Meaning, Measured};
use crate::value::{Value, is_non_finite, pointer};

/// The words of which names of checkpoints are made, besides numbers.
const WORDS: [&str; 12] =
    ["checkpoint", "ckpt", "step", "global", "iter", "iteration", "epoch", "final", "best", "last", "latest", "model"];

/// Whether a directory is a checkpoint of a run, by its name: `checkpoint-500`, `global_step500`, `epoch_3`, `best_model`.
fn is_checkpoint(folder: &str) -> bool {
    let name = folder.to_ascii_lowercase();
    let words = name.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty());
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '='));
    let (mut some, mut all) = (false, true);
    for word in words {
        all &= WORDS.contains(&word);
        some |= !matches!(word, "model" | "global");
    }
    plain && some && all
}

/// The directory of the run whose state is in this directory, by the names of directories.
fn run_of(folder: &Path) -> &Path {
    let Some(run) = above(folder, is_checkpoint) else { return folder };
    above(run, |name| matches!(name, "checkpoints" | "ckpts")).unwrap_or(run)
}

/// The directory above, if it has a name and that of this one fits.
fn above(folder: &Path, fits: impl Fn(&str) -> bool) -> Option<&Path> {
    let name = folder.file_name()?.to_str()?;
    folder.parent().filter(|parent| parent.file_name().is_some() && fits(name))
}

/// What a state of a Trainer is of, and which entries of its history others give.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct History {
    run: String,
    /// What its claims are of: the run or a checkpoint.
    subject: String,
    /// The run that its place says, if its history is of another.
    not_of: Option<String>,
    /// The entries, by index, that another file of the run has too and gives.
    given: HashSet<usize>,
    /// The entries of steps that a history that goes farther has in another way: the run went back and did them again.
    given_up: HashSet<usize>,
}

impl History {
    /// By the names of directories alone. Below the run's directory, a subject is a path.
    fn by_place(folder: &Path, run: &Path) -> Self {
        let text = |path: &Path| {
            path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
        };
        let name = run.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let below = folder.strip_prefix(run).map(text).unwrap_or_default();
        let subject = if below.is_empty() { name.clone() } else { format!("{name}/{below}") };
        Self { run: name, subject, ..Self::default() }
    }
}

/// A file and its history.
struct State<'a> {
    path: &'a Path,
    /// Where it is, as an absolute path.
    folder: PathBuf,
    /// A digest of each entry, and its step.
    entries: Vec<(Digest, Option<f64>)>,
}

impl State<'_> {
    fn last_step(&self) -> f64 {
        self.entries.iter().filter_map(|(_, step)| *step).fold(0.0, f64::max)
    }

    /// Whether one of two histories goes on where the other ends.
    fn goes_on(&self, other: &Self) -> bool {
        let both = self.entries.len().min(other.entries.len());
        both > 0 && self.entries.iter().zip(&other.entries).all(|(one, other)| one.0 == other.0)
    }
}

/// For states of a Trainer: what each is of, and the entries that another file of their run gives.
pub(crate) fn histories(files: &[&Path], read: &ReadFile<'_>) -> HashMap<PathBuf, Beside> {
    let mut runs: BTreeMap<PathBuf, Vec<State<'_>>> = BTreeMap::new();
    for path in files {
        // `.` and `./run` are the same directories.
        let whole = std::path::absolute(path).unwrap_or_else(|_| (*path).to_owned());
        let folder = whole.parent().unwrap_or(&whole).to_owned();
        let entries = read(path).map(|bytes| entries(&bytes)).unwrap_or_default();
        runs.entry(run_of(&folder).to_owned()).or_default().push(State { path, folder, entries });
    }
    // The one that goes farthest first; of those, the longest, and the one of the run itself.
    let sort = |states: &mut Vec<State<'_>>| {
        states.sort_by(|a, b| {
            let order = |of: &State<'_>| (usize::MAX - of.entries.len(), of.path.components().count());
            b.last_step().total_cmp(&a.last_step()).then(order(a).cmp(&order(b))).then(a.path.cmp(b.path))
        });
    };
    runs.values_mut().for_each(sort);
    // A directory of any name, below one with a state, whose history is of the same run.
    for run in runs.keys().rev().cloned().collect::<Vec<_>>() {
        let above = run.ancestors().skip(1).find(|above| runs.contains_key(*above)).map(Path::to_owned);
        let Some(above) = above else { continue };
        let first = |of: &Path| runs.get(of).and_then(|states| states.first());
        if first(&run).zip(first(&above)).is_some_and(|(one, other)| one.goes_on(other)) {
            let states = runs.remove(&run).unwrap_or_default();
            if let Some(all) = runs.get_mut(&above) {
                all.extend(states);
                sort(all);
            }
        }
    }
    let mut histories = HashMap::new();
    for (run, states) in runs {
        let mut begin: Vec<Vec<State<'_>>> = Vec::new();
        let mut places: HashMap<Digest, usize> = HashMap::new();
        for state in states {
            let place = match state.entries.first() {
                Some((first, _)) => *places.entry(*first).or_insert(begin.len()),
                None => 0,
            };
            match begin.get_mut(place) {
                Some(states) => states.push(state),
                None => begin.push(vec![state]),
            }
        }
        for (at, states) in begin.into_iter().enumerate() {
            let own = states.first().filter(|_| at > 0).map(|state| History::by_place(&state.folder, &run).subject);
            one_run(&run, own.as_deref(), &states, &mut histories);
        }
    }
    histories
}

/// What the files of a run give, the one that goes farthest first. `own` is its name, if it is not that of its directory.
fn one_run(run: &Path, own: Option<&str>, states: &[State<'_>], histories: &mut HashMap<PathBuf, Beside>) {
    let end = states.first().map_or(0.0, State::last_step);
    let mut most: HashMap<Digest, usize> = HashMap::new();
    for (at, state) in states.iter().enumerate() {
        let mut history = History::by_place(&state.folder, run);
        if let Some(own) = own {
            history.not_of = Some(std::mem::replace(&mut history.run, own.to_owned()));
        }
        let mut times: HashMap<Digest, usize> = HashMap::new();
        for (index, (entry, step)) in state.entries.iter().enumerate() {
            let time = times.entry(*entry).or_default();
            *time += 1;
            if most.get(entry).is_some_and(|most| *time <= *most) {
                history.given.insert(index);
            } else if at > 0 && step.is_some_and(|step| step <= end) {
                history.given_up.insert(index);
            }
        }
        for (entry, time) in times {
            let most = most.entry(entry).or_default();
            *most = time.max(*most);
        }
        histories.insert(state.path.to_owned(), Beside::History(history));
    }
}

/// A digest of each entry of a history, and its step.
fn entries(bytes: &[u8]) -> Vec<(Digest, Option<f64>)> {
    let read = guard(|| json::read(bytes));
    let value = read.ok().and_then(Result::ok).unwrap_or(Value::Null);
    let entries = value.get("log_history").and_then(Value::array).unwrap_or_default();
    let step = |entry: &Value<'_>| entry.get("step").and_then(Value::number);
    entries.iter().map(|entry| (Digest::of(format!("{entry:?}").as_bytes()), step(entry))).collect()
}

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let value = json::read(input.bytes)?;
    let Some(history) = value.get("log_history").and_then(Value::array) else {
        return Err(Problem::whole("not a trainer state: it has no list `log_history`"));
    };
    let by_place = || {
        let path = std::path::absolute(input.path).unwrap_or_default();
        let folder = path.parent().unwrap_or(&path);
        History::by_place(folder, run_of(folder))
    };
    let History { run, subject, not_of, given, given_up } = match input.beside {
        Beside::History(history) => history.clone(),
        _ => by_place(),
    };
    if let Some(not_of) = not_of {
        let what = format!("its history begins in another way than that of {not_of}: it is a run of its own, {run}");
        rows.note(Problem::whole(what));
    }
    if !given.is_empty() {
        let what = "entries of its history that a longer one of the same run has too are taken from there";
        rows.note(Problem::whole(what));
    }
    if let Some(first) = given_up.iter().min() {
        let what = format_args!(
            "entries left out from this one on: {}; a later history of the run has their steps with other numbers",
            given_up.len()
        );
        rows.note(Problem::at(pointer(["log_history", &first.to_string()]), what));
    }
    let mut log = Log::default();
    for (index, entry) in history.iter().enumerate() {
        if given.contains(&index) || given_up.contains(&index) {
            continue;
        }
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
        let beside = histories(&paths, &|path| Some(files.get(path.to_str()?)?.clone().into_bytes()));
        let mut told = Vec::new();
        for (source, text) in &files {
            let nothing = Beside::Nothing;
            let beside = beside.get(Path::new(source)).unwrap_or(&nothing);
            let rows = read_beside(source, text.as_bytes(), beside, read);
            assert_eq!((rows.problems(), rows.claims.len()), (None, 1));
            let again =
                rows.notes().iter().any(|note| note.contains("/log_history/1: entries left out from this one on: 1;"));
            assert_eq!(again, source.contains("checkpoint-20"), "{:?}", rows.notes());
            told.extend(rows.train_log.into_iter().map(|row| (row.run, row.step.0, row.loss.unwrap(), row.source)));
        }
        told.sort_by(|a, b| a.partial_cmp(b).unwrap());
        let row = |step: u64, loss: f64, below: &str| {
            ("mine".to_owned(), step, loss, format!("out/mine/{below}trainer_state.json"))
        };
        let other = ("other".to_owned(), 10, 4.5, "out/other/trainer_state.json".to_owned());
        let mine = [row(10, 4.5, ""), row(20, 3.5, ""), row(30, 2.5, ""), row(30, 2.5, "")];
        assert_eq!(told, [&mine[..], &[other]].concat());
    }

    /// A run, a step and a loss.
    type Told = (String, u64, f64);

    /// The rows of files, what the claims are of, and the notes.
    fn imported(files: &[(&str, &[(u32, f64)])]) -> (Vec<Told>, Vec<String>, Vec<String>) {
        let text = |entries: &[(u32, f64)]| {
            let entry = |(step, loss): &(u32, f64)| format!("{{\"step\": {step}, \"loss\": {loss}}}");
            let entries: Vec<String> = entries.iter().map(entry).collect();
            format!("{{\"log_history\": [{}], \"global_step\": 1}}", entries.join(", "))
        };
        let texts: HashMap<PathBuf, String> = files
            .iter()
            .map(|(folder, of)| (Path::new("/w").join(folder).join("trainer_state.json"), text(of)))
            .collect();
        let paths: Vec<&Path> = texts.keys().map(PathBuf::as_path).collect();
        let beside = histories(&paths, &|path| Some(texts.get(path)?.clone().into_bytes()));
        let (mut told, mut subjects, mut notes) = (Vec::new(), Vec::new(), Vec::new());
        for (path, text) in &texts {
            let mut rows = Rows::default();
            let input = Input { release: "r", source: "x", path, bytes: text.as_bytes(), beside: &beside[path] };
            read(&input, &mut rows).unwrap();
            told.extend(rows.train_log.iter().map(|row| (row.run.clone(), row.step.0, row.loss.unwrap())));
            subjects.extend(rows.claims.iter().map(|claim| claim.subject.clone()));
            notes.extend(rows.notes());
        }
        told.sort_by(|a, b| a.partial_cmp(b).unwrap());
        subjects.sort();
        notes.sort();
        (told, subjects, notes)
    }

    #[test]
    fn any_directory_with_a_part_of_the_history_is_of_the_run() {
        let all = [(10, 4.0), (20, 3.0), (30, 2.0)];
        let run: Vec<_> = all.iter().map(|(step, loss)| ("m".to_owned(), u64::from(*step), *loss)).collect();
        for folder in [
            "final",
            "best_model",
            "last-checkpoint",
            "step_20",
            "epoch_1",
            "epoch-1.5",
            "global_step20",
            "checkpoint-20",
            "Checkpoint-Best",
            "checkpoints/checkpoint-20",
            "export",
            "a/b",
        ] {
            let below = format!("out/m/{folder}");
            for (top, part) in [(&all[..], &all[..2]), (&all[..2], &all[..]), (&all[..], &all[..])] {
                let (told, subjects, _) = imported(&[("out/m", top), (&below, part)]);
                assert_eq!((told, subjects), (run.clone(), vec!["m".to_owned(), format!("m/{folder}")]));
            }
        }
        // Without a state of the run itself.
        let (told, subjects, _) = imported(&[("out/m/final", &all), ("out/m/checkpoints/checkpoint-10", &all[..1])]);
        assert_eq!((told, subjects.join(" ")), (run, "m/checkpoints/checkpoint-10 m/final".to_owned()));
        for folder in ["out", "run-7", "model", "lora", "finale", "step by step"] {
            assert!(!is_checkpoint(folder), "{folder}");
        }
    }

    #[test]
    fn histories_of_other_runs_are_no_part_of_a_run() {
        let (one, other) = ([(10, 4.0), (20, 3.0)], [(10, 5.0), (20, 4.5)]);
        // A directory was used again, and one run is below another.
        let (told, _, notes) = imported(&[
            ("out/m", &one),
            ("out/m/checkpoint-10", &other[..1]),
            ("out/m/checkpoint-15", &other),
            ("out/m/again", &other),
        ]);
        let row = |run: &str, of: &[(u64, f64)]| {
            of.iter().map(|(step, loss)| (run.to_owned(), *step, *loss)).collect::<Vec<_>>()
        };
        let expected = [
            row("again", &[(10, 5.0), (20, 4.5)]),
            row("m", &[(10, 4.0), (20, 3.0)]),
            row("m/checkpoint-15", &[(10, 5.0), (20, 4.5)]),
        ];
        assert_eq!(told, expected.concat());
        let own = notes.iter().filter(|note| note.contains("a run of its own, m/checkpoint-15")).count();
        assert_eq!(own, 2, "{notes:?}");
        // Runs beside each other are never one.
        let (told, ..) = imported(&[("out/a", &one), ("out/b", &one[..1])]);
        assert_eq!(told.len(), 3);
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

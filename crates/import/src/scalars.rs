//! Numbers that were logged at a step, with the names that frameworks use.

use std::collections::HashMap;
use std::sync::LazyLock;

use retrace_spec::{Step, Tokens};
use retrace_tables::{Metric, TrainLog};

use crate::rows::{Input, Problem, Rows};
use crate::value::{seconds, whole};

/// The meaning of a logged name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The step.
    Step,
    /// The epoch, which is a step only where there is no other.
    Epoch,
    /// Tokens trained on so far.
    Tokens,
    /// When it was logged, in seconds since 1970.
    Time,
    /// The mean training loss.
    Loss,
    /// The learning rate.
    LearningRate,
    /// The gradient's norm.
    GradNorm,
    /// The run's name.
    Run,
    /// Durations and the machine, which are not properties of the run.
    Aside,
    /// Another metric.
    Other,
}

/// wandb's count of its own log calls. It is the trainer's step only where the trainer says no other.
pub(crate) const CALLS: &str = "_step";

/// The names that Megatron, GPT-NeoX, nanotron, OLMo, Levanter, Lightning, NeMo, transformers, nanoGPT or wandb use, in
/// lower case. If a row has several names of one meaning, the first of this list is the one, whatever their order in the
/// row. A name that could mean a validation loss is never read as the training loss.
const NAMES: [(Meaning, &[&str]); 9] = [
    (
        Meaning::Step,
        &[
            "trainer/global_step",
            "train/global_step",
            GLOBAL_STEP,
            "train/step",
            "train_step",
            "iteration",
            "iter",
            "current_steps",
            "step",
            CALLS,
        ],
    ),
    (Meaning::Epoch, &["epoch", "train/epoch"]),
    (
        Meaning::Tokens,
        &[
            // litgpt's of all processes; its `tokens` are those of one.
            "total_tokens",
            "tokens",
            "tokens seen",
            "consumed tokens",
            "consumed_tokens",
            "num_input_tokens_seen",
            "train/num_input_tokens_seen",
            "throughput/total_tokens",
            "throughput/total tokens",
            "train/consumed_train_tokens",
            "consumed_train_tokens",
            "ntokens_seen",
            "n_tokens_seen",
        ],
    ),
    (Meaning::Time, &["_timestamp", "timestamp", "wall time"]),
    (
        Meaning::Loss,
        &[
            "loss",
            "lm loss",
            "lm_loss",
            "train/loss",
            "training/loss",
            "training loss",
            "loss_metrics/global_avg_loss",
            "train/lm_loss",
            "lm-loss-training/lm loss",
            "train/crossentropyloss",
            "train/ce loss",
            "reduced_train_loss",
            "train_loss",
            "train-loss",
            "train loss",
            "training_loss",
            "training loss",
            "loss/train",
            "loss/training",
        ],
    ),
    (
        Meaning::LearningRate,
        &[
            "lr",
            "learning rate",
            "learning_rate",
            "learning-rate",
            "train/lr",
            "train/learning_rate",
            "optim/learning_rate",
            "optim/learning_rate_group0",
            "optim/lr (group 0)",
            "learning-rate/learning-rate",
        ],
    ),
    (
        Meaning::GradNorm,
        &[
            "grad norm",
            "grad_norm",
            "grad-norm",
            "train/grad_norm",
            "train/total_grad_norm",
            "optim/total_grad_norm",
            "optim/total grad norm",
            "grad-norm/grad-norm",
        ],
    ),
    (Meaning::Run, &["run", "run_id", "run_name", "name"]),
    (Meaning::Aside, &["_runtime", "_wandb", "relative time (process)", "relative time (wall)"]),
];
const GLOBAL_STEP: &str = "global_step";

/// The meaning of each name, and its place in the list.
static KNOWN: LazyLock<HashMap<&str, (Meaning, usize)>> = LazyLock::new(|| {
    let of = |(meaning, names): &(Meaning, &'static [&'static str])| {
        let meaning = *meaning;
        names.iter().enumerate().map(move |(rank, name)| (*name, (meaning, rank)))
    };
    NAMES.iter().flat_map(of).collect()
});

impl Meaning {
    /// The meaning of a name.
    pub(crate) fn of(name: &str) -> Self {
        Self::ranked(name).0
    }

    /// The place of a name among those of its meaning: the least is the one to take.
    pub(crate) fn rank(name: &str) -> usize {
        Self::ranked(name).1
    }

    /// The meaning of a name, and its place among the names of that meaning: the least is the one to take.
    fn ranked(name: &str) -> (Self, usize) {
        let name = name.to_ascii_lowercase();
        // wandb joins nested names by dots: `{"train": {"loss": 1}}` is `train.loss`.
        let known = |name: &str| {
            let nested = || name.contains('.').then(|| name.replace('.', "/"));
            KNOWN.get(name).or_else(|| KNOWN.get(nested()?.as_str())).copied()
        };
        // Frameworks put a name of their own before it.
        let framework = || name.rsplit_once(['/', '.']).filter(|(_, last)| *last == GLOBAL_STEP);
        known(&name).or_else(|| framework().and_then(|_| known(GLOBAL_STEP))).unwrap_or((Self::Other, 0))
    }
}

/// The metric and the task in a name: `eval/c4/loss` is the loss of `eval/c4`. A name without a slash has no task.
pub(crate) fn task_and_metric(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}

/// What Megatron, GPT-NeoX and Megatron-DeepSpeed count on axes that are not steps.
const OTHER_AXES: [&str; 15] = [
    "samples",
    "tokens",
    "examples",
    "sequences",
    "documents",
    "bytes",
    "flops",
    "gigaflops",
    "teraflops",
    "petaflops",
    "seconds",
    "hours",
    "time",
    "epoch",
    "epochs",
];

/// The name without the axis that trainers write it against a second time: `lm loss vs samples`,
/// `lm loss vs gigaflops (without embeddings)`, `steps-vs-tokens/y=steps,x=tokens`. Where such a value stands, the step is a
/// number of samples, tokens or operations.
pub(crate) fn against_another_axis(name: &str) -> Option<&str> {
    // Some writers of event files replace spaces and signs.
    let (name, axis) = match name.rsplit_once("/y").filter(|(_, axes)| axes.starts_with(['=', '_'])) {
        Some((name, axes)) => (name, axes.rsplit_once(",x=").or_else(|| axes.rsplit_once("_x_"))?.1),
        None => name.rsplit_once(" vs ").or_else(|| name.rsplit_once("_vs_"))?,
    };
    let word = axis.split(|c: char| !c.is_ascii_alphabetic()).next()?.to_ascii_lowercase();
    OTHER_AXES.contains(&word.as_str()).then_some(name)
}

/// A value that was taken from one of several names.
#[derive(Debug, Clone, Copy)]
struct Taken<'a, T> {
    name: &'a str,
    value: T,
}

/// Puts a value where the one of the better name stays, and returns the other if it is another value.
fn put<'a, T: Copy>(
    slot: &mut Option<Taken<'a, T>>,
    name: &'a str,
    value: T,
    same: impl Fn(T, T) -> bool,
) -> Option<Taken<'a, T>> {
    let rank = |name: &'a str| (Meaning::ranked(name).1, name);
    let new = Taken { name, value };
    let old = slot.replace(new)?;
    let other = if rank(old.name) <= rank(name) {
        *slot = Some(old);
        new
    } else {
        old
    };
    (!same(old.value, value)).then_some(other)
}

/// All values that were logged for a step at one position.
#[derive(Debug, Default)]
pub(crate) struct Logged<'a> {
    /// `None` inside: before the first step.
    step: Option<Taken<'a, Option<u64>>>,
    tokens: Option<Taken<'a, u64>>,
    time: Option<f64>,
    /// Loss, learning rate and gradient norm.
    training: [Option<Taken<'a, f64>>; 3],
    /// The other metrics.
    pub(crate) rest: Vec<Measured<'a>>,
}

/// A metric and its value.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Measured<'a> {
    pub(crate) task: &'a str,
    pub(crate) shots: Option<u64>,
    pub(crate) metric: &'a str,
    pub(crate) value: f64,
    pub(crate) stderr: Option<f64>,
    /// Whether the step of its position counts something else.
    pub(crate) stepless: bool,
}

impl<'a> Measured<'a> {
    /// A metric by its logged name.
    pub(crate) fn named(name: &'a str, value: f64) -> Self {
        let (task, metric) = task_and_metric(name);
        Self { task, metric, value, stepless: against_another_axis(name).is_some(), ..Self::default() }
    }
}

impl<'a> Logged<'a> {
    /// At a step and a time.
    pub(crate) fn at(step: Option<u64>, time: Option<f64>) -> Self {
        Self { step: step.map(|step| Taken { name: "", value: Some(step) }), time, ..Self::default() }
    }

    /// The step, if it is known.
    pub(crate) fn step(&self) -> Option<u64> {
        self.step.and_then(|taken| taken.value)
    }

    /// Removes the step if it is wandb's count of its calls.
    pub(crate) fn forget_calls(&mut self) {
        self.step = self.step.filter(|taken| taken.name != CALLS);
    }

    /// Adds a loss, a learning rate, a gradient norm or another metric, by its name.
    pub(crate) fn take_number(&mut self, name: &'a str, number: f64) {
        match Meaning::of(name) {
            Meaning::Loss => self.training[0] = Some(Taken { name, value: number }),
            Meaning::LearningRate => self.training[1] = Some(Taken { name, value: number }),
            Meaning::GradNorm => self.training[2] = Some(Taken { name, value: number }),
            _ => self.rest.push(Measured::named(name, number)),
        }
    }

    /// Adds a number with the meaning of its name; returns whether it is a valid number for that meaning.
    pub(crate) fn take(&mut self, name: &'a str, text: &str) -> bool {
        match Meaning::of(name) {
            Meaning::Other => {
                let number = text.parse();
                self.rest.extend(number.iter().map(|value| Measured::named(name, *value)));
                number.is_ok()
            }
            meaning => self.take_as(meaning, name, text),
        }
    }

    /// Adds a number with this meaning.
    pub(crate) fn take_as(&mut self, meaning: Meaning, name: &'a str, text: &str) -> bool {
        let place = match meaning {
            Meaning::Step => {
                let step = whole(text);
                let valid = step.is_some() || is_before_the_first(text);
                if valid {
                    put(&mut self.step, name, step, |a, b| a == b);
                }
                return valid;
            }
            Meaning::Tokens => {
                let Some(tokens) = whole(text) else { return false };
                let other = put(&mut self.tokens, name, tokens, |a, b| a == b);
                self.rest.extend(other.map(|of| Measured::named(of.name, of.value as f64)));
                return true;
            }
            Meaning::Time => {
                let time = seconds(text);
                self.time = self.time.or(time);
                return time.is_some();
            }
            Meaning::Loss => 0,
            Meaning::LearningRate => 1,
            Meaning::GradNorm => 2,
            Meaning::Epoch | Meaning::Run | Meaning::Aside | Meaning::Other => return true,
        };
        let Ok(number) = text.parse() else { return false };
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
        let other = self.training.get_mut(place).and_then(|slot| put(slot, name, number, same));
        self.rest.extend(other.map(|of| Measured::named(of.name, of.value)));
        true
    }

    /// Makes rows: one of `train_log`, if loss, learning rate or gradient norm exist and the step is known, and rows
    /// of `metrics` for the others. A row of the training log is one with the earlier row of its step in `log` that
    /// lacks these numbers.
    pub(crate) fn give(self, input: &Input<'_>, run: &str, place: &str, rows: &mut Rows, log: &mut Log) {
        let tokens = self.tokens.map(|taken| Tokens(taken.value));
        let step = self.step();
        let training = self.training.map(|taken| taken.map(|taken| taken.value));
        let mut rest = self.rest;
        if !rows.accept(place, &[run]) {
            return;
        }
        if self.step.is_some_and(|taken| taken.value.is_none()) {
            rows.note(Problem::at(place, "its step is negative, so its values have no step"));
        }
        let names = ["loss", "learning_rate", "grad_norm"];
        match step {
            Some(step) if training.iter().any(Option::is_some) => {
                let [loss, learning_rate, grad_norm] = training;
                let row = TrainLog {
                    release: input.release.to_owned(),
                    run: run.to_owned(),
                    step: Step(step),
                    tokens,
                    phase: None,
                    learning_rate,
                    loss,
                    grad_norm,
                    source: input.source.to_owned(),
                    place: place.to_owned(),
                    time: self.time,
                };
                log.add(row, self.training.map(|taken| taken.map(|taken| taken.name)), rows);
            }
            Some(_) => {}
            // A row of the training log needs its step; without one these numbers become metrics.
            None => rest.extend(names.into_iter().zip(training).filter_map(|(metric, value)| {
                Some(Measured { task: "train", metric, value: value?, ..Measured::default() })
            })),
        }
        for Measured { task, shots, metric, value, stderr, stepless } in rest {
            if rows.accept(place, &[task, metric]) {
                let (step, tokens) = if stepless { (None, None) } else { (step, tokens) };
                let row = input.metric(run, step, task, metric, value, place.to_owned());
                rows.metrics.push(Metric { tokens, shots, stderr, time: self.time, ..row });
            }
        }
    }
}

/// Whether this is a negative integer: some trainers log what they measure before the first step at step −1.
pub(crate) fn is_before_the_first(text: &str) -> bool {
    text.strip_prefix('-').and_then(whole).is_some_and(|number| number > 0)
}

/// Which rows of `train_log` are of which step of which run. Many frameworks log loss and learning rate of a step one by
/// one, and some the same loss by two names.
#[derive(Debug, Default)]
pub(crate) struct Log {
    runs: HashMap<String, HashMap<u64, AtStep>>,
    /// The names that were logged, each once.
    names: Vec<String>,
    places: HashMap<String, usize>,
}

/// The rows of a step.
#[derive(Debug, Default)]
struct AtStep {
    /// Each row, and the names of its three numbers.
    rows: Vec<(usize, [Option<usize>; 3])>,
    /// How often each name was logged: repeated values are kept.
    times: Vec<(usize, usize)>,
}

impl Log {
    fn name(&mut self, name: &str) -> usize {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        self.places.insert(name.to_owned(), self.names.len());
        self.names.push(name.to_owned());
        self.names.len() - 1
    }

    /// Adds the numbers of a row to the earlier row of its step that has none by these names, or adds the row. If a number
    /// is there by another name, the better one stays, and the other becomes a metric if it is another number.
    fn add(&mut self, new: TrainLog, names: [Option<&str>; 3], rows: &mut Rows) {
        let names = names.map(|name| name.map(|name| self.name(name)));
        if !self.runs.contains_key(&new.run) {
            self.runs.insert(new.run.clone(), HashMap::new());
        }
        let Some(of_run) = self.runs.get_mut(&new.run) else { return };
        let at = of_run.entry(new.step.get()).or_default();
        let times = |name: usize| at.times.iter().find(|(of, _)| *of == name).map_or(0, |(_, times)| *times);
        let mut turn = names.iter().flatten().map(|name| times(*name)).max().unwrap_or_default();
        let there = at.rows.get(turn).and_then(|(row, _)| rows.train_log.get(*row));
        if there.is_some_and(|row| row.tokens.is_some() && new.tokens.is_some() && row.tokens != new.tokens) {
            turn = at.rows.len();
        }
        for name in names.iter().flatten() {
            match at.times.iter_mut().find(|(of, _)| of == name) {
                Some((_, times)) => *times = turn + 1,
                None => at.times.push((*name, turn + 1)),
            }
        }
        let there = at.rows.get_mut(turn);
        let there = there.and_then(|(row, names)| Some((rows.train_log.get_mut(*row)?, names)));
        let Some((row, named)) = there else {
            at.rows.push((rows.train_log.len(), names));
            rows.train_log.push(new);
            return;
        };
        row.tokens = row.tokens.or(new.tokens);
        let mut others = Vec::new();
        let fields = [
            (&mut row.loss, new.loss),
            (&mut row.learning_rate, new.learning_rate),
            (&mut row.grad_norm, new.grad_norm),
        ];
        for (((value, new), named), name) in fields.into_iter().zip(named).zip(names) {
            let (Some(number), Some(name)) = (new, name) else { continue };
            let rank = |name: usize| self.names.get(name).map(|name| (Meaning::ranked(name).1, name));
            let (other, of) = match (*value, *named) {
                (Some(old), Some(of)) if rank(of) <= rank(name) => (Some((number, old)), name),
                (old, of) => {
                    (*value, *named) = (Some(number), Some(name));
                    (old.map(|old| (old, number)), of.unwrap_or(name))
                }
            };
            if let (Some((other, stays)), Some(name)) = (other, self.names.get(of))
                && other.to_bits() != stays.to_bits()
            {
                others.push((name, other));
            }
        }
        let (step, tokens, place) = (row.step, row.tokens, row.place.clone());
        for (name, value) in others {
            let (task, metric) = task_and_metric(name);
            if rows.accept(&place, &[task, metric]) {
                rows.metrics.push(Metric {
                    release: new.release.clone(),
                    run: new.run.clone(),
                    step: Some(step),
                    tokens,
                    task: task.to_owned(),
                    shots: None,
                    metric: metric.to_owned(),
                    value,
                    stderr: None,
                    source: new.source.clone(),
                    place: place.clone(),
                    is_group: None,
                    time: new.time,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::read_as;

    /// The names that these frameworks log.
    #[test]
    fn names_of_frameworks() {
        for (name, meaning) in [
            ("lm loss", Meaning::Loss),
            ("train/CrossEntropyLoss", Meaning::Loss),
            ("optim/learning_rate_group0", Meaning::LearningRate),
            ("learning-rate", Meaning::LearningRate),
            ("optim/total_grad_norm", Meaning::GradNorm),
            ("throughput/total_tokens", Meaning::Tokens),
            ("trainer/global_step", Meaning::Step),
            ("train/global_step", Meaning::Step),
            ("actor/global_step", Meaning::Step),
            ("train/global_steps_per_second", Meaning::Other),
            ("val_loss", Meaning::Other),
            ("eval/loss", Meaning::Other),
            ("lm loss value", Meaning::Other),
            ("lm loss validation", Meaning::Other),
            ("lm loss vs samples", Meaning::Other),
            ("Loss/train", Meaning::Loss),
            ("train.loss", Meaning::Loss),
            ("train-loss", Meaning::Loss),
            ("Loss/val", Meaning::Other),
            ("val-loss", Meaning::Other),
        ] {
            assert_eq!(Meaning::of(name), meaning, "{name}");
        }
        assert_eq!(task_and_metric("eval/c4/loss"), ("eval/c4", "loss"));
        assert_eq!(task_and_metric("loss"), ("", "loss"));
        assert_eq!(against_another_axis("lm loss vs samples"), Some("lm loss"));
        assert_eq!(against_another_axis("lm_loss_vs_tokens"), Some("lm_loss"));
        for (name, of) in [
            ("lm-loss-training/lm loss vs gigaflops (without embeddings)", Some("lm-loss-training/lm loss")),
            ("lm-loss-training/lm_loss_vs_gigaflops__without_embeddings_", Some("lm-loss-training/lm_loss")),
            ("steps-vs-samples/y=steps,x=samples", Some("steps-vs-samples")),
            ("steps-vs-tokens/y_steps_x_tokens", Some("steps-vs-tokens")),
            ("samples-vs-steps/y=samples,x=steps", None),
            ("loss vs steps", None),
            ("loss vs iteration", None),
            ("ours vs theirs", None),
            ("a/year", None),
        ] {
            assert_eq!(against_another_axis(name), of, "{name}");
        }
    }

    /// Every order of the same numbers gives the same rows.
    #[test]
    fn the_order_of_names_decides_nothing() {
        let names = [
            ("_step", "7"),
            ("trainer/global_step", "3"),
            ("step", "5"),
            ("train/loss", "2.5"),
            ("train_loss", "2.25"),
            ("tokens", "10"),
            ("num_input_tokens_seen", "20"),
        ];
        let rows = |names: &[(&'static str, &str)]| {
            let mut rows = read_as("a.x", b"", |input, rows| {
                let mut logged = Logged::default();
                assert!(names.iter().all(|(name, text)| logged.take(name, text)));
                logged.give(input, "run", "line 1", rows, &mut Log::default());
                Ok(())
            });
            rows.metrics.sort_by(|a, b| a.metric.cmp(&b.metric));
            (rows.train_log, rows.metrics)
        };
        let (log, metrics) = rows(&names);
        assert_eq!((log.len(), log[0].step, log[0].loss, log[0].tokens), (1, Step(3), Some(2.5), Some(Tokens(10))));
        let told: Vec<_> = metrics.iter().map(|row| (row.metric.as_str(), row.value)).collect();
        assert_eq!(told, [("num_input_tokens_seen", 20.0), ("train_loss", 2.25)]);
        for turn in 0..names.len() {
            let mut turned = names;
            turned.rotate_left(turn);
            assert_eq!(rows(&turned), (log.clone(), metrics.clone()));
            turned.reverse();
            assert_eq!(rows(&turned), (log.clone(), metrics.clone()));
        }
    }

    #[test]
    fn numbers_of_a_step_that_are_logged_one_by_one_are_one_row() {
        let lines = [
            (1, "loss", "4"),
            (1, "lr", "0.5"),
            (2, "lr", "0.25"),
            (1, "grad_norm", "1"),
            (2, "loss", "3"),
            // After a restart.
            (2, "loss", "3.5"),
            (2, "lr", "0.125"),
        ];
        let rows = read_as("a.x", b"", |input, rows| {
            let mut log = Log::default();
            for (step, name, text) in lines {
                let mut logged = Logged::at(Some(step), None);
                logged.take(name, text);
                logged.give(input, "run", name, rows, &mut log);
            }
            Ok(())
        });
        let told: Vec<_> =
            rows.train_log.iter().map(|row| (row.step.0, row.loss, row.learning_rate, row.grad_norm)).collect();
        assert_eq!(
            told,
            [(1, Some(4.0), Some(0.5), Some(1.0)), (2, Some(3.0), Some(0.25), None), (2, Some(3.5), Some(0.125), None)]
        );
    }

    /// NeMo logs the loss by two names, in two calls.
    #[test]
    fn a_loss_by_two_names_is_one_loss_in_any_order() {
        let all = [
            ("reduced_train_loss", "3.5"),
            ("train_loss", "3.5"),
            ("lr", "0.5"),
            ("grad_norm", "1"),
            ("train/grad_norm", "2"),
        ];
        for turn in 0..all.len() {
            let mut lines = all;
            lines.rotate_left(turn);
            let rows = read_as("a.x", b"", |input, rows| {
                let mut log = Log::default();
                for (name, text) in lines {
                    let mut logged = Logged::at(Some(1), None);
                    logged.take(name, text);
                    logged.give(input, "run", name, rows, &mut log);
                }
                Ok(())
            });
            let [row] = rows.train_log.as_slice() else { panic!("{:?}", rows.train_log) };
            assert_eq!((row.loss, row.learning_rate, row.grad_norm), (Some(3.5), Some(0.5), Some(1.0)));
            let [row] = rows.metrics.as_slice() else { panic!("{:?}", rows.metrics) };
            assert_eq!(
                (&row.task[..], &row.metric[..], row.value, row.step),
                ("train", "grad_norm", 2.0, Some(Step(1)))
            );
        }
    }

    #[test]
    fn a_step_before_the_first_is_no_step() {
        let rows = read_as("a.x", b"", |input, rows| {
            let mut logged = Logged::default();
            assert!(logged.take("step", "-1") && logged.take("loss", "4") && logged.take("eval/acc", "0.5"));
            assert!(!logged.take("step", "-1.5") && !logged.take("step", "x") && !logged.take("step", "nan"));
            logged.give(input, "run", "line 1", rows, &mut Log::default());
            Ok(())
        });
        let told: Vec<_> =
            rows.metrics.iter().map(|row| (&row.task[..], &row.metric[..], row.step, row.value)).collect();
        assert_eq!(told, [("eval", "acc", None, 0.5), ("train", "loss", None, 4.0)]);
        assert!(rows.notes()[0].contains("line 1: its step is negative") && rows.problems().is_none());
    }
}

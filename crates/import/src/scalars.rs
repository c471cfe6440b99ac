//! Numbers that were logged at a step, with the names that frameworks use.

use retrace_spec::{Step, Tokens};
use retrace_tables::{Metric, TrainLog};

use crate::rows::{Input, Rows};
use crate::value::whole;

/// The meaning of a logged name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The step.
    Step,
    /// Tokens trained on so far.
    Tokens,
    /// The mean training loss.
    Loss,
    /// The learning rate.
    LearningRate,
    /// The gradient's norm.
    GradNorm,
    /// The run's name.
    Run,
    /// The time and the machine, which are not properties of the run.
    Aside,
    /// Another metric.
    Other,
}

impl Meaning {
    /// The meaning of a name that Megatron, GPT-NeoX, OLMo, Levanter, Lightning, transformers, nanoGPT or wandb uses.
    /// A name that could mean a validation loss is never read as the training loss.
    pub(crate) fn of(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "step" | "_step" | "global_step" | "trainer/global_step" | "iteration" => Self::Step,
            "tokens"
            | "tokens seen"
            | "total_tokens"
            | "consumed tokens"
            | "num_input_tokens_seen"
            | "throughput/total_tokens"
            | "throughput/total tokens"
            | "train/consumed_train_tokens"
            | "consumed_train_tokens" => Self::Tokens,
            "loss"
            | "lm loss"
            | "lm_loss"
            | "train_loss"
            | "train/loss"
            | "training/loss"
            | "train/lm_loss"
            | "lm-loss-training/lm loss"
            | "train/crossentropyloss"
            | "train/ce loss" => Self::Loss,
            "lr"
            | "learning rate"
            | "learning_rate"
            | "train/lr"
            | "train/learning_rate"
            | "optim/learning_rate"
            | "optim/learning_rate_group0"
            | "optim/lr (group 0)"
            | "learning-rate/learning-rate" => Self::LearningRate,
            "grad norm"
            | "grad_norm"
            | "grad-norm"
            | "train/grad_norm"
            | "train/total_grad_norm"
            | "optim/total_grad_norm"
            | "optim/total grad norm"
            | "grad-norm/grad-norm" => Self::GradNorm,
            "run" | "run_id" | "run_name" | "name" => Self::Run,
            "_timestamp"
            | "_runtime"
            | "_wandb"
            | "wall time"
            | "relative time (process)"
            | "relative time (wall)"
            | "epoch" => Self::Aside,
            _ => Self::Other,
        }
    }
}

/// The metric and the task in a name: `eval/c4/loss` is the loss of `eval/c4`. A name without a slash has no task.
pub(crate) fn task_and_metric(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}

/// All values that were logged for a step at one position.
#[derive(Debug, Default)]
pub(crate) struct Logged<'a> {
    pub(crate) step: Option<u64>,
    pub(crate) tokens: Option<u64>,
    pub(crate) loss: Option<f64>,
    pub(crate) learning_rate: Option<f64>,
    pub(crate) grad_norm: Option<f64>,
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
}

impl<'a> Logged<'a> {
    /// Adds a number with the meaning of its name; returns whether it is a valid number for that meaning.
    pub(crate) fn take(&mut self, name: &'a str, text: &str) -> bool {
        match Meaning::of(name) {
            Meaning::Other => {
                let (task, metric) = task_and_metric(name);
                let number = text.parse();
                self.rest.extend(number.iter().map(|value| Measured {
                    task,
                    metric,
                    value: *value,
                    ..Measured::default()
                }));
                number.is_ok()
            }
            meaning => self.take_as(meaning, text),
        }
    }

    /// Adds a number with this meaning.
    pub(crate) fn take_as(&mut self, meaning: Meaning, text: &str) -> bool {
        let field = match meaning {
            Meaning::Step | Meaning::Tokens => {
                let number = whole(text);
                let field = if meaning == Meaning::Step { &mut self.step } else { &mut self.tokens };
                *field = number.or(*field);
                return number.is_some();
            }
            Meaning::Loss => &mut self.loss,
            Meaning::LearningRate => &mut self.learning_rate,
            Meaning::GradNorm => &mut self.grad_norm,
            Meaning::Run | Meaning::Aside | Meaning::Other => return true,
        };
        let number = text.parse().ok();
        *field = number.or(*field);
        number.is_some()
    }

    /// Makes rows: one of `train_log`, if loss, learning rate or gradient norm exist and the step is known, and rows
    /// of `metrics` for the others.
    pub(crate) fn give(self, input: &Input<'_>, run: &str, place: &str, rows: &mut Rows) {
        let tokens = self.tokens.map(Tokens);
        let training = [("loss", self.loss), ("learning_rate", self.learning_rate), ("grad_norm", self.grad_norm)];
        let mut stepless = Vec::new();
        if !rows.accept(place, &[run]) {
            return;
        }
        match self.step {
            Some(step) if training.iter().any(|(_, value)| value.is_some()) => rows.train_log.push(TrainLog {
                release: input.release.to_owned(),
                run: run.to_owned(),
                step: Step(step),
                tokens,
                phase: None,
                learning_rate: self.learning_rate,
                loss: self.loss,
                grad_norm: self.grad_norm,
                source: input.source.to_owned(),
                place: place.to_owned(),
            }),
            Some(_) => {}
            // A row of the training log needs its step; without one these numbers become metrics.
            None => stepless.extend(training.into_iter().filter_map(|(metric, value)| {
                Some(Measured { task: "train", metric, value: value?, ..Measured::default() })
            })),
        }
        for Measured { task, shots, metric, value, stderr } in self.rest.into_iter().chain(stepless) {
            if rows.accept(place, &[task, metric]) {
                let row = input.metric(run, self.step, task, metric, value, place.to_owned());
                rows.metrics.push(Metric { tokens, shots, stderr, ..row });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that these frameworks log.
    #[test]
    fn names_of_frameworks() {
        for (name, meaning) in [
            ("lm loss", Meaning::Loss),
            ("train/CrossEntropyLoss", Meaning::Loss),
            ("optim/learning_rate_group0", Meaning::LearningRate),
            ("optim/total_grad_norm", Meaning::GradNorm),
            ("throughput/total_tokens", Meaning::Tokens),
            ("trainer/global_step", Meaning::Step),
            ("val_loss", Meaning::Other),
            ("eval/loss", Meaning::Other),
            ("lm loss value", Meaning::Other),
        ] {
            assert_eq!(Meaning::of(name), meaning, "{name}");
        }
        assert_eq!(task_and_metric("eval/c4/loss"), ("eval/c4", "loss"));
        assert_eq!(task_and_metric("loss"), ("", "loss"));
    }
}

//! Computing a stretch of a run again.

use std::collections::BTreeMap;
use std::path::Path;

use retrace_files::{Progress, Unit};
use retrace_spec::{Digest, Document, Run, Step};
use serde::Serialize;

use crate::{Journal, Line, State, TrainError, Trainer, checkpoints};

/// What a replay found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replay {
    /// The checkpoint that it began with.
    pub from: Step,
    /// The last step that it computed.
    pub to: Step,
    /// The checkpoints in between and at the ends that were compared, and are the same.
    pub checkpoints: Vec<Step>,
    /// What differs, in the order that it was found; empty if every bit is the same.
    pub differences: Vec<Difference>,
}

/// Something that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The step at which it shows: the first such.
    pub step: Step,
    /// What it is.
    pub what: What,
    /// What the release has.
    pub recorded: String,
    /// What the replay has.
    pub replayed: String,
}

/// What can differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The run file is not the one that made the journal.
    Run,
    /// The tokens that a step learned from.
    Batch,
    /// The learning rate.
    LearningRate,
    /// The loss.
    Loss,
    /// The gradient's norm.
    GradNorm,
    /// Whether the step is an outlier.
    Outlier,
    /// The loss on what is held out.
    ValidationLoss,
    /// Weights after the step.
    Weights,
    /// A saved checkpoint's tensors.
    Checkpoint,
}

impl Replay {
    /// Whether every bit is the same.
    pub fn holds(&self) -> bool {
        self.differences.is_empty()
    }

    /// The first step that differs.
    pub fn first(&self) -> Option<Step> {
        self.differences
            .iter()
            .filter(|difference| difference.what != What::Run)
            .map(|difference| difference.step)
            .min()
    }
}

/// Computes steps `from` + 1 to `to` of `run` again, from the checkpoint of step `from`, and
/// compares every line of the journal and every checkpoint on the way. It ends with the first step
/// that differs: all later ones follow from it.
///
/// # Errors
/// If there is no such segment or no checkpoint to begin with, or a file cannot be read.
pub fn replay(root: &Path, run: &Run, from: Step, to: Step, progress: &dyn Progress) -> Result<Replay, TrainError> {
    let output = run.output.under(root);
    if from >= to || to > run.steps() {
        return Err(TrainError::Segment { from, to, steps: run.steps() });
    }
    let saved = checkpoints(&output)?;
    if !saved.contains(&from) {
        let there = saved.iter().map(Step::to_string).collect::<Vec<_>>().join(", ");
        return Err(TrainError::NoSuchCheckpoint { step: from, path: output, there });
    }
    let journal = Journal::read(&output.join(Journal::NAME))?;
    let mut found = Replay { from, to, checkpoints: Vec::new(), differences: Vec::new() };
    let run_digest = run.digest()?;
    if journal.run() != run_digest {
        found.differ(from, What::Run, journal.run(), run_digest);
    }
    let (state, ..) = State::load(&output, from)?;
    let state = match from {
        // The start of a run is a function of the seed, so it is computed again too.
        Step(0) => {
            let initial = State::initial(root, run)?;
            found.compare_checkpoint(Step(0), &state, &initial);
            initial
        }
        _ => {
            found.checkpoints.push(from);
            state
        }
    };
    let before = journal.lines().get(..from.get() as usize).unwrap_or_default();
    let mut trainer = Trainer::new(root, run, state, before)?;
    progress.begin(&format!("replaying {}", run.name), to.get() - from.get(), Unit::Steps);
    while trainer.state().step < to && found.first().is_none() {
        let Some(line) = trainer.step()? else { break };
        let Some(recorded) = journal.line(line.step) else {
            found.differ(line.step, What::Weights, "no line in the journal", line.weights);
            break;
        };
        found.compare_line(recorded, &line);
        if saved.contains(&line.step) {
            let (state, ..) = State::load(&output, line.step)?;
            found.compare_checkpoint(line.step, &state, trainer.state());
        }
        progress.advance(1);
    }
    progress.end();
    Ok(found)
}

impl Replay {
    fn differ(&mut self, step: Step, what: What, recorded: impl ToString, replayed: impl ToString) {
        self.differences.push(Difference {
            step,
            what,
            recorded: recorded.to_string(),
            replayed: replayed.to_string(),
        });
    }

    fn compare_line(&mut self, recorded: &Line, replayed: &Line) {
        let numbers = [
            (What::LearningRate, recorded.learning_rate, replayed.learning_rate),
            (What::Loss, recorded.loss, replayed.loss),
            (What::GradNorm, recorded.grad_norm, replayed.grad_norm),
        ];
        if recorded.batch != replayed.batch {
            self.differ(replayed.step, What::Batch, recorded.batch, replayed.batch);
        }
        for (what, recorded, value) in numbers {
            if recorded.to_bits() != value.to_bits() {
                self.differ(replayed.step, what, recorded, value);
            }
        }
        if recorded.outlier != replayed.outlier {
            self.differ(replayed.step, What::Outlier, recorded.outlier, replayed.outlier);
        }
        let (held_out, again) = (recorded.validation_loss, replayed.validation_loss);
        if held_out.map(f64::to_bits) != again.map(f64::to_bits) {
            let told = |loss: Option<f64>| loss.map_or_else(|| "none".to_owned(), |loss| loss.to_string());
            self.differ(replayed.step, What::ValidationLoss, told(held_out), told(again));
        }
        if recorded.weights != replayed.weights {
            self.differ(replayed.step, What::Weights, recorded.weights, replayed.weights);
        }
    }

    fn compare_checkpoint(&mut self, step: Step, saved: &State, replayed: &State) {
        let (saved, replayed): (BTreeMap<String, Digest>, _) = (saved.tensor_digests(), replayed.tensor_digests());
        if saved == replayed {
            self.checkpoints.push(step);
            return;
        }
        for (name, digest) in &replayed {
            let before = saved.get(name);
            if before != Some(digest) {
                let recorded = before.map_or_else(|| "missing".to_owned(), Digest::to_string);
                self.differ(step, What::Checkpoint, format!("{name} {recorded}"), format!("{name} {digest}"));
            }
        }
    }
}

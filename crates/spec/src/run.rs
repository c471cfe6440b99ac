//! The run file: all that a training run's bits depend on, beside its tokens and the numerics.

use serde::{Deserialize, Serialize};

use crate::document::Complaint;
use crate::model::{Model, positive, within};
use crate::{Document, RelPath, Seed, Step};

/// A training run. Paths are relative to the directory that the run file lies in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// `run/1`.
    pub retrace: String,
    /// What the run is called; its step in the manifest is `train-NAME`.
    pub name: String,
    /// Where every random number begins: initial weights and data order.
    pub seed: Seed,
    /// The numerics version that it is made with.
    pub numerics: u32,
    /// The model.
    pub model: Model,
    /// The tokenizer that made the tokens; copied beside every checkpoint.
    pub tokenizer: RelPath,
    /// Where checkpoints and the journal go.
    pub output: RelPath,
    /// Tokens that a sequence predicts.
    pub sequence_length: usize,
    /// Sequences a step.
    pub batch_size: usize,
    /// Sequences whose gradient is computed at once; part of the bits, unlike threads or workers.
    pub micro_batch_size: usize,
    /// How weights follow gradients.
    pub optimizer: Optimizer,
    /// Of the z-loss, the squared logarithm of the logits' normaliser; 0, none, if left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub z_loss: f64,
    /// The share of what each block adds to the residual stream that is dropped; 0 if left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropout: f64,
    /// What is learned from, in order, and how fast.
    pub phases: Vec<Phase>,
    /// A checkpoint is kept at every multiple of this step, at the end of each phase and at the start.
    pub checkpoint_every: u64,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// AdamW with decoupled weight decay (Loshchilov and Hutter, 2019) and clipping by global norm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimizer {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the square root of the second moment.
    pub epsilon: f64,
    /// Weight decay, for matrices; vectors (norms) have none.
    pub weight_decay: f64,
    /// Largest global gradient norm.
    pub clip: f64,
}

/// A stretch of training on one mix, under one schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// What it is called.
    pub name: String,
    /// How many steps it has.
    pub steps: u64,
    /// The learning rate over its steps.
    pub learning_rate: Schedule,
    /// What its sequences are drawn from.
    pub mix: Vec<Source>,
}

/// A learning rate as a function of the step within a phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "schedule", rename_all = "snake_case")]
pub enum Schedule {
    /// Linear warm-up to `peak` over `warmup` steps, then a half cosine down to `floor`.
    Cosine {
        /// Steps of warm-up.
        warmup: u64,
        /// The highest rate.
        peak: f64,
        /// The last rate.
        floor: f64,
    },
    /// Linear warm-up to `peak` over `warmup` steps, then a straight line down to `floor`.
    Linear {
        /// Steps of warm-up.
        warmup: u64,
        /// The highest rate.
        peak: f64,
        /// The last rate.
        floor: f64,
    },
    /// Linear warm-up to `peak`, which then stays, until the last `decay` steps go straight down to
    /// `floor`.
    WarmupStableDecay {
        /// Steps of warm-up.
        warmup: u64,
        /// The highest rate.
        peak: f64,
        /// Steps of decay.
        decay: u64,
        /// The last rate.
        floor: f64,
    },
    /// Linear warm-up to `peak` over `warmup` steps, then down as 1/sqrt(step).
    InverseSqrt {
        /// Steps of warm-up.
        warmup: u64,
        /// The highest rate.
        peak: f64,
    },
    /// MAP-Neo's decay phase: from `peak`, halved every `half_life` steps, never below `floor`.
    HalfLife {
        /// The first rate.
        peak: f64,
        /// Steps in which it halves.
        half_life: u64,
        /// The lowest rate.
        floor: f64,
    },
}

/// One part of a mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// A token shard.
    pub tokens: RelPath,
    /// Its share: of every (sum of shares) consecutive sequences, this many are its.
    pub share: u32,
}

impl Schedule {
    /// Steps of warm-up.
    pub const fn warmup(&self) -> u64 {
        match *self {
            Self::Cosine { warmup, .. }
            | Self::Linear { warmup, .. }
            | Self::WarmupStableDecay { warmup, .. }
            | Self::InverseSqrt { warmup, .. } => warmup,
            Self::HalfLife { .. } => 0,
        }
    }

    /// The highest rate.
    pub const fn peak(&self) -> f64 {
        match *self {
            Self::Cosine { peak, .. }
            | Self::Linear { peak, .. }
            | Self::WarmupStableDecay { peak, .. }
            | Self::InverseSqrt { peak, .. }
            | Self::HalfLife { peak, .. } => peak,
        }
    }

    /// The rate that it does not fall below.
    pub const fn floor(&self) -> f64 {
        match *self {
            Self::Cosine { floor, .. }
            | Self::Linear { floor, .. }
            | Self::WarmupStableDecay { floor, .. }
            | Self::HalfLife { floor, .. } => floor,
            Self::InverseSqrt { .. } => 0.0,
        }
    }

    /// Whether it can be meant in a phase of `steps`.
    fn check(&self, steps: u64) -> Result<(), Complaint> {
        let complain = |field: &str, what: String| Err((field.to_owned(), what));
        let (warmup, peak, floor) = (self.warmup(), self.peak(), self.floor());
        if warmup > steps {
            return complain(".warmup", format!("{warmup} is more than the phase's {steps} steps"));
        }
        match *self {
            Self::HalfLife { half_life: 0, .. } => return complain(".half_life", "is 0".to_owned()),
            Self::WarmupStableDecay { decay, .. } if decay == 0 || decay > steps - warmup => {
                let left = steps - warmup;
                return complain(".decay", format!("{decay} is not one of the {left} steps after warm-up"));
            }
            _ => {}
        }
        if !(0.0..=1.0).contains(&floor) || !(floor..=1.0).contains(&peak) || peak == 0.0 {
            return complain("", format!("peak {peak} and floor {floor} are not 0 <= floor <= peak <= 1"));
        }
        Ok(())
    }
}

impl Run {
    /// Steps over all phases.
    pub fn steps(&self) -> Step {
        Step(self.phases.iter().map(|phase| phase.steps).sum())
    }

    /// The phase that computes update number `step` (the one that leads *to* step `step`), and how
    /// many steps went before that phase.
    pub fn phase_of(&self, step: Step) -> Option<(&Phase, Step)> {
        let mut before = 0;
        for phase in &self.phases {
            if step.0 > before && step.0 <= before + phase.steps {
                return Some((phase, Step(before)));
            }
            before += phase.steps;
        }
        None
    }

    /// Whether a checkpoint is kept after `step`.
    pub fn keeps(&self, step: Step) -> bool {
        let mut end = 0;
        let ends_phase = self.phases.iter().any(|phase| {
            end += phase.steps;
            end == step.0
        });
        ends_phase || step.0.is_multiple_of(self.checkpoint_every)
    }
}

impl Document for Run {
    const SCHEMA: &'static str = "run/1";

    fn schema(&self) -> &str {
        &self.retrace
    }

    fn check(&self) -> Result<(), Complaint> {
        let complain = |field: &str, what: String| Err((field.to_owned(), what));
        if self.name.is_empty() || !self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return complain("name", format!("{:?} is not letters, digits, `-`, `_` and `.`", self.name));
        }
        if self.numerics != 1 {
            return complain("numerics", format!("version {} is not known here; this is 1", self.numerics));
        }
        self.model.check()?;
        let sizes = [
            ("sequence_length", self.sequence_length),
            ("batch_size", self.batch_size),
            ("micro_batch_size", self.micro_batch_size),
        ];
        positive(&sizes)?;
        let longest = self.model.max_position_embeddings;
        if self.sequence_length > longest {
            return complain(
                "sequence_length",
                format!("{} is longer than model.max_position_embeddings {longest}", self.sequence_length),
            );
        }
        if !self.batch_size.is_multiple_of(self.micro_batch_size) {
            return complain(
                "micro_batch_size",
                format!("{} does not divide batch_size {}", self.micro_batch_size, self.batch_size),
            );
        }
        within(&[
            ("optimizer.beta1", self.optimizer.beta1, 0.0, 0.999_999),
            ("optimizer.beta2", self.optimizer.beta2, 0.0, 0.999_999_9),
            ("optimizer.epsilon", self.optimizer.epsilon, f64::MIN_POSITIVE, 1.0),
            ("optimizer.weight_decay", self.optimizer.weight_decay, 0.0, 10.0),
            ("optimizer.clip", self.optimizer.clip, f64::MIN_POSITIVE, f64::MAX),
        ])?;
        within(&[("z_loss", self.z_loss, 0.0, 1.0), ("dropout", self.dropout, 0.0, 0.99)])?;
        if self.checkpoint_every == 0 {
            return complain("checkpoint_every", "is 0; give a number of steps".to_owned());
        }
        if self.phases.is_empty() {
            return complain("phases", "is empty; a run needs something to learn from".to_owned());
        }
        let mut steps = 0u64;
        for (index, phase) in self.phases.iter().enumerate() {
            let field = |name: &str| format!("phases[{index}].{name}");
            steps = steps.saturating_add(phase.steps);
            if phase.steps == 0 || steps > u64::from(u32::MAX) {
                return complain(
                    &field("steps"),
                    format!("{} is not a number of steps (1 to 2^32 over all phases)", phase.steps),
                );
            }
            if phase.mix.is_empty() {
                return complain(&field("mix"), "is empty".to_owned());
            }
            let shares: u64 = phase.mix.iter().map(|source| u64::from(source.share)).sum();
            if phase.mix.iter().any(|source| source.share == 0) || shares > 1 << 20 {
                return complain(&field("mix"), "has a share of 0, or shares that add up to over 2^20".to_owned());
            }
            phase.learning_rate.check(phase.steps).map_err(|(name, what)| (field("learning_rate") + &name, what))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SpecError;

    const RUN: &str = "retrace: run/1
name: small
seed: 1
numerics: 1
model:
  architecture: llama
  vocab_size: 300
  hidden_size: 16
  intermediate_size: 40
  num_hidden_layers: 2
  num_attention_heads: 4
  num_key_value_heads: 2
  max_position_embeddings: 32
  rope_theta: 10000.0
  rms_norm_eps: 1.0e-5
  initializer_range: 0.02
tokenizer: tokenizer.json
output: runs/small
sequence_length: 16
batch_size: 4
micro_batch_size: 2
optimizer: {beta1: 0.9, beta2: 0.95, epsilon: 1.0e-8, weight_decay: 0.1, clip: 1.0}
phases:
  - name: one
    steps: 10
    learning_rate: {schedule: cosine, warmup: 2, peak: 0.003, floor: 0.0003}
    mix: [{tokens: a.tokens, share: 3}, {tokens: b.tokens, share: 1}]
  - name: two
    steps: 5
    learning_rate: {schedule: half_life, peak: 0.003, half_life: 2, floor: 0.0}
    mix: [{tokens: b.tokens, share: 1}]
checkpoint_every: 4
";

    #[test]
    fn steps_phases_and_checkpoints() {
        let run = Run::parse(RUN, "run.yaml").unwrap();
        assert_eq!(run.steps(), Step(15));
        let name = |step| run.phase_of(Step(step)).map(|(phase, before)| (phase.name.as_str(), before.get()));
        assert_eq!(name(0), None);
        assert_eq!(name(10), Some(("one", 0)));
        assert_eq!(name(11), Some(("two", 10)));
        assert_eq!(name(16), None);
        let kept: Vec<u64> = (0..=15).filter(|step| run.keeps(Step(*step))).collect();
        assert_eq!(kept, [0, 4, 8, 10, 12, 15]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_field() {
        for (from, to, field) in [
            ("seed: 1", "sead: 1", "sead"),
            ("numerics: 1", "numerics: 2", "numerics"),
            ("hidden_size: 16", "hidden_size: 18", "model.num_attention_heads"),
            ("num_key_value_heads: 2", "num_key_value_heads: 3", "model.num_key_value_heads"),
            ("sequence_length: 16", "sequence_length: 64", "sequence_length"),
            ("micro_batch_size: 2", "micro_batch_size: 3", "micro_batch_size"),
            ("clip: 1.0", "clip: .nan", "optimizer.clip"),
            ("share: 3", "share: 0", "phases[0].mix"),
            ("warmup: 2", "warmup: 20", "phases[0].learning_rate.warmup"),
            ("peak: 0.003, half_life: 2", "peak: 0.003, half_life: 0", "phases[1].learning_rate.half_life"),
            ("tokenizer: tokenizer.json", "tokenizer: ../tokenizer.json", "`.` or `..`"),
            ("checkpoint_every: 4", "checkpoint_every: 0", "checkpoint_every"),
            ("checkpoint_every: 4", "checkpoint_every: 4\ndropout: 1.0", "dropout"),
            ("checkpoint_every: 4", "checkpoint_every: 4\nz_loss: -1.0", "z_loss"),
            (
                "schedule: cosine, warmup: 2, peak: 0.003, floor: 0.0003",
                "schedule: warmup_stable_decay, warmup: 2, peak: 0.003, decay: 9, floor: 0.0",
                "phases[0].learning_rate.decay",
            ),
            ("architecture: llama", "architecture: olmo", "model.rms_norm_eps"),
            ("architecture: llama", "architecture: olmo3", "model.sliding_window"),
            ("rope_theta: 10000.0", "rope_theta: 10000.0\n  clip_qkv: 8.0", "model.clip_qkv"),
            ("rope_theta: 10000.0", "rope_theta: 10000.0\n  rope_scaling: {rope_type: linear, factor: 0.5}", "factor"),
        ] {
            let text = RUN.replace(from, to);
            assert_ne!(text, RUN, "{from}");
            let error: SpecError = Run::parse(&text, "run.yaml").expect_err(to);
            let message = error.to_string();
            assert!(message.contains(field) && message.contains("run.yaml"), "{to}: {message}");
        }
    }
}

//! The run file: everything that determines the bits of a training run, except its tokens and the numerics.

use serde::{Deserialize, Serialize};

use crate::document::{Complaint, SpecError, accept, read};
use crate::model::{Model, positive, within};
use crate::{Document, RelPath, Seed, Step};

/// A training run. Paths are relative to the directory of the run file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run<M = Model> {
    /// `run/1`.
    pub retrace: String,
    /// The name of the run; its step in the manifest is `train-NAME`.
    pub name: String,
    /// The seed of all random numbers: initial weights and data order.
    pub seed: Seed,
    /// The numerics version.
    pub numerics: u32,
    /// The model. A file may also have `{config: PATH}`, which [`Run::parse_with`] reads.
    pub model: M,
    /// The initial weights; if left out, weights drawn from the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
    /// The tokenizer that made the tokens; copied beside every checkpoint.
    pub tokenizer: RelPath,
    /// The directory of the checkpoints and the journal.
    pub output: RelPath,
    /// Tokens that are predicted in each sequence.
    pub sequence_length: usize,
    /// Sequences per step.
    pub batch_size: usize,
    /// Sequences whose gradient is computed together; unlike threads and workers, this changes the bits.
    pub micro_batch_size: usize,
    /// The rule by which gradients change weights.
    pub optimizer: Optimizer,
    /// Coefficient of the z-loss, the squared logarithm of the logits' normaliser; 0, none, if left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub z_loss: f64,
    /// The fraction of what each block adds to the residual stream that is dropped; 0 if left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropout: f64,
    /// Whether the loss leaves out the first token of each document, which cannot be predicted from the end of the one
    /// before; Megatron's `--eod-mask-loss`. No if left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mask_document_ends: bool,
    /// The order of the sequences; shuffled if left out.
    #[serde(default, skip_serializing_if = "Order::is_shuffled")]
    pub order: Order,
    /// Which steps are outliers that do not change the weights; none if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outliers: Option<Outliers>,
    /// The training data, in order, with the learning rates.
    pub phases: Vec<Phase>,
    /// A checkpoint is saved at every multiple of this step, at the end of each phase and at the start.
    pub checkpoint_every: u64,
    /// Which checkpoints are kept; all if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// The held-out data on which the loss is measured; none if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// A released checkpoint with which a run begins. The run's steps and tokens count from 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// A directory with `config.json` and the weights.
    pub checkpoint: RelPath,
    /// How many updates the optimizer's moments, in `optimizer.safetensors` beside the weights, have received. If left
    /// out, no moments are read, and the optimizer begins with zero moments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimizer_updates: Option<u64>,
}

/// The order of the sequences.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Drawn from the seed, with shares and epochs mixed.
    #[default]
    Shuffled,
    /// As stored in the one token shard of each phase: slot b of the phase's step s, counted from 0, reads sequence s
    /// · `batch_size` + b, from the first again after the last. For data that another framework has shuffled already.
    AsStored,
}

impl Order {
    fn is_shuffled(&self) -> bool {
        *self == Self::Shuffled
    }
}

/// Steps that do not change the weights: `SkipStepOptimizer` of OLMo-core.
///
/// A step is an outlier if its loss or its gradient's norm is more than `deviations` standard deviations above the
/// mean of the last `window` steps, outliers included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outliers {
    /// The number of previous steps that are considered. No step is an outlier before half as many.
    pub window: u64,
    /// The limit, in standard deviations.
    pub deviations: f64,
}

impl Outliers {
    /// The shortest window whose half has a standard deviation.
    pub const SHORTEST: u64 = 6;
}

/// Which checkpoints are kept when newer ones exist, in addition to the start's and those at the ends of phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// This many of the newest.
    pub last: u64,
    /// Those at multiples of this step; none if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
}

/// The loss on held-out tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// A token shard.
    pub tokens: RelPath,
    /// The number of its sequences, from the first on.
    pub sequences: u64,
    /// It is measured after every multiple of this step, and after the last step.
    pub every: u64,
}

/// A model that is described by a hub's configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ByConfig {
    /// The `config.json`.
    config: RelPath,
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

/// A part of training with one mix and one schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Its number of steps.
    pub steps: u64,
    /// The learning rate over its steps.
    pub learning_rate: Schedule,
    /// The source of its sequences.
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
    /// Linear warm-up to `peak` over `warmup` steps, then a linear decay to `floor`.
    Linear {
        /// Steps of warm-up.
        warmup: u64,
        /// The highest rate.
        peak: f64,
        /// The last rate.
        floor: f64,
    },
    /// Linear warm-up to `peak`, which then stays constant; the last `decay` steps decay linearly to `floor`.
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
    /// MAP-Neo's decay phase: starts at `peak`, halved every `half_life` steps, never below `floor`.
    HalfLife {
        /// The first rate.
        peak: f64,
        /// Number of steps in which it halves.
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
    /// Its share: of every (sum of shares) consecutive sequences, this many are from this shard.
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

    /// The lower limit of the rate.
    pub const fn floor(&self) -> f64 {
        match *self {
            Self::Cosine { floor, .. }
            | Self::Linear { floor, .. }
            | Self::WarmupStableDecay { floor, .. }
            | Self::HalfLife { floor, .. } => floor,
            Self::InverseSqrt { .. } => 0.0,
        }
    }

    /// Whether it is valid in a phase of `steps`.
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

/// The part of a run file that shows whether its model is given by a hub's file.
#[derive(Deserialize)]
#[expect(dead_code, reason = "what matters is whether there is such a field")]
struct Glance {
    model: HasConfig,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "as above")]
struct HasConfig {
    config: serde::de::IgnoredAny,
}

/// The maximum of tokens per step: sixteen times the number of the largest runs.
const MOST_TOKENS: u128 = 1 << 28;
/// The maximum of phases of a run: each step searches for its own.
const MOST_PHASES: usize = 1000;

impl Run {
    /// Reads a run file, whose model may also be given as `{config: PATH}`: the run is then the same as if the result
    /// of `read_config` for that path were written in the file. Returns the path too.
    ///
    /// # Errors
    /// As [`Document::parse`], and what `read_config` returns.
    pub fn parse_with<E: From<SpecError>>(
        text: &str,
        origin: &str,
        read_config: impl FnOnce(&RelPath) -> Result<Model, E>,
    ) -> Result<(Self, Option<RelPath>), E> {
        if read::<Glance>(text, origin, Self::LARGEST).is_err() {
            return Ok((Self::parse(text, origin)?, None));
        }
        let run: Run<ByConfig> = read(text, origin, Self::LARGEST)?;
        let config = run.model.config.clone();
        let run = run.with_model(read_config(&config)?);
        accept(&run, origin)?;
        Ok((run, Some(config)))
    }
}

impl<M> Run<M> {
    fn with_model(self, model: Model) -> Run {
        Run {
            retrace: self.retrace,
            name: self.name,
            seed: self.seed,
            numerics: self.numerics,
            model,
            start: self.start,
            tokenizer: self.tokenizer,
            output: self.output,
            sequence_length: self.sequence_length,
            batch_size: self.batch_size,
            micro_batch_size: self.micro_batch_size,
            optimizer: self.optimizer,
            z_loss: self.z_loss,
            dropout: self.dropout,
            mask_document_ends: self.mask_document_ends,
            order: self.order,
            outliers: self.outliers,
            phases: self.phases,
            checkpoint_every: self.checkpoint_every,
            retention: self.retention,
            validation: self.validation,
        }
    }
}

impl Run {
    /// The number of steps of all phases.
    pub fn steps(&self) -> Step {
        Step(self.phases.iter().map(|phase| phase.steps).sum())
    }

    /// The phase that computes update number `step` (the one that leads *to* step `step`), and the number of steps
    /// before that phase.
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

    /// Whether `step` is the last of a phase.
    fn ends_phase(&self, step: Step) -> bool {
        let mut end = 0;
        self.phases.iter().any(|phase| {
            end += phase.steps;
            end == step.0
        })
    }

    /// Whether a checkpoint is saved after `step`.
    pub fn saves(&self, step: Step) -> bool {
        self.ends_phase(step) || step.0.is_multiple_of(self.checkpoint_every)
    }

    /// Whether the checkpoint of `step` is kept when there are `newer` newer ones.
    pub fn retains(&self, step: Step, newer: u64) -> bool {
        self.retention.is_none_or(|Retention { last, every }| {
            newer < last
                || step.0 == 0
                || self.ends_phase(step)
                || every.is_some_and(|every| step.0.is_multiple_of(every))
        })
    }

    /// The validation that is due after `step`, if one is.
    pub fn validates(&self, step: Step) -> Option<&Validation> {
        let due = |every: u64| step.0.is_multiple_of(every) || step == self.steps();
        self.validation.as_ref().filter(|validation| due(validation.every))
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
            return complain("numerics", format!("version {} is unknown; this retrace has version 1", self.numerics));
        }
        self.model.check()?;
        let sizes = [
            ("sequence_length", self.sequence_length),
            ("batch_size", self.batch_size),
            ("micro_batch_size", self.micro_batch_size),
        ];
        positive(&sizes)?;
        if self.batch_size as u128 * self.sequence_length as u128 > MOST_TOKENS {
            let (batch, length) = (self.batch_size, self.sequence_length);
            return complain(
                "batch_size",
                format!("{batch} sequences of {length} tokens are more than 2^28 tokens per step"),
            );
        }
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
        let every = |field: &str, every: Option<u64>| match every {
            Some(0) => complain(field, "is 0; give a number of steps".to_owned()),
            _ => Ok(()),
        };
        every("checkpoint_every", Some(self.checkpoint_every))?;
        every("retention.every", self.retention.and_then(|retention| retention.every))?;
        if self.retention.is_some_and(|retention| retention.last == 0) {
            return complain("retention.last", "is 0; a run can only resume from a checkpoint".to_owned());
        }
        every("validation.every", self.validation.as_ref().map(|validation| validation.every))?;
        if self.validation.as_ref().is_some_and(|validation| validation.sequences == 0) {
            return complain("validation.sequences", "is 0".to_owned());
        }
        if let Some(Outliers { window, deviations }) = self.outliers {
            if !(Outliers::SHORTEST..=1 << 20).contains(&window) {
                let what = format!("{window} is not a window of {} to 2^20 steps", Outliers::SHORTEST);
                return complain("outliers.window", what);
            }
            within(&[("outliers.deviations", deviations, f64::MIN_POSITIVE, f64::MAX)])?;
        }
        if self.phases.len() > MOST_PHASES {
            return complain("phases", format!("has {} phases; the limit is {MOST_PHASES}", self.phases.len()));
        }
        if self.phases.is_empty() {
            return complain("phases", "is empty; a run needs training data".to_owned());
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
            if self.order == Order::AsStored && phase.mix.len() > 1 {
                return complain(
                    &field("mix"),
                    "has several sources, but `order: as_stored` allows only one".to_owned(),
                );
            }
            let shares: u64 = phase.mix.iter().map(|source| u64::from(source.share)).sum();
            if phase.mix.iter().any(|source| source.share == 0) || shares > 1 << 20 {
                return complain(&field("mix"), "has a share of 0, or its shares add up to more than 2^20".to_owned());
            }
            phase.learning_rate.check(phase.steps).map_err(|(name, what)| (field("learning_rate") + &name, what))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let kept: Vec<u64> = (0..=15).filter(|step| run.saves(Step(*step))).collect();
        assert_eq!(kept, [0, 4, 8, 10, 12, 15]);
    }

    #[test]
    fn the_usual_order_is_not_written_down() {
        let digest = |text: &str| Run::parse(text, "run.yaml").unwrap().digest().unwrap();
        assert_eq!(digest(&format!("{RUN}order: shuffled\n")), digest(RUN));
        let one = RUN.replace("{tokens: a.tokens, share: 3}, ", "");
        assert_ne!(digest(&format!("{one}order: as_stored\n")), digest(&one));
    }

    #[test]
    fn checkpoints_that_stay() {
        let text = RUN.replace("checkpoint_every: 4", "checkpoint_every: 2\nretention: {last: 2, every: 8}");
        let run = Run::parse(&text, "run.yaml").unwrap();
        let saved = [0, 2, 4, 6, 8, 10, 12, 14];
        let newer = |at: usize| (saved.len() - 1 - at) as u64;
        let stay: Vec<u64> =
            (0..saved.len()).filter(|at| run.retains(Step(saved[*at]), newer(*at))).map(|at| saved[at]).collect();
        // The start, a multiple of 8, the end of the first phase, the newest two.
        assert_eq!(stay, [0, 8, 10, 12, 14]);
    }

    #[test]
    fn a_model_by_its_config_is_the_model_written_out() {
        let written = Run::parse(RUN, "run.yaml").unwrap();
        let (before, rest) = RUN.split_once("model:\n").unwrap();
        let after = &rest[rest.find("tokenizer:").unwrap()..];
        let text = format!("{before}model: {{config: hub/config.json}}\n{after}");
        let read = |path: &RelPath| -> Result<Model, SpecError> {
            assert_eq!(path.as_str(), "hub/config.json");
            Ok(written.model.clone())
        };
        let (run, config) = Run::parse_with(&text, "run.yaml", read).unwrap();
        assert_eq!((run.digest().unwrap(), config.is_some()), (written.digest().unwrap(), true));
        assert_eq!(Run::parse_with(RUN, "run.yaml", read).unwrap(), (written.clone(), None));
        // Errors have their position in the original file, and the complete document is checked.
        let wrong = text.replace("batch_size: 4", "batch_sise: 4");
        let error = Run::parse_with(&wrong, "run.yaml", read).unwrap_err().to_string();
        assert!(error.contains("run.yaml:9:") && error.contains("batch_sise"), "{error}");
        let wrong = text.replace("sequence_length: 16", "sequence_length: 64");
        let error = Run::parse_with(&wrong, "run.yaml", read).unwrap_err().to_string();
        assert!(error.contains("sequence_length"), "{error}");
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
            ("num_hidden_layers: 2", "num_hidden_layers: 1000000", "model.num_hidden_layers"),
            (
                "hidden_size: 16\n  intermediate_size: 40",
                "hidden_size: 1073741824\n  intermediate_size: 1073741824",
                "model.hidden_size",
            ),
            ("vocab_size: 300\n  hidden_size: 16", "vocab_size: 1073741824\n  hidden_size: 65536", "model.hidden_size"),
            ("batch_size: 4\n", "batch_size: 1073741824\n", "batch_size"),
            ("share: 3", "share: 0", "phases[0].mix"),
            ("warmup: 2", "warmup: 20", "phases[0].learning_rate.warmup"),
            ("peak: 0.003, half_life: 2", "peak: 0.003, half_life: 0", "phases[1].learning_rate.half_life"),
            ("tokenizer: tokenizer.json", "tokenizer: ../tokenizer.json", "`.` or `..`"),
            ("checkpoint_every: 4", "checkpoint_every: 0", "checkpoint_every"),
            ("checkpoint_every: 4", "checkpoint_every: 4\ndropout: 1.0", "dropout"),
            ("checkpoint_every: 4", "checkpoint_every: 4\nz_loss: -1.0", "z_loss"),
            ("checkpoint_every: 4", "checkpoint_every: 4\nretention: {last: 0}", "retention.last"),
            ("checkpoint_every: 4", "checkpoint_every: 4\nretention: {last: 1, every: 0}", "retention.every"),
            ("checkpoint_every: 4", "checkpoint_every: 4\noutliers: {window: 3, deviations: 6.0}", "outliers.window"),
            (
                "checkpoint_every: 4",
                "checkpoint_every: 4\nvalidation: {tokens: v.tokens, sequences: 8, every: 0}",
                "validation.every",
            ),
            ("checkpoint_every: 4", "checkpoint_every: 4\nstart: {checkpoint: ../x}", "`.` or `..`"),
            ("checkpoint_every: 4", "checkpoint_every: 4\norder: as_stored", "phases[0].mix"),
            ("checkpoint_every: 4", "checkpoint_every: 4\norder: sorted", "sorted"),
            (
                "schedule: cosine, warmup: 2, peak: 0.003, floor: 0.0003",
                "schedule: warmup_stable_decay, warmup: 2, peak: 0.003, decay: 9, floor: 0.0",
                "phases[0].learning_rate.decay",
            ),
            ("architecture: llama", "architecture: olmo", "model.rms_norm_eps"),
            ("architecture: llama", "architecture: olmo3", "model.sliding_window"),
            ("architecture: llama", "architecture: qwen3", "model.head_dim"),
            ("architecture: llama", "architecture: qwen3\n  head_dim: 8\n  mlp_bias: true", "model.mlp_bias"),
            ("architecture: llama", "architecture: qwen3\n  head_dim: 8\n  sliding_window: 8", "model.sliding_window"),
            (
                "architecture: llama",
                "architecture: qwen3\n  head_dim: 8\n  layer_types: [sliding_attention, full_attention]",
                "model.sliding_window",
            ),
            (
                "architecture: llama",
                "architecture: qwen3\n  head_dim: 8\n  layer_types: [full_attention, full_attention]",
                "model.layer_types",
            ),
            ("architecture: llama", "architecture: smollm3", "model.no_rope_layers"),
            ("architecture: llama", "architecture: smollm3\n  no_rope_layers: [1]", "model.no_rope_layers"),
            ("architecture: llama", "architecture: smollm3\n  no_rope_layers: [1, 2]", "2 is neither 1"),
            ("rope_theta: 10000.0", "rope_theta: 10000.0\n  no_rope_layers: [1, 0]", "model.no_rope_layers"),
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

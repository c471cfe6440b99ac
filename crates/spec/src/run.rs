//! The run file: all that a training run's bits depend on, beside its tokens and the numerics.

use serde::{Deserialize, Serialize};

use crate::document::Complaint;
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
    /// What is learned from, in order, and how fast.
    pub phases: Vec<Phase>,
    /// A checkpoint is kept at every multiple of this step, at the end of each phase and at the start.
    pub checkpoint_every: u64,
}

/// The model, in the words of a Hugging Face `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The architecture.
    pub architecture: Architecture,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; each serves as many query heads as divide evenly.
    pub num_key_value_heads: usize,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// RoPE's base.
    pub rope_theta: f64,
    /// RMSNorm's epsilon.
    pub rms_norm_eps: f64,
    /// Standard deviation of the initial weights.
    pub initializer_range: f64,
}

/// The architectures that can be trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// RMSNorm, RoPE, SwiGLU, grouped-query attention, an untied head.
    Llama,
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
        let model = &self.model;
        let positive = [
            ("model.vocab_size", model.vocab_size),
            ("model.hidden_size", model.hidden_size),
            ("model.intermediate_size", model.intermediate_size),
            ("model.num_hidden_layers", model.num_hidden_layers),
            ("model.num_attention_heads", model.num_attention_heads),
            ("model.num_key_value_heads", model.num_key_value_heads),
            ("sequence_length", self.sequence_length),
            ("batch_size", self.batch_size),
            ("micro_batch_size", self.micro_batch_size),
        ];
        for (field, value) in positive {
            if value == 0 || value > 1 << 30 {
                return complain(field, format!("{value} is not between 1 and 2^30"));
            }
        }
        if !model.hidden_size.is_multiple_of(model.num_attention_heads) {
            return complain(
                "model.num_attention_heads",
                format!("{} does not divide hidden_size {}", model.num_attention_heads, model.hidden_size),
            );
        }
        if !(model.hidden_size / model.num_attention_heads).is_multiple_of(2) {
            return complain("model.num_attention_heads", "gives an odd head size, which RoPE cannot turn".to_owned());
        }
        if !model.num_attention_heads.is_multiple_of(model.num_key_value_heads) {
            return complain(
                "model.num_key_value_heads",
                format!(
                    "{} does not divide num_attention_heads {}",
                    model.num_key_value_heads, model.num_attention_heads
                ),
            );
        }
        if self.sequence_length > model.max_position_embeddings {
            return complain(
                "sequence_length",
                format!(
                    "{} is longer than model.max_position_embeddings {}",
                    self.sequence_length, model.max_position_embeddings
                ),
            );
        }
        if !self.batch_size.is_multiple_of(self.micro_batch_size) {
            return complain(
                "micro_batch_size",
                format!("{} does not divide batch_size {}", self.micro_batch_size, self.batch_size),
            );
        }
        let ranges = [
            ("model.rope_theta", model.rope_theta, 1.0, f64::MAX),
            ("model.rms_norm_eps", model.rms_norm_eps, 0.0, 1.0),
            ("model.initializer_range", model.initializer_range, 0.0, 1.0),
            ("optimizer.beta1", self.optimizer.beta1, 0.0, 0.999_999),
            ("optimizer.beta2", self.optimizer.beta2, 0.0, 0.999_999_9),
            ("optimizer.epsilon", self.optimizer.epsilon, f64::MIN_POSITIVE, 1.0),
            ("optimizer.weight_decay", self.optimizer.weight_decay, 0.0, 10.0),
            ("optimizer.clip", self.optimizer.clip, f64::MIN_POSITIVE, f64::MAX),
        ];
        for (field, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                return complain(field, format!("{value} is not between {least} and {most}"));
            }
        }
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
            let (peak, floor) = match phase.learning_rate {
                Schedule::Cosine { peak, floor, warmup } => {
                    if warmup > phase.steps {
                        return complain(
                            &field("learning_rate.warmup"),
                            format!("{warmup} is more than the phase's {} steps", phase.steps),
                        );
                    }
                    (peak, floor)
                }
                Schedule::HalfLife { peak, floor, half_life } => {
                    if half_life == 0 {
                        return complain(&field("learning_rate.half_life"), "is 0".to_owned());
                    }
                    (peak, floor)
                }
            };
            if !(0.0..=1.0).contains(&floor) || !(floor..=1.0).contains(&peak) || peak == 0.0 {
                return complain(
                    &field("learning_rate"),
                    format!("peak {peak} and floor {floor} are not 0 <= floor <= peak <= 1"),
                );
            }
        }
        Ok(())
    }
}

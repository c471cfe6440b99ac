//! A model of any family: its weights' names, its logits, its losses and their gradient.

use std::sync::Arc;

use retrace_numerics::cross_entropy::{Loss, Row};
use retrace_numerics::heads::{Heads, Order};
use retrace_spec::Model;
use retrace_spec::model::Architecture;

use crate::gpt_neox::GptNeox;
use crate::llama::Llama;
use crate::olmo::Olmo;
use crate::olmo2::Olmo2;
use crate::tape::{Dropout, Tape, Value, Workspace};
use crate::weights::{Layout, Parameter};
use crate::{ModelError, Weights};

/// The name and shape of every weight.
pub(crate) fn shapes(model: &Model) -> Vec<(String, Vec<usize>)> {
    match model.architecture {
        Architecture::Llama => Llama::shapes(model),
        Architecture::GptNeox => GptNeox::shapes(model),
        Architecture::Olmo => Olmo::shapes(model),
        Architecture::Olmo2 | Architecture::Olmo3 => Olmo2::shapes(model),
    }
}

/// Whether a tensor that is no weight may stand beside them: tables that follow from the
/// configuration, as older checkpoints hold.
pub(crate) fn is_table(name: &str) -> bool {
    let tables = [".rotary_emb.inv_freq", ".attention.bias", ".attention.masked_bias"];
    tables.iter().any(|end| name.ends_with(end))
}

/// What the embedding and the head are called.
pub(crate) fn ends(architecture: Architecture) -> (&'static str, &'static str) {
    match architecture {
        Architecture::GptNeox => ("gpt_neox.embed_in.weight", "embed_out.weight"),
        _ => ("model.embed_tokens.weight", "lm_head.weight"),
    }
}

/// A model, apart from its weights.
#[derive(Debug)]
pub struct Network {
    model: Model,
    layout: Layout,
    family: Family,
    head: Parameter,
}

#[derive(Debug)]
enum Family {
    Llama(Llama),
    GptNeox(GptNeox),
    Olmo(Olmo),
    Olmo2(Olmo2),
}

/// What is learned from: sequences of `positions` tokens, one after another.
#[derive(Debug, Clone)]
pub struct MicroBatch<'a> {
    /// The tokens.
    pub inputs: &'a [u32],
    /// What follows each, if that counts.
    pub targets: &'a [Option<u32>],
    /// Tokens a sequence.
    pub positions: usize,
    /// What each is compared by.
    pub loss: Loss,
    /// What the losses' sum is multiplied with before its gradient is taken.
    pub scale: f32,
    /// The run's dropout, if it has one.
    pub dropout: Option<Dropout>,
}

impl Network {
    /// The model with that description, which must have passed its check.
    ///
    /// # Errors
    /// Never for a description that passed.
    pub fn new(model: &Model) -> Result<Self, ModelError> {
        let layout = Layout::of(model);
        let family = match model.architecture {
            Architecture::Llama => Family::Llama(Llama::new(model, &layout)?),
            Architecture::GptNeox => Family::GptNeox(GptNeox::new(model, &layout)?),
            Architecture::Olmo => Family::Olmo(Olmo::new(model, &layout)?),
            Architecture::Olmo2 | Architecture::Olmo3 => Family::Olmo2(Olmo2::new(model, &layout)?),
        };
        let (embedding, head) = ends(model.architecture);
        let head = if model.tie_word_embeddings { embedding } else { head };
        let head = layout.find(head)?;
        Ok(Self { model: model.clone(), layout, family, head })
    }

    /// The description it was built from.
    pub const fn description(&self) -> &Model {
        &self.model
    }

    /// Its weights' names, shapes and places.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The last layer's output, normalised.
    fn hidden(&self, tape: &mut Tape<'_>, inputs: &[u32], positions: usize) -> Result<Value, ModelError> {
        self.accepts(inputs, positions)?;
        let ids: Arc<[u32]> = Arc::from(inputs);
        Ok(match &self.family {
            Family::Llama(family) => family.hidden(tape, &ids, positions),
            Family::GptNeox(family) => family.hidden(tape, &ids, positions),
            Family::Olmo(family) => family.hidden(tape, &ids, positions),
            Family::Olmo2(family) => family.hidden(tape, &ids, positions),
        })
    }

    /// Whether it can read sequences of `positions` tokens that lie one after another in `inputs`.
    fn accepts(&self, inputs: &[u32], positions: usize) -> Result<(), ModelError> {
        let longest = self.model.max_position_embeddings;
        // With dynamic scaling a model reads beyond it; that is what the scaling is for.
        let bounded = !matches!(self.model.rope_scaling, Some(retrace_spec::model::RopeScaling::Dynamic { .. }));
        if positions == 0 || (bounded && positions > longest) || !inputs.len().is_multiple_of(positions) {
            let what = format!(
                "{} tokens cannot be split into sequences of {positions}, or a sequence is longer than {longest}",
                inputs.len()
            );
            return Err(ModelError::Input(what));
        }
        let vocabulary = self.model.vocab_size;
        match inputs.iter().find(|id| **id as usize >= vocabulary) {
            Some(id) => Err(ModelError::Input(format!("token {id} is outside the vocabulary of {vocabulary}"))),
            None => Ok(()),
        }
    }

    fn accepts_targets(&self, inputs: &[u32], targets: &[Option<u32>]) -> Result<(), ModelError> {
        if inputs.len() != targets.len() {
            return Err(ModelError::Input(format!("{} targets for {} tokens", targets.len(), inputs.len())));
        }
        let vocabulary = self.model.vocab_size;
        match targets.iter().flatten().find(|id| **id as usize >= vocabulary) {
            Some(id) => Err(ModelError::Input(format!("target {id} is outside the vocabulary of {vocabulary}"))),
            None => Ok(()),
        }
    }

    /// The logits, (tokens, vocabulary), of sequences of `positions` tokens that lie one after
    /// another in `inputs`.
    ///
    /// # Errors
    /// If the tokens are not whole sequences, a sequence is too long for the model, or an id is
    /// outside the vocabulary.
    fn logits(
        &self,
        weights: &Weights,
        workspace: &Workspace,
        inputs: &[u32],
        positions: usize,
    ) -> Result<Vec<f32>, ModelError> {
        let mut tape = Tape::forgetful(weights, workspace);
        let x = self.hidden(&mut tape, inputs, positions)?;
        let mut all = Vec::with_capacity(inputs.len() * self.model.vocab_size);
        tape.logits(&x, self.head, |_, logits| all.extend_from_slice(logits));
        Ok(all)
    }

    /// The negative log-likelihood, in nats, of each token's target; 0 where there is none.
    ///
    /// # Errors
    /// As [`Inference::logits`], and if there are not as many targets as tokens.
    pub fn losses(
        &self,
        weights: &Weights,
        workspace: &Workspace,
        inputs: &[u32],
        targets: &[Option<u32>],
        positions: usize,
    ) -> Result<Vec<f32>, ModelError> {
        self.accepts_targets(inputs, targets)?;
        let mut tape = Tape::forgetful(weights, workspace);
        let x = self.hidden(&mut tape, inputs, positions)?;
        let (loss, vocabulary) = (Loss { z_weight: 0.0 }, self.model.vocab_size);
        let mut rows = vec![Row::default(); targets.len()];
        tape.logits(&x, self.head, |first, logits| {
            let chunk = first..first + logits.len() / vocabulary;
            loss.forward(logits, vocabulary, &targets[chunk.clone()], &mut rows[chunk]);
        });
        Ok(rows.into_iter().map(|row| row.loss).collect())
    }

    /// What each token of the micro-batch costs; the gradient of the scaled sum with respect to the
    /// weights is written to `gradient`, laid out as they are.
    ///
    /// # Errors
    /// As [`Self::losses`].
    pub fn gradient(
        &self,
        weights: &Weights,
        workspace: &Workspace,
        micro_batch: &MicroBatch<'_>,
        gradient: &mut [f32],
    ) -> Result<Vec<Row>, ModelError> {
        self.accepts_targets(micro_batch.inputs, micro_batch.targets)?;
        let mut tape = Tape::recording(weights, workspace, micro_batch.dropout);
        let x = self.hidden(&mut tape, micro_batch.inputs, micro_batch.positions)?;
        Ok(tape.backward(x, self.head, micro_batch.targets, micro_batch.loss, micro_batch.scale, gradient))
    }
}

/// A model with its weights, to be asked.
#[derive(Debug)]
pub struct Inference {
    network: Network,
    weights: Weights,
    workspace: Workspace,
}

impl Inference {
    /// The model with that description, which must have passed its check, and its weights.
    ///
    /// # Errors
    /// If the weights are not laid out as the model's.
    pub fn new(model: &Model, weights: Weights) -> Result<Self, ModelError> {
        let network = Network::new(model)?;
        match network.layout == *weights.layout() {
            true => Ok(Self { network, weights, workspace: Workspace::default() }),
            false => Err(ModelError::Input("the weights belong to another model".to_owned())),
        }
    }

    /// What it was built from.
    pub const fn description(&self) -> &Model {
        &self.network.model
    }

    /// The logits, (tokens, vocabulary), of sequences of `positions` tokens that lie one after
    /// another in `inputs`.
    ///
    /// # Errors
    /// If the tokens are not whole sequences, a sequence is too long for the model, or an id is
    /// outside the vocabulary.
    pub fn logits(&self, inputs: &[u32], positions: usize) -> Result<Vec<f32>, ModelError> {
        self.network.logits(&self.weights, &self.workspace, inputs, positions)
    }

    /// The negative log-likelihood, in nats, of each token's target; 0 where there is none.
    ///
    /// # Errors
    /// As [`Self::logits`], and if there are not as many targets as tokens.
    pub fn losses(&self, inputs: &[u32], targets: &[Option<u32>], positions: usize) -> Result<Vec<f32>, ModelError> {
        self.network.losses(&self.weights, &self.workspace, inputs, targets, positions)
    }
}

/// How the model's heads lie in a row of queries, keys and values.
pub(crate) fn heads(model: &Model, positions: usize, order: Order) -> Heads {
    Heads {
        positions,
        heads: model.num_attention_heads,
        key_heads: model.num_key_value_heads,
        size: model.head_size(),
        order,
    }
}

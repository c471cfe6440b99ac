//! A model with its weights, for inference.

use std::collections::BTreeMap;

use retrace_files::safetensors::Tensor;
use retrace_spec::Model;

use crate::architecture::Layers;
use crate::stored::StoredWeights;
use crate::tape::{Packs, Tape, Workspace};
use crate::weights::Source;
use crate::{Engine, ModelError, Network, Weights};

/// A model with its weights, for inference.
#[derive(Debug)]
pub struct Inference {
    model: Model,
    computed: Computed,
}

/// Memory that is kept for the next pass.
#[derive(Debug, Default)]
struct Memory {
    workspace: Workspace,
    packs: Packs,
}

/// By what, and with which weights.
#[derive(Debug)]
enum Computed {
    /// By an engine that only computes complete sequences.
    Whole(Box<dyn Network>, Weights),
    /// By the fused engine, which also continues sequences.
    Fused(Box<Layers>, Memory, Box<dyn Source>),
}

impl Inference {
    /// The model of this description, which must have passed its check, with its weights, computed by `engine`.
    ///
    /// # Errors
    /// If the weights do not have the model's layout, or its architecture is not supported here.
    pub fn new(model: &Model, weights: Weights, engine: Engine) -> Result<Self, ModelError> {
        let network = engine.network(model)?;
        if network.layout() != weights.layout() {
            return Err(ModelError::Input("the weights belong to another model".to_owned()));
        }
        let computed = match engine {
            Engine::Fused => Computed::Fused(Box::new(Layers::new(model)?), Memory::default(), Box::new(weights)),
            Engine::Candle => Computed::Whole(network, weights),
        };
        Ok(Self { model: model.clone(), computed })
    }

    /// The model of this description, which must have passed its check, with weights that stay in the type of their
    /// file: those of bfloat16 need half the memory. It is computed by the fused engine, with the same bits.
    ///
    /// # Errors
    /// As [`Self::new`], and if a tensor is missing, unknown, or of another shape or type.
    pub fn stored(model: &Model, tensors: BTreeMap<String, Tensor>) -> Result<Self, ModelError> {
        let layers = Box::new(Layers::new(model)?);
        let weights = StoredWeights::from_tensors(model, tensors)?;
        let computed = Computed::Fused(layers, Memory::default(), Box::new(weights));
        Ok(Self { model: model.clone(), computed })
    }

    /// The description from which it was built.
    pub const fn description(&self) -> &Model {
        &self.model
    }

    /// The logits, (tokens, vocabulary), of sequences of `positions` tokens that are concatenated in `inputs`.
    ///
    /// # Errors
    /// If the tokens are not complete sequences, a sequence is too long for the model, or an id is outside the
    /// vocabulary.
    pub fn logits(&self, inputs: &[u32], positions: usize) -> Result<Vec<f32>, ModelError> {
        match &self.computed {
            Computed::Whole(network, weights) => network.logits(weights, inputs, positions),
            Computed::Fused(layers, memory, weights) => {
                layers.logits(Tape::forgetful(&**weights, &memory.workspace), inputs, positions)
            }
        }
    }

    /// The negative log-likelihood, in nats, of each token's target; 0 if there is none.
    ///
    /// # Errors
    /// As [`Self::logits`], and if there are not as many targets as tokens.
    pub fn losses(&self, inputs: &[u32], targets: &[Option<u32>], positions: usize) -> Result<Vec<f32>, ModelError> {
        match &self.computed {
            Computed::Whole(network, weights) => network.losses(weights, inputs, targets, positions),
            Computed::Fused(layers, memory, weights) => {
                layers.losses(Tape::forgetful(&**weights, &memory.workspace), inputs, targets, positions)
            }
        }
    }

    /// The layers and a tape without gradients with which its engine continues sequences; none, if it only computes whole
    /// ones. With `packed`, weights are kept a second time, packed.
    pub(crate) fn continuing(&self, packed: bool) -> Option<(&Layers, Tape<'_>)> {
        match &self.computed {
            Computed::Whole(..) => None,
            Computed::Fused(layers, memory, weights) => {
                let tape = Tape::forgetful(&**weights, &memory.workspace);
                Some((layers, if packed { tape.packed(&memory.packs) } else { tape }))
            }
        }
    }
}

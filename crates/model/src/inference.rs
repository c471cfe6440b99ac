//! A model with its weights, for inference.

use retrace_spec::Model;

use crate::{Engine, ModelError, Network, Weights};

/// A model with its weights, for inference.
#[derive(Debug)]
pub struct Inference {
    model: Model,
    network: Box<dyn Network>,
    weights: Weights,
}

impl Inference {
    /// The model of this description, which must have passed its check, with its weights, computed by `engine`.
    ///
    /// # Errors
    /// If the weights do not have the model's layout, or its architecture is not supported here.
    pub fn new(model: &Model, weights: Weights, engine: Engine) -> Result<Self, ModelError> {
        let network = engine.network(model)?;
        match network.layout() == weights.layout() {
            true => Ok(Self { model: model.clone(), network, weights }),
            false => Err(ModelError::Input("the weights belong to another model".to_owned())),
        }
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
        self.network.logits(&self.weights, inputs, positions)
    }

    /// The negative log-likelihood, in nats, of each token's target; 0 if there is none.
    ///
    /// # Errors
    /// As [`Self::logits`], and if there are not as many targets as tokens.
    pub fn losses(&self, inputs: &[u32], targets: &[Option<u32>], positions: usize) -> Result<Vec<f32>, ModelError> {
        self.network.losses(&self.weights, inputs, targets, positions)
    }
}

//! A model without its weights, as an engine computes it: its logits, its losses, their gradient, and the update.

use std::fmt::Debug;
use std::sync::Arc;

use retrace_numerics::adamw::{Hyperparameters, Update};
use retrace_numerics::cross_entropy::{Loss, Row};

use crate::{Dropout, Layout, ModelError, Weights};

/// A model without its weights, as one engine computes it. The choice of the engine does not change any bit.
pub trait Network: Debug {
    /// Its weights' names, shapes and positions.
    fn layout(&self) -> &Layout;

    /// The logits, (tokens, vocabulary), of sequences of `positions` tokens that are concatenated in `inputs`.
    ///
    /// # Errors
    /// If the tokens are not complete sequences, a sequence is too long for the model, or an id is outside the
    /// vocabulary.
    fn logits(&self, weights: &Weights, inputs: &[u32], positions: usize) -> Result<Vec<f32>, ModelError>;

    /// The negative log-likelihood, in nats, of each token's target; 0 if there is none.
    ///
    /// # Errors
    /// As [`Self::logits`], and if there are not as many targets as tokens.
    fn losses(
        &self,
        weights: &Weights,
        inputs: &[u32],
        targets: &[Option<u32>],
        positions: usize,
    ) -> Result<Vec<f32>, ModelError>;

    /// The loss of each token of the micro-batch; the gradient of the scaled sum with respect to the weights is
    /// written to `gradient`, in the layout of the weights.
    ///
    /// # Errors
    /// As [`Self::losses`].
    fn gradient(
        &self,
        weights: &Weights,
        micro_batch: &MicroBatch<'_>,
        gradient: &mut [f32],
    ) -> Result<Vec<Row>, ModelError>;

    /// Updates the weights with `gradient` by AdamW, as update number `updates`, counted from 1. Weight decay applies
    /// only to matrices.
    ///
    /// # Errors
    /// If the engine cannot compute it.
    fn update(
        &self,
        weights: &mut Weights,
        moments: Moments<'_>,
        gradient: &[f32],
        numbers: Hyperparameters,
        updates: u64,
    ) -> Result<(), ModelError> {
        let Moments { first, second } = moments;
        for (_, shape, range) in self.layout().iter() {
            let (first, second) = (&mut first[range.clone()], &mut second[range.clone()]);
            let weights = &mut weights.values_mut()[range.clone()];
            Update::new(for_rank(numbers, shape.len()), updates).apply(weights, first, second, &gradient[range]);
        }
        Ok(())
    }
}

/// The parameters of an update of a tensor with this many dimensions.
pub(crate) fn for_rank(numbers: Hyperparameters, rank: usize) -> Hyperparameters {
    Hyperparameters { weight_decay: if rank > 1 { numbers.weight_decay } else { 0.0 }, ..numbers }
}

/// The tokens whose gradient is computed together: sequences of `positions` tokens, one after another.
#[derive(Debug, Clone)]
pub struct MicroBatch<'a> {
    /// The tokens.
    pub inputs: &'a [u32],
    /// The target of each, if it counts.
    pub targets: &'a [Option<u32>],
    /// Tokens per sequence.
    pub positions: usize,
    /// The loss function.
    pub loss: Loss,
    /// The factor of the losses' sum, whose gradient is computed.
    pub scale: f32,
    /// The run's dropout, if it has one.
    pub dropout: Option<Dropout>,
}

/// The optimizer's moments, in the layout of the weights.
#[derive(Debug)]
pub struct Moments<'a> {
    /// The moving average of the gradient.
    pub first: &'a mut [f32],
    /// The moving average of its square.
    pub second: &'a mut [f32],
}

/// The limits of a model's inputs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) vocabulary: usize,
    pub(crate) longest: usize,
    /// Whether longer sequences are refused.
    pub(crate) bounded: bool,
}

impl Bounds {
    /// The tokens, if they are concatenated sequences of `positions` tokens.
    pub(crate) fn accept(&self, inputs: &[u32], positions: usize) -> Result<Arc<[u32]>, ModelError> {
        let Self { vocabulary, longest, bounded } = *self;
        if positions == 0 || (bounded && positions > longest) || !inputs.len().is_multiple_of(positions) {
            let what = format!(
                "{} tokens cannot be split into sequences of {positions}, or a sequence is longer than {longest}",
                inputs.len()
            );
            return Err(ModelError::Input(what));
        }
        match inputs.iter().find(|id| **id as usize >= vocabulary) {
            Some(id) => Err(ModelError::Input(format!("token {id} is outside the vocabulary of {vocabulary}"))),
            None => Ok(Arc::from(inputs)),
        }
    }

    /// Whether these can be the targets of those tokens.
    pub(crate) fn accept_targets(&self, inputs: &[u32], targets: &[Option<u32>]) -> Result<(), ModelError> {
        if inputs.len() != targets.len() {
            return Err(ModelError::Input(format!("{} targets for {} tokens", targets.len(), inputs.len())));
        }
        let vocabulary = self.vocabulary;
        match targets.iter().flatten().find(|id| **id as usize >= vocabulary) {
            Some(id) => Err(ModelError::Input(format!("target {id} is outside the vocabulary of {vocabulary}"))),
            None => Ok(()),
        }
    }
}

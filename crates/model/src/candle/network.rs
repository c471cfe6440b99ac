//! The candle engine: models of the supported architectures, and those of users.

use std::fmt;

use candle_core::{Device, Module, Tensor};
use candle_nn::VarBuilder;
use retrace_numerics::adamw::Hyperparameters;
use retrace_numerics::cross_entropy::{Loss, Row};
use retrace_spec::Model;

use super::graph::Graph;
use super::operations::cross_entropy;
use super::variables::Variables;
use crate::architecture::Layers;
use crate::network::{Bounds, Moments};
use crate::{Layout, MicroBatch, ModelError, Network, Weights};

/// Models with more layers are refused if a gradient is requested: candle traverses its graph by recursion, and would
/// overflow the stack.
const MOST_LAYERS: usize = 400;

/// A model of a supported architecture, computed by candle.
pub(crate) struct Candle {
    layers: Layers,
    variables: Variables,
    depth: usize,
}

impl Candle {
    /// # Errors
    /// If its architecture is not supported here.
    pub(crate) fn new(model: &Model) -> Result<Self, ModelError> {
        let layers = Layers::new(model)?;
        let variables = Variables::of(layers.layout())?;
        Ok(Self { layers, variables, depth: model.num_hidden_layers })
    }
}

impl fmt::Debug for Candle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candle").field("layers", &self.layers).finish_non_exhaustive()
    }
}

impl Network for Candle {
    fn layout(&self) -> &Layout {
        self.layers.layout()
    }

    fn logits(&self, weights: &Weights, inputs: &[u32], positions: usize) -> Result<Vec<f32>, ModelError> {
        self.variables.set(weights.values())?;
        self.layers.logits(Graph::forgetful(&self.variables), inputs, positions)
    }

    fn losses(
        &self,
        weights: &Weights,
        inputs: &[u32],
        targets: &[Option<u32>],
        positions: usize,
    ) -> Result<Vec<f32>, ModelError> {
        self.variables.set(weights.values())?;
        self.layers.losses(Graph::forgetful(&self.variables), inputs, targets, positions)
    }

    fn gradient(
        &self,
        weights: &Weights,
        micro_batch: &MicroBatch<'_>,
        gradient: &mut [f32],
    ) -> Result<Vec<Row>, ModelError> {
        if self.depth > MOST_LAYERS {
            let what = format!("candle's autograd takes at most {MOST_LAYERS} layers here, not {}", self.depth);
            return Err(ModelError::Input(what));
        }
        self.variables.set(weights.values())?;
        let graph = Graph::recording(&self.variables, micro_batch.dropout, self.layers.tied());
        self.layers.gradient(graph, micro_batch, gradient)
    }

    fn update(
        &self,
        weights: &mut Weights,
        moments: Moments<'_>,
        gradient: &[f32],
        numbers: Hyperparameters,
        updates: u64,
    ) -> Result<(), ModelError> {
        for (name, _, range) in self.layout().iter() {
            let mut both = gradient[range.clone()].iter().zip(&moments.first[range]);
            if both.any(|(gradient, first)| *gradient == 0.0 && first.to_bits() == (-0f32).to_bits()) {
                return Err(ModelError::ZeroSign { name: name.to_owned() });
            }
        }
        Ok(self.variables.update(weights.values_mut(), moments, gradient, numbers, updates)?)
    }
}

/// A user's own model: a module of candle that computes logits, (tokens, vocabulary), from token ids, U32 of
/// (sequences, positions), with the [operations here](super) and others whose bits are the same everywhere.
///
/// Its run file has `architecture: own`; the computation is in this module, so a replay needs the module too.
pub struct Own<M> {
    module: M,
    variables: Variables,
    bounds: Bounds,
}

impl<M: Module> Own<M> {
    /// The module that `build` makes from the variables that it requests, for a model of this description.
    ///
    /// # Errors
    /// If `build` fails.
    pub fn new(
        model: &Model,
        build: impl FnOnce(VarBuilder<'_>) -> candle_core::Result<M>,
    ) -> Result<Self, ModelError> {
        let (variables, module) = Variables::built(build)?;
        let bounds = Bounds { vocabulary: model.vocab_size, longest: model.max_position_embeddings, bounded: true };
        Ok(Self { module, variables, bounds })
    }

    /// The logits, and the variables from which they were computed.
    fn forward(&self, weights: &Weights, inputs: &[u32], positions: usize) -> Result<Tensor, ModelError> {
        self.bounds.accept(inputs, positions)?;
        self.variables.set(weights.values())?;
        let ids = Tensor::from_slice(inputs, (inputs.len() / positions, positions), &Device::Cpu)?;
        let logits = self.module.forward(&ids)?;
        match logits.dims() == [inputs.len(), self.bounds.vocabulary] {
            true => Ok(logits),
            false => {
                let needed = (inputs.len(), self.bounds.vocabulary);
                Err(ModelError::Input(format!("the module makes logits of shape {:?}, not {needed:?}", logits.dims())))
            }
        }
    }
}

impl<M> fmt::Debug for Own<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").field("layout", self.variables.layout()).finish_non_exhaustive()
    }
}

impl<M: Module> Network for Own<M> {
    fn layout(&self) -> &Layout {
        self.variables.layout()
    }

    fn logits(&self, weights: &Weights, inputs: &[u32], positions: usize) -> Result<Vec<f32>, ModelError> {
        Ok(self.forward(weights, inputs, positions)?.flatten_all()?.to_vec1()?)
    }

    fn losses(
        &self,
        weights: &Weights,
        inputs: &[u32],
        targets: &[Option<u32>],
        positions: usize,
    ) -> Result<Vec<f32>, ModelError> {
        self.bounds.accept_targets(inputs, targets)?;
        let logits = self.logits(weights, inputs, positions)?;
        let mut rows = vec![Row::default(); targets.len()];
        Loss { z_weight: 0.0 }.forward(&logits, self.bounds.vocabulary, targets, &mut rows);
        Ok(rows.into_iter().map(|row| row.loss).collect())
    }

    fn gradient(
        &self,
        weights: &Weights,
        micro_batch: &MicroBatch<'_>,
        gradient: &mut [f32],
    ) -> Result<Vec<Row>, ModelError> {
        let MicroBatch { inputs, targets, positions, loss, scale, dropout } = *micro_batch;
        if dropout.is_some() {
            return Err(ModelError::Input(
                "a module of candle is given no dropout; leave it out of the run".to_owned(),
            ));
        }
        self.bounds.accept_targets(inputs, targets)?;
        let logits = self.forward(weights, inputs, positions)?;
        let costs = cross_entropy(&logits, &targets.into(), loss, scale)?;
        self.variables.gradient(&costs.backward()?, gradient)?;
        let rows = costs.flatten_all()?.to_vec1::<f32>()?;
        Ok(rows.as_chunks().0.iter().map(|[loss, z_loss]| Row { loss: *loss, z_loss: *z_loss }).collect())
    }

    fn update(
        &self,
        weights: &mut Weights,
        moments: Moments<'_>,
        gradient: &[f32],
        numbers: Hyperparameters,
        updates: u64,
    ) -> Result<(), ModelError> {
        Ok(self.variables.update(weights.values_mut(), moments, gradient, numbers, updates)?)
    }
}

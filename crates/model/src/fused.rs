//! The fused engine: the kernels, with memory that is reused from step to step.

use retrace_numerics::cross_entropy::Row;
use retrace_spec::Model;

use crate::architecture::Layers;
use crate::tape::{Tape, Workspace};
use crate::{Layout, MicroBatch, ModelError, Network, Weights};

/// A model of a supported architecture, computed by the fused engine.
#[derive(Debug)]
pub(crate) struct Fused {
    layers: Layers,
    workspace: Workspace,
}

impl Fused {
    /// # Errors
    /// If its architecture is not supported here.
    pub(crate) fn new(model: &Model) -> Result<Self, ModelError> {
        Ok(Self { layers: Layers::new(model)?, workspace: Workspace::default() })
    }
}

impl Network for Fused {
    fn layout(&self) -> &Layout {
        self.layers.layout()
    }

    fn logits(&self, weights: &Weights, inputs: &[u32], positions: usize) -> Result<Vec<f32>, ModelError> {
        self.layers.logits(Tape::forgetful(weights, &self.workspace), inputs, positions)
    }

    fn losses(
        &self,
        weights: &Weights,
        inputs: &[u32],
        targets: &[Option<u32>],
        positions: usize,
    ) -> Result<Vec<f32>, ModelError> {
        self.layers.losses(Tape::forgetful(weights, &self.workspace), inputs, targets, positions)
    }

    fn gradient(
        &self,
        weights: &Weights,
        micro_batch: &MicroBatch<'_>,
        gradient: &mut [f32],
    ) -> Result<Vec<Row>, ModelError> {
        let tape = Tape::recording(weights, &self.workspace, micro_batch.dropout);
        self.layers.gradient(tape, micro_batch, gradient)
    }
}

//! The computation of a step from its batch: losses, and the gradient summed over the tree of the numerics contract.

use std::fmt;
use std::ops::Range;

use retrace_model::{Dropout, MicroBatch, Network, Weights};
use retrace_numerics::cross_entropy::Loss;
use retrace_numerics::sum::sum_f64;
use retrace_numerics::tree::TreeSum;
use retrace_spec::{Run, Step};

use crate::{Batch, TrainError};

/// The result of consecutive micro-batches.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// For each micro-batch, in order: the binary64 lane sum of its tokens' losses.
    pub losses: Vec<f64>,
    /// The tree's sum of their gradients, with the layout of the weights.
    pub gradient: Vec<f32>,
}

/// Computes blocks of a run's micro-batches, in this process.
#[derive(Debug)]
pub struct Learner<'a> {
    run: &'a Run,
    network: &'a dyn Network,
    gradients: TreeSum,
}

impl<'a> Learner<'a> {
    /// A learner for `run`, whose model is `network`.
    pub fn new(run: &'a Run, network: &'a dyn Network) -> Self {
        Self { run, network, gradients: TreeSum::default() }
    }

    /// The run.
    pub const fn run(&self) -> &'a Run {
        self.run
    }

    /// Its model.
    pub const fn network(&self) -> &'a dyn Network {
        self.network
    }

    /// The number of micro-batches per step.
    pub const fn micro_batches(&self) -> usize {
        self.run.batch_size.div_ceil(self.run.micro_batch_size)
    }

    /// The result of the micro-batches `range` of the batch of `step`; their sum is a node of the tree if there are
    /// 2^k of them and the first's index is a multiple of that, or if they are all.
    ///
    /// # Errors
    /// If the weights or the batch do not fit the run.
    pub fn block(
        &mut self,
        weights: &Weights,
        step: Step,
        batch: &Batch,
        range: Range<usize>,
    ) -> Result<Block, TrainError> {
        let positions = self.run.sequence_length;
        let micro = self.run.micro_batch_size * positions;
        let scale = batch.scale() as f32;
        let mut losses = Vec::with_capacity(range.len());
        let micro_batches = batch.inputs.chunks(micro).zip(batch.targets.chunks(micro)).enumerate();
        for (index, (inputs, targets)) in micro_batches.skip(range.start).take(range.len()) {
            let loss = Loss { z_weight: self.run.z_loss as f32 };
            let dropout = self.dropout(step, index);
            let micro_batch = MicroBatch { inputs, targets, positions, loss, scale, dropout };
            let mut leaf = self.gradients.leaf(self.network.layout().parameters());
            let costs = self.network.gradient(weights, &micro_batch, &mut leaf)?;
            let costs: Vec<f32> = costs.iter().map(|row| row.loss).collect();
            losses.push(sum_f64(&costs));
            self.gradients.push(leaf);
        }
        Ok(Block { losses, gradient: self.gradients.finish().unwrap_or_default() })
    }

    /// The negative log-likelihood of each target, in nats; 0 if there is none.
    pub(crate) fn losses(
        &self,
        weights: &Weights,
        inputs: &[u32],
        targets: &[Option<u32>],
    ) -> Result<Vec<f32>, TrainError> {
        Ok(self.network.losses(weights, inputs, targets, self.run.sequence_length)?)
    }

    /// Returns the memory of a block's gradient for reuse.
    pub fn recycle(&mut self, gradient: Vec<f32>) {
        self.gradients.recycle(gradient);
    }

    fn dropout(&self, step: Step, micro_batch: usize) -> Option<Dropout> {
        let rate = self.run.dropout;
        let (seed, step, micro_batch) = (self.run.seed.get(), step.get(), micro_batch as u64);
        (rate > 0.0).then_some(Dropout { rate, seed, step, micro_batch })
    }
}

/// Where the micro-batches of a step are computed. It does not change any bit.
pub trait Compute: fmt::Debug {
    /// The result of all micro-batches of the batch of `step`; `local` can compute any of them.
    ///
    /// # Errors
    /// As [`Learner::block`].
    fn compute(
        &mut self,
        local: &mut Learner<'_>,
        weights: &Weights,
        step: Step,
        batch: &Batch,
    ) -> Result<Block, TrainError>;

    /// Returns the memory of the gradient for reuse.
    fn recycle(&mut self, local: &mut Learner<'_>, gradient: Vec<f32>);
}

/// All in this process, one micro-batch after another.
#[derive(Debug, Clone, Copy)]
pub struct LocalCompute;

impl Compute for LocalCompute {
    fn compute(
        &mut self,
        local: &mut Learner<'_>,
        weights: &Weights,
        step: Step,
        batch: &Batch,
    ) -> Result<Block, TrainError> {
        local.block(weights, step, batch, 0..local.micro_batches())
    }

    fn recycle(&mut self, local: &mut Learner<'_>, gradient: Vec<f32>) {
        local.recycle(gradient);
    }
}

impl<C: Compute + ?Sized> Compute for &mut C {
    fn compute(
        &mut self,
        local: &mut Learner<'_>,
        weights: &Weights,
        step: Step,
        batch: &Batch,
    ) -> Result<Block, TrainError> {
        (**self).compute(local, weights, step, batch)
    }

    fn recycle(&mut self, local: &mut Learner<'_>, gradient: Vec<f32>) {
        (**self).recycle(local, gradient);
    }
}

//! The operations from which the architectures are built: a few functions of matrices of activations, whose rows are
//! tokens. Each engine implements them once, and every architecture is written once, with these operations.

use std::sync::Arc;

use retrace_numerics::attention::Attention;
use retrace_numerics::cross_entropy::{Loss, Row};
use retrace_numerics::gelu::Gelu;
use retrace_numerics::heads::Heads;
use retrace_numerics::norm::Part;
use retrace_numerics::random::Stream;
use retrace_numerics::{elementwise, rope};

use crate::ModelError;
use crate::weights::Parameter;

/// The maximum number of logits that are in memory together.
pub(crate) const MOST_LOGITS: usize = 1 << 21;

/// x · weightᵀ, or x · weightᵀ + bias.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Projection {
    pub(crate) weight: Parameter,
    pub(crate) bias: Option<Parameter>,
}

/// How rows are normalised, and with which parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NormKind {
    Rms { weight: Parameter, epsilon: f32 },
    Layer { parameters: Option<(Parameter, Parameter)>, epsilon: f32 },
}

/// The position of a run's dropout.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// The fraction of elements that is dropped.
    pub rate: f64,
    /// The run's seed.
    pub seed: u64,
    /// The update's number.
    pub step: u64,
    /// The number of the micro-batch within the update.
    pub micro_batch: u64,
}

impl Dropout {
    /// Applies dropout to `values`, or to their gradient, in place; the call's number within a model's pass gives the
    /// name of its stream, `dropout/CALL`, and a micro-batch has 2^40 indices.
    pub(crate) fn apply(&self, call: u64, values: &mut [f32]) {
        let stream = Stream::new(self.seed, &format!("dropout/{call}"));
        elementwise::dropout(values, self.rate, &stream, self.step, self.micro_batch << 40);
    }
}

/// The function of a micro-batch whose gradient is computed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Targets<'a> {
    /// The target of each token, if it counts.
    pub(crate) targets: &'a [Option<u32>],
    pub(crate) loss: Loss,
    /// The factor of the losses' sum.
    pub(crate) scale: f32,
}

/// One pass of an engine over a model.
///
/// The gradient of a value that is used more than once is the sum of its uses' gradients with `+`, the last use first.
/// Every other order is that of the kernel.
pub(crate) trait Operations: Sized {
    /// A matrix of activations.
    type Value;

    /// The table's rows at `ids`, each of which must have a row.
    fn embed(&mut self, table: Parameter, ids: &Arc<[u32]>) -> Result<Self::Value, ModelError>;

    /// Each row normalised.
    fn norm(&mut self, x: &Self::Value, kind: NormKind) -> Result<Self::Value, ModelError>;

    /// The vectors of parts of each row normalised, each on its own. Parts do not overlap; the rest is unchanged.
    fn norm_parts(&mut self, x: &Self::Value, parts: &[(Part, NormKind)]) -> Result<Self::Value, ModelError>;

    /// The projections of `x`, side by side. In the gradient of x, the chains of sums continue from one projection to
    /// the next.
    fn project(&mut self, x: &Self::Value, projections: &[Projection]) -> Result<Self::Value, ModelError>;

    /// Queries and keys rotated by their positions.
    fn rope(&mut self, qkv: Self::Value, tables: &Arc<rope::Tables>, heads: Heads) -> Result<Self::Value, ModelError>;

    /// Each element clipped to between −`limit` and `limit`.
    fn clip(&mut self, x: &Self::Value, limit: f32) -> Result<Self::Value, ModelError>;

    /// Attention over packed rows.
    fn attend(&mut self, qkv: &Self::Value, attention: Attention) -> Result<Self::Value, ModelError>;

    /// silu(gate) · up, where a row contains the gates and then the ups.
    fn gate(&mut self, x: &Self::Value) -> Result<Self::Value, ModelError>;

    /// GELU of each element.
    fn gelu(&mut self, x: &Self::Value, form: Gelu) -> Result<Self::Value, ModelError>;

    /// `to` + `from`.
    fn add(&mut self, to: Self::Value, from: &Self::Value) -> Result<Self::Value, ModelError>;

    /// Dropout, if the run has it.
    fn dropout(&mut self, x: Self::Value) -> Result<Self::Value, ModelError>;

    /// The logits of each row, x · headᵀ, some rows at a time: `each` is called with the index of the first row and
    /// those rows' logits. This has no gradient.
    fn logits(
        &self,
        x: &Self::Value,
        head: Parameter,
        each: &mut dyn FnMut(usize, &mut [f32]),
    ) -> Result<(), ModelError>;

    /// The loss of each row, and the gradient of the scaled sum with respect to every weight, in `gradient`, in the
    /// layout of the weights. The head's gradient is the chain of sums over all rows of the logits' gradient and x.
    fn loss(
        self,
        x: Self::Value,
        head: Parameter,
        targets: Targets<'_>,
        gradient: &mut [f32],
    ) -> Result<Vec<Row>, ModelError>;
}

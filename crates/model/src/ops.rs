//! The kernels as candle operations with gradients.
//!
//! Activations are matrices, a row a token. Where a value is used twice, its gradient is +0 plus
//! the one plus the other; candle adds them.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Storage, Tensor, bail};
use retrace_numerics::matmul::{Matrix, matmul};
use retrace_numerics::{attention, cross_entropy, embedding, rms_norm, rope, swiglu};

/// The numbers behind a storage, which must be contiguous f32.
fn floats<'a>(storage: &'a CpuStorage, layout: &Layout, op: &'static str) -> Result<&'a [f32]> {
    let CpuStorage::F32(values) = storage else { bail!("{op}: f32 is needed") };
    match layout.contiguous_offsets() {
        Some((from, to)) => {
            values.get(from..to).ok_or_else(|| candle_core::Error::Msg(format!("{op}: storage is short")))
        }
        None => bail!("{op}: a contiguous tensor is needed"),
    }
}

/// Calls `f` with the numbers of `tensor`.
fn with_floats<T>(tensor: &Tensor, op: &'static str, f: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(f(floats(storage, layout, op)?)),
        _ => bail!("{op}: the kernels run on the CPU"),
    }
}

fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &candle_core::Device::Cpu)
}

fn output(values: Vec<f32>, shape: impl Into<Shape>) -> Result<(CpuStorage, Shape)> {
    Ok((CpuStorage::F32(values), shape.into()))
}

/// x · weightᵀ: `x` is (tokens, inputs), `weight` (outputs, inputs). With respect to x the gradient
/// is dy · weight, with respect to weight dyᵀ · x.
pub(crate) fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&weight.contiguous()?, Linear)
}

struct Linear;

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((tokens, inputs), (outputs, w_inputs)) = (x_layout.shape().dims2()?, w_layout.shape().dims2()?);
        if inputs != w_inputs {
            bail!("linear: {inputs} inputs for a weight of {w_inputs}");
        }
        let (x, w) = (floats(x, x_layout, "linear")?, floats(w, w_layout, "linear")?);
        let mut y = vec![0.0; tokens * outputs];
        matmul(Matrix::new(x, tokens, inputs), Matrix::new(w, outputs, inputs).transposed(), &mut y);
        output(y, (tokens, outputs))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((tokens, inputs), outputs) = (x.dims2()?, w.dim(0)?);
        let (mut dx, mut dw) = (vec![0.0; tokens * inputs], vec![0.0; outputs * inputs]);
        with_floats(dy, "linear", |dy| {
            let dy = Matrix::new(dy, tokens, outputs);
            with_floats(w, "linear", |w| matmul(dy, Matrix::new(w, outputs, inputs), &mut dx))?;
            with_floats(x, "linear", |x| matmul(dy.transposed(), Matrix::new(x, tokens, inputs), &mut dw))
        })??;
        Ok((Some(tensor(dx, (tokens, inputs))?), Some(tensor(dw, (outputs, inputs))?)))
    }
}

/// [`rms_norm`] of each row.
pub(crate) fn normalise(x: &Tensor, weight: &Tensor, epsilon: f32) -> Result<Tensor> {
    x.contiguous()?.apply_op2(weight, RmsNorm { epsilon })
}

struct RmsNorm {
    epsilon: f32,
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        w: &CpuStorage,
        w_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, w) = (floats(x, x_layout, "rms_norm")?, floats(w, w_layout, "rms_norm")?);
        let mut y = vec![0.0; x.len()];
        rms_norm::forward(x, w, self.epsilon, &mut y);
        output(y, x_layout.shape().clone())
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dw) = with_floats(x, "rms_norm", |x| {
            with_floats(w, "rms_norm", |w| with_floats(dy, "rms_norm", |dy| rms_norm::backward(x, w, self.epsilon, dy)))
        })???;
        Ok((Some(tensor(dx, x.shape().clone())?), Some(tensor(dw, w.shape().clone())?)))
    }
}

/// Turns the queries and keys of packed rows by their position.
pub(crate) fn turn(qkv: &Tensor, tables: &Arc<rope::Tables>, shape: attention::Shape) -> Result<Tensor> {
    qkv.contiguous()?.apply_op1(Rope { tables: Arc::clone(tables), shape })
}

struct Rope {
    tables: Arc<rope::Tables>,
    shape: attention::Shape,
}

impl CustomOp1 for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let qkv = floats(qkv, layout, "rope")?;
        let mut y = vec![0.0; qkv.len()];
        let attention::Shape { heads, key_heads, positions, .. } = self.shape;
        self.tables.turn(qkv, heads + key_heads, self.shape.row(), positions, &mut y);
        output(y, layout.shape().clone())
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let attention::Shape { heads, key_heads, positions, .. } = self.shape;
        let dx = with_floats(dy, "rope", |dy| {
            let mut dx = vec![0.0; dy.len()];
            self.tables.turn_back(dy, heads + key_heads, self.shape.row(), positions, &mut dx);
            dx
        })?;
        Ok(Some(tensor(dx, qkv.shape().clone())?))
    }
}

/// Causal attention over packed rows.
pub(crate) fn attend(qkv: &Tensor, shape: attention::Shape) -> Result<Tensor> {
    qkv.contiguous()?.apply_op1(Attention { shape })
}

struct Attention {
    shape: attention::Shape,
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let tokens = layout.shape().dims2()?.0;
        let y = attention::forward(floats(qkv, layout, "attention")?, self.shape);
        output(y, (tokens, self.shape.output_row()))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dx = with_floats(qkv, "attention", |qkv| {
            with_floats(dy, "attention", |dy| attention::backward(qkv, self.shape, dy))
        })??;
        Ok(Some(tensor(dx, qkv.shape().clone())?))
    }
}

/// silu(gate) · up, where a row of `x` is the gates and then the ups.
pub(crate) fn gate(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(SwiGlu)
}

struct SwiGlu;

impl CustomOp1 for SwiGlu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (tokens, width) = layout.shape().dims2()?;
        let mut y = vec![0.0; tokens * width / 2];
        swiglu::forward(floats(x, layout, "swiglu")?, width / 2, &mut y);
        output(y, (tokens, width / 2))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let width = x.dim(1)? / 2;
        let dx = with_floats(x, "swiglu", |x| with_floats(dy, "swiglu", |dy| swiglu::backward(x, width, dy)))??;
        Ok(Some(tensor(dx, x.shape().clone())?))
    }
}

/// The rows of `table`, (vocabulary, width), at `ids`, which must all have one.
pub(crate) fn embed(table: &Tensor, ids: &Arc<[u32]>) -> Result<Tensor> {
    table.apply_op1(Embedding { ids: Arc::clone(ids) })
}

struct Embedding {
    ids: Arc<[u32]>,
}

impl CustomOp1 for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = layout.shape().dims2()?.1;
        let mut y = vec![0.0; self.ids.len() * width];
        embedding::forward(floats(table, layout, "embedding")?, width, &self.ids, &mut y);
        output(y, (self.ids.len(), width))
    }

    fn bwd(&self, table: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (rows, width) = table.dims2()?;
        let dtable = with_floats(dy, "embedding", |dy| embedding::backward(rows, width, &self.ids, dy))?;
        Ok(Some(tensor(dtable, (rows, width))?))
    }
}

/// The negative log-likelihood, in nats, of each row's target: `logits` is (tokens, vocabulary) and
/// the result (tokens).
///
/// # Errors
/// If there are not as many targets as rows, or one is outside the vocabulary.
pub fn cross_entropy(logits: &Tensor, targets: &Arc<[u32]>) -> Result<Tensor> {
    let (tokens, vocabulary) = logits.dims2()?;
    if targets.len() != tokens {
        bail!("cross_entropy: {} targets for {tokens} rows", targets.len());
    }
    if let Some(target) = targets.iter().find(|target| **target as usize >= vocabulary) {
        bail!("cross_entropy: target {target} is outside the vocabulary of {vocabulary}");
    }
    logits.contiguous()?.apply_op1(CrossEntropy { targets: Arc::clone(targets) })
}

struct CrossEntropy {
    targets: Arc<[u32]>,
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (tokens, vocabulary) = layout.shape().dims2()?;
        let mut losses = vec![0.0; tokens];
        cross_entropy::forward(floats(logits, layout, "cross_entropy")?, vocabulary, &self.targets, &mut losses);
        output(losses, tokens)
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let vocabulary = logits.dim(1)?;
        let dlogits = with_floats(logits, "cross_entropy", |logits| {
            with_floats(dy, "cross_entropy", |dy| cross_entropy::backward(logits, vocabulary, &self.targets, dy))
        })??;
        Ok(Some(tensor(dlogits, logits.shape().clone())?))
    }
}

//! The kernels as candle custom operations with gradients, for models that are written on candle.
//!
//! Activations are matrices, a row a token. Where a value is used twice, its gradient is +0 plus
//! the one plus the other; candle adds them, on one thread and into new memory each time, which is
//! why training here goes over a tape of its own.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Storage, Tensor, bail};
use retrace_numerics::attention::Attention;
use retrace_numerics::cross_entropy::{Loss, Row};
use retrace_numerics::gelu::Gelu;
use retrace_numerics::heads::Heads;
use retrace_numerics::matmul::{Matrix, Target, matmul};
use retrace_numerics::norm::{Gradients, Norm, Part};
use retrace_numerics::{embedding, rope, swiglu};

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
///
/// # Errors
/// If the tensors are not contiguous f32 on the CPU, or their shapes don't fit.
pub fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
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
        matmul(
            Matrix::new(x, tokens, inputs),
            Matrix::new(w, outputs, inputs).transposed(),
            Target::new(&mut y, tokens, outputs),
        );
        output(y, (tokens, outputs))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((tokens, inputs), outputs) = (x.dims2()?, w.dim(0)?);
        let (mut dx, mut dw) = (vec![0.0; tokens * inputs], vec![0.0; outputs * inputs]);
        with_floats(dy, "linear", |dy| {
            let dy = Matrix::new(dy, tokens, outputs);
            with_floats(w, "linear", |w| {
                matmul(dy, Matrix::new(w, outputs, inputs), Target::new(&mut dx, tokens, inputs))
            })?;
            with_floats(x, "linear", |x| {
                matmul(dy.transposed(), Matrix::new(x, tokens, inputs), Target::new(&mut dw, outputs, inputs))
            })
        })??;
        Ok((Some(tensor(dx, (tokens, inputs))?), Some(tensor(dw, (outputs, inputs))?)))
    }
}

/// Each row normalised by its root mean square.
///
/// # Errors
/// If the tensors are not contiguous f32 on the CPU.
pub fn rms_norm(x: &Tensor, weight: &Tensor, epsilon: f32) -> Result<Tensor> {
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
        let (x, weight) = (floats(x, x_layout, "rms_norm")?, floats(w, w_layout, "rms_norm")?);
        let mut y = vec![0.0; x.len()];
        Norm::Rms { weight, epsilon: self.epsilon }.forward(x, Part::whole(weight.len()), &mut y);
        output(y, x_layout.shape().clone())
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (mut dx, mut dw) = (vec![0.0; x.elem_count()], vec![0.0; w.elem_count()]);
        with_floats(x, "rms_norm", |x| {
            with_floats(w, "rms_norm", |weight| {
                with_floats(dy, "rms_norm", |dy| {
                    let parameters = Gradients { weight: &mut dw, bias: &mut [] };
                    let norm = Norm::Rms { weight, epsilon: self.epsilon };
                    norm.backward(x, Part::whole(weight.len()), dy, false, &mut dx, parameters);
                })
            })
        })???;
        Ok((Some(tensor(dx, x.shape().clone())?), Some(tensor(dw, w.shape().clone())?)))
    }
}

/// Turns the queries and keys of packed rows by their position.
///
/// # Errors
/// If the tensor is not contiguous f32 on the CPU.
pub fn turn(qkv: &Tensor, tables: &Arc<rope::Tables>, heads: Heads) -> Result<Tensor> {
    qkv.contiguous()?.apply_op1(Rope { tables: Arc::clone(tables), heads })
}

struct Rope {
    tables: Arc<rope::Tables>,
    heads: Heads,
}

impl CustomOp1 for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut y = floats(qkv, layout, "rope")?.to_vec();
        self.tables.turn(&mut y, &self.heads);
        output(y, layout.shape().clone())
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let mut dx = with_floats(dy, "rope", <[f32]>::to_vec)?;
        self.tables.turn_back(&mut dx, &self.heads);
        Ok(Some(tensor(dx, qkv.shape().clone())?))
    }
}

/// Causal attention over packed rows.
///
/// # Errors
/// If the tensor is not contiguous f32 on the CPU.
pub fn attend(qkv: &Tensor, attention: Attention) -> Result<Tensor> {
    qkv.contiguous()?.apply_op1(Attend { attention })
}

struct Attend {
    attention: Attention,
}

impl Attend {
    fn forward(&self, qkv: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let rows = qkv.len() / self.attention.heads.row();
        let mut y = vec![0.0; rows * self.attention.heads.output_row()];
        let mut statistics = vec![0.0; self.attention.statistics(rows)];
        self.attention.forward(qkv, &mut y, &mut statistics);
        (y, statistics)
    }
}

impl CustomOp1 for Attend {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let tokens = layout.shape().dims2()?.0;
        output(self.forward(floats(qkv, layout, "attention")?).0, (tokens, self.attention.heads.output_row()))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let mut dx = vec![0.0; qkv.elem_count()];
        with_floats(qkv, "attention", |qkv| {
            with_floats(dy, "attention", |dy| {
                let (y, statistics) = self.forward(qkv);
                self.attention.backward(qkv, &y, &statistics, dy, &mut dx);
            })
        })??;
        Ok(Some(tensor(dx, qkv.shape().clone())?))
    }
}

/// GELU of each element.
///
/// # Errors
/// If the tensor is not contiguous f32 on the CPU.
pub fn gelu(x: &Tensor, form: Gelu) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Gelus(form))
}

struct Gelus(Gelu);

impl CustomOp1 for Gelus {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = floats(x, layout, "gelu")?;
        let mut y = vec![0.0; x.len()];
        self.0.forward(x, &mut y);
        output(y, layout.shape().clone())
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let mut dx = vec![0.0; x.elem_count()];
        with_floats(x, "gelu", |x| with_floats(dy, "gelu", |dy| self.0.backward(x, dy, &mut dx)))??;
        Ok(Some(tensor(dx, x.shape().clone())?))
    }
}

/// silu(gate) · up, where a row of `x` is the gates and then the ups.
///
/// # Errors
/// If the tensors are not contiguous f32 on the CPU, or their shapes don't fit.
pub fn gate(x: &Tensor) -> Result<Tensor> {
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
        let mut dx = vec![0.0; x.elem_count()];
        with_floats(x, "swiglu", |x| with_floats(dy, "swiglu", |dy| swiglu::backward(x, width, dy, &mut dx)))??;
        Ok(Some(tensor(dx, x.shape().clone())?))
    }
}

/// The rows of `table`, (vocabulary, width), at `ids`, which must all have one.
///
/// # Errors
/// If the tensors are not contiguous f32 on the CPU, or their shapes don't fit.
pub fn embed(table: &Tensor, ids: &Arc<[u32]>) -> Result<Tensor> {
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
        let mut dtable = vec![0.0; rows * width];
        with_floats(dy, "embedding", |dy| embedding::backward(width, &self.ids, dy, &mut dtable))?;
        Ok(Some(tensor(dtable, (rows, width))?))
    }
}

/// The sum of the negative log-likelihoods, in nats, of each row's target, times `scale`: `logits` is
/// (tokens, vocabulary), the result a scalar, whose gradient must be 1.
///
/// # Errors
/// If there are not as many targets as rows, or one is outside the vocabulary.
pub fn cross_entropy(logits: &Tensor, targets: &Arc<[Option<u32>]>, loss: Loss, scale: f32) -> Result<Tensor> {
    let (tokens, vocabulary) = logits.dims2()?;
    if targets.len() != tokens {
        bail!("cross_entropy: {} targets for {tokens} rows", targets.len());
    }
    if let Some(target) = targets.iter().flatten().find(|target| **target as usize >= vocabulary) {
        bail!("cross_entropy: target {target} is outside the vocabulary of {vocabulary}");
    }
    logits.contiguous()?.apply_op1(CrossEntropy { targets: Arc::clone(targets), loss, scale })
}

struct CrossEntropy {
    targets: Arc<[Option<u32>]>,
    loss: Loss,
    scale: f32,
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (tokens, vocabulary) = layout.shape().dims2()?;
        let mut rows = vec![Row::default(); tokens];
        self.loss.forward(floats(logits, layout, "cross_entropy")?, vocabulary, &self.targets, &mut rows);
        let sum: f64 = rows.iter().map(|row| f64::from(row.loss) + f64::from(row.z_loss)).sum();
        output(vec![(sum * f64::from(self.scale)) as f32], ())
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        let (tokens, vocabulary) = logits.dims2()?;
        let mut dlogits = with_floats(logits, "cross_entropy", <[f32]>::to_vec)?;
        let mut rows = vec![Row::default(); tokens];
        self.loss.backward(&mut dlogits, vocabulary, &self.targets, self.scale, &mut rows);
        Ok(Some(tensor(dlogits, logits.shape().clone())?))
    }
}

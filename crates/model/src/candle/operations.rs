//! The kernels as candle custom operations with gradients, for models written with candle.
//!
//! Activations are matrices with one row per token. If a value is used more than once, candle adds its gradients with
//! `+`, starting from +0, so a zero loses its sign.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail};
use retrace_numerics::attention::Attention;
use retrace_numerics::cross_entropy::{Loss, Row};
use retrace_numerics::gelu::Gelu;
use retrace_numerics::heads::Heads;
use retrace_numerics::matmul::{Matrix, Target, matmul};
use retrace_numerics::norm::{Gradients, Norm, Part};
use retrace_numerics::{elementwise, embedding, rope, swiglu};

use crate::Dropout;

/// The numbers in a storage, which must be contiguous f32.
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
pub(super) fn with_floats<T>(tensor: &Tensor, op: &'static str, f: impl FnOnce(&[f32]) -> T) -> Result<T> {
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

/// A kernel's function of one tensor, and its gradient function of the tensor and the output's gradient; all have the
/// same length.
trait Each: Send + Sync {
    const NAME: &'static str;
    fn forward(&self, x: &[f32]) -> Vec<f32>;
    fn backward(&self, x: &[f32], dy: &[f32]) -> Vec<f32>;
}

struct OfEach<E>(E);

impl<E: Each> CustomOp1 for OfEach<E> {
    fn name(&self) -> &'static str {
        E::NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        output(self.0.forward(floats(x, layout, E::NAME)?), layout.shape().clone())
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dx = with_floats(x, E::NAME, |x| with_floats(dy, E::NAME, |dy| self.0.backward(x, dy)))??;
        Ok(Some(tensor(dx, x.shape().clone())?))
    }
}

/// x · weightᵀ, or x · weightᵀ + bias: `x` is (tokens, inputs), `weight` (outputs, inputs), `bias` (outputs). The
/// gradient with respect to x is dy · weight, that with respect to weight dyᵀ · x, and that with respect to bias the
/// sum of the rows of dy.
///
/// # Errors
/// If the tensors are not f32 on the CPU, or their shapes do not fit.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        None => x.apply_op2(&weight, Linear),
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, Linear),
    }
}

struct Linear;

impl Linear {
    const NAME: &'static str = "linear";

    fn forward(x: (&CpuStorage, &Layout), w: (&CpuStorage, &Layout)) -> Result<(Vec<f32>, usize, usize)> {
        let ((tokens, inputs), (outputs, w_inputs)) = (x.1.shape().dims2()?, w.1.shape().dims2()?);
        if inputs != w_inputs {
            bail!("linear: {inputs} inputs for a weight of {w_inputs}");
        }
        let (x, w) = (floats(x.0, x.1, Self::NAME)?, floats(w.0, w.1, Self::NAME)?);
        let mut y = vec![0.0; tokens * outputs];
        matmul(
            Matrix::new(x, tokens, inputs),
            Matrix::new(w, outputs, inputs).transposed(),
            Target::new(&mut y, tokens, outputs),
        );
        Ok((y, tokens, outputs))
    }

    fn backward(x: &Tensor, w: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((tokens, inputs), outputs) = (x.dims2()?, w.dim(0)?);
        let (mut dx, mut dw) = (vec![0.0; tokens * inputs], vec![0.0; outputs * inputs]);
        with_floats(dy, Self::NAME, |dy| {
            let dy = Matrix::new(dy, tokens, outputs);
            with_floats(w, Self::NAME, |w| {
                matmul(dy, Matrix::new(w, outputs, inputs), Target::new(&mut dx, tokens, inputs))
            })?;
            with_floats(x, Self::NAME, |x| {
                matmul(dy.transposed(), Matrix::new(x, tokens, inputs), Target::new(&mut dw, outputs, inputs))
            })
        })??;
        Ok((Some(tensor(dx, (tokens, inputs))?), Some(tensor(dw, (outputs, inputs))?)))
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (y, tokens, outputs) = Self::forward((x, xl), (w, wl))?;
        output(y, (tokens, outputs))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Self::backward(x, w, dy)
    }
}

/// A gradient for each of three inputs.
type Three = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (mut y, tokens, outputs) = Self::forward((x, xl), (w, wl))?;
        let bias = floats(b, bl, Self::NAME)?;
        if bias.len() != outputs {
            bail!("linear: a bias of {} for {outputs} outputs", bias.len());
        }
        elementwise::add_bias(&mut y, outputs, 0, bias);
        output(y, (tokens, outputs))
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, b: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Three> {
        let (dx, dw) = Self::backward(x, w, dy)?;
        let mut db = vec![0.0; b.elem_count()];
        with_floats(dy, Self::NAME, |dy| elementwise::sum_rows(dy, db.len(), 0, &mut db))?;
        Ok((dx, dw, Some(tensor(db, b.shape().clone())?)))
    }
}

/// Each row normalised by its root mean square.
///
/// # Errors
/// If the tensors are not f32 on the CPU, or their shapes do not fit.
pub fn rms_norm(x: &Tensor, weight: &Tensor, epsilon: f32) -> Result<Tensor> {
    rms_norm_part(x, Part::whole(x.dims2()?.1), weight, epsilon)
}

/// The vectors of a part of each row, each normalised by its root mean square; the rest unchanged.
///
/// # Errors
/// As [`rms_norm`].
pub fn rms_norm_part(x: &Tensor, part: Part, weight: &Tensor, epsilon: f32) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&weight.contiguous()?, NormPart { part, epsilon })
}

/// Each row normalised by mean and variance, then, if there are parameters, multiplied by weight and increased by
/// bias.
///
/// # Errors
/// If the tensors are not f32 on the CPU, or their shapes do not fit.
pub fn layer_norm(x: &Tensor, parameters: Option<(&Tensor, &Tensor)>, epsilon: f32) -> Result<Tensor> {
    layer_norm_part(x, Part::whole(x.dims2()?.1), parameters, epsilon)
}

/// The vectors of a part of each row, each normalised as by [`layer_norm`]; the rest unchanged.
///
/// # Errors
/// As [`layer_norm`].
pub fn layer_norm_part(x: &Tensor, part: Part, parameters: Option<(&Tensor, &Tensor)>, epsilon: f32) -> Result<Tensor> {
    let norm = NormPart { part, epsilon };
    match parameters {
        None => x.contiguous()?.apply_op1(norm),
        Some((weight, bias)) => x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, norm),
    }
}

/// By the root mean square with one additional input, by mean and variance with none or two.
struct NormPart {
    part: Part,
    epsilon: f32,
}

impl NormPart {
    const NAME: &'static str = "norm";

    fn forward(&self, norm: Norm<'_>, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let row = layout.shape().dims2()?.1;
        let fits = |parameter: &[f32]| parameter.len() == self.part.width;
        let all_fit = match norm {
            Norm::Rms { weight, .. } => fits(weight),
            Norm::Layer { parameters, .. } => parameters.is_none_or(|(weight, bias)| fits(weight) && fits(bias)),
        };
        if !all_fit || row != self.part.row || self.part.first + self.part.elements() > row {
            bail!("norm: rows of {row} and these parameters don't fit {:?}", self.part);
        }
        let x = floats(x, layout, Self::NAME)?;
        let mut y = x.to_vec();
        norm.forward(x, self.part, &mut y);
        output(y, layout.shape().clone())
    }

    /// The gradient with respect to x; the gradients of the parameters are written to `parameters`.
    fn backward(&self, norm: Norm<'_>, x: &Tensor, dy: &Tensor, parameters: Gradients<'_>) -> Result<Option<Tensor>> {
        // Copied elements have their output's gradient.
        let mut dx = with_floats(dy, Self::NAME, <[f32]>::to_vec)?;
        with_floats(x, Self::NAME, |x| {
            with_floats(dy, Self::NAME, |dy| norm.backward(x, self.part, dy, false, &mut dx, parameters))
        })??;
        Ok(Some(tensor(dx, x.shape().clone())?))
    }
}

impl CustomOp1 for NormPart {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward(Norm::Layer { parameters: None, epsilon: self.epsilon }, x, layout)
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        self.backward(Norm::Layer { parameters: None, epsilon: self.epsilon }, x, dy, Gradients::default())
    }
}

impl CustomOp2 for NormPart {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward(Norm::Rms { weight: floats(w, wl, Self::NAME)?, epsilon: self.epsilon }, x, xl)
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut dw = vec![0.0; w.elem_count()];
        let dx = with_floats(w, Self::NAME, |weight| {
            let parameters = Gradients { weight: &mut dw, bias: &mut [] };
            self.backward(Norm::Rms { weight, epsilon: self.epsilon }, x, dy, parameters)
        })??;
        Ok((dx, Some(tensor(dw, w.shape().clone())?)))
    }
}

impl CustomOp3 for NormPart {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let parameters = Some((floats(w, wl, Self::NAME)?, floats(b, bl, Self::NAME)?));
        self.forward(Norm::Layer { parameters, epsilon: self.epsilon }, x, xl)
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, b: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Three> {
        let (mut dw, mut db) = (vec![0.0; w.elem_count()], vec![0.0; b.elem_count()]);
        let dx = with_floats(w, Self::NAME, |weight| {
            with_floats(b, Self::NAME, |bias| {
                let norm = Norm::Layer { parameters: Some((weight, bias)), epsilon: self.epsilon };
                self.backward(norm, x, dy, Gradients { weight: &mut dw, bias: &mut db })
            })
        })???;
        Ok((dx, Some(tensor(dw, w.shape().clone())?), Some(tensor(db, b.shape().clone())?)))
    }
}

/// Rotates the queries and keys of packed rows by their position.
///
/// # Errors
/// If the tensor is not f32 on the CPU.
pub fn turn(qkv: &Tensor, tables: &Arc<rope::Tables>, heads: Heads) -> Result<Tensor> {
    qkv.contiguous()?.apply_op1(OfEach(Rope { tables: Arc::clone(tables), heads }))
}

struct Rope {
    tables: Arc<rope::Tables>,
    heads: Heads,
}

impl Each for Rope {
    const NAME: &'static str = "rope";

    fn forward(&self, x: &[f32]) -> Vec<f32> {
        let mut y = x.to_vec();
        self.tables.turn(&mut y, &self.heads);
        y
    }

    fn backward(&self, _: &[f32], dy: &[f32]) -> Vec<f32> {
        let mut dx = dy.to_vec();
        self.tables.turn_back(&mut dx, &self.heads);
        dx
    }
}

/// Each element clipped to between −`limit` and `limit`.
///
/// # Errors
/// If the tensor is not f32 on the CPU.
pub fn clip(x: &Tensor, limit: f32) -> Result<Tensor> {
    x.contiguous()?.apply_op1(OfEach(Clip(limit)))
}

struct Clip(f32);

impl Each for Clip {
    const NAME: &'static str = "clip";

    fn forward(&self, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        elementwise::clip(x, self.0, &mut y);
        y
    }

    fn backward(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let mut dx = dy.to_vec();
        elementwise::clip_backward(x, self.0, &mut dx);
        dx
    }
}

/// GELU of each element.
///
/// # Errors
/// If the tensor is not f32 on the CPU.
pub fn gelu(x: &Tensor, form: Gelu) -> Result<Tensor> {
    x.contiguous()?.apply_op1(OfEach(form))
}

impl Each for Gelu {
    const NAME: &'static str = "gelu";

    fn forward(&self, x: &[f32]) -> Vec<f32> {
        let mut y = vec![0.0; x.len()];
        (*self).forward(x, &mut y);
        y
    }

    fn backward(&self, x: &[f32], dy: &[f32]) -> Vec<f32> {
        let mut dx = vec![0.0; x.len()];
        (*self).backward(x, dy, &mut dx);
        dx
    }
}

/// A run's dropout; `call` is the number of the call within a pass over the model.
///
/// # Errors
/// If the tensor is not f32 on the CPU.
pub fn dropout(x: &Tensor, dropout: Dropout, call: u64) -> Result<Tensor> {
    x.contiguous()?.apply_op1(OfEach(Dropped { dropout, call }))
}

struct Dropped {
    dropout: Dropout,
    call: u64,
}

impl Each for Dropped {
    const NAME: &'static str = "dropout";

    fn forward(&self, x: &[f32]) -> Vec<f32> {
        let mut y = x.to_vec();
        self.dropout.apply(self.call, &mut y);
        y
    }

    fn backward(&self, _: &[f32], dy: &[f32]) -> Vec<f32> {
        self.forward(dy)
    }
}

/// `a` + `b`, with the same shape. For a value that both depend on, candle computes the gradient through `b` first.
///
/// # Errors
/// If the tensors are not f32 on the CPU, or their shapes differ.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.contiguous()?.apply_op2(&b.contiguous()?, Add)
}

struct Add;

impl CustomOp2 for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn cpu_fwd(&self, a: &CpuStorage, al: &Layout, b: &CpuStorage, bl: &Layout) -> Result<(CpuStorage, Shape)> {
        if al.shape() != bl.shape() {
            bail!("add: {:?} and {:?}", al.shape(), bl.shape());
        }
        let mut sum = floats(a, al, "add")?.to_vec();
        elementwise::add(&mut sum, floats(b, bl, "add")?);
        output(sum, al.shape().clone())
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, dy: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Some(dy.clone()), Some(dy.clone())))
    }
}

/// Causal attention over packed rows.
///
/// # Errors
/// If the tensor is not f32 on the CPU.
pub fn attend(qkv: &Tensor, attention: Attention) -> Result<Tensor> {
    qkv.contiguous()?.apply_op1(Attend { attention, statistics: OnceLock::new() })
}

struct Attend {
    attention: Attention,
    /// The result of the forward pass that the backward pass needs.
    statistics: OnceLock<Vec<f32>>,
}

impl CustomOp1 for Attend {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (tokens, row) = layout.shape().dims2()?;
        let heads = &self.attention.heads;
        if row != heads.row() || !tokens.is_multiple_of(heads.positions) {
            bail!("attention: {tokens} rows of {row} are not sequences of {} rows of {}", heads.positions, heads.row());
        }
        let mut y = vec![0.0; tokens * heads.output_row()];
        let mut statistics = vec![0.0; self.attention.statistics(tokens)];
        self.attention.forward(floats(qkv, layout, "attention")?, &mut y, &mut statistics);
        let _ = self.statistics.set(statistics);
        output(y, (tokens, heads.output_row()))
    }

    fn bwd(&self, qkv: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let Some(statistics) = self.statistics.get() else { bail!("attention: there was no forward pass") };
        let mut dx = vec![0.0; qkv.elem_count()];
        with_floats(qkv, "attention", |qkv| {
            with_floats(y, "attention", |y| {
                with_floats(dy, "attention", |dy| self.attention.backward(qkv, y, statistics, dy, &mut dx))
            })
        })???;
        Ok(Some(tensor(dx, qkv.shape().clone())?))
    }
}

/// silu(gate) · up, where a row of `x` contains the gates and then the ups.
///
/// # Errors
/// If the tensor is not f32 on the CPU, or its rows have an odd length.
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
        if !width.is_multiple_of(2) {
            bail!("swiglu: rows of {width} are not gates and as many ups");
        }
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

/// The rows of `table`, (vocabulary, width), at `ids`, each of which must have a row.
///
/// # Errors
/// If the table is not f32 on the CPU, or an id has no row.
pub fn embed(table: &Tensor, ids: &Arc<[u32]>) -> Result<Tensor> {
    table.contiguous()?.apply_op1(Embedding { ids: Arc::clone(ids), with_table: false })
}

/// As [`embed`], and also returns the table for use as the head of the same model. The gradient with respect to the
/// table is the head's, to which those of the rows are added one after another; candle would instead add the two sums.
///
/// # Errors
/// As [`embed`].
pub fn embed_tied(table: &Tensor, ids: &Arc<[u32]>) -> Result<(Tensor, Tensor)> {
    let both = table.contiguous()?.apply_op1(Embedding { ids: Arc::clone(ids), with_table: true })?;
    Ok((both.narrow(0, 0, ids.len())?, both.narrow(0, ids.len(), table.dim(0)?)?))
}

struct Embedding {
    ids: Arc<[u32]>,
    /// Whether the table is appended below the rows.
    with_table: bool,
}

impl CustomOp1 for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn cpu_fwd(&self, table: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        if let Some(id) = self.ids.iter().find(|id| **id as usize >= rows) {
            bail!("embedding: id {id} has no row among {rows}");
        }
        let table = floats(table, layout, "embedding")?;
        let tokens = self.ids.len();
        let mut y = vec![0.0; tokens * width];
        embedding::forward(table, width, &self.ids, &mut y);
        if self.with_table {
            y.extend_from_slice(table);
        }
        output(y, (if self.with_table { tokens + rows } else { tokens }, width))
    }

    fn bwd(&self, table: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (rows, width) = table.dims2()?;
        let dtable = with_floats(dy, "embedding", |dy| {
            let (dy, below) = dy.split_at(self.ids.len() * width);
            let mut dtable = if self.with_table { below.to_vec() } else { vec![0.0; rows * width] };
            embedding::backward(width, &self.ids, dy, &mut dtable);
            dtable
        })?;
        Ok(Some(tensor(dtable, (rows, width))?))
    }
}

/// The negative log-likelihood, in nats, of each row's target, and its z-loss, (tokens, 2): `logits` is (tokens,
/// vocabulary). This must be the last operation of a model: its gradient is that of `scale` times the sum of all of
/// them, and ignores the gradient that it receives.
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
        output(rows.into_iter().flat_map(|row| [row.loss, row.z_loss]).collect(), (tokens, 2))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, _: &Tensor) -> Result<Option<Tensor>> {
        let (tokens, vocabulary) = logits.dims2()?;
        let mut dlogits = with_floats(logits, "cross_entropy", <[f32]>::to_vec)?;
        let mut rows = vec![Row::default(); tokens];
        self.loss.backward(&mut dlogits, vocabulary, &self.targets, self.scale, &mut rows);
        Ok(Some(tensor(dlogits, logits.shape().clone())?))
    }
}

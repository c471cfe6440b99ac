//! The fused engine's pass: it records what a model computes, and computes the gradient by traversing the record from
//! its end (Linnainmaa, 1970).
//!
//! Gradients are added in place, and memory is reused from step to step: a [`Workspace`] lives longer than the tapes
//! that use it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use retrace_numerics::attention::Attention;
use retrace_numerics::cross_entropy::Row;
use retrace_numerics::gelu::Gelu;
use retrace_numerics::heads::Heads;
use retrace_numerics::matmul::{Matrix, Packed, Target, matmul, matmul_onto, matmul_packed};
use retrace_numerics::norm::{Gradients, Norm, Part};
use retrace_numerics::{elementwise, embedding, rope, swiglu};

use crate::ModelError;
use crate::operations::{Dropout, MOST_LOGITS, NormKind, Operations, Projection, Targets};
use crate::weights::{Gradient, Parameter, Source};

/// Memory for activations and their gradients, kept for the next tape.
#[derive(Debug, Clone, Default)]
pub(crate) struct Workspace(Rc<RefCell<Vec<Vec<f32>>>>);

impl Workspace {
    /// `length` floats with arbitrary content.
    fn floats(&self, length: usize) -> Buffer {
        let mut free = self.0.borrow_mut();
        // The smallest that is large enough, and not so large that it should be kept for another use.
        let fits = |buffer: &Vec<f32>| buffer.capacity() >= length && buffer.capacity() / 2 <= length;
        let found = (0..free.len()).filter(|at| fits(&free[*at])).min_by_key(|at| free[*at].capacity());
        let mut values = found.map(|at| free.swap_remove(at)).unwrap_or_default();
        values.resize(length, 0.0);
        Buffer { values, home: self.clone() }
    }
}

/// Floats that are returned to their workspace.
#[derive(Debug)]
struct Buffer {
    values: Vec<f32>,
    home: Workspace,
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.0.borrow_mut().push(std::mem::take(&mut self.values));
    }
}

/// A matrix of activations: rows are tokens.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    id: usize,
    columns: usize,
    buffer: Rc<Buffer>,
}

impl Value {
    pub(crate) fn values(&self) -> &[f32] {
        &self.buffer.values
    }
}

impl NormKind {
    fn norm<'a>(&self, weights: &'a dyn Source) -> Norm<'a> {
        match *self {
            Self::Rms { weight, epsilon } => Norm::Rms { weight: weights.vector(weight), epsilon },
            Self::Layer { parameters, epsilon } => {
                let parameters = parameters.map(|(weight, bias)| (weights.vector(weight), weights.vector(bias)));
                Norm::Layer { parameters, epsilon }
            }
        }
    }

    fn parameters(&self) -> (Option<Parameter>, Option<Parameter>) {
        match *self {
            Self::Rms { weight, .. } => (Some(weight), None),
            Self::Layer { parameters, .. } => (parameters.map(|p| p.0), parameters.map(|p| p.1)),
        }
    }
}

/// An operation of the record, with what its backward pass needs.
#[derive(Debug)]
enum Done {
    Embed {
        table: Parameter,
        ids: Arc<[u32]>,
    },
    Norm {
        x: Value,
        parts: Vec<(Part, NormKind)>,
    },
    Project {
        x: Value,
        projections: Vec<Projection>,
    },
    /// Another value was added to the value with this id, which the output replaced.
    Add {
        to: usize,
        from: usize,
    },
    Rope {
        x: usize,
        tables: Arc<rope::Tables>,
        heads: Heads,
    },
    Clip {
        x: Value,
        limit: f32,
    },
    Attend {
        qkv: Value,
        out: Value,
        statistics: Buffer,
        attention: Attention,
    },
    SwiGlu {
        x: Value,
    },
    Gelu {
        x: Value,
        form: Gelu,
    },
    Dropout {
        x: usize,
        call: u64,
    },
}

/// Logits that are in memory together if no gradient is requested: enough rows for the copying of the head to take
/// little time beside the product.
const MOST_LOGITS_READ: usize = 1 << 24;
/// The number of rows up to which a packed matrix is used: with more, copying it takes little time.
const FEW: usize = 128;

/// Weights that are kept packed, for passes over few tokens; by their index.
#[derive(Debug, Default)]
pub(crate) struct Packs(RefCell<BTreeMap<usize, Rc<Packed>>>);

impl Packs {
    /// The packed transpose of a weight.
    fn of(&self, weights: &dyn Source, parameter: Parameter) -> Rc<Packed> {
        let make = || {
            let shape = weights.layout().shape(parameter);
            let matrix = weights.matrix(parameter);
            Rc::new(Packed::new(Matrix::new(&matrix, shape[0], shape[1]).transposed()))
        };
        Rc::clone(self.0.borrow_mut().entry(parameter.index()).or_insert_with(make))
    }
}

/// Computes values and, if a gradient is requested, records how.
#[derive(Debug)]
pub(crate) struct Tape<'w> {
    weights: &'w dyn Source,
    /// Where packed weights are kept, if they are.
    packs: Option<&'w Packs>,
    workspace: Workspace,
    records: bool,
    done: Vec<(usize, Done)>,
    values: usize,
    dropout: Option<Dropout>,
    calls: u64,
}

impl<'w> Tape<'w> {
    /// A tape without gradients.
    pub(crate) fn forgetful(weights: &'w dyn Source, workspace: &Workspace) -> Self {
        let workspace = workspace.clone();
        Self { weights, packs: None, workspace, records: false, done: vec![], values: 0, dropout: None, calls: 0 }
    }

    /// The same, with packed weights for passes over few tokens.
    pub(crate) fn packed(self, packs: &'w Packs) -> Self {
        Self { packs: Some(packs), ..self }
    }

    /// x · weightᵀ.
    fn times(&self, x: Matrix<'_>, rows: usize, weight: Parameter, to: Target<'_>) {
        if let Some(packs) = self.packs.filter(|_| rows <= FEW) {
            return matmul_packed(x, &packs.of(self.weights, weight), to);
        }
        let shape = self.weights.layout().shape(weight);
        matmul(x, Matrix::new(&self.weights.matrix(weight), shape[0], shape[1]).transposed(), to);
    }

    /// A tape with gradients.
    pub(crate) fn recording(weights: &'w dyn Source, workspace: &Workspace, dropout: Option<Dropout>) -> Self {
        Self { records: true, dropout, ..Self::forgetful(weights, workspace) }
    }

    fn value(&mut self, columns: usize, buffer: Buffer, done: impl FnOnce() -> Done) -> Value {
        let id = self.values;
        self.values += 1;
        if self.records {
            self.done.push((id, done()));
        }
        Value { id, columns, buffer: Rc::new(buffer) }
    }

    /// The value's numbers, to change them in place if nothing else needs them.
    fn take(&self, x: Value) -> Buffer {
        Rc::try_unwrap(x.buffer).unwrap_or_else(|shared| {
            let mut copy = self.workspace.floats(shared.values.len());
            copy.values.copy_from_slice(&shared.values);
            copy
        })
    }

    fn rows(&self, x: &Value) -> usize {
        x.values().len() / x.columns
    }

    /// Some rows of `x`; without a gradient.
    pub(crate) fn some_rows(&mut self, x: &Value, rows: &[usize]) -> Value {
        let mut out = self.workspace.floats(rows.len() * x.columns);
        for (to, row) in out.values.chunks_exact_mut(x.columns).zip(rows) {
            to.copy_from_slice(&x.values()[row * x.columns..][..x.columns]);
        }
        self.computed(x.columns, out)
    }

    /// A value that `compute` makes of `from`, with `columns` columns and as many rows; without a gradient.
    pub(crate) fn compute(&mut self, from: &Value, columns: usize, compute: impl FnOnce(&[f32], &mut [f32])) -> Value {
        let mut out = self.workspace.floats(self.rows(from) * columns);
        compute(from.values(), &mut out.values);
        self.computed(columns, out)
    }

    /// `x`, changed in place; without a gradient.
    pub(crate) fn change(&mut self, x: Value, change: impl FnOnce(&mut [f32])) -> Value {
        let columns = x.columns;
        let mut out = self.take(x);
        change(&mut out.values);
        self.computed(columns, out)
    }

    fn computed(&mut self, columns: usize, buffer: Buffer) -> Value {
        let id = self.values;
        self.values += 1;
        Value { id, columns, buffer: Rc::new(buffer) }
    }
}

impl Operations for Tape<'_> {
    type Value = Value;

    fn embed(&mut self, table: Parameter, ids: &Arc<[u32]>) -> Result<Value, ModelError> {
        let width = self.weights.layout().shape(table)[1];
        let mut out = self.workspace.floats(ids.len() * width);
        self.weights.rows(table, ids, &mut out.values);
        Ok(self.value(width, out, || Done::Embed { table, ids: Arc::clone(ids) }))
    }

    fn norm(&mut self, x: &Value, kind: NormKind) -> Result<Value, ModelError> {
        self.norm_parts(x, &[(Part::whole(x.columns), kind)])
    }

    fn norm_parts(&mut self, x: &Value, parts: &[(Part, NormKind)]) -> Result<Value, ModelError> {
        let mut out = self.workspace.floats(x.values().len());
        if parts.iter().map(|(part, _)| part.elements()).sum::<usize>() < x.columns {
            out.values.copy_from_slice(x.values());
        }
        for (part, kind) in parts {
            kind.norm(self.weights).forward(x.values(), *part, &mut out.values);
        }
        let x = x.clone();
        Ok(self.value(x.columns, out, || Done::Norm { x, parts: parts.to_vec() }))
    }

    fn project(&mut self, x: &Value, projections: &[Projection]) -> Result<Value, ModelError> {
        let (rows, layout) = (self.rows(x), self.weights.layout());
        let columns: usize = projections.iter().map(|p| layout.shape(p.weight)[0]).sum();
        let mut out = self.workspace.floats(rows * columns);
        let mut first = 0;
        for Projection { weight, bias } in projections {
            let outputs = layout.shape(*weight)[0];
            let to = Target::new(&mut out.values, rows, columns).columns(first, outputs);
            self.times(Matrix::new(x.values(), rows, x.columns), rows, *weight, to);
            if let Some(bias) = bias {
                elementwise::add_bias(&mut out.values, columns, first, self.weights.vector(*bias));
            }
            first += outputs;
        }
        let x = x.clone();
        Ok(self.value(columns, out, || Done::Project { x, projections: projections.to_vec() }))
    }

    fn add(&mut self, to: Value, from: &Value) -> Result<Value, ModelError> {
        let (to_id, columns) = (to.id, to.columns);
        let mut out = self.take(to);
        elementwise::add(&mut out.values, from.values());
        let from = from.id;
        Ok(self.value(columns, out, || Done::Add { to: to_id, from }))
    }

    fn rope(&mut self, qkv: Value, tables: &Arc<rope::Tables>, heads: Heads) -> Result<Value, ModelError> {
        let (x, columns) = (qkv.id, qkv.columns);
        let mut out = self.take(qkv);
        tables.turn(&mut out.values, &heads);
        Ok(self.value(columns, out, || Done::Rope { x, tables: Arc::clone(tables), heads }))
    }

    fn clip(&mut self, x: &Value, limit: f32) -> Result<Value, ModelError> {
        let mut out = self.workspace.floats(x.values().len());
        elementwise::clip(x.values(), limit, &mut out.values);
        let x = x.clone();
        Ok(self.value(x.columns, out, || Done::Clip { x, limit }))
    }

    fn attend(&mut self, qkv: &Value, attention: Attention) -> Result<Value, ModelError> {
        let rows = self.rows(qkv);
        let mut out = self.workspace.floats(rows * attention.heads.output_row());
        let mut statistics = self.workspace.floats(attention.statistics(rows));
        attention.forward(qkv.values(), &mut out.values, &mut statistics.values);
        let id = self.values;
        let out = Value { id, columns: attention.heads.output_row(), buffer: Rc::new(out) };
        self.values += 1;
        if self.records {
            let (qkv, kept) = (qkv.clone(), out.clone());
            self.done.push((id, Done::Attend { qkv, out: kept, statistics, attention }));
        }
        Ok(out)
    }

    fn gate(&mut self, x: &Value) -> Result<Value, ModelError> {
        let width = x.columns / 2;
        let mut out = self.workspace.floats(x.values().len() / 2);
        swiglu::forward(x.values(), width, &mut out.values);
        let x = x.clone();
        Ok(self.value(width, out, || Done::SwiGlu { x }))
    }

    fn gelu(&mut self, x: &Value, form: Gelu) -> Result<Value, ModelError> {
        let mut out = self.workspace.floats(x.values().len());
        form.forward(x.values(), &mut out.values);
        let x = x.clone();
        Ok(self.value(x.columns, out, || Done::Gelu { x, form }))
    }

    fn dropout(&mut self, x: Value) -> Result<Value, ModelError> {
        let Some(dropout) = self.dropout else { return Ok(x) };
        let (id, columns, call) = (x.id, x.columns, self.calls);
        self.calls += 1;
        let mut out = self.take(x);
        dropout.apply(call, &mut out.values);
        Ok(self.value(columns, out, || Done::Dropout { x: id, call }))
    }

    fn logits(&self, x: &Value, head: Parameter, each: &mut dyn FnMut(usize, &mut [f32])) -> Result<(), ModelError> {
        let vocabulary = self.weights.layout().shape(head)[0];
        let rows = (if self.records { MOST_LOGITS } else { MOST_LOGITS_READ } / vocabulary).max(1);
        let mut logits = self.workspace.floats(rows.min(self.rows(x)) * vocabulary);
        for (chunk, part) in x.values().chunks(rows * x.columns).enumerate() {
            let count = part.len() / x.columns;
            let logits = &mut logits.values[..count * vocabulary];
            let to = Target::new(logits, count, vocabulary);
            self.times(Matrix::new(part, count, x.columns), count, head, to);
            each(chunk * rows, logits);
        }
        Ok(())
    }

    fn loss(
        mut self,
        x: Value,
        head: Parameter,
        Targets { targets, loss, scale }: Targets<'_>,
        gradient: &mut [f32],
    ) -> Result<Vec<Row>, ModelError> {
        let (weights, workspace) = (self.weights, self.workspace.clone());
        let (layout, width) = (weights.layout(), x.columns);
        let vocabulary = layout.shape(head)[0];
        let mut gradient = Gradient::new(gradient, layout);
        let mut costs = vec![Row::default(); targets.len()];
        let mut dx = workspace.floats(x.values().len());
        let by = weights.matrix(head);
        let by = Matrix::new(&by, vocabulary, width);
        self.logits(&x, head, &mut |first, logits| {
            let count = logits.len() / vocabulary;
            let rows = first..first + count;
            loss.backward(logits, vocabulary, &targets[rows.clone()], scale, &mut costs[rows.clone()]);
            let d_logits = Matrix::new(logits, count, vocabulary);
            matmul(d_logits, by, Target::new(&mut dx.values[first * width..][..count * width], count, width));
            let (dhead, onto) = gradient.of(layout, head);
            let x = Matrix::new(&x.values()[first * width..][..count * width], count, width);
            let dhead = Target::new(dhead, vocabulary, width);
            if onto { matmul_onto(d_logits.transposed(), x, dhead) } else { matmul(d_logits.transposed(), x, dhead) }
        })?;
        let mut d_values: Vec<Option<Buffer>> = (0..self.values).map(|_| None).collect();
        d_values[x.id] = Some(dx);
        drop(x);
        while let Some((id, done)) = self.done.pop() {
            if let Some(dy) = d_values[id].take() {
                done.backward(dy, weights, &workspace, self.dropout, &mut d_values, &mut gradient);
            }
        }
        gradient.finish(layout);
        Ok(costs)
    }
}

/// Adds `d_value` to the gradient of the value `id`.
fn add_gradient(d_values: &mut [Option<Buffer>], id: usize, d_value: Buffer) {
    match &mut d_values[id] {
        Some(known) => elementwise::add(&mut known.values, &d_value.values),
        none => *none = Some(d_value),
    }
}

impl Done {
    /// Passes the gradient of the output, `dy`, to inputs and weights.
    fn backward(
        self,
        mut dy: Buffer,
        weights: &dyn Source,
        workspace: &Workspace,
        dropout: Option<Dropout>,
        d_values: &mut [Option<Buffer>],
        gradient: &mut Gradient<'_>,
    ) {
        let layout = weights.layout();
        match self {
            Self::Embed { table, ids } => {
                let width = layout.shape(table)[1];
                let (dtable, onto) = gradient.of(layout, table);
                if !onto {
                    dtable.fill(0.0);
                }
                embedding::backward(width, &ids, &dy.values, dtable);
            }
            Self::Norm { x, parts } => {
                let partial = parts.iter().map(|(part, _)| part.elements()).sum::<usize>() < x.columns;
                let known = if partial { None } else { d_values[x.id].take() };
                let onto = known.is_some();
                let mut dx = known.unwrap_or_else(|| workspace.floats(x.values().len()));
                if partial {
                    // Copied elements have their output's gradient.
                    dx.values.copy_from_slice(&dy.values);
                }
                for (part, kind) in parts {
                    let (weight, bias) = kind.parameters();
                    let mut dbias = vec![0.0; if bias.is_some() { part.width } else { 0 }];
                    let dweight = weight.map_or(&mut [][..], |weight| gradient.of(layout, weight).0);
                    let parameters = Gradients { weight: dweight, bias: &mut dbias };
                    kind.norm(weights).backward(x.values(), part, &dy.values, onto, &mut dx.values, parameters);
                    if let Some(bias) = bias {
                        gradient.of(layout, bias).0.copy_from_slice(&dbias);
                    }
                }
                add_gradient(d_values, x.id, dx);
            }
            Self::Project { x, projections } => {
                let rows = x.values().len() / x.columns;
                let columns = dy.values.len() / rows;
                let mut dx = workspace.floats(x.values().len());
                let (mut first, inputs) = (0, Matrix::new(x.values(), rows, x.columns));
                for Projection { weight, bias } in projections {
                    let outputs = layout.shape(weight)[0];
                    let d_value = Matrix::new(&dy.values, rows, columns).columns(first, outputs);
                    let (dweight, _) = gradient.of(layout, weight);
                    matmul(d_value.transposed(), inputs, Target::new(dweight, outputs, x.columns));
                    if let Some(bias) = bias {
                        elementwise::sum_rows(&dy.values, columns, first, gradient.of(layout, bias).0);
                    }
                    let by = weights.matrix(weight);
                    let by = Matrix::new(&by, outputs, x.columns);
                    let to = Target::new(&mut dx.values, rows, x.columns);
                    // Chains of sums continue from projection to projection.
                    if first == 0 {
                        matmul(d_value, by, to)
                    } else {
                        matmul_onto(d_value, by, to)
                    }
                    first += outputs;
                }
                add_gradient(d_values, x.id, dx);
            }
            Self::Add { to, from } => {
                let mut copy = workspace.floats(dy.values.len());
                copy.values.copy_from_slice(&dy.values);
                add_gradient(d_values, from, copy);
                add_gradient(d_values, to, dy);
            }
            Self::Rope { x, tables, heads } => {
                tables.turn_back(&mut dy.values, &heads);
                add_gradient(d_values, x, dy);
            }
            Self::Clip { x, limit } => {
                elementwise::clip_backward(x.values(), limit, &mut dy.values);
                add_gradient(d_values, x.id, dy);
            }
            Self::Attend { qkv, out, statistics, attention } => {
                let mut dqkv = workspace.floats(qkv.values().len());
                let (out, statistics) = (out.values(), &statistics.values);
                attention.backward(qkv.values(), out, statistics, &dy.values, &mut dqkv.values);
                add_gradient(d_values, qkv.id, dqkv);
            }
            Self::SwiGlu { x } => {
                let mut dx = workspace.floats(x.values().len());
                swiglu::backward(x.values(), x.columns / 2, &dy.values, &mut dx.values);
                add_gradient(d_values, x.id, dx);
            }
            Self::Gelu { x, form } => {
                let mut dx = workspace.floats(x.values().len());
                form.backward(x.values(), &dy.values, &mut dx.values);
                add_gradient(d_values, x.id, dx);
            }
            Self::Dropout { x, call } => {
                if let Some(dropout) = dropout {
                    dropout.apply(call, &mut dy.values);
                }
                add_gradient(d_values, x, dy);
            }
        }
    }
}

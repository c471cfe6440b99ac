//! The operations of a pass over tokens that continue sequences, whose keys and values are kept.
//!
//! Each architecture is written once, for complete sequences. All of its operations compute each row on its own, except
//! two: the rotation, which depends on a row's position, and attention, which sees earlier rows. Here these two take
//! positions and earlier rows from a tree of [`Branch`]es. The rest is the fused engine's.

use std::sync::Arc;

use retrace_numerics::attention::Attention;
use retrace_numerics::context::{Context, Continued};
use retrace_numerics::cross_entropy::Row;
use retrace_numerics::gelu::Gelu;
use retrace_numerics::heads::Heads;
use retrace_numerics::norm::Part;
use retrace_numerics::rope;

use crate::ModelError;
use crate::operations::{NormKind, Operations, Projection, Targets};
use crate::tape::{Tape, Value};
use crate::weights::Parameter;

/// Consecutive tokens of one or more sequences.
#[derive(Debug, Default)]
pub(crate) struct Branch {
    /// The branch before it, by its index.
    pub(crate) after: Option<usize>,
    /// The position of its first token.
    pub(crate) first: usize,
    pub(crate) tokens: Vec<u32>,
    /// Its keys and values, layer after layer.
    pub(crate) layers: Vec<Context>,
}

/// Tokens of a pass: the next ones of a branch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// The branch, by its index.
    pub(crate) branch: usize,
    /// The number of tokens.
    pub(crate) rows: usize,
    /// Whether its keys and values are kept after this pass.
    pub(crate) keep: bool,
}

/// A pass over the steps' tokens, which the branches already have; the branch before another one's is before it, too.
#[derive(Debug)]
pub(crate) struct Continuing<'w, 's> {
    tape: Tape<'w>,
    branches: &'s mut [Option<Branch>],
    steps: &'s [Step],
    /// Of each row.
    positions: Vec<usize>,
    /// Layers whose attention was computed.
    layers: usize,
}

impl<'w, 's> Continuing<'w, 's> {
    /// `tape` must be one without gradients.
    pub(crate) fn new(tape: Tape<'w>, branches: &'s mut [Option<Branch>], steps: &'s [Step]) -> Self {
        let mut positions = Vec::new();
        for step in steps {
            let end = branches[step.branch].as_ref().map_or(0, |branch| branch.first + branch.tokens.len());
            positions.extend(end - step.rows..end);
        }
        Self { tape, branches, steps, positions, layers: 0 }
    }

    /// The length of the longest sequence.
    pub(crate) fn longest(&self) -> usize {
        self.positions.iter().max().map_or(0, |last| last + 1)
    }

    /// Some rows of a value.
    pub(crate) fn rows(&mut self, x: &Value, rows: &[usize]) -> Value {
        self.tape.some_rows(x, rows)
    }
}

/// The layer's contexts of a branch and of those before it, from position 0 on.
fn contexts(branches: &[Option<Branch>], branch: usize, layer: usize) -> Vec<&Context> {
    let mut contexts = Vec::new();
    let mut at = Some(branch);
    while let Some(branch) = at.and_then(|at| branches[at].as_ref()) {
        contexts.extend(branch.layers.get(layer));
        at = branch.after;
    }
    contexts.reverse();
    contexts
}

impl Operations for Continuing<'_, '_> {
    type Value = Value;

    fn embed(&mut self, table: Parameter, ids: &Arc<[u32]>) -> Result<Value, ModelError> {
        self.tape.embed(table, ids)
    }

    fn norm(&mut self, x: &Value, kind: NormKind) -> Result<Value, ModelError> {
        self.tape.norm(x, kind)
    }

    fn norm_parts(&mut self, x: &Value, parts: &[(Part, NormKind)]) -> Result<Value, ModelError> {
        self.tape.norm_parts(x, parts)
    }

    fn project(&mut self, x: &Value, projections: &[Projection]) -> Result<Value, ModelError> {
        self.tape.project(x, projections)
    }

    fn rope(&mut self, qkv: Value, tables: &Arc<rope::Tables>, heads: Heads) -> Result<Value, ModelError> {
        let positions = &self.positions;
        Ok(self.tape.change(qkv, |qkv| tables.turn_at(positions, qkv, &heads)))
    }

    fn clip(&mut self, x: &Value, limit: f32) -> Result<Value, ModelError> {
        self.tape.clip(x, limit)
    }

    fn attend(&mut self, qkv: &Value, attention: Attention) -> Result<Value, ModelError> {
        let (layer, heads) = (self.layers, attention.heads);
        self.layers += 1;
        let mut first = 0;
        for step in self.steps {
            let rows = &qkv.values()[first * heads.row()..][..step.rows * heads.row()];
            if let Some(branch) = &mut self.branches[step.branch] {
                if branch.layers.len() == layer {
                    branch.layers.push(Context::new(heads, branch.first));
                }
                branch.layers[layer].push(rows);
            }
            first += step.rows;
        }
        let branches = &*self.branches;
        let continued = |step: &Step| Continued { rows: step.rows, contexts: contexts(branches, step.branch, layer) };
        let sequences: Vec<Continued<'_>> = self.steps.iter().map(continued).collect();
        let out = self.tape.compute(qkv, heads.output_row(), |qkv, out| attention.continued(qkv, &sequences, out));
        for step in self.steps.iter().filter(|step| !step.keep) {
            if let Some(branch) = &mut self.branches[step.branch] {
                branch.layers[layer] = Context::new(heads, branch.first);
            }
        }
        Ok(out)
    }

    fn gate(&mut self, x: &Value) -> Result<Value, ModelError> {
        self.tape.gate(x)
    }

    fn gelu(&mut self, x: &Value, form: Gelu) -> Result<Value, ModelError> {
        self.tape.gelu(x, form)
    }

    fn add(&mut self, to: Value, from: &Value) -> Result<Value, ModelError> {
        self.tape.add(to, from)
    }

    fn dropout(&mut self, x: Value) -> Result<Value, ModelError> {
        self.tape.dropout(x)
    }

    fn logits(&self, x: &Value, head: Parameter, each: &mut dyn FnMut(usize, &mut [f32])) -> Result<(), ModelError> {
        self.tape.logits(x, head, each)
    }

    fn loss(
        self,
        x: Value,
        head: Parameter,
        targets: Targets<'_>,
        gradient: &mut [f32],
    ) -> Result<Vec<Row>, ModelError> {
        self.tape.loss(x, head, targets, gradient)
    }
}

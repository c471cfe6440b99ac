//! The candle engine's pass: tensors, and candle's own autograd with the kernels.

use std::sync::Arc;

use candle_core::{Tensor, Var};
use retrace_numerics::attention::Attention;
use retrace_numerics::cross_entropy::Row;
use retrace_numerics::gelu::Gelu;
use retrace_numerics::heads::Heads;
use retrace_numerics::norm::Part;
use retrace_numerics::rope;

use super::operations as kernels;
use super::variables::Variables;
use crate::ModelError;
use crate::operations::{Dropout, MOST_LOGITS, NormKind, Operations, Projection, Targets};
use crate::weights::Parameter;

/// One pass over a model whose weights are variables.
pub(super) struct Graph<'v> {
    variables: &'v Variables,
    /// Whether a gradient is computed. Otherwise no value keeps its inputs.
    records: bool,
    dropout: Option<Dropout>,
    calls: u64,
    /// The head, if it is also the embedding.
    tied: Option<Parameter>,
    /// The same head, once the embedding has been used.
    head: Option<Tensor>,
}

impl<'v> Graph<'v> {
    /// A pass without gradients.
    pub(super) fn forgetful(variables: &'v Variables) -> Self {
        Self { variables, records: false, dropout: None, calls: 0, tied: None, head: None }
    }

    /// A pass with gradients; `tied` is the head, if that is the embedding.
    pub(super) fn recording(variables: &'v Variables, dropout: Option<Dropout>, tied: Option<Parameter>) -> Self {
        Self { records: true, dropout, tied, ..Self::forgetful(variables) }
    }

    fn get(&self, parameter: Parameter) -> Tensor {
        let var: &Var = self.variables.get(parameter);
        if self.records { var.as_tensor().clone() } else { var.as_detached_tensor() }
    }

    fn norm_part(&self, x: &Tensor, part: Part, kind: NormKind) -> Result<Tensor, ModelError> {
        match kind {
            NormKind::Rms { weight, epsilon } => Ok(kernels::rms_norm_part(x, part, &self.get(weight), epsilon)?),
            NormKind::Layer { parameters, epsilon } => {
                let parameters = parameters.map(|(weight, bias)| (self.get(weight), self.get(bias)));
                let parameters = parameters.as_ref().map(|(weight, bias)| (weight, bias));
                Ok(kernels::layer_norm_part(x, part, parameters, epsilon)?)
            }
        }
    }
}

impl Operations for Graph<'_> {
    type Value = Tensor;

    fn embed(&mut self, table: Parameter, ids: &Arc<[u32]>) -> Result<Tensor, ModelError> {
        if self.tied != Some(table) {
            return Ok(kernels::embed(&self.get(table), ids)?);
        }
        let (rows, head) = kernels::embed_tied(&self.get(table), ids)?;
        self.head = Some(head);
        Ok(rows)
    }

    fn norm(&mut self, x: &Tensor, kind: NormKind) -> Result<Tensor, ModelError> {
        self.norm_part(x, Part::whole(x.dims2()?.1), kind)
    }

    fn norm_parts(&mut self, x: &Tensor, parts: &[(Part, NormKind)]) -> Result<Tensor, ModelError> {
        parts.iter().try_fold(x.clone(), |x, (part, kind)| self.norm_part(&x, *part, *kind))
    }

    fn project(&mut self, x: &Tensor, projections: &[Projection]) -> Result<Tensor, ModelError> {
        // One product with all weights stacked, so that its chains of sums continue from one to the next.
        let stacked = |tensors: Vec<Tensor>| match tensors.as_slice() {
            [one] => Ok(one.clone()),
            several => Tensor::cat(several, 0),
        };
        let weight = stacked(projections.iter().map(|projection| self.get(projection.weight)).collect())?;
        let biases: Vec<Tensor> = projections.iter().filter_map(|p| p.bias).map(|bias| self.get(bias)).collect();
        let bias = match biases.len() {
            0 => None,
            all if all == projections.len() => Some(stacked(biases)?),
            _ => {
                return Err(ModelError::Input(
                    "some projections of a block have a bias, and some have none".to_owned(),
                ));
            }
        };
        Ok(kernels::linear(x, &weight, bias.as_ref())?)
    }

    fn rope(&mut self, qkv: Tensor, tables: &Arc<rope::Tables>, heads: Heads) -> Result<Tensor, ModelError> {
        Ok(kernels::turn(&qkv, tables, heads)?)
    }

    fn clip(&mut self, x: &Tensor, limit: f32) -> Result<Tensor, ModelError> {
        Ok(kernels::clip(x, limit)?)
    }

    fn attend(&mut self, qkv: &Tensor, attention: Attention) -> Result<Tensor, ModelError> {
        Ok(kernels::attend(qkv, attention)?)
    }

    fn gate(&mut self, x: &Tensor) -> Result<Tensor, ModelError> {
        Ok(kernels::gate(x)?)
    }

    fn gelu(&mut self, x: &Tensor, form: Gelu) -> Result<Tensor, ModelError> {
        Ok(kernels::gelu(x, form)?)
    }

    fn add(&mut self, to: Tensor, from: &Tensor) -> Result<Tensor, ModelError> {
        // candle computes the gradient through the second argument first, and `to` was made after `from`.
        Ok(kernels::add(from, &to)?)
    }

    fn dropout(&mut self, x: Tensor) -> Result<Tensor, ModelError> {
        let Some(dropout) = self.dropout else { return Ok(x) };
        self.calls += 1;
        Ok(kernels::dropout(&x, dropout, self.calls - 1)?)
    }

    fn logits(&self, x: &Tensor, head: Parameter, each: &mut dyn FnMut(usize, &mut [f32])) -> Result<(), ModelError> {
        let (x, head) = (x.detach(), self.variables.get(head).as_detached_tensor());
        let (tokens, rows) = (x.dim(0)?, (MOST_LOGITS / head.dim(0)?).max(1));
        for first in (0..tokens).step_by(rows) {
            let logits = kernels::linear(&x.narrow(0, first, rows.min(tokens - first))?, &head, None)?;
            each(first, &mut logits.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(())
    }

    fn loss(
        mut self,
        x: Tensor,
        head: Parameter,
        Targets { targets, loss, scale }: Targets<'_>,
        gradient: &mut [f32],
    ) -> Result<Vec<Row>, ModelError> {
        let head = self.head.take().unwrap_or_else(|| self.get(head));
        let logits = kernels::linear(&x, &head, None)?;
        drop(x);
        let costs = kernels::cross_entropy(&logits, &Arc::from(targets), loss, scale)?;
        self.variables.gradient(&costs.backward()?, gradient)?;
        let rows = costs.flatten_all()?.to_vec1::<f32>()?;
        Ok(rows.as_chunks().0.iter().map(|[loss, z_loss]| Row { loss: *loss, z_loss: *z_loss }).collect())
    }
}

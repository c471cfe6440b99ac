//! OLMo 1 (Groeneveld et al., 2024): Llama with LayerNorm without parameters, and with queries, keys
//! and values that can be clipped.
//!
//! ```text
//! x   = embed(ids)
//! x   = x + attention(rope(clip(norm(x)·[Wq Wk Wv]ᵀ)))·Woᵀ     every layer
//! x   = x + swiglu(norm(x)·[Wgate Wup]ᵀ)·Wdownᵀ                every layer
//! out = norm(x)·Wheadᵀ
//! ```

use std::sync::Arc;

use retrace_numerics::attention::Attention;
use retrace_numerics::heads::Order;
use retrace_spec::Model;

use crate::ModelError;
use crate::architecture::heads;
use crate::frequencies::KeptTables;
use crate::llama::{around, projection, projections};
use crate::operations::{NormKind, Operations, Projection};
use crate::weights::{Layout, Parameter};

/// An OLMo 1 model, without its weights.
#[derive(Debug)]
pub(crate) struct Olmo {
    model: Model,
    embedding: Parameter,
    layers: Vec<Layer>,
    tables: KeptTables,
}

#[derive(Debug)]
struct Layer {
    query_key_value: [Projection; 3],
    attention_out: Projection,
    gate_up: [Projection; 2],
    down: Projection,
}

impl Olmo {
    pub(crate) fn shapes(model: &Model) -> Vec<(String, Vec<usize>)> {
        let layers = (0..model.num_hidden_layers).flat_map(|layer| projections(model, layer));
        around(model).into_iter().chain(layers).collect()
    }

    pub(crate) fn new(model: &Model, layout: &Layout) -> Result<Self, ModelError> {
        let layer = |layer: usize| {
            let part = |part: &str| projection(layout, &format!("model.layers.{layer}.{part}"));
            Ok(Layer {
                query_key_value: [part("self_attn.q_proj")?, part("self_attn.k_proj")?, part("self_attn.v_proj")?],
                attention_out: part("self_attn.o_proj")?,
                gate_up: [part("mlp.gate_proj")?, part("mlp.up_proj")?],
                down: part("mlp.down_proj")?,
            })
        };
        Ok(Self {
            embedding: layout.find("model.embed_tokens.weight")?,
            layers: (0..model.num_hidden_layers).map(layer).collect::<Result<_, ModelError>>()?,
            tables: KeptTables::default(),
            model: model.clone(),
        })
    }

    pub(crate) fn hidden<O: Operations>(
        &self,
        o: &mut O,
        ids: &Arc<[u32]>,
        positions: usize,
    ) -> Result<O::Value, ModelError> {
        let heads = heads(&self.model, positions, Order::Grouped);
        let attention = Attention { heads, window: None };
        let tables = self.tables.of(&self.model, None, positions);
        let norm = NormKind::Layer { parameters: None, epsilon: self.model.norm_epsilon() as f32 };
        let mut x = o.embed(self.embedding, ids)?;
        for layer in &self.layers {
            let h = o.norm(&x, norm)?;
            let mut qkv = o.project(&h, &layer.query_key_value)?;
            if let Some(limit) = self.model.clip_qkv {
                qkv = o.clip(&qkv, limit as f32)?;
            }
            let qkv = o.rope(qkv, &tables, heads)?;
            let mixed = o.attend(&qkv, attention)?;
            let y = o.project(&mixed, &[layer.attention_out])?;
            let y = o.dropout(y)?;
            x = o.add(y, &x)?;

            let h = o.norm(&x, norm)?;
            let gated = o.project(&h, &layer.gate_up)?;
            let gated = o.gate(&gated)?;
            let y = o.project(&gated, &[layer.down])?;
            let y = o.dropout(y)?;
            x = o.add(y, &x)?;
        }
        o.norm(&x, norm)
    }
}

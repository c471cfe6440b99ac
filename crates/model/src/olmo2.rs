//! OLMo 2 and 3 (OLMo Team, 2025): RMSNorm after each block instead of before it, and on the queries and keys of all
//! heads together; OLMo 3 with sliding windows in most layers.
//!
//! ```text
//! x   = embed(ids)
//! x   = x + norm(attention(rope([norm(x·Wqᵀ) norm(x·Wkᵀ) x·Wvᵀ]))·Woᵀ)     every layer
//! x   = x + norm(swiglu(x·[Wgate Wup]ᵀ)·Wdownᵀ)                            every layer
//! out = norm(x)·Wheadᵀ
//! ```

use std::sync::Arc;

use retrace_numerics::attention::Attention;
use retrace_numerics::heads::Order;
use retrace_numerics::norm::Part;
use retrace_spec::Model;

use crate::ModelError;
use crate::architecture::heads;
use crate::frequencies::KeptTables;
use crate::llama::{around, projection, projections};
use crate::operations::{NormKind, Operations, Projection};
use crate::weights::{Layout, Parameter};

/// An OLMo 2 or 3 model, without its weights.
#[derive(Debug)]
pub(crate) struct Olmo2 {
    model: Model,
    embedding: Parameter,
    layers: Vec<Layer>,
    plain_tables: KeptTables,
    tables: KeptTables,
    norm: NormKind,
}

#[derive(Debug)]
struct Layer {
    query_key_value: [Projection; 3],
    query_norm: NormKind,
    key_norm: NormKind,
    attention_out: Projection,
    attention_norm: NormKind,
    gate_up: [Projection; 2],
    down: Projection,
    feed_norm: NormKind,
}

impl Olmo2 {
    pub(crate) fn shapes(model: &Model) -> Vec<(String, Vec<usize>)> {
        let (queries, keys) =
            (model.num_attention_heads * model.head_size(), model.num_key_value_heads * model.head_size());
        let mut shapes = around(model);
        shapes.push(("model.norm.weight".to_owned(), vec![model.hidden_size]));
        for layer in 0..model.num_hidden_layers {
            shapes.extend(projections(model, layer));
            let norms = [
                ("self_attn.q_norm", queries),
                ("self_attn.k_norm", keys),
                ("post_attention_layernorm", model.hidden_size),
                ("post_feedforward_layernorm", model.hidden_size),
            ];
            shapes.extend(norms.map(|(norm, width)| (format!("model.layers.{layer}.{norm}.weight"), vec![width])));
        }
        shapes
    }

    pub(crate) fn new(model: &Model, layout: &Layout) -> Result<Self, ModelError> {
        let epsilon = model.norm_epsilon() as f32;
        let rms = |name: &str| Ok::<_, ModelError>(NormKind::Rms { weight: layout.find(name)?, epsilon });
        let layer = |layer: usize| {
            let part = |part: &str| projection(layout, &format!("model.layers.{layer}.{part}"));
            let norm = |norm: &str| rms(&format!("model.layers.{layer}.{norm}.weight"));
            Ok(Layer {
                query_key_value: [part("self_attn.q_proj")?, part("self_attn.k_proj")?, part("self_attn.v_proj")?],
                query_norm: norm("self_attn.q_norm")?,
                key_norm: norm("self_attn.k_norm")?,
                attention_out: part("self_attn.o_proj")?,
                attention_norm: norm("post_attention_layernorm")?,
                gate_up: [part("mlp.gate_proj")?, part("mlp.up_proj")?],
                down: part("mlp.down_proj")?,
                feed_norm: norm("post_feedforward_layernorm")?,
            })
        };
        Ok(Self {
            embedding: layout.find("model.embed_tokens.weight")?,
            layers: (0..model.num_hidden_layers).map(layer).collect::<Result<_, ModelError>>()?,
            norm: rms("model.norm.weight")?,
            plain_tables: KeptTables::default(),
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
        let row = heads.row();
        let queries = Part { row, first: 0, width: heads.heads * heads.size, vectors: 1 };
        let keys = Part { row, first: queries.width, width: heads.key_heads * heads.size, vectors: 1 };
        // Only full attention sees positions beyond the length that the model was first trained on.
        let plain = self.plain_tables.of(&self.model, None, positions);
        let stretched = self.tables.of(&self.model, self.model.rope_scaling.as_ref(), positions);
        let mut x = o.embed(self.embedding, ids)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let window = self.model.window(index);
            let tables = if window.is_some() { &plain } else { &stretched };
            let qkv = o.project(&x, &layer.query_key_value)?;
            let qkv = o.norm_parts(&qkv, &[(queries, layer.query_norm), (keys, layer.key_norm)])?;
            let qkv = o.rope(qkv, tables, heads)?;
            let mixed = o.attend(&qkv, Attention { heads, window })?;
            let y = o.project(&mixed, &[layer.attention_out])?;
            let y = o.norm(&y, layer.attention_norm)?;
            let y = o.dropout(y)?;
            x = o.add(y, &x)?;

            let gated = o.project(&x, &layer.gate_up)?;
            let gated = o.gate(&gated)?;
            let y = o.project(&gated, &[layer.down])?;
            let y = o.norm(&y, layer.feed_norm)?;
            let y = o.dropout(y)?;
            x = o.add(y, &x)?;
        }
        o.norm(&x, self.norm)
    }
}

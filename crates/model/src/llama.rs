//! Llama (Touvron et al., 2023), MAP-Neo and Amber: RMSNorm before each block, RoPE, grouped-query
//! attention, SwiGLU.
//!
//! ```text
//! x   = embed(ids)
//! x   = x + attention(rope(norm(x)·[Wq Wk Wv]ᵀ))·Woᵀ      every layer
//! x   = x + swiglu(norm(x)·[Wgate Wup]ᵀ)·Wdownᵀ           every layer
//! out = norm(x)·Wheadᵀ
//! ```
//!
//! Two families are Llama except for the queries and keys. In Qwen3 (Qwen Team, 2025), each head's queries and keys are
//! normalised by RMSNorm before RoPE, all heads of a layer with one weight for queries and one for keys. In SmolLM3
//! (Hugging Face, 2025), some layers do not use RoPE. In both, layers can have sliding windows.

use std::sync::Arc;

use retrace_numerics::attention::Attention;
use retrace_numerics::heads::Order;
use retrace_numerics::norm::Part;
use retrace_spec::Model;
use retrace_spec::model::Architecture;

use crate::ModelError;
use crate::architecture::heads;
use crate::frequencies::KeptTables;
use crate::operations::{NormKind, Operations, Projection};
use crate::weights::{Layout, Parameter};

/// The norms of each head's queries and keys in Qwen3.
const HEAD_NORMS: [&str; 2] = ["self_attn.q_norm", "self_attn.k_norm"];

/// A Llama, Qwen3 or SmolLM3 model, without its weights.
#[derive(Debug)]
pub(crate) struct Llama {
    model: Model,
    embedding: Parameter,
    layers: Vec<Layer>,
    tables: KeptTables,
    norm: NormKind,
}

#[derive(Debug)]
struct Layer {
    attention_norm: NormKind,
    query_key_value: [Projection; 3],
    /// The norms of each head's queries and keys. Qwen3 only.
    head_norms: Option<[NormKind; 2]>,
    attention_out: Projection,
    feed_norm: NormKind,
    gate_up: [Projection; 2],
    down: Projection,
}

impl Llama {
    pub(crate) fn shapes(model: &Model) -> Vec<(String, Vec<usize>)> {
        let mut shapes = around(model);
        shapes.push(("model.norm.weight".to_owned(), vec![model.hidden_size]));
        for layer in 0..model.num_hidden_layers {
            shapes.extend(projections(model, layer));
            for norm in ["input_layernorm", "post_attention_layernorm"] {
                shapes.push((format!("model.layers.{layer}.{norm}.weight"), vec![model.hidden_size]));
            }
            if model.architecture == Architecture::Qwen3 {
                for norm in HEAD_NORMS {
                    shapes.push((format!("model.layers.{layer}.{norm}.weight"), vec![model.head_size()]));
                }
            }
        }
        shapes
    }

    pub(crate) fn new(model: &Model, layout: &Layout) -> Result<Self, ModelError> {
        let epsilon = model.norm_epsilon() as f32;
        let rms = |name: &str| Ok::<_, ModelError>(NormKind::Rms { weight: layout.find(name)?, epsilon });
        let layer = |layer: usize| {
            let part = |part: &str| projection(layout, &format!("model.layers.{layer}.{part}"));
            let norm = |norm: &str| rms(&format!("model.layers.{layer}.{norm}.weight"));
            let [query_norm, key_norm] = HEAD_NORMS;
            Ok(Layer {
                attention_norm: norm("input_layernorm")?,
                query_key_value: [part("self_attn.q_proj")?, part("self_attn.k_proj")?, part("self_attn.v_proj")?],
                head_norms: match model.architecture {
                    Architecture::Qwen3 => Some([norm(query_norm)?, norm(key_norm)?]),
                    _ => None,
                },
                attention_out: part("self_attn.o_proj")?,
                feed_norm: norm("post_attention_layernorm")?,
                gate_up: [part("mlp.gate_proj")?, part("mlp.up_proj")?],
                down: part("mlp.down_proj")?,
            })
        };
        Ok(Self {
            embedding: layout.find("model.embed_tokens.weight")?,
            layers: (0..model.num_hidden_layers).map(layer).collect::<Result<_, ModelError>>()?,
            norm: rms("model.norm.weight")?,
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
        let (row, width) = (heads.row(), heads.size);
        let queries = Part { row, first: 0, width, vectors: heads.heads };
        let keys = Part { row, first: queries.elements(), width, vectors: heads.key_heads };
        let tables = self.tables.of(&self.model, self.model.rope_scaling.as_ref(), positions);
        let mut x = o.embed(self.embedding, ids)?;
        for (index, layer) in self.layers.iter().enumerate() {
            let h = o.norm(&x, layer.attention_norm)?;
            let mut qkv = o.project(&h, &layer.query_key_value)?;
            if let Some([query_norm, key_norm]) = layer.head_norms {
                qkv = o.norm_parts(&qkv, &[(queries, query_norm), (keys, key_norm)])?;
            }
            if self.model.uses_rope(index) {
                qkv = o.rope(qkv, &tables, heads)?;
            }
            let mixed = o.attend(&qkv, Attention { heads, window: self.model.window(index) })?;
            let y = o.project(&mixed, &[layer.attention_out])?;
            let y = o.dropout(y)?;
            x = o.add(y, &x)?;

            let h = o.norm(&x, layer.feed_norm)?;
            let gated = o.project(&h, &layer.gate_up)?;
            let gated = o.gate(&gated)?;
            let y = o.project(&gated, &[layer.down])?;
            let y = o.dropout(y)?;
            x = o.add(y, &x)?;
        }
        o.norm(&x, self.norm)
    }
}

/// The embedding and the head, with the names that all families except GPT-NeoX use.
pub(crate) fn around(model: &Model) -> Vec<(String, Vec<usize>)> {
    let table = vec![model.vocab_size, model.hidden_size];
    let mut shapes = vec![("model.embed_tokens.weight".to_owned(), table.clone())];
    if !model.tie_word_embeddings {
        shapes.push(("lm_head.weight".to_owned(), table));
    }
    shapes
}

/// A layer's projections, with the names that all families except GPT-NeoX use.
pub(crate) fn projections(model: &Model, layer: usize) -> Vec<(String, Vec<usize>)> {
    let (hidden, inner) = (model.hidden_size, model.intermediate_size);
    let queries = model.num_attention_heads * model.head_size();
    let keys = model.num_key_value_heads * model.head_size();
    let parts = [
        ("self_attn.q_proj", [queries, hidden], model.attention_bias),
        ("self_attn.k_proj", [keys, hidden], model.attention_bias),
        ("self_attn.v_proj", [keys, hidden], model.attention_bias),
        ("self_attn.o_proj", [hidden, queries], model.attention_bias),
        ("mlp.gate_proj", [inner, hidden], model.mlp_bias),
        ("mlp.up_proj", [inner, hidden], model.mlp_bias),
        ("mlp.down_proj", [hidden, inner], model.mlp_bias),
    ];
    let mut shapes = Vec::new();
    for (part, [outputs, inputs], bias) in parts {
        shapes.push((format!("model.layers.{layer}.{part}.weight"), vec![outputs, inputs]));
        if bias {
            shapes.push((format!("model.layers.{layer}.{part}.bias"), vec![outputs]));
        }
    }
    shapes
}

/// The projection called `name`, with its bias if it has one.
pub(crate) fn projection(layout: &Layout, name: &str) -> Result<Projection, ModelError> {
    Ok(Projection { weight: layout.find(&format!("{name}.weight"))?, bias: layout.find(&format!("{name}.bias")).ok() })
}

//! GPT-NeoX (Black et al., 2022) and Pythia: LayerNorm, partial RoPE, GELU, biases, and attention and feed-forward
//! block in parallel or in sequence.
//!
//! ```text
//! x   = embed(ids)
//! a   = attention(rope(norm1(x)·Wqkvᵀ + b))·Woᵀ + b                           every layer
//! x   = x + a + gelu(norm2(x)·Winᵀ + b)·Woutᵀ + b                parallel
//! x   = (x + a) + gelu(norm2(x + a)·Winᵀ + b)·Woutᵀ + b          sequential
//! out = norm(x)·Wheadᵀ
//! ```

use std::sync::Arc;

use retrace_numerics::attention::Attention;
use retrace_numerics::gelu::Gelu;
use retrace_numerics::heads::Order;
use retrace_spec::Model;
use retrace_spec::model::Activation;

use crate::ModelError;
use crate::architecture::heads;
use crate::frequencies::KeptTables;
use crate::llama::projection;
use crate::operations::{NormKind, Operations, Projection};
use crate::weights::{Layout, Parameter};

/// A GPT-NeoX model, without its weights.
#[derive(Debug)]
pub(crate) struct GptNeox {
    model: Model,
    embedding: Parameter,
    layers: Vec<Layer>,
    tables: KeptTables,
    norm: NormKind,
}

#[derive(Debug)]
struct Layer {
    attention_norm: NormKind,
    query_key_value: Projection,
    attention_out: Projection,
    feed_norm: NormKind,
    feed_in: Projection,
    feed_out: Projection,
}

impl GptNeox {
    pub(crate) fn shapes(model: &Model) -> Vec<(String, Vec<usize>)> {
        let (hidden, inner) = (model.hidden_size, model.intermediate_size);
        let table = vec![model.vocab_size, hidden];
        let mut shapes = vec![("gpt_neox.embed_in.weight".to_owned(), table.clone())];
        if !model.tie_word_embeddings {
            shapes.push(("embed_out.weight".to_owned(), table));
        }
        let norm = |name: String| [(format!("{name}.weight"), vec![hidden]), (format!("{name}.bias"), vec![hidden])];
        shapes.extend(norm("gpt_neox.final_layer_norm".to_owned()));
        for layer in 0..model.num_hidden_layers {
            let name = |part: &str| format!("gpt_neox.layers.{layer}.{part}");
            shapes.extend(norm(name("input_layernorm")));
            shapes.extend(norm(name("post_attention_layernorm")));
            let parts = [
                ("attention.query_key_value", [3 * hidden, hidden], model.attention_bias),
                ("attention.dense", [hidden, hidden], model.attention_bias),
                ("mlp.dense_h_to_4h", [inner, hidden], true),
                ("mlp.dense_4h_to_h", [hidden, inner], true),
            ];
            for (part, [outputs, inputs], bias) in parts {
                shapes.push((name(&format!("{part}.weight")), vec![outputs, inputs]));
                if bias {
                    shapes.push((name(&format!("{part}.bias")), vec![outputs]));
                }
            }
        }
        shapes
    }

    pub(crate) fn new(model: &Model, layout: &Layout) -> Result<Self, ModelError> {
        let epsilon = model.norm_epsilon() as f32;
        let norm = |name: &str| {
            let parameters = (layout.find(&format!("{name}.weight"))?, layout.find(&format!("{name}.bias"))?);
            Ok::<_, ModelError>(NormKind::Layer { parameters: Some(parameters), epsilon })
        };
        let layer = |layer: usize| {
            let name = |part: &str| format!("gpt_neox.layers.{layer}.{part}");
            let part = |part: &str| projection(layout, &name(part));
            Ok(Layer {
                attention_norm: norm(&name("input_layernorm"))?,
                query_key_value: part("attention.query_key_value")?,
                attention_out: part("attention.dense")?,
                feed_norm: norm(&name("post_attention_layernorm"))?,
                feed_in: part("mlp.dense_h_to_4h")?,
                feed_out: part("mlp.dense_4h_to_h")?,
            })
        };
        Ok(Self {
            embedding: layout.find("gpt_neox.embed_in.weight")?,
            layers: (0..model.num_hidden_layers).map(layer).collect::<Result<_, ModelError>>()?,
            norm: norm("gpt_neox.final_layer_norm")?,
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
        let heads = heads(&self.model, positions, Order::Interleaved);
        let attention = Attention { heads, window: None };
        let tables = self.tables.of(&self.model, None, positions);
        let form = match self.model.hidden_act {
            Some(Activation::GeluNew) => Gelu::Tanh,
            Some(Activation::Gelu) | None => Gelu::Exact,
        };
        let x = o.embed(self.embedding, ids)?;
        let mut x = o.dropout(x)?;
        for layer in &self.layers {
            let h = o.norm(&x, layer.attention_norm)?;
            let qkv = o.project(&h, &[layer.query_key_value])?;
            let qkv = o.rope(qkv, &tables, heads)?;
            let mixed = o.attend(&qkv, attention)?;
            let attended = o.project(&mixed, &[layer.attention_out])?;
            let attended = o.dropout(attended)?;
            let after = o.add(attended, &x)?;

            let parallel = self.model.use_parallel_residual == Some(true);
            let h = o.norm(if parallel { &x } else { &after }, layer.feed_norm)?;
            let inner = o.project(&h, &[layer.feed_in])?;
            let inner = o.gelu(&inner, form)?;
            let y = o.project(&inner, &[layer.feed_out])?;
            let y = o.dropout(y)?;
            x = o.add(y, &after)?;
        }
        o.norm(&x, self.norm)
    }
}

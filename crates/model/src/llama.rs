//! Llama (Touvron et al., 2023): RMSNorm before each block, RoPE, grouped-query attention, SwiGLU,
//! an untied head.

use std::sync::Arc;

use candle_core::Tensor;
use retrace_numerics::{attention, rope};
use retrace_spec::run::Model;

use crate::ops::{attend, embed, gate, linear, normalise, turn};
use crate::{ModelError, Weights};

/// A Llama-shaped model.
///
/// With x of shape (tokens, hidden size):
///
/// ```text
/// x   = embed(ids)
/// x   = x + attention(rope(norm(x) · [Wq Wk Wv]ᵀ)) · Woᵀ      every layer
/// x   = x + swiglu(norm(x) · [Wgate Wup]ᵀ) · Wdownᵀ           every layer
/// out = norm(x) · Wheadᵀ
/// ```
#[derive(Debug)]
pub struct Llama {
    model: Model,
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    head: Tensor,
    tables: Arc<rope::Tables>,
}

#[derive(Debug)]
struct Layer {
    attention_norm: Tensor,
    query_key_value: Tensor,
    attention_out: Tensor,
    feed_norm: Tensor,
    gate_up: Tensor,
    down: Tensor,
}

impl Llama {
    /// The name and shape of every weight.
    pub fn shapes(model: &Model) -> Vec<(String, Vec<usize>)> {
        let (hidden, inner) = (model.hidden_size, model.intermediate_size);
        let head = hidden / model.num_attention_heads;
        let keys = model.num_key_value_heads * head;
        let mut shapes = vec![
            ("model.embed_tokens.weight".to_owned(), vec![model.vocab_size, hidden]),
            ("model.norm.weight".to_owned(), vec![hidden]),
            ("lm_head.weight".to_owned(), vec![model.vocab_size, hidden]),
        ];
        for layer in 0..model.num_hidden_layers {
            let parts = [
                ("input_layernorm", vec![hidden]),
                ("self_attn.q_proj", vec![hidden, hidden]),
                ("self_attn.k_proj", vec![keys, hidden]),
                ("self_attn.v_proj", vec![keys, hidden]),
                ("self_attn.o_proj", vec![hidden, hidden]),
                ("post_attention_layernorm", vec![hidden]),
                ("mlp.gate_proj", vec![inner, hidden]),
                ("mlp.up_proj", vec![inner, hidden]),
                ("mlp.down_proj", vec![hidden, inner]),
            ];
            shapes.extend(parts.map(|(part, shape)| (format!("model.layers.{layer}.{part}.weight"), shape)));
        }
        shapes
    }

    /// The model with the given weights.
    ///
    /// Gradients flow to the weights. After an update of theirs, build it again: projections that
    /// read the same input are laid side by side here.
    ///
    /// # Errors
    /// If a weight is missing.
    pub fn new(model: &Model, weights: &Weights) -> Result<Self, ModelError> {
        let mut layers = Vec::with_capacity(model.num_hidden_layers);
        for layer in 0..model.num_hidden_layers {
            let get = |part: &str| weights.get(&format!("model.layers.{layer}.{part}.weight"));
            let queries_keys_values = [get("self_attn.q_proj")?, get("self_attn.k_proj")?, get("self_attn.v_proj")?];
            layers.push(Layer {
                attention_norm: get("input_layernorm")?.clone(),
                query_key_value: Tensor::cat(&queries_keys_values, 0)?,
                attention_out: get("self_attn.o_proj")?.clone(),
                feed_norm: get("post_attention_layernorm")?.clone(),
                gate_up: Tensor::cat(&[get("mlp.gate_proj")?, get("mlp.up_proj")?], 0)?,
                down: get("mlp.down_proj")?.clone(),
            });
        }
        let head_size = model.hidden_size / model.num_attention_heads;
        Ok(Self {
            embedding: weights.get("model.embed_tokens.weight")?.clone(),
            layers,
            norm: weights.get("model.norm.weight")?.clone(),
            head: weights.get("lm_head.weight")?.clone(),
            tables: Arc::new(rope::Tables::new(model.rope_theta, head_size, model.max_position_embeddings)),
            model: model.clone(),
        })
    }

    /// The description it was built from.
    pub const fn description(&self) -> &Model {
        &self.model
    }

    /// The logits, (tokens, vocabulary), of sequences of `positions` tokens that lie one after
    /// another in `ids`.
    ///
    /// # Errors
    /// If the tokens are not whole sequences, a sequence is too long for the model, or an id is
    /// outside the vocabulary.
    pub fn forward(&self, ids: &Arc<[u32]>, positions: usize) -> Result<Tensor, ModelError> {
        let model = &self.model;
        if positions == 0 || positions > model.max_position_embeddings || !ids.len().is_multiple_of(positions) {
            let what = format!(
                "{} tokens are not sequences of {positions}, at most {} each",
                ids.len(),
                model.max_position_embeddings
            );
            return Err(ModelError::Input(what));
        }
        if let Some(id) = ids.iter().find(|id| **id as usize >= model.vocab_size) {
            return Err(ModelError::Input(format!("token {id} is outside the vocabulary of {}", model.vocab_size)));
        }
        let shape = attention::Shape {
            positions,
            heads: model.num_attention_heads,
            key_heads: model.num_key_value_heads,
            size: model.hidden_size / model.num_attention_heads,
        };
        let epsilon = model.rms_norm_eps as f32;
        let mut x = embed(&self.embedding, ids)?;
        for layer in &self.layers {
            let qkv = linear(&normalise(&x, &layer.attention_norm, epsilon)?, &layer.query_key_value)?;
            let mixed = attend(&turn(&qkv, &self.tables, shape)?, shape)?;
            x = (x + linear(&mixed, &layer.attention_out)?)?;
            let gated = gate(&linear(&normalise(&x, &layer.feed_norm, epsilon)?, &layer.gate_up)?)?;
            x = (x + linear(&gated, &layer.down)?)?;
        }
        Ok(linear(&normalise(&x, &self.norm, epsilon)?, &self.head)?)
    }
}

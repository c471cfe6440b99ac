//! OLMo-core's checkpoints: the names of their tensors, which Hugging Face calls differently.
//!
//! Source: OLMo-core, `nn/hf/convert.py` (`OLMO_CORE_TO_HF_WEIGHT_MAPPINGS`, and the exceptions for Llama). Both have the
//! same order of the numbers in every tensor, also of queries and keys. Mixtures of experts are not covered.

use std::collections::BTreeMap;

use retrace_checkpoint::StoredTensor;
use retrace_spec::Model;
use retrace_spec::model::Architecture;

use crate::{Layout, ModelError};

/// Names outside the layers: OLMo-core's and Hugging Face's.
const OUTSIDE: [(&str, &str); 3] = [
    ("embeddings.weight", "model.embed_tokens.weight"),
    ("lm_head.norm.weight", "model.norm.weight"),
    ("lm_head.w_out.weight", "lm_head.weight"),
];

/// Names in a layer.
const INSIDE: [(&str, &str); 9] = [
    ("attention.w_q.weight", "self_attn.q_proj.weight"),
    ("attention.w_k.weight", "self_attn.k_proj.weight"),
    ("attention.w_v.weight", "self_attn.v_proj.weight"),
    ("attention.w_out.weight", "self_attn.o_proj.weight"),
    ("attention.q_norm.weight", "self_attn.q_norm.weight"),
    ("attention.k_norm.weight", "self_attn.k_norm.weight"),
    ("feed_forward.w1.weight", "mlp.gate_proj.weight"),
    ("feed_forward.w2.weight", "mlp.down_proj.weight"),
    ("feed_forward.w3.weight", "mlp.up_proj.weight"),
];

/// The norms of a layer: before its parts in Llama, and after them in OLMo 2 and 3.
const NORMS: [(&str, [&str; 2]); 2] = [
    ("attention_norm.weight", ["input_layernorm.weight", "post_attention_layernorm.weight"]),
    ("feed_forward_norm.weight", ["post_attention_layernorm.weight", "post_feedforward_layernorm.weight"]),
];

/// Hugging Face's name for a tensor of OLMo-core; `None` if it is not one of OLMo-core's.
fn hugging_face_name(architecture: Architecture, name: &str) -> Option<String> {
    if let Some((_, theirs)) = OUTSIDE.iter().find(|(ours, _)| *ours == name) {
        return Some((*theirs).to_owned());
    }
    let (layer, rest) = name.strip_prefix("blocks.")?.split_once('.')?;
    let norms = NORMS
        .iter()
        .map(|(ours, [before, after])| (*ours, if architecture == Architecture::Llama { *before } else { *after }));
    let theirs = INSIDE.into_iter().chain(norms).find(|(ours, _)| *ours == rest)?.1;
    Some(format!("model.layers.{layer}.{theirs}"))
}

/// The tensors of `model` under the names that Hugging Face has for them, from those of a checkpoint of OLMo-core; tensors
/// that have these names already keep them.
///
/// # Errors
/// If they are not exactly the tensors of the model, with its shapes.
pub fn named_by_hugging_face<'a>(
    model: &Model,
    tensors: &BTreeMap<&str, &'a StoredTensor>,
) -> Result<BTreeMap<String, &'a StoredTensor>, ModelError> {
    let name = |name: &str| hugging_face_name(model.architecture, name).unwrap_or_else(|| name.to_owned());
    let mut named: BTreeMap<String, &StoredTensor> = BTreeMap::new();
    for (ours, tensor) in tensors {
        if named.insert(name(ours), tensor).is_some() {
            return Err(ModelError::Unknown { name: (*ours).to_owned() });
        }
    }
    let layout = Layout::of(model);
    let mut needed = 0;
    for (name, shape, _) in layout.iter() {
        let tensor = named.get(name).ok_or_else(|| ModelError::Missing { name: name.to_owned() })?;
        if tensor.shape != shape {
            let (found, needed) = (format!("of the shape {:?}", tensor.shape), format!("the shape {shape:?}"));
            return Err(ModelError::Mismatch { name: name.to_owned(), found, needed });
        }
        needed += 1;
    }
    if named.len() > needed {
        let known = |name: &str| layout.iter().any(|(known, ..)| known == name);
        let extra = named.keys().find(|name| !known(name)).cloned().unwrap_or_default();
        return Err(ModelError::Unknown { name: extra });
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both() {
        let name = |architecture, name: &str| hugging_face_name(architecture, name).unwrap_or_default();
        for (ours, llama, olmo2) in [
            ("embeddings.weight", "model.embed_tokens.weight", "model.embed_tokens.weight"),
            (
                "blocks.31.attention_norm.weight",
                "model.layers.31.input_layernorm.weight",
                "model.layers.31.post_attention_layernorm.weight",
            ),
            (
                "blocks.0.feed_forward_norm.weight",
                "model.layers.0.post_attention_layernorm.weight",
                "model.layers.0.post_feedforward_layernorm.weight",
            ),
            (
                "blocks.0.feed_forward.w2.weight",
                "model.layers.0.mlp.down_proj.weight",
                "model.layers.0.mlp.down_proj.weight",
            ),
            ("layers.0.attention.wq.weight", "", ""),
            ("blocks.0.feed_forward_moe.router.weight", "", ""),
        ] {
            assert_eq!(
                (name(Architecture::Llama, ours), name(Architecture::Olmo2, ours)),
                (llama.to_owned(), olmo2.to_owned())
            );
        }
    }
}

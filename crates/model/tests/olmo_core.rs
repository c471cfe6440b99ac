//! Tensors under OLMo-core's names get those of Hugging Face, for models that transformers made.

#![allow(clippy::unwrap_used, reason = "a test may take a thing for granted")]

use std::collections::BTreeMap;
use std::path::Path;

use retrace_checkpoint::{Checkpoint, StoredTensor};
use retrace_files::{RegularFile, safetensors};
use retrace_model::hub::read_config;
use retrace_model::olmo_core::named_by_hugging_face;

/// OLMo-core's name, by its table from Hugging Face's (`HF_TO_OLMO_CORE_WEIGHT_MAPPINGS`).
fn of_olmo_core(name: &str, llama: bool) -> String {
    let Some((layer, rest)) = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.')) else {
        let outside =
            [("model.embed_tokens", "embeddings"), ("model.norm", "lm_head.norm"), ("lm_head", "lm_head.w_out")];
        let (theirs, ours) = outside.into_iter().find(|(theirs, _)| name == format!("{theirs}.weight")).unwrap();
        return name.replace(theirs, ours);
    };
    let inside = [
        ("self_attn.q_proj", "attention.w_q"),
        ("self_attn.k_proj", "attention.w_k"),
        ("self_attn.v_proj", "attention.w_v"),
        ("self_attn.o_proj", "attention.w_out"),
        ("self_attn.q_norm", "attention.q_norm"),
        ("self_attn.k_norm", "attention.k_norm"),
        ("mlp.gate_proj", "feed_forward.w1"),
        ("mlp.down_proj", "feed_forward.w2"),
        ("mlp.up_proj", "feed_forward.w3"),
        ("input_layernorm", "attention_norm"),
        ("post_attention_layernorm", if llama { "feed_forward_norm" } else { "attention_norm" }),
        ("post_feedforward_layernorm", "feed_forward_norm"),
    ];
    let (theirs, ours) = inside.into_iter().find(|(theirs, _)| rest == format!("{theirs}.weight")).unwrap();
    format!("blocks.{layer}.{}", rest.replace(theirs, ours))
}

#[test]
fn each_tensor_gets_its_name() {
    for family in ["llama", "olmo2", "olmo3"] {
        let hub = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hub").join(family);
        let model = read_config(RegularFile::open(&hub.join("config.json")).unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let renamed: BTreeMap<String, _> = safetensors::read(&hub.join("model.safetensors"))
            .unwrap()
            .into_iter()
            .map(|(name, tensor)| (of_olmo_core(&name, family == "llama"), tensor))
            .collect();
        safetensors::write(&directory.path().join("model.safetensors"), &renamed).unwrap();
        let checkpoint = Checkpoint::open(directory.path()).unwrap();
        let mut tensors: BTreeMap<&str, &StoredTensor> =
            checkpoint.tensors().iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let named = named_by_hugging_face(&model, &tensors).unwrap();
        let expected = Checkpoint::open(&hub).unwrap();
        assert!(named.keys().eq(expected.tensors().keys()));
        for (name, tensor) in &named {
            assert_eq!(tensor.digest().unwrap(), expected.tensors()[name].digest().unwrap(), "{name}");
        }
        // Names of Hugging Face stay; a tensor too many or too few is refused.
        let already = expected.tensors().iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        assert_eq!(named_by_hugging_face(&model, &already).unwrap().len(), named.len());
        let embeddings = tensors["embeddings.weight"];
        tensors.insert("optim.step", embeddings);
        let said = named_by_hugging_face(&model, &tensors).unwrap_err().to_string();
        assert_eq!(said, "tensor optim.step is not part of the model");
        tensors.remove("embeddings.weight");
        let said = named_by_hugging_face(&model, &tensors).unwrap_err().to_string();
        assert_eq!(said, "tensor model.embed_tokens.weight is missing from the weights");
    }
}

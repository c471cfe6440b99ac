//! Models in the checkpoint format of llama2.c (github.com/karpathy/llama2.c), whose layout
//! `retrace-files` knows.

use std::collections::BTreeMap;
use std::path::Path;

use retrace_files::read_tensors;
use retrace_files::safetensors::Tensor;
use retrace_spec::Model;
use retrace_spec::model::Architecture;

use crate::{ModelError, Weights};

/// Reads the Llama in the file at `path`. Its weights get their names and order in Hugging Face's
/// directories; their bits stay.
///
/// # Errors
/// If it cannot be read, or is no such file.
pub fn read(path: &Path) -> Result<(Model, Weights), ModelError> {
    let refuse = |what: &str| ModelError::Config { path: path.to_owned(), what: what.to_owned() };
    let tensors = read_tensors(path)?.filter(|tensors| tensors.contains_key("token_embedding_table"));
    let mut tensors = tensors.ok_or_else(|| refuse("is no checkpoint of llama2.c"))?;
    let model = describe(&tensors).ok_or_else(|| refuse("its tensors do not fit one another"))?;
    model.check().map_err(|(field, what)| refuse(&format!("{field}: {what}")))?;
    let heads = |name: &str| match name {
        "wq" => Some(model.num_attention_heads),
        "wk" => Some(model.num_key_value_heads),
        _ => None,
    };
    // The tables follow from the description.
    tensors.retain(|name, _| !name.starts_with("freq_cis"));
    let mut renamed = BTreeMap::new();
    for (name, mut tensor) in tensors {
        let new = match name.as_str() {
            "token_embedding_table" => "model.embed_tokens.weight".to_owned(),
            "rms_final_weight" => "model.norm.weight".to_owned(),
            "wcls" => "lm_head.weight".to_owned(),
            _ => {
                let (layer, part) = name.rsplit_once('.').unwrap_or_default();
                let module = match part {
                    "wq" => "self_attn.q_proj",
                    "wk" => "self_attn.k_proj",
                    "wv" => "self_attn.v_proj",
                    "wo" => "self_attn.o_proj",
                    "w1" => "mlp.gate_proj",
                    "w2" => "mlp.down_proj",
                    "w3" => "mlp.up_proj",
                    "rms_att_weight" => "input_layernorm",
                    "rms_ffn_weight" => "post_attention_layernorm",
                    _ => return Err(ModelError::Unknown { name }),
                };
                if let Some(heads) = heads(part) {
                    split_pairs(&mut tensor, heads);
                }
                format!("model.{layer}.{module}.weight")
            }
        };
        renamed.insert(new, tensor);
    }
    let weights = Weights::from_tensors(&model, renamed)?;
    Ok((model, weights))
}

/// The model, as the tensors' shapes tell it; what they don't tell is llama2.c's.
fn describe(tensors: &BTreeMap<String, Tensor>) -> Option<Model> {
    let shape = |name: &str| tensors.get(name)?.shape.first_chunk::<2>().copied();
    let [vocab_size, hidden_size] = shape("token_embedding_table")?;
    let [intermediate_size, _] = shape("layers.0.w1")?;
    let [max_position_embeddings, half] = shape("freq_cis_real")?;
    let [keys, _] = shape("layers.0.wk")?;
    Some(Model {
        architecture: Architecture::Llama,
        vocab_size,
        hidden_size,
        intermediate_size,
        num_hidden_layers: tensors.keys().filter(|name| name.ends_with(".wq")).count(),
        num_attention_heads: hidden_size.checked_div(2 * half)?,
        num_key_value_heads: keys.checked_div(2 * half)?,
        head_dim: None,
        max_position_embeddings,
        rope_theta: 10_000.0,
        rope_scaling: None,
        rotary_pct: None,
        rms_norm_eps: Some(1e-5),
        layer_norm_eps: None,
        use_parallel_residual: None,
        hidden_act: None,
        attention_bias: false,
        mlp_bias: false,
        clip_qkv: None,
        sliding_window: None,
        layer_types: None,
        tie_word_embeddings: !tensors.contains_key("wcls"),
        initializer_range: 0.02,
    })
}

/// Turns rows that RoPE takes in pairs, as in the paper (Su et al., 2021), into those that it takes
/// from the two halves of a head, as in Hugging Face's models: row 2i to i, row 2i + 1 to i + half.
fn split_pairs(tensor: &mut Tensor, heads: usize) {
    let head = tensor.bytes.len() / heads;
    let row = tensor.bytes.len() / tensor.shape[0];
    let mut split = Vec::with_capacity(tensor.bytes.len());
    for head in tensor.bytes.chunks(head) {
        for first in [0, 1] {
            head.chunks(row).skip(first).step_by(2).for_each(|row| split.extend_from_slice(row));
        }
    }
    tensor.bytes = split;
}

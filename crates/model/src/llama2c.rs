//! Models of llama2.c (github.com/karpathy/llama2.c): its export, whose layout `retrace-files` reads, and the PyTorch
//! checkpoint of its training.

use std::collections::BTreeMap;
use std::path::Path;

use retrace_checkpoint::{Checkpoint, CheckpointError};
use retrace_files::safetensors::Tensor;
use retrace_files::{RegularFile, torch};
use retrace_spec::Model;
use retrace_spec::model::Architecture;

use crate::{ModelError, Weights};

mod checkpoint;

/// The content of a llama2.c file. Names and order are those of Hugging Face's directories; the bits are unchanged.
#[derive(Debug)]
pub struct Released {
    /// The model.
    pub model: Model,
    /// Its weights.
    pub weights: Weights,
    /// Its training progress; only a PyTorch checkpoint has it.
    pub iterations: Option<u64>,
    /// The optimizer's state, if the file has it.
    pub optimizer: Option<Moments>,
}

/// The state of AdamW.
#[derive(Debug)]
pub struct Moments {
    /// The number of updates that the moments have received.
    pub updates: u64,
    /// The first moment of each weight (`exp_avg`).
    pub first: Weights,
    /// The second (`exp_avg_sq`).
    pub second: Weights,
}

/// Reads the Llama in the file at `path`: an export in llama2.c's first format, or a checkpoint.
///
/// # Errors
/// If it cannot be read, or is neither.
pub fn read(path: &Path) -> Result<Released, ModelError> {
    let refuse = |what: String| ModelError::Config { path: path.to_owned(), what };
    let file = RegularFile::open(path)?;
    let tensors = match Checkpoint::open(path) {
        Ok(checkpoint) => checkpoint.read_all()?,
        Err(CheckpointError::Empty { .. } | CheckpointError::Unreadable { .. }) => BTreeMap::new(),
        Err(error) => return Err(error.into()),
    };
    if tensors.contains_key("token_embedding_table") {
        let model = describe(&tensors).ok_or_else(|| refuse("its tensors do not fit together".to_owned()))?;
        model.check().map_err(|(field, what)| refuse(format!("{field}: {what}")))?;
        let weights = place(&model, tensors)?;
        return Ok(Released { model, weights, iterations: None, optimizer: None });
    }
    match torch::Checkpoint::read(&file)? {
        Some(found) if found.top().get("model_args").is_some() => checkpoint::read(path, found.top(), tensors),
        _ => Err(refuse("is not a checkpoint of llama2.c".to_owned())),
    }
}

/// Weights, or tensors with the same layout, from tensors with the names of the export.
fn place(model: &Model, mut tensors: BTreeMap<String, Tensor>) -> Result<Weights, ModelError> {
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
    Weights::from_tensors(model, renamed)
}

/// The model, derived from the export's shapes.
fn describe(tensors: &BTreeMap<String, Tensor>) -> Option<Model> {
    let shape = |name: &str| tensors.get(name)?.shape.first_chunk::<2>().copied();
    let [vocab_size, hidden_size] = shape("token_embedding_table")?;
    let [intermediate_size, _] = shape("layers.0.w1")?;
    let [max_position_embeddings, half] = shape("freq_cis_real")?;
    let [keys, _] = shape("layers.0.wk")?;
    Some(Model {
        vocab_size,
        hidden_size,
        intermediate_size,
        num_hidden_layers: tensors.keys().filter(|name| name.ends_with(".wq")).count(),
        num_attention_heads: hidden_size.checked_div(2 * half)?,
        num_key_value_heads: keys.checked_div(2 * half)?,
        max_position_embeddings,
        tie_word_embeddings: !tensors.contains_key("wcls"),
        ..llama()
    })
}

/// The settings that all models of llama2.c have in common; the sizes are set later.
const fn llama() -> Model {
    Model {
        architecture: Architecture::Llama,
        vocab_size: 0,
        hidden_size: 0,
        intermediate_size: 0,
        num_hidden_layers: 0,
        num_attention_heads: 0,
        num_key_value_heads: 0,
        head_dim: None,
        max_position_embeddings: 0,
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
        no_rope_layers: None,
        tie_word_embeddings: true,
        initializer_range: 0.02,
    }
}

/// Reorders rows from RoPE's pairing of neighbours, as in the paper (Su et al., 2021), to the pairing of the two
/// halves of a head, as in Hugging Face's models: row 2i to i, row 2i + 1 to i + half. A tensor of another shape is
/// not changed, and is refused later because of its shape.
fn split_pairs(tensor: &mut Tensor, heads: usize) {
    let [rows, _] = tensor.shape[..] else { return };
    if tensor.bytes.is_empty() || heads == 0 || !rows.is_multiple_of(2 * heads) {
        return;
    }
    let (head, row) = (tensor.bytes.len() / heads, tensor.bytes.len() / rows);
    let mut split = Vec::with_capacity(tensor.bytes.len());
    for head in tensor.bytes.chunks(head) {
        for first in [0, 1] {
            head.chunks(row).skip(first).step_by(2).for_each(|row| split.extend_from_slice(row));
        }
    }
    tensor.bytes = split;
}

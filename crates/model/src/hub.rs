//! Hugging Face directories: `config.json` and `model.safetensors`.

use std::path::Path;

use retrace_files::{FileError, safetensors, write_whole};
use retrace_spec::run::{Architecture, Model};
use serde::{Deserialize, Serialize};

use crate::{ModelError, Weights};

/// The configuration's name in its directory.
const CONFIG: &str = "config.json";
/// The weights' name in their directory.
const WEIGHTS: &str = "model.safetensors";

/// Writes the model into `directory`, so that `transformers` opens it too.
///
/// # Errors
/// If a file cannot be written.
pub fn write(directory: &Path, model: &Model, weights: &Weights) -> Result<(), ModelError> {
    let path = directory.join(CONFIG);
    let mut config = serde_json::to_string_pretty(&HubConfig::from(model))
        .map_err(|e| ModelError::Config { path: path.clone(), what: e.to_string() })?;
    config.push('\n');
    write_whole(&path, config.as_bytes())?;
    safetensors::write(&directory.join(WEIGHTS), &weights.to_tensors()?)?;
    Ok(())
}

/// Reads the model in `directory`.
///
/// # Errors
/// If a file cannot be read, or describes anything but a Llama without biases and with an untied
/// head, or the weights are not its.
pub fn read(directory: &Path) -> Result<(Model, Weights), ModelError> {
    let model = read_config(&directory.join(CONFIG))?;
    let weights = Weights::from_tensors(&model, safetensors::read(&directory.join(WEIGHTS))?)?;
    Ok((model, weights))
}

/// What `transformers` needs to open the model, and what is read back here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct HubConfig {
    architectures: Vec<String>,
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    max_position_embeddings: usize,
    rope_theta: f64,
    rms_norm_eps: f64,
    initializer_range: f64,
    hidden_act: String,
    attention_bias: bool,
    mlp_bias: bool,
    tie_word_embeddings: bool,
    torch_dtype: String,
}

impl From<&Model> for HubConfig {
    fn from(model: &Model) -> Self {
        let (class, kind) = match model.architecture {
            Architecture::Llama => ("LlamaForCausalLM", "llama"),
        };
        Self {
            architectures: vec![class.to_owned()],
            model_type: kind.to_owned(),
            vocab_size: model.vocab_size,
            hidden_size: model.hidden_size,
            intermediate_size: model.intermediate_size,
            num_hidden_layers: model.num_hidden_layers,
            num_attention_heads: model.num_attention_heads,
            num_key_value_heads: model.num_key_value_heads,
            max_position_embeddings: model.max_position_embeddings,
            rope_theta: model.rope_theta,
            rms_norm_eps: model.rms_norm_eps,
            initializer_range: model.initializer_range,
            hidden_act: "silu".to_owned(),
            attention_bias: false,
            mlp_bias: false,
            tie_word_embeddings: false,
            torch_dtype: "float32".to_owned(),
        }
    }
}

/// Reads the file at `path` as a model that can be computed here.
fn read_config(path: &Path) -> Result<Model, ModelError> {
    let text = std::fs::read_to_string(path).map_err(|source| FileError::Io {
        path: path.to_owned(),
        doing: "read",
        source,
    })?;
    let refuse = |what: String| ModelError::Config { path: path.to_owned(), what };
    let config: HubConfig = serde_json::from_str(&text).map_err(|e| refuse(e.to_string()))?;
    let known = [
        ("model_type", config.model_type == "llama"),
        ("hidden_act", config.hidden_act == "silu"),
        ("attention_bias", !config.attention_bias),
        ("mlp_bias", !config.mlp_bias),
        ("tie_word_embeddings", !config.tie_word_embeddings),
    ];
    if let Some((field, _)) = known.into_iter().find(|(_, known)| !known) {
        return Err(refuse(format!(
            "{field}: only a Llama with silu, no biases and an untied head can be computed here"
        )));
    }
    let model = Model {
        architecture: Architecture::Llama,
        vocab_size: config.vocab_size,
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        num_hidden_layers: config.num_hidden_layers,
        num_attention_heads: config.num_attention_heads,
        num_key_value_heads: config.num_key_value_heads,
        max_position_embeddings: config.max_position_embeddings,
        rope_theta: config.rope_theta,
        rms_norm_eps: config.rms_norm_eps,
        initializer_range: config.initializer_range,
    };
    model.check().map_err(|(field, what)| refuse(format!("{field}: {what}")))?;
    Ok(model)
}

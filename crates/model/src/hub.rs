//! Hugging Face directories: `config.json`, and `model.safetensors` whole or in shards.

use std::collections::BTreeMap;
use std::path::Path;

use retrace_files::{FileError, safetensors, write_whole};
use retrace_spec::Model;
use serde::Deserialize;

use crate::{ModelError, Weights, config};

/// The configuration's name in its directory.
const CONFIG: &str = "config.json";
/// The weights' name in their directory.
const WEIGHTS: &str = "model.safetensors";
/// The name of the list of shards.
const INDEX: &str = "model.safetensors.index.json";

/// Writes the model into `directory`, so that `transformers` opens it too.
///
/// # Errors
/// If a file cannot be written.
pub fn write(directory: &Path, model: &Model, weights: &Weights) -> Result<(), ModelError> {
    let path = directory.join(CONFIG);
    let mut config = serde_json::to_string_pretty(&config::to_json(model))
        .map_err(|e| ModelError::Config { path: path.clone(), what: e.to_string() })?;
    config.push('\n');
    write_whole(&path, config.as_bytes())?;
    safetensors::write_views(&directory.join(WEIGHTS), &weights.to_tensors())?;
    Ok(())
}

/// Reads the model in `directory`.
///
/// # Errors
/// If a file cannot be read, or describes a model that cannot be computed here, or the weights are
/// not its.
pub fn read(directory: &Path) -> Result<(Model, Weights), ModelError> {
    let model = read_config(&directory.join(CONFIG))?;
    let weights = Weights::from_tensors(&model, read_tensors(directory)?)?;
    Ok((model, weights))
}

/// Reads the `config.json` at `path`.
///
/// # Errors
/// If it cannot be read, or describes a model that cannot be computed here.
pub fn read_config(path: &Path) -> Result<Model, ModelError> {
    let text = std::fs::read_to_string(path).map_err(FileError::io(path, "read"))?;
    config::from_json(&text).map_err(|what| ModelError::Config { path: path.to_owned(), what })
}

/// Which file holds which tensor.
#[derive(Debug, Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn read_tensors(directory: &Path) -> Result<BTreeMap<String, safetensors::Tensor>, ModelError> {
    let (whole, path) = (directory.join(WEIGHTS), directory.join(INDEX));
    if whole.exists() || !path.exists() {
        return Ok(safetensors::read(&whole)?);
    }
    let refuse = |what: String| ModelError::Config { path: path.clone(), what };
    let text = std::fs::read_to_string(&path).map_err(FileError::io(&path, "read"))?;
    let Index { weight_map } = serde_json::from_str(&text).map_err(|e| refuse(e.to_string()))?;
    let mut shards: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (tensor, shard) in &weight_map {
        shards.entry(shard).or_default().push(tensor);
    }
    let mut tensors = BTreeMap::new();
    for (shard, names) in shards {
        if shard.contains(['/', '\\']) || !shard.ends_with(".safetensors") {
            return Err(refuse(format!("{shard:?} is not the name of a shard beside it")));
        }
        let mut held = safetensors::read(&directory.join(shard))?;
        for name in names {
            let Some(tensor) = held.remove(name) else {
                return Err(refuse(format!("{name} is said to be in {shard}, but is not")));
            };
            tensors.insert(name.to_owned(), tensor);
        }
        if let Some((name, _)) = held.pop_first() {
            return Err(refuse(format!("{shard} holds {name}, which is not listed there")));
        }
    }
    Ok(tensors)
}

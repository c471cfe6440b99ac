//! Hugging Face directories: `config.json`, and `model.safetensors` whole or in shards.

use std::collections::BTreeMap;

use retrace_files::{FileError, RegularFile, Root, safetensors};
use retrace_spec::{Model, PathError, RelPath};
use serde::Deserialize;

use crate::{ModelError, Weights, check_memory, config};

/// The configuration's name in its directory.
const CONFIG: &str = "config.json";
/// The weights' name in their directory.
const WEIGHTS: &str = "model.safetensors";
/// The name of the list of shards.
const INDEX: &str = "model.safetensors.index.json";
/// More than this no `config.json` has; those of the largest models have some kilobytes.
const LONGEST_CONFIG: u64 = 4 << 20;
/// More than this no list of shards has; one of 100,000 tensors has some ten megabytes.
const LONGEST_INDEX: u64 = 64 << 20;

/// Writes the model into `directory`, so that `transformers` opens it too.
///
/// # Errors
/// If a file cannot be written.
pub fn write(directory: &Root, model: &Model, weights: &Weights) -> Result<(), ModelError> {
    let path = directory.path().join(CONFIG);
    let mut config = serde_json::to_string_pretty(&config::to_json(model))
        .map_err(|e| ModelError::Config { path: path.clone(), what: e.to_string() })?;
    config.push('\n');
    directory.write(&name(CONFIG)?, config.as_bytes())?;
    safetensors::write_views(directory.create(&name(WEIGHTS)?)?, &weights.to_tensors())?;
    Ok(())
}

/// Reads the model in `directory`.
///
/// # Errors
/// If a file cannot be read, or describes a model that cannot be computed here, or the weights are
/// not its.
pub fn read(directory: &Root) -> Result<(Model, Weights), ModelError> {
    let model = read_config(directory.file(&name(CONFIG)?)?)?;
    check_memory(&model, 1, 0)?;
    let weights = Weights::from_tensors(&model, read_tensors(directory)?)?;
    Ok((model, weights))
}

/// Reads the `config.json` that is `file`.
///
/// # Errors
/// If it cannot be read, or describes a model that cannot be computed here.
pub fn read_config(file: RegularFile) -> Result<Model, ModelError> {
    let path = file.path().to_owned();
    config::from_json(&file.text(LONGEST_CONFIG)?).map_err(|what| ModelError::Config { path, what })
}

/// The path of a file directly in the directory.
fn name(name: &str) -> Result<RelPath, ModelError> {
    name.parse().map_err(|e: PathError| ModelError::File(FileError::Name { path: name.into(), what: e.to_string() }))
}

/// Which file holds which tensor.
#[derive(Debug, Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn read_tensors(directory: &Root) -> Result<BTreeMap<String, safetensors::Tensor>, ModelError> {
    let (whole, index) = (name(WEIGHTS)?, name(INDEX)?);
    if directory.has(&whole) || !directory.has(&index) {
        return Ok(safetensors::read_all(&directory.file(&whole)?)?);
    }
    let path = index.under(directory.path());
    let refuse = |what: String| ModelError::Config { path: path.clone(), what };
    let text = directory.file(&index)?.text(LONGEST_INDEX)?;
    let Index { weight_map } = serde_json::from_str(&text).map_err(|e| refuse(e.to_string()))?;
    let mut shards: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (tensor, shard) in &weight_map {
        shards.entry(shard).or_default().push(tensor);
    }
    let mut tensors = BTreeMap::new();
    for (shard, names) in shards {
        let beside = shard.parse::<RelPath>().ok().filter(|path| path.parent().is_none());
        let Some(beside) = beside.filter(|_| shard.ends_with(".safetensors")) else {
            return Err(refuse(format!("{shard:?} is not the name of a file in the same directory")));
        };
        let mut held = safetensors::read_all(&directory.file(&beside)?)?;
        for name in names {
            let Some(tensor) = held.remove(name) else {
                return Err(refuse(format!("{name} should be in {shard}, but is not")));
            };
            tensors.insert(name.to_owned(), tensor);
        }
        if let Some((name, _)) = held.pop_first() {
            return Err(refuse(format!("{shard} has {name}, which the index does not list")));
        }
    }
    Ok(tensors)
}

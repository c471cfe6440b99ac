//! Hugging Face directories: `config.json`, and the weights as [`Checkpoint`] finds them.

use retrace_checkpoint::Checkpoint;
use retrace_files::{FileError, RegularFile, Root, safetensors};
use retrace_spec::{Model, PathError, RelPath};

use crate::config::{self, Refused};
use crate::{Inference, ModelError, Weights, check_memory};

/// The configuration's file name.
const CONFIG: &str = "config.json";
/// The file name of the weights that are written.
const WEIGHTS: &str = "model.safetensors";
/// No `config.json` is longer than this; those of the largest models have some kilobytes.
const LONGEST_CONFIG: u64 = 4 << 20;

/// Writes the model into `directory`; `transformers` can open it too.
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
/// If a file cannot be read, or describes a model that is not supported here, or the weights do not fit it.
pub fn read(directory: &Root) -> Result<(Model, Weights), ModelError> {
    let model = read_config(directory.file(&name(CONFIG)?)?)?;
    check_memory(&model, 1, 0)?;
    let weights = Weights::from_tensors(&model, Checkpoint::in_directory(directory)?.read_all()?)?;
    Ok((model, weights))
}

/// Reads the model in `directory` for inference by the fused engine. Its weights stay in the type of their file.
///
/// # Errors
/// As [`read`].
pub fn read_stored(directory: &Root) -> Result<Inference, ModelError> {
    let model = read_config(directory.file(&name(CONFIG)?)?)?;
    Inference::stored(&model, Checkpoint::in_directory(directory)?.read_all()?)
}

/// Reads the `config.json` that is `file`.
///
/// # Errors
/// If it cannot be read, or describes a model that is not supported here.
pub fn read_config(file: RegularFile) -> Result<Model, ModelError> {
    let path = file.path().to_owned();
    config::from_json(&file.text(LONGEST_CONFIG)?).map_err(|refused| match refused {
        Refused::Invalid(what) => ModelError::Config { path, what },
        Refused::NotComputed(architecture) => ModelError::NotComputed { path, architecture },
    })
}

/// The path of a file directly in the directory.
fn name(name: &str) -> Result<RelPath, ModelError> {
    name.parse().map_err(|e: PathError| ModelError::File(FileError::Name { path: name.into(), what: e.to_string() }))
}

//! Where the weights of a checkpoint are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use retrace_files::safetensors::Place;
use retrace_files::{FileError, tensor_places};
use thiserror::Error;

/// Why a checkpoint's weights are not to be had.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A directory or file has no weights.
    #[error("{} holds no weights", path.display())]
    Empty {
        /// The directory or file.
        path: PathBuf,
    },
    /// A tensor is in two files of a checkpoint.
    #[error("{}: has tensor {name:?} in two files", path.display())]
    Twice {
        /// The directory.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
}

/// The tensors of a checkpoint, by name: the file of each, and where it lies there.
pub type Places = BTreeMap<String, (PathBuf, Place)>;

/// The weights in a directory (`model*.safetensors`, or else `pytorch_model*.bin`) or file.
///
/// # Errors
/// If they cannot be read, there are none, or a tensor is in two files.
pub fn weights(path: &Path) -> Result<Places, WeightsError> {
    let mut files = Vec::new();
    if path.is_dir() {
        let mut named = BTreeMap::new();
        for entry in std::fs::read_dir(path).map_err(FileError::io(path, "list"))? {
            let entry = entry.map_err(FileError::io(path, "list"))?;
            named.insert(entry.file_name().to_string_lossy().into_owned(), entry.path());
        }
        for [begin, end] in [["model", ".safetensors"], ["pytorch_model", ".bin"]] {
            if files.is_empty() {
                files.extend(
                    named
                        .iter()
                        .filter(|(name, _)| name.starts_with(begin) && name.ends_with(end))
                        .map(|(_, path)| path.clone()),
                );
            }
        }
    } else {
        files.push(path.to_owned());
    }
    let mut places = BTreeMap::new();
    for file in files {
        for (name, place) in tensor_places(&file)?.unwrap_or_default() {
            if places.insert(name.clone(), (file.clone(), place)).is_some() {
                return Err(WeightsError::Twice { path: path.to_owned(), name });
            }
        }
    }
    match places.is_empty() {
        true => Err(WeightsError::Empty { path: path.to_owned() }),
        false => Ok(places),
    }
}

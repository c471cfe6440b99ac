//! Where the weights of a checkpoint are.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use retrace_files::safetensors::TensorLocation;
use retrace_files::{FileError, RegularFile, Root, tensor_places};
use retrace_spec::RelPath;
use thiserror::Error;

/// Why a checkpoint's weights are not to be had.
#[derive(Debug, Error)]
pub enum WeightsError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A directory or file has no weights.
    #[error("{} has no weights", path.display())]
    Empty {
        /// The directory or file.
        path: PathBuf,
    },
    /// A tensor is in two files of a checkpoint.
    #[error("{}: tensor {name:?} is in two files", path.display())]
    Twice {
        /// The directory.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
}

/// A file of a checkpoint. It is opened when it is read, so that a long series of checkpoints needs few
/// open files.
#[derive(Debug, Clone)]
pub enum Shard {
    /// One that a user named.
    Named(PathBuf),
    /// One in the directory of a checkpoint.
    Inside(Arc<Root>, RelPath),
}

impl Shard {
    /// Opens it.
    ///
    /// # Errors
    /// If it cannot be opened, or is no regular file.
    pub fn open(&self) -> Result<RegularFile, FileError> {
        match self {
            Self::Named(path) => RegularFile::open(path),
            Self::Inside(root, path) => root.file(path),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Named(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Inside(_, path) => path.file_name().to_owned(),
        }
    }
}

/// The tensors of a checkpoint, by name: the file of each, and where it lies there.
pub type TensorLocations = BTreeMap<String, (Shard, TensorLocation)>;

/// The weights in a directory (`model*.safetensors`, or else `pytorch_model*.bin`) or file.
///
/// # Errors
/// If they cannot be read, there are none, or a tensor is in two files.
pub fn weights(path: &Path) -> Result<TensorLocations, WeightsError> {
    let mut files = Vec::new();
    if path.is_dir() {
        let root = Arc::new(Root::open_snapshot(path)?);
        let names: Vec<RelPath> = root.list()?.into_iter().filter_map(|(name, _)| name.parse().ok()).collect();
        for [begin, end] in [["model", ".safetensors"], ["pytorch_model", ".bin"]] {
            if files.is_empty() {
                let named =
                    names.iter().filter(|name| name.as_str().starts_with(begin) && name.as_str().ends_with(end));
                files.extend(named.map(|name| Shard::Inside(Arc::clone(&root), name.clone())));
            }
        }
    } else {
        files.push(Shard::Named(path.to_owned()));
    }
    let mut places = BTreeMap::new();
    for file in files {
        for (name, place) in tensor_places(&file.open()?, &file.name())?.unwrap_or_default() {
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

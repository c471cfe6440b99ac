//! What can be wrong with a checkpoint.

use std::path::PathBuf;

use retrace_files::FileError;
use thiserror::Error;

/// Why a checkpoint cannot be read.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A directory has no weights.
    #[error("{} holds no weights: neither model.safetensors nor pytorch_model.bin, whole or in shards, nor a distributed checkpoint of PyTorch, nor one of nanotron or Megatron (mp_rank_*)", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// A file has no tensors, or tensors that cannot be read here.
    #[error("{} holds no weights that can be read here: {}", path.display(), why.as_deref().unwrap_or("no tensors in a known format"))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why its tensors cannot be read; `None` if it has none in a known format.
        why: Option<String>,
    },
    /// An index and its shards, or several shards, contradict each other.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
}

/// Where the files of a checkpoint contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Error)]
#[error("{}: {what}", directory.join(file).display())]
pub struct Contradiction {
    /// Their directory.
    pub directory: PathBuf,
    /// The name of the file that it concerns.
    pub file: String,
    /// What is wrong, as a sentence.
    pub what: String,
}

//! Checkpoints: which tensors a directory or file contains, and where their bytes are.
//!
//! [`Checkpoint::open`] answers this for every verb, by one rule. The weights of a directory are the first of these
//! that exists:
//!
//! 1. what `model.safetensors.index.json` lists;
//! 2. `model.safetensors`, and shards called `model-N.safetensors` or `model-N-of-M.safetensors`;
//! 3. what the only other `model*.safetensors.index.json` lists;
//! 4. every other file with a name like `model*.safetensors`;
//!
//! and then the same for `pytorch_model`, with `.bin`. An index is a JSON file with the shard of each tensor in
//! `weight_map`, as transformers writes it; its shards are in the same directory.
//!
//! An index and the shards beside it must name the same tensors, and no tensor may be in two files; otherwise nothing
//! is read ([`Contradiction`]). The verbs that seal or verify get these from [`contradictions`].
//!
//! A tensor consists of pieces in files ([`StoredTensor`]); each file is opened when it is read, below the directory
//! and without following links. This crate does not depend on models.

mod checkpoint;
mod error;
mod index;
mod parts;
mod tensor;

pub use checkpoint::{Checkpoint, contradictions};
pub use error::{CheckpointError, Contradiction};
pub use index::{Index, is_index};
pub use tensor::{OpenTensor, Piece, StoredTensor};

//! Checkpoints: which tensors a directory or file holds, and where their bytes lie.
//!
//! [`Checkpoint::open`] answers this for every verb, by one rule. In a directory, the weights are, of the first
//! of these that are there:
//!
//! 1. what `model.safetensors.index.json` lists;
//! 2. `model.safetensors`, and shards called `model-N.safetensors` or `model-N-of-M.safetensors`;
//! 3. what the one other `model*.safetensors.index.json` lists;
//! 4. whatever else is called `model*.safetensors`;
//!
//! and then the same of `pytorch_model`, with `.bin`. An index is a JSON file with the shard of each tensor in
//! `weight_map`, as transformers writes it; its shards lie beside it.
//!
//! An index and the shards beside it must name the same tensors, and no tensor may be in two files: else nothing
//! is read ([`Contradiction`]). Whoever seals or verifies asks for these with [`contradictions`].
//!
//! A tensor is made of pieces in files ([`StoredTensor`]), each opened when it is read, below the directory and
//! through no link. This crate knows nothing of models.

mod checkpoint;
mod error;
mod index;
mod parts;
mod tensor;

pub use checkpoint::{Checkpoint, contradictions};
pub use error::{CheckpointError, Contradiction};
pub use index::{Index, is_index};
pub use tensor::{OpenTensor, Piece, StoredTensor};

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
//! then the same for `pytorch_model`, with `.bin`; then
//!
//! 5. the distributed checkpoint of PyTorch (DCP) with a `.metadata`, here or in the directory `model_and_optim`, where
//!    OLMo-core has it;
//! 6. nanotron's files below the directory `model`, if there is a `checkpoint_metadata.json`;
//! 7. Megatron-LM's files in directories called `mp_rank_00`, of each process separately.
//!
//! An index is a JSON file with the shard of each tensor in `weight_map`, as transformers writes it; its shards are in
//! the same directory.
//!
//! An index and the shards beside it must name the same tensors, and no tensor may be in two files; otherwise nothing
//! is read ([`Contradiction`]). The chunks of each tensor of a distributed checkpoint must be the whole tensor, with its
//! type, and each number in one of them. The verbs that seal or verify get these from [`contradictions`].
//!
//! A tensor consists of pieces in files ([`StoredTensor`]), also of rows or columns of it; each file is opened when it is read, below the directory
//! and without following links. This crate does not depend on models.

mod assemble;
mod checkpoint;
mod distributed;
mod error;
mod index;
mod megatron;
mod nanotron;
mod parts;
mod runs;
mod tensor;
mod write;

pub use checkpoint::{Checkpoint, contradictions};
pub use error::{CheckpointError, Contradiction};
pub use index::{Index, is_index};
pub use nanotron::METADATA as NANOTRON_METADATA;
pub use tensor::{OpenTensor, StoredTensor};
pub use write::write_safetensors;

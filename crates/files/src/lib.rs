//! Bytes on disk: whole-or-absent writes, digests, walks, JSON lines, the tensors of checkpoints.
//!
//! Everything that reads or writes a release's files goes through here, so that hostile input is
//! met in one place and a killed process leaves every file whole or absent: [`RegularFile`] is what is
//! read, [`Root`] a directory below which no link is followed, [`WholeFile`] what is written, [`Scratch`] a
//! directory that does not outlast its process, [`Lock`] keeps writers apart. This crate knows nothing of
//! what the files mean, and prints nothing.

mod beneath;
mod error;
mod hash;
mod lines;
mod llama2c;
mod lock;
mod map;
mod open;
mod private;
mod progress;
pub mod safetensors;
mod scratch;
mod stamp;
mod stream;
mod tensors;
pub mod torch;
mod walk;
mod whole;

pub use error::FileError;
pub use hash::{Hashed, SLICE, Wanted, checksum, hash, hash_beneath, hash_file, hash_small_beneath, slices_agree};
pub use lines::json_lines;
pub use lock::{DIRECTORY_LOCK, Lock, is_lock};
pub use open::{EntryKind, RegularFile, Root};
pub use private::{exposure, not_own, writable_by_others};
pub use progress::{Progress, Silent, Unit};
pub use retrace_spec::{Algorithm, Checksum};
pub use scratch::Scratch;
pub use stamp::Stamp;
pub use tensors::{file_tensors, may_hold_tensors, read_tensors, tensor_places};
pub use walk::{WalkEntry, expand, expand_directories, walk};
pub use whole::{WholeFile, is_partial, sweep, sweep_all, write_whole, write_whole_directory};

//! Files on disk: atomic writes, digests, directory walks, JSON lines, the tensors of checkpoints.
//!
//! All reading and writing of a release's files uses this crate, so that malicious input is handled in one place, and
//! a killed process leaves every file complete or absent. [`RegularFile`] is a file to read, [`Root`] a directory in
//! which links are not followed, [`WholeFile`] a file to write, [`Scratch`] a directory that is removed when its
//! process ends, and [`Lock`] allows one writer at a time. This crate does not depend on what the files mean, and does
//! not print.

mod beneath;
mod dtype;
mod error;
mod gather;
mod hash;
mod lines;
mod llama2c;
mod lock;
mod map;
mod md5_text;
mod open;
mod private;
mod progress;
pub mod safetensors;
mod scratch;
mod section;
mod stamp;
mod stream;
mod tensors;
mod text_lines;
pub mod torch;
mod walk;
mod whole;
mod xet;

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
pub use tensors::{Found, file_tensors, is_weights, may_hold_tensors, tensor_places};
pub use text_lines::TextLines;
pub use walk::{WalkEntry, expand, expand_directories, walk};
pub use whole::{WholeFile, is_partial, sweep, sweep_all, write_whole, write_whole_directory};

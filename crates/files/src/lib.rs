//! Bytes on disk: whole-or-absent writes, digests, walks, JSON lines, safetensors.
//!
//! Everything that reads or writes a release's files goes through here, so that hostile input is
//! met in one place and a killed process leaves every file whole or absent. This crate knows
//! nothing of what the files mean, and prints nothing.

mod error;
mod hash;
mod lines;
mod progress;
pub mod safetensors;
mod walk;
mod whole;

pub use error::FileError;
pub use hash::hash_file;
pub use lines::json_lines;
pub use progress::{Progress, Silent, Unit};
pub use walk::{Found, expand, walk};
pub use whole::{WholeFile, write_whole, write_whole_directory};

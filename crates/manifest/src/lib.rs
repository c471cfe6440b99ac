//! Sealing and verifying a release against its manifest.
//!
//! A verb that makes files [`record`]s what it read and made; [`seal()`] hashes the whole directory and
//! gathers the records into a manifest; [`verify()`] says of every path whether it is what the
//! manifest says. Empty directories, times, owners and modes of files are not covered. This crate
//! knows nothing of what the files are for.

mod compare;
pub mod record;
mod seal;
mod verify;

pub use compare::{Comparison, compare};
pub use seal::{SealError, SealOptions, seal};
pub use verify::{Entry, Verdict, Verification, verify};

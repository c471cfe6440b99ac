//! Scaling laws, the search for benchmark items in a corpus, and what their leaks did to scores.
//!
//! Pure computation: this crate reads and writes no files, and does not depend on models, tables or pages. The same
//! input gives the same bits on every machine.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr))]

pub mod contamination;
pub mod exposure;
mod proportion;
pub mod scaling;

pub use proportion::wilson;

//! What numbers and texts say: scaling laws, and which benchmark items a corpus holds.
//!
//! Pure computation: nothing here reads or writes a file, and nothing knows of models, tables or
//! pages. The same input gives the same bits on every machine.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr))]

pub mod contamination;
mod minimise;
pub mod scaling;

//! Tasks of lm-evaluation-harness: their files, what they ask a model, and what its answers score.
//!
//! The rules are those of one version of the harness, [`VERSION`]. A task is prepared once ([`Task`]): its files are
//! read, its documents rendered to [`Request`]s. Any model can answer these, and the answers are scored here. Nothing
//! of a task is executed: functions in Python are ported, and bound to the digest of their source. This crate does not
//! know models or tokenizers.

mod document;
pub mod python;
mod request;

pub use document::{Aggregate, Document, ProcessResults};
pub use request::{Generation, Instance, Request, Response};

/// The version of the harness whose rules are followed.
pub const VERSION: &str = "0.4.13";

//! Tasks of lm-evaluation-harness: their files, what they ask a model, and what its answers score.
//!
//! The rules are those of one version of the harness, [`VERSION`]. A task is prepared once ([`Task`]): its files are
//! read, its documents rendered to [`Request`]s. Any model can answer these, and the answers are scored here. Nothing
//! of a task is executed: functions in Python are ported, and bound to the digest of their source. This crate does not
//! know models or tokenizers.

mod config;
mod context;
mod data;
mod document;
mod error;
mod fewshot;
pub mod filter;
mod function;
mod functions;
pub mod group;
mod index;
pub mod metric;
mod numpy;
pub mod object;
pub mod pattern;
pub mod python;
mod request;
pub mod results;
pub mod score;
mod source;
pub mod stderr;
mod substitution;
mod task;
mod task_error;
mod template;
mod yaml;

pub use config::TaskConfig;
pub use data::Data;
pub use document::{Aggregate, Document, ProcessResults};
pub use error::ScoreError;
pub use function::{Port, port};
pub use index::{Group, Index, Member};
pub use object::Object;
pub use request::{Generation, Instance, Request, Response};
pub use source::definition;
pub use task::{Limit, Options, Task};
pub use task_error::HarnessError;
pub use template::Template;
pub use yaml::read as read_task_file;

/// The version of the harness whose rules are followed.
pub const VERSION: &str = "0.4.13";

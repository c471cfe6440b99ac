//! Tables out of the files that others publish: evaluations, logs, lists of checkpoints, configs.
//!
//! [`import()`] reads files of a [`ImportKind`] and puts their rows into the tables of `retrace-query`. Every
//! row says which file it is from and where it stands there; nothing is filled in that a file does not
//! say. A file that cannot be read, or not in part, is told of in the table `sources`, and the rest goes
//! on. Each kind is a file of this crate, named after it, which knows nothing of the others' formats.
//!
//! This crate asks nothing in SQL and computes nothing from what it reads.

mod checkpoints;
mod configs;
mod csv;
mod error;
mod import;
mod json;
mod kind;
mod label;
mod lm_eval;
mod mapping;
mod mlflow;
mod pythia;
mod readme;
mod rows;
mod scalars;
mod tensorboard;
mod text_log;
mod trainer_state;
mod value;
mod wandb;

pub use error::ImportError;
pub use import::{Imported, Options, import};
pub use kind::ImportKind;
pub use mapping::Mapping;

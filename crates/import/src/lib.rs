//! Imports published files into tables: evaluations, logs, lists of checkpoints, configs.
//!
//! [`import()`] reads files of an [`ImportKind`] and writes their rows into the tables that `retrace-query` reads.
//! Every row has its file and the position in it. A value that a file does not have stays empty. If a file, or a part
//! of it, cannot be read, the table `sources` says so, and the rest is imported. Each kind is a file of this crate
//! with the same name, which does not depend on the formats of the others.
//!
//! This crate runs no SQL and computes nothing from the values that it reads.

mod beside;
mod checkpoints;
mod configs;
mod csv;
mod error;
mod evaluated;
mod history;
mod hparams;
mod import;
mod json;
mod kind;
mod launcher;
mod lm_eval;
mod mapping;
mod mlflow;
mod mlflow_database;
mod processes;
mod protobuf;
mod pythia;
mod readme;
mod rows;
mod scalars;
mod sqlite;
mod tensorboard;
mod text_log;
mod trackio;
mod trainer_state;
mod value;
mod wandb;

pub use error::ImportError;
pub use import::{Imported, Options, import};
pub use kind::ImportKind;
pub use mapping::Mapping;

//! Errors of evaluation.

use std::path::PathBuf;

use retrace_corpus::CorpusError;
use retrace_files::FileError;
use retrace_model::ModelError;
use thiserror::Error;

/// Why a checkpoint could not be evaluated.
#[derive(Debug, Error)]
pub enum EvalError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The model could not be read or computed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The tokenizer could not be used.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// An item of a task is malformed.
    #[error("{}:{line}: {what}", path.display())]
    Item {
        /// The items' file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// A result is not a finite number.
    #[error("task {task}, item {item}: the log-likelihood is not a finite number")]
    NotFinite {
        /// The task.
        task: String,
        /// The item.
        item: String,
    },
    /// A results file was not written by this crate.
    #[error("{}: {place}: {what}", path.display())]
    Results {
        /// The file.
        path: PathBuf,
        /// The keys that lead to the value, outermost first.
        place: String,
        /// What is wrong there.
        what: String,
    },
}

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
    /// A request cannot be answered.
    #[error("request {request}: {what}")]
    Request {
        /// Its index, from 0.
        request: usize,
        /// What is wrong with it.
        what: String,
    },
    /// The answer to a request is not a number.
    #[error("request {request}: the model's logits are not finite numbers")]
    NotFiniteAnswer {
        /// Its index, from 0.
        request: usize,
    },
    /// A file of answers is not one, or was changed.
    #[error("{}: at byte {offset}: {what}", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// What is wrong with it.
        what: String,
    },
    /// A model's files do not say how it is prompted.
    #[error("{}: {what}", path.display())]
    Prompts {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
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

//! What can go wrong in evaluation.

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
    /// An item is not what its task needs.
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
    /// A results file is not one that this crate wrote.
    #[error("{}: {place}: {what}", path.display())]
    Results {
        /// The file.
        path: PathBuf,
        /// Where in it: keys from the outermost.
        place: String,
        /// What is wrong there.
        what: String,
    },
}

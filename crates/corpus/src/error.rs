//! What can go wrong with a corpus.

use std::path::PathBuf;

use retrace_files::FileError;
use retrace_spec::{PathError, Step};
use thiserror::Error;

/// Why a corpus could not be read or made.
#[derive(Debug, Error)]
pub enum CorpusError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A path is none.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A token shard is not one.
    #[error("{}: byte {at}: {what}", path.display())]
    Tokens {
        /// The file.
        path: PathBuf,
        /// The byte.
        at: u64,
        /// What is wrong there.
        what: String,
    },
    /// A tokenizer cannot be used.
    #[error("{}: {what}", path.display())]
    Tokenizer {
        /// The tokenizer's file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Two files would be at the same place.
    #[error("{first} and {second} would both be at {output}")]
    Clash {
        /// What is or would be there.
        first: String,
        /// What would be written over it.
        second: String,
        /// Where both go.
        output: String,
    },
    /// The order has no such place.
    #[error("the data order has no step {step} with a sequence {slot}")]
    Order {
        /// The step.
        step: Step,
        /// The sequence's place in its batch.
        slot: u64,
    },
}

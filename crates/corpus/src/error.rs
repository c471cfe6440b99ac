//! Errors of corpora.

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
    /// A path is invalid.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A token shard is malformed.
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
    /// Documents of shards cannot be read.
    #[error("{}{}", first.join("; "), if *more > 0 { format!("; and {more} more") } else { String::new() })]
    Documents {
        /// The first few: shard, line, and what is wrong.
        first: Vec<String>,
        /// How many more there are.
        more: u64,
    },
    /// Two files have the same output path.
    #[error("{first} and {second} have the same output {output}")]
    Clash {
        /// The first of the two.
        first: String,
        /// The second.
        second: String,
        /// The output of both.
        output: String,
    },
    /// A search found something in a document, and the shard has another one in its place.
    #[error("{}:{line}: {what}, so the search was of another corpus, or of this one before it was changed", path.display())]
    Searched {
        /// The shard.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What differs.
        what: String,
    },
    /// The data order has no such position.
    #[error("the data order has no step {step} with a sequence {slot}")]
    Order {
        /// The step.
        step: Step,
        /// The sequence's position in its batch.
        slot: u64,
    },
}

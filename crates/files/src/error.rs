//! What can go wrong with a file.

use std::path::PathBuf;

use thiserror::Error;

/// Why a file could not be read or written.
#[derive(Debug, Error)]
pub enum FileError {
    /// The system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// Something else stands where a file should be.
    #[error("{} is not a regular file", path.display())]
    NotRegular {
        /// Where.
        path: PathBuf,
    },
    /// A part of the way to a file of a release is a link, and none is followed there.
    #[error("{} is, or lies behind, a symbolic link, which is not followed", path.display())]
    Link {
        /// The file.
        path: PathBuf,
    },
    /// A file is longer than is ever read of its kind.
    #[error("{} has more than {most} bytes, which is the most that is read of such a file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes.
        most: u64,
    },
    /// Another process is writing there.
    #[error("{} is being written by {holder}", path.display())]
    Locked {
        /// What is being written.
        path: PathBuf,
        /// Which process, as far as it is known.
        holder: String,
    },
    /// The file changed while it was read.
    #[error("{} changed while it was read: {what}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// How that showed.
        what: String,
    },
    /// A line is not what it should be.
    #[error("{}:{line}: {what}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// A safetensors file is not one.
    #[error("{}: {place}: {what}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// Where: a byte or a tensor.
        place: String,
        /// What is wrong there.
        what: String,
    },
    /// A pattern found nothing.
    #[error("no file in {} matches {pattern:?}", root.display())]
    NoMatch {
        /// Where it was looked for.
        root: PathBuf,
        /// The pattern.
        pattern: String,
    },
    /// A name that a release cannot have.
    #[error("{} cannot be part of a release: {what}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// Why not.
        what: String,
    },
}

impl FileError {
    /// For `map_err`: `doing` is what was tried, as a verb.
    pub fn io(path: &std::path::Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, doing, source }
    }
}

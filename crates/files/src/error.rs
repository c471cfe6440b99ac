//! Errors of files.

use std::path::PathBuf;

use thiserror::Error;

/// Why a file could not be read or written.
#[derive(Debug, Error)]
pub enum FileError {
    /// The system reports an error.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operation, as a verb.
        doing: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
    /// A directory, pipe or device instead of a file.
    #[error("{} is not a regular file", path.display())]
    NotRegular {
        /// Its path.
        path: PathBuf,
    },
    /// The path to a file of a release goes through a link; links are not followed there.
    #[error("{} is a symbolic link or behind one, and links are not followed here", path.display())]
    Link {
        /// The file.
        path: PathBuf,
    },
    /// A file is longer than the limit for its kind.
    #[error("{} has more than {most} bytes, the limit for such a file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes.
        most: u64,
    },
    /// Another process is writing to the same place.
    #[error("{} is being written by {holder}", path.display())]
    Locked {
        /// What is being written.
        path: PathBuf,
        /// Which process, if that is known.
        holder: String,
    },
    /// The file changed while it was being read.
    #[error("{} changed while it was read: {what}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// How that was detected.
        what: String,
    },
    /// A line is malformed.
    #[error("{}:{line}: {what}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// A compressed file or a Parquet file is damaged or incomplete.
    #[error("{}: {place}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where: lines and bytes, or rows.
        place: String,
        /// What is wrong there.
        what: String,
    },
    /// A safetensors file is malformed.
    #[error("{}: {place}: {what}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The position: a byte or a tensor.
        place: String,
        /// What is wrong there.
        what: String,
    },
    /// A pattern matches no file.
    #[error("no file in {} matches {pattern:?}", root.display())]
    NoMatch {
        /// The directory that was searched.
        root: PathBuf,
        /// The pattern.
        pattern: String,
    },
    /// A file name that is not possible in a release.
    #[error("{} cannot be part of a release: {what}", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// The reason.
        what: String,
    },
}

impl FileError {
    /// For `map_err`: `doing` is the operation, as a verb.
    pub fn io(path: &std::path::Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, doing, source }
    }
}

//! What can go wrong with an import as a whole.

use std::path::PathBuf;

use retrace_files::FileError;
use retrace_tables::TablesError;
use thiserror::Error;

/// Why nothing was imported. What is wrong with a single file is a row of `sources` instead.
#[derive(Debug, Error)]
pub enum ImportError {
    /// A path cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The tables cannot be read or written.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// There is nothing to read.
    #[error("no file in {} is called as {kind} is: {names}", paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))]
    Nothing {
        /// Where it was looked for.
        paths: Vec<PathBuf>,
        /// What was looked for.
        kind: &'static str,
        /// How its files are called.
        names: &'static str,
    },
    /// Two files would be one in the tables.
    #[error("{} and {} would both be the source {source_name:?} of {release}", one.display(), other.display())]
    Clash {
        /// A file.
        one: PathBuf,
        /// Another.
        other: PathBuf,
        /// What both would be called.
        source_name: String,
        /// The release.
        release: String,
    },
    /// A path without a name in UTF-8.
    #[error("{} has no name in UTF-8 by which the tables could call it", path.display())]
    Name {
        /// The path.
        path: PathBuf,
    },
}

//! Errors that stop an import. A problem with a single file is a row of `sources` instead.

use std::path::PathBuf;

use retrace_files::FileError;
use retrace_tables::TablesError;
use thiserror::Error;

/// Why nothing was imported.
#[derive(Debug, Error)]
pub enum ImportError {
    /// A path cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The tables cannot be read or written.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// No file matches the kind.
    #[error("{} has no file whose name fits {kind}: {names}", paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))]
    Nothing {
        /// The paths that were searched.
        paths: Vec<PathBuf>,
        /// The kind.
        kind: &'static str,
        /// The file names of that kind.
        names: &'static str,
    },
    /// Two files have the same name in the tables.
    #[error("{} and {} have the same source name {source_name:?} in {release}", one.display(), other.display())]
    Clash {
        /// A file.
        one: PathBuf,
        /// Another.
        other: PathBuf,
        /// Their common name.
        source_name: String,
        /// The release.
        release: String,
    },
    /// A path without a name in UTF-8.
    #[error("the name of {} is not UTF-8, so the tables cannot hold it", path.display())]
    Name {
        /// The path.
        path: PathBuf,
    },
}

//! What can go wrong with a table's file.

use std::path::PathBuf;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;
use retrace_files::FileError;
use retrace_spec::GaveUp;
use thiserror::Error;

/// Why a table could not be read or written.
#[derive(Debug, Error)]
pub enum TablesError {
    /// A file could not be read or written, or is no table.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file is not as its own checksum says.
    #[error("{} is damaged: its bytes are not those that its own checksum was made of", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
    },
    /// Parquet's reader gave up in the middle of its work.
    #[error("a table's file seems to be damaged, as its reader gave up: {}", .0.what)]
    Damaged(#[from] GaveUp),
    /// Arrow failed.
    #[error("Arrow: {0}")]
    Arrow(#[from] ArrowError),
    /// Parquet failed.
    #[error("Parquet: {0}")]
    Parquet(#[from] ParquetError),
}

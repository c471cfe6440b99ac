//! Errors of tables.

use std::path::PathBuf;

use arrow::error::ArrowError;
use parquet::errors::ParquetError;
use retrace_files::FileError;
use retrace_spec::GaveUp;
use thiserror::Error;

/// Why a table could not be read or written.
#[derive(Debug, Error)]
pub enum TablesError {
    /// A file could not be read or written, or is not a table.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file does not match its own checksum.
    #[error("{} is damaged: it does not match its own checksum", path.display())]
    Checksum {
        /// The file.
        path: PathBuf,
    },
    /// Parquet's reader panicked.
    #[error("the file of a table may be damaged; its reader failed: {}", .0.what)]
    Damaged(#[from] GaveUp),
    /// Arrow failed.
    #[error("Arrow: {0}")]
    Arrow(#[from] ArrowError),
    /// Parquet failed.
    #[error("Parquet: {0}")]
    Parquet(#[from] ParquetError),
}

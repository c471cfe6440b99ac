//! What can go wrong with a query.

use std::path::PathBuf;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use retrace_files::FileError;
use thiserror::Error;

/// Why a query has no answer.
#[derive(Debug, Error)]
pub enum QueryError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A manifest is not one.
    #[error(transparent)]
    Spec(#[from] retrace_spec::SpecError),
    /// A directory has no tables.
    #[error("{} has no tables: neither manifest.yaml nor *.parquet in it or its tables/", path.display())]
    NoTables {
        /// The directory.
        path: PathBuf,
    },
    /// The query is not one, or names what is not there.
    #[error("{message}")]
    Sql {
        /// What DataFusion says.
        message: String,
        /// What may help: the nearest names, or what there is.
        help: String,
    },
    /// The answer has no such column.
    #[error("the answer has no column {name} of {kind}")]
    Column {
        /// The column's name.
        name: String,
        /// What it should hold.
        kind: &'static str,
    },
    /// DataFusion failed.
    #[error("DataFusion: {0}")]
    DataFusion(#[from] DataFusionError),
    /// Arrow failed.
    #[error("Arrow: {0}")]
    Arrow(#[from] ArrowError),
    /// Parquet failed.
    #[error("Parquet: {0}")]
    Parquet(#[from] ParquetError),
    /// The runtime could not be started.
    #[error("the query's runtime could not be started: {0}")]
    Runtime(std::io::Error),
}

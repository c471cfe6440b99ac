//! The tables of a release as Parquet files: what a row of each holds, how they are written, and how a
//! damaged one is found. The same rows are the same bytes.
//!
//! [`write()`] makes a table, [`Tables::merge`] adds to what is there; one process at a time. This crate
//! knows nothing of SQL: `retrace-query` asks the tables.

mod checksums;
mod error;
mod file;
mod order;
mod row;
mod schema;
mod writer;

pub use checksums::{has_checksum, with_checksums};
pub use error::TablesError;
pub use row::{Batch, Cell, Row};
pub use schema::{
    Average, Checkpoint, Claim, Contamination, Graph, ManifestRoot, Metric, PublishedRoot, Sample, Source, Tensor,
    TrainLog, empty,
};
pub use writer::{Tables, write};

//! The tables of a release as Parquet files: their rows, how they are written, and how damage is detected.
//! The same rows give the same bytes.
//!
//! [`write()`] makes a table, and [`Tables::merge`] adds rows to existing tables; only one process at a time can
//! write. This crate does not depend on SQL: `retrace-query` queries the tables.

mod checksums;
mod error;
mod file;
mod order;
mod repeated;
mod row;
mod schema;
mod writer;

pub use checksums::{has_checksum, with_checksums};
pub use error::TablesError;
pub use repeated::Repeated;
pub use row::{Batch, Cell, Row};
pub use schema::{
    Average, Checkpoint, Claim, Contamination, Exposure, Graph, ManifestRoot, Metric, PublishedRoot, Sample, Source,
    Tensor, TrainLog, empty, left_out,
};
pub use writer::{Tables, write};

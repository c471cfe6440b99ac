//! Tables and SQL, on DataFusion: everything that is asked of a release in SQL is asked here.
//!
//! [`tables`] writes the tables of a release as Parquet, the same bytes for the same rows.
//! [`Session`] answers a query over them, one answer whenever it is asked. This crate knows
//! nothing of models or plots.

mod answer;
pub mod determinism;
mod error;
pub mod functions;
mod session;
pub mod tables;

pub use answer::{Answer, Format};
pub use error::QueryError;
pub use session::Session;

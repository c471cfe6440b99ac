//! What can go wrong with a report.

use retrace_query::QueryError;
use thiserror::Error;

/// Why there is no report.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A table could not be asked.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A chart has nothing to show.
    #[error("chart {0:?} has no point with finite numbers (above 0 on a logarithmic axis)")]
    Empty(String),
    /// An answer has nothing that a chart could show.
    #[error("the answer cannot be drawn: {0}")]
    NotDrawn(String),
    /// A chart could not be drawn.
    #[error("chart {title:?} could not be drawn: {what}")]
    Plot {
        /// The chart.
        title: String,
        /// Why not.
        what: String,
    },
}

//! Errors of reports.

use retrace_query::QueryError;
use thiserror::Error;

/// Why a report or chart could not be made.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A query failed.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A chart has no points.
    #[error("chart {0:?} has no finite point (on a logarithmic axis, a point above 0)")]
    Empty(String),
    /// No chart fits the columns of an answer.
    #[error("the answer cannot be drawn: {0}")]
    NotDrawn(String),
    /// A run cannot be compared with its twin.
    #[error("{run:?} cannot be compared with its twin {twin:?}: {what}")]
    Twin {
        /// The run.
        run: String,
        /// Its twin.
        twin: String,
        /// The reason.
        what: String,
    },
    /// A chart could not be drawn.
    #[error("chart {title:?} could not be drawn: {what}")]
    Plot {
        /// The chart.
        title: String,
        /// The reason.
        what: String,
    },
}

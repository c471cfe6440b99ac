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
    /// A chosen run or metric does not exist.
    #[error("there is no {what} {name:?}, only {}", listed(known))]
    NoSuch {
        /// `run` or `metric`.
        what: &'static str,
        /// What was chosen.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The table `tensors` has weights of two runs with one name, or of one run twice.
    #[error("the weights of two runs may not have one name: {run:?} {what}")]
    SameRun {
        /// The run.
        run: String,
        /// Where its weights are, in words.
        what: String,
    },
    /// The tables of a report are missing or empty.
    #[error("the tables metrics, train_log and tensors are missing or empty")]
    NoTables,
    /// No chart fits the columns of an answer.
    #[error("the answer cannot be drawn: {0}")]
    NotDrawn(String),
    /// The counts of a search are not of the search that made the table.
    #[error(
        "the counts are of another search than the table `contamination`: items of {benchmark:?} with a leak by {method}: {table} in the table, {counts} in the counts"
    )]
    OtherSearch {
        /// The benchmark.
        benchmark: String,
        /// The method.
        method: String,
        /// Items with a leak in the table.
        table: u64,
        /// The same in the counts.
        counts: u64,
    },
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

/// The first of many names.
fn listed(known: &[String]) -> String {
    const MOST: usize = 10;
    let first = known.iter().take(MOST).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    match known.len() {
        0 => "no other".to_owned(),
        n if n > MOST => format!("{first} and {} more", n - MOST),
        _ => first,
    }
}

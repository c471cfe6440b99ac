//! Why answers cannot be scored.

use thiserror::Error;

use crate::pattern::PatternError;

/// Why answers cannot be scored.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScoreError {
    /// A part of a task's document says something wrong.
    #[error("{place}: {problem}")]
    Wrong {
        /// Which field, filter or metric.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// A part of a task that the harness knows and this crate does not.
    #[error("{place}: {what} is not supported: {why}")]
    Refused {
        /// Which field, filter or metric.
        place: String,
        /// What is not supported.
        what: String,
        /// Why.
        why: String,
    },
    /// A document, its answers or its target do not fit.
    #[error("document {document}: {problem}")]
    Document {
        /// Counted from 0.
        document: usize,
        /// What does not fit.
        problem: String,
    },
    /// The values of a metric have no aggregate: the harness would stop with an error here.
    #[error("metric {metric}: {problem}")]
    Aggregate {
        /// The metric.
        metric: String,
        /// Why there is none.
        problem: String,
    },
    /// A regular expression.
    #[error("{place}: {source}")]
    Pattern {
        /// Which filter or metric.
        place: String,
        /// What is wrong with it.
        source: PatternError,
    },
}

impl ScoreError {
    pub(crate) fn wrong(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Wrong { place: place.into(), problem: problem.into() }
    }

    pub(crate) fn refused(place: impl Into<String>, what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Refused { place: place.into(), what: what.into(), why: why.into() }
    }
}

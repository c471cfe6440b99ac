//! Errors of clusters.

use datafusion::error::DataFusionError;
use retrace_files::FileError;
use retrace_tls::TlsError;
use thiserror::Error;

/// Why a part of a cluster cannot do its work.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The connections that are to be taken cannot be.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What listens there does not prove that it holds the token, and is told nothing.
    #[error("the process that listens at {address} does not prove that it has the token: {what}")]
    NotProven {
        /// The address.
        address: String,
        /// How this is known.
        what: &'static str,
    },
    /// The scheduler cannot be reached, does not want this process, or was lost.
    #[error("the scheduler at {address}: {what}")]
    Scheduler {
        /// The address.
        address: String,
        /// What is wrong.
        what: String,
    },
    /// There is no directory for what is kept meanwhile.
    #[error(transparent)]
    File(#[from] FileError),
    /// No thread or socket could be had.
    #[error("cannot start: {0}")]
    Start(std::io::Error),
    /// The session could not be made.
    #[error("DataFusion: {0}")]
    Query(#[from] DataFusionError),
}

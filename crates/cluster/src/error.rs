//! Errors of clusters.

use datafusion::error::DataFusionError;
use retrace_files::FileError;
use retrace_tls::TlsError;
use thiserror::Error;

/// Why a part of a cluster failed.
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
    /// Connections cannot be accepted.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The process that listens there does not prove that it has the token; no data is sent to it.
    #[error("the process that listens at {address} does not prove that it has the token: {what}")]
    NotProven {
        /// The address.
        address: String,
        /// How that is known.
        what: &'static str,
    },
    /// The scheduler cannot be reached, refuses this process, or was lost.
    #[error("the scheduler at {address}: {what}")]
    Scheduler {
        /// The address.
        address: String,
        /// What is wrong.
        what: String,
    },
    /// There is no directory for temporary data.
    #[error(transparent)]
    File(#[from] FileError),
    /// No thread or socket can be created.
    #[error("cannot start: {0}")]
    Start(std::io::Error),
    /// The session cannot be created.
    #[error("DataFusion: {0}")]
    Query(#[from] DataFusionError),
}

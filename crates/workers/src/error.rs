//! What can go wrong between a coordinator and its workers.

use retrace_tls::TlsError;
use retrace_train::TrainError;
use thiserror::Error;

/// Why workers could not be coordinated, or could not work.
#[derive(Debug, Error)]
pub enum WorkersError {
    /// The run could not be opened or computed.
    #[error(transparent)]
    Train(#[from] TrainError),
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
    #[error("what listens at {address} does not prove that it holds the token: {what}")]
    NotProven {
        /// The address.
        address: String,
        /// How this is known.
        what: &'static str,
    },
    /// There is no coordinator to be reached.
    #[error("cannot reach a coordinator at {address}: {what}")]
    Unreachable {
        /// The address.
        address: String,
        /// Why.
        what: String,
    },
    /// The coordinator does not want this worker.
    #[error("the coordinator at {address} refuses this worker: {what}")]
    Refused {
        /// The address.
        address: String,
        /// Why.
        what: String,
    },
    /// The coordinator let this worker go, or the way to it was lost.
    #[error("the work for {address} has ended: {what}")]
    Lost {
        /// The address.
        address: String,
        /// What is known of it.
        what: String,
    },
    /// A worker's tokens are not the coordinator's.
    #[error("step {step} learns from another batch here: the token shards are not the coordinator's")]
    OtherTokens {
        /// The step.
        step: u64,
    },
    /// What came from the other side is not what it should be.
    #[error("{what}")]
    Damaged {
        /// What.
        what: &'static str,
    },
    /// No thread or socket could be had.
    #[error("cannot start: {0}")]
    Start(std::io::Error),
}

//! Errors of a coordinator and its workers.

use retrace_tls::TlsError;
use retrace_train::TrainError;
use thiserror::Error;

/// Why a coordinator or a worker failed.
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
    /// TLS failed.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The process that listens there does not prove that it has the token; no data was sent to it.
    #[error("the process that listens at {address} does not prove that it has the token: {what}")]
    NotProven {
        /// The address.
        address: String,
        /// How that is known.
        what: &'static str,
    },
    /// The coordinator cannot be reached.
    #[error("cannot reach a coordinator at {address}: {what}")]
    Unreachable {
        /// The address.
        address: String,
        /// Why.
        what: String,
    },
    /// The coordinator refuses this worker.
    #[error("the coordinator at {address} refuses this worker: {what}")]
    Refused {
        /// The address.
        address: String,
        /// Why.
        what: String,
    },
    /// The coordinator disconnected this worker, or the connection was lost.
    #[error("the connection to the coordinator at {address} has ended: {what}")]
    Lost {
        /// The address.
        address: String,
        /// The reason, as known.
        what: String,
    },
    /// The token shards of worker and coordinator differ.
    #[error("the batch of step {step} differs from the coordinator's: the token shards are different")]
    OtherTokens {
        /// The step.
        step: u64,
    },
    /// A message from the other side is malformed.
    #[error("{what}")]
    Damaged {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A thread or socket cannot be created.
    #[error("cannot start: {0}")]
    Start(std::io::Error),
}

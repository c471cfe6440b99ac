//! Connections between processes that have the same token: TLS 1.3, in which each side proves to the other
//! that it has the token. The token itself is never sent, and everything else is encrypted.
//!
//! A token determines an Ed25519 key, and a self-signed certificate of this key. Both sides have both, show the
//! certificate, sign the handshake with the key, and accept no other. Without the token, no process can complete the
//! handshake. [`accept`] returns the connections that completed it, and keeps only a few pending ones, for a few
//! seconds. [`endpoint`] is the other side, for tonic.
//!
//! Anyone who connects, or accepts a connection, sees the certificate's public key, and can test guesses of
//! the token against it. So a token must be random.

mod accept;
mod certificate;
mod connect;

pub use accept::{Connection, Stranger, accept};
pub use certificate::Credentials;
pub use connect::{Reason, endpoint, reason, said};

use thiserror::Error;

/// Why no connection can be made or accepted.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The token's certificate could not be made.
    #[error("cannot make the certificate of the token: {0}")]
    Certificate(String),
    /// The address is not valid.
    #[error("this is not an address of the form HOST:PORT")]
    Address,
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Setup(String),
}

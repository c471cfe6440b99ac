//! Connections between processes that hold the same token: TLS 1.3, in which each side proves to the
//! other that it holds it. The token itself is never sent, and everything else is encrypted.
//!
//! A token determines an Ed25519 key, and a certificate of that key, signed by itself. Both sides hold
//! them, show the certificate, sign the handshake with the key, and take no other. Whoever does not hold
//! the token gets no further than the handshake: [`accept`] gives the connections that passed it, and
//! keeps at most a few that have not, for a few seconds. [`endpoint`] is the other side, for tonic.
//!
//! Whoever can connect, or is connected to, sees the certificate's public key, and can hold guesses at
//! the token against it at leisure; so a token has to be random, not thought of.

mod accept;
mod certificate;
mod connect;

pub use accept::{Connection, Stranger, accept};
pub use certificate::Credentials;
pub use connect::{Reason, endpoint, reason, said};

use thiserror::Error;

/// Why no connection can be made or taken.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The token's certificate could not be made.
    #[error("cannot make the certificate of the token: {0}")]
    Certificate(String),
    /// The address is none.
    #[error("this is not an address of the form HOST:PORT")]
    Address,
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Setup(String),
}

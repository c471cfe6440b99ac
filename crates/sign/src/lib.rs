//! Signatures over bytes: keys in PEM files, DSSE envelopes, certificate chains; and the token with which processes
//! authenticate each other.
//!
//! This crate does not depend on what is signed, and does not access files, networks or the time: to check the
//! validity of a certificate, the caller gives the time. It makes no keys. A signature proves that the owner of the
//! key signed these bytes, not that their content is true.

mod certificate;
mod envelope;
mod identity;
mod key;
mod token;

pub use certificate::{CertificateError, Chain, Roots};
pub use envelope::{Base64, Envelope, Signature};
pub use identity::{Identity, IdentityError};
pub use key::{KeyError, PublicKey, SigningKey};
pub use token::{Token, TokenError};

use thiserror::Error;

/// Why a signature is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// There is no signature.
    #[error("it has no signature")]
    None,
    /// There are more signatures than any release has.
    #[error("it has {count} signatures; the limit is {most}")]
    Many {
        /// Their number.
        count: usize,
        /// The limit.
        most: usize,
    },
    /// None of the signatures is over these bytes by this key.
    #[error(
        "no signature by this {kind} key fits these bytes: the bytes or the signature were changed, or another key signed them"
    )]
    Wrong {
        /// The kind of the key with which it was checked.
        kind: &'static str,
    },
    /// The certificates do not lead to a trusted root.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// The beginning of an untrusted text, for a message.
pub(crate) fn short(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

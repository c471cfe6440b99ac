//! Signatures over bytes: keys as PEM files hold them, DSSE envelopes, chains of certificates; and the
//! token that processes prove to one another.
//!
//! This crate knows nothing of what is signed, of files, of networks or of the time: a caller that
//! wants a certificate's validity checked says as of when. It makes no keys. A signature proves that
//! whoever had the key signed these bytes, and nothing of whether they are true.

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

/// Why a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// There is none.
    #[error("it has no signature")]
    None,
    /// Nobody signs so often.
    #[error("it has {count} signatures; the limit is {most}")]
    Many {
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// None of the signatures is one of these bytes by this key.
    #[error(
        "no signature by this {kind} key fits these bytes: the bytes or the signature were changed, or another key signed them"
    )]
    Wrong {
        /// The kind of the key it was held against.
        kind: &'static str,
    },
    /// The certificates do not lead to a root that is trusted.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// The beginning of a text from outside, for a message.
pub(crate) fn short(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

//! The side that connects.

use std::error::Error;
use std::io;
use std::time::Duration;

use retrace_sign::Token;
use tokio_rustls::rustls;
use tonic::transport::{ClientTlsConfig, Endpoint};

use crate::certificate::NAME;
use crate::{Credentials, TlsError};

/// The maximum time to establish a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// The endpoint at `address` (`HOST:PORT`), accepted only if it proves that it has `token`.
///
/// # Errors
/// If the address is not valid.
pub fn endpoint(address: &str, token: &Token) -> Result<Endpoint, TlsError> {
    let Credentials { identity, root, .. } = Credentials::of(token)?;
    let pinned = ClientTlsConfig::new().ca_certificate(root).identity(identity).domain_name(NAME).timeout(PATIENCE);
    let endpoint = Endpoint::from_shared(format!("https://{address}")).map_err(|_| TlsError::Address)?;
    let endpoint = endpoint.tls_config(pinned).map_err(|error| TlsError::Setup(error.to_string()))?;
    Ok(endpoint.connect_timeout(PATIENCE).tcp_nodelay(true))
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The other side does not have the token, and how this is known.
    NotProven(&'static str),
    /// Anything else, with its causes on one line.
    Other(String),
}

/// Why a connection to an [`endpoint`] failed, from tonic's error.
pub fn reason(error: &(dyn Error + 'static)) -> Reason {
    let causes = || std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (**error).source());
    for cause in causes() {
        let within = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = cause.downcast_ref::<rustls::Error>().or_else(|| within?.downcast_ref());
        match tls {
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_)) => {
                return Reason::NotProven("it has another token");
            }
            Some(_) => return Reason::NotProven("it does not use the TLS of retrace"),
            None => {}
        }
    }
    Reason::Other(said(&causes().map(ToString::to_string).collect::<Vec<_>>().join(": ")))
}

/// The message of the other side, of which at most 200 characters are shown.
pub fn said(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(said("short"), "short");
        assert_eq!(said(&"é".repeat(200)), "é".repeat(200));
        assert_eq!(said(&"é".repeat(201)), "é".repeat(200) + "…");
    }
}

//! The side that listens.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use retrace_sign::Token;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{CipherSuite, RootCertStore, ServerConfig, version};
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;

use crate::{Credentials, TlsError};

/// How long a connection may take to prove that it has the token.
const PATIENCE: Duration = Duration::from_secs(10);
/// The maximum number of connections that have not proved it yet; the oldest is closed for a new one. So they leave
/// enough open files for the process, however many connect.
const UNPROVEN: usize = 32;
/// How long to wait if the system returns no connection, for example because it has no open files left.
const PAUSE: Duration = Duration::from_millis(100);
/// The minimum interval between reports of strangers.
const TELL: Duration = Duration::from_secs(60);

/// A connection whose other side has the token.
pub type Connection = TlsStream<TcpStream>;

/// Connections that did not prove that they have the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stranger {
    /// The address of the last of them.
    pub from: SocketAddr,
    /// Their number since the last report.
    pub connections: u64,
}

/// The connections to `listener` whose other side proves that it has `token`, until the stream is dropped. `told` is
/// called for others, at most once a minute. It must be called in a tokio runtime.
///
/// # Errors
/// If TLS cannot be set up.
pub fn accept(
    listener: TcpListener,
    token: &Token,
    told: impl Fn(Stranger) + Send + 'static,
) -> Result<ReceiverStream<io::Result<Connection>>, TlsError> {
    let acceptor = TlsAcceptor::from(Arc::new(settings(token)?));
    let (proven, connections) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut handshakes = JoinSet::new();
        let mut unproven: VecDeque<(AbortHandle, SocketAddr)> = VecDeque::new();
        let mut strangers = Strangers { told, last: None, connections: 0 };
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((socket, from)) => {
                        if unproven.len() == UNPROVEN && let Some((oldest, from)) = unproven.pop_front() {
                            oldest.abort();
                            strangers.add(from);
                        }
                        unproven.push_back((handshakes.spawn(handshake(acceptor.clone(), socket, from)), from));
                    }
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
                Some(ended) = handshakes.join_next() => {
                    unproven.retain(|(handshake, _)| !handshake.is_finished());
                    match ended {
                        Ok(Ok(connection)) => if proven.send(Ok(connection)).await.is_err() { return },
                        Ok(Err(from)) => strangers.add(from),
                        // It was closed for a new connection.
                        Err(_) => {}
                    }
                }
                () = proven.closed() => return,
            }
        }
    });
    Ok(ReceiverStream::new(connections))
}

/// The connection, if it proves in time that it has the token; otherwise its address.
async fn handshake(acceptor: TlsAcceptor, socket: TcpStream, from: SocketAddr) -> Result<Connection, SocketAddr> {
    let _ = socket.set_nodelay(true);
    match tokio::time::timeout(PATIENCE, acceptor.accept(socket)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(_)) | Err(_) => Err(from),
    }
}

/// TLS 1.3, with the token's certificate on both sides.
fn settings(token: &Token) -> Result<ServerConfig, TlsError> {
    let Credentials { key, certificate, .. } = Credentials::of(token)?;
    let failed = |error: String| TlsError::Setup(error);
    let certificate = CertificateDer::from(certificate);
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).map_err(|e| failed(e.to_string()))?;
    let provider = Arc::new(provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = verifier.build().map_err(|e| failed(e.to_string()))?;
    let settings = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&version::TLS13]);
    let mut settings = settings
        .map_err(|e| failed(e.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key)))
        .map_err(|e| failed(e.to_string()))?;
    settings.alpn_protocols = vec![b"h2".to_vec()];
    // Each connection proves the token itself, and does not use the proof of an earlier one.
    settings.send_tls13_tickets = 0;
    Ok(settings)
}

/// ring, with AES-128 preferred to AES-256: gradients are large, and it is faster.
fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() != CipherSuite::TLS13_AES_256_GCM_SHA384);
    provider
}

/// Connections without the token, reported at intervals.
struct Strangers<F> {
    told: F,
    last: Option<Instant>,
    connections: u64,
}

impl<F: Fn(Stranger)> Strangers<F> {
    fn add(&mut self, from: SocketAddr) {
        self.connections += 1;
        if self.last.is_none_or(|last| last.elapsed() >= TELL) {
            (self.told)(Stranger { from, connections: std::mem::take(&mut self.connections) });
            self.last = Some(Instant::now());
        }
    }
}

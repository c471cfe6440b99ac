//! Connections between the parts of a cluster: each side proves to the other that it has the token.

use std::sync::Arc;
use std::time::Duration;

use ballista_core::extension::EndpointOverrideFn;
use retrace_sign::Token;
use retrace_tls::{Reason, TlsError, endpoint, reason};
use tokio::signal;
use tonic::transport::{Channel, Endpoint};

use crate::ClusterError;

/// Maximum bytes in transit before the other side has received them: for a connection, and for one answer.
const WINDOWS: (u32, u32) = (64 << 20, 16 << 20);
/// The interval of keep-alive checks; a connection is closed if there is no answer for the same time.
const ALIVE: Duration = Duration::from_secs(10);

/// Replaces an endpoint of Ballista by one with the same address that is accepted only if it proves that it has
/// `token`.
pub(crate) fn proven(token: &Token) -> EndpointOverrideFn {
    let token = token.clone();
    Arc::new(move |ballistas: Endpoint| {
        let address = ballistas.uri().authority().ok_or(TlsError::Address)?;
        Ok(endpoint_at(address.as_str(), &token)?)
    })
}

fn endpoint_at(address: &str, token: &Token) -> Result<Endpoint, TlsError> {
    let endpoint = endpoint(address, token)?
        .initial_connection_window_size(WINDOWS.0)
        .initial_stream_window_size(WINDOWS.1)
        .http2_keep_alive_interval(ALIVE)
        .keep_alive_timeout(ALIVE)
        .keep_alive_while_idle(true);
    Ok(endpoint)
}

/// A connection to the scheduler at `address`, which has proved that it has `token`.
pub(crate) async fn reach(address: &str, token: &Token) -> Result<Channel, ClusterError> {
    let endpoint = endpoint_at(address, token)
        .map_err(|error| ClusterError::Scheduler { address: address.to_owned(), what: error.to_string() })?;
    endpoint.connect().await.map_err(|error| match reason(&error) {
        Reason::NotProven(what) => ClusterError::NotProven { address: address.to_owned(), what },
        Reason::Other(what) => {
            ClusterError::Scheduler { address: address.to_owned(), what: format!("cannot be reached: {what}") }
        }
    })
}

/// A future that waits until the process receives a request to end. From this call on, such a request does not end the
/// process directly.
pub(crate) fn interruption() -> Result<impl Future<Output = ()>, ClusterError> {
    use signal::unix::{SignalKind, signal};
    let of = |kind| signal(kind).map_err(ClusterError::Start);
    let (mut interrupt, mut terminate) = (of(SignalKind::interrupt())?, of(SignalKind::terminate())?);
    let mut hang_up = of(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}

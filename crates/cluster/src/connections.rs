//! Connections between the parts of a cluster: each side proves to the other that it has the token.

use std::sync::Arc;
use std::time::Duration;

use ballista_core::extension::EndpointOverrideFn;
use retrace_sign::Token;
use retrace_tls::{Reason, TlsError, endpoint, reason};
use tokio::signal;
use tonic::transport::{Channel, Endpoint};

use crate::ClusterError;

/// How much may be on its way before the other side has taken it: of a connection, and of one answer.
const WINDOWS: (u32, u32) = (64 << 20, 16 << 20);
/// A connection is tried so often, and given up when nothing comes back for as long again.
const ALIVE: Duration = Duration::from_secs(10);

/// In the place of an endpoint of Ballista's, one at the same address that is taken only if it proves
/// that it holds `token`.
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

/// A connection to the scheduler at `address`, which has proved that it holds `token`.
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

/// What waits until the process is asked to end. From this call on, it is asked, and not ended.
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

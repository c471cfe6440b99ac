//! A session that sends its queries to a cluster.

use std::sync::Arc;

use ballista::extension::{SessionConfigExt, SessionContextExt};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use retrace_query::functions;
use retrace_sign::Token;

use crate::spelled::Spelled;
use crate::{ClusterError, connections};

/// The initial state of every part of a cluster: the query crate's state, with Ballista's settings.
pub(crate) fn state(config: SessionConfig) -> Result<SessionState, DataFusionError> {
    let state = SessionStateBuilder::new_from_existing(functions::state(config)?);
    Ok(state.with_physical_optimizer_rule(Arc::new(Spelled)).build())
}

/// The settings of a session in a cluster that has `token`.
pub(crate) fn config(token: &Token) -> SessionConfig {
    // With adaptive replanning some queries never end: a window over a stage that turns out to have no rows, and
    // failures that the scheduler does not detect at that time.
    let config = SessionConfig::new_with_ballista().set_bool("ballista.planner.adaptive.enabled", false);
    config.with_ballista_override_create_grpc_client_endpoint(connections::proven(token))
}

/// A context whose queries are answered by the scheduler at `address` (`HOST:PORT`). `settings` may change the
/// session's settings.
///
/// # Errors
/// If the scheduler cannot be reached, or does not prove that it has `token`.
pub fn connect(
    address: &str,
    token: &Token,
    settings: impl FnOnce(SessionConfig) -> SessionConfig,
) -> Result<SessionContext, ClusterError> {
    let state = state(settings(config(token)))?;
    let failed =
        |e: DataFusionError| ClusterError::Scheduler { address: address.to_owned(), what: e.strip_backtrace() };
    let url = format!("df://{address}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ClusterError::Start)?;
    let context = runtime.block_on(async {
        // Ballista connects for each query; this finds out early whether there is a scheduler.
        connections::reach(address, token).await?;
        SessionContext::remote_with_state(&url, state).await.map_err(failed)
    })?;
    // Ballista replaces the functions of the state by its own.
    functions::register(&mut *context.state_ref().write())?;
    Ok(context)
}

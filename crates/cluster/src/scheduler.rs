//! The process that accepts queries.

use std::net::SocketAddr;
use std::sync::Arc;

use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::create_scheduler;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use retrace_sign::Token;
use tokio::net::TcpListener;
use tonic::transport::Server;

use crate::connections::{interruption, proven};
use crate::{ClusterError, session};

/// A worker that has not requested work for this many seconds is considered lost, and its tasks are given to others.
const LOST_AFTER: u64 = 6;

/// Accepts queries at `address` from processes that have `token`, until the process is interrupted; `ready` is called
/// with the listening address.
///
/// # Errors
/// If it cannot listen there.
pub fn scheduler(address: &str, token: &Token, ready: impl FnOnce(SocketAddr)) -> Result<(), ClusterError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ClusterError::Start)?;
    runtime.block_on(async {
        let refuse = |source| ClusterError::Listen { address: address.to_owned(), source };
        let listener = TcpListener::bind(address).await.map_err(refuse)?;
        let bound = listener.local_addr().map_err(refuse)?;
        let failed = |what: String| ClusterError::Scheduler { address: bound.to_string(), what };
        let settings = session::config(token);
        let config = SchedulerConfig {
            external_host: bound.ip().to_string(),
            bind_port: bound.port(),
            scheduling_policy: TaskSchedulingPolicy::PullStaged,
            executor_timeout_seconds: LOST_AFTER,
            expire_dead_executor_interval_seconds: 1,
            override_session_builder: Some(Arc::new(session::state)),
            override_config_producer: Some(Arc::new(move || settings.clone())),
            override_create_grpc_client_endpoint: Some(proven(token)),
            ..SchedulerConfig::default()
        };
        let (most_in, most_out) = (
            config.grpc_server_max_decoding_message_size as usize,
            config.grpc_server_max_encoding_message_size as usize,
        );
        let cluster = BallistaCluster::new_from_config(&config).await.map_err(|e| failed(e.to_string()))?;
        let server = create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, Arc::new(config)).await;
        let server = SchedulerGrpcServer::new(server.map_err(|e| failed(e.to_string()))?)
            .max_decoding_message_size(most_in)
            .max_encoding_message_size(most_out);
        let interrupted = interruption()?;
        let connections = retrace_tls::accept(listener, token, |_| ())?;
        ready(bound);
        tokio::select! {
            served = Server::builder().add_service(server).serve_with_incoming(connections) => {
                served.map_err(|e| failed(e.to_string()))
            }
            () = interrupted => Ok(()),
        }
    })
}

//! A process that works for a cluster.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::serde::BallistaCodec;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{ExecutorRegistration, GetJobStatusParams};
use ballista_core::serde::scheduler::{ExecutorOperatingSystemSpecification, ExecutorSpecification};
use ballista_core::{BALLISTA_PROTOCOL_VERSION, RuntimeProducer};
use ballista_executor::execution_engine::DefaultExecutionEngine;
use ballista_executor::execution_loop::poll_loop;
use ballista_executor::executor::Executor;
use ballista_executor::flight_service::BallistaFlightService;
use ballista_executor::health::ExecutorHealth;
use ballista_executor::metrics::LoggingMetricsCollector;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use retrace_sign::Token;
use tokio::net::TcpListener;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};

use crate::guard::{Guard, shows};
use crate::{ClusterError, session};

/// What a worker offers.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The address that other workers and sessions reach it at.
    pub host: IpAddr,
    /// Tasks that it works on at once.
    pub tasks: usize,
}

/// Works on the queries of the scheduler at `address` (`HOST:PORT`) until the process is interrupted;
/// `ready` is told where it hands results over. What it keeps meanwhile lies in a temporary directory.
///
/// # Errors
/// If the scheduler cannot be reached or does not want it, or it cannot listen there.
pub fn worker(address: &str, token: &Token, offer: &Offer, ready: impl FnOnce(SocketAddr)) -> Result<(), ClusterError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ClusterError::Start)?;
    let directory = tempfile::Builder::new().prefix("retrace-cluster-").tempdir().map_err(ClusterError::Start)?;
    let kept = directory.path().to_string_lossy().into_owned();
    runtime.block_on(async {
        let refuse = |source| ClusterError::Listen { address: offer.host.to_string(), source };
        let listener = TcpListener::bind((offer.host, 0)).await.map_err(refuse)?;
        let bound = listener.local_addr().map_err(refuse)?;
        let failed = |what: String| ClusterError::Scheduler { address: address.to_owned(), what };

        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|e| failed(e.to_string()))?;
        let endpoint = shows(token)(endpoint).map_err(|e| failed(e.to_string()))?.tcp_nodelay(true);
        let channel = endpoint.connect().await.map_err(|_| failed("cannot be reached".to_owned()))?;
        let mut scheduler = SchedulerGrpcClient::new(channel);
        // Whether it wants this worker shows when it is asked anything at all.
        let asked = scheduler.get_job_status(GetJobStatusParams { job_id: String::new() }).await;
        if let Err(status) = asked
            && status.code() == tonic::Code::Unauthenticated
        {
            return Err(failed(status.message().to_owned()));
        }

        let settings = session::config(token);
        let state = session::state(settings.clone())?;
        let temporary = kept.clone();
        let make_runtime: RuntimeProducer =
            Arc::new(move |_| RuntimeEnvBuilder::new().with_temp_file_path(temporary.clone()).build_arc());
        let registration = ExecutorRegistration {
            id: ballista_core::ids::new_instance_id(),
            host: Some(bound.ip().to_string()),
            port: bound.port().into(),
            grpc_port: bound.port().into(),
            specification: Some(ExecutorSpecification::default().with_vcores(offer.tasks as u32).into()),
            os_info: Some(ExecutorOperatingSystemSpecification::default().into()),
            ballista_protocol_version: BALLISTA_PROTOCOL_VERSION,
        };
        let executor = Executor::new(
            registration,
            &kept,
            make_runtime,
            Arc::new(move || settings.clone()),
            Arc::new(BallistaFunctionRegistry::from(&state)),
            Arc::new(LoggingMetricsCollector::default()),
            offer.tasks,
            Arc::new(DefaultExecutionEngine::new()),
        );
        let results = FlightServiceServer::new(BallistaFlightService::new(kept.clone()));
        let guarded = InterceptedService::new(results, Guard(Arc::new(token.clone())));
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        ready(bound);
        let codec = BallistaCodec::<LogicalPlanNode, PhysicalPlanNode>::default();
        tokio::select! {
            served = Server::builder().add_service(guarded).serve_with_incoming(incoming) => {
                served.map_err(|e| failed(e.to_string()))
            }
            worked = poll_loop(scheduler, Arc::new(executor), codec, None, None, ExecutorHealth::new()) => {
                worked.map_err(|e| failed(e.to_string()))
            }
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
}

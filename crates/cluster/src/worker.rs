//! A process that executes tasks for a cluster.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::serde::BallistaCodec;
use ballista_core::serde::protobuf::ExecutorRegistration;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
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
use retrace_files::Scratch;
use retrace_sign::Token;
use tokio::net::TcpListener;
use tonic::transport::Server;

use crate::connections::{interruption, reach};
use crate::{ClusterError, session};

/// How long tasks may continue after the worker is requested to end.
const LEAVING: Duration = Duration::from_secs(2);

/// The settings of a worker.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The address at which other workers and sessions reach it.
    pub host: IpAddr,
    /// The number of tasks that it runs in parallel.
    pub tasks: usize,
}

/// Runs tasks for the scheduler at `address` (`HOST:PORT`) until the process is interrupted; `ready` is called with
/// the address of its results. Its temporary data is in a directory that only its user can read, as is everything that
/// this process writes from then on; the directory is removed at the end.
///
/// # Errors
/// If the scheduler cannot be reached or does not prove that it has `token`, or it cannot listen there.
pub fn worker(address: &str, token: &Token, offer: &Offer, ready: impl FnOnce(SocketAddr)) -> Result<(), ClusterError> {
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let kept = Scratch::new(&std::env::temp_dir(), "retrace-cluster")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ClusterError::Start)?;
    let worked = runtime.block_on(work(address, token, offer, &kept, ready));
    // So that nothing is written after the directory is removed.
    runtime.shutdown_timeout(LEAVING);
    worked
}

async fn work(
    address: &str,
    token: &Token,
    offer: &Offer,
    kept: &Scratch,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), ClusterError> {
    let kept = kept.path().to_string_lossy().into_owned();
    let interrupted = interruption()?;
    let refuse = |source| ClusterError::Listen { address: offer.host.to_string(), source };
    let listener = TcpListener::bind((offer.host, 0)).await.map_err(refuse)?;
    let bound = listener.local_addr().map_err(refuse)?;
    let failed = |what: String| ClusterError::Scheduler { address: address.to_owned(), what };
    let scheduler = SchedulerGrpcClient::new(reach(address, token).await?);

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
    let connections = retrace_tls::accept(listener, token, |_| ())?;
    ready(bound);
    let codec = BallistaCodec::<LogicalPlanNode, PhysicalPlanNode>::default();
    tokio::select! {
        served = Server::builder().add_service(results).serve_with_incoming(connections) => {
            served.map_err(|e| failed(e.to_string()))
        }
        worked = poll_loop(scheduler, Arc::new(executor), codec, None, None, ExecutorHealth::new()) => {
            worked.map_err(|e| failed(e.to_string()))
        }
        () = interrupted => Ok(()),
    }
}

//! A process that computes micro-batches for another.

use retrace_files::Root;
use std::time::{Duration, Instant};

use retrace_model::{Engine, Layout, Weights, check_memory};
use retrace_numerics::environment;
use retrace_sign::Token;
use retrace_spec::{Document, Run, Step};
use retrace_tls::{Reason, said};
use retrace_train::{Batch, Batches, Learner, TrainError};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::WorkersError;
use crate::coordinator::{ALIVE, FRAME, WINDOW};
use crate::floats::{self, Assembly};
use crate::local::Inherited;
use crate::message::{Answer, FromWorker, Losses, NUMERICS, Order, PATH, RUN, Task, ToWorker};

/// How a worker connects to its coordinator.
#[derive(Debug, Clone, Copy)]
pub enum Way<'a> {
    /// By an address; both sides prove that they have the token.
    Address {
        /// `HOST:PORT`.
        address: &'a str,
        /// The token.
        token: &'a Token,
        /// How long to wait for a coordinator that is not there yet.
        patience: Duration,
    },
    /// By standard input, a connection of [`Local`](crate::Local).
    Inherited,
}

/// Computes micro-batches of `run`, whose paths are relative to `root`, for the coordinator, until the coordinator
/// ends; `done` is called for every block.
///
/// # Errors
/// If the coordinator cannot be reached, refuses this worker, or is lost; if the tokens differ from its tokens; if the
/// micro-batches cannot be computed.
pub fn work(root: &Root, run: &Run, way: Way<'_>, done: &mut dyn FnMut(Step, usize)) -> Result<(), WorkersError> {
    // One copy of the weights, and a gradient.
    check_memory(&run.model, 2, run.micro_batch_size * run.sequence_length).map_err(TrainError::from)?;
    let weights = Weights::from_values(Layout::of(&run.model), vec![0.0; Layout::of(&run.model).parameters()]);
    let network = Engine::default().network(&run.model).map_err(TrainError::from)?;
    let mut worker = Worker {
        learner: Learner::new(run, network.as_ref()),
        batches: Batches::open(root, run)?,
        weights: weights.map_err(TrainError::from)?,
        assembly: Assembly::default(),
        known: None,
        batch: None,
    };
    // One thread communicates, while this one computes.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(WorkersError::Start)?;
    let (answers, mut orders) = join(&runtime, run, way)?;
    let lost = |what: &str| WorkersError::Lost { address: way.address(), what: what.to_owned() };
    loop {
        let order = runtime.block_on(orders.message()).map_err(|status| lost(&said(status.message())))?;
        let Some(ToWorker { order }) = order else { return Ok(()) };
        match order {
            Some(Order::Weights(bytes)) if worker.assembly.add(worker.weights.values_mut(), &bytes) => {}
            Some(Order::Task(task)) => match worker.compute(&task, &answers) {
                Ok(micro_batches) => done(Step(task.step), micro_batches),
                Err(error) => {
                    let _ = answers.send(FromWorker { answer: Some(Answer::Failed(error.to_string())) });
                    // It closes the stream after reading that.
                    let _ = runtime.block_on(async { tokio::time::timeout(ALIVE, orders.message()).await });
                    return Err(error);
                }
            },
            _ => return Err(lost("the coordinator sent an unknown message")),
        }
    }
}

/// The data of a worker.
struct Worker<'a> {
    learner: Learner<'a>,
    batches: Batches,
    weights: Weights,
    assembly: Assembly,
    /// The step of these weights, when they are complete.
    known: Option<Step>,
    batch: Option<(Step, Batch)>,
}

impl Worker<'_> {
    /// Computes a task and sends the result. Returns the number of micro-batches.
    fn compute(&mut self, task: &Task, answers: &UnboundedSender<FromWorker>) -> Result<usize, WorkersError> {
        environment::check().map_err(TrainError::from)?;
        let step = Step(task.step);
        if self.known != Some(step) {
            if !self.assembly.finish(self.weights.values_mut()) {
                return Err(WorkersError::Damaged { what: "the coordinator did not send all weights" });
            }
            self.known = Some(step);
        }
        let batch = match self.batch.take() {
            Some((of, batch)) if of == step => batch,
            _ => self.batches.batch(step)?,
        };
        if batch.digest.as_bytes()[..] != task.batch[..] {
            return Err(WorkersError::OtherTokens { step: task.step });
        }
        let micro_batches = self.learner.micro_batches() as u64;
        let range = match task.first.checked_add(task.count) {
            Some(end) if end <= micro_batches => task.first as usize..end as usize,
            _ => {
                return Err(WorkersError::Damaged {
                    what: "the coordinator asked for micro-batches that the step does not have",
                });
            }
        };
        let count = range.len();
        let block = self.learner.block(&self.weights, step, &batch, range)?;
        self.batch = Some((step, batch));
        let gradient = floats::to_bytes(block.gradient);
        let losses = Losses { bits: block.losses.iter().map(|loss| loss.to_bits()).collect() };
        // Whether the data arrived is known when the next message is read.
        for answer in [Answer::Losses(losses)].into_iter().chain(floats::chunks(gradient).map(Answer::Gradient)) {
            let _ = answers.send(FromWorker { answer: Some(answer) });
        }
        Ok(count)
    }
}

impl Way<'_> {
    fn address(&self) -> String {
        match self {
            Self::Address { address, .. } => (*address).to_owned(),
            Self::Inherited => "standard input".to_owned(),
        }
    }
}

/// The two directions of a worker's stream.
pub(crate) type Stream = (UnboundedSender<FromWorker>, Streaming<ToWorker>);

pub(crate) fn join(runtime: &Runtime, run: &Run, way: Way<'_>) -> Result<Stream, WorkersError> {
    let unreachable = |what: String| WorkersError::Unreachable { address: way.address(), what };
    let not_connected = |error: tonic::transport::Error| match retrace_tls::reason(&error) {
        Reason::NotProven(what) => WorkersError::NotProven { address: way.address(), what },
        Reason::Other(what) => unreachable(what),
    };
    let endpoint = match way {
        Way::Address { address, token, .. } => retrace_tls::endpoint(address, token),
        Way::Inherited => Ok(Endpoint::from_static("http://coordinator")),
    };
    let endpoint = endpoint
        .map_err(|e| unreachable(e.to_string()))?
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(FRAME)
        .http2_keep_alive_interval(ALIVE)
        .keep_alive_timeout(ALIVE)
        .keep_alive_while_idle(true);
    let run_digest = run.digest().map_err(TrainError::from)?;
    let (answers, outgoing) = unbounded_channel();
    let mut request = Request::new(UnboundedReceiverStream::new(outgoing));
    for (name, value) in [(NUMERICS, run.numerics.to_string()), (RUN, run_digest.to_string())] {
        let value = value.parse().map_err(|_| unreachable(format!("{name} cannot be sent as a header")))?;
        request.metadata_mut().insert(name, value);
    }
    let orders = runtime.block_on(async {
        let channel = match way {
            Way::Address { patience, .. } => connect(&endpoint, patience).await,
            Way::Inherited => {
                let connection = Inherited::new().map_err(|e| unreachable(e.to_string()))?;
                endpoint.connect_with_connector(connection).await
            }
        };
        let channel = channel.map_err(not_connected)?;
        let mut call = tonic::client::Grpc::new(channel);
        call.ready().await.map_err(not_connected)?;
        let answer = call.streaming(request, PathAndQuery::from_static(PATH), ProstCodec::default()).await;
        answer.map_err(|status: Status| match status.code() {
            Code::ResourceExhausted | Code::FailedPrecondition => {
                WorkersError::Refused { address: way.address(), what: said(status.message()) }
            }
            _ => unreachable(said(status.message())),
        })
    })?;
    Ok((answers, orders.into_inner()))
}

/// Connects, with retries until `patience` is over or the listening process is not the coordinator.
async fn connect(endpoint: &Endpoint, patience: Duration) -> Result<Channel, tonic::transport::Error> {
    let began = Instant::now();
    loop {
        match endpoint.connect().await {
            Err(error)
                if began.elapsed() < patience && !matches!(retrace_tls::reason(&error), Reason::NotProven(_)) =>
            {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            outcome => return outcome,
        }
    }
}

//! The coordinator: the side of the training process in the protocol with the workers.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use prost::bytes::Bytes;
use retrace_model::Weights;
use retrace_numerics::tree::TreeSum;
use retrace_sign::Token;
use retrace_spec::{Digest, Document, Run, Step};
use retrace_tls::{Stranger, said};
use retrace_train::{Batch, Block, Compute, Learner, TrainError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::board::{Assignment, Board, Next};
use crate::floats::{self, Assembly};
use crate::message::{Answer, FromWorker, Losses, NUMERICS, Order, PATH, RUN, Task, ToWorker};
use crate::schedule::{Patience, WorkerId};
use crate::{Local, WorkersError};

/// Maximum bytes in transit before the other side has received them.
pub(crate) const WINDOW: u32 = 16 << 20;
/// The maximum size of an HTTP/2 frame in bytes.
pub(crate) const FRAME: u32 = 1 << 20;
/// The interval of keep-alive checks; a connection is closed if there is no answer for the same time.
pub(crate) const ALIVE: Duration = Duration::from_secs(10);

/// How long to wait for workers to disconnect.
const LEAVING: Duration = Duration::from_secs(2);
/// The maximum number of workers: each is a connection, and checkpoints need open files too.
const MOST_WORKERS: usize = 256;

/// Events among the workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A worker joined.
    Joined {
        /// Its number, from 1.
        worker: u64,
        /// Its address.
        from: String,
    },
    /// A worker is gone. Its unfinished blocks are computed again.
    Left {
        /// Its number, from 1.
        worker: u64,
        /// The reason, as known.
        why: String,
    },
    /// A worker has used half of the time for a task, and has not answered.
    Slow {
        /// Its number, from 1.
        worker: u64,
        /// Its task.
        task: String,
        /// How long it has had the task.
        waited: Duration,
        /// When it will be disconnected.
        deadline: Duration,
    },
    /// A worker was refused.
    Refused {
        /// Its address.
        from: String,
        /// The reason.
        why: String,
    },
    /// Connections did not prove that they have the token; the last is from this address.
    Strangers {
        /// Its address.
        from: String,
        /// Their number since the last report.
        connections: u64,
    },
}

/// Serves until it is stopped.
type Serving = JoinHandle<Result<(), tonic::transport::Error>>;

/// Receives the events among the workers.
type Listener = Arc<dyn Fn(Event) + Send + Sync>;

/// The workers of a run: a step's micro-batches are computed by the workers that have joined, and in this process if
/// there are none.
pub struct Workers {
    door: Door,
    sum: TreeSum,
    local: Local,
    servers: Vec<(oneshot::Sender<()>, Serving)>,
    runtime: Option<Runtime>,
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("run", &self.door.run).finish_non_exhaustive()
    }
}

impl Workers {
    /// Lets workers with the same `run` join. If a task is not finished within ten times the longest time of its
    /// worker so far, and at least `deadline`, it is given to another, and the worker is disconnected. `listener`
    /// receives the events.
    ///
    /// # Errors
    /// If no thread can be created.
    pub fn new(
        run: &Run,
        deadline: Duration,
        listener: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Self, WorkersError> {
        let builder = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = builder.map_err(WorkersError::Start)?;
        let parameters = retrace_model::Layout::of(&run.model).parameters();
        let tokens = run.micro_batch_size * run.sequence_length;
        let door = Door {
            board: Arc::new(Board::new(Patience::new(deadline, parameters, tokens))),
            run: run.digest().map_err(TrainError::from)?,
            numerics: run.numerics.to_string(),
            parameters,
            listener: Arc::new(listener),
        };
        let (connections, handed_over) = mpsc::channel(1);
        let local = Local { runtime: runtime.handle().clone(), connections };
        let mut workers = Self { door, sum: TreeSum::default(), local, servers: Vec::new(), runtime: Some(runtime) };
        workers.serve(ReceiverStream::new(handed_over));
        Ok(workers)
    }

    /// Connections for processes on this machine.
    pub fn local(&self) -> Local {
        self.local.clone()
    }

    /// Lets workers on other machines that have `token` join at `address` (`127.0.0.1:0`: any free port); returns the
    /// listening address.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub fn listen(&mut self, address: &str, token: &Token) -> Result<SocketAddr, WorkersError> {
        let refuse = |source| WorkersError::Listen { address: address.to_owned(), source };
        let runtime = self.local.runtime.clone();
        let socket = runtime.block_on(TcpListener::bind(address)).map_err(refuse)?;
        let bound = socket.local_addr().map_err(refuse)?;
        let told = Arc::clone(&self.door.listener);
        let _within = runtime.enter();
        let connections = retrace_tls::accept(socket, token, move |Stranger { from, connections }| {
            told(Event::Strangers { from: from.to_string(), connections });
        })?;
        self.serve(connections);
        Ok(bound)
    }

    /// Serves the workers of these connections.
    fn serve<C>(&mut self, connections: ReceiverStream<io::Result<C>>)
    where
        C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let server = Server::builder()
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_frame_size(FRAME)
            .http2_keepalive_interval(Some(ALIVE))
            .http2_keepalive_timeout(Some(ALIVE))
            .serve_with_incoming_shutdown(self.door.clone(), connections, async {
                let _ = stopped.await;
            });
        self.servers.push((stop, self.local.runtime.spawn(server)));
    }

    /// Waits until this many have joined, or `hopeless` says that they will not.
    pub fn wait_for(&self, workers: usize, hopeless: impl FnMut() -> bool) {
        self.door.board.wait_for_workers(workers, hopeless);
    }
}

impl Compute for Workers {
    fn compute(
        &mut self,
        local: &mut Learner<'_>,
        weights: &Weights,
        step: Step,
        batch: &Batch,
    ) -> Result<Block, TrainError> {
        let micro_batches = local.micro_batches();
        self.door.board.post(step, batch.digest, micro_batches, || floats::to_bytes(weights.values().to_vec()));
        let mut losses = Vec::with_capacity(micro_batches);
        while losses.len() < micro_batches {
            match self.door.board.next(losses.len()) {
                Next::Block(count, block) => {
                    losses.extend(block.losses);
                    self.sum.push_node(count as u64, block.gradient);
                    if let Some(spare) = self.sum.spare() {
                        self.door.board.keep(spare);
                    }
                }
                Next::Local(range) => {
                    let block = local.block(weights, step, batch, range.clone())?;
                    self.door.board.deliver(step, &range, block);
                }
            }
        }
        Ok(Block { losses, gradient: self.sum.finish().unwrap_or_default() })
    }

    fn recycle(&mut self, _: &mut Learner<'_>, gradient: Vec<f32>) {
        self.door.board.keep(gradient);
    }
}

impl Drop for Workers {
    /// Disconnects the workers.
    fn drop(&mut self) {
        self.door.board.close();
        let (stops, servers): (Vec<_>, Vec<_>) = self.servers.drain(..).unzip();
        stops.into_iter().for_each(|stop| {
            let _ = stop.send(());
        });
        if let Some(runtime) = self.runtime.take() {
            // They end when every worker has received the end of its stream.
            let ended = async {
                for server in servers {
                    let _ = server.await;
                }
            };
            let _ = runtime.block_on(async { tokio::time::timeout(LEAVING, ended).await });
            runtime.shutdown_background();
        }
    }
}

/// The service that workers connect to.
#[derive(Clone)]
struct Door {
    board: Arc<Board>,
    run: Digest,
    numerics: String,
    parameters: usize,
    listener: Listener,
}

impl Door {
    /// Whether a worker with this request may join, and if not, why.
    fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let header = |name| request.metadata().get(name).map_or(&b""[..], |value| value.as_encoded_bytes());
        if self.board.workers() >= MOST_WORKERS {
            return Err(Status::resource_exhausted(format!(
                "there are {MOST_WORKERS} workers already, which is the limit"
            )));
        }
        for (name, ours) in [(NUMERICS, &self.numerics), (RUN, &self.run.to_string())] {
            let theirs = header(name);
            if theirs != ours.as_bytes() {
                let theirs = said(&String::from_utf8_lossy(theirs));
                return Err(Status::failed_precondition(format!("its {name} is {theirs:?}, not {ours}")));
            }
        }
        Ok(())
    }
}

impl Service<http::Request<tonic::body::Body>> for Door {
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let call = Join(self.clone());
        Box::pin(async move {
            if request.uri().path() != PATH {
                return Ok(Status::unimplemented("this address serves only workers").into_http());
            }
            Ok(tonic::server::Grpc::new(ProstCodec::default()).streaming(call, request).await)
        })
    }
}

/// The call with which a worker joins.
struct Join(Door);

impl tonic::server::StreamingService<FromWorker> for Join {
    type Response = ToWorker;
    type ResponseStream = ReceiverStream<Result<ToWorker, Status>>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<FromWorker>>) -> Self::Future {
        let door = self.0.clone();
        Box::pin(async move {
            let from = request.remote_addr().map_or_else(|| "this machine".to_owned(), |address| address.to_string());
            if let Err(status) = door.admit(&request) {
                (door.listener)(Event::Refused { from, why: status.message().to_owned() });
                return Err(status);
            }
            let (orders, stream) = mpsc::channel(4);
            let worker = door.board.join();
            (door.listener)(Event::Joined { worker: worker.0, from });
            tokio::spawn(async move {
                let mut served = Served { door, worker, undone: Vec::new() };
                let Err(why) = served.serve(request.into_inner(), &orders).await else { return };
                let listener = Arc::clone(&served.door.listener);
                // Its unfinished blocks become available to others immediately, whether or not it receives the reason.
                drop(served);
                listener(Event::Left { worker: worker.0, why: why.clone() });
                let _ = tokio::time::timeout(ALIVE, orders.send(Err(Status::aborted(why)))).await;
            });
            Ok(Response::new(ReceiverStream::new(stream)))
        })
    }
}

/// A worker that has joined. When this is dropped, its unfinished blocks become available to others.
struct Served {
    door: Door,
    worker: WorkerId,
    undone: Vec<Given>,
}

/// A task that a worker has and has not finished.
struct Given {
    step: Step,
    block: Range<usize>,
    since: Instant,
    deadline: Duration,
    /// Whether it was reported that it takes long.
    told: bool,
}

impl Given {
    fn new(assignment: &Assignment) -> Self {
        let Assignment { step, ref block, deadline, .. } = *assignment;
        Self { step, block: block.clone(), since: Instant::now(), deadline, told: false }
    }

    /// The time of the next report or action: at half of its time, and at the end of it.
    fn alarm(&self) -> Instant {
        self.since + if self.told { self.deadline } else { self.deadline / 2 }
    }

    /// Its description.
    fn task(&self) -> String {
        let (first, last) = (self.block.start + 1, self.block.end);
        format!("micro-batches {first} to {last} of step {}", self.step.get())
    }

    /// Why its worker is disconnected.
    fn overdue(&self) -> String {
        format!("it did not finish {} within {:.0} s", self.task(), self.deadline.as_secs_f64())
    }
}

/// A gradient that is being received.
struct Arriving {
    step: Step,
    range: Range<usize>,
    block: Block,
    assembly: Assembly,
}

impl Served {
    /// Gives it tasks as long as there are any; the error is why it is gone.
    async fn serve(
        &mut self,
        mut answers: Streaming<FromWorker>,
        orders: &mpsc::Sender<Result<ToWorker, Status>>,
    ) -> Result<(), String> {
        let board = Arc::clone(&self.door.board);
        let (mut last, mut computing, mut arriving) = (None, None, None);
        loop {
            let alarm = self.undone.iter().map(Given::alarm).min();
            tokio::select! {
                () = until(alarm) => self.see_what_is_late()?,
                // The next task is sent while the gradient of the previous one is still being received.
                assignment = board.assignment(self.worker, last), if computing.is_none() => {
                    let Some(assignment) = assignment else { return Ok(()) };
                    let given = Given::new(&assignment);
                    // A worker that does not receive is as late as one that does not send.
                    let sent = send(orders, &assignment, last != Some(assignment.step));
                    let sent = tokio::time::timeout(given.deadline, sent).await;
                    let late = given.overdue();
                    self.undone.push(given);
                    sent.map_err(|_| late)??;
                    last = Some(assignment.step);
                    computing = Some((assignment, Instant::now()));
                }
                answer = answers.message() => match answer.map_err(|status| said(status.message()))? {
                    Some(FromWorker { answer: Some(Answer::Losses(losses)) }) => {
                        let (assignment, began) = computing.take().ok_or("it sent an answer without a task")?;
                        if arriving.is_some() {
                            return Err("it did not send the complete gradient".to_owned());
                        }
                        board.measured(self.worker, assignment.block.len(), began.elapsed().as_secs_f64());
                        arriving = Some(self.begin(assignment, losses)?);
                    }
                    Some(FromWorker { answer: Some(Answer::Gradient(bytes)) }) => {
                        let mut gradient: Arriving = arriving.take().ok_or("it sent a gradient without losses")?;
                        if !gradient.assembly.add(&mut gradient.block.gradient, &bytes) {
                            return Err("it sent more than a gradient".to_owned());
                        }
                        match gradient.assembly.is_whole(&gradient.block.gradient) {
                            true => self.hand_in(gradient),
                            false => arriving = Some(gradient),
                        }
                    }
                    Some(FromWorker { answer: Some(Answer::Failed(why)) }) => return Err(said(&why)),
                    Some(FromWorker { answer: None }) => return Err("it sent an unknown message".to_owned()),
                    None => return Err("it left".to_owned()),
                },
            }
        }
    }

    /// Reports tasks that take long; the error is that one has taken too long.
    fn see_what_is_late(&mut self) -> Result<(), String> {
        let now = Instant::now();
        for given in self.undone.iter_mut().filter(|given| given.alarm() <= now) {
            if given.told {
                return Err(given.overdue());
            }
            given.told = true;
            (self.door.listener)(Event::Slow {
                worker: self.worker.0,
                task: given.task(),
                waited: given.since.elapsed(),
                deadline: given.deadline,
            });
        }
        Ok(())
    }

    fn begin(&self, assignment: Assignment, losses: Losses) -> Result<Arriving, String> {
        let Assignment { step, block: range, .. } = assignment;
        if losses.bits.len() != range.len() {
            return Err(format!("it sent {} losses for {} micro-batches", losses.bits.len(), range.len()));
        }
        let gradient = self.door.board.spare(self.door.parameters);
        let block = Block { losses: losses.bits.into_iter().map(f64::from_bits).collect(), gradient };
        Ok(Arriving { step, range, block, assembly: Assembly::default() })
    }

    fn hand_in(&mut self, mut arrived: Arriving) {
        arrived.assembly.finish(&mut arrived.block.gradient);
        let is_it = |given: &Given| given.step == arrived.step && given.block == arrived.range;
        if let Some(at) = self.undone.iter().position(is_it) {
            let given = self.undone.swap_remove(at);
            self.door.board.handed_in(self.worker, given.block.len(), given.since.elapsed().as_secs_f64());
        }
        self.door.board.deliver(arrived.step, &arrived.range, arrived.block);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let undone = std::mem::take(&mut self.undone);
        let undone: Vec<_> = undone.into_iter().map(|given| (given.step, given.block)).collect();
        self.door.board.leave(self.worker, &undone);
    }
}

/// Waits until then; forever, if there is nothing to wait for.
async fn until(alarm: Option<Instant>) {
    match alarm {
        Some(alarm) => tokio::time::sleep_until(alarm.into()).await,
        None => std::future::pending().await,
    }
}

/// Sends a task to a worker, with the weights if it does not have them.
async fn send(
    orders: &mpsc::Sender<Result<ToWorker, Status>>,
    assignment: &Assignment,
    weights: bool,
) -> Result<(), String> {
    let Assignment { step, block, batch, weights: bytes, .. } = assignment;
    let pieces = floats::chunks(if weights { bytes.clone() } else { Bytes::new() }).map(Order::Weights);
    let task = Task {
        step: step.get(),
        first: block.start as u64,
        count: block.len() as u64,
        batch: Bytes::copy_from_slice(batch.as_bytes()),
    };
    for order in pieces.chain([Order::Task(task)]) {
        orders.send(Ok(ToWorker { order: Some(order) })).await.map_err(|_| "its connection was lost".to_owned())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

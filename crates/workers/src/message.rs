//! The messages between a coordinator and a worker: one gRPC stream per worker, in each direction.
//!
//! A worker requests the stream with [`RUN`] and [`NUMERICS`] in the request's headers. It receives the
//! weights of a step in pieces before its first task of that step, and answers each task with the losses and
//! then the gradient in pieces.

use prost::bytes::Bytes;

/// The gRPC call.
pub(crate) const PATH: &str = "/retrace.Workers/Join";
/// The header with the digest of the run.
pub(crate) const RUN: &str = "retrace-run";
/// The header with the numerics version.
pub(crate) const NUMERICS: &str = "retrace-numerics";

/// A message to a worker.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ToWorker {
    #[prost(oneof = "Order", tags = "1, 2")]
    pub(crate) order: Option<Order>,
}

/// The content of a message to a worker.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Order {
    /// The next bytes of the weights.
    #[prost(bytes = "bytes", tag = "1")]
    Weights(Bytes),
    /// A task.
    #[prost(message, tag = "2")]
    Task(Task),
}

/// Micro-batches to compute.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Task {
    #[prost(uint64, tag = "1")]
    pub(crate) step: u64,
    /// The index of the first.
    #[prost(uint64, tag = "2")]
    pub(crate) first: u64,
    /// The number of micro-batches.
    #[prost(uint64, tag = "3")]
    pub(crate) count: u64,
    /// The digest of the step's batch.
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) batch: Bytes,
}

/// A message from a worker.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FromWorker {
    #[prost(oneof = "Answer", tags = "1, 2, 3")]
    pub(crate) answer: Option<Answer>,
}

/// The content of a worker's message.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Answer {
    /// The task is computed; its gradient follows.
    #[prost(message, tag = "1")]
    Losses(Losses),
    /// The next bytes of the gradient.
    #[prost(bytes = "bytes", tag = "2")]
    Gradient(Bytes),
    /// It cannot continue, and why.
    #[prost(string, tag = "3")]
    Failed(String),
}

/// The result of a task.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Losses {
    /// The bits of each micro-batch's loss, binary64.
    #[prost(fixed64, repeated, tag = "1")]
    pub(crate) bits: Vec<u64>,
}

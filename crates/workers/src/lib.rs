//! A step's micro-batches, computed by several processes, on one machine or many.
//!
//! The process that trains, the coordinator, holds the state and asks [`Workers`], its
//! [`Compute`](retrace_train::Compute), for what a batch teaches. Each worker ([`work`]) has the run
//! file and the tokens; it is sent the weights, and then blocks of 2^k micro-batches to compute. A
//! block's gradient is a node of the contract's tree, so that it makes no difference to any bit who
//! computes which, how fast, or how often one is lost.
//!
//! They speak gRPC (tonic), one stream a worker, over TLS in which both sides prove that they hold the
//! run's token ([`retrace_tls`]); those of the same machine get their connection when they are started
//! ([`Local`]), and there no port is listened on. A worker that holds the token is trusted in what it computes: what it
//! computes falsely, a replay finds. It is not trusted to answer: a task that it has not handed in by its
//! deadline is given to another, and the worker is let go.
//! This crate knows nothing of how its processes are started, and prints nothing.

mod board;
mod coordinator;
mod error;
mod floats;
mod local;
mod message;
mod schedule;
mod worker;

pub use coordinator::{Event, Workers};
pub use error::WorkersError;
pub use local::Local;
pub use worker::{Way, work};

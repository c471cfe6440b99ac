//! A step's micro-batches, computed by several processes, on one machine or many.
//!
//! The process that trains, the coordinator, holds the state and asks [`Workers`], its
//! [`Compute`](retrace_train::Compute), for what a batch teaches. Each worker ([`work`]) has the run
//! file and the tokens; it is sent the weights, and then blocks of 2^k micro-batches to compute. A
//! block's gradient is a node of the contract's tree, so that it makes no difference to any bit who
//! computes which, how fast, or how often one is lost.
//!
//! They speak gRPC (tonic), one stream a worker, authenticated by a token that all of them hold, and
//! not encrypted. A worker that holds the token is trusted: what it computes falsely, a replay finds.
//! This crate knows nothing of how its processes are started, and prints nothing.

mod board;
mod coordinator;
mod error;
mod floats;
mod message;
mod schedule;
mod worker;

pub use coordinator::{Event, Workers};
pub use error::WorkersError;
pub use worker::work;

//! The micro-batches of a step, computed by several processes on one or many machines.
//!
//! The process that trains, the coordinator, has the state, and computes the gradient of a batch with [`Workers`], its
//! [`Compute`](retrace_train::Compute). Each worker ([`work`]) has the run file and the tokens. It receives the
//! weights, and then blocks of 2^k micro-batches to compute. The gradient of a block is a node of the tree in the
//! numerics contract, so no bit depends on which process computes which block, how fast, or how many workers are lost.
//!
//! They use gRPC (tonic), one stream per worker, over TLS in which both sides prove that they have the run's token
//! ([`retrace_tls`]). Workers on the same machine inherit a connection when they are started ([`Local`]), and no port
//! is opened. A worker that has the token is trusted to compute correctly; a replay detects wrong results. It is not
//! trusted to answer: if it does not finish a task by its deadline, another worker gets the task, and this one is
//! disconnected. This crate does not depend on how its processes are started, and does not print.

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

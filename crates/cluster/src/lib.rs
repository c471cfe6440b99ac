//! The same SQL, functions and rules on many machines, with Apache Ballista.
//!
//! A [`scheduler()`] accepts queries and divides them into stages; each [`worker()`] requests tasks from it;
//! [`connect()`] returns a session that sends its queries there. All three start with the session state of the query
//! crate, so that a query has the same answer, to the bit, as in a single process, for any number of workers, and also
//! if a worker is lost. Tables must have the same path, or URL, on every machine.
//!
//! All of them communicate over TLS in which both sides prove that they have the cluster's token ([`retrace_tls`]). A
//! process that has it is trusted. A worker's temporary data can be read only by its user. This crate does not depend
//! on the content of queries, and does not print.

mod connections;
mod error;
mod scheduler;
mod session;
mod spelled;
mod worker;

pub use error::ClusterError;
pub use scheduler::scheduler;
pub use session::connect;
pub use worker::{Offer, worker};

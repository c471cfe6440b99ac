//! The same SQL, functions and rules on many machines, by Apache Ballista.
//!
//! A [`scheduler()`] takes queries and cuts them into stages; each [`worker()`] asks it for tasks of
//! them; [`connect()`] gives a session that sends its queries there. All three start from the query
//! crate's one session state, so that a query has the same answer, to the bit, as in a single process,
//! however many workers there are, and if one is lost on the way. Tables must lie at the same path, or
//! URL, on every machine.
//!
//! All of them talk over TLS in which both sides prove that they hold the cluster's token
//! ([`retrace_tls`]). Whoever holds it is trusted. What a worker keeps, its user alone can read. This crate
//! knows nothing of what is asked, and prints nothing.

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

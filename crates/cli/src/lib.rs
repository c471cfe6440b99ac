//! The command line of retrace: arguments in, exit code out.
//!
//! Only this crate depends on arguments, the environment and the terminal. Each verb is one file in `commands`, which
//! calls a library for the work and reports the result to the `terminal`. Two binaries run it: `retrace`, and
//! `retrace-cluster`, which is built with the support for clusters ([`Cluster`]).

use std::panic::catch_unwind;
use std::process::ExitCode;

pub use crate::cluster::{Cluster, ClusterFailure};
use crate::commands::Exit;

mod arguments;
mod cluster;
mod commands;
mod engine;
mod environment;
mod errors;
mod terminal;

// Measured in comparison with glibc's: an import of many small texts takes a quarter less time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Reads the arguments of this process, runs them, and returns the exit code. Without `cluster`, verbs that need a
/// cluster are passed to the binary `retrace-cluster`.
pub fn run(cluster: Option<&'static dyn Cluster>) -> ExitCode {
    errors::report_panics();
    catch_unwind(|| arguments::run(cluster)).unwrap_or(Exit::Bug).into()
}

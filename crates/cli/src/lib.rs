//! The command line of retrace: arguments in, exit code out.
//!
//! This crate alone knows arguments, the environment and the terminal. Each verb is one file in
//! `commands`, which asks a library for the work and tells the `terminal` of the outcome. Two binaries run
//! it: `retrace`, and `retrace-cluster`, which is built with the parts of a [`Cluster`].

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

// Measured beside glibc's: an import of many small texts takes a quarter less time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Reads the arguments of this process, does what they say, and gives the exit code. Without `cluster`, what
/// needs one is handed over to the binary `retrace-cluster`.
pub fn run(cluster: Option<&'static dyn Cluster>) -> ExitCode {
    errors::report_panics();
    catch_unwind(|| arguments::run(cluster)).unwrap_or(Exit::Bug).into()
}

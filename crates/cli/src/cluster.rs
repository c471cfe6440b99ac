//! Cluster support, which only the binary `retrace-cluster` contains; `retrace` starts that binary.
//!
//! Ballista takes long to compile, and few users need it. So `retrace` is built without it, and passes
//! `retrace cluster` and `query --cluster` to `retrace-cluster`: the same command line, built with cluster support.
//! `cargo` starts its subcommands in the same way.

use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::RefUnwindSafe;
use std::path::PathBuf;
use std::process::Command;

use retrace_files::FileError;
use retrace_query::{Options, QueryError, Session};
use retrace_sign::Token;

use crate::commands::Exit;
use crate::environment;
use crate::errors::Failure;

/// The name of the binary with cluster support.
const BINARY: &str = "retrace-cluster";

/// The functions of a binary with cluster support.
pub trait Cluster: RefUnwindSafe {
    /// Accepts queries at `address` until the process ends; calls `ready` with the address once it listens.
    ///
    /// # Errors
    /// If it cannot listen there.
    fn scheduler(&self, address: &str, token: &Token, ready: &mut dyn FnMut(SocketAddr)) -> Result<(), ClusterFailure>;

    /// Runs tasks for the scheduler at `scheduler` until the process is requested to end, with `tasks` tasks in
    /// parallel; `host` is this machine's address for the other workers. Calls `ready` with the address of its
    /// results.
    ///
    /// # Errors
    /// If the scheduler cannot be reached or does not prove that it has `token`.
    fn worker(
        &self,
        scheduler: &str,
        token: &Token,
        host: IpAddr,
        tasks: usize,
        ready: &mut dyn FnMut(SocketAddr),
    ) -> Result<(), ClusterFailure>;

    /// A session over the tables at `paths`, whose queries are answered by the cluster of the scheduler at `address`.
    ///
    /// # Errors
    /// If the scheduler cannot be reached or does not prove that it has `token`, or a table cannot be read.
    fn session(
        &self,
        address: &str,
        token: &Token,
        paths: &[PathBuf],
        options: Options,
    ) -> Result<Session, ClusterFailure>;
}

/// Why a part of a cluster failed.
#[derive(Debug)]
pub enum ClusterFailure {
    /// A file cannot be read or written.
    File(FileError),
    /// The tables or the query are wrong.
    Query(QueryError),
    /// Another reason, and what to do about it.
    Other {
        /// What is wrong.
        what: String,
        /// The advice.
        help: &'static str,
    },
}

impl From<ClusterFailure> for Failure {
    fn from(failure: ClusterFailure) -> Self {
        match failure {
            ClusterFailure::File(error) => error.into(),
            ClusterFailure::Query(error) => error.into(),
            ClusterFailure::Other { what, help } => Self::usage(what, help),
        }
    }
}

/// Passes the arguments of this process to `retrace-cluster`, which is beside this binary or in a directory of `PATH`,
/// and returns its exit code.
pub(crate) fn hand_over() -> Result<Exit, Failure> {
    let own = environment::binary();
    if own.as_deref().and_then(|own| own.file_stem()) == Some(OsStr::new(BINARY)) {
        let what = format!("this program is called {BINARY}, but is built without the parts of a cluster");
        return Err(Failure::usage(what, BUILD));
    }
    let name = format!("{BINARY}{}", std::env::consts::EXE_SUFFIX);
    let beside = own.map(|own| own.with_file_name(&name));
    let mut places = beside.into_iter().chain(environment::search_path().into_iter().map(|place| place.join(&name)));
    let Some(binary) = places.find(|place| place.is_file()) else {
        let what = format!("a cluster needs the program {BINARY}, which is neither beside this one nor in PATH");
        return Err(Failure::usage(what, BUILD));
    };
    let mut command = Command::new(&binary);
    command.args(std::env::args_os().skip(1));
    let failed = |error: io::Error| Failure::usage(format!("cannot start {}: {error}", binary.display()), BUILD);
    become_it(command).map_err(failed)
}

const BUILD: &str =
    "build it from the same source with `cargo build --release --package retrace-cluster`, and put it beside `retrace`";

/// Replaces this process by `command`, which receives the signals and gives the exit code. Returns only if that fails.
#[cfg(unix)]
fn become_it(mut command: Command) -> io::Result<Exit> {
    Err(std::os::unix::process::CommandExt::exec(&mut command))
}

/// Runs `command`, and returns its exit code.
#[cfg(not(unix))]
fn become_it(mut command: Command) -> io::Result<Exit> {
    Ok(match command.status()?.code() {
        Some(0) => Exit::Holds,
        Some(1) => Exit::Finding,
        Some(70) => Exit::Bug,
        _ => Exit::Failed,
    })
}

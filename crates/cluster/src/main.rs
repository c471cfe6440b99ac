//! The binary `retrace-cluster`: the command line of `retrace`, with the parts of a cluster.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use retrace_cli::{Cluster, ClusterFailure};
use retrace_cluster::{ClusterError, Offer};
use retrace_query::{Options, Session};
use retrace_sign::Token;

/// Ballista's scheduler and workers.
struct Ballista;

impl Cluster for Ballista {
    fn scheduler(&self, address: &str, token: &Token, ready: &mut dyn FnMut(SocketAddr)) -> Result<(), ClusterFailure> {
        retrace_cluster::scheduler(address, token, ready).map_err(explain)
    }

    fn worker(
        &self,
        scheduler: &str,
        token: &Token,
        host: IpAddr,
        tasks: usize,
        ready: &mut dyn FnMut(SocketAddr),
    ) -> Result<(), ClusterFailure> {
        retrace_cluster::worker(scheduler, token, &Offer { host, tasks }, ready).map_err(explain)
    }

    fn session(
        &self,
        address: &str,
        token: &Token,
        paths: &[PathBuf],
        options: Options,
    ) -> Result<Session, ClusterFailure> {
        let context = retrace_cluster::connect(address, token, |config| config).map_err(explain)?;
        Session::on(context, paths, options).map_err(ClusterFailure::Query)
    }
}

/// The error, and what to do about it.
fn explain(error: ClusterError) -> ClusterFailure {
    let help = match error {
        ClusterError::File(error) => return ClusterFailure::File(error),
        ClusterError::Listen { .. } => "give an address of this machine and a free port, such as 127.0.0.1:50050",
        ClusterError::Scheduler { .. } | ClusterError::NotProven { .. } | ClusterError::Tls(_) => {
            "give the address at which `retrace cluster scheduler` listens, and its token; the version of retrace must be the same"
        }
        ClusterError::Start(_) => "see how many threads and open files the system allows",
        ClusterError::Query(_) => "check that this version of retrace is the scheduler's",
    };
    ClusterFailure::Other { what: error.to_string(), help }
}

fn main() -> ExitCode {
    retrace_cli::run(Some(&Ballista))
}

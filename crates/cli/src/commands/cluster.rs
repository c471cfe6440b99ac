//! `retrace cluster`

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::Exit;
use super::work::read_token;
use crate::cluster::Cluster as Parts;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone};

/// Start a part of a cluster for `retrace query --cluster ADDRESS`
///
/// A scheduler accepts queries, and workers execute them. The answers have the same bits as those of a
/// single process, for any number of workers, even if a worker fails during the query. Tables must have
/// the same paths or URLs on every machine. All parts prove to each other that they have the token. The
/// token is never sent, and the connections are encrypted (TLS 1.3). An observer of the network sees only
/// who talks to whom, when, and how much. The token must be random, because anyone who can connect can
/// test guesses. Anyone who has the token can read every file that a worker can read. A worker keeps its
/// intermediate results unencrypted in a temporary directory that only its user can read, until it ends.
/// If a worker is killed, the next one removes what it left.
///
/// The program `retrace-cluster` does the work of this verb and of `query --cluster`. `retrace` starts it if it
/// is in the same directory or in PATH. `cargo build --release --package retrace-cluster` builds it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  (umask 077; head -c 32 /dev/urandom | base64 > token)     once; copy it to each machine
  retrace cluster scheduler --token token
  retrace cluster worker --scheduler 127.0.0.1:50050 --token token
  retrace query @emergence release --cluster 127.0.0.1:50050 --token token")]
pub(crate) struct Cluster {
    #[command(subcommand)]
    part: Part,
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Accept queries and distribute their tasks to workers
    Scheduler {
        /// The address to listen at
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:50050")]
        listen: String,
        /// The file with the cluster's token; `-` is standard input
        #[arg(long, value_name = "FILE")]
        token: PathBuf,
    },
    /// Execute tasks of queries
    Worker {
        /// The address of the scheduler
        #[arg(long, value_name = "ADDRESS")]
        scheduler: String,
        /// The file with the cluster's token; `-` is standard input
        #[arg(long, value_name = "FILE")]
        token: PathBuf,
        /// The address at which the other machines reach this one
        #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
        host: IpAddr,
        /// Execute up to N tasks at once [default: one per thread]
        #[arg(long, value_name = "N")]
        tasks: Option<NonZeroUsize>,
    },
}

impl Cluster {
    pub(crate) fn run(&self, parts: Option<&dyn Parts>, terminal: &Terminal) -> Result<Exit, Failure> {
        let Some(parts) = parts else { return crate::cluster::hand_over() };
        match &self.part {
            Part::Scheduler { listen, token } => {
                parts.scheduler(listen, &read_token(token, terminal)?, &mut |address| {
                    terminal.say(Tone::Good, "listening", format!("at {address}"));
                })?;
            }
            Part::Worker { scheduler, token, host, tasks } => {
                let tasks = tasks.map_or_else(rayon::current_num_threads, NonZeroUsize::get);
                parts.worker(scheduler, &read_token(token, terminal)?, *host, tasks, &mut |address| {
                    terminal.say(Tone::Good, "working", format!("for {scheduler}, results at {address}"));
                })?;
            }
        }
        Ok(Exit::Holds)
    }
}

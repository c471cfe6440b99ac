//! `retrace cluster`

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::Exit;
use super::work::read_token;
use crate::cluster::Cluster as Parts;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone};

/// Start the parts of a cluster, to which `retrace query --cluster ADDRESS` sends its queries
///
/// A scheduler takes queries; workers work on them. The answers are those of a single process, to the
/// bit, whatever the number of workers, and if one is lost on the way. Tables must lie at the same paths,
/// or URLs, on every machine. All parts prove to one another that they hold the token; it is never sent,
/// and all that is sent is encrypted (TLS 1.3). What can be seen on the way is who talks to whom, when, and
/// how much. A token has to be random: whoever can connect can try guesses. Whoever holds it can read any
/// file that a worker can. What a worker keeps for a query lies in the clear in a temporary directory, which
/// its user alone can read, until the worker ends; what one that was killed leaves, the next removes.
///
/// This verb and `query --cluster` are done by the program `retrace-cluster`, which `retrace` starts if it lies
/// beside it or in PATH. `cargo build --release --package retrace-cluster` makes it.
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
    /// Take queries
    Scheduler {
        /// Where to listen
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:50050")]
        listen: String,
        /// The file with the cluster's token; `-` is standard input
        #[arg(long, value_name = "FILE")]
        token: PathBuf,
    },
    /// Work on queries
    Worker {
        /// Where the scheduler listens
        #[arg(long, value_name = "ADDRESS")]
        scheduler: String,
        /// The file with the cluster's token; `-` is standard input
        #[arg(long, value_name = "FILE")]
        token: PathBuf,
        /// The address of this machine, at which the others reach it
        #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
        host: IpAddr,
        /// Work on so many tasks at once; one a thread, if left out
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

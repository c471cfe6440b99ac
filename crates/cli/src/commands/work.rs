//! `retrace work`

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use retrace_files::{FileError, RegularFile, Unit};
use retrace_sign::Token;
use retrace_workers::Way;
use serde_json::json;

use super::keys::tell_of_exposure;
use super::{Exit, Opened, open_run};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// No token is longer, so no more is read.
const MOST_BYTES: u64 = 4096;

/// Compute micro-batches for a run that another process trains
///
/// The other process, the coordinator, is `retrace train RUN --listen ADDRESS --token FILE`. A worker needs
/// the same run file, token shards and version of retrace; the coordinator sends it the weights. Workers
/// can join, be slow or fail at any time: no bit depends on them. Each side proves to the other that it
/// has the token. The token is never sent, and the connection is encrypted (TLS 1.3). An observer of the
/// network sees only who talks to whom, when, and how much. The token must be random, because anyone who
/// can connect can test guesses.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  (umask 077; head -c 32 /dev/urandom | base64 > token)     once; copy it to each machine
  retrace train release/small.yaml --listen 10.0.0.1:7070 --token token
  retrace work release/small.yaml --coordinator 10.0.0.1:7070 --token token
  retrace work release/small.yaml --coordinator 10.0.0.1:7070 --token - < token")]
pub(crate) struct Work {
    /// The run file
    run: PathBuf,
    /// The address of the coordinator; `-` if standard input is a connection to it, as for the workers
    /// that `train --workers` starts
    #[arg(long, value_name = "ADDRESS")]
    coordinator: String,
    /// The file with the token that both sides have; `-` is standard input
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// How long to wait for the coordinator, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u64,
}

impl Work {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let token = self.token.as_deref().map(|file| read_token(file, terminal)).transpose()?;
        let patience = Duration::from_secs(self.patience);
        let way = match (self.coordinator.as_str(), &token) {
            ("-", None) => Way::Inherited,
            ("-", Some(_)) => {
                return Err(Failure::usage("with --coordinator - there is no token", "leave out --token"));
            }
            (address, Some(token)) => Way::Address { address, token, patience },
            (_, None) => {
                let help = "give the coordinator's token with --token FILE";
                return Err(Failure::usage("a connection to an address needs a token", help));
            }
        };
        let (Opened { document: run, root, .. }, _) = open_run(&self.run)?;
        let progress = terminal.progress();
        progress.begin(&format!("working for {}", run.name), run.steps().get(), Unit::Steps);
        let (mut micro_batches, mut last) = (0, None);
        let mut done = |step: retrace_spec::Step, count: usize| {
            micro_batches += count as u64;
            // Steps that other processes computed alone are over too.
            let before = last.replace(step).map_or(0, retrace_spec::Step::get);
            progress.advance(step.get().saturating_sub(before));
        };
        retrace_workers::work(&root, &run, way, &mut done)?;
        progress.end();
        terminal.result("work/1", &json!({"name": run.name, "micro_batches": micro_batches}), |_| Ok(()))?;
        terminal.say(Tone::Good, "worked", format!("{}: {}", run.name, count(micro_batches, "micro-batch")));
        Ok(Exit::Holds)
    }
}

/// The token in `file`; `-` is standard input. Prints a warning if others can access the file.
pub(super) fn read_token(file: &Path, terminal: &Terminal) -> Result<Token, Failure> {
    let text = match file == Path::new("-") {
        true => {
            let mut text = String::new();
            std::io::stdin().take(MOST_BYTES).read_to_string(&mut text).map_err(FileError::io(file, "read"))?;
            text
        }
        false => {
            let text = RegularFile::open(file)?.text(MOST_BYTES)?;
            tell_of_exposure(file, terminal);
            text
        }
    };
    Ok(text.parse::<Token>()?)
}

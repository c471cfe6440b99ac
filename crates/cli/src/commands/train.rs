//! `retrace train`

use std::path::PathBuf;

use retrace_spec::{Document, Run};
use retrace_train::{checkpoints, directory_of, train};
use serde_json::json;

use super::{Exit, read};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Train a model as a run file says
///
/// Writes checkpoints and a journal with a line a step. Every bit of them is a function of the run
/// file, the tokens and the numerics version, so that threads, machine, and how often the run was
/// killed and resumed make no difference. Prints the checkpoints that are there in the end.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace train release/small.yaml
  retrace train release/small.yaml --resume
  RETRACE_ISA=baseline retrace train release/small.yaml --threads 1     the same bits, slower")]
pub(crate) struct Train {
    /// The run file
    run: PathBuf,
    /// Go on from the last whole checkpoint
    #[arg(long)]
    resume: bool,
}

impl Train {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let (run, root) = read::<Run>(&self.run)?;
        let journal = train(&root, &run, self.resume, terminal.progress().as_ref())?;
        let output = run.output.under(&root);
        let steps = checkpoints(&output)?;
        let result =
            json!({"name": run.name, "run": run.digest()?, "checkpoints": steps, "last": journal.lines().last()});
        terminal.result("train/1", &result, |out| {
            steps.iter().try_for_each(|step| writeln!(out, "{}", directory_of(&output, *step).display()))
        })?;
        if let Some(last) = journal.lines().last() {
            let (steps, tokens) = (count(last.step.get(), "step"), count(last.tokens.get(), "token"));
            let said =
                format!("{} for {steps}, {tokens}, to a loss of {:.4}; state {}", run.name, last.loss, last.state);
            terminal.say(Tone::Good, "trained", said);
        }
        Ok(Exit::Holds)
    }
}

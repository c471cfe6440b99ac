//! `retrace train`

use std::path::{Path, PathBuf};

use retrace_files::{FileError, Found, walk};
use retrace_manifest::record::{self, Done};
use retrace_spec::manifest::{Kind, StepKind};
use retrace_spec::{Document, PathError, RelPath, Run};
use retrace_train::{Journal, checkpoints, directory_of, train};
use serde_json::json;

use super::{Exit, Opened, open};
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
        let (run, journal, root) = carry_out(&self.run, self.resume, terminal)?;
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

/// Trains and records the step; gives the run, its journal and the release's directory.
pub(super) fn carry_out(run: &Path, resume: bool, terminal: &Terminal) -> Result<(Run, Journal, PathBuf), Failure> {
    let Opened { document: run, root, path } = open::<Run>(run)?;
    let journal = train(&root, &run, resume, terminal.progress().as_ref())?;
    record::save(&root, done(&root, &run, path)?)?;
    Ok((run, journal, root))
}

/// What the run read and made: everything below its output is its own.
fn done(root: &Path, run: &Run, config: RelPath) -> Result<Done, Failure> {
    let mut inputs = vec![run.tokenizer.clone()];
    inputs.extend(run.phases.iter().flat_map(|phase| &phase.mix).map(|source| source.tokens.clone()));
    let output = run.output.under(root);
    let mut outputs = Vec::new();
    for found in walk(&output, &|_| false)? {
        let Found::File(path) = found else { continue };
        let kind = if path.as_str() == Journal::NAME { Kind::Log } else { Kind::Checkpoint };
        let named = |e: PathError| FileError::Name { path: path.under(&output), what: e.to_string() };
        outputs.push((run.output.join(path.as_str()).map_err(named)?, kind));
    }
    let id = format!("train-{}", run.name);
    Ok(Done { id, kind: StepKind::Train, numerics: Some(run.numerics), config: Some(config), inputs, outputs })
}

//! `retrace train`

use std::path::{Path, PathBuf};

use retrace_files::{FileError, Found, walk};
use retrace_manifest::record::{self, Done};
use retrace_spec::manifest::{Kind, StepKind};
use retrace_spec::{Document, PathError, RelPath, Run};
use retrace_train::{Journal, checkpoints, directory_of, train};
use serde_json::json;

use super::{Exit, Opened, open_run};
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
    let (Opened { document: run, root, path }, config) = open_run(run)?;
    let journal = train(&root, &run, resume, terminal.progress().as_ref())?;
    record::save(&root, done(&root, &run, path, config)?)?;
    Ok((run, journal, root))
}

/// What the run, of the run file at `path`, read and made: everything below its output is its own.
fn done(root: &Path, run: &Run, path: RelPath, config: Option<RelPath>) -> Result<Done, Failure> {
    let mut inputs = vec![run.tokenizer.clone()];
    inputs.extend(config);
    inputs.extend(run.phases.iter().flat_map(|phase| &phase.mix).map(|source| source.tokens.clone()));
    inputs.extend(run.validation.iter().map(|validation| validation.tokens.clone()));
    if let Some(start) = &run.start {
        inputs.extend(files_of(root, &start.checkpoint)?);
    }
    let kind = |path: &RelPath| if path.as_str().ends_with(Journal::NAME) { Kind::Log } else { Kind::Checkpoint };
    let outputs = files_of(root, &run.output)?.into_iter().map(|path| (path.clone(), kind(&path))).collect();
    let (id, kind) = (format!("train-{}", run.name), StepKind::Train);
    Ok(Done { id, kind, numerics: Some(run.numerics), config: Some(path), inputs, outputs })
}

/// The files below `directory`.
fn files_of(root: &Path, directory: &RelPath) -> Result<Vec<RelPath>, Failure> {
    let mut files = Vec::new();
    for found in walk(&directory.under(root), &|_| false)? {
        let Found::File(path) = found else { continue };
        let named = |e: PathError| FileError::Name { path: path.under(&directory.under(root)), what: e.to_string() };
        files.push(directory.join(path.as_str()).map_err(named)?);
    }
    Ok(files)
}

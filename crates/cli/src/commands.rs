//! The verbs. Each verb is one file with its arguments, its help and its code.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use retrace_checkpoint::Checkpoint;
use retrace_files::{FileError, RegularFile, Root};
use retrace_model::hub;
use retrace_spec::{Document, PathError, RelPath, Run};

use crate::cluster::Cluster as Parts;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

mod audit;
mod average;
mod clean;
mod cluster;
mod completions;
mod convert;
mod diff;
mod eval;
mod export;
mod generate;
mod import;
mod keys;
mod logits;
mod make;
mod man;
mod openness;
mod query;
mod replay;
mod report;
mod seal;
mod sign;
mod signatures;
mod stats;
mod tokenize;
mod tolerance;
mod tour;
mod train;
mod verify;
mod work;

/// What is to be done. A new verb is a file below `commands/` and a line in each list here.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Tour(tour::Tour),
    Make(make::Make),
    Seal(seal::Seal),
    Verify(verify::Verify),
    Diff(diff::Diff),
    Sign(sign::Sign),
    Export(export::Export),
    Clean(clean::Clean),
    Tokenize(tokenize::Tokenize),
    Train(train::Train),
    Work(work::Work),
    Replay(replay::ReplayArguments),
    Eval(eval::Eval),
    Logits(logits::Logits),
    Generate(generate::Generate),
    Convert(convert::Convert),
    Query(query::Query),
    Report(report::Report),
    Import(import::Import),
    Average(average::Average),
    Audit(audit::Audit),
    Openness(openness::Openness),
    Cluster(cluster::Cluster),
    Stats(stats::Stats),
    Completions(completions::Completions),
    Man(man::Pages),
}

impl Verb {
    /// Whether the verb needs cluster support.
    pub(crate) fn asks_a_cluster(&self) -> bool {
        match self {
            Self::Cluster(_) => true,
            Self::Query(verb) => verb.asks_a_cluster(),
            _ => false,
        }
    }

    /// Runs the verb, with cluster support if it needs it.
    pub(crate) fn run(&self, parts: Option<&dyn Parts>, terminal: &Terminal) -> Result<Exit, Failure> {
        match self {
            Self::Tour(verb) => verb.run(terminal),
            Self::Make(verb) => verb.run(terminal),
            Self::Seal(verb) => verb.run(terminal),
            Self::Verify(verb) => verb.run(terminal),
            Self::Diff(verb) => verb.run(terminal),
            Self::Sign(verb) => verb.run(terminal),
            Self::Export(verb) => verb.run(terminal),
            Self::Clean(verb) => verb.run(terminal),
            Self::Tokenize(verb) => verb.run(terminal),
            Self::Train(verb) => verb.run(terminal),
            Self::Work(verb) => verb.run(terminal),
            Self::Replay(verb) => verb.run(terminal),
            Self::Eval(verb) => verb.run(terminal),
            Self::Logits(verb) => verb.run(terminal),
            Self::Generate(verb) => verb.run(terminal),
            Self::Convert(verb) => verb.run(terminal),
            Self::Query(verb) => verb.run(parts, terminal),
            Self::Report(verb) => verb.run(terminal),
            Self::Import(verb) => verb.run(terminal),
            Self::Average(verb) => verb.run(terminal),
            Self::Audit(verb) => verb.run(terminal),
            Self::Openness(verb) => verb.run(terminal),
            Self::Cluster(verb) => verb.run(parts, terminal),
            Self::Stats(verb) => verb.run(terminal),
            Self::Completions(verb) => verb.run(),
            Self::Man(verb) => verb.run(terminal),
        }
    }
}

/// The result, with the exit codes of `diff`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The check passed, or the work is done.
    Holds = 0,
    /// A finding: a digest differs, a rule fires, a replay diverges.
    Finding = 1,
    /// It could not be done: invalid input or arguments, or a missing file.
    Failed = 2,
    /// A bug in this program.
    Bug = 70,
}

impl Exit {
    /// For a check: whether it passed.
    pub(crate) const fn holds(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Finding }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A document that was read, and its location.
struct Opened<T> {
    document: T,
    /// Its directory, to which its paths are relative: the release's.
    root: Root,
    /// Its path in the release.
    path: RelPath,
}

/// At most this much of a document is read; the spec crate then reports the limit that was exceeded.
const MOST_BYTES: u64 = 1 << 30;

/// The text of the file at `path`.
fn read_text(path: &Path) -> Result<String, FileError> {
    RegularFile::open(path)?.text(MOST_BYTES)
}

/// Reads the document at `path`.
fn open<T: Document>(path: &Path) -> Result<Opened<T>, Failure> {
    let text = RegularFile::open(path)?.text(T::LARGEST as u64)?;
    let document = T::parse(&text, &path.display().to_string())?;
    opened(document, path)
}

/// Reads the run file at `path`; also returns the path of the hub's `config.json`, if that describes the model.
fn open_run(path: &Path) -> Result<(Opened<Run>, Option<RelPath>), Failure> {
    let root = Root::open(&directory_of(path))?;
    let config = |config: &RelPath| -> Result<_, Failure> { Ok(hub::read_config(root.file(config)?)?) };
    let text = RegularFile::open(path)?.text(Run::LARGEST as u64)?;
    let (run, config) = Run::parse_with(&text, &path.display().to_string(), config)?;
    Ok((opened(run, path)?, config))
}

/// As [`open_run`], for a run file that a release names: links are not followed.
fn run_of(root: &Root, path: &RelPath) -> Result<(Opened<Run>, Option<RelPath>), Failure> {
    let whole = path.under(root.path());
    let inside = match path.parent() {
        Some(parent) => root.directory(&parent)?,
        None => Root::open(root.path())?,
    };
    let config = |config: &RelPath| -> Result<_, Failure> { Ok(hub::read_config(inside.file(config)?)?) };
    let text = root.file(path)?.text(MOST_BYTES)?;
    let (document, config) = Run::parse_with(&text, &whole.display().to_string(), config)?;
    Ok((Opened { document, root: inside, path: in_release(path.file_name())? }, config))
}

/// Names the files of weights that lie in the directory of a checkpoint and are not read with it.
fn say_beside(checkpoint: &Checkpoint, terminal: &Terminal) {
    if let Some((first, others)) = checkpoint.beside().split_first() {
        let others = match others.len() {
            0 => String::new(),
            more => format!(" and {}", count(more, "other file")),
        };
        let directory = checkpoint.path().display();
        let what = format_args!("{first}{others}, which lie beside the checkpoint in {directory}; give one as a path");
        terminal.say(Tone::Faint, "not read", what);
    }
}

/// A text as a path in a release.
fn in_release(path: &str) -> Result<RelPath, Failure> {
    path.parse().map_err(|e: PathError| FileError::Name { path: path.into(), what: e.to_string() }.into())
}

/// Refuses an output that would be written over a file that the command reads: one of `read`, or a file in a
/// directory among them.
fn refuse_input(output: &Path, read: &[&Path]) -> Result<(), Failure> {
    // An output that does not exist yet has no canonical path.
    let Ok(there) = output.canonicalize() else { return Ok(()) };
    match read.iter().any(|read| read.canonicalize().is_ok_and(|read| there.starts_with(read))) {
        true => Err(Failure::usage(
            format!("{} would be written over, and is an input of the command or lies in one", output.display()),
            "give another file with --output",
        )),
        false => Ok(()),
    }
}

/// The directory that contains the file at `path`.
fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn opened<T>(document: T, path: &Path) -> Result<Opened<T>, Failure> {
    let root = Root::open(&directory_of(path))?;
    let refuse = |what: String| FileError::Name { path: path.to_owned(), what };
    let name = path.file_name().unwrap_or_default().to_str();
    let name = name.ok_or_else(|| refuse("its name is not UTF-8".to_owned()))?;
    let path = name.parse().map_err(|e: PathError| refuse(e.to_string()))?;
    Ok(Opened { document, root, path })
}

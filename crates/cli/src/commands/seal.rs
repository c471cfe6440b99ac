//! `retrace seal`

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use retrace_files::{FileError, Lock, RegularFile, Root, sweep, write_whole};
use retrace_manifest::{
    CheckpointFinding, NotByTensor, SealOptions, checkpoint_findings, not_by_tensor, not_tensors, seal,
};
use retrace_spec::{Document, RelPath, schema_of};
use serde_json::json;

use super::Exit;
use super::sign::signature_of;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, bytes, count};

/// Hash all files of a directory and write its manifest
///
/// The manifest lists every file with its BLAKE3 digest, every tensor of every file of weights, and
/// the steps (clean, tokenize, train, eval and so on) that ran in this directory. If the tensors of a file
/// cannot be read, `seal` says why, and the manifest has the digest of the file alone. The tensors of a
/// distributed checkpoint of PyTorch (DCP) are listed with its `.metadata`, put together from their chunks.
/// Prints the root: one digest over all of this, to publish or sign. `.retrace` and the manifest itself are
/// not covered. If the index of a checkpoint and its shards, or a `.metadata` and its files, contradict each
/// other, or a step could not read all of its inputs, `seal` reports this and ends with 1.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace seal release
  retrace seal release --name small-1 --ignore notes --ignore report.html
  retrace seal release -o release.json
  retrace seal release/corpus && retrace seal release --nest corpus

Exit codes: 0 sealed, 1 sealed with a finding of these two kinds, 2 not sealed.")]
pub(crate) struct Seal {
    /// The release's directory
    dir: PathBuf,
    /// The manifest's file; JSON if its name ends in .json [default: DIR/manifest.yaml, or
    /// DIR/manifest.json if there are more than 10,000 files]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The release's name [default: the directory's name]
    #[arg(long)]
    name: Option<String>,
    /// Leave out this file or directory, given relative to DIR; the manifest lists what is left out
    #[arg(long, value_name = "PATH")]
    ignore: Vec<RelPath>,
    /// Include a directory of DIR that has a manifest of its own, as a part: the digest of that manifest
    /// covers its files, and they are not read again
    #[arg(long, value_name = "PATH")]
    nest: Vec<RelPath>,
    /// Add the SHA-256 of each file, for tools without BLAKE3; each file is still read only once
    #[arg(long)]
    sha256: bool,
}

/// With more files than this a manifest is written as JSON, which is read thirty times as fast.
const MOST_IN_YAML: usize = 10_000;

/// The sealing program, as named in the manifest.
pub(super) const TOOL: &str = concat!("retrace ", env!("CARGO_PKG_VERSION"));

impl Seal {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let (yaml, json) = (self.dir.join("manifest.yaml"), self.dir.join("manifest.json"));
        let many = self.output.is_none() && more_files_than(MOST_IN_YAML, &self.dir)?;
        let output = self.output.clone().unwrap_or(if many { json } else { yaml });
        if output.is_file() && !is_manifest(&output)? {
            let what = format!("{} exists and is not a manifest", output.display());
            return Err(Failure::usage(what, "give another --output; `seal` writes over nothing but a manifest"));
        }
        let whole = self.dir.canonicalize().map_err(FileError::io(&self.dir, "open directory"))?;
        let (place, file) = Root::of_file(&output)?;
        // Files that an interrupted seal of an earlier version left.
        let mut left_over = OsString::from(".");
        left_over.push(file);
        left_over.push(".partial");
        // Before anything is read, so that two concurrent seals do not each miss what the other writes.
        let lock = Lock::file(Root::of_file(&output)?.0, file)?;
        if let Some(left_over) = left_over.to_str().filter(|name| place.path().join(name).is_file()) {
            sweep(&place, left_over)?;
        }
        let name = self.name.clone().or_else(|| Some(whole.file_name()?.to_string_lossy().into_owned()));
        let options = SealOptions {
            name: name.unwrap_or_else(|| "release".to_owned()),
            tool: TOOL.to_owned(),
            own: [&output, &signature_of(&output)].into_iter().filter_map(|file| inside(&self.dir, file)).collect(),
            ignore: self.ignore.clone(),
            sha256: self.sha256,
            nest: self.nest.clone(),
        };
        let manifest = seal(&self.dir, &options, terminal.progress().as_ref())?;
        let text = if output.extension().is_some_and(|extension| extension == "json") {
            let json = serde_json::to_string_pretty(&manifest);
            json.map_err(|e| FileError::Json { path: output.clone(), line: 1, what: e.to_string() })? + "\n"
        } else {
            manifest.to_yaml()?
        };
        write_whole(&output, text.as_bytes())?;
        drop(lock);
        // Contradictions in what was sealed: for example an index that names a tensor which no shard contains.
        let paths = manifest.artifacts.iter().map(|artifact| &artifact.path);
        let root = Root::open(&self.dir)?;
        let checkpoints = checkpoint_findings(&root, paths);
        let mut not_by_tensor = not_by_tensor(&root, &manifest.artifacts);
        not_by_tensor.retain(|file| checkpoints.iter().all(|found| found.path != file.path.as_str()));
        let not_tensors = not_tensors(&root, &manifest.artifacts);
        let incomplete = || manifest.steps.iter().filter_map(|step| Some((&step.id, step.incomplete.as_ref()?)));
        let size: u64 = manifest.artifacts.iter().map(|artifact| artifact.size).sum();
        let result = json!({
            "manifest": output.display().to_string(),
            "name": manifest.name,
            "root": manifest.root,
            "artifacts": manifest.artifacts.len(),
            "bytes": size,
            "steps": manifest.steps.iter().map(|step| &step.id).collect::<Vec<_>>(),
            "ignored": manifest.ignored,
            "checkpoints": checkpoints,
            "not_by_tensor": not_by_tensor,
            "not_tensors": not_tensors,
            "incomplete": incomplete().collect::<BTreeMap<_, _>>(),
        });
        terminal.result("seal/1", &result, |out| writeln!(out, "{}", manifest.root))?;
        let files = count(manifest.artifacts.len() as u64, "file");
        let steps = count(manifest.steps.len() as u64, "step");
        terminal.say(Tone::Good, "sealed", format_args!("{files}, {}, {steps}; {}", bytes(size), output.display()));
        for CheckpointFinding { path, what } in &checkpoints {
            terminal.say(Tone::Bad, "checkpoint", format_args!("{path}: {what}"));
        }
        for NotByTensor { path, why } in &not_by_tensor {
            terminal.say(Tone::Faint, "bytes only", format_args!("{path}: its tensors have no digests: {why}"));
        }
        for (path, names) in &not_tensors {
            let some: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
            let more = if names.len() > some.len() { " and so on" } else { "" };
            let told =
                format_args!("{path}: values without digests, because they are not tensors: {}{more}", some.join(", "));
            terminal.say(Tone::Faint, "bytes only", told);
        }
        for (id, what) in incomplete() {
            terminal.say(Tone::Bad, "incomplete", format_args!("{id}: {what}"));
        }
        Ok(Exit::holds(checkpoints.is_empty() && incomplete().next().is_none()))
    }
}

/// Whether the file at `path` says that it is a manifest, of any version. Its beginning is read.
fn is_manifest(path: &Path) -> Result<bool, FileError> {
    const BEGINNING: u64 = 64 << 10;
    let file = RegularFile::open(path)?;
    let mut bytes = vec![0; file.size().min(BEGINNING) as usize];
    file.read_at(&mut bytes, 0)?;
    Ok(schema_of(&String::from_utf8_lossy(&bytes)).is_some_and(|schema| schema.starts_with("manifest/")))
}

fn more_files_than(most: usize, dir: &Path) -> Result<bool, FileError> {
    Ok(retrace_files::walk(dir, &|_| false)?.len() > most)
}

/// The path of `file` inside `directory`, if it is below it; the file itself need not exist yet.
pub(super) fn inside(directory: &Path, file: &Path) -> Option<RelPath> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let whole = parent.canonicalize().ok()?.join(file.file_name()?);
    let parts = whole.strip_prefix(directory.canonicalize().ok()?).ok()?;
    let parts: Option<Vec<&str>> = parts.components().map(|part| part.as_os_str().to_str()).collect();
    parts?.join("/").parse().ok()
}

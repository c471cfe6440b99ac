//! `retrace diff`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use retrace_files::FileError;
use retrace_manifest::{Change, CheckpointDiff, Difference, NotCompared, Side, Unknown, diff, unfold};
use retrace_spec::{Digest, Document, Manifest};
use retrace_weights::Distance;
use serde_json::json;

use super::{Exit, Opened, open, read_text};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, bytes, count};

/// Compare two manifests, directories or checkpoints, tensor by tensor
///
/// Each of A and B is a manifest, a directory, or one file. Reports which files were added, removed,
/// renamed or changed. For checkpoints, reports which tensors differ, how far apart their numbers are,
/// and whether one is just the other rounded to fewer bits. How tensors are split into files makes no
/// difference, nor into the chunks of a distributed checkpoint of PyTorch. If two manifests differ only in other fields than their files, `diff` says so. To compare
/// numbers, the files must be present; with manifests alone, `diff` says which tensors differ. If the tensors
/// of a file that differs cannot be read, `diff` says why.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace diff release/manifest.yaml copy/manifest.yaml
  retrace diff run/step-000060 run/step-000120
  retrace diff a/model.safetensors b/model.safetensors
  retrace diff --json old new > changes.json

Exit codes: 0 the same, 1 they differ, 2 an error.")]
pub(crate) struct Diff {
    /// The old one
    a: PathBuf,
    /// The new one
    b: PathBuf,
    /// Show every tensor, not only the ten of each checkpoint that differ most
    #[arg(long)]
    all: bool,
}

impl Diff {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let (a, b) = (Named::open(&self.a, terminal)?, Named::open(&self.b, terminal)?);
        let found = diff(&a.side, &b.side)?;
        let holds = found.files.is_empty() && found.checkpoints.iter().all(|c| c.tensors.is_empty());
        let result = json!({
            "same": holds,
            "equal": found.equal,
            "files": found.files,
            "checkpoints": found.checkpoints,
            "not_compared": found.not_compared,
            "roots": [a.root, b.root],
            "unknown": [&a.unknown, &b.unknown],
        });
        terminal.result("diff/1", &result, |out| {
            for file in &found.files {
                let (tone, name) = match file.change {
                    Change::Added => (Tone::Good, "added"),
                    Change::Removed => (Tone::Bad, "removed"),
                    Change::Renamed => (Tone::Faint, "renamed"),
                    Change::Changed => (Tone::Bad, "changed"),
                };
                let sizes = match file.sizes {
                    [Some(a), Some(b)] if a == b => bytes(a),
                    [Some(a), Some(b)] => format!("{a} B, now {b} B"),
                    [a, b] => bytes(a.or(b).unwrap_or_default()),
                };
                let from = file.from.as_ref().map_or_else(String::new, |from| format!(", was {from}"));
                writeln!(out, "{} {} ({sizes}){from}", terminal.tone(tone, format!("{name:<8}")), file.path)?;
            }
            let all = found.not_compared.is_empty();
            found.checkpoints.iter().try_for_each(|checkpoint| self.tensors(out, checkpoint, all, terminal))
        })?;
        if holds {
            terminal.say(Tone::Good, "the same", count(found.equal as u64, "file"));
        } else {
            let files = count(found.files.len() as u64, "file");
            let tensors: usize = found.checkpoints.iter().map(|checkpoint| checkpoint.tensors.len()).sum();
            let tensors = match (found.checkpoints.is_empty(), found.not_compared.is_empty()) {
                (true, false) => "no tensors compared".to_owned(),
                (false, false) => format!("{} of those compared", count(tensors as u64, "tensor")),
                (_, true) => count(tensors as u64, "tensor"),
            };
            terminal.say(
                Tone::Bad,
                "differ",
                format_args!("{files}, {tensors}; {} equal", count(found.equal as u64, "file")),
            );
        }
        if let (Some(a), Some(b)) = (a.root, b.root)
            && holds
            && a != b
        {
            let what = "steps, kinds, checksums or what they leave out, which `diff` does not compare";
            terminal.say(Tone::Bad, "roots differ", format_args!("{a} and {b}: the manifests differ in {what}"));
        }
        for NotCompared { path, why, side } in &found.not_compared {
            let of = if *side == 0 { &self.a } else { &self.b };
            let file = if of.is_file() && of.ends_with(path.as_str()) { of.clone() } else { path.under(of) };
            terminal.say(Tone::Bad, "not compared", format_args!("tensors of {}: {why}", file.display()));
        }
        // Not a finding: two such parts are the same if their manifests are, and those are compared.
        for (path, side) in [(&self.a, &a), (&self.b, &b)] {
            for Unknown { at, why } in &side.unknown {
                terminal.say(Tone::Bad, "not compared", format_args!("{at} of {}: {why}", path.display()));
            }
        }
        Ok(Exit::holds(holds))
    }

    /// `all` says whether the tensors of all files could be compared.
    fn tensors(
        &self,
        out: &mut dyn Write,
        checkpoint: &CheckpointDiff,
        all: bool,
        terminal: &Terminal,
    ) -> io::Result<()> {
        let CheckpointDiff { checkpoint: name, equal, tensors } = checkpoint;
        let told = if tensors.is_empty() && !all {
            format!("the {} that can be compared are equal", count(*equal as u64, "tensor"))
        } else if tensors.is_empty() {
            let all = if *equal == 1 { "its tensor is".to_owned() } else { format!("all {equal} tensors are") };
            format!("{all} equal; only the files differ")
        } else {
            format!("{} of {} differ", tensors.len(), count((tensors.len() + equal) as u64, "tensor"))
        };
        writeln!(out, "{name}: {told}")?;
        let mut shown: Vec<_> = tensors.iter().map(|tensor| (furthest(&tensor.difference), tensor)).collect();
        shown.sort_by(|(a, x), (b, y)| b.total_cmp(a).then_with(|| x.name.cmp(&y.name)));
        let most = if self.all { shown.len() } else { 10 };
        for (_, tensor) in shown.iter().take(most) {
            writeln!(out, "  {}  {}", tensor.name, in_words(&tensor.difference))?;
        }
        if shown.len() > most {
            let more = format!("  … and {} more (--all shows them)", shown.len() - most);
            writeln!(out, "{}", terminal.tone(Tone::Faint, more))?;
        }
        Ok(())
    }
}

/// The order: differences that are not comparable first, then the largest distances.
fn furthest(difference: &Difference) -> f64 {
    match difference {
        Difference::Changed { distance: Some(distance) } | Difference::Recast { distance, .. } => distance.largest,
        _ => f64::INFINITY,
    }
}

fn in_words(difference: &Difference) -> String {
    let apart = |distance: &Distance| {
        let Distance { differing, of, largest, largest_relative } = distance;
        format!("{differing} of {of} numbers, at most {largest:.3e} apart, {largest_relative:.3e} relative")
    };
    match difference {
        Difference::Added => "added".to_owned(),
        Difference::Removed { now: None } => "removed".to_owned(),
        Difference::Removed { now: Some(now) } => format!("removed; {} has the same bytes", now),
        Difference::Reshaped { shapes: [a, b], same_numbers } => {
            let elements = |shape: &[usize]| shape.iter().map(|length| *length as u128).product::<u128>();
            let numbers = match (same_numbers, elements(a), elements(b)) {
                (true, ..) => "the same numbers".to_owned(),
                (false, a, b) if a == b => "different numbers".to_owned(),
                (false, a, b) => format!("{a} numbers and {b}"),
            };
            format!("reshaped {a:?} to {b:?}, {numbers}")
        }
        Difference::Recast { dtypes: [a, b], equal_after_casting: true, .. } => {
            format!("recast {a:?} to {b:?}, equal after rounding")
        }
        Difference::Recast { dtypes: [a, b], distance, .. } => format!("recast {a:?} to {b:?}, {}", apart(distance)),
        Difference::Changed { distance: Some(distance) } => apart(distance),
        Difference::Changed { distance: None } => "different numbers".to_owned(),
    }
}

/// The input named by an argument: a directory, a manifest, or one file.
struct Named {
    side: Side,
    /// For a manifest, the parts that cannot be read.
    unknown: Vec<Unknown>,
    /// For a manifest, its root.
    root: Option<Digest>,
}

impl Named {
    fn open(path: &Path, terminal: &Terminal) -> Result<Self, Failure> {
        let of = |side| Self { side, unknown: Vec::new(), root: None };
        if path.metadata().map_err(FileError::io(path, "open"))?.is_dir() {
            return Ok(of(Side::of_directory(path, terminal.progress().as_ref())?));
        }
        let a_document = path.extension().is_some_and(|e| ["yaml", "yml", "json"].iter().any(|known| e == *known));
        // A damaged manifest is an error, not an ordinary file: otherwise its content would be ignored.
        if !a_document
            || !read_text(path).is_ok_and(|text| text.get(..4096).unwrap_or(&text).contains(Manifest::SCHEMA))
        {
            return Ok(of(Side::of_file(path)?));
        }
        let Opened { document: manifest, root: directory, .. } = open::<Manifest>(path)?;
        let root = Some(manifest.root);
        let (whole, unknown) = match unfold(&manifest, directory.path()) {
            Some(unfolded) => (unfolded.manifest, unfolded.unknown),
            None => (manifest, Vec::new()),
        };
        Ok(Self { side: Side::of_manifest(&whole, Some(directory.path()))?, unknown, root })
    }
}

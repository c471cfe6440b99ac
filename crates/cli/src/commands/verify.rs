//! `retrace verify`

use std::path::PathBuf;

use retrace_manifest::{Verdict, verify};
use retrace_spec::Manifest;
use serde_json::json;

use super::seal::inside;
use super::{Exit, Opened, open};
use crate::errors::{Failure, OrHelp};
use crate::terminal::{Terminal, Tone, bytes, count};

/// Check that a directory holds what a manifest says, byte for byte
///
/// Looks at every file and tells each that is changed, missing, extra or renamed, with what seems
/// to have happened; for checkpoints, down to the tensor. Prints one finding a line, nothing if all
/// holds. Check also that the root is the one that was published: whoever can change a file can
/// seal it again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace verify release/manifest.yaml
  retrace verify release.json /mnt/copy
  retrace verify release/manifest.yaml --root b3:…
  retrace verify --json release/manifest.yaml > verified.json

Exit codes: 0 all as sealed, 1 something is not, 2 could not look.")]
pub(crate) struct Verify {
    /// The manifest
    manifest: PathBuf,
    /// The release's directory [default: where the manifest lies]
    dir: Option<PathBuf>,
    /// The root that was published, which the manifest must have
    #[arg(long, value_name = "DIGEST")]
    root: Option<retrace_spec::Digest>,
}

impl Verify {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let Opened { document: manifest, root, .. } =
            open::<Manifest>(&self.manifest).or_help("fetch the manifest anew, or make one with `retrace seal DIR`")?;
        let root = self.dir.clone().unwrap_or(root);
        let own_place = inside(&root, &self.manifest);
        let verification = verify(&manifest, &root, own_place.as_ref(), terminal.progress().as_ref())?;
        let other_root = self.root.filter(|published| *published != manifest.root);
        let holds = verification.holds() && other_root.is_none();

        let result = json!({
            "holds": holds,
            "root": manifest.root,
            "published_root": self.root,
            "counts": verification.counts(),
            "entries": verification.entries,
        });
        terminal.result("verify/1", &result, |out| {
            let mut finding =
                |what: &str, rest: String| writeln!(out, "{} {rest}", terminal.tone(Tone::Bad, format!("{what:<12}")));
            if let Some(published) = other_root {
                finding("root", format!("the manifest has {}, not {published}", manifest.root))?;
            }
            verification
                .findings()
                .try_for_each(|entry| finding(name(entry.verdict), format!("{}: {}", entry.path, entry.diagnosis)))
        })?;

        let files = count(manifest.artifacts.len() as u64, "file");
        if holds {
            let size = bytes(manifest.artifacts.iter().map(|artifact| artifact.size).sum());
            terminal.say(Tone::Good, "verified", format_args!("{files}, {size}: all as sealed"));
        } else {
            let findings = verification.findings().count() + usize::from(other_root.is_some());
            terminal.say(Tone::Bad, &count(findings as u64, "finding"), format_args!("among {files}"));
        }
        terminal.say(Tone::Faint, "root", manifest.root);
        for path in &manifest.ignored {
            terminal.say(Tone::Faint, "not covered", path);
        }
        Ok(Exit::holds(holds))
    }
}

const fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Verified => "verified",
        Verdict::Changed => "changed",
        Verdict::Missing => "missing",
        Verdict::Extra => "extra",
        Verdict::Renamed => "renamed",
        Verdict::Skipped => "skipped",
        Verdict::Unverifiable => "unverifiable",
    }
}

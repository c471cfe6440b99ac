//! `retrace openness`

use std::collections::BTreeSet;
use std::path::PathBuf;

use retrace_audit::{Evidence, Status, openness};
use retrace_manifest::{CheckpointFinding, Unknown, Verdict, read_attestation, unfold, verify};
use retrace_spec::Manifest;
use serde_json::json;

use super::{Exit, Opened, open, read_text};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone};

/// List which components of the Model Openness Framework a release has, and how far each is checked
///
/// Each of the 17 components is absent, present (the manifest lists its files), verified (its files
/// match the manifest) or replayed (the steps that made them gave the same bits again, according to an
/// attestation of `retrace replay --all -o FILE`). Components are recognized by the kinds and names of
/// files. Licences are not checked.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace openness release/manifest.yaml
  retrace replay release/manifest.yaml --all -o replayed.json
  retrace openness release/manifest.yaml --replayed replayed.json")]
pub(crate) struct Openness {
    /// The manifest, in the release's directory
    manifest: PathBuf,
    /// An attestation of `retrace replay --all -o FILE`
    #[arg(long, value_name = "FILE")]
    replayed: Option<PathBuf>,
    /// The public key that must have signed the attestation
    #[arg(long, value_name = "FILE", requires = "replayed")]
    public_key: Option<PathBuf>,
}

/// The directory of a path in a release; empty for its top level.
fn directory(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

impl Openness {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let Opened { document: manifest, root, path } = open::<Manifest>(&self.manifest)?;
        let key = self.public_key.as_deref().map(super::keys::public_key).transpose()?;
        let mut evidence = Evidence::default();
        if let Some(file) = &self.replayed {
            let replayed = read_attestation(&manifest, &read_text(file)?, key.as_ref()).map_err(|e| {
                Failure::usage(
                    format!("{}: {e}", file.display()),
                    "make it with `retrace replay MANIFEST --all -o FILE`",
                )
            })?;
            evidence.replayed = replayed.steps.into_iter().map(|outcome| (outcome.step, outcome.again)).collect();
        }
        let verified = verify(&manifest, root.path(), Some(&path), terminal.progress().as_ref())?;
        // A checkpoint whose files contradict each other is as sealed, and still not one that can be read.
        let contradictory: BTreeSet<&str> = verified.checkpoints.iter().map(|found| directory(&found.path)).collect();
        let good = verified.entries.into_iter().filter(|entry| {
            entry.verdict == Verdict::Verified && !contradictory.contains(directory(entry.path.as_str()))
        });
        evidence.verified = good.map(|entry| entry.path).collect();
        for CheckpointFinding { path, what } in &verified.checkpoints {
            terminal.say(Tone::Bad, "checkpoint", format_args!("{path}: {what}"));
        }
        // Including the content of the parts that can be read; other parts count as absent.
        let unfolded = unfold(&manifest, root.path());
        let found = openness(unfolded.as_ref().map_or(&manifest, |unfolded| &unfolded.manifest), &evidence);
        for Unknown { at, why } in unfolded.iter().flat_map(|unfolded| &unfolded.unknown) {
            terminal.say(Tone::Bad, "not checked", format_args!("{at}: {why}"));
        }
        terminal.result("openness/1", &json!({"openness": found}), |out| {
            for component in &found.components {
                let (tone, word) = match component.status {
                    Status::Absent => (if component.required { Tone::Bad } else { Tone::Faint }, "absent  "),
                    Status::Present => (Tone::Faint, "present "),
                    Status::Verified => (Tone::Good, "verified"),
                    Status::Replayed => (Tone::Good, "replayed"),
                };
                let class = component.class.name().split(' ').next().unwrap_or_default();
                let required = if component.required { "" } else { ", optional" };
                let example = component.example.as_deref().map_or_else(String::new, |example| match component.files {
                    0 | 1 => format!("  {example}"),
                    files => format!("  {example} and {} more", files - 1),
                });
                let name = format!("{} ({class}{required})", component.name);
                writeln!(out, "{} {name:44}{example}", terminal.tone(tone, word))?;
            }
            Ok(())
        })?;
        let of = |status| found.components.iter().filter(|component| component.status >= status).count();
        let counts = format!(
            "{}: {} of {} components present, {} verified, {} replayed",
            found.release,
            of(Status::Present),
            found.components.len(),
            of(Status::Verified),
            of(Status::Replayed)
        );
        match found.class {
            Some(class) => terminal.say(
                Tone::Good,
                "class",
                format!("{} by its components, without regard to licences; {counts}", class.name()),
            ),
            None => terminal.say(Tone::Faint, "no class", counts),
        }
        if self.replayed.is_some() && self.public_key.is_none() {
            terminal.say(
                Tone::Faint,
                "unsigned",
                "the attestation is trusted without a check; --public-key checks its signature",
            );
        }
        Ok(Exit::Holds)
    }
}

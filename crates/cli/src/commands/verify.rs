//! `retrace verify`

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

use retrace_manifest::{
    Expected, GraphFinding, Sample, Scope, Verdict, VerifyOptions, check_graph, merge, read_list, sample,
    verify_expected,
};
use retrace_spec::manifest::Kind;
use retrace_spec::{Manifest, RelPath};
use serde_json::json;

use super::seal::inside;
use super::{Exit, Opened, open, read_text};
use crate::errors::{Failure, OrHelp};
use crate::terminal::{Terminal, Tone, bytes, count};

/// Check that a directory holds what a manifest says, byte for byte
///
/// Looks at every file and tells each that is changed, missing, extra or renamed, with what seems
/// to have happened: which range of bytes, which tensors, whose content it is instead. Tells also
/// where the manifest contradicts itself: one step's weights under two steps, a gap in a series of
/// checkpoints, a file that a step read and nobody has. Prints one finding a line, nothing if all
/// holds. Check also that the root is the one that was published: whoever can change a file can
/// seal it again.
///
/// MANIFEST may also be a list that another tool wrote: SHA256SUMS, B3SUMS, an MD5 list, their BSD
/// form, or a model hub's file tree as JSON. Such a list may name some files only, so that others
/// are no finding.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace verify release/manifest.yaml
  retrace verify release.json /mnt/copy
  retrace verify release/manifest.yaml --root b3:…
  retrace verify release.json /mnt/part --only kind=checkpoint --only runs/base/step-000120
  retrace verify release.json /mnt/copy --sample 5%
  retrace verify release.json ~/.cache/…/snapshots/0123abc --hub-cache
  retrace verify SHA256SUMS /mnt/copy
  retrace verify release.json /mnt/copy --also SHA256SUMS --also hub-tree.json
  retrace verify --json release/manifest.yaml > verified.json

Exit codes: 0 all as sealed, 1 something is not, 2 could not look.")]
pub(crate) struct Verify {
    /// The manifest, or a list of checksums
    manifest: PathBuf,
    /// The release's directory [default: where the manifest lies]
    dir: Option<PathBuf>,
    /// The root that was published, which the manifest must have
    #[arg(long, value_name = "DIGEST")]
    root: Option<retrace_spec::Digest>,
    /// Check what this list says too, in the same pass, and tell where the two disagree
    #[arg(long, value_name = "LIST")]
    also: Vec<PathBuf>,
    /// Look only at these: `kind=KIND`, a file, or a directory; may be given several times
    #[arg(long, value_name = "WHAT")]
    only: Vec<String>,
    /// Read only this part of the files, chosen at random: `5%` or `0.05`; says what that proves
    #[arg(long, value_name = "FRACTION", value_parser = fraction, conflicts_with = "only")]
    sample: Option<f64>,
    /// Choose the sample that this text gives, as another did
    #[arg(long, value_name = "TEXT", requires = "sample")]
    seed: Option<String>,
    /// DIR is a snapshot in a hub's cache: follow its links into `blobs`, and no others
    #[arg(long)]
    hub_cache: bool,
}

impl Verify {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let Source { manifest, mut expected, root } = Source::read(&self.manifest)?;
        let root = self.dir.clone().unwrap_or(root);
        let mut disagreements = Vec::new();
        for list in &self.also {
            let (name, listed) = listed(list)?;
            disagreements.extend(merge(&mut expected, &name, listed));
        }
        let sampled = self.sample.map(|fraction| {
            // Not to be known to whoever made the release.
            let seed = self.seed.clone().unwrap_or_else(|| format!("{:016x}", RandomState::new().hash_one(())));
            sample(expected.iter().map(|entry| &entry.path), fraction, &seed)
        });
        let scope = match &sampled {
            Some(sample) => Scope::Sample(sample.chosen.clone()),
            None if self.only.is_empty() => Scope::All,
            None => Scope::Only(self.chosen(manifest.as_ref(), &expected)?),
        };
        let ignored = manifest.as_ref().map_or_else(Vec::new, |manifest| manifest.ignored.clone());
        let options = VerifyOptions {
            scope,
            ignored: ignored.clone(),
            own: std::iter::once(&self.manifest).chain(&self.also).filter_map(|list| inside(&root, list)).collect(),
            partial: manifest.is_none(),
            hub_cache: self.hub_cache,
        };
        let verification = verify_expected(&expected, &root, &options, terminal.progress().as_ref())?;
        let graph = manifest.as_ref().map_or_else(Vec::new, check_graph);
        let sealed_root = manifest.as_ref().map(|manifest| manifest.root);
        let other_root = self.root.filter(|published| Some(*published) != sealed_root);
        let others = graph.len() + disagreements.len() + usize::from(other_root.is_some());
        let holds = verification.holds() && others == 0;

        let disagreeing: Vec<_> =
            disagreements.iter().map(|found| json!({"path": found.path, "what": found.what})).collect();
        let result = json!({
            "holds": holds,
            "root": sealed_root,
            "published_root": self.root,
            "sample": sampled,
            "counts": verification.counts(),
            "entries": verification.entries,
            "graph": graph,
            "disagreements": disagreeing,
        });
        terminal.result("verify/1", &result, |out| {
            let mut finding =
                |what: &str, rest: String| writeln!(out, "{} {rest}", terminal.tone(Tone::Bad, format!("{what:<12}")));
            if let Some(published) = other_root {
                let sealed = sealed_root.map_or_else(|| "no root".to_owned(), |root| root.to_string());
                finding("root", format!("the manifest has {sealed}, not {published}"))?;
            }
            for GraphFinding { path, what, .. } in &graph {
                finding("graph", format!("{path}: {what}"))?;
            }
            for found in &disagreements {
                finding("disagreement", format!("{}: {}", found.path, found.what))?;
            }
            verification
                .findings()
                .try_for_each(|entry| finding(name(entry.verdict), format!("{}: {}", entry.path, entry.diagnosis)))
        })?;

        let counts = verification.counts();
        let verified = counts.get(&Verdict::Verified).copied().unwrap_or(0);
        let files = count(expected.len() as u64, "file");
        if holds {
            let part = if verified == expected.len() {
                files
            } else {
                format!("{} of {files}", count(verified as u64, "file"))
            };
            let how = if manifest.is_some() { "as sealed" } else { "as listed" };
            terminal.say(Tone::Good, "verified", format_args!("{part}{}: all {how}", size(&verification, &expected)));
        } else {
            let findings = verification.findings().count() + others;
            terminal.say(Tone::Bad, &count(findings as u64, "finding"), format_args!("among {files}"));
        }
        let weak = verification.entries.iter().filter(|e| e.verdict == Verdict::Verified && !e.diagnosis.is_empty());
        if let Some(entry) = weak.clone().next() {
            terminal.say(
                Tone::Faint,
                "weakly",
                format_args!("{} {}", count(weak.count() as u64, "file"), entry.diagnosis),
            );
        }
        if let Some(Sample { files, of, would_find, seed, .. }) = &sampled {
            let proves = if would_find <= of {
                format!("had {would_find} or more been changed, it would show with 95 % probability")
            } else {
                "too few to prove anything".to_owned()
            };
            terminal.say(Tone::Faint, "sample", format_args!("{files} of {of} files; {proves}; --seed {seed}"));
        }
        if let Some(root) = sealed_root {
            terminal.say(Tone::Faint, "root", root);
        }
        if manifest.is_none() {
            let unlisted = counts.get(&Verdict::Skipped).copied().unwrap_or(0);
            terminal.say(Tone::Faint, "not listed", count(unlisted as u64, "path"));
        }
        for path in &ignored {
            terminal.say(Tone::Faint, "not covered", path);
        }
        Ok(Exit::holds(holds))
    }

    /// The files that `--only` names.
    fn chosen(&self, manifest: Option<&Manifest>, expected: &[Expected]) -> Result<BTreeSet<RelPath>, Failure> {
        let mut chosen = BTreeSet::new();
        for what in &self.only {
            let before = chosen.len();
            match what.strip_prefix("kind=") {
                Some(kind) => {
                    let kind: Kind = serde_json::from_value(kind.into()).map_err(|_| {
                        let kinds = "config, shard, tokenizer, tokens, checkpoint, log, benchmark, table, other";
                        Failure::usage(format!("no kind is called {kind:?}"), &format!("one of {kinds}"))
                    })?;
                    let artifacts = manifest.iter().flat_map(|manifest| &manifest.artifacts);
                    chosen.extend(artifacts.filter(|artifact| artifact.kind == kind).map(|a| a.path.clone()));
                }
                None => {
                    let path: Result<RelPath, _> = what.trim_end_matches('/').parse();
                    let path = path.map_err(|e| Failure::usage(e.to_string(), "give a path as the manifest has it"))?;
                    chosen.extend(expected.iter().filter(|e| e.path.is_within(&path)).map(|e| e.path.clone()));
                }
            }
            if chosen.len() == before {
                let help = "give `kind=KIND` where there is a manifest, or a file or directory as it is listed";
                return Err(Failure::usage(format!("--only {what} chooses nothing new"), help));
            }
        }
        Ok(chosen)
    }
}

/// What the files are held against.
struct Source {
    /// If it is one, and no mere list.
    manifest: Option<Manifest>,
    expected: Vec<Expected>,
    /// Where it lies.
    root: PathBuf,
}

impl Source {
    /// A manifest is YAML, or a JSON object; a list is anything else.
    fn read(path: &Path) -> Result<Self, Failure> {
        let yaml = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
        let text = if yaml { None } else { Some(read_text(path)?) };
        if let Some(text) = text.filter(|text| !text.trim_start().starts_with('{')) {
            let (name, root) = (path.file_name().unwrap_or_default(), path.parent());
            let root = root.filter(|root| !root.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let expected = read_list(&name.to_string_lossy(), &text)?;
            return Ok(Self { manifest: None, expected, root: root.to_owned() });
        }
        let opened = open::<Manifest>(path).or_help("fetch the manifest anew, or make one with `retrace seal DIR`")?;
        let Opened { document: manifest, root, .. } = opened;
        let expected = manifest.artifacts.iter().map(Expected::from).collect();
        Ok(Self { manifest: Some(manifest), expected, root })
    }
}

/// The list at `path`, by its name.
fn listed(path: &Path) -> Result<(String, Vec<Expected>), Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let listed = read_list(&name, &read_text(path)?)?;
    Ok((name, listed))
}

/// Bytes that were verified, for people; nothing where lengths are not listed.
fn size(verification: &retrace_manifest::Verification, expected: &[Expected]) -> String {
    let verified: BTreeSet<&RelPath> =
        verification.entries.iter().filter(|e| e.verdict == Verdict::Verified).map(|e| &e.path).collect();
    let sizes: Option<Vec<u64>> = expected.iter().filter(|e| verified.contains(&e.path)).map(|e| e.size).collect();
    sizes.map_or_else(String::new, |sizes| format!(", {}", bytes(sizes.iter().sum())))
}

/// A part of the whole, as `5%` or `0.05`.
fn fraction(text: &str) -> Result<f64, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().map(|percent: f64| percent / 100.0),
        None => text.parse(),
    };
    number.ok().filter(|part| *part > 0.0 && *part <= 1.0).ok_or_else(|| "give 5% or 0.05, up to 100%".to_owned())
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

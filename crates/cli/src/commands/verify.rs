//! `retrace verify`

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;

use retrace_manifest::{
    Expected, GraphFinding, Sample, Scope, Verdict, VerifyOptions, check_graph, sample, verify_expected,
};
use retrace_spec::manifest::Kind;
use retrace_spec::{Manifest, RelPath};
use serde_json::json;

use super::seal::inside;
use super::{Exit, Opened, open};
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
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace verify release/manifest.yaml
  retrace verify release.json /mnt/copy
  retrace verify release/manifest.yaml --root b3:…
  retrace verify release.json /mnt/part --only kind=checkpoint --only runs/base/step-000120
  retrace verify release.json /mnt/copy --sample 5%
  retrace verify release.json ~/.cache/…/snapshots/0123abc --hub-cache
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
        let Opened { document: manifest, root, .. } =
            open::<Manifest>(&self.manifest).or_help("fetch the manifest anew, or make one with `retrace seal DIR`")?;
        let root = self.dir.clone().unwrap_or(root);
        let sampled = self.sample.map(|fraction| {
            // Not to be known to whoever made the release.
            let seed = self.seed.clone().unwrap_or_else(|| format!("{:016x}", RandomState::new().hash_one(())));
            sample(manifest.artifacts.iter().map(|artifact| &artifact.path), fraction, &seed)
        });
        let scope = match &sampled {
            Some(sample) => Scope::Sample(sample.chosen.clone()),
            None if self.only.is_empty() => Scope::All,
            None => Scope::Only(self.chosen(&manifest)?),
        };
        let options = VerifyOptions {
            scope,
            ignored: manifest.ignored.clone(),
            own: inside(&root, &self.manifest).into_iter().collect(),
            partial: false,
            hub_cache: self.hub_cache,
        };
        let expected: Vec<Expected> = manifest.artifacts.iter().map(Expected::from).collect();
        let verification = verify_expected(&expected, &root, &options, terminal.progress().as_ref())?;
        let graph = check_graph(&manifest);
        let other_root = self.root.filter(|published| *published != manifest.root);
        let holds = verification.holds() && graph.is_empty() && other_root.is_none();

        let result = json!({
            "holds": holds,
            "root": manifest.root,
            "published_root": self.root,
            "sample": sampled,
            "counts": verification.counts(),
            "entries": verification.entries,
            "graph": graph,
        });
        terminal.result("verify/1", &result, |out| {
            let mut finding =
                |what: &str, rest: String| writeln!(out, "{} {rest}", terminal.tone(Tone::Bad, format!("{what:<12}")));
            if let Some(published) = other_root {
                finding("root", format!("the manifest has {}, not {published}", manifest.root))?;
            }
            for GraphFinding { path, what, .. } in &graph {
                finding("graph", format!("{path}: {what}"))?;
            }
            verification
                .findings()
                .try_for_each(|entry| finding(name(entry.verdict), format!("{}: {}", entry.path, entry.diagnosis)))
        })?;

        let counts = verification.counts();
        let verified = counts.get(&Verdict::Verified).copied().unwrap_or(0);
        let files = count(manifest.artifacts.len() as u64, "file");
        if holds {
            let read: BTreeSet<&RelPath> =
                verification.entries.iter().filter(|e| e.verdict == Verdict::Verified).map(|e| &e.path).collect();
            let sizes = manifest.artifacts.iter().filter(|artifact| read.contains(&artifact.path));
            let size = bytes(sizes.map(|artifact| artifact.size).sum());
            if verified == manifest.artifacts.len() {
                terminal.say(Tone::Good, "verified", format_args!("{files}, {size}: all as sealed"));
            } else {
                let part = count(verified as u64, "file");
                terminal.say(Tone::Good, "verified", format_args!("{part}, {size}, of {files}: all as sealed"));
            }
        } else {
            let findings = verification.findings().count() + graph.len() + usize::from(other_root.is_some());
            terminal.say(Tone::Bad, &count(findings as u64, "finding"), format_args!("among {files}"));
        }
        if let Some(Sample { files, of, would_find, seed, .. }) = &sampled {
            let proves = if would_find <= of {
                format!("had {would_find} or more been changed, it would show with 95 % probability")
            } else {
                "too few to prove anything".to_owned()
            };
            terminal.say(Tone::Faint, "sample", format_args!("{files} of {of} files; {proves}; --seed {seed}"));
        }
        terminal.say(Tone::Faint, "root", manifest.root);
        for path in &manifest.ignored {
            terminal.say(Tone::Faint, "not covered", path);
        }
        Ok(Exit::holds(holds))
    }

    /// The files that `--only` names.
    fn chosen(&self, manifest: &Manifest) -> Result<BTreeSet<RelPath>, Failure> {
        let mut chosen = BTreeSet::new();
        for what in &self.only {
            let before = chosen.len();
            let artifacts = manifest.artifacts.iter();
            match what.strip_prefix("kind=") {
                Some(kind) => {
                    let kind: Kind = serde_json::from_value(kind.into()).map_err(|_| {
                        let kinds = "config, shard, tokenizer, tokens, checkpoint, log, benchmark, table, other";
                        Failure::usage(format!("no kind is called {kind:?}"), &format!("one of {kinds}"))
                    })?;
                    chosen.extend(artifacts.filter(|artifact| artifact.kind == kind).map(|a| a.path.clone()));
                }
                None => {
                    let path: Result<RelPath, _> = what.trim_end_matches('/').parse();
                    let path = path.map_err(|e| Failure::usage(e.to_string(), "give a path as the manifest has it"))?;
                    chosen.extend(artifacts.filter(|a| a.path.is_within(&path)).map(|a| a.path.clone()));
                }
            }
            if chosen.len() == before {
                let help = "give `kind=KIND`, or a file or directory as the manifest has it";
                return Err(Failure::usage(format!("--only {what} chooses nothing new"), help));
            }
        }
        Ok(chosen)
    }
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

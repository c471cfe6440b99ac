//! `retrace verify`

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rayon::prelude::*;
use retrace_files::{FileError, Root, WalkEntry, walk};
use retrace_manifest::{
    Ahead, Basis, Bundle, CheckpointFinding, Disagreement, Entry, Expected, FileSample, GraphFinding, Resume, Scope,
    Unknown, Until, Verdict, VerifyOptions, check_graph, lfs_pointer, look_ahead, merge, read_list, sample, unfold,
    verify_after,
};
use retrace_spec::manifest::ArtifactKind;
use retrace_spec::{Digest, Document, Manifest, RelPath};

use super::keys::Trusted;
use super::seal::inside;
use super::sign::signature_of;
use super::signatures::{Signed, Standing, Verified};
use super::{Exit, read_text};
use crate::errors::{Failure, OrHelp};
use crate::terminal::{Terminal, Tone, bytes, count};

/// Check every file of a directory against a manifest, byte for byte
///
/// Reports each file that is changed, missing, extra or renamed, and how: which range of bytes, which
/// tensors, which other file has this content. Also reports contradictions inside the manifest: the
/// same weights under two steps, a gap in a series of checkpoints, an input of a step that is not in
/// the release. Prints one finding per line, and nothing if there is none. Anyone who can change a file
/// can also seal the directory again, so compare the root with the published one (--root). A part of
/// the release whose manifest is missing or changed is a finding too, because its files cannot be
/// checked. Files that the manifest leaves out, and `.retrace`, are not checked and are no finding.
///
/// MANIFEST can also be a list from another tool: SHA256SUMS, B3SUMS, an MD5 list, their BSD form, a
/// model hub's file tree as JSON, a Croissant description of a dataset, a DVC list of a directory, or a
/// directory with Git LFS pointers. Such a list may cover only some of the files; the others are no
/// finding. Or it is an OMS bundle (`model.sig`): its signature is checked, and files that it does not
/// list are findings.
///
/// A signature says who vouches for these bytes. It is checked only if you name an accepted signer;
/// then everything that this signer did not sign is a finding. Without that, `verify` says that it did
/// not check the signature. A manifest is signed with a key (--public-key). A bundle can be signed with a
/// certificate (--trust); then every signer that the authority vouches for is accepted, unless
/// --identity names one. A signature does not cover what the manifest or bundle leaves out, empty
/// directories, times, owners and modes. It does not prove that the signed claims are true.
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
  retrace verify release.json /mnt/copy --resume verified.jsonl
  retrace verify release/manifest.yaml --public-key key.pub.pem
  retrace verify model.sig /mnt/copy --public-key key.pub.pem
  retrace verify model.sig /mnt/copy --trust authority.pem --identity releases@example.org
  retrace verify model.sig /mnt/copy --trust authority.pem --at 2026-03-01
  retrace verify --json release/manifest.yaml > verified.json

Exit codes: 0 everything matches, 1 a finding, 2 an error.")]
pub(crate) struct Verify {
    /// The manifest, or another tool's list of checksums
    manifest: PathBuf,
    /// The release's directory [default: the manifest's directory]
    dir: Option<PathBuf>,
    /// The published root, which the manifest must have
    #[arg(long, value_name = "DIGEST")]
    root: Option<Digest>,
    /// Check this list in the same pass too, and report where it disagrees with the manifest
    #[arg(long, value_name = "LIST")]
    also: Vec<PathBuf>,
    /// Check only these: `kind=KIND`, a file, or a directory; can be repeated
    #[arg(long, value_name = "WHAT")]
    only: Vec<String>,
    /// Read only this fraction of the files, chosen at random: `5%` or `0.05`; prints what that proves
    #[arg(long, value_name = "FRACTION", value_parser = fraction, conflicts_with = "only")]
    sample: Option<f64>,
    /// Choose the sample by this seed, to check the same sample as someone else
    #[arg(long, value_name = "TEXT", requires = "sample")]
    seed: Option<String>,
    /// DIR is a snapshot in a hub's cache: follow its links into `blobs`, and no other links
    #[arg(long)]
    hub_cache: bool,
    /// Record in FILE which files are verified, and skip the files that it already records and that have
    /// not changed since: to continue after an interruption. FILE decides what is not read. So nobody
    /// else may be able to write it, it must be outside DIR, and it is valid only for this manifest and DIR
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Read large files through a memory map: faster if they are already in the page cache. But if one
    /// is truncated during the read, the system kills this program without a message
    #[arg(long)]
    mmap: bool,
    #[command(flatten)]
    trusted: Trusted,
    /// The manifest's signature [default: the manifest's name with `.sig` appended]
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
}

impl Verify {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let trust = self.trusted.read()?;
        let (source, ahead) = self.read()?;
        let Source { manifest, bundle, expected, root } = source;
        let root = self.dir.clone().unwrap_or(root);
        let kind = match (&manifest, &bundle) {
            (Some(_), _) => Listing::Manifest,
            (None, Some(_)) => Listing::Bundle,
            (None, None) => Listing::List,
        };
        // Combined with those of its parts, which it seals by their digests.
        let unfolded = manifest.as_ref().and_then(|manifest| unfold(manifest, &root));
        let whole = unfolded.as_ref().map(|unfolded| &unfolded.manifest).or(manifest.as_ref());
        let unknown = unfolded.as_ref().map_or(&[][..], |unfolded| &unfolded.unknown);
        let mut expected = match whole {
            Some(whole) => whole.artifacts.par_iter().map(Expected::from).collect(),
            None => expected,
        };
        let mut disagreements = Vec::new();
        let mut bundles: Vec<(String, Bundle)> = bundle.into_iter().map(|b| (file_name(&self.manifest), b)).collect();
        // The first list decides whether other files may exist; additional lists only add to it.
        let complete = kind != Listing::List;
        let mut ignored = whole.map_or_else(Vec::new, |whole| whole.ignored.clone());
        ignored.extend(
            bundles.iter().flat_map(|(_, bundle)| &bundle.ignored).filter(|p| p.under(&root).exists()).cloned(),
        );
        for list in &self.also {
            let Source { manifest, bundle, expected: listed, .. } = Source::read(list)?;
            let name = file_name(list);
            if manifest.is_some() {
                let help = "give a list of checksums with --also; `retrace diff` compares two manifests";
                return Err(Failure::usage(format!("{name} is a second manifest"), help));
            }
            disagreements.extend(merge(&mut expected, &name, listed));
            bundles.extend(bundle.map(|bundle| (name, bundle)));
        }
        let signatures = Verified {
            file: &self.manifest,
            manifest: manifest.as_ref().zip(whole),
            bundles: &bundles,
            expected: &expected,
            lists: !self.also.is_empty(),
            root: &root,
            signature: (&self.signature_path(), self.signature.is_some()),
        };
        let signatures = signatures.check(trust.as_ref())?;
        let sampled = self.sample.map(|fraction| {
            // Must not be predictable for the author of the release.
            let seed = self.seed.clone().unwrap_or_else(|| format!("{:016x}", RandomState::new().hash_one(())));
            sample(expected.iter().map(|entry| &entry.path), fraction, &seed)
        });
        let scope = match &sampled {
            Some(sample) => Scope::Sample(sample.chosen.clone()),
            None if self.only.is_empty() => Scope::All,
            None => Scope::Only(self.chosen(whole, &expected)?),
        };
        // Signatures of the manifest are over its bytes, so these are read whatever else is chosen.
        let scope = match (scope, inside(&root, &self.manifest)) {
            (Scope::Only(mut chosen), Some(own)) if expected.iter().any(|entry| entry.path == own) => {
                chosen.insert(own);
                Scope::Only(chosen)
            }
            (Scope::Sample(mut chosen), Some(own)) if expected.iter().any(|entry| entry.path == own) => {
                chosen.insert(own);
                Scope::Sample(chosen)
            }
            (scope, _) => scope,
        };
        let sealed_root = manifest.as_ref().map(|manifest| manifest.root);
        let graph = whole.map_or_else(Vec::new, check_graph);
        let basis = Basis { directory: &root, root: sealed_root, expected: &expected };
        let help = "give --resume a separate file, outside DIR, in a directory that only you can write";
        let resume = self.resume.as_deref().map(|file| Resume::open(file, &basis).or_help(help));
        let resume = resume.transpose()?.map(Arc::new);
        let own = [self.manifest.clone(), self.signature_path()].into_iter();
        let own = own.chain(self.also.iter().cloned());
        let options = VerifyOptions {
            scope,
            ignored: ignored.clone(),
            own: own.filter_map(|list| inside(&root, &list)).collect(),
            unknown: unknown.iter().filter(|unknown| self.asks_for(unknown)).cloned().collect(),
            mapped: self.mmap,
            partial: !complete,
            hub_cache: self.hub_cache,
            resume: resume.clone(),
        };
        // A large manifest takes much memory, and is not needed any more.
        drop((unfolded, manifest));
        let listed = expected.len();
        let verification = verify_after(ahead, expected, &root, &options, terminal.progress().as_ref())?;
        let other_root = self.root.filter(|published| Some(*published) != sealed_root);
        let published = self.root.is_some() && other_root.is_none();
        let standing = Standing::of(&signatures, published);
        let refused = signatures.iter().filter(|signature| signature.holds == Some(false)).count();
        let checkpoints = verification.checkpoints.len();
        let others = graph.len() + disagreements.len() + usize::from(other_root.is_some()) + refused + checkpoints;
        let holds = verification.holds() && others == 0;

        let before = resume.as_ref().map(|resume| resume.reused());
        let result = Said {
            holds,
            listing: kind,
            verified_before: before,
            root: sealed_root,
            published_root: self.root,
            sample: sampled.as_ref(),
            counts: verification.counts(),
            entries: &verification.entries,
            graph: &graph,
            checkpoints: &verification.checkpoints,
            disagreements: &disagreements,
            signatures: &signatures,
            trust: standing,
        };
        terminal.result("verify/1", &result, |out| {
            let mut finding =
                |what: &str, rest: String| writeln!(out, "{} {rest}", terminal.tone(Tone::Bad, format!("{what:<12}")));
            if let Some(published) = other_root {
                let sealed = sealed_root.map_or_else(|| "no root".to_owned(), |root| root.to_string());
                finding("root", format!("the manifest has {sealed}, not {published}"))?;
            }
            for Signed { file, what, .. } in signatures.iter().filter(|signature| signature.holds == Some(false)) {
                finding("signature", format!("{file}: {what}"))?;
            }
            for GraphFinding { path, what, .. } in &graph {
                finding("graph", format!("{path}: {what}"))?;
            }
            for CheckpointFinding { path, what } in &verification.checkpoints {
                finding("checkpoint", format!("{path}: {what}"))?;
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
        let files = count(listed as u64, "file");
        if holds {
            let part =
                if verified == listed { files } else { format!("{} of {files}", count(verified as u64, "file")) };
            let how = match kind {
                Listing::Manifest => "as sealed",
                Listing::Bundle => "as signed",
                Listing::List => "as listed",
            };
            // `None` if lengths are not listed.
            let size = verification.bytes.map_or_else(String::new, |size| format!(", {}", bytes(size)));
            let unread = before.filter(|before| *before > 0).map_or_else(String::new, |before| {
                format!("; {} of them verified before and skipped", count(before as u64, "file"))
            });
            terminal.say(Tone::Good, "verified", format_args!("{part}{size}: all {how}{unread}"));
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
        if let Some(FileSample { files, of, would_find, seed, .. }) = &sampled {
            let proves = if would_find <= of {
                format!("if {would_find} or more were changed, this would find one with a probability of at least 95 %")
            } else {
                "too few to prove anything".to_owned()
            };
            terminal.say(Tone::Faint, "sample", format_args!("{files} of {of} files; {proves}; --seed {seed}"));
        }
        if let (Some(before @ 1..), Some(file), false) = (before, &self.resume, holds) {
            let files = count(before as u64, "file");
            terminal.say(Tone::Faint, "skipped", format_args!("{files}, recorded in {} as verified", file.display()));
        }
        if kind == Listing::List {
            let what = "is an unsigned list of checksums, not a manifest: it has no root, and nobody vouches for it";
            terminal.say(Tone::Bad, "list only", format_args!("{} {what}", file_name(&self.manifest)));
        }
        signatures.iter().for_each(|signature| signature.say(terminal));
        if standing == Standing::Unsigned && kind != Listing::List {
            let what = "nobody vouches for it: anyone who can change a file can also seal it again; see --public-key and --root";
            terminal.say(Tone::Faint, "unsigned", what);
        }
        if let Some(root) = sealed_root {
            let given = if published { ", as given by --root" } else { "" };
            terminal.say(Tone::Faint, "root", format_args!("{root}{given}"));
        }
        if !complete {
            let unlisted = counts.get(&Verdict::Skipped).copied().unwrap_or(0);
            terminal.say(Tone::Faint, "not listed", count(unlisted as u64, "path"));
        }
        for path in &ignored {
            terminal.say(Tone::Faint, "not covered", path);
        }
        // The program ends here; freeing the many small allocations of a large verification would take time.
        std::mem::forget(verification);
        Ok(Exit::holds(holds))
    }

    /// What the files are checked against; and the files that another thread hashed while it was read, if all are to
    /// be read.
    fn read(&self) -> Result<(Source, Option<Ahead>), Failure> {
        let root = self.dir.clone().unwrap_or_else(|| directory_of(&self.manifest));
        let some = !self.only.is_empty() || self.sample.is_some() || self.hub_cache || self.resume.is_some();
        if some || rayon::current_num_threads() < 2 {
            return Ok((Source::read(&self.manifest)?, None));
        }
        let until = Until::default();
        std::thread::scope(|scope| {
            let ahead = scope.spawn(|| look_ahead(&root, &until));
            let source = Source::read(&self.manifest);
            let over = if source.is_ok() { &until.known } else { &until.given_up };
            over.store(true, Ordering::Relaxed);
            // An error there occurs again and is reported where the file is read.
            Ok((source?, ahead.join().ok().and_then(Result::ok)))
        })
    }

    /// Whether something in a part would have been checked, considering `--only`.
    fn asks_for(&self, unknown: &Unknown) -> bool {
        let overlaps = |only: &String| match only.trim_end_matches('/').parse::<RelPath>() {
            Ok(path) => path.is_within(&unknown.at) || unknown.at.is_within(&path),
            Err(_) => true,
        };
        self.only.is_empty() || self.only.iter().any(|only| only.starts_with("kind=") || overlaps(only))
    }

    /// The actual or default path of the manifest's signature.
    fn signature_path(&self) -> PathBuf {
        self.signature.clone().unwrap_or_else(|| signature_of(&self.manifest))
    }

    /// The files that `--only` selects.
    fn chosen(&self, manifest: Option<&Manifest>, expected: &[Expected]) -> Result<BTreeSet<RelPath>, Failure> {
        let mut chosen = BTreeSet::new();
        for what in &self.only {
            let before = chosen.len();
            match what.strip_prefix("kind=") {
                Some(kind) => {
                    let kind: ArtifactKind = serde_json::from_value(kind.into()).map_err(|_| {
                        let kinds =
                            "config, shard, tokenizer, tokens, checkpoint, log, benchmark, table, manifest, other";
                        Failure::usage(format!("unknown kind {kind:?}"), &format!("give one of {kinds}"))
                    })?;
                    let artifacts = manifest.iter().flat_map(|manifest| &manifest.artifacts);
                    chosen.extend(artifacts.filter(|artifact| artifact.kind == kind).map(|a| a.path.clone()));
                }
                None => {
                    let path: Result<RelPath, _> = what.trim_end_matches('/').parse();
                    let path = path
                        .map_err(|e| Failure::usage(e.to_string(), "give a path as it is written in the manifest"))?;
                    chosen.extend(expected.iter().filter(|e| e.path.is_within(&path)).map(|e| e.path.clone()));
                }
            }
            if chosen.len() == before {
                let help = "give a listed file or directory, or with a manifest `kind=KIND`";
                return Err(Failure::usage(format!("--only {what} selects no further file"), help));
            }
        }
        Ok(chosen)
    }
}

/// The result as JSON.
#[derive(serde::Serialize)]
struct Said<'a> {
    holds: bool,
    /// What the files were checked against.
    listing: Listing,
    /// With `--resume`, the number of files that were not read now, because they were noted as verified before.
    #[serde(skip_serializing_if = "Option::is_none")]
    verified_before: Option<usize>,
    root: Option<Digest>,
    published_root: Option<Digest>,
    sample: Option<&'a FileSample>,
    counts: BTreeMap<Verdict, usize>,
    entries: &'a [Entry],
    graph: &'a [GraphFinding],
    /// Contradictions between files of a checkpoint.
    checkpoints: &'a [CheckpointFinding],
    disagreements: &'a [Disagreement],
    signatures: &'a [Signed],
    trust: Standing,
}

/// The kind of source of the expected files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Listing {
    Manifest,
    Bundle,
    List,
}

/// What the files are checked against.
struct Source {
    /// If it is a manifest.
    manifest: Option<Manifest>,
    /// If it is an OMS bundle.
    bundle: Option<Bundle>,
    /// If it is a bundle or a list.
    expected: Vec<Expected>,
    /// Its path.
    root: PathBuf,
}

impl Source {
    /// A manifest is YAML, or a JSON object that is not a bundle; anything else is a list.
    fn read(path: &Path) -> Result<Self, Failure> {
        let yaml = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
        let root = directory_of(path);
        let name = file_name(path);
        if path.is_dir() {
            return Ok(Self { manifest: None, bundle: None, expected: pointers(path)?, root });
        }
        let help = "give a manifest or a list of checksums; `retrace seal DIR` makes a manifest";
        let text = read_text(path).or_help(help)?;
        if !yaml {
            if !text.trim_start().starts_with('{') || is_dataset(&text) {
                let expected = read_list(&name, &text)?;
                return Ok(Self { manifest: None, bundle: None, expected, root });
            }
            if Bundle::is_one(&text) {
                let bundle = Bundle::parse(&name, &text)?;
                return Ok(Self { manifest: None, expected: bundle.files.clone(), bundle: Some(bundle), root });
            }
        }
        let manifest = Manifest::parse(&text, &path.display().to_string()).map_err(Failure::from);
        let manifest = manifest.or_help(help)?;
        Ok(Self { manifest: Some(manifest), bundle: None, expected: Vec::new(), root })
    }
}

/// Whether a JSON object describes a dataset in Croissant's vocabulary, and is not a manifest.
fn is_dataset(text: &str) -> bool {
    text.contains("\"distribution\"") && !text.contains("\"retrace\"")
}

/// The files described by Git LFS pointers below `root`, as in a clone without its large files.
fn pointers(root: &Path) -> Result<Vec<Expected>, Failure> {
    const LONGEST: u64 = 1024;
    let opened = Root::open(root)?;
    let mut expected = Vec::new();
    for found in walk(root, &|path| path.as_str() == ".git")? {
        let path = match found {
            WalkEntry::File(path) => path,
            // If an entry cannot be read, it is unknown whether it lists a file.
            WalkEntry::Refused { path, what } => return Err(FileError::Name { path: path.under(root), what }.into()),
            WalkEntry::Special(_) => continue,
        };
        match opened.file(&path)?.text(LONGEST) {
            Ok(text) if lfs_pointer(&text).is_some() => expected.extend(read_list(path.as_str(), &text)?),
            // Too long to be a pointer, or not text.
            Ok(_) | Err(FileError::TooLarge { .. }) => {}
            Err(FileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::InvalidData => {}
            Err(error) => return Err(error.into()),
        }
    }
    if expected.is_empty() {
        let help = "give a manifest, a list, or a clone made with GIT_LFS_SKIP_SMUDGE=1";
        return Err(Failure::usage(format!("{} is a directory without Git LFS pointers", root.display()), help));
    }
    Ok(expected)
}

fn directory_of(path: &Path) -> PathBuf {
    path.parent().filter(|root| !root.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A fraction, as `5%` or `0.05`.
fn fraction(text: &str) -> Result<f64, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().map(|percent: f64| percent / 100.0),
        None => text.parse(),
    };
    number
        .ok()
        .filter(|part| *part > 0.0 && *part <= 1.0)
        .ok_or_else(|| "give a fraction such as 5% or 0.05, up to 100%".to_owned())
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

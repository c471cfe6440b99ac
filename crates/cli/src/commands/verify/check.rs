//! The check itself, which prints nothing.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rayon::prelude::*;
use retrace_manifest::{
    Ahead, Basis, Bundle, Disagreement, Elsewhere, Entry, Expected, FileSample, GraphFinding, List, Resume, Scope,
    Unknown, Until, Verdict, Verification, VerifyOptions, check_graph, look_ahead, merge, sample, unfold, verify_after,
};
use retrace_spec::manifest::ArtifactKind;
use retrace_spec::{Digest, Manifest, RelPath};

use super::super::directory_of;
use super::super::keys::Trusted;
use super::super::seal::inside;
use super::super::sign::signature_of;
use super::super::signatures::{Signed, Standing, Verified};
use super::Verify;
use super::source::{Listing, Source, file_name};
use crate::errors::{Failure, OrHelp};
use crate::terminal::Terminal;

/// What was found.
pub(in crate::commands) struct Outcome {
    /// What the files were checked against.
    pub(super) kind: Listing,
    /// The manifest's root.
    pub(in crate::commands) sealed_root: Option<Digest>,
    /// The root that the user gave, if the manifest has another.
    pub(in crate::commands) other_root: Option<Digest>,
    /// Number of files that are listed.
    pub(in crate::commands) listed: usize,
    /// Paths that are not covered.
    pub(in crate::commands) ignored: Vec<RelPath>,
    /// What lists have that is no file of the directory.
    pub(super) elsewhere: Vec<Elsewhere>,
    /// Why lists may have only a part of what their tool knows.
    pub(super) parts: Vec<String>,
    /// With `--only-present`, the number of listed files that are not there.
    pub(super) absent: usize,
    /// What to do about links that were not followed.
    pub(super) links: Option<&'static str>,
    /// With `--sample`, which files were read.
    pub(super) sampled: Option<FileSample>,
    /// With `--resume`, the number of files that were noted as verified before.
    pub(super) before: Option<usize>,
    /// Contradictions in the manifest.
    pub(in crate::commands) graph: Vec<GraphFinding>,
    /// Contradictions between lists.
    pub(super) disagreements: Vec<Disagreement>,
    /// The result for each signature.
    pub(in crate::commands) signatures: Vec<Signed>,
    /// Who signed it.
    pub(in crate::commands) standing: Standing,
    /// The result for each path.
    pub(in crate::commands) verification: Verification,
}

impl Outcome {
    /// The number of findings that are not about a single file.
    pub(super) fn others(&self) -> usize {
        let refused = self.signatures.iter().filter(|signature| signature.holds == Some(false)).count();
        let checkpoints = self.verification.checkpoints.len();
        let unchecked = self.elsewhere.iter().filter(|entry| entry.is_finding()).count();
        let of_lists = self.graph.len() + self.disagreements.len() + unchecked;
        of_lists + usize::from(self.other_root.is_some()) + refused + checkpoints
    }

    /// Whether nothing was found.
    pub(in crate::commands) fn holds(&self) -> bool {
        self.verification.holds() && self.others() == 0
    }
}

impl Verify {
    /// The check of a manifest and all files of its directory.
    pub(in crate::commands) fn of_manifest(
        manifest: &Path,
        root: Option<Digest>,
        trusted: &Trusted,
        signature: Option<&Path>,
    ) -> Self {
        Self {
            manifest: manifest.to_owned(),
            dir: None,
            root,
            also: Vec::new(),
            only: Vec::new(),
            sample: None,
            seed: None,
            hub_cache: false,
            ignore_extra: false,
            only_present: false,
            resume: None,
            mmap: false,
            trusted: trusted.clone(),
            signature: signature.map(Path::to_owned),
        }
    }

    /// Checks everything that the arguments ask for, and prints nothing.
    pub(in crate::commands) fn check(&self, terminal: &Terminal) -> Result<Outcome, Failure> {
        let trust = self.trusted.read()?;
        let (source, ahead) = self.read()?;
        let Source { manifest, bundle, list, root } = source;
        let List { files: expected, mut elsewhere, mut disagreements, part, .. } = list;
        let mut parts: Vec<String> = part.into_iter().collect();
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
        let mut bundles: Vec<(String, Bundle)> = bundle.into_iter().map(|b| (file_name(&self.manifest), b)).collect();
        // The first list decides whether other files may exist; additional lists only add to it.
        let complete = kind != Listing::List;
        let mut ignored = whole.map_or_else(Vec::new, |whole| whole.ignored.clone());
        ignored.extend(
            bundles.iter().flat_map(|(_, bundle)| &bundle.ignored).filter(|p| p.under(&root).exists()).cloned(),
        );
        for list in &self.also {
            let Source { manifest, bundle, list: read, .. } = Source::read(list)?;
            elsewhere.extend(read.elsewhere);
            disagreements.extend(read.disagreements);
            parts.extend(read.part);
            let name = file_name(list);
            if manifest.is_some() {
                let help = "give a list of checksums with --also; `retrace diff` compares two manifests";
                return Err(Failure::usage(format!("{name} is a second manifest"), help));
            }
            disagreements.extend(merge(&mut expected, &name, read.files));
            bundles.extend(bundle.map(|bundle| (name, bundle)));
        }
        let links_allowed = bundles.iter().any(|(_, bundle)| bundle.allows_links);
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
            partial: !complete || self.ignore_extra,
            hub_cache: self.hub_cache,
            resume: resume.clone(),
        };
        // A large manifest takes much memory, and is not needed any more.
        drop((unfolded, manifest));
        let listed = expected.len();
        let mut verification = verify_after(ahead, expected, &root, &options, terminal.progress().as_ref())?;
        let absent = if self.only_present { leave_out_absent(&mut verification) } else { 0 };
        let links = if self.hub_cache { None } else { about_links(&verification, &root, links_allowed) };
        let other_root = self.root.filter(|published| Some(*published) != sealed_root);
        let standing = Standing::of(&signatures, self.root.is_some() && other_root.is_none());
        let before = resume.as_ref().map(|resume| resume.reused());
        Ok(Outcome {
            kind,
            sealed_root,
            other_root,
            listed,
            ignored,
            elsewhere,
            parts,
            absent,
            links,
            sampled,
            before,
            graph,
            disagreements,
            signatures,
            standing,
            verification,
        })
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

/// Makes listed files that are not there no findings, and returns their number. If no listed file was verified, all stay
/// findings.
fn leave_out_absent(verification: &mut Verification) -> usize {
    if !verification.entries.iter().any(|entry| entry.verdict == Verdict::Verified) {
        return 0;
    }
    let mut absent = BTreeSet::new();
    for entry in verification.entries.iter_mut().filter(|entry| entry.verdict == Verdict::Missing) {
        entry.verdict = Verdict::Skipped;
        entry.diagnosis = "it is not in this copy, and --only-present leaves it out".to_owned();
        absent.insert(entry.path.clone());
    }
    // Whether the parts of a checkpoint contradict each other, a copy without some of them does not say.
    let directories: BTreeSet<Option<RelPath>> = absent.iter().map(RelPath::parent).collect();
    verification.checkpoints.retain(|found| {
        let own: Option<RelPath> = found.path.parse().ok();
        !directories.contains(&own) && !directories.contains(&own.and_then(|own| own.parent()))
    });
    absent.len()
}

/// What to do about listed files that are links and were not followed, if there are such.
fn about_links(verification: &Verification, root: &Path, allowed: bool) -> Option<&'static str> {
    let is_link = |entry: &Entry| entry.verdict == Verdict::Unverifiable && entry.path.under(root).is_symlink();
    if !verification.findings().any(is_link) {
        return None;
    }
    let whole = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let snapshots = whole.parent().filter(|parent| parent.ends_with("snapshots"));
    let is_snapshot = snapshots.and_then(Path::parent).is_some_and(|repository| repository.join("blobs").is_dir());
    Some(match (is_snapshot, allowed) {
        (true, true) => {
            "the signature allows links, and this is a snapshot in a hub's cache: --hub-cache follows its links"
        }
        (true, false) => "this is a snapshot in a hub's cache: --hub-cache follows its links",
        (false, true) => {
            "the signature allows links, and only those of a hub's cache are followed: copy the files in place of the links"
        }
        (false, false) => "only links of a hub's cache are followed: copy the files in place of the links",
    })
}

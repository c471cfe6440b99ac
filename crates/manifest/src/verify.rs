//! Verification: comparing the files with a manifest or another list.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rayon::prelude::*;
use retrace_files::{
    Algorithm, Checksum, FileError, Hashed, Progress, RegularFile, Root, Stamp, Unit, WalkEntry, Wanted, hash,
    hash_small_beneath, walk,
};
use retrace_spec::manifest::{Artifact, Tensors};
use retrace_spec::{Digest, Manifest, RelPath};
use serde::Serialize;

use crate::diagnose::diagnose;
use crate::distributed::tell_of_distributed;
use crate::nested::{Unknown, unfold};
use crate::record::SCRATCH;
use crate::resume::Resume;
use crate::sharded::{CheckpointFinding, may_be_of_checkpoint, of_directories, tell_of_resharding};
use crate::unlisted::{Told, Unlisted, is_sparse};

/// The result for a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The sealed bytes.
    Verified,
    /// Different bytes.
    Changed,
    /// Missing.
    Missing,
    /// Present, but not in the manifest.
    Extra,
    /// The bytes are those of a missing path.
    Renamed,
    /// Not checked: not covered according to the manifest, or not chosen.
    Skipped,
    /// It cannot be read, or is not a file.
    Unverifiable,
}

/// A path and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The path.
    pub path: RelPath,
    /// The verdict.
    pub verdict: Verdict,
    /// What probably happened, as a sentence; empty if nothing did.
    pub diagnosis: String,
    /// Other paths for which the manifest has these bytes: the previous name of a renamed file, the original of an
    /// extra copy, or the file whose content a changed file has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<RelPath>,
    /// For a changed file, its current length in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// For a changed file of weights, the tensors that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<String>,
}

/// The expected content of a file, from any source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Its path.
    pub path: RelPath,
    /// Its length in bytes, if known.
    pub size: Option<u64>,
    /// Its checksums: all must agree.
    pub checksums: Vec<Checksum>,
    /// The subtree values of its BLAKE3, if known.
    pub slices: Vec<Digest>,
    /// The expected digests of its tensors, if known.
    pub tensors: Option<Box<Tensors>>,
}

impl From<Artifact> for Expected {
    fn from(artifact: Artifact) -> Self {
        Self {
            path: artifact.path,
            size: Some(artifact.size),
            // Exports repeat what else the manifest states about the bytes, so that must be true too.
            checksums: std::iter::once(artifact.digest.into()).chain(artifact.sha256).collect(),
            slices: artifact.slices,
            // The index of a sharded checkpoint has a root over its tensors, and contains none itself.
            tensors: artifact.tensors.filter(|tensors| !tensors.digests.is_empty()),
        }
    }
}

impl From<&Artifact> for Expected {
    fn from(artifact: &Artifact) -> Self {
        artifact.clone().into()
    }
}

/// Which of the expected files are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    /// All, and any other file in the directory is reported.
    #[default]
    All,
    /// Only these; whether the others exist is not checked.
    Only(BTreeSet<RelPath>),
    /// Only these; it is still checked that the others exist, and that there are no additional files.
    Sample(BTreeSet<RelPath>),
}

impl Scope {
    fn has(&self, path: &RelPath) -> bool {
        match self {
            Self::All => true,
            Self::Only(chosen) | Self::Sample(chosen) => chosen.contains(path),
        }
    }
}

/// How to verify.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Which files are read.
    pub scope: Scope,
    /// Paths that the manifest does not cover.
    pub ignored: Vec<RelPath>,
    /// The manifest and the lists themselves, if they are below the root.
    pub own: Vec<RelPath>,
    /// Parts whose expected content is unknown. Each is a finding.
    pub unknown: Vec<Unknown>,
    /// Whether only some files are listed, so that others may exist.
    pub partial: bool,
    /// Whether links from a hub cache's snapshot into its `blobs` are followed.
    pub hub_cache: bool,
    /// Whether large files are read through a memory map.
    pub mapped: bool,
    /// The files that were verified before an interruption, and where to note those that are verified now.
    pub resume: Option<Arc<Resume>>,
}

/// Files that were hashed before the expected content was known.
#[derive(Debug)]
pub struct Ahead {
    there: Vec<WalkEntry>,
    /// For the first of them: length and plain BLAKE3, if it is a small file.
    hashed: Vec<Option<(u64, Digest)>>,
}

/// Files up to this length are hashed ahead: a larger one should use all threads.
const AHEAD: u64 = 1 << 20;

/// How long to hash ahead.
#[derive(Debug, Default)]
pub struct Until {
    /// The expected content is now known.
    pub known: AtomicBool,
    /// It will never be known, and the results are not needed.
    pub given_up: AtomicBool,
}

/// Lists the directory `root` and hashes small files in it for a limited time, while the caller reads a manifest. It
/// follows the same rules as [`verify_expected`].
///
/// # Errors
/// If the directory cannot be listed.
pub fn look_ahead(root: &Path, until: &Until) -> Result<Ahead, FileError> {
    let there = walk(root, &|_| until.given_up.load(Ordering::Relaxed))?;
    let opened = Root::open(root)?;
    let mut hashed = Vec::new();
    for found in &there {
        if until.known.load(Ordering::Relaxed) || until.given_up.load(Ordering::Relaxed) {
            break;
        }
        let file = match found {
            WalkEntry::File(path) => hash_small_beneath(&opened, path, AHEAD).ok().flatten(),
            _ => None,
        };
        hashed.push(file.map(|file| (file.size, file.digest)));
    }
    Ok(Ahead { there, hashed })
}

/// The results for all paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Sorted by path.
    pub entries: Vec<Entry>,
    /// Contradictions between files of a checkpoint, even though each file matches.
    pub checkpoints: Vec<CheckpointFinding>,
    /// Total length in bytes of the files that are verified, if the length of each is listed.
    #[serde(skip)]
    pub bytes: Option<u64>,
}

impl Verification {
    /// Whether every sealed artifact exists with its bytes, there is nothing else, and no checkpoint contradicts
    /// itself.
    pub fn holds(&self) -> bool {
        self.findings().next().is_none() && self.checkpoints.is_empty()
    }

    /// The entries that are findings.
    pub fn findings(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.is_finding())
    }

    /// The number of entries with each verdict.
    pub fn counts(&self) -> BTreeMap<Verdict, usize> {
        let mut counts = BTreeMap::new();
        for entry in &self.entries {
            *counts.entry(entry.verdict).or_insert(0) += 1;
        }
        counts
    }
}

/// Verifies the directory `root` against `manifest` and those of its parts. The manifest itself is at `manifest_path`,
/// if that is below the root. The check continues after findings.
///
/// # Errors
/// If the directory cannot be listed.
pub fn verify(
    manifest: &Manifest,
    root: &Path,
    manifest_path: Option<&RelPath>,
    progress: &dyn Progress,
) -> Result<Verification, FileError> {
    let (whole, unknown) = match unfold(manifest, root) {
        Some(unfolded) => (unfolded.manifest, unfolded.unknown),
        None => (manifest.clone(), Vec::new()),
    };
    let options = VerifyOptions {
        ignored: whole.ignored,
        own: manifest_path.cloned().into_iter().collect(),
        unknown,
        ..VerifyOptions::default()
    };
    let expected = whole.artifacts.into_iter().map(Expected::from).collect();
    verify_after(None, expected, root, &options, progress)
}

/// Verifies the directory `root` against `expected`. Everything in the scope is checked, also after findings; each
/// file is opened once, without following links.
///
/// # Errors
/// If the directory cannot be listed.
pub fn verify_expected(
    expected: &[Expected],
    root: &Path,
    options: &VerifyOptions,
    progress: &dyn Progress,
) -> Result<Verification, FileError> {
    verify_after(None, expected.to_vec(), root, options, progress)
}

/// As [`verify_expected`]; files that were found to match `ahead` are not read again.
///
/// # Errors
/// If the directory cannot be listed.
pub fn verify_after(
    ahead: Option<Ahead>,
    mut expected: Vec<Expected>,
    root: &Path,
    options: &VerifyOptions,
    progress: &dyn Progress,
) -> Result<Verification, FileError> {
    if !expected.is_sorted_by(|a, b| a.path < b.path) {
        expected.sort_by(|a, b| a.path.cmp(&b.path));
    }
    let Looked { said, others: mut entries, bytes } = look(ahead, &expected, root, options, progress)?;
    // There may be very many: each path is moved rather than copied.
    entries.reserve(expected.len());
    entries.extend(expected.into_iter().zip(said).filter_map(|(Expected { path, .. }, said)| said.entry(path)));
    entries.par_sort_by(|a, b| a.path.cmp(&b.path));
    let checkpoints = contradicting(&entries, root, options)?;
    Ok(Verification { entries, checkpoints, bytes })
}

/// Contradictions within checkpoints. Checkpoints with a file that is a finding, or was not chosen, are not checked.
fn contradicting(entries: &[Entry], root: &Path, options: &VerifyOptions) -> Result<Vec<CheckpointFinding>, FileError> {
    let mut directories: BTreeMap<Option<RelPath>, bool> = BTreeMap::new();
    for Entry { path, verdict, .. } in entries.iter().filter(|entry| may_be_of_checkpoint(&entry.path)) {
        let asked = match verdict {
            Verdict::Verified => true,
            Verdict::Skipped => !matches!(options.scope, Scope::Only(_)),
            _ => false,
        };
        *directories.entry(path.parent()).or_insert(true) &= asked;
    }
    directories.retain(|_, asked| *asked);
    if directories.is_empty() {
        return Ok(Vec::new());
    }
    let opened = if options.hub_cache { Root::open_snapshot(root)? } else { Root::open(root)? };
    Ok(of_directories(&opened, directories.into_keys()))
}

/// The entry of a listed file. There may be very many, most of them with little content.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    Verified,
    Missing,
    NotChosen,
    /// It is missing, and reported under its new name.
    Elsewhere,
    Told(Box<Entry>),
}

impl Said {
    fn told(entry: Entry) -> Self {
        Self::Told(Box::new(entry))
    }

    fn entry(self, path: RelPath) -> Option<Entry> {
        let (verdict, diagnosis) = match self {
            Self::Verified => (Verdict::Verified, ""),
            Self::Missing => (Verdict::Missing, "there is no such file"),
            Self::NotChosen => (Verdict::Skipped, "it was not selected"),
            Self::Elsewhere => return None,
            Self::Told(entry) => return Some(*entry),
        };
        Some(Entry { path, verdict, diagnosis: diagnosis.to_owned(), was: None, size: None, tensors: Vec::new() })
    }

    /// The entry of the file at `path`, for additions; `None` if there is no entry for this path.
    pub(crate) fn as_entry(&mut self, path: &RelPath) -> Option<&mut Entry> {
        if !matches!(self, Self::Told(_)) {
            *self = Self::told(self.clone().entry(path.clone())?);
        }
        match self {
            Self::Told(entry) => Some(entry),
            _ => None,
        }
    }
}

/// The results of checking.
struct Looked {
    /// For each expected file.
    said: Vec<Said>,
    /// For all other paths.
    others: Vec<Entry>,
    /// Total length in bytes of what is verified, if the length of each file is listed.
    bytes: Option<u64>,
}

/// Checks everything. `expected` is sorted by path.
fn look(
    ahead: Option<Ahead>,
    expected: &[Expected],
    root: &Path,
    options: &VerifyOptions,
    progress: &dyn Progress,
) -> Result<Looked, FileError> {
    // Another tool's list may include our records.
    let records: Option<RelPath> =
        SCRATCH.parse().ok().filter(|records| !expected.iter().any(|entry| entry.path.is_within(records)));
    let skipped: BTreeSet<&str> = options.ignored.iter().chain(&records).map(RelPath::as_str).collect();
    let Ahead { there, hashed } = match ahead {
        Some(ahead) => ahead,
        None => Ahead { there: walk(root, &|path| skipped.contains(path.as_str()))?, hashed: Vec::new() },
    };
    let opened = if options.hub_cache { Root::open_snapshot(root)? } else { Root::open(root)? };
    // Why a file that was found is not read, if it is not.
    let refused = |found: &WalkEntry| match found {
        WalkEntry::File(_) => None,
        WalkEntry::Special(path) if opened.follows(path) => None,
        WalkEntry::Special(_) => Some("it is a symbolic link or a special file, which is not followed".to_owned()),
        WalkEntry::Refused { what, .. } => Some(what.clone()),
    };
    let is_skipped =
        |found: &WalkEntry| !skipped.is_empty() && found.path().ancestors().any(|path| skipped.contains(path));
    let (listed, unlisted) = pair(expected, &there, &is_skipped);
    let wanted_extras = !options.partial && !matches!(options.scope, Scope::Only(_));
    let unknown: BTreeSet<&str> = options.unknown.iter().map(|unknown| unknown.at.as_str()).collect();
    let of_unknown = |path: &RelPath| !unknown.is_empty() && path.ancestors().any(|path| unknown.contains(path));
    // The other paths where a content is expected: computed only if something does not match.
    let by_checksum = LazyLock::new(|| {
        // By one thread: a worker that waits for others may receive a task that needs this same list.
        let all = expected.iter().flat_map(|entry| entry.checksums.iter().map(|sum| (sum, &entry.path)));
        let mut all: Vec<(&Checksum, &RelPath)> = all.collect();
        all.sort_unstable();
        all
    });
    let places = |checksum: &Checksum| {
        let begin = by_checksum.partition_point(|(known, _)| *known < checksum);
        let end = by_checksum.partition_point(|(known, _)| *known <= checksum);
        by_checksum.get(begin..end).unwrap_or_default()
    };

    let closed: BTreeMap<&str, String> =
        there.iter().filter_map(|found| Some((found.path().as_str(), refused(found)?))).collect();
    let mut extras = Unlisted::new(expected, &opened);
    let mut told = Vec::new();
    for found in unlisted.iter().filter_map(|at| there.get(*at)) {
        let path = found.path();
        match refused(found) {
            // The manifest, its signature and the lists themselves. A directory with such a name is checked like any
            // other.
            _ if options.own.contains(path) => {}
            Some(diagnosis) if wanted_extras => told.push(entry(path, Verdict::Unverifiable, diagnosis)),
            Some(_) => {}
            // An unlisted file is read only if it is a finding.
            None if wanted_extras && !of_unknown(path) => extras.add(path),
            None if of_unknown(path) => {
                told.push(entry(path, Verdict::Skipped, "it is in a part whose manifest could not be used".to_owned()));
            }
            None => told.push(entry(path, Verdict::Skipped, "it is not listed".to_owned())),
        }
    }

    let noted: Mutex<Option<FileError>> = Mutex::new(None);
    let length = |path: &RelPath| path.under(root).metadata().map_or(0, |file| file.len());
    let chosen = expected.iter().zip(&listed).filter(|(entry, at)| at.is_some() && options.scope.has(&entry.path));
    let lengths = chosen.map(|(entry, _)| entry.size.unwrap_or_else(|| length(&entry.path)));
    // Numbers in a manifest can have any value.
    let total = lengths.fold(extras.to_read(), u64::saturating_add);
    progress.begin("verifying", total, Unit::Bytes);
    let read = |wanted: &Expected, at: usize| {
        // Files that were found ahead to match are not read again; others are read completely, to find out what is
        // wrong with them.
        if let Some((size, digest)) = hashed.get(at).copied().flatten()
            && wanted.checksums == [Checksum::from(digest)]
            && wanted.size.is_none_or(|wanted| wanted == size)
        {
            progress.advance(size);
            return Said::Verified;
        }
        let file = match opened.file(&wanted.path) {
            Ok(file) => file,
            Err(error) => return Said::told(entry(&wanted.path, Verdict::Unverifiable, error.to_string())),
        };
        if let Some(resume) = &options.resume
            && resume.knows(&wanted.path, Stamp::of(file.metadata()))
        {
            progress.advance(file.size());
            return Said::Verified;
        }
        let (said, stamp) = check(wanted, &file, &opened, options.mapped, &places, progress);
        // Files verified with a weak checksum are not noted, so that the weakness is reported each time.
        if let (Some(resume), Some(stamp), Said::Verified) = (&options.resume, stamp, &said)
            && let Err(error) = resume.note(&wanted.path, stamp)
        {
            noted.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        said
    };
    let said: Vec<Said> = expected
        .par_iter()
        .zip(&listed)
        .map(|(wanted, at)| {
            let path = &wanted.path;
            let chosen = options.scope.has(path);
            let found = at.and_then(|at| Some((at, there.get(at)?)));
            match (found.map(|(at, found)| (at, refused(found))), chosen) {
                (Some((_, Some(diagnosis))), chosen) if chosen || wanted_extras => {
                    Said::told(entry(path, Verdict::Unverifiable, diagnosis))
                }
                (Some((at, _)), true) => read(wanted, at),
                (None, chosen) if chosen || matches!(options.scope, Scope::Sample(_)) => {
                    // Files behind a link, or in a directory that cannot be listed, may exist.
                    let behind = path.ancestors().find_map(|above| Some((above, closed.get(above)?)));
                    match behind {
                        Some((above, why)) => {
                            let diagnosis = format!("it cannot be opened: {above}: {why}");
                            Said::told(entry(path, Verdict::Unverifiable, diagnosis))
                        }
                        None => Said::Missing,
                    }
                }
                (_, _) => Said::NotChosen,
            }
        })
        .collect();
    let algorithms: BTreeSet<Algorithm> = match extras.is_empty() {
        true => BTreeSet::new(),
        false => expected.iter().flat_map(|entry| &entry.checksums).map(Checksum::algorithm).collect(),
    };
    let algorithms: Vec<Algorithm> = algorithms.into_iter().collect();
    let hashed = extras.hash(Wanted { checksums: &algorithms, mapped: options.mapped, tensors: false }, progress);
    progress.end();
    if let Some(error) = noted.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }

    let good = |said: &Said| match said {
        Said::Verified => true,
        Said::Told(entry) => entry.verdict == Verdict::Verified,
        _ => false,
    };
    let mut sizes = expected.iter().zip(&said).filter(|(_, said)| good(said)).map(|(entry, _)| entry.size);
    let bytes = sizes.try_fold(0, |sum: u64, size| sum.checked_add(size?));
    let mut findings = Told::new(expected, said);
    for (extra, hashed) in hashed {
        findings.extra(&extra, hashed, &places);
    }
    let (mut said, mut entries) = findings.finish();
    tell_of_resharding(expected, &opened, &mut said, &mut entries);
    tell_of_distributed(expected, &opened, &mut said, &mut entries);
    entries.append(&mut told);
    entries.extend(options.unknown.iter().map(|Unknown { at, why }| entry(at, Verdict::Unverifiable, why.clone())));
    let scratch = records.iter().map(|path| (path, "it is not part of the release"));
    let ignored = options.ignored.iter().map(|path| {
        (path, "it is not covered: the manifest leaves it out, or it is the signature or the records of a part")
    });
    // Never in place of a finding: if a manifest both seals and ignores a path, the path is still expected.
    let promised = |path: &RelPath| expected.binary_search_by(|entry| entry.path.cmp(path)).is_ok();
    let ignored = ignored.chain(scratch).filter(|(path, _)| path.under(root).exists() && !promised(path));
    entries.extend(ignored.map(|(path, diagnosis)| entry(path, Verdict::Skipped, diagnosis.to_owned())));
    Ok(Looked { said, others: entries, bytes })
}

/// For each expected file, which of the existing files it is; and the existing files that are not expected. Both are
/// sorted by path.
fn pair(
    expected: &[Expected],
    there: &[WalkEntry],
    skipped: &dyn Fn(&WalkEntry) -> bool,
) -> (Vec<Option<usize>>, Vec<usize>) {
    let (mut listed, mut unlisted) = (Vec::with_capacity(expected.len()), Vec::new());
    let mut found = there.iter().enumerate().filter(|(_, found)| !skipped(found)).peekable();
    for wanted in expected {
        while let Some((at, _)) = found.next_if(|(_, found)| *found.path() < wanted.path) {
            unlisted.push(at);
        }
        listed.push(found.next_if(|(_, found)| *found.path() == wanted.path).map(|(at, _)| at));
    }
    unlisted.extend(found.map(|(at, _)| at));
    (listed, unlisted)
}

impl Entry {
    /// Whether something does not match, or could not be checked.
    pub const fn is_finding(&self) -> bool {
        !matches!(self.verdict, Verdict::Verified | Verdict::Skipped)
    }
}

pub(crate) fn entry(path: &RelPath, verdict: Verdict, diagnosis: String) -> Entry {
    Entry { path: path.clone(), verdict, diagnosis, was: None, size: None, tensors: Vec::new() }
}

/// The other paths where the content of a checksum is listed.
pub(crate) type TensorLocations<'a> = dyn Fn(&Checksum) -> &'a [(&'a Checksum, &'a RelPath)] + Sync + 'a;

/// The entry of an existing file below `root`, open as `file`.
fn check<'a>(
    wanted: &Expected,
    file: &RegularFile,
    root: &Root,
    mapped: bool,
    places: &TensorLocations<'a>,
    progress: &dyn Progress,
) -> (Said, Option<Stamp>) {
    let path = &wanted.path;
    if let Some(length) = wanted.size.filter(|length| !is_worth_reading(file, *length)) {
        let size = file.size();
        let what = format!("it has {size} bytes and should have {length}, and was not read");
        return (Said::told(Entry { size: Some(size), ..entry(path, Verdict::Changed, what) }), None);
    }
    let algorithms: Vec<Algorithm> = wanted.checksums.iter().map(Checksum::algorithm).collect();
    match hash(file, Wanted { checksums: &algorithms, mapped, tensors: false }, progress) {
        Ok(hashed) => (judge(wanted, root, &hashed, places), hashed.stamp),
        Err(error) => (Said::told(entry(path, Verdict::Unverifiable, error.to_string())), None),
    }
}

/// Whether a file is read that should have `length` bytes. If its length is different it is changed in any case, and
/// is read only to diagnose how.
fn is_worth_reading(file: &RegularFile, length: u64) -> bool {
    const MORE: u64 = 64 << 20;
    let most = length.saturating_add(length.max(MORE));
    file.size() == length || (file.size() <= most && !is_sparse(file.metadata()))
}

/// The entry of a file that was read.
fn judge<'a>(wanted: &Expected, root: &Root, hashed: &Hashed, places: &TensorLocations<'a>) -> Said {
    let path = &wanted.path;
    let Hashed { size, checksums, .. } = hashed;
    let disagreeing: Vec<_> =
        wanted.checksums.iter().zip(checksums).filter(|(wanted, found)| wanted != found).map(|(w, _)| w).collect();
    if disagreeing.is_empty() && wanted.size.is_none_or(|wanted| wanted == *size) {
        let (verdict, diagnosis) = match wanted.checksums.iter().any(|checksum| checksum.algorithm().is_strong()) {
            true => return Said::Verified,
            false if wanted.checksums.is_empty() => {
                let diagnosis = match wanted.size {
                    Some(_) => "it has the listed length, but no checksum is listed",
                    None => "no checksum and no length are listed, so its content was not checked",
                };
                (Verdict::Unverifiable, diagnosis.to_owned())
            }
            false => {
                let weak: Vec<_> = checksums.iter().map(|checksum| checksum.algorithm().name()).collect();
                (Verdict::Verified, format!("only by {}, which can be forged", weak.join(" and ")))
            }
        };
        return Said::told(entry(path, verdict, diagnosis));
    }
    let mut changed = Entry { size: Some(*size), ..entry(path, Verdict::Changed, String::new()) };
    if let (true, false, Some(listed)) = (disagreeing.is_empty(), wanted.checksums.is_empty(), wanted.size) {
        changed.diagnosis = format!(
            "the list contradicts itself: the checksum matches, but the file has {size} bytes and {listed} are listed"
        );
        return Said::told(changed);
    }
    if !disagreeing.is_empty() && disagreeing.len() < wanted.checksums.len() {
        let told: Vec<_> = disagreeing.iter().map(|checksum| checksum.algorithm().name()).collect();
        changed.diagnosis = format!("the list contradicts itself: some checksums match, but not {}", told.join(", "));
        return Said::told(changed);
    }
    let elsewhere = |found| places(found).iter().map(|(_, other)| *other).find(|other| *other != path);
    let other = checksums.iter().find_map(elsewhere);
    changed.was = other.cloned();
    (changed.diagnosis, changed.tensors) = match other {
        Some(other) => (format!("it has the content of {other}"), Vec::new()),
        None => diagnose(root, wanted, hashed),
    };
    Said::told(changed)
}

//! Verifying: what lies there against what a manifest or another list says.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rayon::prelude::*;
use retrace_files::{
    Algorithm, Checksum, FileError, Found, Hashed, Progress, Root, Stamp, Unit, Wanted, file_tensors, hash_beneath,
    hash_small_beneath, walk,
};
use retrace_spec::manifest::{Artifact, Tensors};
use retrace_spec::{Digest, Manifest, RelPath};
use serde::Serialize;
use unicode_normalization::UnicodeNormalization;

use crate::diagnose::diagnose;
use crate::record::SCRATCH;
use crate::resume::Resume;
use crate::seal::is_safetensors;

/// What is said of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The bytes are the sealed ones.
    Verified,
    /// Other bytes.
    Changed,
    /// Not there.
    Missing,
    /// There, but not in the manifest.
    Extra,
    /// The bytes are those of a missing path.
    Renamed,
    /// Not looked at: not covered, as the manifest says, or not chosen.
    Skipped,
    /// It cannot be read, or is not a file.
    Unverifiable,
}

/// One path and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The path.
    pub path: RelPath,
    /// The verdict.
    pub verdict: Verdict,
    /// In a sentence, what seems to have happened; empty if nothing has.
    pub diagnosis: String,
    /// Where the manifest has these bytes, if elsewhere: what a renamed file was, what an extra one
    /// is a copy of, whose content a changed one holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub was: Option<RelPath>,
    /// For a changed file, its length now, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// For a changed safetensors file, the tensors that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tensors: Vec<String>,
}

/// What a file should be, whoever says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Where it should lie.
    pub path: RelPath,
    /// Its length in bytes, if that is said.
    pub size: Option<u64>,
    /// Its checksums: all must agree.
    pub checksums: Vec<Checksum>,
    /// The subtree values of its BLAKE3, if they are said.
    pub slices: Vec<Digest>,
    /// What its tensors should be, if that is said.
    pub tensors: Option<Tensors>,
}

impl From<&Artifact> for Expected {
    fn from(artifact: &Artifact) -> Self {
        Self {
            path: artifact.path.clone(),
            size: Some(artifact.size),
            checksums: vec![artifact.digest.into()],
            slices: artifact.slices.clone(),
            // The index of a sharded checkpoint has a root over them, and holds none itself.
            tensors: artifact.tensors.clone().filter(|tensors| !tensors.digests.is_empty()),
        }
    }
}

/// Which of the expected files are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    /// All, and whatever else lies there is told.
    #[default]
    All,
    /// These alone; whether the others are there is not asked.
    Only(BTreeSet<RelPath>),
    /// These alone; that the others are there, and nothing else is, is checked still.
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
    /// Paths that are not covered, as the manifest says.
    pub ignored: Vec<RelPath>,
    /// The manifest and the lists themselves, where they lie below the root.
    pub own: Vec<RelPath>,
    /// Directories of which it is not known what should lie there.
    pub unknown: Vec<RelPath>,
    /// Whether only some files are listed, so that others may lie there.
    pub partial: bool,
    /// Whether links from a hub cache's snapshot into its `blobs` are followed.
    pub hub_cache: bool,
    /// Whether large files are read through a memory map.
    pub mapped: bool,
    /// What was verified before an interruption, and where to note what is verified now.
    pub resume: Option<Arc<Resume>>,
}

/// What was looked at before it was known what should be there.
#[derive(Debug)]
pub struct Ahead {
    there: Vec<Found>,
    /// Plain BLAKE3 alone.
    hashed: HashMap<RelPath, Hashed>,
}

/// Files up to this length are hashed ahead: a larger one is worth all threads.
const AHEAD: u64 = 1 << 20;

/// For how long to look ahead.
#[derive(Debug, Default)]
pub struct Until {
    /// It is known by now what should be there.
    pub known: AtomicBool,
    /// It will never be, and nothing that is found is asked for.
    pub given_up: AtomicBool,
}

/// Lists what lies below `root` and hashes small files of it for a while: for one who has to read a
/// manifest meanwhile. What this finds is found by the same rules as [`verify_expected`]'s own look.
///
/// # Errors
/// If the directory cannot be listed.
pub fn look_ahead(root: &Path, until: &Until) -> Result<Ahead, FileError> {
    let there = walk(root, &|_| until.given_up.load(Ordering::Relaxed))?;
    let opened = Root::open(root)?;
    let mut hashed = HashMap::new();
    for found in &there {
        if until.known.load(Ordering::Relaxed) || until.given_up.load(Ordering::Relaxed) {
            break;
        }
        if let Found::File(path) = found
            && let Ok(Some(file)) = hash_small_beneath(&opened, path, AHEAD)
        {
            hashed.insert(path.clone(), file);
        }
    }
    Ok(Ahead { there, hashed })
}

/// What is said of every path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Sorted by path.
    pub entries: Vec<Entry>,
}

impl Verification {
    /// Whether every sealed artifact is there with its bytes, and nothing else.
    pub fn holds(&self) -> bool {
        self.findings().next().is_none()
    }

    /// The entries that are findings.
    pub fn findings(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !matches!(entry.verdict, Verdict::Verified | Verdict::Skipped))
    }

    /// How many entries have each verdict.
    pub fn counts(&self) -> BTreeMap<Verdict, usize> {
        let mut counts = BTreeMap::new();
        for entry in &self.entries {
            *counts.entry(entry.verdict).or_insert(0) += 1;
        }
        counts
    }
}

/// Verifies what lies below `root` against `manifest`, which itself lies at `manifest_path`, if that
/// is below the root. Everything is looked at, whatever is found on the way.
///
/// # Errors
/// If the directory cannot be listed.
pub fn verify(
    manifest: &Manifest,
    root: &Path,
    manifest_path: Option<&RelPath>,
    progress: &dyn Progress,
) -> Result<Verification, FileError> {
    let expected: Vec<Expected> = manifest.artifacts.iter().map(Expected::from).collect();
    let options = VerifyOptions {
        ignored: manifest.ignored.clone(),
        own: manifest_path.cloned().into_iter().collect(),
        ..VerifyOptions::default()
    };
    verify_expected(&expected, root, &options, progress)
}

/// Verifies what lies below `root` against `expected`, sorted by path. Everything in the scope is
/// looked at, whatever is found on the way; each file is opened once, through no link.
///
/// # Errors
/// If the directory cannot be listed.
pub fn verify_expected(
    expected: &[Expected],
    root: &Path,
    options: &VerifyOptions,
    progress: &dyn Progress,
) -> Result<Verification, FileError> {
    verify_after(None, expected, root, options, progress)
}

/// As [`verify_expected`]; what was found `ahead` to be as expected is not looked at again.
///
/// # Errors
/// If the directory cannot be listed.
pub fn verify_after(
    ahead: Option<Ahead>,
    expected: &[Expected],
    root: &Path,
    options: &VerifyOptions,
    progress: &dyn Progress,
) -> Result<Verification, FileError> {
    // Another tool's list may have taken our records in.
    let records: Option<RelPath> =
        SCRATCH.parse().ok().filter(|records| !expected.iter().any(|entry| entry.path.is_within(records)));
    let by_path: BTreeMap<&RelPath, &Expected> = expected.iter().map(|entry| (&entry.path, entry)).collect();
    // A list may itself be sealed, and is then looked at like any other file.
    let own = options.own.iter().filter(|path| !by_path.contains_key(path));
    let skipped: Vec<&RelPath> = own.chain(&options.ignored).chain(&records).collect();
    let (there, hashed_ahead) = match ahead {
        Some(Ahead { mut there, hashed }) => {
            there.retain(|found| !skipped.iter().any(|skipped| found.path().is_within(skipped)));
            (there, hashed)
        }
        None => (walk(root, &|path| skipped.contains(&path))?, HashMap::new()),
    };
    let links = if options.hub_cache { hub_links(root, &there) } else { BTreeMap::new() };
    let files: BTreeSet<&RelPath> = there
        .iter()
        .filter(|found| matches!(found, Found::File(_)) || links.contains_key(found.path()))
        .map(Found::path)
        .collect();
    let opened = Root::open(root)?;
    let blobs = links.values().next().map(|(blobs, _)| Root::open(blobs)).transpose()?;
    // Where a file is read: below the root, or in the hub cache's blobs.
    let place = |path: &RelPath| match (links.get(path), &blobs) {
        (Some((_, name)), Some(blobs)) => (blobs, name.clone()),
        _ => (&opened, path.clone()),
    };
    // A file that nobody lists is read only where its being there is a finding.
    let unknown = |path: &RelPath| options.unknown.iter().any(|directory| path.is_within(directory));
    let wanted_extras = !options.partial && !matches!(options.scope, Scope::Only(_));
    let (extras, others): (Vec<&RelPath>, Vec<&RelPath>) = files
        .iter()
        .copied()
        .filter(|path| !by_path.contains_key(path))
        .partition(|path| wanted_extras && !unknown(path));
    let mut algorithms: Vec<Algorithm> =
        expected.iter().flat_map(|entry| &entry.checksums).map(Checksum::algorithm).collect();
    algorithms.sort();
    algorithms.dedup();
    // Where else a content is expected: asked only when something is not as it should be.
    let listed = LazyLock::new(|| {
        let mut listed: BTreeMap<&Checksum, Vec<&RelPath>> = BTreeMap::new();
        for entry in expected {
            for checksum in &entry.checksums {
                listed.entry(checksum).or_default().push(&entry.path);
            }
        }
        listed
    });
    let places = |checksum: &Checksum| listed.get(checksum).map_or(&[][..], Vec::as_slice);

    let noted: Mutex<Option<FileError>> = Mutex::new(None);
    let length = |path: &RelPath| {
        let (root, path) = place(path);
        path.under(root.path()).metadata().map_or(0, |file| file.len())
    };
    let read = expected.iter().filter(|entry| options.scope.has(&entry.path) && files.contains(&entry.path));
    let total: u64 = read.map(|entry| entry.size.unwrap_or_else(|| length(&entry.path))).sum();
    progress.begin("verifying", total + extras.iter().map(|path| length(path)).sum::<u64>(), Unit::Bytes);
    let look = |wanted: &Expected, at: RelPath, root: &Root, ahead: Option<&Hashed>| {
        let Some(resume) = &options.resume else {
            return check(wanted, (root, at, options.mapped), ahead, &places, progress).0;
        };
        if let Ok(file) = root.file(&at)
            && resume.knows(&wanted.path, Stamp::of(file.metadata()))
        {
            progress.advance(file.size());
            return entry(&wanted.path, Verdict::Verified, String::new());
        }
        let (checked, stamp) = check(wanted, (root, at, options.mapped), ahead, &places, progress);
        // Of what is verified weakly a note is taken each time.
        if let Some(stamp) = stamp.filter(|_| checked.verdict == Verdict::Verified && checked.diagnosis.is_empty())
            && let Err(error) = resume.note(&wanted.path, stamp)
        {
            noted.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        checked
    };
    let checked: Vec<Entry> = expected
        .par_iter()
        .map(|wanted| {
            let path = &wanted.path;
            match (files.contains(path), options.scope.has(path)) {
                (true, true) => {
                    let (root, at) = place(path);
                    look(wanted, at, root, hashed_ahead.get(path))
                }
                (false, true) => entry(path, Verdict::Missing, "it is not there".to_owned()),
                (false, false) if matches!(options.scope, Scope::Sample(_)) => {
                    entry(path, Verdict::Missing, "it is not there".to_owned())
                }
                (_, false) => entry(path, Verdict::Skipped, "it was not chosen".to_owned()),
            }
        })
        .collect();
    let hashed: Vec<_> = extras
        .into_par_iter()
        .map(|path| {
            let (root, at) = place(path);
            let wanted = Wanted { checksums: &algorithms, mapped: options.mapped, tensors: false };
            (path, hash_beneath(root, &at, wanted, progress))
        })
        .collect();
    progress.end();
    if let Some(error) = noted.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }

    let mut entries: BTreeMap<RelPath, Entry> = checked.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
    for (path, hashed) in hashed {
        let entry = match hashed {
            Ok(hashed) => {
                let same = hashed.checksums.iter().map(places).find(|paths| !paths.is_empty());
                extra(path, same.unwrap_or_default(), &mut entries)
            }
            Err(error) => entry(path, Verdict::Unverifiable, error.to_string()),
        };
        entries.insert(path.clone(), entry);
    }
    for path in others {
        let what = match unknown(path) {
            true => "it belongs to a part whose manifest is not the sealed one",
            false => "nothing is said of it",
        };
        entries.insert(path.clone(), entry(path, Verdict::Skipped, what.to_owned()));
    }
    for found in &there {
        let (path, diagnosis) = match found {
            Found::File(_) => continue,
            found if links.contains_key(found.path()) => continue,
            Found::Special(path) => (path, "it is a symbolic link or a special file, which is not followed".to_owned()),
            Found::Refused { path, what } => (path, what.clone()),
        };
        if wanted_extras || (by_path.contains_key(path) && options.scope.has(path)) {
            entries.insert(path.clone(), entry(path, Verdict::Unverifiable, diagnosis));
        }
    }
    let scratch = records.into_iter().map(|path| (path, "it is not part of the release"));
    let said = options.ignored.iter().map(|path| (path.clone(), "the manifest does not cover it, and says so"));
    for (path, diagnosis) in said.chain(scratch).filter(|(path, _)| path.under(root).exists()) {
        // Never in place of a finding: a manifest that seals a path and ignores it promises it still.
        entries.entry(path.clone()).or_insert_with(|| entry(&path, Verdict::Skipped, diagnosis.to_owned()));
    }
    name_twins(&mut entries);
    tell_of_resharding(expected, &opened, &mut entries);
    Ok(Verification { entries: entries.into_values().collect() })
}

fn entry(path: &RelPath, verdict: Verdict, diagnosis: String) -> Entry {
    Entry { path: path.clone(), verdict, diagnosis, was: None, size: None, tensors: Vec::new() }
}

/// The links of a hub cache's snapshot: `blobs` beside `snapshots`, and the name there. Any other
/// link is none of these, and is not followed.
fn hub_links(root: &Path, there: &[Found]) -> BTreeMap<RelPath, (PathBuf, RelPath)> {
    let mut links = BTreeMap::new();
    // DIR is snapshots/REVISION, so the blobs lie two levels up.
    let Some(blobs) = root.canonicalize().ok().and_then(|root| Some(root.parent()?.parent()?.join("blobs"))) else {
        return links;
    };
    for path in there.iter().filter(|found| matches!(found, Found::Special(_))).map(Found::path) {
        let on_disk = path.under(root);
        let target =
            std::fs::read_link(&on_disk).ok().and_then(|target| on_disk.parent()?.join(target).canonicalize().ok());
        let name = target.as_deref().filter(|target| target.parent() == Some(&blobs)).and_then(Path::file_name);
        if let Some(Ok(name)) = name.and_then(|name| name.to_str()).map(str::parse) {
            links.insert(path.clone(), (blobs.clone(), name));
        }
    }
    links
}

/// A file that nobody lists, whose bytes are listed at `same`. If one of those is missing, it was
/// renamed, and what was missing is told as that: once, under its new name.
fn extra(path: &RelPath, same: &[&RelPath], entries: &mut BTreeMap<RelPath, Entry>) -> Entry {
    let missing = |old: &&&RelPath| entries.get(**old).is_some_and(|entry| entry.verdict == Verdict::Missing);
    if let Some(old) = same.iter().find(missing).copied() {
        entries.remove(old);
        let how = match twin(old, path) {
            Some(how) => format!("it was {old}: {how}"),
            None => format!("it was {old}"),
        };
        return Entry { was: Some(old.clone()), ..entry(path, Verdict::Renamed, how) };
    }
    let Some(original) = same.first() else {
        let unfinished = [".incomplete", ".part", ".partial", ".tmp", ".crdownload", ".aria2"];
        let diagnosis = match unfinished.iter().find(|ending| path.as_str().ends_with(**ending)) {
            Some(ending) => format!("the manifest does not have it; {ending} is how unfinished downloads are called"),
            None => "the manifest does not have it".to_owned(),
        };
        return entry(path, Verdict::Extra, diagnosis);
    };
    let diagnosis = format!("it is a copy of {original}, and the manifest does not have it");
    Entry { was: Some((*original).clone()), ..entry(path, Verdict::Extra, diagnosis) }
}

/// How two names are one name for some systems.
fn twin(a: &RelPath, b: &RelPath) -> Option<&'static str> {
    let composed = |path: &RelPath| path.as_str().nfc().collect::<String>();
    if composed(a) == composed(b) {
        return Some("only the Unicode form of its name differs");
    }
    (composed(a).to_lowercase() == composed(b).to_lowercase()).then_some("only the case of its name differs")
}

/// A missing file and one of other bytes under what is nearly its name are told of each other.
fn name_twins(entries: &mut BTreeMap<RelPath, Entry>) {
    let of = |verdict| entries.values().filter(move |e| e.verdict == verdict).map(|e| e.path.clone());
    let key = |path: &RelPath| path.as_str().nfc().collect::<String>().to_lowercase();
    let extras: BTreeMap<String, RelPath> = of(Verdict::Extra).map(|path| (key(&path), path)).collect();
    let twins: Vec<_> =
        of(Verdict::Missing).filter_map(|path| Some((extras.get(&key(&path))?.clone(), path))).collect();
    for (there, missing) in twins {
        let Some(how) = twin(&there, &missing) else { continue };
        if let Some(entry) = entries.get_mut(&missing) {
            entry.diagnosis = format!("it is not there, but {there} is, with other bytes: {how}");
        }
    }
}

/// What is said of a file that is there, read at `at` below `root`.
fn check<'a>(
    wanted: &Expected,
    (root, at, mapped): (&Root, RelPath, bool),
    ahead: Option<&Hashed>,
    places: &(dyn Fn(&Checksum) -> &'a [&'a RelPath] + Sync),
    progress: &dyn Progress,
) -> (Entry, Option<Stamp>) {
    let path = &wanted.path;
    if let Some(Hashed { size, digest, stamp, .. }) = ahead
        && wanted.checksums == [Checksum::from(*digest)]
        && wanted.size.is_none_or(|wanted| wanted == *size)
    {
        progress.advance(*size);
        return (entry(path, Verdict::Verified, String::new()), *stamp);
    }
    // Anything else is looked at in full, to tell what is wrong with it.
    let algorithms: Vec<Algorithm> = wanted.checksums.iter().map(Checksum::algorithm).collect();
    match hash_beneath(root, &at, Wanted { checksums: &algorithms, mapped, tensors: false }, progress) {
        Ok(hashed) => (judge(wanted, at, root, &hashed, places), hashed.stamp),
        Err(error) => (entry(path, Verdict::Unverifiable, error.to_string()), None),
    }
}

/// What is said of a file that was read.
fn judge<'a>(
    wanted: &Expected,
    at: RelPath,
    root: &Root,
    hashed: &Hashed,
    places: &(dyn Fn(&Checksum) -> &'a [&'a RelPath] + Sync),
) -> Entry {
    let path = &wanted.path;
    let Hashed { size, checksums, .. } = hashed;
    let disagreeing: Vec<_> =
        wanted.checksums.iter().zip(checksums).filter(|(wanted, found)| wanted != found).map(|(w, _)| w).collect();
    if disagreeing.is_empty() && wanted.size.is_none_or(|wanted| wanted == *size) {
        return match wanted.checksums.iter().any(|checksum| checksum.algorithm().is_strong()) {
            true => entry(path, Verdict::Verified, String::new()),
            false if wanted.checksums.is_empty() => {
                let diagnosis = "it has the length that it should have, but no checksum is listed".to_owned();
                entry(path, Verdict::Unverifiable, diagnosis)
            }
            false => {
                let weak: Vec<_> = checksums.iter().map(|checksum| checksum.algorithm().name()).collect();
                entry(path, Verdict::Verified, format!("by {} alone, which can be forged", weak.join(" and ")))
            }
        };
    }
    let mut changed = Entry { size: Some(*size), ..entry(path, Verdict::Changed, String::new()) };
    if let (true, false, Some(listed)) = (disagreeing.is_empty(), wanted.checksums.is_empty(), wanted.size) {
        changed.diagnosis = format!(
            "what is listed contradicts itself: the bytes agree with the checksum, but are {size}, not the {listed} that are listed"
        );
        return changed;
    }
    if !disagreeing.is_empty() && disagreeing.len() < wanted.checksums.len() {
        let told: Vec<_> = disagreeing.iter().map(|checksum| checksum.algorithm().name()).collect();
        changed.diagnosis = format!(
            "what is listed contradicts itself: the bytes agree with some checksums, not with {}",
            told.join(", ")
        );
        return changed;
    }
    let other = checksums.iter().find_map(|found| places(found).iter().find(|other| **other != path));
    changed.was = other.map(|other| (*other).clone());
    (changed.diagnosis, changed.tensors) = match other {
        Some(other) => (format!("it holds the content of {other}"), Vec::new()),
        None => diagnose((root, &at), wanted, hashed),
    };
    changed
}

/// Where the files of a checkpoint were cut otherwise, every tensor being the sealed one, says so.
fn tell_of_resharding(expected: &[Expected], opened: &Root, entries: &mut BTreeMap<RelPath, Entry>) {
    let mut sealed: BTreeMap<RelPath, BTreeMap<&String, Digest>> = BTreeMap::new();
    for wanted in expected {
        if let (Some(directory), Some(tensors)) = (wanted.path.parent(), &wanted.tensors) {
            sealed.entry(directory).or_default().extend(tensors.digests.iter().map(|(name, digest)| (name, *digest)));
        }
    }
    for (directory, sealed) in sealed {
        let inside = |path: &RelPath| path.parent().as_ref() == Some(&directory) && is_safetensors(path);
        let differing: Vec<RelPath> = entries
            .values()
            .filter(|entry| inside(&entry.path) && !matches!(entry.verdict, Verdict::Verified | Verdict::Skipped))
            .map(|entry| entry.path.clone())
            .collect();
        // One file that holds other tensors, or none that could hold the missing ones: not this.
        if differing.len() < 2 {
            continue;
        }
        let there = entries.values().filter(|entry| inside(&entry.path) && entry.verdict != Verdict::Missing);
        let mut found: BTreeMap<String, Digest> = BTreeMap::new();
        let mut whole = true;
        for path in there.map(|entry| &entry.path) {
            match opened.file(path).and_then(|file| file_tensors(&file, path.file_name())) {
                Ok(Some(tensors)) => {
                    for (name, digest) in tensors.digests {
                        whole &= found.insert(name, digest).is_none();
                    }
                }
                _ => whole = false,
            }
        }
        if whole && found.len() == sealed.len() && sealed.iter().all(|(name, digest)| found.get(*name) == Some(digest))
        {
            for path in differing {
                if let Some(entry) = entries.get_mut(&path) {
                    let told =
                        format!("yet every tensor in {directory} is the sealed one: they were only sharded anew");
                    entry.diagnosis = match entry.verdict {
                        Verdict::Missing => format!("it is not there, {told}"),
                        Verdict::Extra => format!("the manifest does not have it, {told}"),
                        _ => format!("its bytes are others, {told}"),
                    };
                    entry.tensors.clear();
                }
            }
        }
    }
}

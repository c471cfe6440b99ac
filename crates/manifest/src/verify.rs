//! Verifying: what lies there against what the manifest says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rayon::prelude::*;
use retrace_files::safetensors::file_tensors;
use retrace_files::{FileError, Found, Progress, Unit, hash_file, walk};
use retrace_spec::manifest::Artifact;
use retrace_spec::{Digest, Manifest, RelPath};
use serde::Serialize;

use crate::record::SCRATCH;
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
    /// Not covered, as the manifest says.
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
    let ignored = |path: &RelPath| path.as_str() == SCRATCH || manifest.ignored.contains(path);
    let there = walk(root, &|path| ignored(path) || manifest_path == Some(path))?;
    let files: BTreeSet<&RelPath> =
        there.iter().filter(|found| matches!(found, Found::File(_))).map(Found::path).collect();
    let extras: Vec<&RelPath> = files.iter().copied().filter(|path| manifest.artifact(path).is_none()).collect();
    let mut sealed: BTreeMap<Digest, Vec<&RelPath>> = BTreeMap::new();
    for artifact in &manifest.artifacts {
        sealed.entry(artifact.digest).or_default().push(&artifact.path);
    }

    progress.begin("verifying", (manifest.artifacts.len() + extras.len()) as u64, Unit::Files);
    let checked: Vec<Entry> = manifest
        .artifacts
        .par_iter()
        .map(|artifact| {
            let entry = match files.contains(&artifact.path) {
                true => check(artifact, &sealed, root),
                false => entry(&artifact.path, Verdict::Missing, "it is not there".to_owned()),
            };
            progress.advance(1);
            entry
        })
        .collect();
    let hashed: Vec<_> = extras
        .into_par_iter()
        .map(|path| {
            let hashed = hash_file(&path.under(root));
            progress.advance(1);
            (path, hashed)
        })
        .collect();
    progress.end();

    let mut entries: BTreeMap<RelPath, Entry> = checked.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
    for (path, hashed) in hashed {
        let entry = match hashed {
            Ok((_, digest)) => extra(path, sealed.get(&digest).map_or(&[], Vec::as_slice), &mut entries),
            Err(error) => entry(path, Verdict::Unverifiable, error.to_string()),
        };
        entries.insert(path.clone(), entry);
    }
    for found in &there {
        let (path, diagnosis) = match found {
            Found::File(_) => continue,
            Found::Special(path) => (path, "it is a symbolic link or a special file, which is not followed".to_owned()),
            Found::Refused { path, what } => (path, what.clone()),
        };
        entries.insert(path.clone(), entry(path, Verdict::Unverifiable, diagnosis));
    }
    let scratch = SCRATCH.parse().into_iter().map(|path| (path, "it is not part of the release"));
    let said = manifest.ignored.iter().map(|path| (path.clone(), "the manifest does not cover it, and says so"));
    for (path, diagnosis) in said.chain(scratch).filter(|(path, _)| path.under(root).exists()) {
        // Never in place of a finding: a manifest that seals a path and ignores it promises it still.
        entries.entry(path.clone()).or_insert_with(|| entry(&path, Verdict::Skipped, diagnosis.to_owned()));
    }
    Ok(Verification { entries: entries.into_values().collect() })
}

fn entry(path: &RelPath, verdict: Verdict, diagnosis: String) -> Entry {
    Entry { path: path.clone(), verdict, diagnosis, was: None, size: None, tensors: Vec::new() }
}

/// A file that the manifest does not have, whose bytes it has at `same`. If one of those is missing,
/// it was renamed, and what was missing is told as that: once, under its new name.
fn extra(path: &RelPath, same: &[&RelPath], entries: &mut BTreeMap<RelPath, Entry>) -> Entry {
    let missing = |old: &&&RelPath| entries.get(**old).is_some_and(|entry| entry.verdict == Verdict::Missing);
    if let Some(old) = same.iter().find(missing).copied() {
        entries.remove(old);
        return Entry { was: Some(old.clone()), ..entry(path, Verdict::Renamed, format!("it was {old}")) };
    }
    let Some(original) = same.first() else {
        return entry(path, Verdict::Extra, "the manifest does not have it".to_owned());
    };
    let diagnosis = format!("it is a copy of {original}, and the manifest does not have it");
    Entry { was: Some((*original).clone()), ..entry(path, Verdict::Extra, diagnosis) }
}

fn check(artifact: &Artifact, sealed: &BTreeMap<Digest, Vec<&RelPath>>, root: &Path) -> Entry {
    let path = &artifact.path;
    let (size, digest) = match hash_file(&path.under(root)) {
        Ok(found) => found,
        Err(error) => return entry(path, Verdict::Unverifiable, error.to_string()),
    };
    if digest == artifact.digest && size == artifact.size {
        return entry(path, Verdict::Verified, String::new());
    }
    let mut changed = Entry { size: Some(size), ..entry(path, Verdict::Changed, String::new()) };
    let other = sealed.get(&digest).and_then(|paths| paths.iter().find(|other| **other != path));
    changed.was = other.map(|other| (*other).clone());
    changed.diagnosis = match other {
        Some(other) => format!("it holds the content of {other}"),
        None => describe(artifact, size, digest, root, &mut changed.tensors),
    };
    changed
}

/// What seems to have happened to a file that is no entry's.
fn describe(artifact: &Artifact, size: u64, digest: Digest, root: &Path, differing: &mut Vec<String>) -> String {
    let sizes = match size.cmp(&artifact.size) {
        std::cmp::Ordering::Less => {
            format!("it has {size} bytes and should have {}: it may be truncated", artifact.size)
        }
        std::cmp::Ordering::Greater => format!("it has {size} bytes and should have {}", artifact.size),
        std::cmp::Ordering::Equal => format!("its {size} bytes are as many as they should be, but hash to {digest}"),
    };
    let Some(sealed) = artifact.tensors.as_ref().filter(|_| is_safetensors(&artifact.path)) else { return sizes };
    let found = match file_tensors(&artifact.path.under(root)) {
        Ok(found) => found,
        Err(FileError::Safetensors { place, what, .. }) => {
            return format!("{sizes}; as safetensors it cannot be read: {place}: {what}");
        }
        Err(error) => return format!("{sizes}; as safetensors it cannot be read: {error}"),
    };
    if found.root == sealed.root {
        return format!("{sizes}; yet every tensor is the sealed one: only the header differs");
    }
    let names: BTreeSet<&String> = sealed.digests.keys().chain(found.digests.keys()).collect();
    let parts: Vec<String> = names
        .into_iter()
        .filter(|name| sealed.digests.get(*name) != found.digests.get(*name))
        .map(|name| {
            differing.push(name.clone());
            let what = match (sealed.digests.contains_key(name), found.digests.contains_key(name)) {
                (true, true) => "differs",
                (true, false) => "is missing",
                _ => "is extra",
            };
            // A name is anyone's text, and a diagnosis goes to terminals.
            format!("tensor {} {what}", name.escape_debug())
        })
        .collect();
    let more = parts.len().saturating_sub(3);
    let mut told = parts.into_iter().take(3).collect::<Vec<_>>().join(", ");
    if more > 0 {
        told.push_str(&format!(" and {more} more"));
    }
    format!("{sizes}; {told}")
}

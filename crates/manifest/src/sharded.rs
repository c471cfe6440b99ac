//! Checkpoints in several files: whether the files agree, and the root over all of their tensors.

use std::collections::{BTreeMap, BTreeSet};

use retrace_checkpoint::{Index, NANOTRON_METADATA, contradictions, is_index};
use retrace_files::safetensors::tensor_root;
use retrace_files::torch::distributed::METADATA;
use retrace_files::{FileError, Found, Root, file_tensors, may_hold_tensors, tensor_places};
use retrace_spec::manifest::{Artifact, Tensors};
use retrace_spec::{Digest, RelPath};
use serde::Serialize;

use crate::distributed::why_distributed_unreadable;
use crate::seal::is_safetensors;
use crate::unlisted::is_sparse;
use crate::verify::{Entry, Expected, Said, Verdict};

/// A contradiction between files of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CheckpointFinding {
    /// The file that it concerns: for example an index that names a tensor which no shard contains.
    pub path: String,
    /// The contradiction, as a sentence.
    pub what: String,
}

/// Whether a file may be part of a checkpoint, by its name.
pub(crate) fn may_be_of_checkpoint(path: &RelPath) -> bool {
    may_hold_tensors(path.file_name()) || is_index(path.file_name()) || path.file_name() == NANOTRON_METADATA
}

/// The contradictions between files of the checkpoints in the directories of these `paths` below `root`, sorted. Only
/// the headers of the files are read.
pub fn checkpoint_findings<'a>(root: &Root, paths: impl Iterator<Item = &'a RelPath>) -> Vec<CheckpointFinding> {
    let directories: BTreeSet<Option<RelPath>> =
        paths.filter(|path| may_be_of_checkpoint(path)).map(RelPath::parent).collect();
    of_directories(root, directories)
}

/// A file of weights that is covered as bytes alone, because its tensors cannot be read here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotByTensor {
    /// The file.
    pub path: RelPath,
    /// The reason, as a sentence.
    pub why: String,
}

/// The files among `artifacts` below `root` whose tensors cannot be read here, in their order. Only the headers of the
/// files are read.
pub fn not_by_tensor(root: &Root, artifacts: &[Artifact]) -> Vec<NotByTensor> {
    let without =
        artifacts.iter().filter(|artifact| artifact.tensors.is_none() && may_hold_tensors(artifact.path.file_name()));
    let found = without
        .filter_map(|Artifact { path, .. }| Some(NotByTensor { path: path.clone(), why: why_unreadable(root, path)? }));
    found.collect()
}

/// Why the tensors of a file of weights cannot be read here; `None` if they can, or it has none.
pub(crate) fn why_unreadable(root: &Root, path: &RelPath) -> Option<String> {
    if path.file_name() == METADATA {
        return why_distributed_unreadable(root, path);
    }
    match tensor_places(&root.file(path).ok()?, path.file_name()) {
        Ok(Found::Unreadable(why)) => Some(why),
        Ok(Found::Tensors(_) | Found::Nothing) => None,
        Err(FileError::Safetensors { place, what, .. }) => Some(format!("{place}: {what}")),
        Err(error) => Some(error.to_string()),
    }
}

/// As [`checkpoint_findings`], for complete directories.
pub(crate) fn of_directories(
    root: &Root,
    directories: impl IntoIterator<Item = Option<RelPath>>,
) -> Vec<CheckpointFinding> {
    let mut found = Vec::new();
    for directory in directories {
        let inside = |file: &str| match &directory {
            Some(directory) => format!("{directory}/{file}"),
            None => file.to_owned(),
        };
        match contradictions(root, directory.as_ref()) {
            Ok(all) => found.extend(all.into_iter().map(|c| CheckpointFinding { path: inside(&c.file), what: c.what })),
            Err(error) => found.push(CheckpointFinding {
                path: directory.as_ref().map_or_else(|| ".".to_owned(), RelPath::to_string),
                what: format!("it cannot be looked into: {error}"),
            }),
        }
    }
    found.sort();
    found
}

/// The root over all tensors of the checkpoint to which the index at `path` belongs; it equals the root of the same
/// tensors in one file. Without digests: those are with the shards. `None` if the index and the shards beside it do
/// not name exactly the same tensors.
///
/// # Errors
/// If the index cannot be read.
pub(crate) fn index_tensors(
    root: &Root,
    path: &RelPath,
    artifacts: &BTreeMap<&RelPath, &Artifact>,
) -> Result<Option<Tensors>, FileError> {
    let index = Index::read(root.file(path)?, path.file_name())?;
    Ok(index.ok().and_then(|index| set(path, &index.shards, artifacts)))
}

fn set(
    path: &RelPath,
    weight_map: &BTreeMap<String, String>,
    artifacts: &BTreeMap<&RelPath, &Artifact>,
) -> Option<Tensors> {
    let mut shards: BTreeMap<&str, &Tensors> = BTreeMap::new();
    for file in weight_map.values() {
        if !shards.contains_key(file.as_str()) {
            let beside = path.parent().map_or_else(|| file.clone(), |parent| format!("{parent}/{file}"));
            let shard = artifacts.get(&beside.parse::<RelPath>().ok()?)?;
            shards.insert(file, shard.tensors.as_deref()?);
        }
    }
    let all: Option<BTreeMap<&str, Digest>> = weight_map
        .iter()
        .map(|(tensor, file)| Some((tensor.as_str(), *shards.get(file.as_str())?.digests.get(tensor)?)))
        .collect();
    let all = all.filter(|all| all.len() == shards.values().map(|shard| shard.digests.len()).sum::<usize>())?;
    Some(Tensors { root: tensor_root(all.into_iter()), digests: BTreeMap::new() })
}

/// If the files of a checkpoint were divided differently, and every tensor is the sealed one, adds this to the entries
/// of the expected files, and of `others`.
pub(crate) fn tell_of_resharding(expected: &[Expected], root: &Root, said: &mut [Said], others: &mut [Entry]) {
    // The files that differ, by directory. Does not apply if a file contains other tensors, or if no file could
    // contain the missing ones.
    let mut differing: BTreeMap<String, Vec<&mut Entry>> = BTreeMap::new();
    let told = expected
        .iter()
        .zip(said)
        .filter(|(wanted, said)| is_safetensors(&wanted.path) && !matches!(said, Said::Verified | Said::Elsewhere));
    let told = told.filter_map(|(wanted, said)| said.as_entry(&wanted.path));
    for entry in told.chain(others.iter_mut().filter(|entry| is_safetensors(&entry.path))) {
        if let Some((directory, _)) = entry.path.as_str().rsplit_once('/') {
            differing.entry(directory.to_owned()).or_default().push(entry);
        }
    }
    differing.retain(|_, entries| entries.len() > 1 && entries.iter().all(|entry| entry.is_finding()));
    if differing.is_empty() {
        return;
    }
    let mut sealed: BTreeMap<&str, BTreeMap<&String, Digest>> = BTreeMap::new();
    let mut kept: BTreeMap<&str, BTreeMap<String, Digest>> = BTreeMap::new();
    for wanted in expected {
        let (Some((directory, _)), Some(tensors)) = (wanted.path.as_str().rsplit_once('/'), &wanted.tensors) else {
            continue;
        };
        let Some(entries) = differing.get(directory) else { continue };
        let digests = || tensors.digests.iter().map(|(name, digest)| (name, *digest));
        sealed.entry(directory).or_default().extend(digests());
        // The files that match contain what they should.
        if is_safetensors(&wanted.path) && entries.iter().all(|entry| entry.path != wanted.path) {
            kept.entry(directory).or_default().extend(digests().map(|(name, digest)| (name.clone(), digest)));
        }
    }
    for (directory, sealed) in sealed {
        let (Some(entries), kept) = (differing.get_mut(directory), kept.remove(directory).unwrap_or_default()) else {
            continue;
        };
        let there = entries.iter().filter(|entry| entry.verdict != Verdict::Missing).map(|entry| &entry.path);
        if !same_tensors(root, there, &sealed, kept) {
            continue;
        }
        for entry in entries {
            tell_split(entry, directory);
        }
    }
}

/// Says of a file that the checkpoint in its directory has the sealed tensors, and was only divided differently.
pub(crate) fn tell_split(entry: &mut Entry, directory: &str) {
    let told = format!("all tensors in {directory} are equal to the sealed ones; only the split into shards differs");
    entry.diagnosis = match entry.verdict {
        Verdict::Missing => format!("it is missing; {told}"),
        Verdict::Extra => format!("the manifest does not list it; {told}"),
        _ => format!("its bytes differ; {told}"),
    };
    entry.tensors.clear();
}

/// Whether these files and those in `kept` contain the sealed tensors, each once. Their headers are checked before any
/// of their data is read.
fn same_tensors<'a>(
    root: &Root,
    files: impl Iterator<Item = &'a RelPath> + Clone,
    sealed: &BTreeMap<&String, Digest>,
    kept: BTreeMap<String, Digest>,
) -> bool {
    let mut names = kept.len();
    for path in files.clone() {
        let Ok(file) = root.file(path) else { return false };
        match tensor_places(&file, path.file_name()) {
            Ok(Found::Tensors(places))
                if !is_sparse(file.metadata()) && places.keys().all(|name| sealed.contains_key(name)) =>
            {
                names += places.len();
            }
            _ => return false,
        }
    }
    if names != sealed.len() {
        return false;
    }
    let mut found = kept;
    for path in files {
        let tensors = root.file(path).and_then(|file| file_tensors(&file, path.file_name()));
        let Ok(Found::Tensors(tensors)) = tensors else { return false };
        found.extend(tensors.digests);
    }
    found.len() == sealed.len() && sealed.iter().all(|(name, digest)| found.get(*name) == Some(digest))
}

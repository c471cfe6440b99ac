//! PyTorch's distributed checkpoints in a release.
//!
//! A tensor of such a checkpoint does not belong to one file: its chunks are in several. The manifest has the digests of
//! all tensors with the artifact `.metadata`, which says where the chunks are. So a copy that other processes wrote, with
//! other chunks, is seen to have the same tensors; the digests are those of the same tensors in a safetensors file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rayon::prelude::*;
use retrace_checkpoint::{Checkpoint, CheckpointError, StoredTensor};
use retrace_files::torch::distributed::{METADATA, is_part, read};
use retrace_files::{FileError, Found, Root};
use retrace_spec::manifest::{Artifact, Tensors};
use retrace_spec::{Digest, RelPath};

use crate::diagnose::differing;
use crate::sharded::tell_split;
use crate::unlisted::is_sparse;
use crate::verify::{Entry, Expected, Said, Verdict};

/// The tensors of the distributed checkpoint with the `.metadata` at `path`; `None` if they cannot be read, for a reason
/// that [`why_distributed_unreadable`] or the contradictions of the checkpoint say.
///
/// # Errors
/// If a file that was opened cannot be read.
pub(crate) fn distributed_tensors(root: &Root, path: &RelPath) -> Result<Option<Tensors>, FileError> {
    Checkpoint::of_file(&Arc::new(root.again()?), path).ok().map(|checkpoint| checkpoint.digests()).transpose()
}

/// Why the tensors of the distributed checkpoint with the `.metadata` at `path` cannot be read; `None` if they can, or it
/// is not one.
pub(crate) fn why_distributed_unreadable(root: &Root, path: &RelPath) -> Option<String> {
    match root.again().map_err(CheckpointError::from).and_then(|root| Checkpoint::of_file(&Arc::new(root), path)) {
        Ok(_) => None,
        Err(CheckpointError::Unreadable { why, .. }) => why,
        Err(error) => Some(error.to_string()),
    }
}

/// The values of distributed checkpoints that are not tensors, such as the step and the state of random numbers, by the
/// path of the `.metadata`. Only the digests of the files cover them.
pub fn not_tensors(root: &Root, artifacts: &[Artifact]) -> BTreeMap<RelPath, Vec<String>> {
    let mut found = BTreeMap::new();
    for Artifact { path, .. } in artifacts.iter().filter(|artifact| artifact.path.file_name() == METADATA) {
        if let Ok(Found::Tensors(metadata)) = root.file(path).and_then(read)
            && !metadata.not_tensors.is_empty()
        {
            found.insert(path.clone(), metadata.not_tensors);
        }
    }
    found
}

/// Adds to the entries of the files of distributed checkpoints which tensors differ, or that only the split into files
/// does.
pub(crate) fn tell_of_distributed(expected: &[Expected], root: &Root, said: &mut [Said], others: &mut [Entry]) {
    // The findings, by directory.
    let mut findings: BTreeMap<Option<RelPath>, Vec<&mut Entry>> = BTreeMap::new();
    let told = expected
        .iter()
        .zip(said)
        .filter(|(wanted, said)| is_part(wanted.path.file_name()) && matches!(said, Said::Missing | Said::Told(_)))
        .filter_map(|(wanted, said)| said.as_entry(&wanted.path));
    for entry in told.chain(others.iter_mut().filter(|entry| is_part(entry.path.file_name()))) {
        if entry.is_finding() {
            findings.entry(entry.path.parent()).or_default().push(entry);
        }
    }
    for wanted in expected.iter().filter(|wanted| wanted.path.file_name() == METADATA) {
        if let (Some(sealed), Some(entries)) = (&wanted.tensors, findings.get_mut(&wanted.path.parent())) {
            tell(root, &wanted.path, sealed, entries);
        }
    }
}

/// As [`tell_of_distributed`], for the checkpoint with the `.metadata` at `path`.
fn tell(root: &Root, path: &RelPath, sealed: &Tensors, entries: &mut [&mut Entry]) {
    let append = |entry: &mut Entry, told: &str| {
        if entry.verdict == Verdict::Changed {
            entry.diagnosis = format!("{}; {told}", entry.diagnosis);
        }
    };
    let opened = root.again().map_err(CheckpointError::from);
    let checkpoint = match opened.and_then(|root| Checkpoint::of_file(&Arc::new(root), path)) {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            entries.iter_mut().for_each(|entry| append(entry, &format!("its tensors cannot be read: {error}")));
            return;
        }
    };
    let directory = path.parent();
    let inside = |file: &String| directory.as_ref().map_or_else(|| file.parse(), |directory| directory.join(file));
    let sparse = |file: &String| {
        inside(file).ok().and_then(|path| root.file(&path).ok()).is_none_or(|file| is_sparse(file.metadata()))
    };
    if checkpoint.files().iter().any(sparse) {
        return;
    }
    // If `.metadata` is the sealed one, the tensors without a part in a file that differs are too.
    let same_metadata = entries.iter().all(|entry| entry.path != *path);
    let of_entry = |tensor: &StoredTensor| entries.iter().any(|entry| tensor.is_in(&entry.path));
    let read: BTreeMap<&String, &StoredTensor> =
        checkpoint.tensors().iter().filter(|(_, tensor)| !same_metadata || of_entry(tensor)).collect();
    let digests = read.par_iter().map(|(name, tensor)| Ok(((*name).clone(), tensor.digest()?)));
    let found: BTreeMap<String, Digest> = match digests.collect::<Result<_, FileError>>() {
        Ok(found) => found,
        Err(error) => {
            entries.iter_mut().for_each(|entry| append(entry, &format!("its tensors cannot be read: {error}")));
            return;
        }
    };
    if !same_metadata && found == sealed.digests {
        let directory = directory.as_ref().map_or(".", RelPath::as_str);
        entries.iter_mut().for_each(|entry| tell_split(entry, directory));
        return;
    }
    for entry in entries {
        // Those with a part in this file; for `.metadata`, all.
        let names: BTreeSet<&String> = match entry.path == *path {
            true => sealed.digests.keys().chain(found.keys()).collect(),
            false => read.iter().filter(|(_, tensor)| tensor.is_in(&entry.path)).map(|(name, _)| *name).collect(),
        };
        let of = |digests: &BTreeMap<String, Digest>| -> BTreeMap<String, Digest> {
            names.iter().filter_map(|name| Some(((*name).clone(), *digests.get(*name)?))).collect()
        };
        let (told, tensors) = differing(&of(&sealed.digests), &of(&found));
        match tensors.is_empty() {
            true => append(entry, "the tensors with a part in it are equal to the sealed ones"),
            false => append(entry, &told),
        }
        entry.tensors = tensors;
    }
}

//! Comparison of two releases, directories, checkpoints or manifests, down to the tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use retrace_checkpoint::{Checkpoint, CheckpointError, StoredTensor, contradictions, is_index};
use retrace_files::safetensors::Dtype;
use retrace_files::{
    FileError, Progress, Root, Unit, WalkEntry, Wanted, hash_beneath, hash_file, may_hold_tensors, walk,
};
use retrace_spec::manifest::Tensors;
use retrace_spec::{Digest, Manifest, RelPath};
use retrace_weights::{Apart, Distance, apart, has_numbers, same_bytes};
use serde::Serialize;

use crate::record::SCRATCH;
use crate::seal::is_safetensors;

/// One side of the comparison: its files.
#[derive(Debug)]
pub struct Side {
    files: BTreeMap<RelPath, (u64, Digest, Option<Box<Tensors>>)>,
    /// The location of the bytes, if they are available.
    root: Option<Arc<Root>>,
    /// A single file, whose name is ignored.
    single: Option<PathBuf>,
}

impl Side {
    /// The content of a manifest; numbers can be compared if the files are below `root`.
    ///
    /// # Errors
    /// If `root` cannot be opened.
    pub fn of_manifest(manifest: &Manifest, root: Option<&Path>) -> Result<Self, FileError> {
        let files = manifest
            .artifacts
            .iter()
            .map(|artifact| (artifact.path.clone(), (artifact.size, artifact.digest, artifact.tensors.clone())));
        let root = root.map(Root::open).transpose()?.map(Arc::new);
        Ok(Self { files: files.collect(), root, single: None })
    }

    fn may_hold_tensors(&self, path: &RelPath) -> bool {
        let sealed = self.files.get(path).is_some_and(|(.., tensors)| tensors.is_some());
        sealed || may_hold_tensors(path.file_name())
    }

    /// The tensors of the file, if it is available and they can be read; and if they cannot be, why.
    fn tensors(&self, path: &RelPath) -> Result<(BTreeMap<String, StoredTensor>, Option<String>), CheckpointError> {
        let opened = match (&self.single, &self.root) {
            (Some(file), _) => Checkpoint::open(file),
            (None, Some(root)) if root.has(path) => Checkpoint::of_file(root, path),
            (None, _) => return Ok(Default::default()),
        };
        match opened {
            Ok(checkpoint) => Ok((checkpoint.into_tensors(), None)),
            Err(CheckpointError::Unreadable { why, .. }) => Ok((BTreeMap::new(), why)),
            Err(CheckpointError::Empty { .. }) => Ok(Default::default()),
            Err(error) => Err(error),
        }
    }

    /// Refuses checkpoints whose files contradict each other. If a checkpoint is incomplete here, this cannot be
    /// determined.
    fn check(&self) -> Result<(), CheckpointError> {
        let (None, Some(root)) = (&self.single, &self.root) else { return Ok(()) };
        let mut directories: BTreeMap<Option<RelPath>, bool> = BTreeMap::new();
        for path in self.files.keys().filter(|path| self.may_hold_tensors(path) || is_index(path.file_name())) {
            *directories.entry(path.parent()).or_insert(true) &= root.has(path);
        }
        for (directory, _) in directories.into_iter().filter(|(_, whole)| *whole) {
            if let Some(contradiction) = contradictions(root, directory.as_ref())?.into_iter().next() {
                return Err(contradiction.into());
            }
        }
        Ok(())
    }

    /// The content of a directory.
    ///
    /// # Errors
    /// If it cannot be read, or contains an entry that is not allowed in a release.
    pub fn of_directory(root: &Path, progress: &dyn Progress) -> Result<Self, FileError> {
        let mut paths = Vec::new();
        for found in walk(root, &|path| path.as_str() == SCRATCH)? {
            match found {
                WalkEntry::File(path) => paths.push(path),
                WalkEntry::Special(path) => {
                    let what = "it is a symbolic link or a special file".to_owned();
                    return Err(FileError::Name { path: path.under(root), what });
                }
                WalkEntry::Refused { path, what } => return Err(FileError::Name { path: path.under(root), what }),
            }
        }
        let total = paths.iter().filter_map(|path| path.under(root).metadata().ok()).map(|file| file.len()).sum();
        progress.begin("hashing", total, Unit::Bytes);
        let opened = Arc::new(Root::open(root)?);
        let hashed: Result<_, FileError> = paths
            .into_par_iter()
            .map(|path| {
                let hashed = hash_beneath(&opened, &path, Wanted::default(), progress)?;
                Ok((path, (hashed.size, hashed.digest, None)))
            })
            .collect();
        progress.end();
        Ok(Self { files: hashed?, root: Some(opened), single: None })
    }

    /// A single file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn of_file(file: &Path) -> Result<Self, FileError> {
        let (size, digest) = hash_file(file)?;
        let name = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        let name: RelPath = name.ok_or_else(|| FileError::Name {
            path: file.to_owned(),
            what: "a release cannot contain this name".to_owned(),
        })?;
        Ok(Self { files: [(name, (size, digest, None))].into(), root: None, single: Some(file.to_owned()) })
    }
}

/// How two sides differ.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Diff {
    /// The number of files that are the same.
    pub equal: usize,
    /// The files that differ, sorted by path.
    pub files: Vec<FileChange>,
    /// For checkpoints that differ, the tensors; sorted by directory.
    pub checkpoints: Vec<CheckpointDiff>,
    /// The files of weights that differ and whose tensors cannot be read here; sorted by path.
    pub not_compared: Vec<NotCompared>,
}

/// A file of weights that differs from the other side and whose tensors were not compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotCompared {
    /// Its path.
    pub path: RelPath,
    /// Why its tensors cannot be read, as a sentence.
    pub why: String,
    /// Whether it is on the first or the second side: 0 or 1.
    pub side: usize,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// Its path, in the second side if it exists there.
    pub path: RelPath,
    /// The difference.
    pub change: Change,
    /// Its path in the first side, if that is different.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<RelPath>,
    /// Length in bytes on the first and the second side.
    pub sizes: [Option<u64>; 2],
}

/// How a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Only in the second side.
    Added,
    /// Only in the first side.
    Removed,
    /// The same bytes under another path.
    Renamed,
    /// Different bytes under the same path.
    Changed,
}

/// How the tensors of a directory differ, in any number of files.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckpointDiff {
    /// The directory, or the file if single files are compared.
    pub checkpoint: String,
    /// The number of tensors that are the same.
    pub equal: usize,
    /// Those that differ, sorted by name.
    pub tensors: Vec<TensorChange>,
}

/// A tensor that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorChange {
    /// Its name.
    pub name: String,
    /// The difference.
    #[serde(flatten)]
    pub difference: Difference,
}

/// How a tensor differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum Difference {
    /// Only in the second side.
    Added,
    /// Only in the first side; another tensor of the second may have its bytes.
    Removed {
        /// The name of that tensor.
        #[serde(skip_serializing_if = "Option::is_none")]
        now: Option<String>,
    },
    /// Another shape; `same_numbers` if only the shape differs.
    Reshaped {
        /// The shapes, first and second.
        shapes: [Vec<usize>; 2],
        /// Whether the numbers are the same, in order.
        same_numbers: bool,
    },
    /// Another dtype.
    Recast {
        /// The dtypes, first and second.
        dtypes: [Dtype; 2],
        /// Whether rounding the wider dtype to the narrower gives the narrower tensor's bits.
        equal_after_casting: bool,
        /// The distance of the numbers.
        #[serde(flatten)]
        distance: Distance,
    },
    /// Different numbers.
    Changed {
        /// The distance, if both are available.
        #[serde(flatten)]
        distance: Option<Distance>,
    },
}

/// How `b` differs from `a`.
///
/// # Errors
/// If a tensor that must be compared cannot be read, or files of a checkpoint contradict each other.
pub fn diff(a: &Side, b: &Side) -> Result<Diff, CheckpointError> {
    a.check()?;
    b.check()?;
    let mut result = Diff::default();
    if a.single.is_some() && b.single.is_some() {
        if let (Some((from, (size_a, digest_a, _))), Some((path, (size_b, digest_b, _)))) =
            (a.files.first_key_value(), b.files.first_key_value())
        {
            if digest_a == digest_b {
                result.equal = 1;
                return Ok(result);
            }
            let sizes = [Some(*size_a), Some(*size_b)];
            let renamed = (from != path).then(|| from.clone());
            result.files.push(FileChange { path: path.clone(), change: Change::Changed, from: renamed, sizes });
        }
    } else {
        files(a, b, &mut result);
    }
    checkpoints(a, b, &mut result)?;
    Ok(result)
}

fn files(a: &Side, b: &Side, result: &mut Diff) {
    let mut removed: BTreeMap<Digest, Vec<&RelPath>> = BTreeMap::new();
    for (path, (_, digest, _)) in a.files.iter().filter(|(path, _)| !b.files.contains_key(*path)).rev() {
        removed.entry(*digest).or_default().push(path);
    }
    for (path, (size, digest, _)) in &b.files {
        let change = |change, from: Option<&RelPath>, before| FileChange {
            path: path.clone(),
            change,
            from: from.cloned(),
            sizes: [before, Some(*size)],
        };
        match a.files.get(path) {
            Some((_, same, _)) if same == digest => result.equal += 1,
            Some((before, ..)) => result.files.push(change(Change::Changed, None, Some(*before))),
            None => match removed.get_mut(digest).and_then(Vec::pop) {
                Some(from) => result.files.push(change(Change::Renamed, Some(from), Some(*size))),
                None => result.files.push(change(Change::Added, None, None)),
            },
        }
    }
    for path in removed.into_values().flatten() {
        let size = a.files.get(path).map(|(size, ..)| *size);
        result.files.push(FileChange { path: path.clone(), change: Change::Removed, from: None, sizes: [size, None] });
    }
    result.files.sort_by(|x, y| (&x.path, x.change).cmp(&(&y.path, y.change)));
}

/// A tensor on one side: its digest, and its location if its bytes are available.
struct Held {
    digest: Digest,
    stored: Option<StoredTensor>,
}

fn checkpoints(a: &Side, b: &Side, result: &mut Diff) -> Result<(), CheckpointError> {
    let name = |path: &RelPath, side: &Side| match (side.single.is_some(), path.parent()) {
        (true, _) => String::new(),
        (false, Some(parent)) => parent.to_string(),
        (false, None) => ".".to_owned(),
    };
    // By directory, so that another division into shards is not a difference.
    let mut directories: BTreeMap<String, [Vec<&RelPath>; 2]> = BTreeMap::new();
    for (at, side) in [a, b].into_iter().enumerate() {
        for path in side.files.keys().filter(|path| side.may_hold_tensors(path)) {
            directories.entry(name(path, side)).or_default()[at].push(path);
        }
    }
    for (directory, [in_a, in_b]) in directories {
        let same = |path: &&&RelPath| a.files.get(**path).zip(b.files.get(**path)).is_some_and(|(a, b)| a.1 == b.1);
        let unchanged = in_a.len() == in_b.len() && in_a.iter().all(|path| same(&path));
        if in_a.is_empty() || in_b.is_empty() || unchanged {
            continue;
        }
        let mut unread = Vec::new();
        let mut held = |at, side, paths: &[&RelPath]| -> Result<_, CheckpointError> {
            let (held, why) = hold(side, paths)?;
            let why = why.into_iter().filter(|(path, _)| !same(&path));
            unread.extend(why.map(|(path, why)| NotCompared { path: path.clone(), why, side: at }));
            Ok(held)
        };
        let (held_a, held_b) = (held(0, a, &in_a)?, held(1, b, &in_b)?);
        // A tensor that is on one side alone may be in a file of the other side that cannot be read.
        let partly = [0, 1].map(|side| unread.iter().any(|file| file.side == side));
        unread.sort();
        result.not_compared.extend(unread);
        if held_a.is_empty() || held_b.is_empty() {
            continue;
        }
        let mut checkpoint = CheckpointDiff { checkpoint: directory, equal: 0, tensors: Vec::new() };
        if a.single.is_some() {
            checkpoint.checkpoint = in_b.first().map_or_else(String::new, |path| path.to_string());
        }
        let mut names: BTreeSet<&String> = held_a.keys().chain(held_b.keys()).collect();
        names.retain(|name| (!partly[0] || held_a.contains_key(*name)) && (!partly[1] || held_b.contains_key(*name)));
        let compared: Result<Vec<_>, FileError> = names
            .into_par_iter()
            .map(|name| {
                let difference = match (held_a.get(name), held_b.get(name)) {
                    (Some(x), Some(y)) if x.digest == y.digest => None,
                    (Some(x), Some(y)) => Some(compare(x, y)?),
                    (Some(x), None) => {
                        let now = held_b.iter().find(|(_, other)| other.digest == x.digest);
                        Some(Difference::Removed { now: now.map(|(name, _)| name.clone()) })
                    }
                    (None, _) => Some(Difference::Added),
                };
                Ok(difference.map(|difference| TensorChange { name: name.clone(), difference }))
            })
            .collect();
        for change in compared? {
            match change {
                Some(change) => checkpoint.tensors.push(change),
                None => checkpoint.equal += 1,
            }
        }
        result.checkpoints.push(checkpoint);
    }
    Ok(())
}

/// Files whose tensors cannot be read here, and why.
type Unread<'a> = Vec<(&'a RelPath, String)>;

/// Every tensor in these files of a directory. If a tensor is also in a second file, for example in another format,
/// that file's name is added to its own. Also the files whose tensors cannot be read, and why.
fn hold<'a>(side: &Side, paths: &[&'a RelPath]) -> Result<(BTreeMap<String, Held>, Unread<'a>), CheckpointError> {
    let mut paths = paths.to_vec();
    paths.sort_by_key(|path| (!is_safetensors(path), *path));
    let (mut held, mut unread) = (BTreeMap::new(), Vec::new());
    for path in paths {
        let sealed = side.files.get(path).and_then(|(.., tensors)| tensors.clone());
        let (mut stored, why) = side.tensors(path)?;
        if sealed.is_none() {
            unread.extend(why.map(|why| (path, why)));
        }
        let digests = match sealed {
            Some(sealed) => sealed.digests,
            None => stored
                .par_iter()
                .map(|(name, tensor)| Ok((name.clone(), tensor.digest()?)))
                .collect::<Result<_, FileError>>()?,
        };
        for (name, digest) in digests {
            let stored = stored.remove(&name);
            let name = match held.contains_key(&name) {
                true => format!("{}: {name}", path.file_name()),
                false => name,
            };
            held.insert(name, Held { digest, stored });
        }
    }
    Ok((held, unread))
}

fn compare(a: &Held, b: &Held) -> Result<Difference, FileError> {
    let (Some(a), Some(b)) = (&a.stored, &b.stored) else {
        return Ok(Difference::Changed { distance: None });
    };
    if a.shape != b.shape {
        let shapes = [a.shape.clone(), b.shape.clone()];
        let same_numbers = a.dtype == b.dtype && a.length() == b.length() && same_bytes(a, b)?;
        return Ok(Difference::Reshaped { shapes, same_numbers });
    }
    if !has_numbers(a.dtype) || !has_numbers(b.dtype) {
        return Ok(Difference::Changed { distance: None });
    }
    let Apart { distance, equal_after_casting } = apart(a, b)?;
    if a.dtype == b.dtype {
        return Ok(Difference::Changed { distance: Some(distance) });
    }
    Ok(Difference::Recast { dtypes: [a.dtype, b.dtype], equal_after_casting, distance })
}

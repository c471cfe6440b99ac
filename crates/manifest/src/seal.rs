//! Sealing: hashing everything, once, into a manifest.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use retrace_checkpoint::is_index;
use retrace_files::torch::distributed::METADATA;
use retrace_files::{
    DIRECTORY_LOCK, FileError, Hashed, Progress, Root, Unit, WalkEntry, Wanted, file_tensors, hash_beneath, is_lock,
    is_partial, may_hold_tensors, sweep, walk,
};
use retrace_spec::manifest::{Artifact, ArtifactKind};
use retrace_spec::{Algorithm, Digest, Manifest, RelPath, SpecError};
use thiserror::Error;

use crate::distributed::distributed_tensors;
use crate::nested::{Unknown, part, unfold};
use crate::record::{SCRATCH, load_all};
use crate::sharded::index_tensors;

/// How to seal.
#[derive(Debug, Clone, Default)]
pub struct SealOptions {
    /// The name of the release.
    pub name: String,
    /// The program that seals, with its version.
    pub tool: String,
    /// The paths of the manifest and its signature, if they are in the release's directory: the manifest does not
    /// cover itself, and its signatures are made later.
    pub own: Vec<RelPath>,
    /// Other paths that are not covered. The manifest lists them.
    pub ignore: Vec<RelPath>,
    /// Whether to include each file's SHA-256, for tools that do not support BLAKE3.
    pub sha256: bool,
    /// Directories that were sealed before: their manifests represent their content.
    pub nest: Vec<RelPath>,
}

/// Why a release could not be sealed.
#[derive(Debug, Error)]
pub enum SealError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The parts do not make a valid manifest.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// An entry that is neither a file nor a directory.
    #[error("{} is a symbolic link or a special file, which a release cannot contain", path.display())]
    Special {
        /// Its path.
        path: PathBuf,
    },
    /// A directory is not a part that was sealed before.
    #[error("{directory} cannot be a part of the release: {what}")]
    Nest {
        /// The directory.
        directory: RelPath,
        /// The reason.
        what: String,
    },
    /// A file differs from the input or output of a step.
    #[error("{path} is now {found}, but step {step} {did} it as {recorded}")]
    Stale {
        /// The file.
        path: RelPath,
        /// The step.
        step: String,
        /// Whether the step read or made it.
        did: &'static str,
        /// Its digest then.
        recorded: Digest,
        /// Its digest now, or that it is missing or ignored.
        found: String,
    },
}

/// The manifest of the directory `root`, with the steps that were recorded there. Incomplete files that a killed
/// retrace process left are removed first and are never covered; nor are locks.
///
/// # Errors
/// If an entry cannot be read or is not a file, or a step's inputs or outputs have changed since.
pub fn seal(root: &Path, options: &SealOptions, progress: &dyn Progress) -> Result<Manifest, SealError> {
    let opened = Root::open(root)?;
    let parts = options.nest.iter().map(|directory| {
        part(&opened, directory).map_err(|what| SealError::Nest { directory: directory.clone(), what })
    });
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    let nested = |path: &RelPath| {
        options.nest.iter().any(|directory| path != directory && path.is_within(directory))
            && !parts.iter().any(|manifest| manifest.is_within(path))
    };
    let left_over = RefCell::new(Vec::new());
    let skip = |path: &RelPath| {
        let ours = is_partial(path.file_name()) || is_lock(path.file_name());
        if ours {
            left_over.borrow_mut().push(path.clone());
        }
        ours || path.as_str() == SCRATCH || options.ignore.contains(path) || nested(path)
    };
    let found = walk(root, &skip)?;
    for path in left_over.take() {
        let parent = path.parent().map(|parent| opened.directory(&parent)).transpose()?;
        let gone = sweep(parent.as_ref().unwrap_or(&opened), path.file_name())?;
        // The lock of a run or of tables; another seal writes only its manifest.
        if !gone && path.file_name() == DIRECTORY_LOCK {
            let holder = "another process, so the release is not complete yet".to_owned();
            return Err(FileError::Locked { path: path.under(root), holder }.into());
        }
    }
    let mut paths = Vec::new();
    for found in found {
        match found {
            // A directory of that name is covered like any other.
            WalkEntry::File(path) | WalkEntry::Special(path) if options.own.contains(&path) => {}
            WalkEntry::File(path) => paths.push(path),
            WalkEntry::Special(path) => return Err(SealError::Special { path: path.under(root) }),
            WalkEntry::Refused { path, what } => return Err(FileError::Name { path: path.under(root), what }.into()),
        }
    }
    for (directory, manifest) in options.nest.iter().zip(&parts) {
        if paths.binary_search(manifest).is_err() {
            let what = "the new manifest would not cover its manifest".to_owned();
            return Err(SealError::Nest { directory: directory.clone(), what });
        }
    }
    // Whether they exist or not: a report that is written after the seal must not change the root.
    let mut ignored = options.ignore.clone();
    ignored.sort();
    ignored.dedup();
    let steps = load_all(&opened)?;
    let kinds: BTreeMap<&RelPath, ArtifactKind> =
        steps.iter().flat_map(|step| &step.outputs).map(|output| (&output.path, output.kind)).collect();
    let configs: BTreeSet<&RelPath> = steps.iter().filter_map(|step| step.config.as_ref()).collect();
    let total = paths.iter().filter_map(|path| path.under(root).metadata().ok()).map(|file| file.len()).sum();
    progress.begin("sealing", total, Unit::Bytes);
    let checksums: &[Algorithm] = if options.sha256 { &[Algorithm::Sha256] } else { &[] };
    let hashed: Vec<Result<Artifact, FileError>> = paths
        .into_par_iter()
        .map(|path| {
            let wanted = Wanted { checksums, tensors: is_safetensors(&path), ..Wanted::default() };
            let Hashed { size, digest, slices, checksums, tensors, .. } =
                hash_beneath(&opened, &path, wanted, progress)?;
            let sha256 = checksums.into_iter().next();
            let tensors = match tensors {
                // A file that cannot be read as its name says is covered as bytes.
                Some(Err(FileError::Safetensors { .. })) => None,
                Some(tensors) => Some(tensors?),
                None if path.file_name() == METADATA => distributed_tensors(&opened, &path)?,
                // For formats that have no file name of their own, only the content shows them.
                None if may_hold_tensors(path.file_name()) => {
                    file_tensors(&opened.file(&path)?, path.file_name())?.tensors()
                }
                None => None,
            };
            let kind = match kinds.get(&path) {
                _ if parts.contains(&path) => ArtifactKind::Manifest,
                Some(kind) => *kind,
                None if configs.contains(&path) => ArtifactKind::Config,
                None if tensors.is_some() => ArtifactKind::Checkpoint,
                None => kind_by_name(&path),
            };
            Ok(Artifact { path, kind, size, digest, sha256, slices, tensors: tensors.map(Box::new) })
        })
        .collect();
    progress.end();
    // One after the other, so that if there are several errors the first is always the one that is returned.
    let mut artifacts = hashed.into_iter().collect::<Result<Vec<_>, _>>()?;
    let by_path: BTreeMap<&RelPath, &Artifact> = artifacts.iter().map(|artifact| (&artifact.path, artifact)).collect();
    let indices = artifacts.iter().map(|artifact| match is_index(artifact.path.file_name()) {
        true => index_tensors(&opened, &artifact.path, &by_path),
        false => Ok(None),
    });
    let indices = indices.collect::<Result<Vec<_>, _>>()?;
    for (artifact, set) in artifacts.iter_mut().zip(indices) {
        artifact.tensors = artifact.tensors.take().or(set.map(Box::new));
    }
    let manifest = Manifest::new(&options.name, &options.tool, ignored, artifacts, steps)?;
    // The content of parts was sealed with them, and is not read again; but their manifests are, so that everything
    // that is sealed can be verified.
    let unfolded = unfold(&manifest, root);
    if let Some(Unknown { at, why }) = unfolded.as_ref().and_then(|unfolded| unfolded.unknown.first()) {
        return Err(SealError::Nest { directory: at.clone(), what: why.clone() });
    }
    let whole = unfolded.as_ref().map_or(&manifest, |unfolded| &unfolded.manifest);
    for step in &manifest.steps {
        let read = step.inputs.iter().map(|input| (&input.path, input.digest, "read"));
        let made = step.outputs.iter().map(|output| (&output.path, output.digest, "made"));
        for (path, recorded, did) in read.chain(made) {
            let found = whole.artifact(path).map(|artifact| artifact.digest);
            if found != Some(recorded) {
                let found = match found {
                    Some(digest) => digest.to_string(),
                    None if path.under(root).exists() => "not covered".to_owned(),
                    None => "gone".to_owned(),
                };
                return Err(SealError::Stale { path: path.clone(), step: step.id.clone(), did, recorded, found });
            }
        }
    }
    Ok(manifest)
}

/// Whether a file is a safetensors file, by its name.
pub(crate) fn is_safetensors(path: &RelPath) -> bool {
    path.as_str().ends_with(".safetensors")
}

fn kind_by_name(path: &RelPath) -> ArtifactKind {
    if is_index(path.file_name()) {
        return ArtifactKind::Checkpoint;
    }
    match path.file_name().rsplit_once('.').map(|(_, extension)| extension) {
        Some("jsonl") => ArtifactKind::Shard,
        Some("tokens") => ArtifactKind::Tokens,
        Some("safetensors" | "pt" | "pth" | "distcp") => ArtifactKind::Checkpoint,
        Some("parquet") => ArtifactKind::Table,
        Some("yaml" | "yml") => ArtifactKind::Config,
        _ if path.file_name() == "tokenizer.json" => ArtifactKind::Tokenizer,
        _ => ArtifactKind::Other,
    }
}

//! PyTorch's distributed checkpoints: the tensors of a directory with a `.metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::Arc;

use rayon::prelude::*;
use retrace_files::safetensors::TensorLocation;
use retrace_files::torch::distributed::{METADATA, Metadata, Part as FilePart, locate, read};
use retrace_files::{FileError, Found, RegularFile, Root};
use retrace_spec::RelPath;
use retrace_spec::foreign::{excerpt, shown};

use crate::assemble::{Part, assemble};
use crate::checkpoint::Directory;
use crate::tensor::HeldFile;
use crate::{CheckpointError, StoredTensor};

/// The directory in which OLMo-core has the distributed checkpoint of a step.
pub(crate) const OLMO_CORE: &str = "model_and_optim";

/// What a distributed checkpoint has.
pub(crate) struct Distributed {
    pub(crate) tensors: BTreeMap<String, StoredTensor>,
    /// The names of the values that are not tensors.
    pub(crate) not_tensors: Vec<String>,
    /// The files that `.metadata` names, by their paths relative to it.
    pub(crate) files: Vec<String>,
}

/// A chunk whose numbers are to be located: its tensor, and its position among the tensor's chunks.
type Wanted<'a> = (&'a str, usize);

/// The distributed checkpoint in this directory, which has a `.metadata`.
///
/// # Errors
/// If a file cannot be read, `.metadata` is not one, or it and the files contradict each other.
pub(crate) fn open(directory: &Directory<'_>, root: &Arc<Root>) -> Result<Distributed, CheckpointError> {
    let metadata = metadata(directory)?;
    let refuse = |what: String| CheckpointError::from(directory.contradiction(METADATA, what));
    let mut by_file: Vec<Vec<Wanted<'_>>> = vec![Vec::new(); metadata.files.len()];
    for (name, tensor) in &metadata.tensors {
        let mut seen = BTreeSet::new();
        for (at, chunk) in tensor.chunks.iter().enumerate() {
            // Processes that have the same chunk list it each; there is one place for it. An empty chunk has no numbers.
            if !chunk.sizes.contains(&0)
                && seen.insert((&chunk.offsets, &chunk.sizes))
                && let Some(wanted) = by_file.get_mut(chunk.file)
            {
                wanted.push((name, at));
            }
        }
    }
    let located = metadata.files.par_iter().zip(by_file);
    let located = located.map(|(file, wanted)| in_file(directory, root, &metadata, file, &wanted));
    let mut parts: BTreeMap<&str, Vec<Part>> = BTreeMap::new();
    for (name, part) in located.collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
        parts.entry(name).or_default().push(part);
    }
    let mut tensors = BTreeMap::new();
    for (name, tensor) in &metadata.tensors {
        let parts = parts.remove(name.as_str()).unwrap_or_default();
        let tensor = assemble(tensor.dtype, tensor.shape.clone(), parts);
        tensors.insert(name.clone(), tensor.map_err(|what| refuse(format!("tensor {} {what}", named(name))))?);
    }
    let files = metadata.files.into_iter().map(|file| file.path).collect();
    Ok(Distributed { tensors, not_tensors: metadata.not_tensors, files })
}

/// The files named `*.distcp` in this directory that have bytes, and that its `.metadata` does not name. A process
/// without any chunk writes an empty file.
///
/// # Errors
/// As [`open`].
pub(crate) fn unnamed(directory: &Directory<'_>, files: &[String]) -> Result<Vec<String>, CheckpointError> {
    let named: BTreeSet<&str> = files.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    for name in directory.names.iter().filter(|name| name.ends_with(".distcp") && !named.contains(name.as_str())) {
        if directory.root.file(&directory.inside(name)?)?.size() > 0 {
            found.push(name.clone());
        }
    }
    Ok(found)
}

fn metadata(directory: &Directory<'_>) -> Result<Metadata, CheckpointError> {
    let file = directory.root.file(&directory.inside(METADATA)?)?;
    let path = file.path().to_owned();
    match read(file)? {
        Found::Tensors(metadata) => Ok(metadata),
        Found::Unreadable(why) => Err(CheckpointError::Unreadable { path, why: Some(why) }),
        // Other programs have files of this name, too.
        Found::Nothing if directory.names.iter().any(|name| name.ends_with(".distcp")) => {
            let what = "it is cut off, or not the metadata of a distributed checkpoint of PyTorch".to_owned();
            Err(directory.contradiction(METADATA, what).into())
        }
        Found::Nothing => Err(CheckpointError::Unreadable { path, why: None }),
    }
}

/// The parts of tensors that are in a file.
fn in_file<'a>(
    directory: &Directory<'_>,
    root: &Arc<Root>,
    metadata: &Metadata,
    FilePart { path, end }: &FilePart,
    wanted: &[Wanted<'a>],
) -> Result<Vec<(&'a str, Part)>, CheckpointError> {
    let refuse = |what: String| CheckpointError::from(directory.contradiction(METADATA, what));
    // Without a tensor, it has values of other kinds.
    let first = wanted.first().map_or_else(|| "a value".to_owned(), |(name, _)| format!("tensor {}", named(name)));
    let shown_path = named(path);
    let inside: RelPath = directory.inside(path).map_err(|error| {
        refuse(format!("it says that {first} is in {shown_path}, which is no path in its directory: {error}"))
    })?;
    let file = directory.root.file(&inside).map_err(|error| match &error {
        FileError::Io { source, .. } if source.kind() == ErrorKind::NotFound => {
            refuse(format!("it says that {first} is in {shown_path}, which is not there"))
        }
        _ => error.into(),
    })?;
    let held = HeldFile::inside(root, inside, file.size());
    let mut parts = Vec::with_capacity(wanted.len());
    for (name, at) in wanted {
        let Some(chunk) = metadata.tensors.get(*name).and_then(|tensor| tensor.chunks.get(*at)) else { continue };
        let end = chunk.begin.checked_add(chunk.length);
        if end.is_none_or(|end| end > file.size()) {
            let (begin, length, size) = (chunk.begin, chunk.length, file.size());
            return Err(refuse(format!(
                "it says that tensor {} is in {length} bytes from byte {begin} of {shown_path}, which has only {size} bytes",
                named(name)
            )));
        }
        let location = numbers(directory, &file, path, name, locate(&file, chunk), chunk.begin)?;
        if location.shape != chunk.sizes {
            return Err(refuse(format!(
                "it says that the part of tensor {} at {:?} has the shape {:?}, and in {shown_path} it has {:?}",
                named(name),
                chunk.offsets,
                chunk.sizes,
                location.shape
            )));
        }
        parts.push((*name, Part { offsets: chunk.offsets.clone(), file: Arc::clone(&held), location }));
    }
    if *end > file.size() {
        let size = file.size();
        return Err(refuse(format!(
            "it says that values are in {shown_path} up to byte {end}, which has only {size} bytes"
        )));
    }
    Ok(parts)
}

fn numbers(
    directory: &Directory<'_>,
    file: &RegularFile,
    path: &str,
    name: &str,
    found: Found<TensorLocation>,
    begin: u64,
) -> Result<TensorLocation, CheckpointError> {
    let tensor = named(name);
    match found {
        Found::Tensors(location) => Ok(location),
        Found::Unreadable(why) => {
            let why = format!("tensor {tensor}, at byte {begin}: {why}");
            Err(CheckpointError::Unreadable { path: file.path().to_owned(), why: Some(why) })
        }
        Found::Nothing => {
            let what = format!(
                "at byte {begin}, where {METADATA} says that tensor {tensor} begins, there is no complete tensor of torch.save"
            );
            Err(directory.contradiction(path, what).into())
        }
    }
}

/// A name from a file, for messages.
fn named(name: &str) -> String {
    format!("{:?}", shown(&excerpt(name)))
}

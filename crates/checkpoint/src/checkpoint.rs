//! A checkpoint, from the headers of its files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use retrace_files::safetensors::{MOST_TENSORS, Tensor, TensorLocation, tensor_root};
use retrace_files::torch::distributed::METADATA;
use retrace_files::{EntryKind, FileError, Found, RegularFile, Root, is_weights, tensor_places};
use retrace_spec::manifest::Tensors;
use retrace_spec::{PathError, RelPath};

use crate::distributed::{self, Distributed, OLMO_CORE};
use crate::parts::{FORMS, Parts, every_set, missing_shard, named_as_weights, parts_of};
use crate::tensor::HeldFile;
use crate::{CheckpointError, Contradiction, Index, StoredTensor, megatron, nanotron};

/// The tensors of a checkpoint, and their locations.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
    files: Vec<String>,
    tensors: BTreeMap<String, StoredTensor>,
    not_tensors: Vec<String>,
    beside: Vec<String>,
}

impl Checkpoint {
    /// Opens the checkpoint at `path`, which a user named: a directory, one file of weights, or the `.metadata` of a
    /// distributed checkpoint. Only the headers of the files are read.
    ///
    /// # Errors
    /// If a file cannot be read, there are no weights, or the files contradict each other.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        if path.is_dir() {
            return Self::inside(&Arc::new(Root::open_snapshot(path)?));
        }
        if path.file_name().is_some_and(|name| name == METADATA) {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            return Self::distributed(&Arc::new(Root::open_snapshot(directory)?), None);
        }
        let file = RegularFile::open(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self::of_one(path, &name, &file, &HeldFile::named(&file))
    }

    /// Opens the checkpoint in the directory `root`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn in_directory(root: &Root) -> Result<Self, CheckpointError> {
        Self::inside(&Arc::new(root.again()?))
    }

    /// Opens the one file at `path` below `root`; for a `.metadata`, the distributed checkpoint to which it belongs.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn of_file(root: &Arc<Root>, path: &RelPath) -> Result<Self, CheckpointError> {
        if path.file_name() == METADATA {
            return Self::distributed(root, path.parent().as_ref());
        }
        let file = root.file(path)?;
        Self::of_one(file.path(), path.file_name(), &file, &HeldFile::inside(root, path.clone(), file.size()))
    }

    fn of_one(path: &Path, name: &str, file: &RegularFile, held: &Arc<HeldFile>) -> Result<Self, CheckpointError> {
        let places = places(file, name)?;
        if places.is_empty() {
            return Err(CheckpointError::Unreadable { path: path.to_owned(), why: None });
        }
        let tensors = places.into_iter().map(|(name, place)| (name, StoredTensor::whole(held, place))).collect();
        Ok(Self {
            path: path.to_owned(),
            files: vec![name.to_owned()],
            tensors,
            not_tensors: Vec::new(),
            beside: Vec::new(),
        })
    }

    /// The distributed checkpoint in the directory at `at` below `root`, or in `root` itself.
    fn distributed(root: &Arc<Root>, at: Option<&RelPath>) -> Result<Self, CheckpointError> {
        let directory = Directory::open(root, at)?;
        let Distributed { tensors, not_tensors, files } = distributed::open(&directory, root)?;
        let beside = distributed::unnamed(&directory, &files)?;
        let files = std::iter::once(METADATA.to_owned()).chain(files).collect();
        Ok(Self { path: directory.path(), files, tensors, not_tensors, beside })
    }

    fn inside(root: &Arc<Root>) -> Result<Self, CheckpointError> {
        let directory = Directory::open(root, None)?;
        let empty = || CheckpointError::Empty { path: directory.path() };
        let mut forms = FORMS.iter();
        let Some(parts) = forms.by_ref().find_map(|form| form.parts(&directory.names)) else {
            let of_olmo_core: RelPath = directory.inside(OLMO_CORE)?;
            let found = match () {
                () if directory.is_distributed() => Self::distributed(root, None),
                () if is_distributed_at(root, &of_olmo_core) => Self::distributed(root, Some(&of_olmo_core)),
                () => {
                    let (tensors, files) = match directory.is_of_nanotron() {
                        true => {
                            let (tensors, mut files) = nanotron::open(&directory, root)?;
                            files.insert(0, nanotron::METADATA.to_owned());
                            (tensors, files)
                        }
                        false => megatron::open(&directory, root)?,
                    };
                    Ok(Self { path: directory.path(), files, tensors, not_tensors: Vec::new(), beside: Vec::new() })
                }
            };
            return match found {
                Err(CheckpointError::Unreadable { why: None, .. }) => Err(empty()),
                Ok(found) if found.tensors.is_empty() => Err(empty()),
                found => found,
            };
        };
        let mut files: Vec<String> = match &parts {
            Parts::Listed(index) => vec![index.clone()],
            Parts::Files(_) | Parts::Several(_) => Vec::new(),
        };
        let mut tensors = BTreeMap::new();
        for Headed { name, size, places } in directory.gather(&parts)? {
            let file = HeldFile::inside(root, directory.inside(&name)?, size);
            tensors.extend(places.into_iter().map(|(name, place)| (name, StoredTensor::whole(&file, place))));
            files.push(name);
        }
        match tensors.is_empty() {
            true => Err(empty()),
            false => {
                let mut beside: Vec<String> =
                    forms.filter_map(|form| form.parts(&directory.names)).flat_map(Parts::into_names).collect();
                beside.extend(directory.is_distributed().then(|| METADATA.to_owned()));
                beside.extend(directory.is_of_nanotron().then(|| nanotron::METADATA.to_owned()));
                Ok(Self { path: directory.path(), files, tensors, not_tensors: Vec::new(), beside })
            }
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of its files, in its directory: an index first, if there is one.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Its tensors, by name.
    pub const fn tensors(&self) -> &BTreeMap<String, StoredTensor> {
        &self.tensors
    }

    /// Consumes it and returns its tensors, by name.
    pub fn into_tensors(self) -> BTreeMap<String, StoredTensor> {
        self.tensors
    }

    /// The names of its values that are not tensors and are not read here, sorted: in a distributed checkpoint, for
    /// example the step and the state of random numbers.
    pub fn not_tensors(&self) -> &[String] {
        &self.not_tensors
    }

    /// The names of files in its directory that are of weights too and are not read: those of another format, and those
    /// that the `.metadata` of a distributed checkpoint does not name.
    pub fn beside(&self) -> &[String] {
        &self.beside
    }

    /// The digest of each tensor, as in a manifest, and their root.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn digests(&self) -> Result<Tensors, FileError> {
        // The largest are started first, so that no thread has a large one left at the end.
        let mut tensors: Vec<(&String, &StoredTensor)> = self.tensors.iter().collect();
        tensors.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.length()));
        let digests =
            tensors.into_par_iter().with_max_len(1).map(|(name, tensor)| Ok((name.clone(), tensor.digest()?)));
        let digests = digests.collect::<Result<BTreeMap<_, _>, FileError>>()?;
        let root = tensor_root(digests.iter().map(|(name, digest)| (name.as_str(), *digest)));
        Ok(Tensors { root, digests })
    }

    /// Reads all tensors.
    ///
    /// # Errors
    /// If one cannot be read.
    pub fn read_all(&self) -> Result<BTreeMap<String, Tensor>, CheckpointError> {
        let mut last = None;
        let read = |(name, tensor): (&String, &StoredTensor)| Ok((name.clone(), tensor.read_beside(&mut last)?));
        self.tensors.iter().map(read).collect()
    }
}

/// The contradictions between files in the directory at `at` below `root`, or in `root` itself: between every index
/// and its shards, and among shards without an index; between the `.metadata` of a distributed checkpoint and its files;
/// also between the name of a file and its content, if the name
/// is that of a PyTorch checkpoint, or ends with `.safetensors`. Files whose tensors cannot be read here are otherwise
/// skipped.
///
/// # Errors
/// If the directory cannot be listed.
pub fn contradictions(root: &Root, at: Option<&RelPath>) -> Result<Vec<Contradiction>, FileError> {
    let directory = Directory::open(root, at)?;
    let mut found = Vec::new();
    let safetensors = directory.names.iter().filter(|name| name.ends_with(".safetensors"));
    let mut named: BTreeSet<String> = named_as_weights(&directory.names).chain(safetensors).cloned().collect();
    for (about, parts) in every_set(&directory.names) {
        match directory.gather(&parts) {
            Ok(_) | Err(CheckpointError::Empty { .. }) => {}
            // Also a shard of another name, which an index lists.
            Err(CheckpointError::Unreadable { path, .. }) => {
                named.extend(path.file_name().and_then(|name| name.to_str()).map(str::to_owned));
            }
            Err(CheckpointError::Contradiction(contradiction)) => found.push(contradiction),
            Err(CheckpointError::File(error)) => {
                found.push(directory.contradiction(&about, format!("it cannot be compared with its shards: {error}")));
            }
        }
    }
    if directory.is_distributed() {
        found.extend(directory.contradiction_of_distributed()?);
    }
    if directory.is_of_nanotron() {
        found.extend(directory.told(nanotron::open(&directory, &Arc::new(root.again()?)), nanotron::METADATA));
    }
    for name in &named {
        // A directory or a link of this name is reported where the release's files are listed.
        let Ok(file) = root.file(&directory.inside(name)?) else { continue };
        let what = match tensor_places(&file, name) {
            Err(FileError::Safetensors { place, what, .. }) => format!("{place}: {what}"),
            _ if !is_weights(&file, name)? => "it is empty, cut off or another file".to_owned(),
            _ => continue,
        };
        found.push(
            directory.contradiction(name, format!("its name is that of weights, and its content is not: {what}")),
        );
    }
    Ok(found)
}

/// Whether the directory at `at` below `root` has a `.metadata`, as a distributed checkpoint.
fn is_distributed_at(root: &Root, at: &RelPath) -> bool {
    root.directory(at).and_then(|directory| directory.list()).is_ok_and(|names| is_metadata_among(&names))
}

fn is_metadata_among(names: &[(String, EntryKind)]) -> bool {
    names.iter().any(|(name, kind)| name == METADATA && *kind != EntryKind::Directory)
}

/// A directory that may hold a checkpoint.
pub(crate) struct Directory<'a> {
    pub(crate) root: &'a Root,
    at: Option<&'a RelPath>,
    /// The names in it, sorted.
    pub(crate) names: Vec<String>,
    distributed: bool,
}

/// A file whose header was read.
struct Headed {
    name: String,
    size: u64,
    places: BTreeMap<String, TensorLocation>,
}

impl<'a> Directory<'a> {
    fn open(root: &'a Root, at: Option<&'a RelPath>) -> Result<Self, FileError> {
        let listed = match at {
            Some(at) => root.directory(at)?.list()?,
            None => root.list()?,
        };
        let distributed = is_metadata_among(&listed);
        Ok(Self { root, at, names: listed.into_iter().map(|(name, _)| name).collect(), distributed })
    }

    /// Whether it has a `.metadata`, as a distributed checkpoint.
    const fn is_distributed(&self) -> bool {
        self.distributed
    }

    /// Whether it has the file that nanotron's checkpoints have.
    fn is_of_nanotron(&self) -> bool {
        self.names.iter().any(|name| name == nanotron::METADATA)
    }

    /// The first contradiction between its `.metadata` and the files of the distributed checkpoint, if there is one.
    fn contradiction_of_distributed(&self) -> Result<Option<Contradiction>, FileError> {
        let root = Arc::new(self.root.again()?);
        let found = distributed::open(self, &root).and_then(|found| distributed::unnamed(self, &found.files));
        match found {
            Ok(unnamed) => Ok(unnamed
                .first()
                .map(|name| self.contradiction(name, format!("it is not empty, and {METADATA} does not name it")))),
            Err(error) => Ok(self.told::<()>(Err(error), METADATA)),
        }
    }

    /// The contradiction that an error of opening a checkpoint is, if it is one. The file `about` lists the others.
    fn told<T>(&self, opened: Result<T, CheckpointError>, about: &str) -> Option<Contradiction> {
        match opened {
            Ok(_) | Err(CheckpointError::Unreadable { .. } | CheckpointError::Empty { .. }) => None,
            Err(CheckpointError::Contradiction(contradiction)) => Some(contradiction),
            Err(CheckpointError::File(error)) => {
                Some(self.contradiction(about, format!("it cannot be compared with its files: {error}")))
            }
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.at.map_or_else(|| self.root.path().to_owned(), |at| at.under(self.root.path()))
    }

    /// The path below the root of the file called `name`.
    pub(crate) fn inside(&self, name: &str) -> Result<RelPath, FileError> {
        let path = self.at.map_or_else(|| name.parse(), |at| at.join(name));
        path.map_err(|e: PathError| FileError::Name { path: self.path().join(name), what: e.to_string() })
    }

    pub(crate) fn contradiction(&self, file: &str, what: String) -> Contradiction {
        Contradiction { directory: self.path(), file: file.to_owned(), what }
    }

    fn header(&self, name: &str) -> Result<Headed, CheckpointError> {
        let file = self.root.file(&self.inside(name)?)?;
        Ok(Headed { name: name.to_owned(), size: file.size(), places: places(&file, name)? })
    }

    /// The headers of these files, after a check that they are consistent.
    fn gather(&self, parts: &Parts) -> Result<Vec<Headed>, CheckpointError> {
        match parts {
            Parts::Listed(index) => self.listed(index),
            Parts::Files(files) => self.unlisted(files),
            Parts::Several(indices) => {
                let (first, others) = indices
                    .split_first()
                    .map_or(("", ""), |(first, others)| (first.as_str(), others.first().map_or("", String::as_str)));
                Err(self.contradiction(first, format!("{others} lies beside it: which of the two is meant?")).into())
            }
        }
    }

    /// The shards that the index called `index` lists.
    fn listed(&self, index: &str) -> Result<Vec<Headed>, CheckpointError> {
        let read = Index::read(self.root.file(&self.inside(index)?)?, index)?;
        let listed = read.map_err(|what| self.contradiction(index, what))?;
        let shards = listed.by_shard();
        let mut all = Vec::with_capacity(shards.len());
        for (shard, tensors) in &shards {
            let first = tensors.first().copied().unwrap_or_default();
            let headed = self.header(shard).map_err(|error| match error {
                CheckpointError::File(FileError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound =>
                {
                    let what = format!("it says that tensor {first:?} is in {shard}, which is not there");
                    CheckpointError::from(self.contradiction(index, what))
                }
                error => error,
            })?;
            if let Some(tensor) = tensors.iter().find(|tensor| !headed.places.contains_key(**tensor)) {
                let what = format!("it says that tensor {tensor:?} is in {shard}, which does not hold it");
                return Err(self.contradiction(index, what).into());
            }
            self.all_listed(&headed, &listed, index)?;
            all.push(headed);
        }
        let others = parts_of(index, &self.names).into_iter().filter(|name| !shards.contains_key(name.as_str()));
        for other in others {
            match self.header(other) {
                Ok(headed) => self.all_listed(&headed, &listed, index)?,
                Err(CheckpointError::Unreadable { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// Whether the index lists each tensor of a file in that file.
    fn all_listed(&self, file: &Headed, listed: &Index, index: &str) -> Result<(), Contradiction> {
        let elsewhere = |tensor: &&String| listed.shards.get(*tensor) != Some(&file.name);
        let Some(tensor) = file.places.keys().find(elsewhere) else { return Ok(()) };
        let what = match listed.shards.get(tensor) {
            Some(other) => format!("it holds tensor {tensor:?}, which {index} says is in {other}"),
            None => format!("it holds tensor {tensor:?}, which {index} does not list"),
        };
        Err(self.contradiction(&file.name, what))
    }

    /// Files without an index.
    fn unlisted(&self, files: &[String]) -> Result<Vec<Headed>, CheckpointError> {
        if let Some((missing, file)) = missing_shard(files) {
            let what = format!("{missing}, which should be beside it by its name, is not there");
            return Err(self.contradiction(&file, what).into());
        }
        let mut all: Vec<Headed> = Vec::with_capacity(files.len());
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for file in files {
            let headed = self.header(file)?;
            for tensor in headed.places.keys() {
                if let Some(other) = seen.insert(tensor.clone(), all.len()).and_then(|at| all.get(at)) {
                    let what = format!("it has tensor {tensor:?}, as {} has: it is in two files", other.name);
                    return Err(self.contradiction(file, what).into());
                }
            }
            if seen.len() > MOST_TENSORS {
                let what = format!("with those in the files before it there are more than {MOST_TENSORS} tensors");
                return Err(self.contradiction(file, what).into());
            }
            all.push(headed);
        }
        Ok(all)
    }
}

/// The locations of the tensors of a file.
pub(crate) fn places(file: &RegularFile, name: &str) -> Result<BTreeMap<String, TensorLocation>, CheckpointError> {
    let why = match tensor_places(file, name)? {
        Found::Tensors(places) => return Ok(places),
        Found::Unreadable(why) => Some(why),
        Found::Nothing => None,
    };
    Err(CheckpointError::Unreadable { path: file.path().to_owned(), why })
}

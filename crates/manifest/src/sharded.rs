//! Checkpoints in several files, with an index that says which tensor is where
//! (`model.safetensors.index.json`, as transformers writes it).

use std::collections::BTreeMap;
use std::io::Read;

use retrace_files::safetensors::tensor_root;
use retrace_files::{FileError, Root, file_tensors, tensor_places};
use retrace_spec::manifest::{Artifact, Tensors};
use retrace_spec::{Digest, RelPath};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};

use crate::seal::is_safetensors;
use crate::unlisted::is_sparse;
use crate::verify::{Entry, Expected, Said, Verdict};

/// Longer than the index of any model.
const LONGEST: u64 = 64 << 20;

/// Whether a file is such an index, by its name.
pub fn is_index(path: &RelPath) -> bool {
    path.as_str().ends_with(".safetensors.index.json") || path.as_str().ends_with(".bin.index.json")
}

#[derive(Deserialize)]
struct Index {
    weight_map: WeightMap,
}

/// The file of each tensor. One that is there twice could be read either way, and is refused.
struct WeightMap(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = WeightMap;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the file of each tensor")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WeightMap, A::Error> {
                let mut files = BTreeMap::new();
                while let Some((tensor, file)) = map.next_entry::<String, String>()? {
                    if files.insert(tensor, file).is_some() {
                        return Err(serde::de::Error::custom("a tensor is listed twice"));
                    }
                }
                Ok(WeightMap(files))
            }
        }
        deserializer.deserialize_map(Map)
    }
}

/// The root over all tensors of the checkpoint that the index at `path` is of, which is that of the
/// same tensors in one file. No digests: those stand with the shards. Nothing if the index and the
/// shards beside it do not name the very same tensors.
///
/// # Errors
/// If the index cannot be read.
pub(crate) fn index_tensors(
    root: &Root,
    path: &RelPath,
    artifacts: &BTreeMap<&RelPath, &Artifact>,
) -> Result<Option<Tensors>, FileError> {
    let mut text = String::new();
    let whole = path.under(root.path());
    let read = root.file(path)?.into_file().take(LONGEST).read_to_string(&mut text);
    let index: Option<Index> = match read {
        Ok(_) => serde_json::from_str(&text).ok(),
        Err(e) if e.kind() == std::io::ErrorKind::InvalidData => None,
        Err(e) => return Err(FileError::io(&whole, "read")(e)),
    };
    Ok(index.and_then(|index| set(path, &index.weight_map.0, artifacts)))
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

/// Where the files of a checkpoint were cut otherwise, every tensor being the sealed one, says so in what
/// is said of each that is expected, and of `others`.
pub(crate) fn tell_of_resharding(expected: &[Expected], root: &Root, said: &mut [Said], others: &mut [Entry]) {
    // Those that differ, by directory. One file that holds other tensors, or none that could hold the
    // missing ones: not this.
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
        // What is verified holds what it should.
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
            let told =
                format!("all tensors in {directory} are equal to the sealed ones; only the split into shards differs");
            entry.diagnosis = match entry.verdict {
                Verdict::Missing => format!("it is missing; {told}"),
                Verdict::Extra => format!("the manifest does not list it; {told}"),
                _ => format!("its bytes differ; {told}"),
            };
            entry.tensors.clear();
        }
    }
}

/// Whether these files and what was `kept` hold the sealed tensors, each once. Their headers are asked
/// before a byte of theirs is read.
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
            Ok(Some(places)) if !is_sparse(file.metadata()) && places.keys().all(|name| sealed.contains_key(name)) => {
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
        let Ok(Some(tensors)) = tensors else { return false };
        found.extend(tensors.digests);
    }
    found.len() == sealed.len() && sealed.iter().all(|(name, digest)| found.get(*name) == Some(digest))
}

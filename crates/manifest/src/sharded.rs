//! Checkpoints in several files, with an index that says which tensor is where
//! (`model.safetensors.index.json`, as transformers writes it).

use std::collections::BTreeMap;
use std::io::Read;

use retrace_files::safetensors::tensor_root;
use retrace_files::{FileError, Root};
use retrace_spec::manifest::{Artifact, Tensors};
use retrace_spec::{Digest, RelPath};
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};

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
                        return Err(serde::de::Error::custom("a tensor comes twice"));
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
            shards.insert(file, shard.tensors.as_ref()?);
        }
    }
    let all: Option<BTreeMap<&str, Digest>> = weight_map
        .iter()
        .map(|(tensor, file)| Some((tensor.as_str(), *shards.get(file.as_str())?.digests.get(tensor)?)))
        .collect();
    let all = all.filter(|all| all.len() == shards.values().map(|shard| shard.digests.len()).sum::<usize>())?;
    Some(Tensors { root: tensor_root(all.into_iter()), digests: BTreeMap::new() })
}

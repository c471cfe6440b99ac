//! The index of a checkpoint in several files: which file contains which tensor.

use std::collections::BTreeMap;
use std::fmt;

use retrace_files::safetensors::{LONGEST_NAME, MOST_TENSORS};
use retrace_files::{FileError, RegularFile};
use retrace_spec::RelPath;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Longer than the index of any model: an index of 100,000 tensors has about ten megabytes.
const LONGEST: u64 = 64 << 20;

/// Whether a file is such an index, by its name.
pub fn is_index(name: &str) -> bool {
    shards_of(name).is_some()
}

/// The beginning and the ending of the names of an index's shards, by the name of the index:
/// `model.safetensors.index.json` has the shards `model-….safetensors`. With a variant, transformers calls the index
/// `model.safetensors.index.fp16.json`, and its shards `model.fp16-….safetensors`.
pub(crate) fn shards_of(index: &str) -> Option<(String, &'static str)> {
    let named = index.strip_suffix(".json")?;
    let (files, variant) = match named.strip_suffix(".index") {
        Some(files) => (files, None),
        None => {
            named.rsplit_once('.').and_then(|(rest, variant)| Some((rest.strip_suffix(".index")?, Some(variant))))?
        }
    };
    let ending = ENDINGS.into_iter().find(|ending| files.ends_with(ending))?;
    let stem = files.strip_suffix(ending)?;
    Some((variant.map_or_else(|| stem.to_owned(), |variant| format!("{stem}.{variant}")), ending))
}

/// The endings of the names of shards.
const ENDINGS: [&str; 2] = [".safetensors", ".bin"];

/// The shard of every tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The name of the shard, which is in the same directory as the index, by the name of the tensor.
    pub shards: BTreeMap<String, String>,
}

impl Index {
    /// Reads the index that is `file`, called `name`. The inner result says what is wrong with it, if it is not valid.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(file: RegularFile, name: &str) -> Result<Result<Self, String>, FileError> {
        let bytes = match file.read(LONGEST) {
            Err(FileError::TooLarge { most, .. }) => {
                return Ok(Err(format!("it has more than {most} bytes, and no index has")));
            }
            read => read?,
        };
        Ok(serde_json::from_slice::<Text>(&bytes).map_err(|e| format!("it is no index of a checkpoint: {e}")).and_then(
            |Text { weight_map: WeightMap(shards) }| {
                let ending = name.strip_suffix(".index.json").and_then(|name| name.rsplit_once('.'));
                let ending = ending.map_or("", |(_, ending)| ending);
                let beside = |shard: &str| {
                    let path: Option<RelPath> = shard.parse().ok();
                    path.is_some_and(|path| path.parent().is_none()) && shard.ends_with(&format!(".{ending}"))
                };
                match shards.iter().find(|(_, shard)| !beside(shard)) {
                    Some((tensor, shard)) => Err(format!(
                        "it says that tensor {tensor:?} is in {shard:?}, which is not the name of a .{ending} file beside it"
                    )),
                    None => Ok(Self { shards }),
                }
            },
        ))
    }

    /// The names of the shards, and the tensors that the index lists for each.
    pub fn by_shard(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut shards: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (tensor, shard) in &self.shards {
            shards.entry(shard).or_default().push(tensor);
        }
        shards
    }
}

/// The index as JSON. Other fields, such as the total size, are not read.
#[derive(Deserialize)]
struct Text {
    weight_map: WeightMap,
}

/// The shard of each tensor. A tensor that is listed twice would be ambiguous, and is refused.
struct WeightMap(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = WeightMap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the file of each tensor")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WeightMap, A::Error> {
                let mut shards = BTreeMap::new();
                while let Some((tensor, shard)) = map.next_entry::<String, String>()? {
                    if let Some(long) = [&tensor, &shard].into_iter().find(|name| name.len() > LONGEST_NAME) {
                        let what = format!("a name of {} bytes; at most {LONGEST_NAME} are read", long.len());
                        return Err(A::Error::custom(what));
                    }
                    if shards.len() == MOST_TENSORS {
                        return Err(A::Error::custom(format!("more than {MOST_TENSORS} tensors")));
                    }
                    if shards.contains_key(&tensor) {
                        return Err(A::Error::custom(format!("tensor {tensor:?} comes twice")));
                    }
                    shards.insert(tensor, shard);
                }
                Ok(WeightMap(shards))
            }
        }
        deserializer.deserialize_map(Map)
    }
}

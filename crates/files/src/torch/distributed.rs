//! PyTorch's distributed checkpoints (DCP): the file `.metadata` of one, as data.
//!
//! Source: `torch/distributed/checkpoint/metadata.py` and `filesystem.py` of PyTorch 2.15. `.metadata` is a pickle of
//! `Metadata`. Its `state_dict_metadata` has the type and shape of each tensor and the chunks of it; its `storage_data`
//! says for each chunk in which file, at which byte and in how many it is. There, each chunk is a whole file of
//! `torch.save`. OLMo-core (`olmo_core/distributed/checkpoint/filesystem.py`), lingua, torchtitan and Megatron
//! (`torch_dist`) write the same, some with a class of their own for the place of a chunk.
//!
//! No call of the pickle is executed: an object is its class's name and its attributes. Only objects of the classes
//! below are read. Others may be in `planner_data` and `storage_meta`, which are not looked at; at the place of one that
//! is needed, the class is named in the error.

use std::collections::{BTreeMap, HashMap};

use retrace_spec::foreign::{excerpt, shown};

use super::pickle::{self, Id, Value, Values};
use crate::safetensors::{Dtype, LONGEST_NAME, MOST_DIMENSIONS, MOST_TENSORS, TensorLocation};
use crate::{FileError, Found, RegularFile};

/// The name of the file.
pub const METADATA: &str = ".metadata";

/// A longer one is refused. A chunk takes about 200 bytes in it.
const LONGEST: u64 = 128 << 20;
/// A chunk takes about 80.
const MOST_INSTRUCTIONS: usize = 48 << 20;
/// More chunks are refused; and more files.
const MOST_CHUNKS: usize = 1 << 20;
/// No object that is read has more attributes.
const MOST_ATTRIBUTES: usize = 16;

const TOP: &str = "torch.distributed.checkpoint.metadata.Metadata";
const TENSOR: &str = "torch.distributed.checkpoint.metadata.TensorStorageMetadata";
const BYTES: &str = "torch.distributed.checkpoint.metadata.BytesStorageMetadata";
const CHUNK: &str = "torch.distributed.checkpoint.metadata.ChunkStorageMetadata";
const INDEX: &str = "torch.distributed.checkpoint.metadata.MetadataIndex";
const PROPERTIES: [&str; 2] = [
    "torch.distributed.checkpoint.metadata.TensorProperties",
    // Before PyTorch 2.3.
    "torch.distributed._shard.sharded_tensor.metadata.TensorProperties",
];
const PLACE: [&str; 2] = [
    "torch.distributed.checkpoint.filesystem._StorageInfo",
    "olmo_core.distributed.checkpoint.filesystem._StorageInfo",
];

/// Whether a file of this name belongs to a distributed checkpoint.
pub fn is_part(name: &str) -> bool {
    name == METADATA || name.ends_with(".distcp")
}

/// What a `.metadata` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The tensors, by name.
    pub tensors: BTreeMap<String, Chunked>,
    /// The names of the values that are not tensors, such as the step and the state of random numbers; sorted.
    pub not_tensors: Vec<String>,
    /// The files, sorted by path.
    pub files: Vec<Part>,
}

/// A file of a distributed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its path, relative to `.metadata`.
    pub path: String,
    /// The offset behind the last byte of the values in it.
    pub end: u64,
}

/// A tensor in chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunked {
    /// The type of its numbers.
    pub dtype: Dtype,
    /// Its size in every dimension.
    pub shape: Vec<usize>,
    /// Its chunks. Whether they are the whole tensor is not checked.
    pub chunks: Vec<Chunk>,
}

/// A part of a tensor: some indices in every dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The first index in every dimension.
    pub offsets: Vec<usize>,
    /// Its size in every dimension.
    pub sizes: Vec<usize>,
    /// The file, by its position in [`Metadata::files`].
    pub file: usize,
    /// The offset of the first byte of its `torch.save` in the file.
    pub begin: u64,
    /// The number of bytes of its `torch.save`.
    pub length: u64,
}

/// Reads the `.metadata` of a distributed checkpoint; [`Found::Nothing`] if the file is cut off or something else.
///
/// # Errors
/// If the file cannot be read.
pub fn read(file: RegularFile) -> Result<Found<Metadata>, FileError> {
    const PICKLE: u8 = 0x80;
    let mut first = [0];
    if file.size() > 0 {
        file.read_at(&mut first, 0)?;
    }
    if first != [PICKLE] {
        return Ok(Found::Nothing);
    }
    if file.size() > LONGEST {
        return Ok(Found::Unreadable(format!("it is longer than {LONGEST} bytes")));
    }
    let bytes = file.read(LONGEST)?;
    Ok(of_pickle(&bytes))
}

fn of_pickle(bytes: &[u8]) -> Found<Metadata> {
    let Some((values, top)) = pickle::read(bytes, MOST_INSTRUCTIONS) else { return Found::Nothing };
    let pickled = Pickled { values: &values };
    match pickled.class(top) {
        Some(TOP) => match pickled.metadata(top) {
            Ok(metadata) => Found::Tensors(metadata),
            Err(why) => Found::Unreadable(why),
        },
        _ => Found::Nothing,
    }
}

/// The location of the chunk's numbers in its file. [`Found::Nothing`] if there is no `torch.save` of one tensor.
pub fn locate(file: &RegularFile, chunk: &Chunk) -> Found<TensorLocation> {
    super::read_item(file, chunk.begin, chunk.length)
}

/// The place of an item in a file.
#[derive(Clone, Copy)]
struct Place<'a> {
    file: &'a str,
    begin: u64,
    length: u64,
}

/// A key of `storage_data`: a tensor's name and the offsets of a chunk; none for a value that is not a tensor.
type Key<'a> = (&'a str, Option<Vec<usize>>);

/// Where each item is.
type Places<'a> = HashMap<Key<'a>, Place<'a>>;

/// The values of a pickle, read as objects with attributes.
struct Pickled<'a> {
    values: &'a Values,
}

impl<'a> Pickled<'a> {
    /// The class of an object.
    fn class(&self, id: Id) -> Option<&'a str> {
        match self.values.get(id)? {
            Value::Call { function, .. } => match self.values.get(*function)? {
                Value::Global(class) => Some(class),
                _ => None,
            },
            _ => None,
        }
    }

    /// An object's attributes, if it is of one of these classes.
    fn state(&self, id: Id, classes: &[&str], what: &str) -> Result<&'a Value, String> {
        match (self.class(id), self.values.get(id)) {
            (Some(class), Some(Value::Call { state, .. })) if classes.contains(&class) => {
                state.and_then(|state| self.values.get(state)).ok_or_else(|| format!("{what} has no attributes"))
            }
            (Some(class), _) => Err(format!("{what} is of the class {}, which is not read here", named(class))),
            (None, _) => Err(format!("{what} is no object of the class {}", classes.first().unwrap_or(&""))),
        }
    }

    /// The attribute of this name; the last one, as in Python.
    fn attribute(&self, state: &'a Value, name: &str, what: &str) -> Result<Id, String> {
        let missing = || format!("{what} has no {name}");
        // More would only cost time: each object may have the same ones.
        let entries = match state {
            Value::Dict(entries) if entries.len() <= MOST_ATTRIBUTES => entries,
            _ => return Err(missing()),
        };
        let found = entries.iter().rev().find(|(key, _)| self.text(*key) == Some(name));
        found.map(|(_, value)| *value).ok_or_else(missing)
    }

    fn text(&self, id: Id) -> Option<&'a str> {
        match self.values.get(id)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn count(&self, id: Id) -> Option<u64> {
        match self.values.get(id)? {
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    fn entries(&self, id: Id, what: &str) -> Result<&'a [(Id, Id)], String> {
        match self.values.get(id) {
            Some(Value::Dict(entries)) => Ok(entries),
            _ => Err(format!("{what} is no dictionary")),
        }
    }

    /// A `torch.Size`: sizes or offsets.
    fn sizes(&self, id: Id, what: &str) -> Result<Vec<usize>, String> {
        let wrong = || format!("{what} is no list of at most {MOST_DIMENSIONS} sizes");
        let items = match self.values.get(id).ok_or_else(wrong)? {
            Value::Sequence(items) => items,
            Value::Call { arguments, .. } if self.class(id) == Some("torch.Size") => {
                match self.values.get(*arguments).ok_or_else(wrong)? {
                    Value::Sequence(arguments) => match arguments.as_slice() {
                        [] => return Ok(Vec::new()),
                        [items] => match self.values.get(*items) {
                            Some(Value::Sequence(items)) => items,
                            _ => return Err(wrong()),
                        },
                        _ => return Err(wrong()),
                    },
                    _ => return Err(wrong()),
                }
            }
            _ => return Err(wrong()),
        };
        if items.len() > MOST_DIMENSIONS {
            return Err(wrong());
        }
        let size = |item: &Id| usize::try_from(self.count(*item)?).ok();
        items.iter().map(size).collect::<Option<_>>().ok_or_else(wrong)
    }

    fn metadata(&self, top: Id) -> Result<Metadata, String> {
        let state = self.state(top, &[TOP], "the metadata")?;
        let stored = self.attribute(state, "storage_data", "the metadata")?;
        let (places, ends) = self.places(stored)?;
        let files: Vec<&str> = ends.keys().copied().collect();
        let parts = ends.iter().map(|(path, end)| Part { path: (*path).to_owned(), end: *end });
        let mut metadata = Metadata { files: parts.collect(), ..Default::default() };
        let described = self.attribute(state, "state_dict_metadata", "the metadata")?;
        let (mut chunks, mut seen) = (0usize, 0usize);
        for (key, value) in self.entries(described, "state_dict_metadata")? {
            let name = self.text(*key).ok_or("a key of state_dict_metadata is no text")?;
            seen += 1;
            if name.len() > LONGEST_NAME || seen > MOST_TENSORS {
                return Err(format!("it has more than {MOST_TENSORS} names, or one of more than {LONGEST_NAME} bytes"));
            }
            if self.class(*value) == Some(BYTES) {
                metadata.not_tensors.push(name.to_owned());
                continue;
            }
            let tensor = self.tensor(name, *value, &places, &files, &mut chunks)?;
            if metadata.tensors.insert(name.to_owned(), tensor).is_some() {
                return Err(format!("tensor {} occurs twice", named(name)));
            }
        }
        metadata.not_tensors.sort();
        metadata.not_tensors.dedup();
        Ok(metadata)
    }

    /// Where each item is, and the files with the end of the last item in each.
    fn places(&self, stored: Id) -> Result<(Places<'a>, BTreeMap<&'a str, u64>), String> {
        let entries = self.entries(stored, "storage_data")?;
        if entries.len() > MOST_CHUNKS {
            return Err(format!("it has more than {MOST_CHUNKS} items"));
        }
        let (mut places, mut files) = (HashMap::with_capacity(entries.len()), BTreeMap::new());
        for (key, value) in entries {
            let what = "a key of storage_data";
            let index = self.state(*key, &[INDEX], what)?;
            let name = self.text(self.attribute(index, "fqn", what)?).ok_or("a key of storage_data has no name")?;
            let offsets = match self.attribute(index, "offset", what) {
                Ok(offset) if self.values.get(offset) != Some(&Value::Other) => Some(self.sizes(offset, what)?),
                _ => None,
            };
            let what = format!("the place of {}", named(name));
            let place = self.state(*value, &PLACE, &what)?;
            if let Ok(transformed) = self.attribute(place, "transform_descriptors", &what)
                && !matches!(self.values.get(transformed), Some(Value::Other))
                && !matches!(self.values.get(transformed), Some(Value::Sequence(items)) if items.is_empty())
            {
                let by = match self.values.get(transformed) {
                    Some(Value::Sequence(items)) => items.iter().find_map(|item| self.text(*item)),
                    _ => None,
                };
                return Err(format!(
                    "{} is stored through {}, which is not undone here",
                    named(name),
                    named(by.unwrap_or("an extension"))
                ));
            }
            let file = self.text(self.attribute(place, "relative_path", &what)?);
            let file = file.ok_or_else(|| format!("{what} has no path"))?;
            let number = |attribute| {
                let number = self.count(self.attribute(place, attribute, &what)?);
                number.ok_or_else(|| format!("{what} has no {attribute} that can be"))
            };
            let place = Place { file, begin: number("offset")?, length: number("length")? };
            let end = files.entry(file).or_insert(0);
            *end = place.begin.saturating_add(place.length).max(*end);
            if places.insert((name, offsets), place).is_some() {
                return Err(format!("{what} occurs twice"));
            }
        }
        Ok((places, files))
    }

    fn tensor(
        &self,
        name: &'a str,
        value: Id,
        places: &Places<'a>,
        files: &[&str],
        chunks: &mut usize,
    ) -> Result<Chunked, String> {
        let what = format!("tensor {}", named(name));
        let state = self.state(value, &[TENSOR], &what)?;
        let properties = self.attribute(state, "properties", &what)?;
        let dtype = match self.state(properties, &PROPERTIES, &format!("the type of {what}"))? {
            Value::Sequence(state) => state.first().copied(),
            state @ Value::Dict(_) => self.attribute(state, "dtype", &what).ok(),
            _ => None,
        };
        let dtype = match dtype.and_then(|dtype| self.values.get(dtype)) {
            Some(Value::Global(class)) => {
                dtype_of(class).ok_or_else(|| format!("{what} is of {}, which is not read here", named(class)))?
            }
            _ => return Err(format!("{what} has no type")),
        };
        let shape = self.sizes(self.attribute(state, "size", &what)?, &format!("the shape of {what}"))?;
        let listed = match self.values.get(self.attribute(state, "chunks", &what)?) {
            Some(Value::Sequence(listed)) => listed,
            _ => return Err(format!("{what} has no list of chunks")),
        };
        *chunks += listed.len();
        if *chunks > MOST_CHUNKS {
            return Err(format!("it has more than {MOST_CHUNKS} chunks"));
        }
        let mut all = Vec::with_capacity(listed.len());
        for chunk in listed {
            let what = format!("a chunk of {what}");
            let state = self.state(*chunk, &[CHUNK], &what)?;
            let offsets = self.sizes(self.attribute(state, "offsets", &what)?, &what)?;
            let sizes = self.sizes(self.attribute(state, "sizes", &what)?, &what)?;
            let key = (name, Some(offsets));
            let place = places.get(&key).ok_or_else(|| {
                format!("{what}, at {:?}, has no place in storage_data", key.1.as_deref().unwrap_or_default())
            })?;
            let file = files.binary_search(&place.file).map_err(|_| format!("{what} has no file"))?;
            let offsets = key.1.unwrap_or_default();
            all.push(Chunk { offsets, sizes, file, begin: place.begin, length: place.length });
        }
        Ok(Chunked { dtype, shape, chunks: all })
    }
}

/// A name from the file, for messages.
fn named(name: &str) -> String {
    shown(&excerpt(name)).to_string()
}

/// The type of numbers that PyTorch calls this.
fn dtype_of(class: &str) -> Option<Dtype> {
    Some(match class {
        "torch.bool" => Dtype::BOOL,
        "torch.uint8" => Dtype::U8,
        "torch.int8" => Dtype::I8,
        "torch.uint16" => Dtype::U16,
        "torch.int16" => Dtype::I16,
        "torch.float16" => Dtype::F16,
        "torch.bfloat16" => Dtype::BF16,
        "torch.float8_e4m3fn" => Dtype::F8_E4M3,
        "torch.float8_e4m3fnuz" => Dtype::F8_E4M3FNUZ,
        "torch.float8_e5m2" => Dtype::F8_E5M2,
        "torch.float8_e5m2fnuz" => Dtype::F8_E5M2FNUZ,
        "torch.float8_e8m0fnu" => Dtype::F8_E8M0,
        "torch.complex64" => Dtype::C64,
        "torch.uint32" => Dtype::U32,
        "torch.int32" => Dtype::I32,
        "torch.float32" => Dtype::F32,
        "torch.uint64" => Dtype::U64,
        "torch.int64" => Dtype::I64,
        "torch.float64" => Dtype::F64,
        _ => return None,
    })
}

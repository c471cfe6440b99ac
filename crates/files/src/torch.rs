//! PyTorch checkpoints (`torch.save` since 1.6), read without executing anything.
//!
//! Such a file is an uncompressed ZIP archive with a pickle of everything except the numbers (`NAME/data.pkl`) and one
//! entry for each storage of numbers (`NAME/data/KEY`). The pickle is a program that may call any Python function;
//! [`pickle`] executes none of the calls and only records their arguments. A tensor is a recorded call of
//! `torch._utils._rebuild_tensor_v2`. So a tensor's name, type, shape and location in the file are known, and it is
//! hashed as a safetensors file's would be. The values beside the tensors are available as [`Plain`].
//!
//! Nested names are joined by `.`, as `model.layers.0.wq.weight`. A file is accepted only if each of its tensors is
//! dense and in row-major order; older and big-endian files are not accepted.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};

use retrace_spec::guard;
use zip::read::Config;
use zip::unstable::read::ZipIterable;
use zip::{CompressionMethod, ZipArchive};

use crate::safetensors::{Dtype, LONGEST_NAME, MOST_DIMENSIONS, MOST_TENSORS, TensorLocation};
use crate::{FileError, RegularFile};

mod pickle;

use pickle::{Id, Value, Values};

/// The longest pickle that is read: that of a model with many thousand tensors has a few megabytes.
const LONGEST_PICKLE: u64 = 32 << 20;
/// More entries than any checkpoint has.
const MOST_ENTRIES: usize = 1 << 18;
/// Deeper nesting than in any checkpoint.
const DEEPEST: usize = 32;
/// A value may be used in many places, so a short pickle could otherwise take unlimited time to search.
const MOST_LOOKS: usize = 2 << 20;
/// Tied tensors share bytes; no checkpoint shares them more often than this.
const MOST_SHARED: u64 = 16;

/// The location of each tensor of `file`; `None` if it is not such a file.
///
/// # Errors
/// If the file cannot be read.
pub(crate) fn read_header(file: &RegularFile) -> Result<Option<BTreeMap<String, TensorLocation>>, FileError> {
    Ok(Checkpoint::read(file)?.and_then(|checkpoint| checkpoint.places()))
}

/// Whether `file` is a complete ZIP archive, or begins as a pickle, which PyTorch wrote without an archive before 1.6.
pub(crate) fn is_archive_or_pickle(file: &RegularFile) -> Result<bool, FileError> {
    const PICKLE: u8 = 0x80;
    let mut first = [0; 4];
    let length = file.size().min(4) as usize;
    file.read_at(&mut first[..length], 0)?;
    if first != *b"PK\x03\x04" {
        return Ok(first[0] == PICKLE);
    }
    let mut again = file.file().try_clone().map_err(FileError::io(file.path(), "open"))?;
    again.rewind().map_err(FileError::io(file.path(), "read"))?;
    // If the archive's reader panics, the file is not an archive.
    Ok(guard(|| ZipIterable::try_new(&again, Config::default()).is_ok()).unwrap_or(false))
}

/// The content of a checkpoint, as data.
#[derive(Debug)]
pub struct Checkpoint {
    values: Values,
    top: Id,
    /// The start of each storage, and its length in bytes.
    storages: BTreeMap<String, (u64, u64)>,
    /// Length of the file in bytes.
    length: u64,
}

impl Checkpoint {
    /// Reads `file`, except the numbers of its tensors; `None` if it is not such a file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn read(file: &RegularFile) -> Result<Option<Self>, FileError> {
        let mut magic = [0; 4];
        // Only ZIP archives are examined; any file may be called `.bin`.
        if file.size() < 4 {
            return Ok(None);
        }
        file.read_at(&mut magic, 0)?;
        if magic != *b"PK\x03\x04" {
            return Ok(None);
        }
        let mut again = file.file().try_clone().map_err(FileError::io(file.path(), "open"))?;
        again.rewind().map_err(FileError::io(file.path(), "read"))?;
        // If the archive's reader panics, the file is not an archive.
        Ok(guard(|| Self::archive(again, file.size())).ok().flatten())
    }

    fn archive(file: File, length: u64) -> Option<Self> {
        // The sizes that the archive states are checked before memory is allocated for each entry.
        let listed = ZipIterable::try_new(&file, Config::default()).ok()?;
        if listed.len() > MOST_ENTRIES {
            return None;
        }
        let mut archive = ZipArchive::new(file).ok().filter(|archive| archive.len() <= MOST_ENTRIES)?;
        let mut storages = BTreeMap::new();
        let mut pickle = None;
        for at in 0..archive.len() {
            let mut entry = archive.by_index_raw(at).ok()?;
            // The archive's own directory, whatever its name, is the part before the first `/`.
            let name = entry.name().ok()?.split_once('/')?.1.to_owned();
            let size = entry.size();
            if entry.compression() != CompressionMethod::Stored {
                return None;
            }
            if name == "data.pkl" && size <= LONGEST_PICKLE {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).ok()?;
                pickle = Some(bytes);
            } else if name == "byteorder" {
                let mut order = String::new();
                entry.take(16).read_to_string(&mut order).ok()?;
                if order.trim() != "little" {
                    return None;
                }
            } else if let Some(key) = name.strip_prefix("data/") {
                let begin = entry.data_start()?;
                begin.checked_add(size).filter(|end| *end <= length)?;
                storages.insert(key.to_owned(), (begin, size));
            }
        }
        let (values, top) = pickle::read(&pickle?)?;
        Some(Self { values, top, storages, length })
    }

    /// The value that contains all others.
    pub const fn top(&self) -> Plain<'_> {
        Plain { values: &self.values, id: self.top }
    }

    /// The location of each tensor; `None` if one of them cannot be read.
    fn places(&self) -> Option<BTreeMap<String, TensorLocation>> {
        let Self { values, top, storages, length } = self;
        let mut found = TensorSearch { values, storages, places: BTreeMap::new(), looks: 0 };
        found.look(*top, "", 0)?;
        let bytes = found.places.values().try_fold(0u64, |sum, place| sum.checked_add(place.length))?;
        (!found.places.is_empty() && bytes / MOST_SHARED <= *length).then_some(found.places)
    }
}

/// One of a checkpoint's values. The values in it are read one by one, on request: nothing is expanded, so that
/// endlessly nested values cost nothing.
#[derive(Debug, Clone, Copy)]
pub struct Plain<'a> {
    values: &'a Values,
    id: Id,
}

impl<'a> Plain<'a> {
    fn value(self) -> Option<&'a Value> {
        self.values.get(self.id)
    }

    const fn at(self, id: Id) -> Self {
        Self { values: self.values, id }
    }

    /// The keys and values of a dictionary, in the order of insertion.
    pub fn entries(self) -> impl DoubleEndedIterator<Item = (Self, Self)> {
        let entries = match self.value() {
            Some(Value::Dict(entries)) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(move |(key, value)| (self.at(*key), self.at(*value)))
    }

    /// The values of a list or tuple.
    pub fn items(self) -> impl Iterator<Item = Self> {
        let items = match self.value() {
            Some(Value::Sequence(items)) => items.as_slice(),
            _ => &[],
        };
        items.iter().map(move |item| self.at(*item))
    }

    /// The value of `key` in a dictionary; if there are several, the last, as in Python.
    pub fn get(self, key: &str) -> Option<Self> {
        self.entries().rev().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
    }

    /// A text.
    pub fn text(self) -> Option<&'a str> {
        match self.value() {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A non-negative integer.
    pub fn count(self) -> Option<u64> {
        match self.value() {
            Some(Value::Int(number)) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A number.
    pub fn number(self) -> Option<f64> {
        match self.value() {
            Some(Value::Int(number)) => Some(*number as f64),
            Some(Value::Float(number)) => Some(*number),
            _ => None,
        }
    }
}

/// The tensors that were found among the values of a pickle.
struct TensorSearch<'a> {
    values: &'a Values,
    /// The start of each storage, and its length in bytes.
    storages: &'a BTreeMap<String, (u64, u64)>,
    places: BTreeMap<String, TensorLocation>,
    looks: usize,
}

impl TensorSearch<'_> {
    /// Searches the value called `name`; `None` if it contains a tensor that cannot be read.
    fn look(&mut self, id: Id, name: &str, depth: usize) -> Option<()> {
        self.looks += 1;
        if depth > DEEPEST || name.len() > LONGEST_NAME || self.looks > MOST_LOOKS {
            return None;
        }
        let under = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
        match self.values.get(id)? {
            Value::Dict(entries) => entries.iter().try_for_each(|(key, value)| {
                let key = match self.values.get(*key)? {
                    Value::Text(key) => key.clone(),
                    Value::Int(key) => key.to_string(),
                    // Keys of other types give no name, and no checkpoint has tensors below them.
                    _ => return Some(()),
                };
                self.look(*value, &under(&key), depth + 1)
            }),
            Value::Sequence(items) => (0..)
                .zip(items)
                .try_for_each(|(at, item): (usize, _)| self.look(*item, &under(&at.to_string()), depth + 1)),
            Value::Call { function, arguments } => match self.values.get(*function)? {
                Value::Global(function) => match function.as_str() {
                    "torch._utils._rebuild_tensor_v2" => {
                        let place = self.tensor(*arguments)?;
                        if self.places.len() == MOST_TENSORS {
                            return None;
                        }
                        self.places.insert(name.to_owned(), place).is_none().then_some(())
                    }
                    "torch._utils._rebuild_parameter" => match self.values.get(*arguments)? {
                        Value::Sequence(items) => self.look(*items.first()?, name, depth + 1),
                        _ => None,
                    },
                    // A tensor in an unknown form must not be skipped.
                    function if function.starts_with("torch._utils._rebuild") => None,
                    _ => Some(()),
                },
                _ => Some(()),
            },
            _ => Some(()),
        }
    }

    /// The location of a tensor, from the arguments of the call that makes it: storage, first number, shape and
    /// strides.
    fn tensor(&self, arguments: Id) -> Option<TensorLocation> {
        let Value::Sequence(arguments) = self.values.get(arguments)? else { return None };
        let [storage, first, shape, strides, ..] = arguments.as_slice() else { return None };
        let Value::Persistent(storage) = self.values.get(*storage)? else { return None };
        let Value::Sequence(storage) = self.values.get(*storage)? else { return None };
        let [kind, class, key, ..] = storage.as_slice() else { return None };
        let text = |id: &Id| match self.values.get(*id)? {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        };
        let Value::Global(class) = self.values.get(*class)? else { return None };
        let dtype = dtype(class)?;
        let (begin, size) = *self.storages.get(text(key)?).filter(|_| text(kind) == Some("storage"))?;
        let first = self.number(*first)?;
        let (shape, strides) = (self.numbers(*shape)?, self.numbers(*strides)?);
        let count = shape.iter().try_fold(1u64, |count, size| count.checked_mul(*size))?;
        if shape.len() != strides.len() {
            return None;
        }
        // Row-major: the last index has stride 1, and each index before it the product of the sizes after it.
        let mut expected = 1u64;
        for (size, stride) in shape.iter().zip(&strides).rev() {
            if *size > 1 && count > 0 && *stride != expected {
                return None;
            }
            expected = expected.checked_mul(*size)?;
        }
        let length = count.checked_mul(dtype.size())?;
        let offset = first.checked_mul(dtype.size())?;
        offset.checked_add(length).filter(|end| *end <= size)?;
        let shape = shape.into_iter().map(|size| usize::try_from(size).ok()).collect::<Option<_>>()?;
        Some(TensorLocation { dtype, shape, begin: begin + offset, length })
    }

    fn number(&self, id: Id) -> Option<u64> {
        match self.values.get(id)? {
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    fn numbers(&self, id: Id) -> Option<Vec<u64>> {
        match self.values.get(id)? {
            Value::Sequence(items) if items.len() <= MOST_DIMENSIONS => {
                items.iter().map(|item| self.number(*item)).collect()
            }
            _ => None,
        }
    }
}

fn dtype(class: &str) -> Option<Dtype> {
    Some(match class {
        "torch.BoolStorage" => Dtype::BOOL,
        "torch.ByteStorage" => Dtype::U8,
        "torch.CharStorage" => Dtype::I8,
        "torch.ShortStorage" => Dtype::I16,
        "torch.HalfStorage" => Dtype::F16,
        "torch.BFloat16Storage" => Dtype::BF16,
        "torch.IntStorage" => Dtype::I32,
        "torch.FloatStorage" => Dtype::F32,
        "torch.LongStorage" => Dtype::I64,
        "torch.DoubleStorage" => Dtype::F64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;

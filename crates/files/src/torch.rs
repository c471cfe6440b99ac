//! PyTorch checkpoints (`torch.save`), read without executing anything.
//!
//! Since 1.6 such a file is an uncompressed ZIP archive with a pickle of everything except the numbers (`NAME/data.pkl`) and one
//! entry for each storage of numbers (`NAME/data/KEY`). The pickle is a program that may call any Python function;
//! [`pickle`] executes none of the calls and only records their arguments. A tensor is a recorded call of
//! `torch._utils._rebuild_tensor_v2` or of one of the few other functions that [`TensorSearch::call`] lists. So a tensor's
//! name, type, shape and location in the file are known, and it is hashed as a safetensors file's would be. The values
//! beside the tensors are available as [`Plain`].
//!
//! Nested names are joined by `.`, as `model.layers.0.wq.weight`. A tensor may be a view of its storage: transposed, a
//! slice, expanded. A file is accepted only if each of its tensors is dense and of a type of [`Dtype`]; big-endian files
//! are not accepted. For all others there is the reason. Files from before 1.6 are read by [`legacy`].

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use retrace_spec::foreign::{excerpt, shown};
use retrace_spec::guard;
use zip::read::Config;
use zip::unstable::read::ZipIterable;
use zip::{CompressionMethod, ZipArchive};

use crate::safetensors::{Dtype, LONGEST_NAME, MOST_DIMENSIONS, MOST_TENSORS, TensorLocation};
use crate::section::Section;
use crate::{FileError, Found, RegularFile};

pub mod distributed;
mod legacy;
mod pickle;

use pickle::{Id, Value, Values};

/// The longest pickle that is read: that of a model with many thousand tensors has a few megabytes.
const LONGEST_PICKLE: u64 = 32 << 20;
/// The maximum of a pickle's instructions; a tensor takes about forty.
const MOST_INSTRUCTIONS: usize = 8 << 20;
/// More entries than any checkpoint has.
const MOST_ENTRIES: usize = 1 << 18;
/// Deeper nesting than in any checkpoint.
const DEEPEST: usize = 32;
/// A value may be used in many places, so a short pickle could otherwise take unlimited time to search.
const MOST_LOOKS: usize = 2 << 20;
/// Tied tensors share bytes; no checkpoint shares them more often than this.
const MOST_SHARED: u64 = 16;
/// To read a slice of a wide tensor, the whole width is read; no checkpoint has more slices of one tensor than this.
const MOST_SPANNED: u64 = 256;
const NOT_PLAIN: &str = "its pickle is cut off, or has an instruction that plain data does not need";
const DAMAGED: &str = "its archive is damaged or cut off";

/// The location of each tensor of `file`.
///
/// # Errors
/// If the file cannot be read.
pub(crate) fn read_header(file: &RegularFile) -> Result<Found<BTreeMap<String, TensorLocation>>, FileError> {
    Ok(match Checkpoint::examine(file)? {
        Found::Tensors(checkpoint) if checkpoint.storages.is_empty() => Found::Nothing,
        Found::Tensors(checkpoint) => match checkpoint.places() {
            Ok(places) => Found::Tensors(places),
            Err(why) => Found::Unreadable(why),
        },
        Found::Unreadable(why) => Found::Unreadable(why),
        Found::Nothing => Found::Nothing,
    })
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

/// The location of the tensor that `torch.save` wrote alone into a range of `file`; [`Found::Nothing`] if the range is not
/// that of a complete archive with one tensor.
pub(crate) fn read_item(file: &RegularFile, begin: u64, length: u64) -> Found<TensorLocation> {
    let found = match Checkpoint::guarded(Section::new(file, begin, length)) {
        Found::Tensors(checkpoint) => checkpoint.places(),
        Found::Unreadable(why) if why != DAMAGED => return Found::Unreadable(why),
        Found::Unreadable(_) | Found::Nothing => return Found::Nothing,
    };
    match found {
        // A tensor that is not in a dictionary has no name.
        Ok(mut places) => match places.remove("") {
            Some(mut place) if places.is_empty() => {
                place.begin += begin;
                Found::Tensors(place)
            }
            _ => Found::Nothing,
        },
        Err(why) => Found::Unreadable(why),
    }
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
        Ok(Self::examine(file)?.tensors())
    }

    fn examine(file: &RegularFile) -> Result<Found<Self>, FileError> {
        let mut start = [0; legacy::START];
        let length = file.size().min(start.len() as u64) as usize;
        file.read_at(&mut start[..length], 0)?;
        if legacy::is_start(&start) {
            return Ok(match legacy::read(file)? {
                Ok(checkpoint) => Found::Tensors(checkpoint),
                Err(why) => Found::Unreadable(why),
            });
        }
        // Otherwise only ZIP archives are examined; any file may be called `.bin`.
        if !start.starts_with(b"PK\x03\x04") {
            return Ok(Found::Nothing);
        }
        Ok(Self::guarded(Section::new(file, 0, file.size())))
    }

    /// If the archive's reader panics, the file is not an archive.
    fn guarded(section: Section<'_>) -> Found<Self> {
        match guard(|| Self::archive(section)) {
            Ok(Ok(Some(checkpoint))) => Found::Tensors(checkpoint),
            Ok(Ok(None)) => Found::Nothing,
            Ok(Err(why)) => Found::Unreadable(why),
            Err(_) => Found::Unreadable(DAMAGED.to_owned()),
        }
    }

    /// `None` if the archive is not PyTorch's, or has no numbers. Its offsets are those in the section.
    fn archive(mut section: Section<'_>) -> Result<Option<Self>, String> {
        let damaged = || DAMAGED.to_owned();
        let length = section.length();
        // The sizes that the archive states are checked before memory is allocated for each entry.
        let listed = ZipIterable::try_new(&mut section, Config::default()).map_err(|_| damaged())?.len();
        if listed > MOST_ENTRIES {
            return Err(format!("it has more than {MOST_ENTRIES} entries"));
        }
        section.rewind().map_err(|_| damaged())?;
        let mut archive = ZipArchive::new(section).map_err(|_| damaged())?;
        if archive.len() > MOST_ENTRIES {
            return Err(format!("it has more than {MOST_ENTRIES} entries"));
        }
        let (mut storages, mut pickle) = (BTreeMap::new(), None);
        let (mut compressed, mut big_endian, mut too_long) = (false, false, false);
        for at in 0..archive.len() {
            let mut entry = archive.by_index_raw(at).map_err(|_| damaged())?;
            // The archive's own directory, whatever its name, is the part before the first `/`.
            let name = entry.name().map_err(|_| damaged())?;
            let Some((_, name)) = name.split_once('/') else { return Ok(None) };
            let (name, size) = (name.to_owned(), entry.size());
            compressed |= entry.compression() != CompressionMethod::Stored;
            if name == "data.pkl" {
                let mut bytes = Vec::new();
                too_long = size > LONGEST_PICKLE;
                if !too_long && !compressed {
                    entry.read_to_end(&mut bytes).map_err(|_| damaged())?;
                }
                pickle = Some(bytes);
            } else if name == "byteorder" {
                let mut order = String::new();
                entry.take(16).read_to_string(&mut order).map_err(|_| damaged())?;
                big_endian = order.trim() != "little";
            } else if let Some(key) = name.strip_prefix("data/") {
                let begin = entry.data_start().ok_or_else(damaged)?;
                begin.checked_add(size).filter(|end| *end <= length).ok_or_else(damaged)?;
                storages.insert(key.to_owned(), (begin, size));
            }
        }
        let Some(pickle) = pickle else { return Ok(None) };
        if compressed {
            return Err("its entries are compressed".to_owned());
        }
        if big_endian {
            return Err("its numbers are big-endian".to_owned());
        }
        if too_long {
            return Err(format!("its pickle is longer than {LONGEST_PICKLE} bytes"));
        }
        match pickle::read(&pickle, MOST_INSTRUCTIONS) {
            Some((values, top)) => Ok(Some(Self { values, top, storages, length })),
            None if storages.is_empty() => Ok(None),
            None => Err(NOT_PLAIN.to_owned()),
        }
    }

    /// The value that contains all others.
    pub const fn top(&self) -> Plain<'_> {
        Plain { values: &self.values, id: self.top }
    }

    /// The location of each tensor.
    ///
    /// # Errors
    /// The reason why one of them cannot be read, or that there is none.
    fn places(&self) -> Result<BTreeMap<String, TensorLocation>, String> {
        let Self { values, top, storages, length } = self;
        let mut found = TensorSearch { values, storages, places: BTreeMap::new(), looks: 0, spanned: 0 };
        found.look(*top, "", 0)?;
        if found.places.is_empty() {
            return Err("its numbers belong to objects of Python classes, which are not built here".to_owned());
        }
        let bytes = found.places.values().try_fold(0u64, |sum, place| sum.checked_add(place.length));
        if bytes.is_none_or(|bytes| bytes / MOST_SHARED > *length) || found.spanned / MOST_SPANNED > *length {
            return Err("its tensors share the same bytes too often".to_owned());
        }
        Ok(found.places)
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
    /// Bytes between the first and the last number of every tensor that is not in row-major order.
    spanned: u64,
}

impl<'a> TensorSearch<'a> {
    /// Searches the value called `name`.
    ///
    /// # Errors
    /// The reason why a tensor in it cannot be read.
    fn look(&mut self, id: Id, name: &str, depth: usize) -> Result<(), String> {
        self.looks += 1;
        if depth > DEEPEST || name.len() > LONGEST_NAME || self.looks > MOST_LOOKS {
            return Err("its values are nested too deeply, or too many, or have too long names".to_owned());
        }
        let under = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
        let values = self.values;
        match values.get(id) {
            Some(Value::Dict(entries)) => entries.iter().try_for_each(|(key, value)| {
                let key = match values.get(*key) {
                    Some(Value::Text(key)) => key.clone(),
                    Some(Value::Int(key)) => key.to_string(),
                    // Keys of other types give no name, and no checkpoint has tensors below them.
                    _ => return Ok(()),
                };
                self.look(*value, &under(&key), depth + 1)
            }),
            Some(Value::Sequence(items)) => (0..)
                .zip(items)
                .try_for_each(|(at, item): (usize, _)| self.look(*item, &under(&at.to_string()), depth + 1)),
            Some(Value::Call { function, arguments, .. }) => self.call(*function, *arguments, name, depth),
            _ => Ok(()),
        }
    }

    /// The tensor that a call would make. No other function than these is known to make one.
    fn call(&mut self, function: Id, arguments: Id, name: &str, depth: usize) -> Result<(), String> {
        let Some(Value::Global(function)) = self.values.get(function) else { return Ok(()) };
        let called = shown(&excerpt(name)).to_string();
        let unknown = |what: &str| format!("tensor {called} is made by {}, {what}", shown(&excerpt(function)));
        let arguments = match self.values.get(arguments) {
            Some(Value::Sequence(items)) => items.as_slice(),
            _ => &[],
        };
        match function.as_str() {
            "torch._utils._rebuild_tensor_v2" | "torch._utils._rebuild_tensor_v3" => {
                let place = self.tensor(arguments, function.ends_with('3'));
                let place = place.map_err(|what| format!("tensor {called} {what}"))?;
                if self.places.len() == MOST_TENSORS {
                    return Err(format!("it has more than {MOST_TENSORS} tensors"));
                }
                match self.places.insert(name.to_owned(), place) {
                    None => Ok(()),
                    Some(_) => Err(format!("tensor {called} occurs twice")),
                }
            }
            "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => {
                let data = arguments.first().ok_or_else(|| unknown("without a tensor"))?;
                self.look(*data, name, depth + 1)
            }
            // A tensor that has attributes, which are not read.
            "torch._tensor._rebuild_from_type_v2" => match arguments {
                [made_by, class, arguments, ..] if depth < DEEPEST => match self.values.get(*class) {
                    Some(Value::Global(class)) if PLAIN_CLASSES.contains(&class.as_str()) => {
                        self.call(*made_by, *arguments, name, depth + 1)
                    }
                    _ => Err(unknown("for a class that is not read here")),
                },
                _ => Err(unknown("without a tensor")),
            },
            // A tensor in an unknown form must not be skipped.
            other if other.starts_with("torch") && other.contains("._rebuild") => {
                Err(unknown("a kind of tensor that is not read here"))
            }
            _ => Ok(()),
        }
    }

    /// The location of a tensor, from the arguments of the call that makes it: storage, first number, shape and
    /// strides. With `typed`, the sixth after them is its type; else the storage has one.
    fn tensor(&mut self, arguments: &[Id], typed: bool) -> Result<TensorLocation, String> {
        let malformed = || "is malformed".to_owned();
        let [storage, first, shape, strides, ..] = arguments else { return Err(malformed()) };
        let Some(Value::Persistent(storage)) = self.values.get(*storage) else { return Err(malformed()) };
        let Some(Value::Sequence(storage)) = self.values.get(*storage) else { return Err(malformed()) };
        let [kind, class, key, ..] = storage.as_slice() else { return Err(malformed()) };
        // After the strides: whether it needs a gradient, hooks, with `typed` the type, and what changes its meaning,
        // such as that all numbers are to be negated.
        let marks = arguments.get(if typed { 7 } else { 6 }).and_then(|id| self.values.get(*id));
        if marks.is_some_and(|marks| !matches!(marks, Value::Other) && *marks != Value::Dict(Vec::new())) {
            return Err("is to be negated or conjugated, which is not done here".to_owned());
        }
        let class = if typed { arguments.get(6).ok_or_else(malformed)? } else { class };
        let Some(Value::Global(class)) = self.values.get(*class) else { return Err(malformed()) };
        let dtype = dtype(class).ok_or_else(|| format!("is of {}, which is not read here", shown(&excerpt(class))))?;
        if self.text(*kind) != Some("storage") {
            return Err(malformed());
        }
        let storage = self.text(*key).and_then(|key| self.storages.get(key));
        let (begin, size) = *storage.ok_or("has no storage in the file")?;
        let numbers = |id: &Id| self.numbers(*id).ok_or("has a shape or strides that cannot be");
        let (shape, strides) = (numbers(shape)?, numbers(strides)?);
        let first = self.number(*first).ok_or_else(malformed)?;
        if shape.len() != strides.len() {
            return Err(malformed());
        }
        let layout = Layout::of(&shape, &strides).ok_or("has numbers that overlap, or too many")?;
        let size_of_one = bytes_per_number(dtype);
        let bytes = |numbers: u64| numbers.checked_mul(size_of_one).ok_or("has too many numbers");
        let (offset, length, span) = (bytes(first)?, bytes(layout.count)?, bytes(layout.span)?);
        if offset.checked_add(span).is_none_or(|end| end > size) {
            return Err("ends after its storage".to_owned());
        }
        if !layout.row_major {
            self.spanned = self.spanned.saturating_add(span);
        }
        let sizes: Option<Vec<usize>> = shape.into_iter().map(|size| usize::try_from(size).ok()).collect();
        let mut shape = sizes.ok_or_else(malformed)?;
        if dtype == Dtype::F4 {
            // PyTorch counts pairs of these numbers, and safetensors numbers.
            let last = shape.last_mut().ok_or_else(malformed)?;
            *last = last.checked_mul(2).ok_or_else(malformed)?;
            if !layout.row_major {
                return Err("is a view of numbers of which two share a byte".to_owned());
            }
        }
        let strides = (!layout.row_major).then_some(strides);
        Ok(TensorLocation { dtype, shape, begin: begin + offset, length, strides })
    }

    fn text(&self, id: Id) -> Option<&'a str> {
        match self.values.get(id)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
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

/// How the numbers of a tensor lie in its storage.
struct Layout {
    /// How many there are.
    count: u64,
    /// From the first to the last of them, both included.
    span: u64,
    row_major: bool,
}

impl Layout {
    /// `None` if numbers of different places overlap, except that a dimension may repeat the same numbers (stride 0); or
    /// if they are too many.
    fn of(shape: &[u64], strides: &[u64]) -> Option<Self> {
        let count = shape.iter().try_fold(1u64, |count, size| count.checked_mul(*size))?;
        if count == 0 {
            return Some(Self { count, span: 0, row_major: true });
        }
        // Row-major: the last index has stride 1, and each index before it the product of the sizes after it.
        let (mut expected, mut row_major) = (1u64, true);
        for (size, stride) in shape.iter().zip(strides).rev() {
            row_major &= *size == 1 || *stride == expected;
            expected = expected.checked_mul(*size)?;
        }
        let mut apart: Vec<(u64, u64)> = strides
            .iter()
            .copied()
            .zip(shape.iter().copied())
            .filter(|(stride, size)| *size > 1 && *stride > 0)
            .collect();
        apart.sort_unstable();
        let mut span = 1u64;
        for (stride, size) in apart {
            if stride < span {
                return None;
            }
            span = stride.checked_mul(size - 1)?.checked_add(span)?;
        }
        Some(Self { count, span, row_major })
    }
}

/// The classes of tensors whose attributes do not change their numbers.
const PLAIN_CLASSES: [&str; 3] = ["torch.Tensor", "torch._tensor.Tensor", "torch.nn.parameter.Parameter"];

/// The type of a storage's class, or the type that a tensor names itself.
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
        "torch.ComplexFloatStorage" => Dtype::C64,
        "torch.float4_e2m1fn_x2" => Dtype::F4,
        "torch.float8_e4m3fn" => Dtype::F8_E4M3,
        "torch.float8_e4m3fnuz" => Dtype::F8_E4M3FNUZ,
        "torch.float8_e5m2" => Dtype::F8_E5M2,
        "torch.float8_e5m2fnuz" => Dtype::F8_E5M2FNUZ,
        "torch.float8_e8m0fnu" => Dtype::F8_E8M0,
        "torch.uint16" => Dtype::U16,
        "torch.uint32" => Dtype::U32,
        "torch.uint64" => Dtype::U64,
        _ => return None,
    })
}

/// Bytes of what PyTorch counts as one number of this type.
const fn bytes_per_number(dtype: Dtype) -> u64 {
    dtype.bits().div_ceil(8)
}

#[cfg(test)]
mod tests;

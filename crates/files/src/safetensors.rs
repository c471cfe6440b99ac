//! The safetensors format: strict reading, and writing in one fixed form.
//!
//! Eight bytes, little-endian, give the length of a JSON header, which gives every tensor's dtype, shape and range of
//! the bytes that follow (huggingface.co/docs/safetensors). A file is accepted only if every byte belongs to exactly
//! one tensor or to the header: no tensor twice, no overlap, no gap, no extra byte.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use retrace_spec::Digest;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

pub use crate::dtype::Dtype;
use crate::gather::gather;
use crate::{FileError, RegularFile, WholeFile};

/// The longest header that is read, as in the reference implementation.
const LONGEST_HEADER: u64 = 100_000_000;
/// More tensors in a file are refused, and also more entries of its metadata: the largest models have half as many in
/// all their shards.
pub const MOST_TENSORS: usize = 1 << 18;
/// Longer names, in bytes, are refused.
pub const LONGEST_NAME: usize = 1024;
/// More dimensions are refused.
pub(crate) const MOST_DIMENSIONS: usize = 32;
/// The name of the header's metadata entry.
const METADATA: &str = "__metadata__";

/// A tensor in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// The type of its numbers.
    pub dtype: Dtype,
    /// Its size in every dimension.
    pub shape: Vec<usize>,
    /// Its numbers, in row-major order, little-endian.
    pub bytes: Vec<u8>,
}

/// A tensor whose numbers are stored elsewhere.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// The type of its numbers.
    pub dtype: Dtype,
    /// Its size in every dimension.
    pub shape: &'a [usize],
    /// Its numbers, in row-major order, little-endian.
    pub bytes: Cow<'a, [u8]>,
}

impl<'a> From<&'a Tensor> for View<'a> {
    fn from(Tensor { dtype, shape, bytes }: &'a Tensor) -> Self {
        Self { dtype: *dtype, shape, bytes: Cow::Borrowed(bytes) }
    }
}

/// The location of a tensor in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorLocation {
    /// The type of its numbers.
    pub dtype: Dtype,
    /// Its size in every dimension.
    pub shape: Vec<usize>,
    /// The offset of its first byte in the file.
    pub begin: u64,
    /// Its length in bytes, as it is read.
    pub length: u64,
    /// The distance between neighbours in each dimension, in numbers, if it is not stored in row-major order.
    pub strides: Option<Vec<u64>>,
}

/// Reads and checks the header of `file`: every tensor's location, by name.
///
/// # Errors
/// If the file cannot be read, or any of its bytes does not belong to a tensor or the header.
pub fn read_header(file: &RegularFile) -> Result<BTreeMap<String, TensorLocation>, FileError> {
    places(file.path(), &header_text(file)?, file.size())
}

/// The texts of the metadata in the header of `file`. The header is not checked further.
///
/// # Errors
/// If the file cannot be read, or its header is malformed.
pub fn read_metadata(file: &RegularFile) -> Result<BTreeMap<String, String>, FileError> {
    Ok(header(file.path(), &header_text(file)?)?.metadata)
}

fn header_text(file: &RegularFile) -> Result<Vec<u8>, FileError> {
    let (path, length) = (file.path(), file.size());
    let mut first = [0; 8];
    if length >= 8 {
        file.read_at(&mut first, 0)?;
    }
    let mut text = vec![0; header_length(path, first, length)?];
    file.read_at(&mut text, 8)?;
    Ok(text)
}

fn header(path: &Path, text: &[u8]) -> Result<Header, FileError> {
    serde_json::from_slice(text).map_err(|e| {
        let lines_before: usize =
            text.split_inclusive(|b| *b == b'\n').take(e.line().saturating_sub(1)).map(<[u8]>::len).sum();
        let place = format!("byte {}", 8 + lines_before + e.column().saturating_sub(1));
        FileError::Safetensors { path: path.to_owned(), place, what: format!("the header cannot be read: {e}") }
    })
}

/// The length of the header, from the file's first bytes and its length.
pub(crate) fn header_length(path: &Path, first: [u8; 8], length: u64) -> Result<usize, FileError> {
    let refuse = |what| Err(FileError::Safetensors { path: path.to_owned(), place: "byte 0".to_owned(), what });
    if length < 8 {
        return refuse(format!("the file has only {length} bytes; the length of the header alone takes 8"));
    }
    if first == *b"version " {
        return refuse("it is a pointer of Git LFS, not the file itself".to_owned());
    }
    let header_length = u64::from_le_bytes(first);
    if header_length > LONGEST_HEADER {
        return refuse(format!(
            "the stated length of the header is {header_length} bytes; the limit is {LONGEST_HEADER}"
        ));
    }
    if header_length > length - 8 {
        return refuse(format!(
            "the stated length of the header is {header_length} bytes, but only {} follow",
            length - 8
        ));
    }
    Ok(header_length as usize)
}

/// Every tensor's location, from the header's `text` and the file's length.
pub(crate) fn places(path: &Path, text: &[u8], length: u64) -> Result<BTreeMap<String, TensorLocation>, FileError> {
    let header_length = text.len() as u64;
    let refuse = |place: String, what: String| FileError::Safetensors { path: path.to_owned(), place, what };
    let header = header(path, text)?;
    let mut places = BTreeMap::new();
    for (name, Entry { dtype, shape: Shape(shape), data_offsets: [begin, end] }) in header.tensors {
        let refuse = |what: String| refuse(format!("tensor {name:?}"), what);
        let needed = length_of(dtype, &shape).ok_or_else(|| {
            refuse(format!("its shape {shape:?} is too large for any file, or no whole number of bytes"))
        })?;
        if begin > end || end - begin != needed {
            return Err(refuse(format!(
                "it has bytes {begin} to {end}, but {dtype:?} of shape {shape:?} needs {needed} bytes"
            )));
        }
        let data = length - 8 - header_length;
        if end > data {
            return Err(refuse(format!(
                "it ends at byte {end} of the data, which has only {data} bytes: the header is wrong or the file is truncated"
            )));
        }
        places.insert(
            name,
            TensorLocation { dtype, shape, begin: 8 + header_length + begin, length: needed, strides: None },
        );
    }
    let mut in_order: Vec<(&String, &TensorLocation)> = places.iter().collect();
    in_order.sort_by_key(|(_, place)| (place.begin, place.length));
    let mut at = 8 + header_length;
    for (name, place) in in_order {
        if place.begin != at {
            let what = if place.begin < at { "overlaps the tensor before it" } else { "leaves a gap before it" };
            return Err(refuse(
                format!("tensor {name:?}"),
                format!("it begins at byte {} and {what}, which ends at {at}", place.begin),
            ));
        }
        at += place.length;
    }
    if at != length {
        return Err(refuse(format!("byte {at}"), format!("{} bytes follow that belong to no tensor", length - at)));
    }
    Ok(places)
}

/// The header as JSON, with no name twice.
struct Header {
    tensors: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
}

/// The header's metadata: texts, with no key twice.
struct Metadata(BTreeMap<String, String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: Dtype,
    shape: Shape,
    data_offsets: [u64; 2],
}

struct Shape(Vec<usize>);

/// An object of values by key. No key may occur twice or be too long, and the number of keys is limited.
fn entries<'de, A: MapAccess<'de>, V>(
    mut map: A,
    mut value: impl FnMut(&str, &mut A) -> Result<Option<V>, A::Error>,
) -> Result<BTreeMap<String, V>, A::Error> {
    let refuse = |what: String| serde::de::Error::custom(what);
    let (mut all, mut metadata) = (BTreeMap::new(), false);
    while let Some(key) = map.next_key::<String>()? {
        if key.len() > LONGEST_NAME {
            return Err(refuse(format!("a name has {} bytes; the limit is {LONGEST_NAME}", key.len())));
        }
        if all.contains_key(&key) || metadata && key == METADATA {
            return Err(refuse(format!("{key:?} occurs twice")));
        }
        if all.len() == MOST_TENSORS {
            return Err(refuse(format!("more than {MOST_TENSORS} entries")));
        }
        match value(&key, &mut map)? {
            Some(value) => drop(all.insert(key, value)),
            None => metadata = true,
        }
    }
    Ok(all)
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Header, A::Error> {
                let mut metadata = BTreeMap::new();
                let tensors = entries(map, |name, map| match name {
                    METADATA => map.next_value().map(|Metadata(texts)| {
                        metadata = texts;
                        None
                    }),
                    _ => map.next_value().map(Some),
                })?;
                Ok(Header { tensors, metadata })
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Sizes;
        impl<'de> Visitor<'de> for Sizes {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of sizes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut sizes: A) -> Result<Shape, A::Error> {
                let mut shape = Vec::new();
                while let Some(size) = sizes.next_element()? {
                    if shape.len() == MOST_DIMENSIONS {
                        let what = format!("a shape has more than {MOST_DIMENSIONS} dimensions");
                        return Err(serde::de::Error::custom(what));
                    }
                    shape.push(size);
                }
                Ok(Shape(shape))
            }
        }
        deserializer.deserialize_seq(Sizes)
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Metadata, A::Error> {
                entries(map, |_, map| map.next_value().map(Some)).map(Metadata)
            }
        }
        deserializer.deserialize_map(Texts)
    }
}

/// Reads all tensors of the file at `path`, which a user named.
///
/// # Errors
/// As [`read_header`].
pub fn read(path: &Path) -> Result<BTreeMap<String, Tensor>, FileError> {
    read_all(&RegularFile::open(path)?)
}

/// Reads all tensors of `file`.
///
/// # Errors
/// As [`read_header`].
pub fn read_all(file: &RegularFile) -> Result<BTreeMap<String, Tensor>, FileError> {
    let read = |(name, place): (String, TensorLocation)| {
        let bytes = read_tensor(file, &place)?;
        Ok((name, Tensor { dtype: place.dtype, shape: place.shape, bytes }))
    };
    read_header(file)?.into_iter().map(read).collect()
}

/// The bytes of the tensor at `place` in `file`, in row-major order.
///
/// # Errors
/// If they cannot be read.
pub fn read_tensor(file: &RegularFile, place: &TensorLocation) -> Result<Vec<u8>, FileError> {
    if let Some(strides) = &place.strides {
        return gather(file, place, strides);
    }
    // The header was checked against the file's length, so this is at most the file's size.
    let mut bytes = vec![0; place.length as usize];
    file.read_at(&mut bytes, place.begin)?;
    Ok(bytes)
}

/// The bytes of a tensor, if their number does not overflow.
fn length_of(dtype: Dtype, shape: &[usize]) -> Option<u64> {
    dtype.length_of(shape.iter().try_fold(1, |numbers: u64, n| numbers.checked_mul(*n as u64))?)
}

/// As [`write_views`], for tensors in memory, to the file at `path`, which a user named.
///
/// # Errors
/// As [`write_views`].
pub fn write(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<Digest, FileError> {
    write_views(WholeFile::create(path)?, &tensors.iter().map(|(name, tensor)| (name.clone(), tensor.into())).collect())
}

/// Writes tensors to `file` and commits it: sorted by name, one after another, after a header
/// with one metadata entry, `format: pt`, padded with spaces to a multiple of 8.
///
/// # Errors
/// If a tensor could not be read again, because the number of its bytes does not match its shape or its name is that
/// of the metadata; or if writing to the disk fails.
pub fn write_views(file: WholeFile, tensors: &BTreeMap<String, View<'_>>) -> Result<Digest, FileError> {
    let described = tensors.iter().map(|(name, tensor)| (name.as_str(), (tensor.dtype, tensor.shape))).collect();
    write_streamed(file, &described, |name, put| put(tensors.get(name).map_or(&[], |tensor| &tensor.bytes)))
}

/// Takes the next bytes of a tensor.
pub type Put<'a> = dyn FnMut(&[u8]) -> Result<(), FileError> + 'a;

/// As [`write_views`], for tensors of which only type and shape are in memory: `bytes` is called with the name of each, in
/// their order, and gives its bytes in any number of parts.
///
/// # Errors
/// As [`write_views`], and those of `bytes`.
pub fn write_streamed(
    mut file: WholeFile,
    tensors: &BTreeMap<&str, (Dtype, &[usize])>,
    mut bytes: impl FnMut(&str, &mut Put<'_>) -> Result<(), FileError>,
) -> Result<Digest, FileError> {
    let path = &file.path();
    #[derive(Serialize)]
    struct Described<'a> {
        dtype: Dtype,
        shape: &'a [usize],
        data_offsets: [u64; 2],
    }
    let json_error = |e: serde_json::Error| FileError::Json { path: path.to_owned(), line: 1, what: e.to_string() };
    let refuse = |name: &str, length: Option<u64>| {
        let Some((dtype, shape)) = tensors.get(name) else {
            return FileError::io(path, "write")(io::ErrorKind::NotFound.into());
        };
        let length = length.map_or_else(String::new, |length| format!("{length} bytes "));
        let what = format!("{length}cannot be written under this name as {dtype:?} of shape {shape:?}");
        FileError::Safetensors { path: path.to_owned(), place: format!("tensor {name:?}"), what }
    };
    let mut text = format!("{{\"{METADATA}\":{{\"format\":\"pt\"}}").into_bytes();
    let mut at = 0u64;
    for (name, (dtype, shape)) in tensors {
        let end = length_of(*dtype, shape).filter(|_| *name != METADATA).and_then(|length| at.checked_add(length));
        let end = end.ok_or_else(|| refuse(name, None))?;
        text.push(b',');
        serde_json::to_writer(&mut text, name).map_err(json_error)?;
        text.push(b':');
        let described = Described { dtype: *dtype, shape, data_offsets: [at, end] };
        serde_json::to_writer(&mut text, &described).map_err(json_error)?;
        at = end;
    }
    text.push(b'}');
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut put = |bytes: &[u8]| file.write_all(bytes).map_err(FileError::io(path, "write"));
    put(&(text.len() as u64).to_le_bytes())?;
    put(&text)?;
    for (name, (dtype, shape)) in tensors {
        let mut length = 0u64;
        bytes(name, &mut |bytes| {
            length += bytes.len() as u64;
            put(bytes)
        })?;
        if length_of(*dtype, shape) != Some(length) {
            return Err(refuse(name, Some(length)));
        }
    }
    file.commit()
}

/// The digest of one tensor: BLAKE3, in its own domain, over the dtype's name (preceded by its length as a byte), the
/// number of dimensions and each size as little-endian `u64`, and the bytes.
pub fn tensor_digest(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Digest {
    tensor_hasher(dtype, shape).update(bytes).finalize().into()
}

/// The [`tensor_digest`] of an f32 tensor in memory.
pub fn floats_digest(shape: &[usize], values: &[f32]) -> Digest {
    tensor_digest(Dtype::F32, shape, &floats_as_bytes(values))
}

/// Floats as in a file; on a little-endian machine, the bytes in memory.
pub fn floats_as_bytes(values: &[f32]) -> Cow<'_, [u8]> {
    match cfg!(target_endian = "little") {
        true => Cow::Borrowed(bytemuck::cast_slice(values)),
        false => Cow::Owned(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
    }
}

/// A hasher updated with everything in [`tensor_digest`] except the bytes.
pub fn tensor_hasher(dtype: Dtype, shape: &[usize]) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_derive_key("retrace 2026 tensor");
    let name = format!("{dtype:?}");
    hasher.update(&[name.len() as u8]).update(name.as_bytes());
    hasher.update(&(shape.len() as u64).to_le_bytes());
    for size in shape {
        hasher.update(&(*size as u64).to_le_bytes());
    }
    hasher
}

/// The tensor root: BLAKE3, in its own domain, over every name (preceded by its length as little-endian `u64`) and
/// tensor digest, sorted by name. It is the same for one file or twenty shards, whatever the headers' order, padding
/// or metadata.
pub fn tensor_root<'a>(tensors: impl Iterator<Item = (&'a str, Digest)>) -> Digest {
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort();
    let mut hasher = blake3::Hasher::new_derive_key("retrace 2026 tensor root");
    for (name, digest) in tensors {
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes()).update(digest.as_bytes());
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests;

//! The safetensors format: strict reading, and writing in one fixed form.
//!
//! Eight bytes, little-endian, give the length of a JSON header, which gives every tensor's dtype, shape and range of
//! the bytes that follow (huggingface.co/docs/safetensors). A file is accepted only if every byte belongs to exactly
//! one tensor or to the header: no tensor twice, no overlap, no gap, no extra byte.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
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
    let (path, length) = (file.path(), file.size());
    let mut first = [0; 8];
    if length >= 8 {
        file.read_at(&mut first, 0)?;
    }
    let mut text = vec![0; header_length(path, first, length)?];
    file.read_at(&mut text, 8)?;
    places(path, &text, length)
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
    let header: Header = serde_json::from_slice(text).map_err(|e| {
        let lines_before: usize =
            text.split_inclusive(|b| *b == b'\n').take(e.line().saturating_sub(1)).map(<[u8]>::len).sum();
        let at = 8 + lines_before + e.column().saturating_sub(1);
        refuse(format!("byte {at}"), format!("the header is malformed: {e}"))
    })?;
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
}

/// The header's metadata: texts, with no key twice. Read only to be checked.
struct Metadata;

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
                let tensors = entries(map, |name, map| match name {
                    METADATA => map.next_value::<Metadata>().map(|_| None),
                    _ => map.next_value().map(Some),
                })?;
                Ok(Header { tensors })
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
                entries(map, |_, map| map.next_value::<String>().map(|_| Some(())))?;
                Ok(Metadata)
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
pub fn write_views(mut file: WholeFile, tensors: &BTreeMap<String, View<'_>>) -> Result<Digest, FileError> {
    let path = &file.path();
    #[derive(Serialize)]
    struct Described<'a> {
        dtype: Dtype,
        shape: &'a [usize],
        data_offsets: [usize; 2],
    }
    let json_error = |e: serde_json::Error| FileError::Json { path: path.to_owned(), line: 1, what: e.to_string() };
    let mut text = format!("{{\"{METADATA}\":{{\"format\":\"pt\"}}").into_bytes();
    let mut at = 0;
    for (name, tensor) in tensors {
        if name == METADATA || length_of(tensor.dtype, tensor.shape) != Some(tensor.bytes.len() as u64) {
            let View { dtype, shape, bytes } = tensor;
            let what =
                format!("{} bytes cannot be written under this name as {dtype:?} of shape {shape:?}", bytes.len());
            return Err(FileError::Safetensors { path: path.to_owned(), place: format!("tensor {name:?}"), what });
        }
        let end = at + tensor.bytes.len();
        text.push(b',');
        serde_json::to_writer(&mut text, name).map_err(json_error)?;
        text.push(b':');
        let described = Described { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [at, end] };
        serde_json::to_writer(&mut text, &described).map_err(json_error)?;
        at = end;
    }
    text.push(b'}');
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut put = |bytes: &[u8]| file.write_all(bytes).map_err(FileError::io(path, "write"));
    put(&(text.len() as u64).to_le_bytes())?;
    put(&text)?;
    for tensor in tensors.values() {
        put(&tensor.bytes)?;
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
mod tests {
    use super::*;
    use crate::{RegularFile, Root, Wanted, file_tensors, hash_beneath};
    use proptest::prelude::*;

    fn tensor(dtype: Dtype, shape: &[usize], seed: u8) -> Tensor {
        let length = shape.iter().product::<usize>() * dtype.bits() as usize / 8;
        Tensor {
            dtype,
            shape: shape.to_vec(),
            bytes: (0..length).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect(),
        }
    }

    fn some() -> BTreeMap<String, Tensor> {
        let tensors = [
            ("b.weight", tensor(Dtype::F32, &[2, 3], 1)),
            ("a", tensor(Dtype::BF16, &[5], 2)),
            ("scalar", tensor(Dtype::I64, &[], 3)),
            ("空 \"quoted\"", tensor(Dtype::U8, &[0, 4], 4)),
        ];
        tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect()
    }

    /// The bytes of a file with this header, and `data` after it.
    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn the_reference_crate_reads_what_we_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.safetensors");
        let digest = write(&path, &some()).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(digest, Digest::of(&bytes));
        let theirs = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(theirs.len(), some().len());
        for (name, tensor) in some() {
            let view = theirs.tensor(&name).unwrap();
            assert_eq!((view.data(), view.shape()), (&tensor.bytes[..], &tensor.shape[..]));
        }
        assert_eq!(read(&path).unwrap(), some());
    }

    #[test]
    fn we_read_what_the_reference_crate_writes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.safetensors");
        let ours = tensor(Dtype::F32, &[2, 3], 9);
        let view = ::safetensors::tensor::TensorView::new(::safetensors::Dtype::F32, vec![2, 3], &ours.bytes).unwrap();
        let metadata = Some([("k".to_owned(), "v".to_owned())].into());
        ::safetensors::serialize_to_file([("w", view)], metadata, &path).unwrap();
        assert_eq!(read(&path).unwrap()["w"], ours);
    }

    #[test]
    fn a_header_that_lies_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.safetensors");
        let one = |entry: &str| format!("{{\"w\":{entry}}}");
        let good = r#"{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
        let data = [0u8; 8];
        std::fs::write(&path, file(&one(good), &data)).unwrap();
        assert!(read(&path).is_ok());
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (vec![], "takes 8"),
            (vec![1, 2, 3], "takes 8"),
            (u64::MAX.to_le_bytes().to_vec(), "the limit is"),
            (99_999_999u64.to_le_bytes().to_vec(), "only 0 follow"),
            (file("", &[]), "the header is malformed"),
            (file("[]", &[]), "an object of tensors"),
            (file("{\"w\":", &data), "the header is malformed"),
            (file(&format!("{{\"w\":{good},\"w\":{good}}}"), &data), "occurs twice"),
            (file(&one(r#"{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}"#), &data), "unknown field"),
            (file(&one(r#"{"dtype":"F31","shape":[2],"data_offsets":[0,8]}"#), &data), "unknown variant"),
            (file(&one(r#"{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}"#), &data), "the header is malformed"),
            (file(&one(r#"{"dtype":"F32","shape":[3],"data_offsets":[0,8]}"#), &data), "needs 12 bytes"),
            (file(&one(r#"{"dtype":"F32","shape":[2],"data_offsets":[8,0]}"#), &data), "needs 8 bytes"),
            (file(&one(r#"{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}"#), &data), "too large"),
            (file(&one(r#"{"dtype":"F32","shape":[4],"data_offsets":[0,16]}"#), &data), "truncated"),
            (file(&one(r#"{"dtype":"F32","shape":[1],"data_offsets":[4,8]}"#), &data), "gap"),
            (file(&one(r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#), &data), "4 bytes follow"),
            (file(&format!("{{\"v\":{good},\"w\":{good}}}"), &data), "overlaps"),
            (
                file(&format!("{{\"__metadata__\":{{\"a\":\"1\",\"a\":\"2\"}},\"w\":{good}}}"), &data),
                "\"a\" occurs twice",
            ),
            // The bytes before the `x`: 8 of the length, 2 of the first line, 2 of the second.
            (file("{\n  x", &data), "byte 12"),
            (file(&format!("{{\"__metadata__\":{{\"a\":1}},\"w\":{good}}}"), &data), "the header is malformed"),
        ];
        for (bytes, expected) in cases {
            std::fs::write(&path, &bytes).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} lacks {expected:?}");
            assert!(
                ::safetensors::SafeTensors::deserialize(&bytes).is_err()
                    || error.contains("unknown field")
                    || error.contains("occurs twice"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_only_costs_memory_is_refused() {
        let refused = |header: &str| {
            let bytes = file(header, &[]);
            let error = places(Path::new("x"), header.as_bytes(), bytes.len() as u64).unwrap_err().to_string();
            assert!(error.len() < 2 * LONGEST_NAME, "{} bytes of error", error.len());
            error
        };
        let entry = r#"{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#;
        let many =
            |n: usize| format!("{{{}}}", (0..n).map(|at| format!("\"{at}\":{entry}")).collect::<Vec<_>>().join(","));
        assert!(refused(&many(MOST_TENSORS + 1)).contains("more than 262144 entries"));
        let whole = many(1000);
        assert_eq!(places(Path::new("x"), whole.as_bytes(), 8 + whole.len() as u64).unwrap().len(), 1000);
        assert!(refused(&format!("{{\"{}\":{entry}}}", "n".repeat(1 << 20))).contains("a name has 1048576 bytes"));
        let flat = entry.replace("[0]", &format!("[{}0]", "1,".repeat(1 << 20)));
        assert!(refused(&format!("{{\"w\":{flat}}}")).contains("more than 32 dimensions"));
        let texts = (0..=MOST_TENSORS).map(|at| format!("\"{at}\":\"\"")).collect::<Vec<_>>().join(",");
        assert!(refused(&format!("{{\"__metadata__\":{{{texts}}}}}")).contains("more than 262144 entries"));
        assert!(refused(r#"{"__metadata__":{},"__metadata__":{}}"#).contains("occurs twice"));
    }

    #[test]
    fn what_could_not_be_read_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.safetensors");
        let short = Tensor { dtype: Dtype::F32, shape: vec![2], bytes: vec![0; 7] };
        let vast = Tensor { dtype: Dtype::F32, shape: vec![usize::MAX, 2], bytes: vec![] };
        for (name, tensor) in [("w", short), ("w", vast), (METADATA, tensor(Dtype::U8, &[1], 0))] {
            assert!(write(&path, &BTreeMap::from([(name.to_owned(), tensor)])).is_err(), "{name}");
            assert!(!path.exists());
        }
    }

    proptest! {
        /// For any bytes there is a result: no panic, and never an allocation beyond the file's size.
        #[test]
        fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0u64..220, at in 0usize..300, with in any::<u8>()) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("x.safetensors");
            if bytes.len() >= 8 { bytes[..8].copy_from_slice(&length.to_le_bytes()); }
            std::fs::write(&path, &bytes).unwrap();
            let _ = read(&path);
            write(&path, &some()).unwrap();
            let mut bytes = std::fs::read(&path).unwrap();
            if let Some(byte) = bytes.get_mut(at) { *byte = with; }
            std::fs::write(&path, &bytes).unwrap();
            let _ = read(&path);
        }

        #[test]
        fn the_root_is_of_the_tensors_alone(spaces in 0usize..20, metadata in "[a-z]{0,9}", flip in 0usize..42) {
            let directory = tempfile::tempdir().unwrap();
            let (path, other) = (directory.path().join("x.safetensors"), directory.path().join("y.safetensors"));
            write(&path, &some()).unwrap();
            let tensors_of = |path: &Path| file_tensors(&RegularFile::open(path).unwrap(), "x.safetensors").unwrap().tensors().unwrap();
            let root = tensors_of(&path).root;
            // The tensor digests computed in the same pass as the file's digest are the same.
            let (opened, wanted) = (Root::open(directory.path()).unwrap(), Wanted { tensors: true, ..Wanted::default() });
            let hashed = hash_beneath(&opened, &"x.safetensors".parse().unwrap(), wanted, &crate::Silent).unwrap();
            prop_assert_eq!(hashed.tensors.unwrap().unwrap(), tensors_of(&path));
            // Tensors in reverse order, other metadata, other padding.
            let (mut entries, mut data) = (vec![format!("\"__metadata__\":{{\"m\":\"{metadata}\"}}")], Vec::new());
            for (name, tensor) in some().iter().rev() {
                let begin = data.len();
                data.extend(&tensor.bytes);
                entries.push(format!("{}:{{\"shape\":{:?},\"data_offsets\":[{begin},{}],\"dtype\":\"{:?}\"}}",
                    serde_json::to_string(name).unwrap(), tensor.shape, data.len(), tensor.dtype));
            }
            let header = format!("{{{}}}{}", entries.join(","), " ".repeat(spaces));
            std::fs::write(&other, file(&header, &data)).unwrap();
            prop_assert_eq!(tensors_of(&other).root, root);
            // Any flipped bit or changed name, dtype or shape is detected.
            let flip = flip % data.len();
            data[flip] ^= 1;
            std::fs::write(&other, file(&header, &data)).unwrap();
            prop_assert_ne!(tensors_of(&other).root, root);
            data[flip] ^= 1;
            for (from, to) in [("b.weight", "b.height"), ("\"F32\"", "\"I32\""), ("[2, 3]", "[3, 2]")] {
                prop_assert!(header.contains(from));
                std::fs::write(&other, file(&header.replace(from, to), &data)).unwrap();
                prop_assert_ne!(tensors_of(&other).root, root);
            }
        }
    }
}

//! The digests of a file and everything else that is computed from its bytes, in one pass.

use std::fs::File;
use std::path::Path;

use blake3::hazmat::{ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root};
use memmap2::Mmap;
use rayon::prelude::*;
use retrace_spec::manifest::Tensors;
use retrace_spec::{Algorithm, Checksum, Digest, RelPath};
use sha2::Digest as _;

use crate::map::map;
use crate::md5_text::Md5Text;
use crate::open::{RegularFile, Root};
use crate::stamp::Stamp;
use crate::stream::TensorStream;
use crate::xet::Xet;
use crate::{FileError, Progress};

/// The bytes that share one subtree value. A power of two, so that the slices of a file are
/// subtrees of its BLAKE3 tree.
pub const SLICE: u64 = 16 << 20;
/// Bytes that each thread reads in one call: they are still in the cache when they are hashed.
const BLOCK: usize = 256 << 10;
/// Bytes per read when several digests of the same bytes are computed in parallel.
const SHARED_BLOCK: usize = 2 << 20;

/// What is requested for a file, in addition to its length and digest.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Checksums for other tools.
    pub checksums: &'a [Algorithm],
    /// The digests of its tensors, as a safetensors file.
    pub tensors: bool,
    /// Reading through a memory map, if the file is large and only BLAKE3 is computed.
    pub mapped: bool,
}

/// What is computed from a file's bytes.
#[derive(Debug)]
pub struct Hashed {
    /// Its length in bytes.
    pub size: u64,
    /// The plain BLAKE3 of its bytes.
    pub digest: Digest,
    /// The subtree value of each [`SLICE`], if there are several.
    pub slices: Vec<Digest>,
    /// The checksums that were requested, in that order.
    pub checksums: Vec<Checksum>,
    /// The digests of its tensors, if they were requested; or why it is not a safetensors file.
    pub tensors: Option<Result<Tensors, FileError>>,
    /// With this it can be checked later that the file is still the same.
    pub stamp: Option<Stamp>,
}

/// The length and BLAKE3 of the file at `path`, in constant memory; links are followed.
///
/// # Errors
/// As [`hash_beneath`].
pub fn hash_file(path: &Path) -> Result<(u64, Digest), FileError> {
    let hashed = hash(&RegularFile::open(path)?, Wanted::default(), &crate::Silent)?;
    Ok((hashed.size, hashed.digest))
}

/// Computes what is requested for the file at `path` below `root`, in one pass and constant memory. Every byte is
/// reported to `progress`.
///
/// The file is opened once, without following links. If its length or its times of change differ before and after,
/// that is an error, because the digest would not belong to any one content.
///
/// # Errors
/// If it cannot be read, is not a regular file, or changes while it is read.
pub fn hash_beneath(
    root: &Root,
    path: &RelPath,
    wanted: Wanted<'_>,
    progress: &dyn Progress,
) -> Result<Hashed, FileError> {
    hash(&root.file(path)?, wanted, progress)
}

/// As [`hash_beneath`], with only the plain BLAKE3, and only for files of at most `most` bytes; `None` for others.
///
/// # Errors
/// As [`hash_beneath`].
pub fn hash_small_beneath(root: &Root, path: &RelPath, most: u64) -> Result<Option<Hashed>, FileError> {
    let opened = root.file(path)?;
    if opened.size() > most {
        return Ok(None);
    }
    hash(&opened, Wanted::default(), &crate::Silent).map(Some)
}

/// As [`hash_beneath`], for a file that is already open.
///
/// # Errors
/// If it cannot be read, or changes while it is read.
pub fn hash(opened: &RegularFile, wanted: Wanted<'_>, progress: &dyn Progress) -> Result<Hashed, FileError> {
    let (path, file, before) = (opened.path(), opened.file(), opened.metadata());
    let size = before.len();
    let mut hashed = match wanted.tensors || wanted.checksums.iter().any(|a| *a != Algorithm::Blake3) {
        true => together(path, file, size, wanted, progress)?,
        false => {
            let count = size.div_ceil(SLICE).max(1);
            let bytes = match wanted.mapped && count > 1 {
                true => Bytes::Mapped(map(path, file, size)?),
                false => Bytes::Read(file),
            };
            // A small file is one slice: a second thread would cost more than it saves.
            let slices: Result<Vec<_>, _> = if count == 1 {
                slice(path, &bytes, size, 0, progress).map(|slice| vec![slice])
            } else {
                (0..count).into_par_iter().map(|at| slice(path, &bytes, size, at, progress)).collect()
            };
            finish(size, slices?)
        }
    };
    let after = file.metadata().map_err(FileError::io(path, "read the metadata of"))?;
    let changed = |what: String| Err(FileError::Changed { path: path.to_owned(), what });
    if after.len() != size {
        return changed(format!("it had {size} bytes and now has {}", after.len()));
    }
    if Stamp::of(before) != Stamp::of(&after) {
        return changed("its modification time changed".to_owned());
    }
    hashed.stamp = Some(Stamp::of(before));
    let own = |algorithm: &Algorithm| *algorithm == Algorithm::Blake3;
    if let Some(at) = wanted.checksums.iter().position(own) {
        hashed.checksums.insert(at, hashed.digest.into());
    }
    Ok(hashed)
}

/// How the bytes of a file are read.
enum Bytes<'a> {
    Read(&'a File),
    Mapped(Mmap),
}

/// The hasher of slice `at`, updated with all of its bytes.
fn slice(
    path: &Path,
    bytes: &Bytes<'_>,
    size: u64,
    at: u64,
    progress: &dyn Progress,
) -> Result<blake3::Hasher, FileError> {
    let begin = at * SLICE;
    let end = size.min(begin + SLICE);
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(begin);
    match bytes {
        Bytes::Mapped(map) => {
            hasher.update(map.get(begin as usize..end as usize).unwrap_or_default());
            progress.advance(end - begin);
        }
        Bytes::Read(file) => {
            let mut buffer = vec![0; BLOCK.min((end - begin) as usize)];
            let mut offset = begin;
            while offset < end {
                let now = buffer.len().min((end - offset) as usize);
                read_at(path, file, &mut buffer[..now], offset)?;
                hasher.update(&buffer[..now]);
                offset += now as u64;
                progress.advance(now as u64);
            }
        }
    }
    Ok(hasher)
}

/// The digest computed from the slices' hashers, in order.
fn finish(size: u64, slices: Vec<blake3::Hasher>) -> Hashed {
    let empty = |digest: blake3::Hash, slices| Hashed {
        size,
        digest: digest.into(),
        slices,
        checksums: Vec::new(),
        tensors: None,
        stamp: None,
    };
    if let [only] = slices.as_slice() {
        return empty(only.finalize(), Vec::new());
    }
    let values: Vec<ChainingValue> = slices.iter().map(HasherExt::finalize_non_root).collect();
    empty(root(&values, size), values.into_iter().map(Digest::from).collect())
}

/// The digest of a file of `size` bytes with the subtree values `slices`, at least two.
fn root(slices: &[ChainingValue], size: u64) -> blake3::Hash {
    let left = left_subtree_len(size);
    let (a, b) = slices.split_at((left / SLICE) as usize);
    merge_subtrees_root(&subtree(a, left), &subtree(b, size - left), Mode::Hash)
}

fn subtree(slices: &[ChainingValue], size: u64) -> ChainingValue {
    if let [only] = slices {
        return *only;
    }
    let left = left_subtree_len(size);
    let (a, b) = slices.split_at((left / SLICE) as usize);
    merge_subtrees_non_root(&subtree(a, left), &subtree(b, size - left), Mode::Hash)
}

/// Whether `slices` are the subtree values of a file of this size and BLAKE3.
pub fn slices_agree(size: u64, digest: &Checksum, slices: &[Digest]) -> bool {
    let values: Vec<ChainingValue> = slices.iter().map(|slice| *slice.as_bytes()).collect();
    slices.len() as u64 == size.div_ceil(SLICE)
        && slices.len() > 1
        && Checksum::from(Digest::from(root(&values, size))) == *digest
}

/// One pass that updates every digest.
fn together(
    path: &Path,
    file: &File,
    size: u64,
    wanted: Wanted<'_>,
    progress: &dyn Progress,
) -> Result<Hashed, FileError> {
    let foreign = wanted.checksums.iter().filter(|algorithm| **algorithm != Algorithm::Blake3);
    let mut streams: Vec<Stream> = foreign.map(|algorithm| Stream::new(*algorithm, size)).collect();
    let mut tensors = wanted.tensors.then(|| TensorStream::new(path, size));
    let mut slices = vec![blake3::Hasher::new()];
    let mut buffer = vec![0; SHARED_BLOCK.min(size as usize)];
    let mut offset = 0;
    while offset < size {
        let now = buffer.len().min((size - offset) as usize);
        let block = &mut buffer[..now];
        read_at(path, file, block, offset)?;
        let block = &*block;
        if offset.is_multiple_of(SLICE) && offset > 0 {
            let mut next = blake3::Hasher::new();
            next.set_input_offset(offset);
            slices.push(next);
        }
        let own = || {
            slices.last_mut().map(|slice| slice.update(block));
        };
        let theirs = || {
            rayon::join(
                || tensors.iter_mut().for_each(|tensors| tensors.update(block)),
                || streams.par_iter_mut().for_each(|stream| stream.update(block)),
            )
        };
        rayon::join(own, theirs);
        offset += now as u64;
        progress.advance(now as u64);
    }
    let checksums = streams.into_iter().filter_map(Stream::finish).collect();
    Ok(Hashed { checksums, tensors: tensors.map(TensorStream::finish), ..finish(size, slices) })
}

/// The state of a checksum of another algorithm.
enum Stream {
    Sha256(sha2::Sha256),
    Sha1(Algorithm, sha1::Sha1),
    Md5(md5::Md5),
    Md5Text(Md5Text),
    Xet(Box<Xet>),
}

impl Stream {
    fn new(algorithm: Algorithm, size: u64) -> Self {
        match algorithm {
            // This type is never used for BLAKE3; SHA-256 is in the same arm so that the match is complete.
            Algorithm::Sha256 | Algorithm::Blake3 => Self::Sha256(sha2::Sha256::new()),
            Algorithm::Sha1 => Self::Sha1(algorithm, sha1::Sha1::new()),
            Algorithm::GitBlob => {
                Self::Sha1(algorithm, sha1::Sha1::new().chain_update(format!("blob {size}\0").as_bytes()))
            }
            Algorithm::Md5 => Self::Md5(md5::Md5::new()),
            Algorithm::Md5Text => Self::Md5Text(Md5Text::new()),
            Algorithm::Xet => Self::Xet(Box::new(Xet::new())),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(state) => state.update(bytes),
            Self::Sha1(_, state) => state.update(bytes),
            Self::Md5(state) => state.update(bytes),
            Self::Md5Text(state) => state.update(bytes),
            Self::Xet(state) => state.update(bytes),
        }
    }

    fn finish(self) -> Option<Checksum> {
        match self {
            Self::Sha256(state) => Checksum::new(Algorithm::Sha256, &state.finalize()),
            Self::Sha1(algorithm, state) => Checksum::new(algorithm, &state.finalize()),
            Self::Md5(state) => Checksum::new(Algorithm::Md5, &state.finalize()),
            Self::Md5Text(state) => Checksum::new(Algorithm::Md5Text, &state.finish()),
            Self::Xet(state) => Checksum::new(Algorithm::Xet, &state.finish()),
        }
    }
}

/// The checksum of `bytes`.
pub fn checksum(algorithm: Algorithm, bytes: &[u8]) -> Option<Checksum> {
    if algorithm == Algorithm::Blake3 {
        return Some(Digest::of(bytes).into());
    }
    let mut stream = Stream::new(algorithm, bytes.len() as u64);
    stream.update(bytes);
    stream.finish()
}

/// Fills `buffer` with the bytes at `offset`, which must be within the length that the file had when it was opened.
pub(crate) fn read_at(path: &Path, file: &File, buffer: &mut [u8], offset: u64) -> Result<(), FileError> {
    #[cfg(unix)]
    let read = std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset);
    #[cfg(windows)]
    let read = (|| {
        let mut filled = 0;
        while filled < buffer.len() {
            match std::os::windows::fs::FileExt::seek_read(file, &mut buffer[filled..], offset + filled as u64)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                more => filled += more,
            }
        }
        Ok(())
    })();
    read.map_err(|e| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            FileError::Changed { path: path.to_owned(), what: format!("it ended before byte {offset}") }
        }
        _ => FileError::io(path, "read")(e),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Silent;

    fn bytes(size: u64) -> Vec<u8> {
        (0..size).map(|i| ((i % 251) ^ (i >> 17)) as u8).collect()
    }

    #[test]
    fn is_the_plain_digest_at_every_size() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let block = BLOCK as u64;
        // Lengths around the block sizes here and BLAKE3's block and chunk sizes.
        for size in [0, 1, 63, 64, 65, 1023, 1024, 1025, block - 1, block, block + 1, 3 * block + 7] {
            std::fs::write(&path, bytes(size)).unwrap();
            assert_eq!(hash_file(&path).unwrap(), (size, Digest::of(&bytes(size))));
        }
        assert!(hash_file(directory.path()).is_err());
        // Endless and not a regular file: refused immediately.
        assert!(!cfg!(unix) || hash_file(Path::new("/dev/zero")).is_err());
        assert!(hash_file(&directory.path().join("none")).is_err());
    }

    #[test]
    fn slices_are_subtrees_of_the_plain_digest() {
        let directory = tempfile::tempdir().unwrap();
        let (root, name) = (directory.path(), "file".parse().unwrap());
        let opened = Root::open(root).unwrap();
        for size in [SLICE, SLICE + 1, 2 * SLICE, 3 * SLICE - 5, 5 * SLICE + 1024] {
            let all = bytes(size);
            std::fs::write(root.join("file"), &all).unwrap();
            let wanted = Wanted { checksums: &[Algorithm::Sha256, Algorithm::Blake3], ..Wanted::default() };
            for wanted in [Wanted::default(), wanted, Wanted { mapped: true, ..Wanted::default() }] {
                let hashed = hash_beneath(&opened, &name, wanted, &Silent).unwrap();
                assert_eq!((hashed.size, hashed.digest), (size, Digest::of(&all)));
                let several = size > SLICE;
                assert_eq!(hashed.slices.len(), if several { size.div_ceil(SLICE) as usize } else { 0 });
                assert_eq!(slices_agree(size, &hashed.digest.into(), &hashed.slices), several);
                assert_eq!(hashed.checksums.len(), wanted.checksums.len());
                if let [sha256, own] = hashed.checksums.as_slice() {
                    assert_eq!(sha256.bytes(), sha2::Sha256::digest(&all).as_slice());
                    assert_eq!(own.bytes(), hashed.digest.as_bytes());
                }
                let mut other = hashed.slices.clone();
                if let Some(last) = other.last_mut() {
                    *last = Digest::of(b"");
                    assert!(!slices_agree(size, &hashed.digest.into(), &other));
                }
            }
        }
    }

    /// Published values: of "abc" from FIPS 180 and RFC 1321, of git's blob from `git hash-object`,
    /// of Xet from `hash_files` of hf-xet 1.8.0.
    #[test]
    fn foreign_checksums_are_the_published_ones() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("abc"), "abc").unwrap();
        let wanted = Wanted { checksums: &Algorithm::ALL, ..Wanted::default() };
        let hashed =
            hash_beneath(&Root::open(directory.path()).unwrap(), &"abc".parse().unwrap(), wanted, &Silent).unwrap();
        let told: Vec<String> = hashed.checksums.iter().map(Checksum::to_string).collect();
        assert_eq!(
            told,
            [
                "b3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
                "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "sha1:a9993e364706816aba3e25717850c26c9cd0d89d",
                "git:f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f",
                "md5:900150983cd24fb0d6963f7d28e17f72",
                "md5-dos2unix:900150983cd24fb0d6963f7d28e17f72",
                "xet:55b9df318a7c45f470d57b04d8ca79a15b0637ffe94b25041a58d00c3528afff",
            ]
        );
    }
}

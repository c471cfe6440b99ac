//! Tensors as they are stored in files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use retrace_files::safetensors::{Dtype, Tensor, TensorLocation, read_tensor, tensor_hasher};
use retrace_files::{FileError, RegularFile, Root};
use retrace_spec::{Digest, RelPath};

/// Bytes that are hashed in one call.
const BLOCK: usize = 256 << 10;

/// A stored tensor of a checkpoint. Its bytes, in row-major order and little-endian, are the bytes of its pieces, one
/// after another.
#[derive(Debug, Clone)]
pub struct StoredTensor {
    /// The type of its numbers.
    pub dtype: Dtype,
    /// Its size in every dimension.
    pub shape: Vec<usize>,
    /// Its pieces, in order.
    pub pieces: Vec<Piece>,
}

/// A range of a tensor's bytes in one file.
#[derive(Debug, Clone)]
pub struct Piece {
    pub(crate) file: Arc<HeldFile>,
    /// The offset of the first byte in the file.
    pub begin: u64,
    /// The number of bytes, as they are read.
    pub length: u64,
    /// The whole tensor's location, if it is not stored in row-major order; it is then the only piece.
    pub(crate) strided: Option<Arc<TensorLocation>>,
}

/// A file of a checkpoint. It is opened when it is read, so that a long series of checkpoints needs few open
/// files.
#[derive(Debug)]
pub(crate) struct HeldFile {
    at: At,
    /// Its length in bytes when its header was read; the header says where the tensors are.
    size: u64,
}

#[derive(Debug)]
enum At {
    /// A file that a user named.
    Named(PathBuf),
    /// A file in the directory of a checkpoint.
    Inside(Arc<Root>, RelPath),
}

impl HeldFile {
    pub(crate) fn named(file: &RegularFile) -> Arc<Self> {
        Arc::new(Self { at: At::Named(file.path().to_owned()), size: file.size() })
    }

    pub(crate) fn inside(root: &Arc<Root>, path: RelPath, size: u64) -> Arc<Self> {
        Arc::new(Self { at: At::Inside(Arc::clone(root), path), size })
    }

    fn open(&self) -> Result<RegularFile, FileError> {
        let file = match &self.at {
            At::Named(path) => RegularFile::open(path)?,
            At::Inside(root, path) => root.file(path)?,
        };
        match file.size() == self.size {
            true => Ok(file),
            false => {
                let what = format!("it had {} bytes and has {} now", self.size, file.size());
                Err(FileError::Changed { path: file.path().to_owned(), what })
            }
        }
    }
}

impl Piece {
    /// The path of the file.
    pub fn path(&self) -> PathBuf {
        match &self.file.at {
            At::Named(path) => path.clone(),
            At::Inside(root, path) => path.under(root.path()),
        }
    }
}

impl StoredTensor {
    /// A tensor in one location of one file.
    pub(crate) fn whole(file: &Arc<HeldFile>, place: TensorLocation) -> Self {
        let (dtype, shape) = (place.dtype, place.shape.clone());
        let (file, begin, length) = (Arc::clone(file), place.begin, place.length);
        let strided = place.strides.is_some().then(|| Arc::new(place));
        Self { dtype, shape, pieces: vec![Piece { file, begin, length, strided }] }
    }

    /// Its number of bytes.
    pub fn length(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.length).sum()
    }

    /// Its number of elements.
    pub fn elements(&self) -> u64 {
        (u128::from(self.length()) * 8 / u128::from(self.dtype.bits())) as u64
    }

    /// Opens the files that contain it. A tensor that is not stored in row-major order is read into memory.
    ///
    /// # Errors
    /// If one cannot be opened, or its length has changed.
    pub fn open(&self) -> Result<OpenTensor, FileError> {
        self.open_beside(&mut None)
    }

    /// As [`Self::open`]; files that are open already are not opened again.
    pub(crate) fn open_beside(&self, last: &mut Option<Opened>) -> Result<OpenTensor, FileError> {
        let mut pieces = Vec::with_capacity(self.pieces.len());
        let mut first = 0;
        for piece in &self.pieces {
            let file = match last {
                Some((held, file)) if Arc::ptr_eq(held, &piece.file) => Arc::clone(file),
                _ => {
                    let file = Arc::new(piece.file.open()?);
                    *last = Some((Arc::clone(&piece.file), Arc::clone(&file)));
                    file
                }
            };
            let gathered = piece.strided.as_ref().map(|place| read_tensor(&file, place)).transpose()?;
            pieces.push(OpenPiece { first, begin: piece.begin, length: piece.length, file, gathered });
            first += piece.length;
        }
        Ok(OpenTensor { pieces })
    }

    /// Reads it.
    ///
    /// # Errors
    /// If its bytes cannot be read.
    pub fn read(&self) -> Result<Tensor, FileError> {
        self.read_beside(&mut None)
    }

    /// Its digest, as in a manifest, in constant memory, except for a tensor that is not stored in row-major order.
    ///
    /// # Errors
    /// If its bytes cannot be read.
    pub fn digest(&self) -> Result<Digest, FileError> {
        let open = self.open()?;
        let mut hasher = tensor_hasher(self.dtype, &self.shape);
        let length = self.length();
        let mut buffer = vec![0; BLOCK.min(usize::try_from(length).unwrap_or(BLOCK))];
        for at in (0..length).step_by(BLOCK) {
            let now = buffer.len().min(usize::try_from(length - at).unwrap_or(BLOCK));
            let block = &mut buffer[..now];
            open.read_at(block, at)?;
            hasher.update(block);
        }
        Ok(hasher.finalize().into())
    }

    pub(crate) fn read_beside(&self, last: &mut Option<Opened>) -> Result<Tensor, FileError> {
        let open = self.open_beside(last)?;
        // The headers were checked against the files' lengths, so this is at most the files' size.
        let mut bytes = vec![0; self.length() as usize];
        open.read_at(&mut bytes, 0)?;
        Ok(Tensor { dtype: self.dtype, shape: self.shape.clone(), bytes })
    }
}

/// An open file, and which file it is.
pub(crate) type Opened = (Arc<HeldFile>, Arc<RegularFile>);

/// A tensor whose files are open.
#[derive(Debug)]
pub struct OpenTensor {
    pieces: Vec<OpenPiece>,
}

#[derive(Debug)]
struct OpenPiece {
    /// The offset of its first byte in the tensor.
    first: u64,
    /// The offset of its first byte in the file.
    begin: u64,
    length: u64,
    file: Arc<RegularFile>,
    /// Its bytes, if they are not in this order in the file.
    gathered: Option<Vec<u8>>,
}

impl OpenTensor {
    /// Fills `buffer` with the tensor's bytes from `offset` on. Several threads may read in parallel.
    ///
    /// # Errors
    /// If they cannot be read, or the tensor has fewer.
    pub fn read_at(&self, mut buffer: &mut [u8], mut offset: u64) -> Result<(), FileError> {
        let at = self.pieces.partition_point(|piece| piece.first + piece.length <= offset);
        for piece in self.pieces.get(at..).unwrap_or_default() {
            let within = offset - piece.first;
            let now = buffer.len().min(usize::try_from(piece.length - within).unwrap_or(usize::MAX));
            let (these, rest) = buffer.split_at_mut(now);
            match &piece.gathered {
                Some(gathered) => these.copy_from_slice(&gathered[within as usize..][..now]),
                None => piece.file.read_at(these, piece.begin + within)?,
            }
            (buffer, offset) = (rest, offset + now as u64);
            if buffer.is_empty() {
                break;
            }
        }
        match buffer.is_empty() {
            true => Ok(()),
            false => {
                let path = self.pieces.last().map_or(Path::new(""), |piece| piece.file.path());
                Err(FileError::io(path, "read")(std::io::ErrorKind::UnexpectedEof.into()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Bytes cut into pieces, with other bytes before and between them, alternating between two files: joined,
        /// they are the original bytes, for every requested range.
        #[test]
        fn pieces_are_put_together(cuts in prop::collection::vec(0usize..9, 1..8), gap in 0usize..4, from in 0usize..70, length in 0usize..70) {
            let directory = tempfile::tempdir().unwrap();
            let whole: Vec<u8> = (0..cuts.iter().sum::<usize>()).map(|at| at as u8).collect();
            let mut contents = [vec![0xff; gap], vec![0xee; gap]];
            let (mut at, mut ranges) = (0, Vec::new());
            for (nth, cut) in cuts.iter().enumerate() {
                let content = &mut contents[nth % 2];
                ranges.push((nth % 2, content.len() as u64, *cut as u64));
                content.extend(&whole[at..at + cut]);
                content.extend(vec![0xdd; gap]);
                at += cut;
            }
            let files = ["a", "b"].map(|name| directory.path().join(name));
            let held = [0, 1].map(|at| {
                std::fs::write(&files[at], &contents[at]).unwrap();
                HeldFile::named(&RegularFile::open(&files[at]).unwrap())
            });
            let pieces = ranges.iter().map(|(file, begin, length)| {
                Piece { file: Arc::clone(&held[*file]), begin: *begin, length: *length, strided: None }
            });
            let tensor = StoredTensor { dtype: Dtype::U8, shape: vec![whole.len()], pieces: pieces.collect() };
            prop_assert_eq!(&tensor.read().unwrap().bytes, &whole);
            prop_assert_eq!(tensor.digest().unwrap(), retrace_files::safetensors::tensor_digest(Dtype::U8, &[whole.len()], &whole));
            let mut part = vec![0; length];
            let read = tensor.open().unwrap().read_at(&mut part, from as u64);
            match whole.get(from..from + length) {
                Some(expected) => {
                    read.unwrap();
                    prop_assert_eq!(&part, expected);
                }
                None => prop_assert!(read.is_err() || length == 0),
            }
            // A file whose length has changed is reported before any more of it is read.
            std::fs::write(&files[0], b"").unwrap();
            let changed = contents[0].is_empty() || matches!(tensor.open(), Err(FileError::Changed { .. }));
            prop_assert!(changed);
        }
    }
}

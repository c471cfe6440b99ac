//! Tensors as they are stored in files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use retrace_files::safetensors::{Dtype, Tensor, TensorLocation, read_tensor, tensor_hasher};
use retrace_files::{FileError, RegularFile, Root};
use retrace_spec::{Digest, RelPath};

use crate::runs::Runs;

/// Bytes that are hashed in one call.
const BLOCK: usize = 256 << 10;

/// A stored tensor of a checkpoint. Each of its bytes, in row-major order and little-endian, is in one of its pieces.
#[derive(Debug, Clone)]
pub struct StoredTensor {
    /// The type of its numbers.
    pub dtype: Dtype,
    /// Its size in every dimension.
    pub shape: Vec<usize>,
    /// Its pieces, in the order of their first bytes in the tensor.
    pub(crate) pieces: Vec<Piece>,
}

/// A part of a tensor in one file.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) file: Arc<HeldFile>,
    /// The offset of its first byte in the file.
    pub(crate) begin: u64,
    /// The number of bytes, as they are read.
    pub(crate) length: u64,
    /// Its location in the file, if it is not stored there in row-major order.
    pub(crate) strided: Option<Arc<TensorLocation>>,
    /// Where its bytes belong in the tensor.
    pub(crate) runs: Runs,
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
    pub(crate) fn new(file: &Arc<HeldFile>, place: TensorLocation, runs: Runs) -> Self {
        let (file, begin, length) = (Arc::clone(file), place.begin, place.length);
        let strided = place.strides.is_some().then(|| Arc::new(place));
        Self { file, begin, length, strided, runs }
    }
}

impl StoredTensor {
    /// A tensor in one location of one file.
    pub(crate) fn whole(file: &Arc<HeldFile>, place: TensorLocation) -> Self {
        let (dtype, shape) = (place.dtype, place.shape.clone());
        let runs = Runs::whole(place.length);
        Self { dtype, shape, pieces: vec![Piece::new(file, place, runs)] }
    }

    /// Whether a part of it is in the file at `path`, which is below the root of its checkpoint.
    pub fn is_in(&self, path: &RelPath) -> bool {
        self.pieces.iter().any(|piece| matches!(&piece.file.at, At::Inside(_, at) if at == path))
    }

    /// Its number of bytes.
    pub fn length(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.length).sum()
    }

    /// Its number of elements.
    pub fn elements(&self) -> u64 {
        (u128::from(self.length()) * 8 / u128::from(self.dtype.bits())) as u64
    }

    /// Opens the files that contain it. A piece that is not stored in row-major order is read into memory.
    ///
    /// # Errors
    /// If one cannot be opened, or its length has changed.
    pub fn open(&self) -> Result<OpenTensor, FileError> {
        self.open_beside(&mut None)
    }

    /// As [`Self::open`]; files that are open already are not opened again.
    pub(crate) fn open_beside(&self, last: &mut Option<Opened>) -> Result<OpenTensor, FileError> {
        let mut pieces = Vec::with_capacity(self.pieces.len());
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
            pieces.push(OpenPiece { begin: piece.begin, runs: piece.runs.clone(), file, gathered });
        }
        Ok(OpenTensor { pieces, length: self.length() })
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
    length: u64,
}

#[derive(Debug)]
struct OpenPiece {
    /// The offset of its first byte in the file.
    begin: u64,
    /// Where its bytes belong in the tensor.
    runs: Runs,
    file: Arc<RegularFile>,
    /// Its bytes, if they are not in this order in the file.
    gathered: Option<Vec<u8>>,
}

impl OpenTensor {
    /// Fills `buffer` with the tensor's bytes from `offset` on. Several threads may read in parallel.
    ///
    /// # Errors
    /// If they cannot be read, or the tensor has fewer.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), FileError> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.length);
        let Some(end) = end else {
            let path = self.pieces.last().map_or(Path::new(""), |piece| piece.file.path());
            return Err(FileError::io(path, "read")(std::io::ErrorKind::UnexpectedEof.into()));
        };
        let behind = self.pieces.partition_point(|piece| piece.runs.first() < end);
        for piece in self.pieces.get(..behind).unwrap_or_default() {
            if piece.runs.end() <= offset {
                continue;
            }
            // Many short runs of a whole tensor would take more memory than the tensor.
            let block = if piece.runs.count() == 1 { buffer.len().max(1) } else { BLOCK };
            for (block, at) in buffer.chunks_mut(block).zip((offset..).step_by(block)) {
                piece.read_at(block, at)?;
            }
        }
        Ok(())
    }
}

impl OpenPiece {
    /// Fills those bytes of `buffer`, which begins at `offset` in the tensor, that are in this piece.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), FileError> {
        let Some(part) = self.runs.within(offset, buffer.len() as u64) else { return Ok(()) };
        let read;
        let bytes = match (&self.gathered, part.copies.len()) {
            (Some(gathered), _) => &gathered[part.from as usize..][..part.length],
            (None, 1) => {
                let [(to, length)] = part.copies[..] else { return Ok(()) };
                return self.file.read_at(&mut buffer[to..to + length], self.begin + part.from);
            }
            (None, _) => {
                let mut bytes = vec![0; part.length];
                self.file.read_at(&mut bytes, self.begin + part.from)?;
                read = bytes;
                &read
            }
        };
        let mut rest = bytes;
        for (to, length) in part.copies {
            let (these, after) = rest.split_at(length);
            buffer[to..to + length].copy_from_slice(these);
            rest = after;
        }
        Ok(())
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
            let mut first = 0;
            let pieces = ranges.iter().map(|(file, begin, length)| {
                let runs = Runs::at(first, *length);
                first += *length;
                Piece { file: Arc::clone(&held[*file]), begin: *begin, length: *length, strided: None, runs }
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

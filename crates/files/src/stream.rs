//! Digests of the tensors of a safetensors file while it is read for another purpose.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use retrace_spec::Digest;
use retrace_spec::manifest::Tensors;

use crate::FileError;
use crate::safetensors::{TensorLocation, header_length, places, tensor_digest, tensor_hasher, tensor_root};

/// The digests of a file's tensors, computed from its bytes as they arrive: for callers that read the file for another
/// purpose.
#[derive(Debug)]
pub(crate) struct TensorStream {
    path: PathBuf,
    /// The file's length.
    length: u64,
    /// The 8 bytes and the header, until it is complete.
    head: Vec<u8>,
    /// The tensors that are not complete yet, the last in the file first.
    coming: Vec<(String, TensorLocation)>,
    /// The hasher of the first of them, and how many bytes it still needs.
    current: Option<(blake3::Hasher, u64)>,
    state: Result<BTreeMap<String, Digest>, FileError>,
}

impl TensorStream {
    /// For the file at `path` with `length` bytes.
    pub(crate) fn new(path: &Path, length: u64) -> Self {
        let (path, state) = (path.to_owned(), Ok(BTreeMap::new()));
        Self { path, length, head: Vec::new(), coming: Vec::new(), current: None, state }
    }

    /// The next bytes of the file.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.state.is_ok() {
            bytes = match self.take(bytes) {
                Ok(rest) => rest,
                Err(error) => {
                    self.state = Err(error);
                    return;
                }
            };
        }
    }

    /// The digests, after all bytes have arrived.
    pub(crate) fn finish(mut self) -> Result<Tensors, FileError> {
        if self.state.is_ok() {
            if self.head.len() as u64 != 8 + self.header()? as u64 {
                return Err(FileError::Changed { path: self.path, what: "it ended inside its header".to_owned() });
            }
            self.skip_empty();
            if !self.coming.is_empty() {
                return Err(FileError::Changed { path: self.path, what: "its last tensors are missing".to_owned() });
            }
        }
        let digests = self.state?;
        Ok(Tensors { root: tensor_root(digests.iter().map(|(name, digest)| (name.as_str(), *digest))), digests })
    }

    fn header(&self) -> Result<usize, FileError> {
        header_length(&self.path, self.head.first_chunk().copied().unwrap_or_default(), self.length)
    }

    /// Uses some of `bytes` and returns the rest.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], FileError> {
        let wanted = if self.head.len() < 8 && self.length >= 8 { 8 } else { 8 + self.header()? };
        if self.head.len() < wanted {
            let (now, rest) = bytes.split_at(bytes.len().min(wanted - self.head.len()));
            self.head.extend_from_slice(now);
            if self.head.len() >= 8 && self.head.len() == 8 + self.header()? {
                self.coming = places(&self.path, &self.head[8..], self.length)?.into_iter().collect();
                self.coming.sort_by_key(|(_, place)| std::cmp::Reverse((place.begin, place.length)));
            }
            return Ok(rest);
        }
        self.skip_empty();
        let Some((name, place)) = self.coming.last() else {
            let what = "it has more bytes than before".to_owned();
            return Err(FileError::Changed { path: self.path.clone(), what });
        };
        let (hasher, left) =
            self.current.get_or_insert_with(|| (tensor_hasher(place.dtype, &place.shape), place.length));
        let (now, rest) = bytes.split_at(bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX)));
        hasher.update_rayon(now);
        *left -= now.len() as u64;
        if *left == 0
            && let Ok(digests) = &mut self.state
        {
            digests.insert(name.clone(), hasher.finalize().into());
            self.current = None;
            self.coming.pop();
        }
        Ok(rest)
    }

    /// Tensors without bytes are complete immediately.
    fn skip_empty(&mut self) {
        while let (Some((name, place)), Ok(digests)) = (self.coming.last(), &mut self.state)
            && place.length == 0
        {
            digests.insert(name.clone(), tensor_digest(place.dtype, &place.shape, &[]));
            self.coming.pop();
        }
    }
}

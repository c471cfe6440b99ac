//! The tensors of a file, whichever format it has.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use rayon::prelude::*;
use retrace_spec::Digest;
use retrace_spec::manifest::Tensors;

use crate::safetensors::{Place, Tensor, tensor_hasher, tensor_root};
use crate::{FileError, llama2c, safetensors, torch};

/// Read at once by each thread.
const BLOCK: usize = 256 << 10;

/// Where every tensor of the file at `path` lies; nothing if it holds none that can be read here.
/// What is called `.safetensors` must be it; `.bin` is looked at for PyTorch's and llama2.c's formats,
/// `.pt`, `.pth` and `.ckpt` for PyTorch's.
///
/// # Errors
/// If the file cannot be read, or is not what its name says.
pub fn tensor_places(path: &Path) -> Result<Option<BTreeMap<String, Place>>, FileError> {
    places_named(path, &path.file_name().unwrap_or_default().to_string_lossy())
}

fn places_named(path: &Path, name: &str) -> Result<Option<BTreeMap<String, Place>>, FileError> {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("safetensors") => safetensors::read_header(path).map(Some),
        Some("bin") => match torch::read_header(path)? {
            Some(places) => Ok(Some(places)),
            None => llama2c::read_header(path),
        },
        Some("pt" | "pth" | "ckpt") => torch::read_header(path),
        _ => Ok(None),
    }
}

/// Every tensor of the file at `path`; nothing if it holds none that can be read here.
///
/// # Errors
/// As [`tensor_places`].
pub fn read_tensors(path: &Path) -> Result<Option<BTreeMap<String, Tensor>>, FileError> {
    let Some(places) = tensor_places(path)? else { return Ok(None) };
    let mut file = File::open(path).map_err(FileError::io(path, "open"))?;
    let read = |(name, Place { dtype, shape, begin, length }): (String, Place)| {
        file.seek(SeekFrom::Start(begin)).map_err(FileError::io(path, "read"))?;
        // The places lie within the file, so no more is asked for than it has.
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        file.read_exact(&mut bytes).map_err(FileError::io(path, "read"))?;
        Ok((name, Tensor { dtype, shape, bytes }))
    };
    places.into_iter().map(read).collect::<Result<_, FileError>>().map(Some)
}

/// The digests of all tensors of the file at `path`, in constant memory.
///
/// # Errors
/// As [`tensor_places`].
pub fn file_tensors(path: &Path) -> Result<Option<Tensors>, FileError> {
    file_tensors_named(path, &path.file_name().unwrap_or_default().to_string_lossy())
}

/// As [`file_tensors`], of a file that lies under another name than its own `name`, as in a hub's
/// cache.
///
/// # Errors
/// As [`tensor_places`].
pub fn file_tensors_named(path: &Path, name: &str) -> Result<Option<Tensors>, FileError> {
    let Some(places) = places_named(path, name)? else { return Ok(None) };
    let places: Vec<(String, Place)> = places.into_iter().collect();
    let digests = places.into_par_iter().map(|(name, place)| Ok((name, digest(path, &place)?)));
    let digests = digests.collect::<Result<BTreeMap<_, _>, FileError>>()?;
    let root = tensor_root(digests.iter().map(|(name, digest)| (name.as_str(), *digest)));
    Ok(Some(Tensors { root, digests }))
}

/// The digest of the tensor at `place`.
fn digest(path: &Path, place: &Place) -> Result<Digest, FileError> {
    let mut file = File::open(path).map_err(FileError::io(path, "open"))?;
    file.seek(SeekFrom::Start(place.begin)).map_err(FileError::io(path, "read"))?;
    let mut hasher = tensor_hasher(place.dtype, &place.shape);
    let mut left = file.take(place.length);
    let mut buffer = vec![0; BLOCK.min(usize::try_from(place.length).unwrap_or(BLOCK))];
    while left.limit() > 0 {
        let now = buffer.len().min(usize::try_from(left.limit()).unwrap_or(BLOCK));
        left.read_exact(&mut buffer[..now]).map_err(FileError::io(path, "read"))?;
        hasher.update(&buffer[..now]);
    }
    Ok(hasher.finalize().into())
}

//! The tensors of a file, whichever format it has.

use std::collections::BTreeMap;
use std::path::Path;

use retrace_spec::manifest::Tensors;

use crate::safetensors::{Place, read_tensor, tensor_digest, tensor_root};
use crate::{FileError, llama2c, safetensors, torch};

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

/// The digests of all tensors of the file at `path`, holding one at a time.
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
    let mut digests = BTreeMap::new();
    for (name, place) in places {
        let bytes = read_tensor(path, &place)?;
        digests.insert(name, tensor_digest(place.dtype, &place.shape, &bytes));
    }
    let root = tensor_root(digests.iter().map(|(name, digest)| (name.as_str(), *digest)));
    Ok(Some(Tensors { root, digests }))
}

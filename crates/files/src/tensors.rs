//! The tensors of a file in any supported format.

use std::collections::BTreeMap;

use rayon::prelude::*;
use retrace_spec::Digest;
use retrace_spec::manifest::Tensors;

use crate::safetensors::{TensorLocation, read_tensor, tensor_hasher, tensor_root};
use crate::{FileError, RegularFile, llama2c, safetensors, torch};

/// Bytes that each thread reads in one call.
const BLOCK: usize = 256 << 10;

/// What a file has of tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<T> {
    /// All of its tensors.
    Tensors(T),
    /// It has tensors that cannot be read here, for this reason.
    Unreadable(String),
    /// It has no tensors, or no known format.
    Nothing,
}

impl<T> Found<T> {
    /// Its tensors, if they can be read.
    pub fn tensors(self) -> Option<T> {
        match self {
            Self::Tensors(tensors) => Some(tensors),
            Self::Unreadable(_) | Self::Nothing => None,
        }
    }
}

/// The location of every tensor of `file`. The format depends on `name`, because in a hub's cache a file is stored under another name: a `.safetensors` file must have that format;
/// a `.bin` file may have PyTorch's and llama2.c's formats, and `.pt`, `.pth` and `.ckpt` files PyTorch's. The files of a
/// distributed checkpoint have tensors only together ([`torch::distributed`]), so each has none here.
///
/// # Errors
/// If the file cannot be read, or does not have the format that its name states.
pub fn tensor_places(file: &RegularFile, name: &str) -> Result<Found<BTreeMap<String, TensorLocation>>, FileError> {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("safetensors") => safetensors::read_header(file).map(Found::Tensors),
        Some("bin") => match torch::read_header(file)? {
            Found::Nothing => Ok(llama2c::read_header(file)?.map_or(Found::Nothing, Found::Tensors)),
            found => Ok(found),
        },
        Some("pt" | "pth" | "ckpt") => torch::read_header(file),
        _ => Ok(Found::Nothing),
    }
}

/// Whether a file of this name may contain tensors that can be read here, or a part of one, and should be opened.
pub fn may_hold_tensors(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    matches!(extension, Some("safetensors" | "bin" | "pt" | "pth" | "ckpt")) || torch::distributed::is_part(name)
}

/// Whether the content of a file with the name of a PyTorch checkpoint can be one: a complete archive, a pickle as
/// PyTorch before 1.6 wrote, or a checkpoint of llama2.c. `true` for all other names: the header of a safetensors file
/// says what is wrong with it.
///
/// # Errors
/// If the file cannot be read.
pub fn is_weights(file: &RegularFile, name: &str) -> Result<bool, FileError> {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    if !matches!(extension, Some("bin" | "pt" | "pth" | "ckpt")) {
        return Ok(true);
    }
    Ok(torch::is_archive_or_pickle(file)? || llama2c::read_header(file)?.is_some())
}

/// The digests of all tensors of `file`, in constant memory; only a tensor that is not stored in row-major order is
/// held in memory.
///
/// # Errors
/// As [`tensor_places`].
pub fn file_tensors(file: &RegularFile, name: &str) -> Result<Found<Tensors>, FileError> {
    let places = match tensor_places(file, name)? {
        Found::Tensors(places) => places,
        Found::Unreadable(why) => return Ok(Found::Unreadable(why)),
        Found::Nothing => return Ok(Found::Nothing),
    };
    let places: Vec<(String, TensorLocation)> = places.into_iter().collect();
    let digests = places.into_par_iter().map(|(name, place)| Ok((name, digest(file, &place)?)));
    let digests = digests.collect::<Result<BTreeMap<_, _>, FileError>>()?;
    let root = tensor_root(digests.iter().map(|(name, digest)| (name.as_str(), *digest)));
    Ok(Found::Tensors(Tensors { root, digests }))
}

/// The digest of the tensor at `place`.
fn digest(file: &RegularFile, place: &TensorLocation) -> Result<Digest, FileError> {
    let mut hasher = tensor_hasher(place.dtype, &place.shape);
    if place.strides.is_some() {
        return Ok(hasher.update(&read_tensor(file, place)?).finalize().into());
    }
    let mut buffer = vec![0; BLOCK.min(usize::try_from(place.length).unwrap_or(BLOCK))];
    let end = place.begin + place.length;
    let mut at = place.begin;
    while at < end {
        let now = buffer.len().min(usize::try_from(end - at).unwrap_or(BLOCK));
        file.read_at(&mut buffer[..now], at)?;
        hasher.update(&buffer[..now]);
        at += now as u64;
    }
    Ok(hasher.finalize().into())
}

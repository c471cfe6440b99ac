//! nanotron's checkpoints: below the directory `model`, a file for each tensor, or for each part of one.
//!
//! Source: nanotron, `serialize/weights.py`, `serialize/utils.py` (the names), `serialize/metadata.py` and
//! `parallel/parameters.py` (the metadata), version 1.5 of the format. The path of a file is the tensor's name, with a
//! directory for each part of it: `model/decoder/0/model_weight_pp-rank-0-of-1_tp-rank-1-of-2.safetensors` has a part of
//! `decoder.0.weight`, as the tensor `data`. Its metadata has the whole tensor's shape (`unsharded_shape`) and which ranges
//! of the part (`local_slices`) are which of the whole (`global_slices`). A file without these is a whole tensor. Experts
//! on different processes are tensors of their own, called `NAME.exp-rank-0-of-4`: whether they are parts of one is not
//! said. The optimizer's state, in another directory, is not read.

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;
use retrace_files::safetensors::{LONGEST_NAME, MOST_TENSORS, TensorLocation, read_header, read_metadata};
use retrace_files::{FileError, Root, WalkEntry, walk};
use retrace_spec::RelPath;
use retrace_spec::foreign::{excerpt, shown};

use crate::assemble::{Part, assemble};
use crate::checkpoint::Directory;
use crate::runs::Runs;
use crate::tensor::HeldFile;
use crate::{CheckpointError, StoredTensor};

/// The file that every such checkpoint has beside the directory `model`.
pub const METADATA: &str = "checkpoint_metadata.json";

/// The directory of the tensors.
const MODEL: &str = "model";

/// The name of the one tensor of a file.
const DATA: &str = "data";

/// A whole tensor, or ranges of one with the shape of the whole.
type Read = (Vec<Part>, Option<Vec<usize>>);

/// The tensors of the checkpoint in this directory, and the paths of their files.
///
/// # Errors
/// If a file cannot be read, or they contradict each other.
pub(crate) fn open(
    directory: &Directory<'_>,
    root: &Arc<Root>,
) -> Result<(BTreeMap<String, StoredTensor>, Vec<String>), CheckpointError> {
    let mut files: Vec<(String, String)> = Vec::new();
    for entry in walk(&directory.path().join(MODEL), &|_| false)? {
        let linked =
            matches!(&entry, WalkEntry::Special(path) if root.follows(&directory.inside(&format!("{MODEL}/{path}"))?));
        if (linked || matches!(entry, WalkEntry::File(_)))
            && let Some(name) = tensor_of(entry.path())
        {
            files.push((name, format!("{MODEL}/{}", entry.path())));
        }
    }
    if files.len() > MOST_TENSORS {
        return Err(directory.contradiction(MODEL, format!("it has more than {MOST_TENSORS} files")).into());
    }
    let read = files.par_iter().map(|(name, path)| Ok((name, path, of_file(directory, root, path)?)));
    let read = read.collect::<Result<Vec<_>, CheckpointError>>()?;
    let mut tensors: BTreeMap<&String, (&String, Read)> = BTreeMap::new();
    for (name, path, (parts, shape)) in read {
        match tensors.get_mut(name) {
            None => drop(tensors.insert(name, (path, (parts, shape)))),
            Some((_, (all, whole))) if whole.is_some() && *whole == shape => all.extend(parts),
            Some((other, ..)) => {
                let what =
                    format!("it has a part of another tensor than {} has, by the shapes of the whole", named(other));
                return Err(directory.contradiction(path, what).into());
            }
        }
    }
    let mut assembled = BTreeMap::new();
    for (name, (path, (parts, shape))) in tensors {
        let Some(first) = parts.first() else { continue };
        let (dtype, shape) = (first.location.dtype, shape.unwrap_or_else(|| first.location.shape.clone()));
        let tensor = assemble(dtype, shape, parts).map_err(|what| {
            directory.contradiction(path, format!("with the files beside it, tensor {} {what}", named(name)))
        })?;
        assembled.insert(name.clone(), tensor);
    }
    Ok((assembled, files.into_iter().map(|(_, path)| path).collect()))
}

/// The name of the tensor of which the file at `path`, below `model`, has a part; `None` if it is no such file.
fn tensor_of(path: &RelPath) -> Option<String> {
    let file = path.file_name().strip_prefix("model_")?.strip_suffix(".safetensors")?;
    let (name, ranks) = file.split_once("_pp-rank-").unwrap_or((file, ""));
    let expert = ranks.split_once("_exp-rank-").map_or_else(String::new, |(_, rank)| format!(".exp-rank-{rank}"));
    let above = path.parent().map_or_else(String::new, |above| above.as_str().replace('/', ".") + ".");
    Some(format!("{above}{name}{expert}")).filter(|name| name.len() <= LONGEST_NAME)
}

/// The parts in the file at `path`, and the shape of the whole tensor if it has a part of one.
fn of_file(directory: &Directory<'_>, root: &Arc<Root>, path: &str) -> Result<Read, CheckpointError> {
    let refuse = |what: String| CheckpointError::from(directory.contradiction(path, what));
    let inside = directory.inside(path)?;
    let file = directory.root.file(&inside)?;
    let malformed = |error| match error {
        FileError::Safetensors { place, what, .. } => refuse(format!("{place}: {what}")),
        error => error.into(),
    };
    let mut places = read_header(&file).map_err(malformed)?;
    let metadata = read_metadata(&file).map_err(malformed)?;
    let place = places.remove(DATA).filter(|_| places.is_empty());
    let place = place.ok_or_else(|| refuse(format!("it does not have one tensor, called {DATA}")))?;
    let held = HeldFile::inside(root, inside, file.size());
    let (Some(pairs), Some(shape)) = (metadata.get("local_global_slices_pairs"), metadata.get("unsharded_shape"))
    else {
        let whole = Part { offsets: vec![0; place.shape.len()], file: held, location: place };
        return Ok((vec![whole], None));
    };
    let shape = sizes(shape).ok_or_else(|| refuse(format!("its unsharded_shape is {}", named(shape))))?;
    let mut parts = Vec::new();
    for pair in pairs.split(';') {
        let part = part(pair, &place, &shape);
        let (offsets, location) = part.ok_or_else(|| {
            let what = "is no pair of ranges of its tensor and of the whole one that have the same sizes";
            refuse(format!("{} in its local_global_slices_pairs {what}", named(pair)))
        })?;
        parts.push(Part { offsets, file: Arc::clone(&held), location });
    }
    Ok((parts, Some(shape)))
}

/// A shape as Python prints a tuple: `(4, 2)`, `(4,)`, and `(np.int64(4), 2)`.
fn sizes(text: &str) -> Option<Vec<usize>> {
    let inside = text.strip_prefix('(')?.strip_suffix(')')?;
    let size = |size: &str| {
        let size = size.trim();
        let number = size.strip_prefix("np.int64(").and_then(|size| size.strip_suffix(')')).unwrap_or(size);
        number.parse().ok()
    };
    inside.split(',').filter(|size| !size.trim().is_empty()).map(size).collect()
}

/// Ranges in every dimension, as nanotron writes them: `0,10,None|None,None,None`. Only steps of 1 occur.
fn ranges(text: &str, shape: &[usize]) -> Option<(Vec<usize>, Vec<usize>)> {
    let texts: Vec<&str> = if shape.is_empty() { Vec::new() } else { text.split('|').collect() };
    if texts.len() > shape.len() {
        return None;
    }
    // In Python, dimensions that are not named are complete.
    let rest = std::iter::repeat("None,None,None");
    let of = |(text, size): (&str, &usize)| {
        let parts: Vec<&str> = text.split(',').collect();
        let [begin, end, step] = parts[..] else { return None };
        let number = |text: &str, or: usize| if text == "None" { Some(or) } else { text.parse().ok() };
        let (begin, end) = (number(begin, 0)?, number(end, *size)?);
        (number(step, 1)? == 1 && begin <= end && end <= *size).then(|| (begin, end - begin))
    };
    texts.into_iter().chain(rest).zip(shape).map(of).collect()
}

/// The offsets of a part in a tensor of this `shape`, and its location, from a pair of ranges of the tensor at `place` and
/// of the whole one.
fn part(pair: &str, place: &TensorLocation, shape: &[usize]) -> Option<(Vec<usize>, TensorLocation)> {
    let (local, global) = pair.split_once('#')?;
    let ((from, sizes), (offsets, same)) = (ranges(local, &place.shape)?, ranges(global, shape)?);
    if sizes != same {
        return None;
    }
    let number = place.dtype.bytes()?;
    if sizes.contains(&0) {
        return Some((offsets, TensorLocation { shape: sizes, length: 0, ..place.clone() }));
    }
    let runs = Runs::of_part(&place.shape, &from, &sizes, number)?;
    let length = sizes.iter().fold(number, |length, size| length * *size as u64);
    // Ranges of the rows are one after another in the file.
    let strides = (runs.count() > 1).then(|| {
        let mut stride = 1;
        let mut strides: Vec<u64> = Vec::with_capacity(sizes.len());
        for size in place.shape.iter().rev() {
            strides.push(stride);
            stride *= *size as u64;
        }
        strides.reverse();
        strides
    });
    Some((
        offsets,
        TensorLocation { dtype: place.dtype, shape: sizes, begin: place.begin + runs.first(), length, strides },
    ))
}

/// A name from a file, for messages.
fn named(name: &str) -> String {
    format!("{:?}", shown(&excerpt(name)))
}

#[cfg(test)]
mod tests {
    use retrace_files::safetensors::Dtype;

    use super::*;

    #[test]
    fn the_name_is_the_path() {
        let name = |path: &str| tensor_of(&path.parse().unwrap());
        let of = |name: &str| Some(name.to_owned());
        assert_eq!(
            name("model/decoder/0/pp_block/attn/qkv_proj/model_weight_pp-rank-0-of-1_tp-rank-1-of-2.safetensors"),
            of("model.decoder.0.pp_block.attn.qkv_proj.weight")
        );
        assert_eq!(name("model_inv_freq.safetensors"), of("inv_freq"));
        assert_eq!(
            name("a/model_w_pp-rank-0-of-1_tp-rank-0-of-1_exp-rank-2-of-4.safetensors"),
            of("a.w.exp-rank-2-of-4")
        );
        assert_eq!(name("a/optimizer_w.safetensors"), None);
        assert_eq!(name("a/model_w.pt"), None);
    }

    #[test]
    fn shapes_and_ranges_are_pythons() {
        assert_eq!(sizes("(4, 2)"), Some(vec![4, 2]));
        assert_eq!(sizes("(4,)"), Some(vec![4]));
        assert_eq!(sizes("()"), Some(vec![]));
        assert_eq!(sizes("(np.int64(12), 3)"), Some(vec![12, 3]));
        for wrong in ["4, 2", "(-4,)", "(4.5,)", "(99999999999999999999999,)", "(a)"] {
            assert_eq!(sizes(wrong), None, "{wrong}");
        }
        assert_eq!(ranges("2,5,None|None,None,None", &[6, 3]), Some((vec![2, 0], vec![3, 3])));
        assert_eq!(ranges("2,5,1", &[6, 3]), Some((vec![2, 0], vec![3, 3])));
        assert_eq!(ranges("", &[]), Some((vec![], vec![])));
        for wrong in ["0,10,2", "0,7,None", "5,2,None", "-1,None,None", "0,1", "", "0,1,None|0,1,None|0,1,None"] {
            assert_eq!(ranges(wrong, &[6, 3]), None, "{wrong}");
        }
    }

    #[test]
    fn a_part_of_the_columns_is_strided() {
        let place = TensorLocation { dtype: Dtype::U16, shape: vec![4, 6], begin: 100, length: 48, strides: None };
        let rows = part("1,3,None|None,None,None#5,7,None|None,None,None", &place, &[8, 6]).unwrap();
        assert_eq!(rows, (vec![5, 0], TensorLocation { shape: vec![2, 6], begin: 112, length: 24, ..place.clone() }));
        let columns = part("None,None,None|2,4,None#None,None,None|0,2,None", &place, &[4, 12]).unwrap();
        let strided =
            TensorLocation { shape: vec![4, 2], begin: 104, length: 16, strides: Some(vec![6, 1]), ..place.clone() };
        assert_eq!(columns, (vec![0, 0], strided));
        assert_eq!(part("1,3,None#5,8,None", &place, &[8, 6]), None);
        assert_eq!(part("1,3,None", &place, &[8, 6]), None);
    }
}

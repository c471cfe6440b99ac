//! A tensor put together from parts of it, in any number of files.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use retrace_files::safetensors::{Dtype, TensorLocation};

use crate::StoredTensor;
use crate::runs::Runs;
use crate::tensor::{HeldFile, Piece};

/// More comparisons of two parts are not made. Parts that are a grid need few.
const MOST_COMPARISONS: u64 = 1 << 26;

/// A part of a tensor: some indices in every dimension.
#[derive(Debug)]
pub(crate) struct Part {
    /// The first index in every dimension.
    pub(crate) offsets: Vec<usize>,
    /// The file that has its numbers.
    pub(crate) file: Arc<HeldFile>,
    /// Where in the file; also its type and its size in every dimension.
    pub(crate) location: TensorLocation,
}

impl Part {
    fn sizes(&self) -> &[usize] {
        &self.location.shape
    }

    fn overlaps(&self, other: &Self) -> bool {
        let ends = |part: &Self| part.offsets.iter().zip(part.sizes()).map(|(first, size)| first + size).collect();
        let (ends, other_ends): (Vec<usize>, Vec<usize>) = (ends(self), ends(other));
        let mut dimensions = self.offsets.iter().zip(&ends).zip(other.offsets.iter().zip(&other_ends));
        dimensions.all(|((first, end), (other_first, other_end))| first < other_end && other_first < end)
    }
}

/// The tensor of this type and shape that consists of `parts`. Empty parts are left out.
///
/// # Errors
/// If a part has another type or is not inside the tensor, two parts overlap, or some numbers are in no part.
pub(crate) fn assemble(dtype: Dtype, shape: Vec<usize>, mut parts: Vec<Part>) -> Result<StoredTensor, String> {
    let volume = |sizes: &[usize]| sizes.iter().try_fold(1u64, |volume, size| volume.checked_mul(*size as u64));
    let number =
        dtype.bytes().ok_or_else(|| format!("is {dtype:?}, of which several share a byte: it is not put together"))?;
    let numbers = volume(&shape).filter(|numbers| numbers.checked_mul(number).is_some());
    let numbers = numbers.ok_or_else(|| format!("has the shape {shape:?}, which is too large for any file"))?;
    parts.retain(|part| !part.sizes().contains(&0));
    let (mut pieces, mut held) = (Vec::with_capacity(parts.len()), 0u64);
    for part in &parts {
        let (offsets, sizes) = (&part.offsets, part.sizes());
        if part.location.dtype != dtype {
            return Err(format!("is {dtype:?}, and its part at {offsets:?} is {:?}", part.location.dtype));
        }
        let runs = Runs::of_part(&shape, offsets, sizes, number);
        let runs = runs.ok_or_else(|| {
            format!("has the shape {shape:?}, and its part at {offsets:?} of the shape {sizes:?} is not inside it")
        })?;
        // A part inside the tensor has at most as many numbers.
        held = held.saturating_add(volume(sizes).unwrap_or(u64::MAX));
        pieces.push(Piece::new(&part.file, part.location.clone(), runs));
    }
    if let Some((one, other)) = overlapping(&mut parts)? {
        return Err(format!("has parts that overlap, at {:?} and {:?}", one.offsets, other.offsets));
    }
    if held != numbers {
        return Err(format!("has {numbers} numbers, and its parts have {held} of them"));
    }
    pieces.sort_by_key(|piece| piece.runs.first());
    Ok(StoredTensor { dtype, shape, pieces })
}

/// Two parts that overlap, if there are such. Sorts the parts.
///
/// # Errors
/// If too many would have to be compared.
fn overlapping(parts: &mut [Part]) -> Result<Option<(&Part, &Part)>, String> {
    let dimensions = parts.first().map_or(0, |part| part.offsets.len());
    // The dimension with the most different offsets: few parts are at the same place in it.
    let different =
        |dimension: &usize| parts.iter().filter_map(|part| part.offsets.get(*dimension)).collect::<BTreeSet<_>>().len();
    let dimension = (0..dimensions).min_by_key(|dimension| Reverse(different(dimension))).unwrap_or(0);
    let first = |part: &Part| part.offsets.get(dimension).copied().unwrap_or(0);
    parts.sort_by_key(first);
    let parts = &*parts;
    let mut comparisons = 0u64;
    for (at, part) in parts.iter().enumerate() {
        let end = first(part) + part.sizes().get(dimension).copied().unwrap_or(1);
        for other in parts.get(at + 1..).unwrap_or_default().iter().take_while(|other| first(other) < end) {
            comparisons += 1;
            if comparisons > MOST_COMPARISONS {
                return Err("is in too many parts that are no grid".to_owned());
            }
            if part.overlaps(other) {
                return Ok(Some((part, other)));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use retrace_files::RegularFile;
    use retrace_files::safetensors::tensor_digest;

    use super::*;

    /// The part of `whole` with these offsets and sizes, in row-major order; one byte per number.
    fn part_of(whole: &[u8], shape: &[usize], offsets: &[usize], sizes: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for nth in 0..sizes.iter().product::<usize>() {
            let (mut rest, mut at, mut stride) = (nth, 0, 1);
            for ((size, offset), count) in shape.iter().zip(offsets).zip(sizes).rev() {
                at += (rest % count + offset) * stride;
                rest /= count;
                stride *= size;
            }
            bytes.push(whole[at]);
        }
        bytes
    }

    proptest! {
        /// A tensor that is cut again and again, each time one part in two, at any place of any dimension.
        #[test]
        fn any_division_has_the_same_tensor(shape in prop::collection::vec(1usize..7, 0..4), cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..9), from in any::<prop::sample::Index>(), wrong in any::<prop::sample::Index>()) {
            let whole: Vec<u8> = (0..shape.iter().product::<usize>()).map(|at| at as u8).collect();
            let mut boxes = vec![(vec![0; shape.len()], shape.clone())];
            for (which, dimension, place) in cuts {
                let which = which.index(boxes.len());
                let (offsets, sizes): (Vec<usize>, Vec<usize>) = boxes[which].clone();
                if sizes.is_empty() {
                    continue;
                }
                let dimension = dimension.index(sizes.len());
                let at = place.index(sizes[dimension] + 1);
                let (mut first, mut second, mut moved) = (sizes.clone(), sizes, offsets.clone());
                first[dimension] = at;
                second[dimension] -= at;
                moved[dimension] += at;
                boxes[which] = (offsets, first);
                boxes.push((moved, second));
            }
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("parts");
            let (mut bytes, mut places) = (Vec::new(), Vec::new());
            for (offsets, sizes) in &boxes {
                let part = part_of(&whole, &shape, offsets, sizes);
                places.push((offsets.clone(), sizes.clone(), bytes.len() as u64, part.len() as u64));
                bytes.extend(part);
            }
            std::fs::write(&path, &bytes).unwrap();
            let file = HeldFile::named(&RegularFile::open(&path).unwrap());
            let parts = || -> Vec<Part> {
                places.iter().map(|(offsets, sizes, begin, length)| {
                    let location = TensorLocation { dtype: Dtype::U8, shape: sizes.clone(), begin: *begin, length: *length, strides: None };
                    Part { offsets: offsets.clone(), file: Arc::clone(&file), location }
                }).collect()
            };
            let tensor = assemble(Dtype::U8, shape.clone(), parts()).unwrap();
            prop_assert_eq!(&tensor.read().unwrap().bytes, &whole);
            prop_assert_eq!(tensor.digest().unwrap(), tensor_digest(Dtype::U8, &shape, &whole));
            let from = from.index(whole.len());
            let mut rest = vec![0; whole.len() - from];
            tensor.open().unwrap().read_at(&mut rest, from as u64).unwrap();
            prop_assert_eq!(&rest, &whole[from..]);
            // Without one of the parts, or with one twice, it is no whole tensor.
            let wrong = wrong.index(places.len());
            if places[wrong].3 > 0 {
                let mut without = parts();
                without.remove(wrong);
                prop_assert!(assemble(Dtype::U8, shape.clone(), without).is_err());
                let mut twice = parts();
                twice.push(parts().swap_remove(wrong));
                prop_assert!(assemble(Dtype::U8, shape.clone(), twice).unwrap_err().contains("overlap"));
            }
        }
    }
}

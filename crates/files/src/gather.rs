//! Tensors that are not stored in row-major order, such as transposed ones and slices of others.

use std::io::ErrorKind;

use crate::safetensors::TensorLocation;
use crate::{FileError, RegularFile};

/// Bytes that are read in one call.
const WINDOW: u64 = 64 << 10;

/// One dimension: how many numbers it has, and the distance between neighbours in bytes, in the file and in the result.
struct Dimension {
    size: u64,
    stride: u64,
    step: usize,
}

/// The bytes of the tensor at `place`, in row-major order. The numbers are visited in the order in which they are in the
/// file, so that each part of the file is read once.
pub(crate) fn gather(file: &RegularFile, place: &TensorLocation, strides: &[u64]) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let length = place.length as usize;
    let full = |_| FileError::io(file.path(), "read")(ErrorKind::OutOfMemory.into());
    bytes.try_reserve_exact(length).map_err(full)?;
    bytes.resize(length, 0);
    if bytes.is_empty() {
        return Ok(bytes);
    }
    // Numbers that share bytes have no strides.
    let number = place.dtype.bits() / 8;
    let (mut dimensions, mut step) = (Vec::with_capacity(strides.len()), number as usize);
    for (size, stride) in place.shape.iter().zip(strides).rev() {
        dimensions.push(Dimension { size: *size as u64, stride: stride * number, step });
        step *= size;
    }
    dimensions.sort_by_key(|dimension| dimension.stride);
    let end = place.begin + number + dimensions.iter().map(|of| (of.size - 1) * of.stride).sum::<u64>();
    let mut window = vec![0; WINDOW.min(end - place.begin) as usize];
    // The range of the file that is in the window.
    let (mut first, mut behind) = (0, 0);
    let (mut at, mut to) = (place.begin, 0);
    let mut index = vec![0; dimensions.len()];
    loop {
        if at < first || at + number > behind {
            (first, behind) = (at, end.min(at + window.len() as u64));
            file.read_at(&mut window[..(behind - first) as usize], first)?;
        }
        let from = (at - first) as usize;
        bytes[to..to + number as usize].copy_from_slice(&window[from..from + number as usize]);
        // The next number: the dimension with the smallest stride moves fastest.
        let mut each = index.iter_mut().zip(&dimensions);
        loop {
            let Some((index, dimension)) = each.next() else { return Ok(bytes) };
            *index += 1;
            if *index < dimension.size {
                at += dimension.stride;
                to += dimension.step;
                break;
            }
            *index = 0;
            at -= dimension.stride * (dimension.size - 1);
            to -= dimension.step * (dimension.size as usize - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::safetensors::Dtype;

    proptest! {
        /// Against the definition: element (i, j, …) is at begin + Σ index · stride.
        #[test]
        fn every_number_is_where_its_index_says(dimensions in prop::collection::vec((1usize..7, 0u64..900), 0..5), before in 0u64..5) {
            let (shape, strides): (Vec<usize>, Vec<u64>) = dimensions.into_iter().unzip();
            let last: u64 = shape.iter().zip(&strides).map(|(size, stride)| (*size as u64 - 1) * stride).sum();
            let numbers: Vec<u16> = (0..=before + last).map(|at| (at * 7919 % 65521) as u16).collect();
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("numbers");
            std::fs::write(&path, numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
            let count: usize = shape.iter().product();
            let mut expected = Vec::new();
            for nth in 0..count {
                let (mut rest, mut at) = (nth, before);
                for (size, stride) in shape.iter().zip(&strides).rev() {
                    at += (rest % size) as u64 * stride;
                    rest /= size;
                }
                expected.extend(numbers[at as usize].to_le_bytes());
            }
            let place = TensorLocation { dtype: Dtype::U16, shape, begin: before * 2, length: count as u64 * 2, strides: None };
            prop_assert_eq!(gather(&RegularFile::open(&path).unwrap(), &place, &strides).unwrap(), expected);
        }
    }
}

//! How far the numbers of two tensors are apart, in constant memory.

use half::{bf16, f16};
use retrace_files::safetensors::{Dtype, TensorLocation, read_tensor};
use retrace_files::{FileError, RegularFile};
use serde::Serialize;

/// Numbers that are compared at once.
const BLOCK: u64 = 1 << 18;

/// How far the numbers of two tensors of one shape are apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Distance {
    /// Numbers that are not bit for bit the same value.
    pub differing: u64,
    /// All numbers.
    pub of: u64,
    /// The largest |b − a|; infinite where one is no number and the other is.
    pub largest: f64,
    /// The largest |b − a| / max(|a|, |b|).
    pub largest_relative: f64,
}

/// What two tensors of one shape have in common.
pub(crate) struct Apart {
    pub(crate) distance: Distance,
    /// Whether the wider one, rounded to the other's type, is the other.
    pub(crate) equal_after_casting: bool,
}

/// How far the numbers of two tensors of one shape are apart, each at its place in its file.
///
/// # Errors
/// If one cannot be read.
pub(crate) fn apart(
    a: (&RegularFile, &TensorLocation),
    b: (&RegularFile, &TensorLocation),
) -> Result<Apart, FileError> {
    let count = a.1.length / a.1.dtype.size();
    let mut distance = Distance { of: count, ..Distance::default() };
    let mut equal_after_casting = true;
    for first in (0..count).step_by(BLOCK as usize) {
        let (bytes_a, bytes_b) = (block(a, first, BLOCK)?, block(b, first, BLOCK)?);
        distance.add(&numbers(a.1.dtype, &bytes_a), &numbers(b.1.dtype, &bytes_b));
        equal_after_casting &= match a.1.dtype.size() >= b.1.dtype.size() {
            true => cast(a.1.dtype, &bytes_a, b.1.dtype).is_some_and(|cast| cast == bytes_b),
            false => cast(b.1.dtype, &bytes_b, a.1.dtype).is_some_and(|cast| cast == bytes_a),
        };
    }
    Ok(Apart { distance, equal_after_casting })
}

/// Whether two tensors of one length have the same bytes.
///
/// # Errors
/// If one cannot be read.
pub(crate) fn same_bytes(
    a: (&RegularFile, &TensorLocation),
    b: (&RegularFile, &TensorLocation),
) -> Result<bool, FileError> {
    for first in (0..a.1.length / a.1.dtype.size()).step_by(BLOCK as usize) {
        if block(a, first, BLOCK)? != block(b, first, BLOCK)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The bytes of `count` numbers from the `first` on, or of those that there are.
fn block((file, place): (&RegularFile, &TensorLocation), first: u64, count: u64) -> Result<Vec<u8>, FileError> {
    let size = place.dtype.size();
    let length = (place.length - first * size).min(count * size);
    let shape = vec![(length / size) as usize];
    read_tensor(file, &TensorLocation { dtype: place.dtype, shape, begin: place.begin + first * size, length })
}

/// The numbers of a tensor. Integers beyond 2⁵³ are rounded, which only a distance shows.
pub fn numbers(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    let mut numbers = Vec::new();
    numbers_into(dtype, bytes, &mut numbers);
    numbers
}

/// [`numbers`], into memory that is used again.
pub fn numbers_into(dtype: Dtype, bytes: &[u8], numbers: &mut Vec<f64>) {
    fn each<const N: usize>(bytes: &[u8], numbers: &mut Vec<f64>, number: impl Fn([u8; N]) -> f64) {
        numbers.extend(bytes.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)));
    }
    numbers.clear();
    match dtype {
        Dtype::BOOL | Dtype::U8 => each(bytes, numbers, |[byte]| f64::from(byte)),
        Dtype::I8 => each(bytes, numbers, |b| f64::from(i8::from_le_bytes(b))),
        Dtype::U16 => each(bytes, numbers, |b| f64::from(u16::from_le_bytes(b))),
        Dtype::I16 => each(bytes, numbers, |b| f64::from(i16::from_le_bytes(b))),
        Dtype::F16 => each(bytes, numbers, |b| f16::from_le_bytes(b).to_f64()),
        Dtype::BF16 => each(bytes, numbers, |b| bf16::from_le_bytes(b).to_f64()),
        Dtype::U32 => each(bytes, numbers, |b| f64::from(u32::from_le_bytes(b))),
        Dtype::I32 => each(bytes, numbers, |b| f64::from(i32::from_le_bytes(b))),
        Dtype::F32 => each(bytes, numbers, |b| f64::from(f32::from_le_bytes(b))),
        Dtype::U64 => each(bytes, numbers, |b| u64::from_le_bytes(b) as f64),
        Dtype::I64 => each(bytes, numbers, |b| i64::from_le_bytes(b) as f64),
        Dtype::F64 => each(bytes, numbers, f64::from_le_bytes),
    }
}

/// The bytes of a tensor rounded, ties to even, to a float of no more bytes.
pub(crate) fn cast(from: Dtype, bytes: &[u8], to: Dtype) -> Option<Vec<u8>> {
    let floats = [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64];
    if !floats.contains(&from) {
        return None;
    }
    // From binary32 the rounding is one; from binary64 too, as `half` rounds from there at once.
    let numbers = numbers(from, bytes).into_iter();
    match to {
        Dtype::F16 => Some(numbers.flat_map(|x| f16::from_f64(x).to_le_bytes()).collect()),
        Dtype::BF16 => Some(numbers.flat_map(|x| bf16::from_f64(x).to_le_bytes()).collect()),
        Dtype::F32 => Some(numbers.flat_map(|x| (x as f32).to_le_bytes()).collect()),
        _ => None,
    }
}

impl Distance {
    /// Takes in more numbers of both.
    fn add(&mut self, a: &[f64], b: &[f64]) {
        for (a, b) in a.iter().zip(b) {
            if a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) {
                continue;
            }
            self.differing += 1;
            let apart = match (b - a).abs() {
                nan if nan.is_nan() => f64::INFINITY,
                apart => apart,
            };
            self.largest = self.largest.max(apart);
            let size = a.abs().max(b.abs());
            self.largest_relative = self.largest_relative.max(if apart == 0.0 { 0.0 } else { apart / size });
        }
    }
}

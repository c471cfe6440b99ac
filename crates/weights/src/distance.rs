//! The distance between the numbers of two tensors, in constant memory.

use half::{bf16, f16};
use retrace_checkpoint::{OpenTensor, StoredTensor};
use retrace_files::FileError;
use retrace_files::safetensors::Dtype;
use serde::Serialize;

use crate::minifloat;

/// Numbers per block of the comparison.
const BLOCK: u64 = 1 << 18;

/// The distance between the numbers of two tensors of the same shape.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Distance {
    /// The number of elements that are not the same bits.
    pub differing: u64,
    /// The number of elements; a complex element counts as two, its parts.
    pub of: u64,
    /// The largest |b − a|; infinite if one is NaN and the other is not.
    pub largest: f64,
    /// The largest |b − a| / max(|a|, |b|).
    pub largest_relative: f64,
}

/// The relation between two tensors of the same shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Apart {
    /// The distance of their numbers.
    pub distance: Distance,
    /// Whether the wider one, rounded to the other's type, equals the other.
    pub equal_after_casting: bool,
}

/// The distance between the numbers of two tensors of the same shape.
///
/// Their types have numbers ([`has_numbers`]).
///
/// # Errors
/// If one cannot be read.
pub fn apart(a: &StoredTensor, b: &StoredTensor) -> Result<Apart, FileError> {
    let count = a.elements();
    let (open_a, open_b) = (a.open()?, b.open()?);
    let complex = is_complex(a.dtype) || is_complex(b.dtype);
    let of = if complex { count.saturating_mul(2) } else { count };
    let mut distance = Distance { of, ..Distance::default() };
    let numbers = |dtype, bytes: &[u8]| match complex && !is_complex(dtype) {
        true => numbers(dtype, bytes).into_iter().flat_map(|real| [real, 0.0]).collect(),
        false => numbers(dtype, bytes),
    };
    let mut equal_after_casting = true;
    for first in (0..count).step_by(BLOCK as usize) {
        let (bytes_a, bytes_b) = (block(a, &open_a, first)?, block(b, &open_b, first)?);
        match (integers(a.dtype, &bytes_a), integers(b.dtype, &bytes_b)) {
            (Some(a), Some(b)) => distance.add_integers(a, b),
            _ => distance.add(&numbers(a.dtype, &bytes_a), &numbers(b.dtype, &bytes_b)),
        }
        equal_after_casting &= match a.dtype.bits() >= b.dtype.bits() {
            true => cast(a.dtype, &bytes_a, b.dtype).is_some_and(|cast| cast == bytes_b),
            false => cast(b.dtype, &bytes_b, a.dtype).is_some_and(|cast| cast == bytes_a),
        };
    }
    Ok(Apart { distance, equal_after_casting })
}

/// Whether two tensors of the same length have the same bytes.
///
/// # Errors
/// If one cannot be read.
pub fn same_bytes(a: &StoredTensor, b: &StoredTensor) -> Result<bool, FileError> {
    let (open_a, open_b) = (a.open()?, b.open()?);
    for first in (0..a.elements()).step_by(BLOCK as usize) {
        if block(a, &open_a, first)? != block(b, &open_b, first)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The bytes of a block of numbers from the `first` on, or of those that remain.
fn block(tensor: &StoredTensor, open: &OpenTensor, first: u64) -> Result<Vec<u8>, FileError> {
    // A block has a multiple of eight numbers.
    let bytes_of = |numbers: u64| numbers * tensor.dtype.bits() / 8;
    let mut bytes = vec![0; bytes_of((tensor.elements() - first).min(BLOCK)) as usize];
    open.read_at(&mut bytes, bytes_of(first))?;
    Ok(bytes)
}

/// Whether the numbers of this type are known. How six bits each share bytes, no program that writes them says.
pub const fn has_numbers(dtype: Dtype) -> bool {
    !matches!(dtype, Dtype::F6_E2M3 | Dtype::F6_E3M2)
}

/// Whether each element has two numbers, its parts.
pub(crate) const fn is_complex(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::C64)
}

/// The numbers of a tensor; of a complex one, the real and the imaginary part of each element; none of a type without
/// [`has_numbers`]. Integers beyond 2⁵³ are rounded.
pub fn numbers(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    let mut numbers = Vec::new();
    numbers_into(dtype, bytes, &mut numbers);
    numbers
}

/// [`numbers`], into reused memory.
pub fn numbers_into(dtype: Dtype, bytes: &[u8], numbers: &mut Vec<f64>) {
    fn each<const N: usize>(bytes: &[u8], numbers: &mut Vec<f64>, number: impl Fn([u8; N]) -> f64) {
        numbers.extend(bytes.as_chunks::<N>().0.iter().map(|bytes| number(*bytes)));
    }
    numbers.clear();
    match dtype {
        Dtype::F4 => numbers.extend(bytes.iter().flat_map(|byte| {
            let number = |code: u8| minifloat::F4.get(usize::from(code)).copied().unwrap_or(f64::NAN);
            [number(byte & 15), number(byte >> 4)]
        })),
        Dtype::F6_E2M3 | Dtype::F6_E3M2 => {}
        Dtype::F8_E4M3 => each(bytes, numbers, |[code]| minifloat::F8_E4M3[usize::from(code)]),
        Dtype::F8_E5M2 => each(bytes, numbers, |[code]| minifloat::F8_E5M2[usize::from(code)]),
        Dtype::F8_E4M3FNUZ => each(bytes, numbers, |[code]| minifloat::F8_E4M3FNUZ[usize::from(code)]),
        Dtype::F8_E5M2FNUZ => each(bytes, numbers, |[code]| minifloat::F8_E5M2FNUZ[usize::from(code)]),
        Dtype::F8_E8M0 => each(bytes, numbers, |[code]| minifloat::f8_e8m0(code)),
        Dtype::C64 => each::<4>(bytes, numbers, |b| f64::from(f32::from_le_bytes(b))),
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

/// The numbers of a tensor of 64-bit integers, which binary64 would round.
fn integers(dtype: Dtype, bytes: &[u8]) -> Option<Vec<i128>> {
    let all = bytes.as_chunks::<8>().0.iter();
    match dtype {
        Dtype::I64 => Some(all.map(|bytes| i64::from_le_bytes(*bytes).into()).collect()),
        Dtype::U64 => Some(all.map(|bytes| u64::from_le_bytes(*bytes).into()).collect()),
        _ => None,
    }
}

/// The bytes of a tensor rounded, ties to even, to a float type that is not wider.
pub(crate) fn cast(from: Dtype, bytes: &[u8], to: Dtype) -> Option<Vec<u8>> {
    let floats = [Dtype::F16, Dtype::BF16, Dtype::F32, Dtype::F64];
    if !floats.contains(&from) {
        return None;
    }
    // From binary32 there is one rounding; from binary64 also, because `half` rounds from there directly.
    let numbers = numbers(from, bytes).into_iter();
    match to {
        Dtype::F16 => Some(numbers.flat_map(|x| f16::from_f64(x).to_le_bytes()).collect()),
        Dtype::BF16 => Some(numbers.flat_map(|x| bf16::from_f64(x).to_le_bytes()).collect()),
        Dtype::F32 => Some(numbers.flat_map(|x| (x as f32).to_le_bytes()).collect()),
        _ => None,
    }
}

impl Distance {
    /// Adds more numbers of both.
    fn add(&mut self, a: &[f64], b: &[f64]) {
        for (a, b) in a.iter().zip(b) {
            if a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) {
                continue;
            }
            let apart = match (b - a).abs() {
                nan if nan.is_nan() => f64::INFINITY,
                apart => apart,
            };
            self.add_differing(apart, a.abs().max(b.abs()));
        }
    }

    /// Adds more integers of both.
    fn add_integers(&mut self, a: Vec<i128>, b: Vec<i128>) {
        for (a, b) in a.into_iter().zip(b).filter(|(a, b)| a != b) {
            self.add_differing((b - a).unsigned_abs() as f64, a.unsigned_abs().max(b.unsigned_abs()) as f64);
        }
    }

    /// Adds two numbers that differ; `size` is the larger absolute value.
    fn add_differing(&mut self, apart: f64, size: f64) {
        self.differing += 1;
        self.largest = self.largest.max(apart);
        self.largest_relative = self.largest_relative.max(if apart == 0.0 { 0.0 } else { apart / size });
    }
}

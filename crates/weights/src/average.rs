//! Whether a model is the plain average of others.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use retrace_checkpoint::{Checkpoint, CheckpointError};
use retrace_files::FileError;
use retrace_files::safetensors::{Dtype, Tensor};
use serde::Serialize;
use thiserror::Error;

use crate::distance::{cast, numbers};

/// Why there is no average.
#[derive(Debug, Error)]
pub enum AverageError {
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// An ingredient does not have the tensors of the final model.
    #[error("{}: tensor {name:?} {what}", path.display())]
    Unlike {
        /// The ingredient.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What is wrong with it.
        what: String,
    },
}

/// How close a final model is to the average of its ingredients.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Averaged {
    /// The closeness of the worst tensor.
    pub closeness: Closeness,
    /// Every tensor, sorted by name.
    pub tensors: Vec<Mean>,
}

/// How close numbers are to an average.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Closeness {
    /// Bit for bit.
    Exact,
    /// At most one unit in the last place, or the maximum error of sums in binary32.
    Rounding,
    /// Not equal.
    Apart,
}

/// How close a tensor is to the average.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mean {
    /// Its name.
    pub name: String,
    /// The dtype of the final model's numbers.
    pub dtype: Dtype,
    /// Its closeness.
    pub closeness: Closeness,
    /// The number of elements that differ from the average's bits.
    pub differing: u64,
    /// The number of elements.
    pub of: u64,
    /// The largest distance, in units in the last place of the average as it would be stored.
    pub largest_units: f64,
    /// The largest distance; the largest `f64` where one of two numbers that differ is not finite.
    pub largest: f64,
    /// The norm of the difference between the final model's numbers and the average before rounding.
    pub distance: f64,
    /// The norm of the final model's numbers.
    pub norm: f64,
    /// The greatest relative error of rounding once to the type of the final model's numbers.
    pub rounding: f64,
}

/// Compares the checkpoint `last` with the average of `ingredients`, each a directory with weights or one file of
/// them. The average is the binary64 sum in that order, divided by their number, rounded to the dtype in `last`. The
/// result for each of its tensors is passed to `take`, sorted by name.
///
/// A number equals the average within rounding if its error is at most one unit in the last place of that type, or the
/// error that summing n numbers in binary32 may add to that: n · 2⁻²⁴ of the mean of their magnitudes (Higham, 2002,
/// §4.2).
///
/// # Errors
/// If a file cannot be read, or an ingredient has other tensors or shapes than `last`, or a tensor is not of floats.
pub fn average(
    ingredients: &[PathBuf],
    last: &Path,
    mut take: impl FnMut(&str, Tensor),
) -> Result<Averaged, AverageError> {
    let last = Checkpoint::open(last)?;
    let parts: Vec<Checkpoint> = ingredients.iter().map(|path| Checkpoint::open(path)).collect::<Result<_, _>>()?;
    for (path, part) in ingredients.iter().zip(&parts) {
        if let Some(name) = part.tensors().keys().find(|name| !last.tensors().contains_key(*name)) {
            return Err(unlike(path, name, "is not in the final model".to_owned()));
        }
    }
    let mut tensors = Vec::new();
    for (name, stored) in last.tensors() {
        let count = stored.elements() as usize;
        let (mut sums, mut sizes) = (vec![0.0; count], vec![0.0; count]);
        for (path, part) in ingredients.iter().zip(&parts) {
            let Some(part) = part.tensors().get(name) else {
                return Err(unlike(path, name, "is missing".to_owned()));
            };
            if part.shape != stored.shape || !is_float(part.dtype) || !is_float(stored.dtype) {
                let what = format!(
                    "is {:?} of shape {:?}, and {:?} of shape {:?} in the final model: no floats of one shape",
                    part.dtype, part.shape, stored.dtype, stored.shape
                );
                return Err(unlike(path, name, what));
            }
            let values = numbers(part.dtype, &part.read()?.bytes);
            sums.par_iter_mut().zip(&mut sizes).zip(values).for_each(|((sum, size), value)| {
                *sum += value;
                *size += value.abs();
            });
        }
        let n = parts.len().max(1) as f64;
        sums.par_iter_mut().zip(&mut sizes).for_each(|(sum, size)| (*sum, *size) = (*sum / n, *size / n));
        let exact: Vec<u8> = sums.iter().flat_map(|value| value.to_le_bytes()).collect();
        let rounded = match stored.dtype {
            Dtype::F64 => exact,
            dtype => cast(Dtype::F64, &exact, dtype).unwrap_or_default(),
        };
        let Tensor { dtype, shape, bytes } = stored.read()?;
        tensors.push(compare(name, dtype, n, [&sums, &sizes], [&rounded, &bytes]));
        take(name, Tensor { dtype, shape, bytes: rounded });
    }
    let closeness = tensors.iter().map(|tensor| tensor.closeness).max().unwrap_or(Closeness::Exact);
    Ok(Averaged { closeness, tensors })
}

fn unlike(path: &Path, name: &str, what: String) -> AverageError {
    AverageError::Unlike { path: path.to_owned(), name: name.to_owned(), what }
}

const fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
}

/// Compares the average of `n` numbers each, after rounding, with the stored number. Also uses the means before
/// rounding, and the means of the magnitudes.
fn compare(name: &str, dtype: Dtype, n: f64, [means, sizes]: [&[f64]; 2], [rounded, stored]: [&[u8]; 2]) -> Mean {
    let mut mean = Mean {
        name: name.to_owned(),
        dtype,
        closeness: Closeness::Exact,
        differing: 0,
        of: 0,
        largest_units: 0.0,
        largest: 0.0,
        distance: 0.0,
        norm: 0.0,
        rounding: rounding(dtype),
    };
    let each = numbers(dtype, rounded).into_iter().zip(numbers(dtype, stored));
    for ((mean_of, size), (ours, theirs)) in means.iter().zip(sizes).zip(each) {
        mean.of += 1;
        mean.distance += (mean_of - theirs) * (mean_of - theirs);
        mean.norm += theirs * theirs;
        if ours.to_bits() == theirs.to_bits() {
            continue;
        }
        mean.differing += 1;
        let unit = unit(dtype, ours);
        let (apart, from_mean) = ((ours - theirs).abs(), (mean_of - theirs).abs());
        let by_sums = n * 2f64.powi(-24) * size + unit;
        // NaN and the infinities have an infinite distance from all other values, and no rounding leads to them.
        let finite = ours.is_finite() && theirs.is_finite();
        let close = finite && (apart <= unit || from_mean <= by_sums);
        mean.closeness = mean.closeness.max(if close { Closeness::Rounding } else { Closeness::Apart });
        let (apart, units) = if finite { (apart, apart / unit) } else { (f64::MAX, f64::MAX) };
        mean.largest = mean.largest.max(apart.min(f64::MAX));
        mean.largest_units = mean.largest_units.max(units.min(f64::MAX));
    }
    (mean.distance, mean.norm) = (mean.distance.sqrt(), mean.norm.sqrt());
    mean
}

/// The greatest relative error of rounding once to that type: 2 to the minus number of significant bits.
fn rounding(dtype: Dtype) -> f64 {
    2f64.powi(-match dtype {
        Dtype::BF16 => 8,
        Dtype::F16 => 11,
        Dtype::F32 => 24,
        _ => 53,
    })
}

/// The unit in the last place of a number of that type.
fn unit(dtype: Dtype, value: f64) -> f64 {
    // Bits of the fraction, and the exponent of the smallest normal number.
    let (bits, least) = match dtype {
        Dtype::BF16 => (7, -126),
        Dtype::F16 => (10, -14),
        Dtype::F32 => (23, -126),
        _ => (52, -1022),
    };
    let exponent = (value.abs().to_bits() >> 52) as i32 - 1023;
    2f64.powi(exponent.clamp(least, 1023) - bits)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use half::bf16;
    use retrace_files::safetensors;

    use super::*;

    /// A model of one tensor of floats.
    fn write(root: &Path, name: &str, shape: &[usize], dtype: Dtype, values: &[f32]) -> PathBuf {
        let bytes = match dtype {
            Dtype::BF16 => values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        let path = root.join(format!("{name}.safetensors"));
        let tensor = Tensor { dtype, shape: shape.to_vec(), bytes };
        safetensors::write(&path, &BTreeMap::from([("w".to_owned(), tensor)])).unwrap();
        path
    }

    /// By hand: (1 + 2 + 4) / 3 is 0x4015_5555 in binary32 (2.3333333 is above 2 + 1/3 − 2⁻²³·…), and 2.328125 in
    /// bf16, of which a unit is 2⁻⁶.
    #[test]
    fn the_average_is_told_from_what_is_near_it() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let parts: Vec<_> =
            [1.0, 2.0, 4.0].iter().map(|v| write(root, &format!("part{v}"), &[2], Dtype::F32, &[*v, -v])).collect();
        let judge = |dtype, value: f32| {
            let last = write(root, "last", &[2], dtype, &[value, -value]);
            let mut made = Vec::new();
            let found = average(&parts, &last, |_, tensor| made.push(tensor)).unwrap();
            assert_eq!((made[0].dtype, &made[0].shape[..]), (dtype, &[2][..]));
            found.closeness
        };
        let third = 7.0f32 / 3.0;
        let up = |units: u32| f32::from_bits(third.to_bits() + units);
        assert_eq!(judge(Dtype::F32, third), Closeness::Exact);
        assert_eq!(judge(Dtype::F32, up(1)), Closeness::Rounding);
        assert_eq!(judge(Dtype::F32, up(6)), Closeness::Apart);
        assert_eq!(judge(Dtype::BF16, 2.328_125), Closeness::Exact);
        assert_eq!(judge(Dtype::BF16, 2.343_75), Closeness::Rounding);
        assert_eq!(judge(Dtype::BF16, 2.375), Closeness::Apart);
        // By hand: both numbers differ by 2.375 − 7/3 = 1/24.
        let last = write(root, "last", &[2], Dtype::BF16, &[2.375, -2.375]);
        let mean = &average(&parts, &last, |_, _| ()).unwrap().tensors[0];
        let near = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 1e-12, "{found} {expected}");
        near(mean.distance, 2f64.sqrt() / 24.0);
        near(mean.norm, 2f64.sqrt() * 2.375);
        assert_eq!(mean.rounding, 1.0 / 256.0);
        assert_eq!(judge(Dtype::F32, f32::NAN), Closeness::Apart);
        assert_eq!(judge(Dtype::F32, f32::INFINITY), Closeness::Apart);
    }

    /// The average with an infinity is that infinity, and no other number is near it.
    #[test]
    fn no_rounding_leads_to_an_infinity() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let parts = [f32::INFINITY, 1.0].map(|v| write(root, &format!("part{v}"), &[1], Dtype::F32, &[v]));
        for (value, expected) in [
            (f32::INFINITY, Closeness::Exact),
            (f32::NEG_INFINITY, Closeness::Apart),
            (1.0, Closeness::Apart),
            (f32::MAX, Closeness::Apart),
            (f32::NAN, Closeness::Apart),
        ] {
            let last = write(root, "last", &[1], Dtype::F32, &[value]);
            let found = average(&parts, &last, |_, _| ()).unwrap();
            assert_eq!(found.closeness, expected, "{value}");
            assert!(found.tensors[0].largest.is_finite() && found.tensors[0].largest_units.is_finite());
        }
    }

    #[test]
    fn what_cannot_be_averaged_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let last = write(root, "last", &[2], Dtype::F32, &[1.0, 2.0]);
        let wrong = write(root, "wrong", &[1, 2], Dtype::F32, &[1.0, 2.0]);
        let whole = write(root, "whole", &[2], Dtype::I32, &[1.0, 2.0]);
        let error = |parts: &[&PathBuf]| {
            let parts: Vec<PathBuf> = parts.iter().map(|path| (*path).clone()).collect();
            average(&parts, &last, |_, _| ()).unwrap_err().to_string()
        };
        assert!(error(&[&last, &wrong]).contains("of shape [1, 2]"));
        assert!(error(&[&whole]).contains("I32"));
        let none = root.join("none");
        std::fs::create_dir(&none).unwrap();
        assert!(error(&[&none]).contains("holds no weights"));
        std::fs::copy(&last, none.join("model-1.safetensors")).unwrap();
        std::fs::copy(&last, none.join("model-2.safetensors")).unwrap();
        assert!(error(&[&none]).contains("two files"));
    }

    /// Compared with the next number of the type, if there is one.
    #[test]
    fn units_are_distances_to_the_next_number() {
        for value in [1.0f32, 1.5, 3.0e-39, 7.0e30, f32::MIN_POSITIVE] {
            let next = f32::from_bits(value.to_bits() + 1);
            assert_eq!(unit(Dtype::F32, value.into()), f64::from(next) - f64::from(value), "{value}");
            let short = bf16::from_f32(value);
            let next = bf16::from_bits(short.to_bits() + 1);
            assert_eq!(unit(Dtype::BF16, short.into()), f64::from(next) - f64::from(short), "{value}");
        }
    }
}

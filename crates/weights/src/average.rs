//! Whether a model is the average of others.

use std::path::{Path, PathBuf};

use half::{bf16, f16};
use rayon::prelude::*;
use retrace_checkpoint::{Checkpoint, CheckpointError, StoredTensor};
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
    /// The same numbers as an average that a tool computes in the type of the final model's numbers, which has 16 bits.
    SixteenBits,
    /// Not equal.
    Apart,
}

/// How tools compute an average in a type of 16 bits. All round the ingredients to that type first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Computed {
    /// Sum and division in binary32, rounded once at the end.
    RoundedOnce,
    /// The sum in binary32 is rounded, then divided and rounded again.
    RoundedSum,
    /// Each sum is rounded, then the division.
    Sum,
    /// Each ingredient is multiplied by its part and rounded, and so is each sum.
    Parts,
    /// Each ingredient is divided and rounded, and so is each sum.
    Quotients,
    /// Each ingredient moves the mean of those before it; each operation is rounded.
    RunningMean,
}

impl Computed {
    const ALL: [Self; 6] =
        [Self::RoundedOnce, Self::RoundedSum, Self::Sum, Self::Parts, Self::Quotients, Self::RunningMean];

    /// It in words, after "computed in BF16: ".
    pub const fn words(self) -> &'static str {
        match self {
            Self::RoundedOnce => "the ingredients are rounded, their mean is rounded once",
            Self::RoundedSum => "the sum is rounded, then divided and rounded",
            Self::Sum => "each sum is rounded, then the division",
            Self::Parts => "each ingredient times its part is rounded, and each sum",
            Self::Quotients => "each ingredient divided by the number is rounded, and each sum",
            Self::RunningMean => "a running mean, each operation rounded",
        }
    }
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
    /// If it is an average computed in 16 bits: all ways to compute it that give these numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub computed: Vec<Computed>,
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
/// them, and how much it counts. The average is the binary64 sum in that order, divided by the sum of the weights (their
/// number, if all are 1), rounded to the dtype in `last`. The result for each of its tensors is passed to `take`, sorted by
/// name.
///
/// A number equals the average within rounding if its error is at most one unit in the last place of that type, or the
/// error that summing n numbers in binary32 may add to that: n · 2⁻²⁴ of the mean of their magnitudes (Higham, 2002,
/// §4.2), or (2n + 1) · 2⁻²⁴ with weights, which are rounded and multiplied too. If a tensor of 16-bit numbers is not equal
/// so, it is compared with the averages that tools compute in that type ([`Computed`]): each number must be the same.
///
/// # Errors
/// If a file cannot be read, or an ingredient has other tensors or shapes than `last`, or a tensor is not of floats.
pub fn average(
    ingredients: &[(PathBuf, f64)],
    last: &Path,
    mut take: impl FnMut(&str, Tensor),
) -> Result<Averaged, AverageError> {
    let last = Checkpoint::open(last)?;
    let parts: Vec<Checkpoint> =
        ingredients.iter().map(|(path, _)| Checkpoint::open(path)).collect::<Result<_, _>>()?;
    for ((path, _), part) in ingredients.iter().zip(&parts) {
        if let Some(name) = part.tensors().keys().find(|name| !last.tensors().contains_key(*name)) {
            return Err(unlike(path, name, "is not in the final model".to_owned()));
        }
    }
    let all: f64 = ingredients.iter().map(|(_, weight)| weight).sum();
    // The number of roundings of one element in binary32.
    let roundings = match ingredients.iter().all(|(_, weight)| *weight == 1.0) {
        true => parts.len(),
        false => 2 * parts.len() + 1,
    };
    let mut tensors = Vec::new();
    for (name, stored) in last.tensors() {
        let count = stored.elements() as usize;
        let (mut sums, mut sizes) = (vec![0.0; count], vec![0.0; count]);
        for ((path, weight), part) in ingredients.iter().zip(&parts) {
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
                *sum += weight * value;
                *size += weight * value.abs();
            });
        }
        sums.par_iter_mut().zip(&mut sizes).for_each(|(sum, size)| (*sum, *size) = (*sum / all, *size / all));
        let exact: Vec<u8> = sums.iter().flat_map(|value| value.to_le_bytes()).collect();
        let rounded = match stored.dtype {
            Dtype::F64 => exact,
            dtype => cast(Dtype::F64, &exact, dtype).unwrap_or_default(),
        };
        let Tensor { dtype, shape, bytes } = stored.read()?;
        let mut mean = compare(name, dtype, roundings as f64, [&sums, &sizes], [&rounded, &bytes]);
        if mean.closeness == Closeness::Apart && matches!(dtype, Dtype::BF16 | Dtype::F16) {
            let ingredients = parts.iter().zip(ingredients);
            let ingredients = ingredients.filter_map(|(part, (_, weight))| Some((part.tensors().get(name)?, *weight)));
            mean.computed = in_sixteen_bits(dtype, &numbers(dtype, &bytes), ingredients, all as f32)?;
            if !mean.computed.is_empty() {
                mean.closeness = Closeness::SixteenBits;
            }
        }
        tensors.push(mean);
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

/// The ways to compute the average in that type of 16 bits that give exactly these numbers. `all` is the sum of the weights.
fn in_sixteen_bits<'a>(
    dtype: Dtype,
    stored: &[f64],
    ingredients: impl Iterator<Item = (&'a StoredTensor, f64)>,
    all: f32,
) -> Result<Vec<Computed>, FileError> {
    let round = |number: f32| match dtype {
        Dtype::F16 => f16::from_f32(number).to_f32(),
        _ => bf16::from_f32(number).to_f32(),
    };
    let mut sums = vec![Sums::default(); stored.len()];
    let mut before = 0.0;
    for (part, weight) in ingredients {
        let (values, weight) = (numbers(part.dtype, &part.read()?.bytes), weight as f32);
        let (first, share, so_far) = (before == 0.0, weight / all, before + weight);
        sums.par_iter_mut().zip(values).for_each(|(sums, value)| {
            let value = round(value as f32);
            let weighted = round(value * weight);
            sums.wide += value * weight;
            sums.sum = round(sums.sum + weighted);
            sums.parts = round(sums.parts + round(value * share));
            sums.quotients = round(sums.quotients + round(weighted / all));
            sums.running = match first {
                true => value,
                false => round(sums.running + round(round(value - sums.running) / (so_far / weight))),
            };
        });
        before = so_far;
    }
    let gives = |computed: &Computed| {
        stored.par_iter().zip(&sums).all(|(stored, sums)| {
            let average = match computed {
                Computed::RoundedOnce => round(sums.wide / all),
                Computed::RoundedSum => round(round(sums.wide) / all),
                Computed::Sum => round(sums.sum / all),
                Computed::Parts => sums.parts,
                Computed::Quotients => sums.quotients,
                Computed::RunningMean => sums.running,
            };
            stored.is_finite() && f64::from(average) == *stored
        })
    };
    Ok(Computed::ALL.into_iter().filter(gives).collect())
}

/// What the ways to compute an average need of one element: all but `wide` are rounded after each operation.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    wide: f32,
    sum: f32,
    parts: f32,
    quotients: f32,
    running: f32,
}

/// Compares the average of numbers, after rounding, with the stored number. In binary32 it takes `n` roundings. Also uses the means before
/// rounding, and the means of the magnitudes.
fn compare(name: &str, dtype: Dtype, n: f64, [means, sizes]: [&[f64]; 2], [rounded, stored]: [&[u8]; 2]) -> Mean {
    let mut mean = Mean {
        name: name.to_owned(),
        dtype,
        closeness: Closeness::Exact,
        computed: Vec::new(),
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

    fn plain(paths: &[PathBuf]) -> Vec<(PathBuf, f64)> {
        paths.iter().map(|path| (path.clone(), 1.0)).collect()
    }

    /// Three ingredients and their averages in bfloat16, each written as the one expression that a tool evaluates. In the
    /// first number, 100.5 + 0.25 − 100 has the mean 0.25, and a unit of bf16 near 100 is 0.5.
    #[test]
    fn an_average_in_sixteen_bits_is_told_from_another() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let columns = [[100.5, 0.25, -100.0], [1.0, 0.3, 0.1], [0.007, -0.9, 3.3], [5.0, 7.0, -11.9]];
        let parts: Vec<PathBuf> = (0..3)
            .map(|nth| write(root, &format!("part{nth}"), &[4], Dtype::F32, &columns.map(|column| column[nth])))
            .collect();
        let r = |value: f32| bf16::from_f32(value).to_f32();
        let with = |of: &dyn Fn([f32; 3]) -> f32| columns.map(|column| of(column.map(r)));
        let judge = |values: &[f32; 4], weights: [f64; 3]| {
            let last = write(root, "last", &[4], Dtype::BF16, values);
            let parts: Vec<_> = parts.iter().cloned().zip(weights).collect();
            let found = average(&parts, &last, |_, _| ()).unwrap();
            (found.closeness, found.tensors[0].computed.clone())
        };
        let once = with(&|[a, b, c]| r((a + b + c) / 3.0));
        let rounded_sum = with(&|[a, b, c]| r(r(a + b + c) / 3.0));
        let sum = with(&|[a, b, c]| r(r(r(a + b) + c) / 3.0));
        let parts_of = with(&|[a, b, c]| r(r(r(a * (1.0 / 3.0)) + r(b * (1.0 / 3.0))) + r(c * (1.0 / 3.0))));
        let quotients = with(&|[a, b, c]| r(r(r(a / 3.0) + r(b / 3.0)) + r(c / 3.0)));
        let running = with(&|[a, b, c]| {
            let two = r(a + r(r(b - a) / 2.0));
            r(two + r(r(c - two) / 3.0))
        });
        // 100.5 + 0.25 is 101 in bf16 or 100.5 (a tie, to even: 100.5 is 0x42c9, 101 is 0x42ca), so the sum is 1.
        assert_eq!(sum[0], r(1.0 / 3.0));
        for (values, computed) in [
            (once, Computed::RoundedOnce),
            (rounded_sum, Computed::RoundedSum),
            (sum, Computed::Sum),
            (parts_of, Computed::Parts),
            (quotients, Computed::Quotients),
            (running, Computed::RunningMean),
        ] {
            let (closeness, ways) = judge(&values, [1.0; 3]);
            assert!(
                closeness == Closeness::SixteenBits && ways.contains(&computed),
                "{computed:?}: {closeness:?} {ways:?}"
            );
            // One unit off in one number is no average in any of these ways.
            let mut off = values;
            off[3] = f32::from_bits(off[3].to_bits() + (1 << 17));
            assert_eq!(judge(&off, [1.0; 3]), (Closeness::Apart, vec![]), "{computed:?}");
        }
        // Other weights give another average, which is one only with these weights.
        let weighted =
            columns.map(|[a, b, c]| (0.34 * f64::from(a) + 0.33 * f64::from(b) + 0.33 * f64::from(c)) as f32);
        assert_eq!(judge(&weighted, [1.0; 3]), (Closeness::Apart, vec![]));
        assert_eq!(judge(&weighted, [0.34, 0.33, 0.33]).0, Closeness::Exact);
        let weighted = with(&|[a, b, c]| r(r(r(a * 0.34) + r(b * 0.33)) + r(c * 0.33)));
        let (closeness, ways) = judge(&weighted, [0.34, 0.33, 0.33]);
        assert!(closeness == Closeness::SixteenBits && ways.contains(&Computed::Sum), "{closeness:?} {ways:?}");
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
            let found = average(&plain(&parts), &last, |_, tensor| made.push(tensor)).unwrap();
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
        let mean = &average(&plain(&parts), &last, |_, _| ()).unwrap().tensors[0];
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
            let found = average(&plain(&parts), &last, |_, _| ()).unwrap();
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
            average(&plain(&parts), &last, |_, _| ()).unwrap_err().to_string()
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

//! Statistics of files, compared with a textbook's formulas for the same numbers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may take a thing for granted")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use half::bf16;
use retrace_files::Silent;
use retrace_files::safetensors::{self, Dtype, Tensor, tensor_digest};
use retrace_numerics::random::Stream;
use retrace_weights::{TensorStats, stats};

/// More numbers than one block, and not a multiple of a block.
const SHAPE: [usize; 2] = [301, 257];

fn tensor(dtype: Dtype, shape: &[usize], values: &[f32]) -> Tensor {
    let bytes = match dtype {
        Dtype::BF16 => values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect(),
        _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    };
    Tensor { dtype, shape: shape.to_vec(), bytes }
}

fn normal(seed: u64, n: usize) -> Vec<f32> {
    let mut values = vec![0f32; n];
    Stream::new(seed, "weights").normal(0, 0.02, &mut values);
    values
}

fn checkpoint(root: &Path, name: &str, tensors: &[(&str, Tensor)]) -> PathBuf {
    let directory = root.join(name);
    std::fs::create_dir(&directory).unwrap();
    let tensors: BTreeMap<String, Tensor> = tensors.iter().map(|(name, t)| ((*name).to_owned(), t.clone())).collect();
    safetensors::write(&directory.join("model.safetensors"), &tensors).unwrap();
    directory
}

#[track_caller]
fn near(found: Option<f64>, expected: f64) {
    let found = found.unwrap();
    assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{found} is not {expected}");
}

fn find<'a>(all: &'a [TensorStats], checkpoint: usize, tensor: &str) -> &'a TensorStats {
    all.iter().find(|found| found.checkpoint == checkpoint && found.tensor == tensor).unwrap()
}

#[test]
fn three_checkpoints_of_a_run() {
    let directory = tempfile::tempdir().unwrap();
    let n = SHAPE.iter().product();
    let values: Vec<Vec<f32>> = (0..3).map(|seed| normal(seed, n)).collect();
    let all: Vec<PathBuf> = values
        .iter()
        .enumerate()
        .map(|(at, values)| {
            let mut tensors = vec![("w", tensor(Dtype::F32, &SHAPE, values))];
            // A tensor that is not in the first, one with another type later, one with another shape later.
            if at > 0 {
                tensors.push(("late", tensor(Dtype::F32, &[n], values)));
            }
            tensors.push(("b", tensor(if at == 2 { Dtype::BF16 } else { Dtype::F32 }, &[3], &[1.0, 2.0, at as f32])));
            tensors.push(("grows", tensor(Dtype::F32, &[at + 1], &values[..=at])));
            checkpoint(directory.path(), &format!("step{at}"), &tensors)
        })
        .collect();
    let found = stats(&all, &[0, 0, 0], true, &Silent).unwrap();
    assert_eq!(found.len(), 3 + 2 + 3 + 3);
    let wide: Vec<Vec<f64>> = values.iter().map(|v| v.iter().map(|x| f64::from(*x)).collect()).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for (at, v) in wide.iter().enumerate() {
        let w = find(&found, at, "w");
        let mean = v.iter().sum::<f64>() / n as f64;
        let central = |power| v.iter().map(|x| (x - mean).powi(power)).sum::<f64>() / n as f64;
        assert_eq!((w.elements, w.non_finite, w.dtype), (n as u64, 0, Dtype::F32));
        near(Some(w.norm), dot(v, v).sqrt());
        near(w.mean, mean);
        near(w.std, central(2).sqrt());
        near(w.kurtosis, central(4) / central(2).powi(2));
        assert_eq!(w.max, v.iter().copied().reduce(f64::max));
        assert_eq!(w.digest, tensor_digest(Dtype::F32, &SHAPE, &tensor(Dtype::F32, &SHAPE, &values[at]).bytes));
        for (other, distance, cosine) in [
            (at.checked_sub(1), w.distance_to_previous, w.cosine_to_previous),
            ((at > 0).then_some(0), w.distance_to_first, w.cosine_to_first),
        ] {
            let Some(other) = other.map(|other| &wide[other]) else {
                assert_eq!((distance, cosine), (None, None));
                continue;
            };
            let apart: Vec<f64> = v.iter().zip(other).map(|(a, b)| a - b).collect();
            near(distance, dot(&apart, &apart).sqrt());
            near(cosine, dot(v, other) / (dot(v, v) * dot(other, other)).sqrt());
        }
        // Normal numbers: the largest singular value is near σ(√m + √n) (Marchenko & Pastur, 1967).
        let edge = 0.02 * (301f64.sqrt() + 257f64.sqrt());
        let expected = dot(v, v) / (edge * edge);
        assert!((w.stable_rank.unwrap() / expected - 1.0).abs() < 0.05, "{:?} {expected}", w.stable_rank);
    }
    assert_eq!(find(&found, 1, "late").distance_to_previous, None);
    assert!(find(&found, 2, "late").distance_to_previous.is_some());
    assert_eq!(find(&found, 2, "b").distance_to_previous, Some(1.0));
    assert_eq!((find(&found, 2, "grows").distance_to_first, find(&found, 2, "grows").stable_rank), (None, None));
    // One at a time and on one thread: the same bits.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    assert_eq!(pool.install(|| stats(&all, &[0, 0, 0], true, &Silent)).unwrap(), found);
}

/// Each run's numbers are those that it has alone, also if the checkpoints of two runs are given by turns.
#[test]
fn distances_are_within_a_run() {
    let directory = tempfile::tempdir().unwrap();
    let n = SHAPE.iter().product();
    let at = |seed: u64| {
        let weights = tensor(Dtype::F32, &SHAPE, &normal(seed, n));
        checkpoint(directory.path(), &format!("step{seed}"), &[("w", weights)])
    };
    let all: Vec<PathBuf> = (0..5).map(at).collect();
    let runs = [7, 2, 7, 2, 7];
    let together = stats(&all, &runs, false, &Silent).unwrap();
    for run in [7, 2] {
        let places: Vec<usize> = (0..5).filter(|at| runs[*at] == run).collect();
        let of_run: Vec<PathBuf> = places.iter().map(|at| all[*at].clone()).collect();
        for (alone, at) in stats(&of_run, &[], false, &Silent).unwrap().into_iter().zip(places) {
            assert_eq!(*find(&together, at, "w"), TensorStats { checkpoint: at, ..alone });
        }
    }
}

#[test]
fn what_is_not_finite_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut values = normal(1, 100);
    (values[7], values[90]) = (f32::NAN, f32::INFINITY);
    let broken = checkpoint(directory.path(), "broken", &[("w", tensor(Dtype::F32, &[10, 10], &values))]);
    let found = stats(&[broken], &[0], true, &Silent).unwrap();
    assert_eq!((found[0].non_finite, found[0].stable_rank), (2, None));
    assert!(found[0].norm.is_finite() && found[0].mean.is_some());
}

#[test]
fn what_has_no_weights_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let error = |path: &Path| stats(&[path.to_owned()], &[0], false, &Silent).unwrap_err().to_string();
    assert!(error(directory.path()).contains("holds no weights"));
    assert!(error(&directory.path().join("nothing.safetensors")).contains("nothing.safetensors"));
    let cut = checkpoint(directory.path(), "cut", &[("w", tensor(Dtype::F32, &[10], &normal(1, 10)))])
        .join("model.safetensors");
    let bytes = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    assert!(error(&cut).contains("model.safetensors"));
}

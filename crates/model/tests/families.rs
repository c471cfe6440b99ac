//! Every family and variant compared with Hugging Face transformers, whose logits `hub/make.py` stores here, for some
//! families with the losses and gradients of PyTorch, and each gradient compared with the loss along it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use retrace_files::{Root, safetensors};
use retrace_model::{Dropout, Engine, Inference, MicroBatch, Weights, hub};
use retrace_numerics::cross_entropy::Loss;

fn cases() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hub");
    let mut found: Vec<PathBuf> = std::fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    assert!(found.len() >= 35, "{}", found.len());
    found
}

/// The tokens and logits of a case, and the length of its sequences.
fn expected(case: &Path) -> (Vec<u32>, Vec<f32>, usize) {
    let mut tensors = safetensors::read(&case.join("expected.safetensors")).unwrap();
    let (ids, logits) = (tensors.remove("ids").unwrap(), tensors.remove("logits").unwrap());
    let tokens = ids.bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as u32).collect();
    (tokens, floats(&logits), ids.shape[1])
}

fn floats(tensor: &safetensors::Tensor) -> Vec<f32> {
    tensor.bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// The largest difference, and the largest of `expected`.
fn distance(ours: &[f32], expected: &[f32]) -> (f32, f32) {
    assert_eq!(ours.len(), expected.len());
    let off = ours.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    (off, expected.iter().fold(0f32, |most, value| most.max(value.abs())))
}

#[test]
fn logits_are_those_of_transformers() {
    for case in cases() {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let (ids, expected, positions) = expected(&case);
        let (model, weights) = hub::read(&Root::open(&case).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let logits = Inference::new(&model, weights, Engine::Fused).unwrap().logits(&ids, positions).unwrap();
        let (off, size) = distance(&logits, &expected);
        assert!(off <= 2e-4 && size > 0.5, "{name}: {off:e} off, of {size}");
    }
}

#[test]
fn losses_and_gradients_are_those_of_pytorch() {
    let mut compared = 0;
    for case in cases().into_iter().filter(|case| case.join("gradients.safetensors").exists()) {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let (ids, _, positions) = expected(&case);
        let mut theirs = safetensors::read(&case.join("gradients.safetensors")).unwrap();
        let (model, weights) = hub::read(&Root::open(&case).unwrap()).unwrap();
        let targets: Vec<Option<u32>> = ids.iter().skip(1).chain(&ids[..1]).copied().map(Some).collect();
        let loss = Loss { z_weight: 0.0 };
        let batch = MicroBatch { inputs: &ids, targets: &targets, positions, loss, scale: 1.0, dropout: None };
        let mut gradient = vec![f32::NAN; weights.values().len()];
        let rows = Engine::Fused.network(&model).unwrap().gradient(&weights, &batch, &mut gradient).unwrap();
        let losses: Vec<f32> = rows.iter().map(|row| row.loss).collect();
        let (off, size) = distance(&losses, &floats(&theirs.remove("losses").unwrap()));
        assert!(off <= 2e-4 && size > 0.5, "{name}: losses {off:e} off, of {size}");
        for (weight, shape, range) in weights.layout().iter() {
            let tensor = theirs.remove(weight).unwrap_or_else(|| panic!("{name}: {weight}"));
            assert_eq!(tensor.shape, shape, "{name}: {weight}");
            let (off, size) = distance(&gradient[range], &floats(&tensor));
            // Without RoPE, a bias of the keys adds the same to all scores of a query, which changes nothing.
            let moves = size > 1e-3 || weight.ends_with("k_proj.bias");
            assert!(off <= 1e-4 * size.max(1.0) && moves, "{name}: {weight} {off:e} off, of {size}");
        }
        assert!(theirs.is_empty(), "{name}: {:?}", theirs.keys());
        compared += 1;
    }
    assert!(compared >= 7, "{compared}");
}

#[test]
fn what_is_written_is_read_back() {
    for case in cases() {
        let (model, weights) = hub::read(&Root::open(&case).unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        hub::write(&Root::open(directory.path()).unwrap(), &model, &weights).unwrap();
        assert_eq!(hub::read(&Root::open(directory.path()).unwrap()).unwrap(), (model, weights), "{}", case.display());
    }
}

/// The decrease of the loss along the gradient equals the gradient's square, in f64 sums of f32 losses.
#[test]
fn gradients_are_slopes() {
    for case in cases() {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let (ids, _, positions) = expected(&case);
        let (model, weights) = hub::read(&Root::open(&case).unwrap()).unwrap();
        let network = Engine::Fused.network(&model).unwrap();
        let mut targets: Vec<Option<u32>> = ids.iter().skip(1).chain(&ids[..1]).copied().map(Some).collect();
        targets[5] = None;
        for (z_weight, rate) in [(0.0, 0.0), (0.01, 0.2)] {
            let dropout = (rate > 0.0).then_some(Dropout { rate, seed: 3, step: 4, micro_batch: 1 });
            let loss = Loss { z_weight };
            let batch = MicroBatch { inputs: &ids, targets: &targets, positions, loss, scale: 1.0, dropout };
            let cost = |weights: &Weights, gradient: &mut [f32]| -> f64 {
                let rows = network.gradient(weights, &batch, gradient).unwrap();
                rows.iter().map(|row| f64::from(row.loss) + f64::from(row.z_loss)).sum()
            };
            let mut gradient = vec![f32::NAN; weights.values().len()];
            cost(&weights, &mut gradient);
            let square: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum();
            assert!(square.is_finite() && square > 0.0, "{name}");
            let step = 1e-3 / square.sqrt();
            let moved = |by: f64| {
                let mut moved = weights.clone();
                for (value, slope) in moved.values_mut().iter_mut().zip(&gradient) {
                    *value = (f64::from(*value) + by * f64::from(*slope)) as f32;
                }
                cost(&moved, &mut vec![0.0; gradient.len()])
            };
            let slope = (moved(step) - moved(-step)) / (2.0 * step);
            assert!((slope / square - 1.0).abs() < 2e-2, "{name}: {slope} against {square}");
        }
    }
}

//! Weights that stay in the type of their file: the same bits as those that are all f32.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use retrace_files::Root;
use retrace_files::safetensors::{Dtype, Tensor};
use retrace_model::{Engine, Inference, Part, Reader, Weights, hub};

/// The weights in another type.
fn tensors(weights: &Weights, dtype: Dtype) -> BTreeMap<String, Tensor> {
    let tensor = |(name, shape, range): (&str, &[usize], std::ops::Range<usize>)| {
        let values = &weights.values()[range];
        let bytes = match dtype {
            Dtype::F16 => values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
            Dtype::BF16 => values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        (name.to_owned(), Tensor { dtype, shape: shape.to_vec(), bytes })
    };
    weights.layout().iter().map(tensor).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn every_family_and_type_has_the_same_bits() {
    let mut compared = 0;
    for case in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hub")).unwrap() {
        let case = case.unwrap().path();
        if !case.is_dir() {
            continue;
        }
        let (model, weights) = hub::read(&Root::open(&case).unwrap()).unwrap();
        for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
            let wide = Weights::from_tensors(&model, tensors(&weights, dtype)).unwrap();
            let wide = Inference::new(&model, wide, Engine::Fused).unwrap();
            let stored = Inference::stored(&model, tensors(&weights, dtype)).unwrap();
            let tokens: Vec<u32> = (0..6).map(|at| at % model.vocab_size as u32).collect();
            let targets: Vec<Option<u32>> = tokens.iter().rev().copied().map(Some).collect();
            let all = |model: &Inference| {
                let mut reader = Reader::new(model);
                let node = reader.node(None).unwrap();
                let part = Part { node, tokens: &tokens, asked: &[(1, 2), (5, 3)], keep: false };
                let scores = reader.read(&[part]).unwrap().concat();
                let losses: Vec<f32> = scores.iter().map(|score| score.loss).collect();
                let logits = bits(&model.logits(&tokens, 6).unwrap());
                (logits, bits(&model.losses(&tokens, &targets, 6).unwrap()), bits(&losses))
            };
            assert_eq!(all(&stored), all(&wide), "{} {dtype:?}", case.display());
            compared += 1;
        }
    }
    assert!(compared >= 3 * 35, "{compared}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hub");
    let case = std::fs::read_dir(case).unwrap().map(|case| case.unwrap().path()).find(|case| case.is_dir()).unwrap();
    let (model, weights) = hub::read(&Root::open(&case).unwrap()).unwrap();
    let refused = |change: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
        let mut all = tensors(&weights, Dtype::BF16);
        change(&mut all);
        Inference::stored(&model, all).unwrap_err().to_string()
    };
    let first = weights.layout().iter().find(|(_, shape, _)| shape.len() == 2).unwrap().0.to_owned();
    let none = refused(&|all| drop(all.remove(&first)));
    assert!(none.contains("missing") && none.contains(&first), "{none}");
    let more = refused(&|all| drop(all.insert("other".to_owned(), all[&first].clone())));
    assert!(more.contains("other is not part"), "{more}");
    let turned = refused(&|all| all.get_mut(&first).unwrap().shape.push(1));
    assert!(turned.contains("of shape"), "{turned}");
    let short = refused(&|all| all.get_mut(&first).unwrap().bytes.truncate(3));
    assert!(short.contains("two bytes for each number"), "{short}");
    let kind = refused(&|all| all.get_mut(&first).unwrap().dtype = Dtype::I64);
    assert!(kind.contains("F32, F16 or BF16"), "{kind}");
}

//! `logits`, compared with the output of transformers for the same tokens.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use retrace_files::safetensors;
use tempfile::tempdir;

use crate::support::{Ran, retrace};

fn floats(tensors: &mut BTreeMap<String, safetensors::Tensor>, name: &str) -> (Vec<usize>, Vec<f32>) {
    let tensor = tensors.remove(name).unwrap();
    (tensor.shape, tensor.bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

#[test]
fn logits_are_written_as_one_tensor() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/hub/neox-parallel");
    let directory = tempdir().unwrap();
    let (ids, out) = (directory.path().join("ids.json"), directory.path().join("logits.safetensors"));
    let mut expected = safetensors::read(&model.join("expected.safetensors")).unwrap();
    let tokens: Vec<i64> =
        expected.remove("ids").unwrap().bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect();
    let sequences: Vec<&[i64]> = tokens.chunks(24).collect();
    fs::write(&ids, serde_json::to_vec(&sequences).unwrap()).unwrap();
    let mut digests = Vec::new();
    for threads in ["1", "3"] {
        let mut command = retrace();
        command.arg("logits").arg(&model).arg("--tokens").arg(&ids).arg("-o").arg(&out).args(["--threads", threads]);
        Ran::from(command.output().unwrap()).code(0).says(&["2 x 24 x 40"]);
        digests.push(retrace_files::hash_file(&out).unwrap().1);
    }
    assert_eq!(digests[0], digests[1]);
    let (shape, logits) = floats(&mut safetensors::read(&out).unwrap(), "logits");
    let (expected_shape, expected) = floats(&mut expected, "logits");
    assert_eq!((shape.as_slice(), expected_shape.as_slice()), (&[2, 24, 40][..], &[2, 24, 40][..]));
    let off = logits.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(off <= 2e-4, "{off:e}");
}

#[test]
fn tokens_that_no_model_takes_are_refused() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/hub/olmo2");
    let directory = tempdir().unwrap();
    let (ids, out) = (directory.path().join("ids.json"), directory.path().join("logits.safetensors"));
    for (text, said) in [
        ("[[1, 2], [3]]", "one length"),
        ("[]", "one length"),
        ("[[1, 40]]", "outside the vocabulary of 40"),
        ("[[1, -2]]", "sequences of token ids"),
        ("[[1, 2", "sequences of token ids"),
    ] {
        fs::write(&ids, text).unwrap();
        let mut command = retrace();
        command.arg("logits").arg(&model).arg("--tokens").arg(&ids).arg("-o").arg(&out);
        Ran::from(command.output().unwrap()).code(2).says(&[said]);
        assert!(!out.exists());
    }
}

/// A model whose weights are not numbers has no logits: `logits` says so, and `generate` chooses no token.
#[test]
fn logits_that_are_not_numbers_show_in_the_exit_code() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/hub/olmo2");
    let directory = tempdir().unwrap();
    let copy = directory.path().join("m");
    fs::create_dir(&copy).unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(model.join(file), copy.join(file)).unwrap();
    }
    let mut weights = safetensors::read(&copy.join("model.safetensors")).unwrap();
    let norm = weights.get_mut("model.norm.weight").unwrap();
    norm.bytes.fill(0xff);
    safetensors::write(&copy.join("model.safetensors"), &weights).unwrap();
    let (ids, out) = (directory.path().join("ids.json"), directory.path().join("logits.safetensors"));
    fs::write(&ids, "[[1, 2]]").unwrap();
    let mut command = retrace();
    command.arg("logits").arg(&copy).arg("--tokens").arg(&ids).arg("-o").arg(&out);
    Ran::from(command.output().unwrap()).code(1).says(&["80 of 80 logits: NaN or infinite"]);
    // Nothing is written over what is read.
    let before = fs::read(copy.join("model.safetensors")).unwrap();
    for output in [copy.join("model.safetensors"), ids.clone()] {
        let mut command = retrace();
        command.arg("logits").arg(&copy).arg("--tokens").arg(&ids).arg("-o").arg(&output);
        Ran::from(command.output().unwrap()).code(2).says(&["would be written over"]);
    }
    assert_eq!(fs::read(copy.join("model.safetensors")).unwrap(), before);
}

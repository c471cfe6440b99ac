//! Checkpoints of other frameworks: converted, and compared with our training.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::runs::{RUN, trained};
use crate::support::{LLAMA2C, Release, run};

/// Multiplies all numbers of a tensor of the safetensors file at `path`.
pub(crate) fn alter(path: &Path, tensor: &str, factor: f32) {
    let mut bytes = fs::read(path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let described: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let offset = |at: usize| 8 + header + described[tensor]["data_offsets"][at].as_u64().unwrap() as usize;
    for number in bytes[offset(0)..offset(1)].chunks_mut(4) {
        let altered = f32::from_le_bytes(number.try_into().unwrap()) * factor;
        number.copy_from_slice(&altered.to_le_bytes());
    }
    fs::write(path, bytes).unwrap();
}

/// Their checkpoint: ours of that step, under another name.
fn theirs(release: &Release, step: &str) {
    for file in ["config.json", "model.safetensors", "optimizer.safetensors"] {
        release.write(&format!("theirs/{file}"), release.read(&format!("runs/small/{step}/{file}")));
    }
}

#[test]
fn a_run_follows_its_own_end_until_a_tensor_is_altered() {
    let release = trained();
    theirs(&release, "step-000040");
    // From a released checkpoint, as with another framework's.
    release.write("run.yaml", format!("{RUN}start: {{checkpoint: runs/small/step-000000}}\n"));
    let before = release.content();
    let follow = ["replay", "run.yaml", "--tolerance", "theirs"];
    release.run(&follow).code(0).says(&["to rounding", "40 steps", "weights and moments"]);
    let told = release.run(&[&follow[..], &["--json"]].concat()).code(0).json("tolerance/1");
    assert!(release.content() == before, "something was written");
    let tensors = told["tolerance"]["tensors"].as_array().unwrap();
    assert_eq!(tensors.len(), 3 * (2 * 9 + 3), "weights and two moments of each");
    assert!(tensors.iter().all(|tensor| tensor["distance"] == 0.0 && tensor["moved"].as_f64() > Some(0.0)));

    let altered = "model.layers.1.mlp.up_proj.weight";
    alter(&release.path("theirs/model.safetensors"), altered, 1.01);
    let told = release.run(&[&follow[..], &["--json"]].concat()).code(1).json("tolerance/1");
    assert_eq!(told["findings"], serde_json::json!([altered]));
    let ran = release.run(&follow).code(1);
    assert!(ran.out.starts_with(&format!("differs  {altered}: ")) && ran.out.lines().count() == 1, "{}", ran.out);
    ran.says(&["1 of 63 tensors", "the others agree"]);
    alter(&release.path("theirs/optimizer.safetensors"), "second_moment.model.norm.weight", 1.5);
    let ran = release.run(&follow).code(1).says(&["2 of 63 tensors"]);
    assert!(ran.out.contains("second_moment.model.norm.weight"), "{}", ran.out);
}

#[test]
fn another_order_another_step_and_another_model_are_not_theirs() {
    let release = trained();
    theirs(&release, "step-000040");
    let follow = ["replay", "run.yaml", "--tolerance", "theirs"];
    let start = "start: {checkpoint: runs/small/step-000000}\n";
    release.write("run.yaml", format!("{RUN}{start}order: as_stored\n"));
    release.run(&follow).code(1).says(&["63 of 63 tensors", "was not made like this"]);
    theirs(&release, "step-000030");
    release.write("run.yaml", format!("{RUN}{start}"));
    release.run(&follow).code(1).says(&["was not made like this"]);
    release.write("run.yaml", RUN.replace("intermediate_size: 64", "intermediate_size: 32"));
    release.run(&follow).code(2).says(&["config.json differs"]);
    release.run(&["replay", "run.yaml", "--tolerance", "nowhere"]).code(2);
    release.run(&[&follow[..], &["--from", "1"]].concat()).code(2);
}

#[test]
fn a_pytorch_checkpoint_becomes_what_its_export_becomes() {
    // The embedding; two norms, q and o, k and v, and three matrices per layer; the last norm.
    let parameters = 272 * 8 + 2 * (2 * 8 + 2 * 64 + 2 * 32 + 3 * 8 * 12) + 8;
    becomes_what_its_export_becomes(Path::new(LLAMA2C), parameters, 3);
}

/// Converts the checkpoint in `models` and its export.
pub(crate) fn becomes_what_its_export_becomes(models: &Path, parameters: u64, updates: u64) {
    let said = format!("{parameters} parameters");
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name).display().to_string();
    let convert = |file: &str, to: &str| run(&["convert", &models.join(file).display().to_string(), "-o", &at(to)]);
    convert("model.bin", "export").code(0).says(&[&said]);
    convert("ckpt.pt", "checkpoint").code(0).says(&[&said, &format!("`optimizer_updates: {updates}`")]);
    for file in ["config.json", "model.safetensors"] {
        let [a, b] = ["export", "checkpoint"].map(|name| fs::read(directory.path().join(name).join(file)).unwrap());
        assert!(a == b, "{file} differs");
    }
    // Each weight has its moments, with the same shape.
    let header = |file: &str| -> Value {
        let bytes = fs::read(directory.path().join("checkpoint").join(file)).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        serde_json::from_slice(&bytes[8..8 + length]).unwrap()
    };
    let (weights, moments) = (header("model.safetensors"), header("optimizer.safetensors"));
    let names: Vec<_> = weights.as_object().unwrap().keys().filter(|name| *name != "__metadata__").collect();
    assert_eq!(moments.as_object().unwrap().len() - 1, 2 * names.len());
    for name in names {
        for moment in ["first_moment", "second_moment"] {
            assert_eq!(moments[format!("{moment}.{name}")]["shape"], weights[name]["shape"], "{name}");
        }
    }

    // A pickle that was tampered with is refused, and nothing is written.
    let good = fs::read(models.join("ckpt.pt")).unwrap();
    let swaps: [(&[u8], &[u8]); 5] = [
        (b"n_heads", b"n_hares"),
        (b"exp_avg_sq", b"exp_avg_no"),
        (b"attention.wq", b"attention.wx"),
        (b"model_args", b"model_argh"),
        (b"\x03\x00\x00\x00dim", b"\x03\x00\x00\x00din"),
    ];
    for (from, to) in swaps {
        let at_byte = good.windows(from.len()).position(|window| window == from);
        let Some(first) = at_byte else { panic!("{from:?} is not in the checkpoint") };
        let mut bad = good.clone();
        bad[first..first + to.len()].copy_from_slice(to);
        fs::write(at("bad.pt"), bad).unwrap();
        run(&["convert", &at("bad.pt"), "-o", &at("never")]).code(2);
        assert!(!directory.path().join("never").exists());
    }
}

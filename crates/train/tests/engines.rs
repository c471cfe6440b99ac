//! Complete runs of every family with both engines: the same files, whichever engine trains, resumes and replays.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;

use retrace_files::{Progress, Silent};
use retrace_model::Engine;
use retrace_spec::{Document, Run, Step};
use retrace_train::{DifferenceKind, Journal, replay, train};

mod small;

use small::{RUN, checkpoint, files, opened, prepare};

/// Each family with the options that only it has, and with those that a run may request: tied weights, z-loss,
/// dropout, biases, outliers, masked targets, a loss on held-out tokens, and clipping, which applies to every step of
/// the small run.
const VARIANTS: [(&str, &str, &str); 10] = [
    ("llama", "architecture: llama\n  rms_norm_eps: 1.0e-5", "dropout: 0.1"),
    (
        "llama, tied, biases",
        "architecture: llama\n  rms_norm_eps: 1.0e-5\n  tie_word_embeddings: true\n  attention_bias: true\n  \
         mlp_bias: true",
        "z_loss: 0.001\nmask_document_ends: true",
    ),
    (
        "gpt_neox, parallel",
        "architecture: gpt_neox\n  layer_norm_eps: 1.0e-5\n  rotary_pct: 0.5\n  use_parallel_residual: true\n  \
         hidden_act: gelu\n  attention_bias: true",
        "dropout: 0.2",
    ),
    (
        "gpt_neox, sequential, tied",
        "architecture: gpt_neox\n  layer_norm_eps: 1.0e-5\n  rotary_pct: 1.0\n  use_parallel_residual: false\n  \
         hidden_act: gelu_new\n  tie_word_embeddings: true",
        "outliers: {window: 6, deviations: 0.5}",
    ),
    ("olmo", "architecture: olmo\n  clip_qkv: 0.3\n  tie_word_embeddings: true", "dropout: 0.1"),
    ("olmo2", "architecture: olmo2\n  rms_norm_eps: 1.0e-6", "validation: {tokens: b.tokens, sequences: 9, every: 8}"),
    (
        "olmo3",
        "architecture: olmo3\n  rms_norm_eps: 1.0e-6\n  sliding_window: 5\n  layer_types: [sliding_attention, \
         full_attention]",
        "dropout: 0.1\nmask_document_ends: true",
    ),
    ("qwen3", "architecture: qwen3\n  rms_norm_eps: 1.0e-6\n  head_dim: 6", "dropout: 0.1\nz_loss: 0.001"),
    (
        "qwen3, tied, sliding",
        "architecture: qwen3\n  rms_norm_eps: 1.0e-6\n  head_dim: 4\n  tie_word_embeddings: true\n  sliding_window: 5\n  \
         layer_types: [full_attention, sliding_attention]",
        "mask_document_ends: true",
    ),
    (
        "smollm3",
        "architecture: smollm3\n  rms_norm_eps: 1.0e-6\n  no_rope_layers: [1, 0]\n  tie_word_embeddings: true",
        "dropout: 0.1",
    ),
];

fn variant(name: &str, model: &str, more: &str) -> Run {
    let text = RUN.replace("  rms_norm_eps: 1.0e-5\n", "").replace("architecture: llama", model);
    let key_heads = if model.contains("gpt_neox") { 4 } else { 2 };
    let text = text.replace("num_key_value_heads: 2", &format!("num_key_value_heads: {key_heads}"));
    Run::parse(&format!("{}{more}\n", text.replace("clip: 1.0", "clip: 0.5")), name).unwrap()
}

fn by(engine: Engine, root: &Path, run: &Run, resume: bool, progress: &dyn Progress) -> Journal {
    let network = engine.network(&run.model).unwrap();
    train(&opened(root), run, network.as_ref(), resume, progress).unwrap()
}

/// Stops after some steps, as a kill would.
struct Stop(std::sync::atomic::AtomicU64);

impl Progress for Stop {
    fn advance(&self, _: u64) {
        assert!(self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) != 1, "stopped");
    }
}

#[test]
fn runs_are_the_same_files() {
    for (name, model, more) in VARIANTS {
        let run = variant(name, model, more);
        let made = |engine: Engine| {
            let directory = tempfile::tempdir().unwrap();
            prepare(directory.path());
            let journal = by(engine, directory.path(), &run, false, &Silent);
            let clipped = journal.lines().iter().filter(|line| line.grad_norm > run.optimizer.clip).count();
            assert!(clipped > 0, "{name}: no gradient is clipped");
            assert!(journal.lines()[11].loss < journal.lines()[0].loss, "{name} learns nothing");
            (files(directory.path()), directory)
        };
        let (fused, directory) = made(Engine::Fused);
        let (candle, _) = made(Engine::Candle);
        assert_eq!(fused, candle, "{name}");
        for file in fused.iter().filter(|(path, _)| path.ends_with(".json") || path.ends_with(".jsonl")) {
            let text = fs::read_to_string(directory.path().join(&file.0)).unwrap();
            assert!(!text.contains("candle") && !text.contains("fused"), "{} says who made it", file.0);
        }
        // Each engine resumes and replays the other's run.
        for (first, second) in [(Engine::Fused, Engine::Candle), (Engine::Candle, Engine::Fused)] {
            let directory = tempfile::tempdir().unwrap();
            let root = directory.path();
            prepare(root);
            let stop = Stop(6.into());
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| by(first, root, &run, false, &stop)));
            assert!(ended.is_err());
            by(second, root, &run, true, &Silent);
            assert_eq!(files(root), fused, "{name}: {first}, then {second}");
            let network = second.network(&run.model).unwrap();
            let replayed = replay(&opened(root), &run, network.as_ref(), (Step(0), Step(12)), false, &Silent).unwrap();
            assert!(replayed.holds(), "{name}: {replayed:?}");
        }
    }
}

/// A changed number is found by candle as by the fused engine, at the same position.
#[test]
fn a_change_is_found_by_both() {
    let run = variant("llama", VARIANTS[0].1, "");
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    prepare(root);
    by(Engine::Fused, root, &run, false, &Silent);
    let weights = checkpoint(root.join("runs/small"), Step(8)).join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&weights, bytes).unwrap();
    let [fused, candle] = Engine::ALL.map(|engine| {
        let network = engine.network(&run.model).unwrap();
        replay(&opened(root), &run, network.as_ref(), (Step(4), Step(8)), false, &Silent).unwrap()
    });
    assert_eq!(fused, candle);
    assert!(matches!(&candle.findings[..], [found] if found.kind == DifferenceKind::Checkpoint), "{candle:?}");
}

//! Small runs of every family, and one digest over all results: `tests/bits.sh` computes it under every condition that
//! could change a bit.
//!
//!     bits DIRECTORY THREADS [DIE_AFTER [ENGINE]]
//!
//! Runs that are in the directory already are resumed. With `DIE_AFTER`, the process kills itself after that many
//! steps, or never if it is 0. ENGINE is the engine. Prints the digest and the instruction set; a killed process
//! prints nothing.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool for tests, not the product")]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use retrace_corpus::tokens::Writer;
use retrace_files::{Progress, Root, WholeFile};
use retrace_model::Engine;
use retrace_numerics::isa;
use retrace_numerics::random::Stream;
use retrace_spec::{Digest, Document, Run};
use retrace_train::{Journal, train};

/// The settings that all of them share. 576 tokens per micro-batch and 96 positions: more than any block of the
/// kernels, and not a multiple of all of them.
const COMMON: &str = "retrace: run/1
seed: 7
numerics: 1
tokenizer: tokenizer.json
sequence_length: 96
batch_size: 12
micro_batch_size: 6
optimizer: {beta1: 0.9, beta2: 0.95, epsilon: 1.0e-8, weight_decay: 0.1, clip: 1.0}
mask_document_ends: true
outliers: {window: 6, deviations: 1.0}
validation: {tokens: a.tokens, sequences: 3, every: 3}
phases:
  - name: one
    steps: 3
    learning_rate: {schedule: cosine, warmup: 1, peak: 0.01, floor: 0.001}
    mix: [{tokens: a.tokens, share: 1}]
  - name: two
    steps: 1
    learning_rate: {schedule: half_life, peak: 0.005, half_life: 1, floor: 0.0}
    mix: [{tokens: a.tokens, share: 1}]
checkpoint_every: 2
";

/// Each family, with the options that only it has.
const MODELS: [(&str, &str); 6] = [
    (
        "llama",
        "z_loss: 0.001\nmodel: {architecture: llama, vocab_size: 301, hidden_size: 48, intermediate_size: 136, \
         num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 24, \
         max_position_embeddings: 96, rope_theta: 500000.0, rope_scaling: {rope_type: llama3, factor: 8.0, \
         low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 48}, rms_norm_eps: 1.0e-5, \
         tie_word_embeddings: true, initializer_range: 0.05}",
    ),
    (
        "gpt_neox",
        "dropout: 0.1\nmodel: {architecture: gpt_neox, vocab_size: 301, hidden_size: 48, intermediate_size: 192, \
         num_hidden_layers: 2, num_attention_heads: 3, num_key_value_heads: 3, max_position_embeddings: 96, \
         rope_theta: 10000.0, rotary_pct: 0.25, layer_norm_eps: 1.0e-5, use_parallel_residual: true, \
         hidden_act: gelu, attention_bias: true, initializer_range: 0.05}",
    ),
    (
        "olmo",
        "model: {architecture: olmo, vocab_size: 301, hidden_size: 48, intermediate_size: 136, num_hidden_layers: 2, \
         num_attention_heads: 3, num_key_value_heads: 3, max_position_embeddings: 96, rope_theta: 10000.0, \
         clip_qkv: 0.5, initializer_range: 0.05}",
    ),
    (
        "olmo3",
        "model: {architecture: olmo3, vocab_size: 301, hidden_size: 48, intermediate_size: 136, num_hidden_layers: 2, \
         num_attention_heads: 3, num_key_value_heads: 1, max_position_embeddings: 96, rope_theta: 10000.0, \
         rms_norm_eps: 1.0e-6, sliding_window: 33, layer_types: [sliding_attention, full_attention], \
         initializer_range: 0.05}",
    ),
    (
        "qwen3",
        "model: {architecture: qwen3, vocab_size: 301, hidden_size: 48, intermediate_size: 136, num_hidden_layers: 2, \
         num_attention_heads: 6, num_key_value_heads: 2, head_dim: 10, max_position_embeddings: 96, \
         rope_theta: 10000.0, rms_norm_eps: 1.0e-6, initializer_range: 0.05}",
    ),
    (
        "smollm3",
        "dropout: 0.1\nmodel: {architecture: smollm3, vocab_size: 301, hidden_size: 48, intermediate_size: 136, \
         num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, max_position_embeddings: 96, \
         rope_theta: 10000.0, rms_norm_eps: 1.0e-6, no_rope_layers: [1, 0], tie_word_embeddings: true, \
         initializer_range: 0.05}",
    ),
];

/// Kills the process after this many steps; never if 0.
struct Death(AtomicU64);

impl Progress for Death {
    fn advance(&self, _: u64) {
        if self.0.fetch_sub(1, Ordering::Relaxed) == 1 {
            let _ = Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
            std::process::abort();
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, threads, die @ ..] = arguments.as_slice() else {
        return println!("usage: bits DIRECTORY THREADS [DIE_AFTER [ENGINE]]");
    };
    if let Ok(name) = std::env::var("RETRACE_ISA") {
        assert!(isa::Isa::from_name(&name).is_some_and(isa::force), "this machine has no {name}");
    }
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse().unwrap()).build_global().unwrap();
    let engine = die
        .get(1)
        .map_or_else(Engine::default, |engine| Engine::ALL.into_iter().find(|known| known.name() == engine).unwrap());
    let root = Path::new(directory);
    let death = Death(die.first().map_or(0, |steps| steps.parse().unwrap()).into());
    prepare(root);
    let mut all = blake3::Hasher::new();
    for (name, more) in MODELS {
        let run = Run::parse(&format!("{COMMON}name: {name}\noutput: runs/{name}\n{more}\n"), name).unwrap();
        let resume = run.output.under(root).join(Journal::NAME).exists();
        let network = engine.network(&run.model).unwrap();
        let journal = train(&Root::open(root).unwrap(), &run, network.as_ref(), resume, &death).unwrap();
        all.update(journal.head().as_bytes());
    }
    println!("{} {}", Digest::from(all.finalize()), isa::detect().name());
}

/// Tokens of documents of all lengths; each token depends on the one before, with some noise.
fn prepare(root: &Path) {
    std::fs::create_dir_all(root).unwrap();
    std::fs::write(root.join("tokenizer.json"), "{}").unwrap();
    let mut writer = Writer::create(WholeFile::create(&root.join("a.tokens")).unwrap(), 301, Digest::of(b"")).unwrap();
    writer.begin_shard("raw.jsonl".parse().unwrap());
    let (noise, mut token) = (Stream::new(1, "tokens"), 1u64);
    for line in 1..200usize {
        let document: Vec<u32> = (0..noise.below(2, line as u64, 200) + 1)
            .map(|i| {
                let at = line as u64 * 1000 + i;
                token = if noise.below(0, at, 4) == 0 { noise.below(1, at, 301) } else { (token * 31 + 7) % 301 };
                token as u32
            })
            .collect();
        writer.add(line, &document).unwrap();
    }
    writer.finish().unwrap();
}

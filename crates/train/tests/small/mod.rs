//! A run so small that a step takes a millisecond.

#![allow(dead_code, reason = "each test file uses what it needs")]

use std::fs;
use std::path::{Path, PathBuf};

use retrace_corpus::tokens::Writer;
use retrace_files::{Progress, Root, WholeFile};
use retrace_model::{Engine, Layout};
use retrace_numerics::random::Stream;
use retrace_spec::{Digest, Document, Run, Step};
use retrace_train::{Journal, Replay, State, TrainError};

/// The run file.
pub(crate) const RUN: &str = "retrace: run/1
name: small
seed: 1
numerics: 1
model:
  architecture: llama
  vocab_size: 32
  hidden_size: 16
  intermediate_size: 40
  num_hidden_layers: 2
  num_attention_heads: 4
  num_key_value_heads: 2
  max_position_embeddings: 32
  rope_theta: 10000.0
  rms_norm_eps: 1.0e-5
  initializer_range: 0.1
tokenizer: tokenizer.json
output: runs/small
sequence_length: 16
batch_size: 6
micro_batch_size: 2
optimizer: {beta1: 0.9, beta2: 0.95, epsilon: 1.0e-8, weight_decay: 0.1, clip: 1.0}
phases:
  - name: one
    steps: 8
    learning_rate: {schedule: cosine, warmup: 2, peak: 0.02, floor: 0.002}
    mix: [{tokens: a.tokens, share: 3}, {tokens: b.tokens, share: 1}]
  - name: two
    steps: 4
    learning_rate: {schedule: half_life, peak: 0.01, half_life: 2, floor: 0.0}
    mix: [{tokens: b.tokens, share: 1}]
checkpoint_every: 4
";

/// The run file, parsed.
pub(crate) fn run() -> Run {
    Run::parse(RUN, "run.yaml").unwrap()
}

/// Token shards, of a document of 700 tokens and then some of 90, in which each token depends on the one before, with
/// some noise.
pub(crate) fn prepare(root: &Path) {
    fs::write(root.join("tokenizer.json"), "{}").unwrap();
    for (name, step) in [("a", 3), ("b", 5)] {
        let mut writer =
            Writer::create(WholeFile::create(&root.join(format!("{name}.tokens"))).unwrap(), 32, Digest::of(b""))
                .unwrap();
        writer.begin_shard("raw.jsonl".parse().unwrap());
        let noise = Stream::new(1, name);
        let mut token = 1;
        let tokens: Vec<u32> = (0..2000)
            .map(|i| {
                token = if noise.below(0, i, 8) == 0 { noise.below(1, i, 32) as u32 } else { (token + step) % 32 };
                token
            })
            .collect();
        let (first, rest) = tokens.split_at(700);
        writer.add(1, first).unwrap();
        rest.chunks(90).zip(2..).for_each(|(part, line)| writer.add(line, part).unwrap());
        writer.finish().unwrap();
    }
}

/// Trains with the default engine.
pub(crate) fn train(root: &Root, run: &Run, resume: bool, progress: &dyn Progress) -> Result<Journal, TrainError> {
    let network = Engine::default().network(&run.model).unwrap();
    retrace_train::train(root, run, network.as_ref(), resume, progress)
}

/// Replays with the default engine.
pub(crate) fn replay(
    root: &Root,
    run: &Run,
    stretch: (Step, Step),
    localise: bool,
    progress: &dyn Progress,
) -> Result<Replay, TrainError> {
    let network = Engine::default().network(&run.model).unwrap();
    retrace_train::replay(root, run, network.as_ref(), stretch, localise, progress)
}

/// The initial state of `run`.
pub(crate) fn initial(root: &Root, run: &Run) -> Result<State, TrainError> {
    State::initial(root, run, &Layout::of(&run.model))
}

/// The directory at `path`.
pub(crate) fn opened(path: impl AsRef<Path>) -> Root {
    Root::open(path.as_ref()).unwrap()
}

/// The path of the checkpoint of `step` below the run's directory `output`.
pub(crate) fn checkpoint(output: impl AsRef<Path>, step: Step) -> PathBuf {
    retrace_train::directory_of(step).unwrap().under(output.as_ref())
}

/// Every file below `root`, with its digest.
pub(crate) fn files(root: &Path) -> Vec<(String, Digest)> {
    let found = retrace_files::walk(root, &|_| false).unwrap();
    found.iter().map(|f| (f.path().to_string(), retrace_files::hash_file(&f.path().under(root)).unwrap().1)).collect()
}

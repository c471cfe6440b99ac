//! Training steps, compared with PyTorch and stock candle (`benches/train.sh`): the same initial weights and batches,
//! which are written to files for the other programs.
//!
//! Arguments: a directory, the model (`small` or `30m`), threads, steps, and optionally the engine, and then, for a
//! loss curve on real text (`benches/curves.sh`), a token shard; then batches are 4 of 128 tokens, with a warm-up over
//! a tenth of the steps, instead of 8 of 256. Prints one JSON document, as the other programs do.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench, not the product")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use retrace_corpus::tokens::Writer;
use retrace_files::safetensors::{self, Dtype, Tensor};
use retrace_files::{Root, WholeFile};
use retrace_model::{Engine, hub};
use retrace_numerics::random::Stream;
use retrace_spec::{Digest, Document, Run, Step};
use retrace_train::{Batches, State, Trainer};

/// The model of NUMERICS, and one of 30 million parameters.
fn model(name: &str) -> &'static str {
    match name {
        "small" => {
            "{architecture: llama, vocab_size: 4096, hidden_size: 256, intermediate_size: 1024, num_hidden_layers: 4, \
             num_attention_heads: 4, num_key_value_heads: 4, max_position_embeddings: 256, rope_theta: 10000.0, \
             rms_norm_eps: 1.0e-5, initializer_range: 0.02}"
        }
        _ => {
            "{architecture: llama, vocab_size: 6400, hidden_size: 512, intermediate_size: 1376, num_hidden_layers: 7, \
             num_attention_heads: 8, num_key_value_heads: 8, max_position_embeddings: 256, rope_theta: 10000.0, \
             rms_norm_eps: 1.0e-5, initializer_range: 0.02}"
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [directory, name, threads, steps, rest @ ..] = arguments.as_slice() else { return };
    let (engine, shard) = match rest {
        [engine, shard @ ..] => (Engine::ALL.into_iter().find(|known| known.name() == engine).unwrap(), shard),
        shard => (Engine::default(), shard),
    };
    let (root, steps): (&Path, u64) = (Path::new(directory), steps.parse().unwrap());
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse().unwrap()).build_global().unwrap();
    let (batch, length, warmup) = if shard.is_empty() { (8, 256, 0) } else { (4, 128, steps / 10) };
    let run = format!(
        "retrace: run/1\nname: bench\nseed: 1\nnumerics: 1\nmodel: {}\ntokenizer: t.json\noutput: out\n\
         sequence_length: {length}\nbatch_size: {batch}\nmicro_batch_size: {batch}\noptimizer: {{beta1: 0.9, beta2: 0.95, \
         epsilon: 1.0e-8, weight_decay: 0.1, clip: 1.0}}\ncheckpoint_every: 1000\nphases:\n  - name: one\n    \
         steps: {steps}\n    learning_rate: {{schedule: cosine, warmup: {warmup}, peak: 0.001, floor: 0.0001}}\n    \
         mix: [{{tokens: a.tokens, share: 1}}]\n",
        model(name)
    );
    let run = Run::parse(&run, "run").unwrap();
    std::fs::create_dir_all(root).unwrap();
    match shard {
        [] => tokens(root, run.model.vocab_size as u64, 2049 * steps as usize + 300),
        [shard, ..] => {
            std::fs::copy(shard, root.join("a.tokens")).unwrap();
        }
    }
    let network = engine.network(&run.model).unwrap();
    let initial = State::initial(&Root::open(root).unwrap(), &run, network.layout()).unwrap();
    let parameters = initial.weights.values().len();
    hub::write(&Root::open(root).unwrap(), &run.model, &initial.weights).unwrap();
    batches(root, &run, steps);

    let mut trainer = Trainer::new(&Root::open(root).unwrap(), &run, network.as_ref(), initial, &[]).unwrap();
    let (mut seconds, mut losses) = (Vec::new(), Vec::new());
    loop {
        let began = Instant::now();
        let Some(line) = trainer.step().unwrap() else { break };
        seconds.push(began.elapsed().as_secs_f64());
        losses.push(line.loss);
    }
    let mut steady = seconds[2.min(seconds.len() - 1)..].to_vec();
    steady.sort_by(f64::total_cmp);
    let median = steady[steady.len() / 2];
    // The time of a step's journal line, nearly all of it for the weights' digest; and the time to write a checkpoint
    // to disk.
    let fastest = |work: &dyn Fn()| {
        let timed = (0..3).map(|_| {
            let began = Instant::now();
            work();
            began.elapsed().as_secs_f64()
        });
        timed.fold(f64::MAX, f64::min)
    };
    let state = trainer.state();
    let digest = fastest(&|| {
        std::hint::black_box(state.weights_root());
    });
    let checkpoint = fastest(&|| {
        let _ = std::fs::remove_dir_all(root.join("out"));
        let out = Root::make(&root.join("out")).unwrap();
        let run_digest = run.digest().unwrap();
        state.save(&run, &out, b"{}", run_digest, state.digest(), run_digest).unwrap();
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: u64 = peak.and_then(|kib| kib.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
    let report = serde_json::json!({
        "peer": format!("retrace, {engine}"), "threads": threads, "parameters": parameters, "losses": losses, "seconds": seconds,
        "median_seconds": median, "digest_seconds": digest, "checkpoint_seconds": checkpoint, "tokens_per_second": f64::from(batch * length) / median, "peak_resident_bytes": peak * 1024,
    });
    println!("{report}");
}

/// Text-like tokens: each depends on the one before, with some noise.
fn tokens(root: &Path, vocabulary: u64, count: usize) {
    let mut writer =
        Writer::create(WholeFile::create(&root.join("a.tokens")).unwrap(), vocabulary as u32, Digest::of(b"")).unwrap();
    writer.begin_shard("raw.jsonl".parse().unwrap());
    let (noise, mut token) = (Stream::new(1, "tokens"), 1);
    let tokens: Vec<u32> = (0..count as u64)
        .map(|i| {
            let random = noise.below(1, i, vocabulary);
            token = if noise.below(0, i, 4) == 0 { random } else { (token * 31 + 7) % vocabulary };
            token as u32
        })
        .collect();
    writer.add(1, &tokens).unwrap();
    writer.finish().unwrap();
}

/// `inputs` and `targets` of every step, for the other programs.
fn batches(root: &Path, run: &Run, steps: u64) {
    let batches = Batches::open(&Root::open(root).unwrap(), run).unwrap();
    let (mut inputs, mut targets) = (Vec::new(), Vec::new());
    for step in 1..=steps {
        let batch = batches.batch(Step(step)).unwrap();
        inputs.extend(batch.inputs);
        targets.extend(batch.targets.into_iter().flatten());
    }
    let tensor = |ids: Vec<u32>| Tensor {
        dtype: Dtype::I64,
        shape: vec![steps as usize, run.batch_size, run.sequence_length],
        bytes: ids.into_iter().flat_map(|id| i64::from(id).to_le_bytes()).collect(),
    };
    let both = BTreeMap::from([("inputs".to_owned(), tensor(inputs)), ("targets".to_owned(), tensor(targets))]);
    safetensors::write(&root.join("batches.safetensors"), &both).unwrap();
}

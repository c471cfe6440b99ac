//! A user's own architecture: trained, interrupted, resumed, and replayed to the same bits.
//!
//!     cargo run --example own
//!
//! It has no attention: each layer computes a token from the previous layer's output for that token and for the one
//! before.

#![allow(clippy::print_stdout, reason = "an example, not the product")]

use std::sync::Arc;

use candle_core::{IndexOp, Module, Result, Tensor};
use candle_nn::VarBuilder;
use retrace_corpus::tokens::Writer;
use retrace_files::{Progress, Root, Silent, WholeFile};
use retrace_model::candle::{Own, add, embed, gate, linear, rms_norm};
use retrace_spec::{Digest, Document, Run, Step};
use retrace_train::{replay, train};

/// The part of the model's description that is not in the module: its size, its context length, how its weights are
/// drawn.
const RUN: &str = "retrace: run/1\nname: own\nseed: 1\nnumerics: 1\ntokenizer: tokenizer.json\noutput: run\n\
    model: {architecture: own, vocab_size: 32, hidden_size: 16, intermediate_size: 40, num_hidden_layers: 2, \
    num_attention_heads: 1, num_key_value_heads: 1, max_position_embeddings: 16, rope_theta: 1.0, \
    initializer_range: 0.1}\nsequence_length: 16\nbatch_size: 8\nmicro_batch_size: 4\ncheckpoint_every: 10\n\
    optimizer: {beta1: 0.9, beta2: 0.95, epsilon: 1.0e-8, weight_decay: 0.1, clip: 1.0}\nphases: [{name: one, \
    steps: 40, mix: [{tokens: a.tokens, share: 1}], learning_rate: {schedule: linear, warmup: 4, peak: 0.02, floor: 0.0}}]\n";

struct Mixer {
    table: Tensor,
    layers: Vec<[Tensor; 3]>,
    norm: Tensor,
}
impl Mixer {
    fn new(run: &Run, vars: &VarBuilder<'_>) -> Result<Self> {
        let (vocabulary, hidden, inner) = (run.model.vocab_size, run.model.hidden_size, run.model.intermediate_size);
        let layer = |at: usize| {
            let vars = vars.pp(format!("layers.{at}"));
            let (up, down) =
                (vars.get((2 * inner, 2 * hidden), "up.weight")?, vars.get((hidden, inner), "down.weight")?);
            Ok([vars.get(hidden, "norm.weight")?, up, down])
        };
        let layers = (0..run.model.num_hidden_layers).map(layer).collect::<Result<_>>()?;
        Ok(Self {
            table: vars.get((vocabulary, hidden), "table.weight")?,
            layers,
            norm: vars.get(hidden, "norm.weight")?,
        })
    }
}

impl Module for Mixer {
    /// Ids of (sequences, positions) to logits of (tokens, vocabulary).
    fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let (sequences, positions) = ids.dims2()?;
        let ids: Arc<[u32]> = ids.flatten_all()?.to_vec1()?.into();
        let mut x = embed(&self.table, &ids)?;
        let width = x.dim(1)?;
        for [norm, up, down] in &self.layers {
            let h = rms_norm(&x, norm, 1e-5)?.reshape((sequences, positions, width))?;
            // Moving numbers is exact, so it has the same bits everywhere.
            let last = h.i((.., ..positions - 1))?.pad_with_zeros(1, 1, 0)?;
            let both = Tensor::cat(&[h, last], 2)?.reshape(((), 2 * width))?;
            x = add(&x, &linear(&gate(&linear(&both, up, None)?)?, down, None)?)?;
        }
        linear(&rms_norm(&x, &self.norm, 1e-5)?, &self.table, None)
    }
}

/// Stops after some steps, as a kill would.
struct Stop(std::sync::atomic::AtomicU64);
impl Progress for Stop {
    fn advance(&self, _: u64) {
        if self.0.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) == 1 {
            std::panic::resume_unwind(Box::new("killed"));
        }
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let root = Root::open(directory.path())?;
    std::fs::write(directory.path().join("tokenizer.json"), "{}")?;
    let mut writer = Writer::create(WholeFile::create(&directory.path().join("a.tokens"))?, 32, Digest::of(b""))?;
    writer.begin_shard("raw.jsonl".parse()?);
    writer.add(1, &(0..4000).map(|at: u32| at * at / 7 % 32).collect::<Vec<_>>())?;
    writer.finish()?;

    let run = Run::parse(RUN, "run")?;
    let own = Own::new(&run.model, |vars| Mixer::new(&run, &vars))?;
    let stop = Stop(25.into());
    let killed = std::panic::AssertUnwindSafe(|| train(&root, &run, &own, false, &stop));
    assert!(std::panic::catch_unwind(killed).is_err());
    let journal = train(&root, &run, &own, true, &Silent)?;
    let (first, last) = (&journal.lines()[0], &journal.lines()[39]);
    println!("loss {:.3} to {:.3}", first.loss, last.loss);
    let replayed = replay(&root, &run, &own, (Step(0), run.steps()), false, &Silent)?;
    println!("replayed {} steps from the start: {} findings", replayed.reached, replayed.findings.len());
    assert!(replayed.holds() && last.loss < first.loss);
    Ok(())
}

//! Training in stock candle, for comparison with `retrace train`: the same Llama, batches, AdamW and schedule, from
//! the operations that have a backward pass (candle's fused norm, softmax, RoPE and attention have none).
//!
//! ```text
//! cargo build --release
//! RAYON_NUM_THREADS=T target/release/candle-peer --weights DIR --batches FILE --steps N
//! RAYON_NUM_THREADS=T target/release/candle-peer --matmul
//! ```
//!
//! DIR is a Hugging Face Llama directory (config.json and model.safetensors, untied head). FILE is safetensors with
//! `inputs` and `targets`, I64 of [steps, batch, sequence]; step s trains on row s, from the first row again after the
//! last. The gradient is clipped to norm 1 by our own code, because candle has no function for it. `--matmul` measures
//! only the `gemm` crate, candle's matrix product. Prints one JSON document.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use candle_core::backprop::GradStore;
use candle_core::{D, DType, Device, Tensor, Var, safetensors, utils};
use candle_nn::rotary_emb::rope_slow;
use candle_nn::{
    AdamW, Embedding, Linear, Module, Optimizer, ParamsAdamW, RmsNorm, VarBuilder, VarMap, embedding, linear_no_bias,
    loss, ops, rms_norm,
};
use clap::Parser;
use serde::Deserialize;
use serde_json::{Map, Value, json};

const MATMULS: [(usize, usize, usize); 4] =
    [(2048, 256, 1024), (2048, 1024, 256), (1024, 1024, 1024), (256, 1024, 2048)];

#[derive(Parser)]
#[command(about = "The candle peer of `retrace train`; threads from RAYON_NUM_THREADS")]
struct Args {
    /// A Hugging Face Llama directory.
    #[arg(long, required_unless_present = "matmul")]
    weights: Option<PathBuf>,
    /// safetensors with `inputs` and `targets`.
    #[arg(long, required_unless_present = "matmul")]
    batches: Option<PathBuf>,
    #[arg(long, default_value_t = 20)]
    steps: usize,
    /// The highest learning rate.
    #[arg(long, default_value_t = 1e-3)]
    peak: f64,
    /// The steps up to it.
    #[arg(long, default_value_t = 0)]
    warmup: usize,
    /// The learning rate of the last step.
    #[arg(long, default_value_t = 1e-4)]
    floor: f64,
    /// Of matrices; norms have none.
    #[arg(long, default_value_t = 0.1)]
    weight_decay: f64,
    /// Times matrix products instead.
    #[arg(long)]
    matmul: bool,
}

#[derive(Deserialize)]
struct Config {
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    vocab_size: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_parameters: Option<RopeParameters>,
    #[serde(default)]
    tie_word_embeddings: bool,
}

#[derive(Deserialize)]
struct RopeParameters {
    rope_theta: f64,
}

/// The inputs of every layer: the RoPE tables, and −∞ for positions that must not be seen.
struct Tables {
    cos: Tensor,
    sin: Tensor,
    mask: Tensor,
}

impl Tables {
    fn new(positions: usize, head_size: usize, theta: f64) -> Result<Self> {
        let cpu = &Device::Cpu;
        let frequency = |i: usize| theta.powf(-((2 * i) as f64) / head_size as f64) as f32;
        let frequencies: Vec<f32> = (0..head_size / 2).map(frequency).collect();
        let frequencies = Tensor::new(frequencies, cpu)?.unsqueeze(0)?;
        let places = Tensor::arange(0u32, positions as u32, cpu)?.to_dtype(DType::F32)?.unsqueeze(1)?;
        let angles = places.matmul(&frequencies)?;
        let hidden = |i: usize| if i % positions > i / positions { f32::NEG_INFINITY } else { 0.0 };
        let mask: Vec<f32> = (0..positions * positions).map(hidden).collect();
        let mask = Tensor::from_vec(mask, (positions, positions), cpu)?;
        Ok(Self { cos: angles.cos()?, sin: angles.sin()?, mask })
    }
}

struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    heads: usize,
    key_heads: usize,
    size: usize,
}

impl Attention {
    fn new(config: &Config, vars: VarBuilder) -> Result<Self> {
        let (hidden, heads, key_heads) = (config.hidden_size, config.num_attention_heads, config.num_key_value_heads);
        let size = hidden / heads;
        Ok(Self {
            query: linear_no_bias(hidden, heads * size, vars.pp("q_proj"))?,
            key: linear_no_bias(hidden, key_heads * size, vars.pp("k_proj"))?,
            value: linear_no_bias(hidden, key_heads * size, vars.pp("v_proj"))?,
            out: linear_no_bias(heads * size, hidden, vars.pp("o_proj"))?,
            heads,
            key_heads,
            size,
        })
    }

    fn forward(&self, x: &Tensor, tables: &Tables) -> Result<Tensor> {
        let (batch, positions, _) = x.dims3()?;
        let split = |x: Tensor, heads: usize| x.reshape((batch, positions, heads, self.size))?.transpose(1, 2);
        let query = rope_slow(&split(self.query.forward(x)?, self.heads)?, &tables.cos, &tables.sin)?;
        let key = rope_slow(&split(self.key.forward(x)?, self.key_heads)?, &tables.cos, &tables.sin)?;
        let value = split(self.value.forward(x)?, self.key_heads)?;
        let (key, value) = (self.repeat(key)?, self.repeat(value)?);
        let scores = (query * (1.0 / (self.size as f64).sqrt()))?.contiguous()?.matmul(&key.t()?)?;
        let weights = ops::softmax(&scores.broadcast_add(&tables.mask)?, D::Minus1)?;
        let mixed = weights.matmul(&value.contiguous()?)?;
        Ok(self.out.forward(&mixed.transpose(1, 2)?.flatten_from(2)?)?)
    }

    /// Each key head, repeated for every query head that uses it.
    fn repeat(&self, x: Tensor) -> Result<Tensor> {
        let times = self.heads / self.key_heads;
        if times == 1 {
            return Ok(x);
        }
        let (batch, key_heads, positions, size) = x.dims4()?;
        Ok(Tensor::cat(&vec![&x; times], 2)?.reshape((batch, key_heads * times, positions, size))?)
    }
}

struct Layer {
    attention_norm: RmsNorm,
    attention: Attention,
    feed_norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Layer {
    fn new(config: &Config, vars: VarBuilder) -> Result<Self> {
        let (hidden, inner, eps) = (config.hidden_size, config.intermediate_size, config.rms_norm_eps);
        Ok(Self {
            attention_norm: rms_norm(hidden, eps, vars.pp("input_layernorm"))?,
            attention: Attention::new(config, vars.pp("self_attn"))?,
            feed_norm: rms_norm(hidden, eps, vars.pp("post_attention_layernorm"))?,
            gate: linear_no_bias(hidden, inner, vars.pp("mlp.gate_proj"))?,
            up: linear_no_bias(hidden, inner, vars.pp("mlp.up_proj"))?,
            down: linear_no_bias(inner, hidden, vars.pp("mlp.down_proj"))?,
        })
    }

    fn forward(&self, x: &Tensor, tables: &Tables) -> Result<Tensor> {
        // `forward_diff` is the norm from basic operations.
        let x = (x + self.attention.forward(&self.attention_norm.forward_diff(x)?, tables)?)?;
        let normed = self.feed_norm.forward_diff(&x)?;
        let gated = (self.gate.forward(&normed)?.silu()? * self.up.forward(&normed)?)?;
        Ok((x + self.down.forward(&gated)?)?)
    }
}

struct Llama {
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: Linear,
    tables: Tables,
}

impl Llama {
    fn new(config: &Config, positions: usize, vars: VarBuilder) -> Result<Self> {
        let layer = |i| Layer::new(config, vars.pp(format!("model.layers.{i}")));
        let theta = config.rope_theta.or(config.rope_parameters.as_ref().map(|rope| rope.rope_theta));
        let head_size = config.hidden_size / config.num_attention_heads;
        Ok(Self {
            embedding: embedding(config.vocab_size, config.hidden_size, vars.pp("model.embed_tokens"))?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
            norm: rms_norm(config.hidden_size, config.rms_norm_eps, vars.pp("model.norm"))?,
            head: linear_no_bias(config.hidden_size, config.vocab_size, vars.pp("lm_head"))?,
            tables: Tables::new(positions, head_size, theta.context("config.json has no rope_theta")?)?,
        })
    }

    fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let mut x = self.embedding.forward(ids)?;
        for layer in &self.layers {
            x = layer.forward(&x, &self.tables)?;
        }
        Ok(self.head.forward(&self.norm.forward_diff(&x)?)?)
    }
}

/// The learning rate of a step, counted from 1: linear to the peak, then half a cosine to the floor.
fn rate(args: &Args, step: usize) -> f64 {
    if step <= args.warmup {
        return args.peak * step as f64 / args.warmup as f64;
    }
    let done = (step - args.warmup) as f64 / (args.steps - args.warmup) as f64;
    args.floor + (args.peak - args.floor) * (1.0 + (std::f64::consts::PI * done).cos()) / 2.0
}

/// Scales the gradients so that their total norm is at most 1.
fn clip(gradients: &mut GradStore, vars: &[Var]) -> Result<()> {
    let mut squares = 0.0;
    for gradient in vars.iter().filter_map(|var| gradients.get(var)) {
        squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
    }
    let scale = 1.0 / (squares.sqrt() + 1e-6);
    if scale < 1.0 {
        for var in vars {
            if let Some(gradient) = gradients.remove(var) {
                gradients.insert(var, (gradient * scale)?);
            }
        }
    }
    Ok(())
}

fn train(args: &Args, weights: &Path, batches: &Path) -> Result<Map<String, Value>> {
    let cpu = &Device::Cpu;
    let batches = safetensors::load(batches, cpu)?;
    let get = |name: &str| anyhow::Ok(batches.get(name).with_context(|| format!("no {name}"))?.to_dtype(DType::U32)?);
    let (inputs, targets) = (get("inputs")?, get("targets")?);
    let (rows, batch, positions) = inputs.dims3()?;

    let config: Config = serde_json::from_str(&std::fs::read_to_string(weights.join("config.json"))?)?;
    ensure!(!config.tie_word_embeddings, "the head must be untied");
    let mut map = VarMap::new();
    let model = Llama::new(&config, positions, VarBuilder::from_varmap(&map, DType::F32, cpu))?;
    map.load(weights.join("model.safetensors"))?;

    let vars = map.all_vars();
    let (matrices, norms): (Vec<Var>, Vec<Var>) = vars.iter().cloned().partition(|var| var.rank() > 1);
    let settings = ParamsAdamW { lr: args.peak, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: args.weight_decay };
    let mut optimizers =
        [AdamW::new(matrices, settings.clone())?, AdamW::new(norms, ParamsAdamW { weight_decay: 0.0, ..settings })?];

    let (mut losses, mut seconds) = (Vec::new(), Vec::new());
    for step in 0..args.steps {
        let begin = Instant::now();
        let row = step % rows;
        let logits = model.forward(&inputs.get(row)?)?;
        let loss = loss::cross_entropy(&logits.flatten_to(1)?, &targets.get(row)?.flatten_all()?)?;
        let mut gradients = loss.backward()?;
        clip(&mut gradients, &vars)?;
        for optimizer in &mut optimizers {
            optimizer.set_learning_rate(rate(args, step + 1));
            optimizer.step(&gradients)?;
        }
        losses.push(loss.to_scalar::<f32>()?);
        seconds.push(begin.elapsed().as_secs_f64());
    }

    let median = median(if seconds.len() > 2 { &seconds[2..] } else { &seconds });
    let mut report = Map::new();
    report.insert("parameters".into(), json!(vars.iter().map(|var| var.elem_count()).sum::<usize>()));
    report.insert("losses".into(), json!(losses));
    report.insert("seconds".into(), json!(seconds));
    report.insert("median_seconds".into(), json!(median));
    report.insert("tokens_per_second".into(), json!((batch * positions) as f64 / median));
    report.insert("peak_resident_bytes".into(), json!(peak_resident()));
    Ok(report)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
}

/// VmHWM of this process; `None` if there is no /proc.
fn peak_resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// The best GFLOP/s of each shape within about half a second.
fn matmul(threads: usize) -> Map<String, Value> {
    let parallelism = if threads > 1 { gemm::Parallelism::Rayon(threads) } else { gemm::Parallelism::None };
    let mut best = Map::new();
    for (m, k, n) in MATMULS {
        let filled = |count: usize| (0..count).map(|i| (i * 37 % 101) as f32 / 101.0 - 0.5).collect::<Vec<f32>>();
        let (a, b, mut out) = (filled(m * k), filled(k * n), vec![0f32; m * n]);
        let mut multiply = || {
            let begin = Instant::now();
            // SAFETY: the three slices have the lengths of the row-major shapes, and `out` does not overlap the
            // others.
            unsafe {
                gemm::gemm(
                    m,
                    n,
                    k,
                    out.as_mut_ptr(),
                    1,
                    n as isize,
                    false,
                    a.as_ptr(),
                    1,
                    k as isize,
                    b.as_ptr(),
                    1,
                    n as isize,
                    0f32,
                    1f32,
                    false,
                    false,
                    false,
                    parallelism,
                );
            }
            std::hint::black_box(&mut out);
            begin.elapsed()
        };
        multiply();
        let (begin, mut fastest) = (Instant::now(), Duration::MAX);
        while begin.elapsed() < Duration::from_millis(500) {
            fastest = fastest.min(multiply());
        }
        best.insert(format!("{m}x{k}x{n}"), json!((2 * m * k * n) as f64 / fastest.as_secs_f64() / 1e9));
    }
    Map::from_iter([("gflops".into(), Value::Object(best))])
}

fn main() -> Result<()> {
    let args = Args::parse();
    let threads = utils::get_num_threads();
    let mut report = Map::new();
    report.insert("peer".into(), json!("candle"));
    report.insert("versions".into(), json!({ "candle": "0.11" }));
    report.insert("cpu_capability".into(), json!({ "avx2": utils::with_avx(), "f16c": utils::with_f16c() }));
    report.insert("threads".into(), json!(threads));
    report.append(&mut match (&args.weights, &args.batches) {
        (Some(weights), Some(batches)) if !args.matmul => train(&args, weights, batches)?,
        _ => matmul(threads),
    });
    println!("{}", serde_json::to_string_pretty(&report)?);
    Ok(())
}

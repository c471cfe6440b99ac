//! Llama, Qwen3 and SmolLM3 compared with their equations in binary64, and their gradients with finite differences.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use retrace_files::Root;
use retrace_model::{Engine, Inference, Layout, MicroBatch, Weights, hub};
use retrace_numerics::cross_entropy::Loss;
use retrace_numerics::random::Stream;
use retrace_spec::model::LayerType;
use retrace_spec::{Model, Seed};

const MODEL: &str = "
architecture: llama
vocab_size: 23
hidden_size: 24
intermediate_size: 20
num_hidden_layers: 2
num_attention_heads: 4
num_key_value_heads: 2
max_position_embeddings: 16
rope_theta: 100.0
rms_norm_eps: 1.0e-5
initializer_range: 0.3
";

fn model() -> Model {
    serde_yaml::from_str(MODEL).unwrap()
}

/// Models of the families that `llama.rs` computes, with the fields that only some of them have.
fn models() -> Vec<Model> {
    let qwen3 = "head_dim: 10\nsliding_window: 4\nlayer_types: [full_attention, sliding_attention]\n";
    let smollm3 = "no_rope_layers: [0, 1]\ntie_word_embeddings: true\n";
    let families = [("llama", ""), ("qwen3", qwen3), ("smollm3", smollm3)];
    let model = |(family, more): (&str, &str)| {
        let model: Model =
            serde_yaml::from_str(&(MODEL.replace("architecture: llama", &format!("architecture: {family}")) + more))
                .unwrap();
        model.check().unwrap();
        model
    };
    families.into_iter().map(model).collect()
}

/// Initial weights, with norms that are not all 1.
fn weights(model: &Model) -> Weights {
    let mut weights = Weights::initial(model, Layout::of(model), Seed(3));
    let layout = weights.layout().clone();
    for (name, shape, range) in layout.iter().filter(|(_, shape, _)| shape.len() == 1) {
        assert!(!shape.is_empty());
        Stream::new(5, name).normal(0, 0.5, &mut weights.values_mut()[range]);
    }
    weights
}

fn ids(model: &Model, n: usize) -> Vec<u32> {
    (0..n).map(|i| Stream::new(1, "ids").below(0, i as u64, model.vocab_size as u64) as u32).collect()
}

type Values = BTreeMap<String, Vec<f64>>;

fn wide(weights: &Weights) -> Values {
    let values = |range: std::ops::Range<usize>| weights.values()[range].iter().copied().map(f64::from).collect();
    weights.layout().iter().map(|(name, _, range)| (name.to_owned(), values(range))).collect()
}

fn linear(x: &[Vec<f64>], w: &[f64]) -> Vec<Vec<f64>> {
    let width = x[0].len();
    x.iter().map(|x| w.chunks(width).map(|w| w.iter().zip(x).map(|(w, x)| w * x).sum()).collect()).collect()
}

fn norm(x: &[Vec<f64>], w: &[f64]) -> Vec<Vec<f64>> {
    let scale = |x: &[f64]| 1.0 / (x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64 + 1e-5).sqrt();
    x.iter().map(|x| x.iter().zip(w).map(|(v, w)| v * scale(x) * w).collect()).collect()
}

fn turn(row: &mut [f64], size: usize, position: usize, theta: f64) {
    for head in row.chunks_mut(size) {
        for pair in 0..size / 2 {
            let angle = position as f64 * theta.powf(-2.0 * pair as f64 / size as f64);
            let (a, b) = (head[pair], head[pair + size / 2]);
            head[pair] = a * angle.cos() - b * angle.sin();
            head[pair + size / 2] = b * angle.cos() + a * angle.sin();
        }
    }
}

/// The logits of one sequence, equation by equation.
fn reference(model: &Model, w: &Values, ids: &[u32]) -> Vec<Vec<f64>> {
    let (size, rows) = (model.head_size(), model.head_size() * model.num_attention_heads);
    let mut x: Vec<Vec<f64>> = ids
        .iter()
        .map(|id| w["model.embed_tokens.weight"][*id as usize * model.hidden_size..][..model.hidden_size].to_vec())
        .collect();
    for layer in 0..model.num_hidden_layers {
        let get = |part: &str| &w[&format!("model.layers.{layer}.{part}.weight")][..];
        let h = norm(&x, get("input_layernorm"));
        let (mut q, mut k, v) = (
            linear(&h, get("self_attn.q_proj")),
            linear(&h, get("self_attn.k_proj")),
            linear(&h, get("self_attn.v_proj")),
        );
        for (rows, part) in [(&mut q, "self_attn.q_norm"), (&mut k, "self_attn.k_norm")] {
            if let Some(weight) = w.get(&format!("model.layers.{layer}.{part}.weight")) {
                let heads =
                    |row: &Vec<f64>| norm(&row.chunks(size).map(<[f64]>::to_vec).collect::<Vec<_>>(), weight).concat();
                rows.iter_mut().for_each(|row| *row = heads(row));
            }
        }
        // As transformers' SmolLM3Attention reads the list: 1 is a layer with RoPE.
        if !matches!(&model.no_rope_layers, Some(layers) if u8::from(layers[layer]) == 0) {
            q.iter_mut()
                .chain(k.iter_mut())
                .enumerate()
                .for_each(|(at, row)| turn(row, size, at % ids.len(), model.rope_theta));
        }
        let slides = matches!(&model.layer_types, Some(types) if types[layer] == LayerType::Sliding);
        let window = model.sliding_window.filter(|_| slides).unwrap_or(ids.len());
        let mut mixed = vec![vec![0.0; rows]; ids.len()];
        for head in 0..model.num_attention_heads {
            let key_head = head / (model.num_attention_heads / model.num_key_value_heads);
            for i in 0..ids.len() {
                let score = |j: usize| {
                    (0..size).map(|d| q[i][head * size + d] * k[j][key_head * size + d]).sum::<f64>()
                        / (size as f64).sqrt()
                };
                let seen = (i + 1).saturating_sub(window)..=i;
                let total: f64 = seen.clone().map(|j| score(j).exp()).sum();
                for d in 0..size {
                    mixed[i][head * size + d] =
                        seen.clone().map(|j| score(j).exp() / total * v[j][key_head * size + d]).sum();
                }
            }
        }
        let add = |x: &mut Vec<Vec<f64>>, y: Vec<Vec<f64>>| {
            x.iter_mut().flatten().zip(y.into_iter().flatten()).for_each(|(x, y)| *x += y)
        };
        add(&mut x, linear(&mixed, get("self_attn.o_proj")));
        let h = norm(&x, get("post_attention_layernorm"));
        let (g, u) = (linear(&h, get("mlp.gate_proj")), linear(&h, get("mlp.up_proj")));
        let gated: Vec<Vec<f64>> =
            g.iter().zip(&u).map(|(g, u)| g.iter().zip(u).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect()).collect();
        add(&mut x, linear(&gated, get("mlp.down_proj")));
    }
    let head = if model.tie_word_embeddings { "model.embed_tokens.weight" } else { "lm_head.weight" };
    linear(&norm(&x, &w["model.norm.weight"]), &w[head])
}

#[test]
fn logits_are_the_equations() {
    for model in models() {
        let weights = weights(&model);
        let ids = ids(&model, 22);
        let reference = |ids| reference(&model, &wide(&weights), ids);
        let expected: Vec<f64> = ids.chunks(11).flat_map(reference).flatten().collect();
        let ours = Inference::new(&model, weights.clone(), Engine::Fused).unwrap().logits(&ids, 11).unwrap();
        assert_eq!(ours.len(), expected.len());
        for (ours, expected) in ours.iter().zip(expected) {
            let name = model.architecture.name();
            assert!((f64::from(*ours) - expected).abs() < 2e-4, "{name}: {ours} against {expected}");
        }
    }
}

#[test]
fn gradients_are_the_finite_differences() {
    for model in models() {
        differentiate(&model);
    }
}

fn differentiate(model: &Model) {
    let weights = weights(model);
    let ids = ids(model, 10);
    let (inputs, targets) = (&ids[..9], &ids[1..]);
    let counted: Vec<Option<u32>> = targets.iter().copied().map(Some).collect();
    let mut all = vec![f32::NAN; weights.values().len()];
    let loss = Loss { z_weight: 0.0 };
    let batch = MicroBatch { inputs, targets: &counted, positions: 9, loss, scale: 1.0, dropout: None };
    Engine::Fused.network(model).unwrap().gradient(&weights, &batch, &mut all).unwrap();
    let loss = |w: &Values| -> f64 {
        let logits = reference(model, w, inputs);
        logits.iter().zip(targets).map(|(x, t)| x.iter().map(|x| x.exp()).sum::<f64>().ln() - x[*t as usize]).sum()
    };
    let mut values = wide(&weights);
    for (name, _, range) in weights.layout().iter() {
        let gradient = &all[range];
        let largest = gradient.iter().fold(0f32, |most, g| most.max(g.abs()));
        assert!(largest > 0.0, "{name} has no gradient");
        for at in (0..gradient.len()).step_by(gradient.len() / 7 + 1) {
            let here = values[name][at];
            let mut moved = |by: f64| {
                values.get_mut(name).unwrap()[at] = here + by;
                loss(&values)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            moved(0.0);
            let off = (f64::from(gradient[at]) - slope).abs();
            assert!(off < 2e-4 * f64::from(largest).max(0.1), "{name}[{at}]: {} against {slope}", gradient[at]);
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let model = model();
    let llama = Inference::new(&model, weights(&model), Engine::Fused).unwrap();
    for (ids, positions) in [(vec![23], 1), (vec![0; 17], 17), (vec![0; 3], 2), (vec![0], 0)] {
        assert!(llama.logits(&ids, positions).is_err());
    }
    assert!(llama.losses(&[1, 2], &[Some(1)], 2).is_err());
    assert!(llama.losses(&[1, 2], &[Some(1), Some(23)], 2).is_err());
    assert_eq!(llama.losses(&[1, 2], &[None, Some(1)], 2).unwrap()[0], 0.0);
}

#[test]
fn a_model_is_read_as_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let model = model();
    let weights = weights(&model);
    hub::write(&Root::open(directory.path()).unwrap(), &model, &weights).unwrap();
    let (read_model, read_weights) = hub::read(&Root::open(directory.path()).unwrap()).unwrap();
    assert_eq!(read_model, model);
    assert_eq!(read_weights, weights);
    // Contradictions between configuration and weights are reported.
    let config = directory.path().join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    for (from, to, expected) in [
        ("\"vocab_size\": 23", "\"vocab_size\": 24", "lm_head.weight"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", "is not part of the model"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "is missing"),
        ("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true", "lm_head.weight"),
        ("\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", "hidden_act"),
        ("\"attention_bias\": false", "\"attention_bias\": false, \"qk_norm\": true", "qk_norm"),
        ("\"rope_theta\": 100.0", "\"rope_theta\": 100.0, \"rope_parameters\": {\"rope_theta\": 9.0}", "contradict"),
        ("\"num_attention_heads\": 4", "\"num_attention_heads\": 5", "num_attention_heads"),
    ] {
        assert!(text.contains(from), "{from} in {text}");
        std::fs::write(&config, text.replace(from, to)).unwrap();
        let error = hub::read(&Root::open(directory.path()).unwrap()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

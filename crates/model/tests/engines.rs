//! Both engines with every family and variant: the same bits in the forward pass, the backward pass and the update.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use retrace_files::Root;
use retrace_model::{Dropout, Engine, Inference, Layout, MicroBatch, ModelError, Moments, Weights, hub};
use retrace_numerics::adamw::Hyperparameters;
use retrace_numerics::cross_entropy::Loss;
use retrace_numerics::random::Stream;
use retrace_spec::{Model, Seed};

fn cases() -> Vec<(String, Model, Weights)> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hub");
    let mut found: Vec<PathBuf> = std::fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    assert!(found.len() >= 35, "{}", found.len());
    let read = |case: PathBuf| {
        let (model, weights) = hub::read(&Root::open(&case).unwrap()).unwrap();
        (case.file_name().unwrap().to_string_lossy().into_owned(), model, weights)
    };
    found.into_iter().map(read).collect()
}

/// Three sequences of `positions` tokens, and targets, some of which do not count.
fn tokens(model: &Model, positions: usize) -> (Vec<u32>, Vec<Option<u32>>) {
    let stream = Stream::new(9, "ids");
    let id = |at: usize| stream.below(0, at as u64, model.vocab_size as u64) as u32;
    let count = 3 * positions;
    ((0..count).map(id).collect(), (0..count).map(|at| (at % 5 != 3).then(|| id(at + count))).collect())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn logits_and_losses_are_the_same_bits() {
    for (name, model, weights) in cases() {
        let positions = model.max_position_embeddings.min(11);
        let (ids, targets) = tokens(&model, positions);
        let [fused, candle] = Engine::ALL.map(|engine| {
            let inference = Inference::new(&model, weights.clone(), engine).unwrap();
            let logits = inference.logits(&ids, positions).unwrap();
            assert!(logits.iter().any(|logit| *logit != 0.0));
            (bits(&logits), bits(&inference.losses(&ids, &targets, positions).unwrap()))
        });
        assert_eq!(fused, candle, "{name}");
    }
}

/// Three updates, each with the gradient at the weights after the update before.
#[test]
fn gradients_and_updates_are_the_same_bits() {
    for (name, model, weights) in cases() {
        let positions = model.max_position_embeddings.min(11);
        let (ids, targets) = tokens(&model, positions);
        for (z_weight, rate) in [(0.0, 0.0), (0.01, 0.2)] {
            let [fused, candle] = Engine::ALL.map(|engine| {
                let network = engine.network(&model).unwrap();
                let mut weights = weights.clone();
                let zeros = vec![0.0; weights.values().len()];
                let (mut first, mut second, mut gradient) = (zeros.clone(), zeros.clone(), zeros);
                let mut all = Vec::new();
                for step in 1..=3 {
                    let dropout = (rate > 0.0).then_some(Dropout { rate, seed: 3, step, micro_batch: 1 });
                    let loss = Loss { z_weight };
                    let batch = MicroBatch { inputs: &ids, targets: &targets, positions, loss, scale: 0.125, dropout };
                    // The previous content is ignored.
                    gradient.fill(f32::NAN);
                    let costs = network.gradient(&weights, &batch, &mut gradient).unwrap();
                    all.push(costs.iter().flat_map(|row| [row.loss.to_bits(), row.z_loss.to_bits()]).collect());
                    all.push(bits(&gradient));
                    let numbers = Hyperparameters {
                        beta1: 0.9,
                        beta2: 0.95,
                        epsilon: 1e-8,
                        learning_rate: 0.01 / step as f64,
                        weight_decay: 0.1,
                        gradient_scale: 0.7,
                    };
                    let moments = Moments { first: &mut first, second: &mut second };
                    network.update(&mut weights, moments, &gradient, numbers, step).unwrap();
                    all.extend([bits(weights.values()), bits(&first), bits(&second)]);
                }
                all
            });
            for (part, (fused, candle)) in fused.iter().zip(&candle).enumerate() {
                let differ = fused.iter().zip(candle).filter(|(fused, candle)| fused != candle).count();
                assert_eq!(differ, 0, "{name}: part {} of update {}", part % 5, part / 5 + 1);
            }
            assert_ne!(fused[2], bits(weights.values()), "{name}: the update moves");
        }
    }
}

fn llama(layers: usize) -> Model {
    let text = format!(
        "{{architecture: llama, vocab_size: 9, hidden_size: 4, intermediate_size: 4, num_hidden_layers: {layers}, \
         num_attention_heads: 1, num_key_value_heads: 1, max_position_embeddings: 4, rope_theta: 100.0, \
         rms_norm_eps: 1.0e-5, initializer_range: 0.3}}"
    );
    serde_yaml::from_str(&text).unwrap()
}

/// candle traverses its graph by recursion: on a thread with the default stack size, the stack is large enough for the
/// maximum number of layers.
#[test]
fn deep_models_are_computed_or_refused() {
    let gradient = |layers: usize| {
        let model = llama(layers);
        let weights = Weights::initial(&model, Layout::of(&model), Seed(1));
        let mut gradient = vec![0.0; weights.values().len()];
        let loss = Loss { z_weight: 0.0 };
        let (inputs, targets): (&[u32], &[_]) = (&[1, 2, 3], &[Some(2), Some(3), Some(4)]);
        let batch = MicroBatch { inputs, targets, positions: 3, loss, scale: 1.0, dropout: None };
        let [fused, candle] = Engine::ALL.map(|engine| {
            let done = engine.network(&model).unwrap().gradient(&weights, &batch, &mut gradient);
            done.map(|_| bits(&gradient))
        });
        (fused.unwrap(), candle)
    };
    let computed = move || {
        let (fused, candle) = gradient(400);
        assert_eq!(fused, candle.unwrap());
        let (_, refused) = gradient(401);
        assert!(refused.unwrap_err().to_string().contains("400 layers"));
    };
    std::thread::Builder::new().stack_size(8 << 20).spawn(computed).unwrap().join().unwrap();
}

/// The one property that candle's gradients do not keep is refused if it would be visible.
#[test]
fn the_sign_of_a_zero_is_not_guessed() {
    let model = llama(1);
    let weights = Weights::initial(&model, Layout::of(&model), Seed(1));
    let update = |engine: Engine, first: f32, gradient: f32| {
        let mut all = vec![0.1; weights.values().len()];
        let mut moment = all.clone();
        (all[5], moment[5]) = (gradient, first);
        let mut second = vec![0.0; all.len()];
        let numbers = Hyperparameters {
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            learning_rate: 0.01,
            weight_decay: 0.0,
            gradient_scale: 1.0,
        };
        let moments = Moments { first: &mut moment, second: &mut second };
        engine.network(&model).unwrap().update(&mut weights.clone(), moments, &all, numbers, 1)?;
        Ok::<_, ModelError>(moment[5].to_bits())
    };
    // With any other moment the sign has no effect, and with −0 it does.
    for first in [0.0, 1e-3, -1e-3, f32::from_bits(1)] {
        let [minus, plus] = [-0.0, 0.0].map(|gradient| update(Engine::Fused, first, gradient).unwrap());
        assert_eq!(minus, plus, "{first}");
        assert_eq!(update(Engine::Candle, first, 0.0).unwrap(), plus, "{first}");
    }
    assert_ne!(update(Engine::Fused, -0.0, -0.0).unwrap(), update(Engine::Fused, -0.0, 0.0).unwrap());
    let refused = update(Engine::Candle, -0.0, 0.0).unwrap_err();
    assert!(matches!(&refused, ModelError::ZeroSign { name } if name == "lm_head.weight"), "{refused}");
}

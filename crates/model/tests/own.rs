//! A user's own module: its results are those of its equations, and input that it does not support is refused.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use retrace_model::candle::{Own, embed, linear};
use retrace_model::{Dropout, Engine, MicroBatch, ModelError, Network, Weights};
use retrace_numerics::cross_entropy::Loss;
use retrace_spec::{Model, Seed};

const MODEL: &str = "{architecture: own, vocab_size: 5, hidden_size: 4, intermediate_size: 1, num_hidden_layers: 1, \
                     num_attention_heads: 1, num_key_value_heads: 1, max_position_embeddings: 4, rope_theta: 1.0, \
                     head_dim: 2, initializer_range: 0.5}";

fn model() -> Model {
    serde_yaml::from_str(&MODEL.replace(" head_dim: 2,", "")).unwrap()
}

/// Predicts the next token from the last one alone: rows of a table times a head.
struct Bigram {
    table: Tensor,
    head: Tensor,
}

impl Bigram {
    fn new(vars: &VarBuilder<'_>, vocabulary: usize) -> Result<Self> {
        Ok(Self { table: vars.get((5, 3), "table.weight")?, head: vars.get((vocabulary, 3), "head.weight")? })
    }
}

impl Module for Bigram {
    fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let ids: Arc<[u32]> = ids.flatten_all()?.to_vec1()?.into();
        linear(&embed(&self.table, &ids)?, &self.head, None)
    }
}

fn bigram(vocabulary: usize) -> Own<Bigram> {
    Own::new(&model(), |vars| Bigram::new(&vars, vocabulary)).unwrap()
}

/// The losses in binary64: the head is before the table, because names are sorted.
fn losses(weights: &[f64], inputs: &[u32], targets: &[Option<u32>]) -> Vec<f64> {
    let (head, table) = weights.split_at(15);
    let loss = |(id, target): (&u32, &Option<u32>)| {
        let Some(target) = target else { return 0.0 };
        let x = &table[*id as usize * 3..][..3];
        let logits: Vec<f64> = head.chunks(3).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect();
        logits.iter().map(|logit| logit.exp()).sum::<f64>().ln() - logits[*target as usize]
    };
    inputs.iter().zip(targets).map(loss).collect()
}

const INPUTS: [u32; 6] = [1, 3, 0, 1, 2, 3];
const TARGETS: [Option<u32>; 6] = [Some(3), None, Some(1), Some(2), Some(4), Some(0)];

fn batch(dropout: Option<Dropout>) -> MicroBatch<'static> {
    let loss = Loss { z_weight: 0.0 };
    MicroBatch { inputs: &INPUTS, targets: &TARGETS, positions: 3, loss, scale: 0.25, dropout }
}

#[test]
fn losses_and_gradients_are_the_equations() {
    let own = bigram(5);
    let names: Vec<&str> = own.layout().iter().map(|(name, ..)| name).collect();
    assert_eq!((names, own.layout().parameters()), (vec!["head.weight", "table.weight"], 30));
    let weights = Weights::initial(&model(), own.layout().clone(), Seed(1));
    let wide: Vec<f64> = weights.values().iter().copied().map(f64::from).collect();
    let expected = losses(&wide, &INPUTS, &TARGETS);
    let found = own.losses(&weights, &INPUTS, &TARGETS, 3).unwrap();
    assert!(found.iter().zip(&expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5), "{found:?} {expected:?}");
    let mut gradient = vec![f32::NAN; 30];
    let costs = own.gradient(&weights, &batch(None), &mut gradient).unwrap();
    assert_eq!(costs.iter().map(|row| row.loss).collect::<Vec<_>>(), found);
    for (at, found) in gradient.iter().enumerate() {
        let moved = |by: f64| {
            let mut wide = wide.clone();
            wide[at] += by;
            0.25 * losses(&wide, &INPUTS, &TARGETS).iter().sum::<f64>()
        };
        let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!((f64::from(*found) - slope).abs() < 1e-5, "{at}: {found} against {slope}");
    }
    assert!(gradient[15 + 4 * 3..].iter().all(|g| *g == 0.0), "token 4 is not read");
}

#[test]
fn what_does_not_fit_is_refused() {
    model().check().unwrap();
    let unlike: Model = serde_yaml::from_str(MODEL).unwrap();
    assert!(unlike.check().is_err(), "head_dim is a field of llama");
    for engine in Engine::ALL {
        assert!(matches!(engine.network(&model()), Err(ModelError::Own)));
    }
    let own = bigram(5);
    let weights = Weights::initial(&model(), own.layout().clone(), Seed(1));
    let refused = |inputs: &[u32], positions| own.logits(&weights, inputs, positions).unwrap_err().to_string();
    assert!(refused(&[5], 1).contains("outside the vocabulary"));
    assert!(refused(&[1; 5], 5).contains("longer than 4"));
    let dropout = Some(Dropout { rate: 0.1, seed: 1, step: 1, micro_batch: 0 });
    let error = own.gradient(&weights, &batch(dropout), &mut [0.0; 30]).unwrap_err().to_string();
    assert!(error.contains("dropout"), "{error}");
    let narrow = bigram(4);
    let weights = Weights::initial(&model(), narrow.layout().clone(), Seed(1));
    let error = narrow.logits(&weights, &[1, 2], 2).unwrap_err().to_string();
    assert!(error.contains("[2, 4]") && error.contains("(2, 5)"), "{error}");
}

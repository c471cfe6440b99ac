//! A Llama written with candle by hand, from the public operations, compared with the fused engine: the same
//! gradients.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor, Var};
use retrace_files::Root;
use retrace_model::candle::{attend, cross_entropy, embed, gate, linear, rms_norm, turn};
use retrace_model::{Engine, MicroBatch, hub};
use retrace_numerics::attention::Attention;
use retrace_numerics::cross_entropy::Loss;
use retrace_numerics::heads::{Heads, Order};
use retrace_numerics::rope::Tables;

#[test]
fn a_llama_by_hand_has_the_same_gradients() {
    let (model, weights) =
        hub::read(&Root::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hub/llama")).unwrap()).unwrap();
    let (positions, epsilon, loss) = (7, model.norm_epsilon() as f32, Loss { z_weight: 1e-3 });
    let ids: Vec<u32> = (0..21).map(|i| i * 11 % 40).collect();
    let targets: Vec<Option<u32>> = (0..21).map(|i| (i % 5 != 0).then_some(i * 7 % 40)).collect();
    let mut ours = vec![0.0; weights.values().len()];
    let batch = MicroBatch { inputs: &ids, targets: &targets, positions, loss, scale: 0.125, dropout: None };
    Engine::Fused.network(&model).unwrap().gradient(&weights, &batch, &mut ours).unwrap();

    let var = |shape: &[usize], range: std::ops::Range<usize>| {
        Var::from_vec(weights.values()[range].to_vec(), shape, &Device::Cpu).unwrap()
    };
    let vars: BTreeMap<&str, Var> =
        weights.layout().iter().map(|(name, shape, range)| (name, var(shape, range))).collect();
    let get = |name: &str| vars[name].as_tensor().clone();
    let heads = Heads { positions, heads: 4, key_heads: 2, size: 6, order: Order::Grouped };
    let tables = Arc::new(Tables::new(&Tables::frequencies(model.rope_theta, 6), 1.0, positions));
    let mut x = embed(&get("model.embed_tokens.weight"), &Arc::from(&ids[..])).unwrap();
    for layer in 0..model.num_hidden_layers {
        let get = |part: &str| get(&format!("model.layers.{layer}.{part}.weight"));
        let side_by_side = |parts: &[&str]| {
            let parts: Vec<Tensor> = parts.iter().map(|part| get(part)).collect();
            Tensor::cat(&parts, 0).unwrap()
        };
        let h = rms_norm(&x, &get("input_layernorm"), epsilon).unwrap();
        let qkv =
            linear(&h, &side_by_side(&["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]), None).unwrap();
        let mixed = attend(&turn(&qkv, &tables, heads).unwrap(), Attention { heads, window: None }).unwrap();
        x = (&x + linear(&mixed, &get("self_attn.o_proj"), None).unwrap()).unwrap();
        let h = rms_norm(&x, &get("post_attention_layernorm"), epsilon).unwrap();
        let gated = gate(&linear(&h, &side_by_side(&["mlp.gate_proj", "mlp.up_proj"]), None).unwrap()).unwrap();
        x = (&x + linear(&gated, &get("mlp.down_proj"), None).unwrap()).unwrap();
    }
    let logits =
        linear(&rms_norm(&x, &get("model.norm.weight"), epsilon).unwrap(), &get("lm_head.weight"), None).unwrap();
    let total = cross_entropy(&logits, &Arc::from(&targets[..]), loss, 0.125).unwrap();
    let gradients = total.backward().unwrap();
    for (name, _, range) in weights.layout().iter() {
        let theirs: Vec<f32> = gradients.get(&vars[name]).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(ours[range], theirs, "{name}");
    }
}

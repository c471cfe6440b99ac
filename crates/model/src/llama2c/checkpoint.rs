//! The PyTorch checkpoint that llama2.c's `train.py` saves: `model_args`, the `model`'s weights,
//! `iter_num`, and the `optimizer`'s state.
//!
//! PyTorch numbers the weights in the optimizer's state, group by group. llama2.c has two groups: matrices, which have
//! weight decay, and then vectors; in each, the weights are in the order of the model, which is also the order of its
//! own state. The head is the embedding and has no number of its own.

use std::collections::BTreeMap;
use std::path::Path;

use retrace_files::safetensors::{Dtype, Tensor};
use retrace_files::torch::Plain;
use retrace_spec::Model;

use super::{Moments, Released, llama, place};
use crate::ModelError;

/// The prefix that `torch.compile` adds to every name.
const COMPILED: &str = "_orig_mod.";
/// Updates are counted in binary32, which represents every integer up to this exactly.
const MOST_UPDATES: f64 = 16_777_216.0;

/// Reads a checkpoint whose values are in `top`, and whose `tensors` are named by their positions there.
///
/// # Errors
/// If it is not a checkpoint of llama2.c, or its parts do not fit together.
pub(super) fn read(path: &Path, top: Plain<'_>, mut tensors: BTreeMap<String, Tensor>) -> Result<Released, ModelError> {
    let refuse = |what: String| ModelError::Config { path: path.to_owned(), what };
    let state = top.get("model").ok_or_else(|| refuse("has no `model`".to_owned()))?;
    // With the names of the export, in the model's order.
    let mut weights = BTreeMap::new();
    let mut order = Vec::new();
    for name in state.entries().filter_map(|(name, _)| name.text()) {
        let plain = name.strip_prefix(COMPILED).unwrap_or(name);
        let Some(tensor) = tensors.remove(&format!("model.{name}")) else { continue };
        // Older versions save these tables.
        if plain.starts_with("freqs_") {
            continue;
        }
        let new = exported(plain).ok_or_else(|| ModelError::Unknown { name: name.to_owned() })?;
        order.push((new.clone(), tensor.shape.clone()));
        if weights.insert(new, tensor).is_some() {
            return Err(refuse(format!("has {plain} twice")));
        }
    }
    if weights.get("wcls") == weights.get("token_embedding_table") {
        weights.remove("wcls");
        order.retain(|(name, _)| name != "wcls");
    }
    let args = top.get("model_args").ok_or_else(|| refuse("has no `model_args`".to_owned()))?;
    let model = describe(args, &weights).map_err(|what| refuse(what.to_owned()))?;
    model.check().map_err(|(field, what)| refuse(format!("{field}: {what}")))?;
    let weights = place(&model, weights)?;
    let optimizer =
        top.get("optimizer").filter(|optimizer| optimizer.get("state").is_some_and(|s| s.entries().next().is_some()));
    let optimizer = optimizer.map(|optimizer| moments(&model, optimizer, order, &mut tensors)).transpose();
    let optimizer = optimizer.map_err(|error| match error {
        Fault::Model(error) => error,
        Fault::Optimizer(what) => refuse(format!("its optimizer's state {what}")),
    })?;
    Ok(Released { model, weights, iterations: top.get("iter_num").and_then(Plain::count), optimizer })
}

/// The export's name of a weight.
fn exported(name: &str) -> Option<String> {
    let part = |part: &str| {
        Some(match part {
            "attention.wq.weight" => "wq",
            "attention.wk.weight" => "wk",
            "attention.wv.weight" => "wv",
            "attention.wo.weight" => "wo",
            "feed_forward.w1.weight" => "w1",
            "feed_forward.w2.weight" => "w2",
            "feed_forward.w3.weight" => "w3",
            "attention_norm.weight" => "rms_att_weight",
            "ffn_norm.weight" => "rms_ffn_weight",
            _ => return None,
        })
    };
    match name {
        "tok_embeddings.weight" => Some("token_embedding_table".to_owned()),
        "norm.weight" => Some("rms_final_weight".to_owned()),
        "output.weight" => Some("wcls".to_owned()),
        _ => {
            let (layer, name) = name.strip_prefix("layers.")?.split_once('.')?;
            let layer: u32 = layer.parse().ok()?;
            Some(format!("layers.{layer}.{}", part(name)?))
        }
    }
}

/// The model, derived from `model_args` and the width of `w1`.
fn describe(args: Plain<'_>, weights: &BTreeMap<String, Tensor>) -> Result<Model, &'static str> {
    let count = |name: &str| args.get(name).and_then(Plain::count).and_then(|count| usize::try_from(count).ok());
    let heads = count("n_heads").ok_or("has no count `n_heads` in `model_args`")?;
    Ok(Model {
        vocab_size: count("vocab_size").ok_or("has no count `vocab_size` in `model_args`")?,
        hidden_size: count("dim").ok_or("has no count `dim` in `model_args`")?,
        intermediate_size: weights.get("layers.0.w1").and_then(|w1| w1.shape.first().copied()).unwrap_or_default(),
        num_hidden_layers: count("n_layers").ok_or("has no count `n_layers` in `model_args`")?,
        num_attention_heads: heads,
        // If it is `None` or left out, there are as many as query heads.
        num_key_value_heads: count("n_kv_heads").unwrap_or(heads),
        max_position_embeddings: count("max_seq_len").ok_or("has no count `max_seq_len` in `model_args`")?,
        rms_norm_eps: Some(args.get("norm_eps").and_then(Plain::number).unwrap_or(1e-5)),
        tie_word_embeddings: !weights.contains_key("wcls"),
        ..llama()
    })
}

enum Fault {
    Model(ModelError),
    Optimizer(String),
}

/// The moments of the weights whose names and shapes are in `order`.
fn moments(
    model: &Model,
    optimizer: Plain<'_>,
    order: Vec<(String, Vec<usize>)>,
    tensors: &mut BTreeMap<String, Tensor>,
) -> Result<Moments, Fault> {
    let groups: [Vec<_>; 2] = [true, false].map(|matrix| {
        order.iter().filter(|(_, shape)| (shape.len() > 1) == matrix).map(|(name, _)| name.as_str()).collect()
    });
    let stated: Vec<Vec<_>> = optimizer
        .get("param_groups")
        .into_iter()
        .flat_map(Plain::items)
        .map(|group| group.get("params").into_iter().flat_map(Plain::items).filter_map(Plain::count).collect())
        .collect();
    let (found, needed) = (stated.iter().map(Vec::len), groups.iter().map(Vec::len));
    if !found.clone().eq(needed.clone()) {
        let [found, needed] = [found.collect::<Vec<_>>(), needed.collect()];
        return Err(Fault::Optimizer(format!("has groups of {found:?} weights, but the model's are {needed:?}")));
    }
    let (mut first, mut second) = (BTreeMap::new(), BTreeMap::new());
    let mut updates = None;
    for (name, number) in groups.iter().flatten().zip(stated.iter().flatten()) {
        let state = optimizer
            .get("state")
            .and_then(|state| state.entries().find(|(key, _)| key.count() == Some(*number)).map(|(_, value)| value));
        let mut take = |part: &str| {
            let missing = || Fault::Optimizer(format!("has no {part} of {name} (entry {number})"));
            tensors.remove(&format!("optimizer.state.{number}.{part}")).ok_or_else(missing)
        };
        // Older versions of PyTorch count in integers, newer ones in a tensor with one element.
        let step = match state.and_then(|state| state.get("step")).and_then(Plain::number) {
            Some(step) => Some(step),
            None => one(&take("step")?),
        };
        let whole = step.filter(|step| (0.0..=MOST_UPDATES).contains(step) && step.fract() == 0.0);
        let step = whole.ok_or_else(|| Fault::Optimizer(format!("has no number of updates for {name}")))?;
        if *updates.get_or_insert(step) != step {
            return Err(Fault::Optimizer(format!("has {step} updates of {name}, and a different number of others")));
        }
        first.insert((*name).to_owned(), take("exp_avg")?);
        second.insert((*name).to_owned(), take("exp_avg_sq")?);
    }
    let place = |moments| place(model, moments).map_err(Fault::Model);
    Ok(Moments { updates: updates.unwrap_or_default() as u64, first: place(first)?, second: place(second)? })
}

/// The number in a tensor with one element.
fn one(tensor: &Tensor) -> Option<f64> {
    match tensor.dtype {
        Dtype::F32 => Some(f32::from_le_bytes(tensor.bytes.as_slice().try_into().ok()?).into()),
        Dtype::I64 => Some(i64::from_le_bytes(tensor.bytes.as_slice().try_into().ok()?) as f64),
        _ => None,
    }
}

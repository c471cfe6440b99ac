//! RoPE's frequencies, original and stretched, as Hugging Face's transformers computes them (in binary64 here, with
//! powers and logarithms from `libm`).

use std::f64::consts::TAU;

use retrace_numerics::rope::Tables;
use retrace_spec::Model;
use retrace_spec::model::RopeScaling;

/// The tables for sequences of `positions`, stretched by `scaling` if there is one.
pub(crate) fn tables(model: &Model, scaling: Option<&RopeScaling>, positions: usize) -> Tables {
    let (theta, turned) = (model.rope_theta, model.rotary_size());
    let plain = Tables::frequencies(theta, turned);
    let longest = model.max_position_embeddings as f64;
    let (frequencies, factor) = match scaling {
        None => (plain, 1.0),
        Some(RopeScaling::Linear { factor }) => (plain.into_iter().map(|f| f / factor).collect(), 1.0),
        Some(RopeScaling::Dynamic { factor }) => {
            let length = longest.max(positions as f64);
            let dimensions = turned as f64;
            let stretched = factor * length / longest - (factor - 1.0);
            let theta = theta * libm::pow(stretched, dimensions / (dimensions - 2.0));
            (Tables::frequencies(theta, turned), 1.0)
        }
        Some(RopeScaling::Llama3 {
            factor,
            low_freq_factor: low,
            high_freq_factor: high,
            original_max_position_embeddings,
        }) => {
            let original = *original_max_position_embeddings as f64;
            let stretch = |frequency: f64| {
                let turns = original * frequency / TAU;
                if turns > *high {
                    frequency
                } else if turns < *low {
                    frequency / factor
                } else {
                    let share = (turns - low) / (high - low);
                    (1.0 - share) * frequency / factor + share * frequency
                }
            };
            (plain.into_iter().map(stretch).collect(), 1.0)
        }
        Some(RopeScaling::Yarn {
            factor,
            original_max_position_embeddings,
            attention_factor,
            beta_fast,
            beta_slow,
        }) => {
            // The index of the pair that makes this many turns within the original length.
            let pair = |turns: f64| {
                let ratio = *original_max_position_embeddings as f64 / (turns * TAU);
                turned as f64 * libm::log(ratio) / (2.0 * libm::log(theta))
            };
            let first = pair(beta_fast.unwrap_or(32.0)).floor().max(0.0);
            let last = pair(beta_slow.unwrap_or(1.0)).ceil().min(turned as f64 - 1.0);
            let last = if first == last { last + 0.001 } else { last };
            let stretch = |(pair, frequency): (usize, f64)| {
                let ramp = ((pair as f64 - first) / (last - first)).clamp(0.0, 1.0);
                frequency / factor * ramp + frequency * (1.0 - ramp)
            };
            let usual = if *factor <= 1.0 { 1.0 } else { 0.1 * libm::log(*factor) + 1.0 };
            (plain.into_iter().enumerate().map(stretch).collect(), attention_factor.unwrap_or(usual))
        }
    };
    Tables::new(&frequencies, factor, positions)
}

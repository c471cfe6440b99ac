//! RoPE's frequencies, original and stretched, as Hugging Face's transformers computes them (in binary64 here, with
//! powers and logarithms from `libm`).

use std::f64::consts::TAU;
use std::sync::{Arc, Mutex, PoisonError};

use retrace_numerics::rope::Tables;
use retrace_spec::Model;
use retrace_spec::model::RopeScaling;

/// Tables that are kept for the next pass of the same model with the same scaling.
#[derive(Debug, Default)]
pub(crate) struct KeptTables(Mutex<Option<Arc<Tables>>>);

impl KeptTables {
    /// The tables for sequences of at least `positions`, stretched by `scaling` if there is one.
    pub(crate) fn of(&self, model: &Model, scaling: Option<&RopeScaling>, positions: usize) -> Arc<Tables> {
        let longest = model.max_position_embeddings;
        if matches!(scaling, Some(RopeScaling::Dynamic { .. })) && positions > longest {
            // Beyond the model's length, its frequencies depend on that of the sequence.
            return Arc::new(tables(model, scaling, positions));
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(known) if known.positions() >= positions => Arc::clone(known),
            _ => {
                // Sequences that grow by one position do not need new tables each time.
                let more = positions.next_power_of_two().min(longest.max(positions));
                Arc::clone(kept.insert(Arc::new(tables(model, scaling, more))))
            }
        }
    }
}

/// The tables for sequences of `positions`, stretched by `scaling` if there is one.
fn tables(model: &Model, scaling: Option<&RopeScaling>, positions: usize) -> Tables {
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

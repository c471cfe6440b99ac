//! The next token, from logits.

use retrace_numerics::elementary::exp;
use retrace_numerics::random::Stream;

/// How the next token is chosen: a function of the logits, the seed and the token's number, so that every machine
/// generates the same text.
#[derive(Debug)]
pub struct Sampler {
    temperature: f32,
    stream: Stream,
}

impl Sampler {
    /// A sampler at `temperature`, 0 for the most likely token.
    pub fn new(temperature: f32, seed: u64) -> Self {
        Self { temperature, stream: Stream::new(seed, "generate") }
    }

    /// Token number `index`: the first of the largest logits at temperature 0; otherwise the first token c for which
    /// the sum, in binary64, of e_0 to e_c is more than u times the sum of all, where e are the exponentials of (logit
    /// − largest) / temperature and u in [0, 1) is the stream's number `index` of 2^32, divided by 2^32.
    pub fn choose(&self, logits: &[f32], index: u64) -> u32 {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if self.temperature <= 0.0 {
            return logits.iter().position(|logit| *logit == largest).unwrap_or(0) as u32;
        }
        let mut weights: Vec<f32> = logits.iter().map(|logit| (logit - largest) / self.temperature).collect();
        exp(&mut weights);
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        let threshold = self.stream.below(0, index, 1 << 32) as f64 / (1u64 << 32) as f64 * total;
        let mut sum = 0.0;
        let chosen = weights.iter().position(|weight| {
            sum += f64::from(*weight);
            sum > threshold
        });
        chosen.unwrap_or(weights.len().saturating_sub(1)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_is_chosen_without_temperature() {
        assert_eq!(Sampler::new(0.0, 1).choose(&[0.5, 2.0, -1.0, 2.0], 0), 1);
    }

    /// Softmax of ln 1, ln 2, ln 5 over 2 · temperature 1/2: probabilities of 1/8, 2/8 and 5/8.
    #[test]
    fn tokens_come_as_often_as_the_softmax_says() {
        let logits = [1f32, 2.0, 5.0].map(|share| share.ln() / 2.0);
        let (sampler, n) = (Sampler::new(0.5, 3), 80_000);
        let mut counts = [0f64; 3];
        (0..n).for_each(|index| counts[sampler.choose(&logits, index) as usize] += 8.0 / n as f64);
        // Five standard deviations of a frequency of 5/8.
        assert!(counts.iter().zip([1.0, 2.0, 5.0]).all(|(count, share)| (count - share).abs() < 0.07), "{counts:?}");
        let again: Vec<u32> = (0..50).map(|index| Sampler::new(0.5, 3).choose(&logits, index)).collect();
        assert_eq!(again, (0..50).map(|index| sampler.choose(&logits, index)).collect::<Vec<_>>());
    }
}

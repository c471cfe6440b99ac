//! Random numbers that are a pure function of (seed, stream, step, index).
//!
//! Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3",
//! 2011). The key is the first 8 bytes, little-endian words, of BLAKE3 in the key-derivation mode
//! with context `retrace 2026 random stream` over the seed (8 bytes, little-endian) and the
//! stream's name. The counter's words, lowest first, are index low, index high, step low, step
//! high.

/// A source of random numbers for one purpose.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    key: [u32; 2],
}

impl Stream {
    /// The stream called `name` of the given seed.
    pub fn new(seed: u64, name: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("retrace 2026 random stream");
        hasher.update(&seed.to_le_bytes()).update(name.as_bytes());
        let hash = hasher.finalize();
        let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
        Self { key: [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])] }
    }

    /// Four random words.
    pub fn at(&self, step: u64, index: u64) -> [u32; 4] {
        philox([index as u32, (index >> 32) as u32, step as u32, (step >> 32) as u32], self.key)
    }

    /// A number below `n`, which must not be 0: the high half of a 64-bit word times n. No value has a probability
    /// higher than another's by more than n/2^64.
    pub fn below(&self, step: u64, index: u64, n: u64) -> u64 {
        let [low, high, ..] = self.at(step, index);
        let word = u64::from(low) | u64::from(high) << 32;
        ((u128::from(word) * u128::from(n)) >> 64) as u64
    }

    /// Fills `out` with normal numbers of mean 0 and standard deviation `deviation`.
    ///
    /// The Box–Muller transform in binary64: words (a, b) give r = sqrt(−2 ln((a+1)/2^32)) and t = 2πb/2^32, then
    /// r·cos t and r·sin t; element i is number i mod 4 of the words at index ⌊i/4⌋. The product with the deviation is
    /// rounded to binary32.
    pub fn normal(&self, step: u64, deviation: f64, out: &mut [f32]) {
        const SCALE: f64 = 1.0 / 4_294_967_296.0;
        for (block, values) in out.chunks_mut(4).enumerate() {
            let [a, b, c, d] = self.at(step, block as u64);
            let pair = |a: u32, b: u32| {
                let r = (-2.0 * libm::log((f64::from(a) + 1.0) * SCALE)).sqrt();
                let t = core::f64::consts::TAU * (f64::from(b) * SCALE);
                (r * libm::cos(t), r * libm::sin(t))
            };
            let ((x, y), (z, w)) = (pair(a, b), pair(c, d));
            for (value, normal) in values.iter_mut().zip([x, y, z, w]) {
                *value = (normal * deviation) as f32;
            }
        }
    }
}

fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(0x9E37_79B9), key[1].wrapping_add(0xBB67_AE85)];
        }
        let first = u64::from(counter[0]) * 0xD251_1F53;
        let second = u64::from(counter[2]) * 0xCD9E_8D57;
        counter = [
            (second >> 32) as u32 ^ counter[1] ^ key[0],
            second as u32,
            (first >> 32) as u32 ^ counter[3] ^ key[1],
            first as u32,
        ];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of Random123, the authors' implementation.
    #[test]
    fn philox_gives_the_known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(philox([u32::MAX; 4], [u32::MAX; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn normal_numbers_are_normal() {
        let mut values = vec![0.0; 100_000];
        Stream::new(1, "test").normal(0, 2.0, &mut values);
        let n = values.len() as f64;
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
        let beyond_two = values.iter().filter(|v| v.abs() > 4.0).count() as f64 / n;
        // Within four standard errors of the values of a normal distribution.
        assert!(mean.abs() < 4.0 * 2.0 / n.sqrt(), "{mean}");
        assert!((variance - 4.0).abs() < 4.0 * 4.0 * (2.0 / n).sqrt(), "{variance}");
        assert!((beyond_two - 0.0455).abs() < 4.0 * (0.0455f64 / n).sqrt(), "{beyond_two}");
    }

    #[test]
    fn seed_stream_step_and_index_all_count() {
        let base = Stream::new(1, "a").at(2, 3);
        for other in [
            Stream::new(2, "a").at(2, 3),
            Stream::new(1, "b").at(2, 3),
            Stream::new(1, "a").at(1, 3),
            Stream::new(1, "a").at(2, 4),
        ] {
            assert_ne!(base, other);
        }
        assert!((0..1000).all(|i| Stream::new(1, "a").below(0, i, 7) < 7));
    }
}

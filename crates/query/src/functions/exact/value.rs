//! A sum as an integer, and its rounding.

/// An integer times a power of two: the value of a sum. Words of 64 bits, lowest first.
#[derive(Debug, Clone)]
pub struct Value {
    /// Whether it is negative.
    pub negative: bool,
    /// Its magnitude.
    pub words: Vec<u64>,
    /// The exponent of the lowest bit.
    pub exponent: i32,
}

impl Value {
    /// The nearest binary64 number, ties to even.
    pub fn round(&self) -> f64 {
        let words = &self.words;
        let Some(top) = words.iter().rposition(|word| *word != 0) else { return 0.0 };
        let length = 64 * (top as i32 + 1) - words[top].leading_zeros() as i32;
        let highest = self.exponent + length - 1;
        let sign = u64::from(self.negative) << 63;
        if highest > 1023 {
            return f64::from_bits(sign | f64::INFINITY.to_bits());
        }
        // The exponent of the result's last bit, and the number of bits below it.
        let place = (highest - 52).max(-1074);
        let dropped = place - self.exponent;
        let word = |at: i32| usize::try_from(at).ok().and_then(|at| words.get(at)).copied().unwrap_or_default();
        let bits_from = |at: i32| {
            let (index, bit) = (at.div_euclid(64), at.rem_euclid(64));
            let wide = u128::from(word(index)) | u128::from(word(index + 1)) << 64;
            (wide >> bit) as u64
        };
        // The bits above `length` are zero, so these are at most 53 bits.
        let mut whole = bits_from(dropped);
        if dropped > 0 {
            let half = bits_from(dropped - 1) & 1 == 1;
            let (index, bit) = ((dropped - 1) / 64, (dropped - 1) % 64);
            let below = word(index) & ((1 << bit) - 1) != 0 || words.iter().take(index as usize).any(|word| *word != 0);
            if half && (below || whole & 1 == 1) {
                whole += 1;
            }
        }
        // The leading bit of a 53-bit integer adds one to the exponent field, and a carry adds another.
        let biased = (place + 1074) as u64;
        f64::from_bits(sign | ((biased << 52) + whole))
    }

    /// This divided by `count`, with an additional last bit that is set if there is a remainder: it is rounded as the
    /// exact quotient would be.
    pub(super) fn over(&self, count: u64) -> Self {
        let mut words = vec![0; 2];
        words.extend(&self.words);
        let mut rest = 0u128;
        for word in words.iter_mut().rev() {
            let part = rest << 64 | u128::from(*word);
            let divisor = u128::from(count);
            *word = (part / divisor) as u64;
            rest = part % divisor;
        }
        words[0] |= u64::from(rest != 0);
        Self { negative: self.negative, words, exponent: self.exponent - 128 }
    }
}

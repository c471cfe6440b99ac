//! A sum in digits over the whole range, and the infinities and NaNs among its terms.

use super::LOWEST;
use super::value::Value;

/// Digits of 32 bits: 4 196 bits of the largest product, 64 for the number of terms, and space for the zeros above a
/// window.
pub(super) const DIGITS: usize = 140;
/// After this many additions, the digits' carries are propagated.
const PATIENCE: u32 = 1 << 29;

#[derive(Debug, Clone)]
pub(super) struct Wide {
    /// Each has 2^32 times the weight of the one before it, and the first 2^−2148.
    pub(super) digits: [i64; DIGITS],
    /// Additions since carries were propagated.
    pub(super) waiting: u32,
    /// The number of NaNs, infinities and negative infinities.
    pub(super) specials: [i64; 3],
}

impl Default for Wide {
    fn default() -> Self {
        Self { digits: [0; DIGITS], waiting: 0, specials: [0; 3] }
    }
}

impl Wide {
    /// Adds or removes a number that is not finite.
    pub(super) fn special(&mut self, x: f64, out: bool) {
        let kind = match (x.is_nan(), x > 0.0) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        };
        self.specials[kind] += if out { -1 } else { 1 };
    }

    /// Adds ±`whole`, whose lowest bit has the position `position`.
    #[inline]
    pub(super) fn term(&mut self, whole: u128, position: i32, negative: bool) {
        let (digit, bit) = (position as usize / 32, position % 32);
        self.half(whole as u64, digit, bit, negative);
        if whole >> 64 != 0 {
            self.half((whole >> 64) as u64, digit + 2, bit, negative);
        }
        self.waiting += 1;
        if self.waiting >= PATIENCE {
            self.carry();
        }
    }

    #[inline(always)]
    fn half(&mut self, half: u64, digit: usize, bit: i32, negative: bool) {
        let shifted = u128::from(half) << bit;
        let sign = if negative { -1 } else { 1 };
        // If there are fewer than three digits, the bits beyond them are zero.
        for (part, digit) in self.digits.iter_mut().skip(digit).take(3).enumerate() {
            *digit += sign * i64::from((shifted >> (32 * part)) as u32);
        }
    }

    /// Propagates the carries: every digit except the last is then in 0..2^32.
    pub(super) fn carry(&mut self) {
        let mut carry = 0;
        for digit in &mut self.digits[..DIGITS - 1] {
            let total = *digit + carry;
            carry = total >> 32;
            *digit = total & 0xffff_ffff;
        }
        self.digits[DIGITS - 1] += carry;
        self.waiting = 0;
    }

    /// Adds another sum.
    pub(super) fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        other.carry();
        self.carry();
        for (digit, more) in self.digits.iter_mut().zip(other.digits) {
            *digit += more;
        }
        self.waiting = 1;
        for (count, more) in self.specials.iter_mut().zip(other.specials) {
            *count = count.saturating_add(more);
        }
    }

    /// The exact sum, or the infinity or NaN.
    pub(super) fn exactly(&self) -> Result<Value, f64> {
        match self.specials.map(|count| count > 0) {
            [false, false, false] => Ok(self.value()),
            [false, true, false] => Err(f64::INFINITY),
            [false, false, true] => Err(f64::NEG_INFINITY),
            _ => Err(f64::NAN),
        }
    }

    fn value(&self) -> Value {
        let mut wide = self.clone();
        wide.carry();
        let negative = wide.digits[DIGITS - 1] < 0;
        if negative {
            wide.digits.iter_mut().for_each(|digit| *digit = -*digit);
            wide.carry();
        }
        let words = wide.digits.chunks(2).map(|pair| {
            let high = pair.get(1).copied().unwrap_or_default();
            pair[0] as u64 | (high as u64) << 32
        });
        Value { negative, words: words.collect(), exponent: LOWEST }
    }
}

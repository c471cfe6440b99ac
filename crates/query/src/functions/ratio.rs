//! Quotients of exact sums and their roots, rounded once.

use num_bigint::{BigInt, BigUint, Sign};

use super::exact::Value;

/// An integer times a power of two.
#[derive(Debug, Clone)]
pub(super) struct Number {
    whole: BigInt,
    exponent: i32,
}

impl From<Value> for Number {
    fn from(value: Value) -> Self {
        let digits = value.words.iter().flat_map(|word| [*word as u32, (word >> 32) as u32]);
        let sign = if value.negative { Sign::Minus } else { Sign::Plus };
        Self { whole: BigInt::new(sign, digits.collect()), exponent: value.exponent }
    }
}

impl From<u64> for Number {
    fn from(whole: u64) -> Self {
        Self { whole: whole.into(), exponent: 0 }
    }
}

impl From<i128> for Number {
    fn from(whole: i128) -> Self {
        Self { whole: whole.into(), exponent: 0 }
    }
}

impl Number {
    pub(super) fn is_zero(&self) -> bool {
        self.whole.sign() == Sign::NoSign
    }

    pub(super) fn times(&self, other: &Self) -> Self {
        Self { whole: &self.whole * &other.whole, exponent: self.exponent + other.exponent }
    }

    pub(super) fn minus(&self, other: &Self) -> Self {
        let exponent = self.exponent.min(other.exponent);
        let at = |number: &Self| &number.whole << (number.exponent - exponent).unsigned_abs();
        Self { whole: at(self) - at(other), exponent }
    }

    /// The number, rounded once.
    pub(super) fn round(&self) -> f64 {
        rounded(self.whole.sign(), self.whole.magnitude(), self.exponent)
    }

    /// This divided by `other`, which must not be zero, rounded once.
    pub(super) fn over(&self, other: &Self) -> f64 {
        let (quotient, exponent) = self.quotient(other, 66, false);
        rounded(self.whole.sign() * other.whole.sign(), &quotient, exponent)
    }

    /// The square root of this divided by `other`, of magnitudes, rounded once. `other` must not be zero.
    pub(super) fn root_over(&self, other: &Self) -> f64 {
        let (quotient, exponent) = self.quotient(other, 134, true);
        let mut root = quotient.sqrt();
        if &root * &root != quotient {
            root.set_bit(0, true);
        }
        rounded(Sign::Plus, &root, exponent / 2)
    }

    /// The quotient of magnitudes to at least `bits` bits, and its exponent, which is even if requested. The last bit
    /// is set if there is a remainder, so it is rounded as the exact quotient would be.
    fn quotient(&self, other: &Self, bits: u64, even: bool) -> (BigUint, i32) {
        let (above, below) = (self.whole.magnitude(), other.whole.magnitude());
        let mut shift = (bits + below.bits()).saturating_sub(above.bits());
        let exponent = |shift: u64| self.exponent - other.exponent - shift as i32;
        if even && exponent(shift) % 2 != 0 {
            shift += 1;
        }
        let above = above << shift;
        let mut quotient = &above / below;
        if &quotient * below != above {
            quotient.set_bit(0, true);
        }
        (quotient, exponent(shift))
    }
}

fn rounded(sign: Sign, magnitude: &BigUint, exponent: i32) -> f64 {
    Value { negative: sign == Sign::Minus, words: magnitude.to_u64_digits(), exponent }.round()
}

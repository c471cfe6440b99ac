//! Sums of floats without rounding.
//!
//! Every finite binary64 number, and every product of two, is an integer multiple of 2^−2148 and below 2^2048. A sum
//! of such numbers is stored as that integer, so it depends neither on the order of its terms nor on how they were
//! divided among threads; it is rounded once, when it is read. A term can be removed again exactly.
//!
//! Bit p of the integer has the weight 2^(p − 2148). It is stored in one of two forms:
//!
//! - a **window** of `WORDS`·64 bits, two's complement, whose lowest bit has a position that the first term
//!   determines. Terms whose magnitudes differ by at most about twelve decimal orders fit, which is typical for a
//!   column of measurements. A window moves if that loses no bit.
//! - **digits** of 32 bits over the whole range, each in 64 bits so that carries can be deferred (the superaccumulator
//!   of Kulisch; the deferred carries are those of R. Neal, "Fast exact summation using small and large
//!   superaccumulators", 2015).
//!
//! Infinities and NaN are counted beside the digits: any NaN, or infinities of both signs, make the sum NaN;
//! infinities of one sign make it that infinity. A sum without terms, of zeros of either sign, or of terms that
//! cancel, is +0. A finite sum that is too large for binary64 is rounded to infinity, but later terms may make it
//! finite again: no information is lost.

mod blocks;
mod bytes;
mod value;
mod wide;
mod window;

use blocks::{BLOCK, halves, products};
pub(super) use bytes::take;
pub use value::Value;
use wide::Wide;
use window::{add_to, moved, negate};

/// The exponent of the lowest bit: the product of the two smallest subnormal numbers.
const LOWEST: i32 = -2148;

/// A sum of binary64 numbers and of products of two of them, without rounding.
///
/// `WORDS` is the size of its window, in words of 64 bits: 2, for numbers, or 4, for products.
#[derive(Debug, Clone)]
pub struct Exact<const WORDS: usize> {
    form: Form<WORDS>,
}

#[derive(Debug, Clone)]
enum Form<const WORDS: usize> {
    /// Bits from `base` on.
    Window { base: u16, words: [u64; WORDS] },
    /// Every bit.
    Wide(Box<Wide>),
}

impl<const WORDS: usize> Default for Exact<WORDS> {
    fn default() -> Self {
        Self { form: Form::Window { base: 0, words: [0; WORDS] } }
    }
}

/// The relative error of [`Exact::near`]: at most ten roundings.
pub const NEAR: f64 = 10.0 * f64::EPSILON;

/// The parts of a finite number that is not zero: magnitude, position of its lowest bit, sign.
#[inline(always)]
fn parts(bits: u64) -> (u64, i32, bool) {
    let exponent = (bits >> 52 & 0x7ff) as i32;
    let fraction = bits & ((1 << 52) - 1);
    let whole = fraction | u64::from(exponent != 0) << 52;
    (whole, exponent.max(1) - 1075 - LOWEST, bits >> 63 == 1)
}

impl<const WORDS: usize> Exact<WORDS> {
    /// Bits of a window.
    const BITS: i32 = 64 * WORDS as i32;
    /// The number of bits below the first term, with 53 bits per factor.
    const BELOW: i32 = (Self::BITS - 53 * WORDS as i32 / 2) * 5 / 8;

    /// Adds a number.
    #[inline]
    pub fn add(&mut self, x: f64) {
        self.put(x, false);
    }

    /// Removes a number that was added.
    #[inline]
    pub fn subtract(&mut self, x: f64) {
        self.put(x, true);
    }

    #[inline(always)]
    fn put(&mut self, x: f64, out: bool) {
        let bits = x.to_bits();
        if bits >> 52 & 0x7ff == 0x7ff {
            return self.wide().special(x, out);
        }
        let (whole, position, negative) = parts(bits);
        self.term(u128::from(whole), position, negative != out);
    }

    /// Adds the product of two numbers without rounding it.
    #[inline]
    pub fn add_product(&mut self, x: f64, y: f64) {
        self.put_product(x, y, false);
    }

    /// Removes a product that was added.
    #[inline]
    pub fn subtract_product(&mut self, x: f64, y: f64) {
        self.put_product(x, y, true);
    }

    #[inline(always)]
    fn put_product(&mut self, x: f64, y: f64, out: bool) {
        if !x.is_finite() || !y.is_finite() {
            return self.wide().special(x * y, out);
        }
        let ((a, at_a, negative_a), (b, at_b, negative_b)) = (parts(x.to_bits()), parts(y.to_bits()));
        let negative = negative_a ^ negative_b ^ out;
        self.term(u128::from(a) * u128::from(b), at_a + at_b + LOWEST, negative);
    }

    /// Adds `values`, faster than one by one if they have similar magnitudes.
    pub fn add_all(&mut self, values: &[f64]) {
        for block in values.chunks(BLOCK) {
            match halves(block) {
                Some(sums) => sums.into_iter().for_each(|sum| self.add(sum)),
                None => block.iter().for_each(|value| self.add(*value)),
            }
        }
    }

    /// Adds the products of `x` and `y`, element by element, in the same way.
    pub fn add_products(&mut self, x: &[f64], y: &[f64]) {
        for (x, y) in x.chunks(BLOCK).zip(y.chunks(BLOCK)) {
            match products(x, y) {
                Some(sums) => sums.into_iter().for_each(|sum| self.add(sum)),
                None => x.iter().zip(y).for_each(|(x, y)| self.add_product(*x, *y)),
            }
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Self) {
        match &other.form {
            Form::Window { base, words } => {
                let negative = words[WORDS - 1] >> 63 == 1;
                let mut magnitude = *words;
                if negative {
                    negate(&mut magnitude);
                }
                for (pair, words) in magnitude.chunks(2).enumerate() {
                    let low = words.first().copied().unwrap_or_default();
                    let high = words.get(1).copied().unwrap_or_default();
                    let term = u128::from(low) | u128::from(high) << 64;
                    self.term(term, i32::from(*base) + 128 * pair as i32, negative);
                }
            }
            Form::Wide(other) => {
                self.wide().merge(other);
            }
        }
    }

    /// The sum, rounded to the nearest binary64 number, ties to even.
    pub fn value(&self) -> f64 {
        match self.exactly() {
            Ok(value) => value.round(),
            Err(special) => special,
        }
    }

    /// The sum divided by `count`, which must not be 0, rounded once.
    pub fn mean(&self, count: u64) -> f64 {
        match self.exactly() {
            Ok(value) => value.over(count).round(),
            Err(special) => special,
        }
    }

    /// The exact sum.
    ///
    /// # Errors
    /// The sum, if it is infinite or NaN.
    pub fn exactly(&self) -> Result<Value, f64> {
        match &self.form {
            Form::Window { base, words } => {
                let negative = words[WORDS - 1] >> 63 == 1;
                let mut words = *words;
                if negative {
                    negate(&mut words);
                }
                Ok(Value { negative, words: words.to_vec(), exponent: i32::from(*base) + LOWEST })
            }
            Form::Wide(wide) => wide.exactly(),
        }
    }

    /// The sum within [`NEAR`] of its magnitude, much faster than [`Self::value`]; nothing if it has digits over the whole
    /// range, or is no normal number.
    pub fn near(&self) -> Option<f64> {
        let Form::Window { base, words } = &self.form else { return None };
        let negative = words[WORDS - 1] >> 63 == 1;
        let mut magnitude = *words;
        if negative {
            negate(&mut magnitude);
        }
        // All terms have one sign: each step rounds once, and nothing cancels.
        let whole = magnitude.iter().rev().fold(0.0, |sum, word| sum * 18_446_744_073_709_551_616.0 + *word as f64);
        let exponent = i32::from(*base) + LOWEST;
        if whole == 0.0 {
            return Some(0.0);
        }
        if !(-1000..=700).contains(&exponent) {
            return None;
        }
        let near = whole * f64::from_bits(((exponent + 1023) as u64) << 52);
        near.is_normal().then_some(if negative { -near } else { near })
    }

    /// Heap bytes, in addition to the value itself.
    pub fn heap(&self) -> usize {
        match self.form {
            Form::Window { .. } => 0,
            Form::Wide(_) => size_of::<Wide>(),
        }
    }

    /// Adds ±`whole`, whose lowest bit has the position `position`.
    #[inline(always)]
    fn term(&mut self, whole: u128, position: i32, negative: bool) {
        match &mut self.form {
            Form::Window { base, words } => {
                if *words == [0; WORDS] {
                    // Nothing is lost, wherever the window begins: there is more space below the first term than
                    // above, where only carries occur.
                    *base = (position - Self::BELOW).max(0) as u16;
                }
                let shift = position - i32::from(*base);
                let bits = 128 - whole.leading_zeros() as i32;
                if shift < 0 || shift + bits >= Self::BITS || !add_to(words, whole, shift as u32, negative) {
                    self.term_outside(whole, position, negative);
                }
            }
            Form::Wide(wide) => wide.term(whole, position, negative),
        }
    }

    /// Adds a term that does not fit in the current window: moves the window, or changes to digits.
    #[inline(never)]
    fn term_outside(&mut self, whole: u128, position: i32, negative: bool) {
        if whole == 0 {
            return;
        }
        if let Form::Window { base, words } = &mut self.form {
            let zeros = whole.trailing_zeros() as i32;
            let (low, high) = (position + zeros, position + 128 - whole.leading_zeros() as i32);
            if let Some(moved) = moved(words, i32::from(*base), low, high) {
                (*base, *words) = moved;
                let shift = low - i32::from(*base);
                if shift >= 0 && add_to(words, whole >> zeros, shift as u32, negative) {
                    return;
                }
            }
        }
        self.wide().term(whole, position, negative);
    }

    /// The digits; a window is converted to digits.
    fn wide(&mut self) -> &mut Wide {
        if matches!(self.form, Form::Window { .. }) {
            let window = std::mem::replace(self, Self { form: Form::Wide(Box::default()) });
            self.merge(&window);
        }
        match &mut self.form {
            Form::Wide(wide) => wide,
            Form::Window { .. } => unreachable!("it was widened"),
        }
    }
}

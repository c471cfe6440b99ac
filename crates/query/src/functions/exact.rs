//! Sums of floats without rounding.
//!
//! Every finite binary64 number, and every product of two, is a whole multiple of 2^−2148 and below
//! 2^2048. A sum of such numbers is kept as that whole number, so that neither the order of its
//! terms nor how they were split among threads can be seen in it; it is rounded once, when it is
//! read. A term can be taken out again as exactly as it was put in.
//!
//! Bit p of the whole number weighs 2^(p − 2148). It is kept in one of two forms:
//!
//! - a **window** of `WORDS`·64 bits, two's complement, whose lowest bit stands at a position that
//!   the first term chooses. Terms that lie apart by no more than some twelve decimal orders fit,
//!   which is what a column of measurements is. A window moves where that loses no bit.
//! - **digits** of 32 bits over the whole range, each in 64 bits so that carries can wait (the
//!   superaccumulator of Kulisch; the waiting carries are those of R. Neal, "Fast exact summation
//!   using small and large superaccumulators", 2015).
//!
//! Infinities and NaN are counted beside the digits: any NaN, or infinities of both signs, make the
//! sum NaN; infinities of one sign make it that infinity. A sum of nothing, of zeros of either sign,
//! or of terms that cancel, is +0. A finite sum that is too large for binary64 rounds to infinity,
//! but terms after it may bring it back: nothing is lost on the way.

/// The exponent of the lowest bit: the product of the two least subnormal numbers.
const LOWEST: i32 = -2148;
/// Digits of 32 bits: 4 196 bits of the largest product, 64 of how many there may be, and room for
/// the zeros above a window.
const DIGITS: usize = 140;
/// After so many additions, the digits' carries are brought in.
const PATIENCE: u32 = 1 << 29;

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

#[derive(Debug, Clone)]
struct Wide {
    digits: [i64; DIGITS],
    waiting: u32,
    nan: i64,
    above: i64,
    below: i64,
}

/// A whole number times a power of two: what a sum is. Words of 64 bits, lowest first.
#[derive(Debug, Clone)]
pub struct Value {
    /// Whether it is below zero.
    pub negative: bool,
    /// Its magnitude.
    pub words: Vec<u64>,
    /// The exponent of the lowest bit.
    pub exponent: i32,
}

impl<const WORDS: usize> Default for Exact<WORDS> {
    fn default() -> Self {
        Self { form: Form::Window { base: 0, words: [0; WORDS] } }
    }
}

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
    /// How many of them are below the first term, of 53 bits a factor.
    const BELOW: i32 = (Self::BITS - 53 * WORDS as i32 / 2) * 5 / 8;

    /// Adds a number.
    #[inline]
    pub fn add(&mut self, x: f64) {
        self.put(x, false);
    }

    /// Takes out a number that was added.
    #[inline]
    pub fn subtract(&mut self, x: f64) {
        self.put(x, true);
    }

    #[inline(always)]
    fn put(&mut self, x: f64, out: bool) {
        let bits = x.to_bits();
        if bits >> 52 & 0x7ff == 0x7ff {
            return self.special(x, if out { -1 } else { 1 });
        }
        let (whole, position, negative) = parts(bits);
        self.term(u128::from(whole), position, negative != out);
    }

    /// Adds the product of two numbers, which is not rounded either.
    #[inline]
    pub fn add_product(&mut self, x: f64, y: f64) {
        self.put_product(x, y, false);
    }

    /// Takes out a product that was added.
    #[inline]
    pub fn subtract_product(&mut self, x: f64, y: f64) {
        self.put_product(x, y, true);
    }

    #[inline(always)]
    fn put_product(&mut self, x: f64, y: f64, out: bool) {
        if !x.is_finite() || !y.is_finite() {
            return self.special(x * y, if out { -1 } else { 1 });
        }
        let ((a, at_a, negative_a), (b, at_b, negative_b)) = (parts(x.to_bits()), parts(y.to_bits()));
        let negative = negative_a ^ negative_b ^ out;
        self.term(u128::from(a) * u128::from(b), at_a + at_b + LOWEST, negative);
    }

    /// Adds `values`, quicker than one by one where they are of like magnitude.
    ///
    /// A block of 1 024 numbers below 2^e is cut at a bit that lets the upper halves be added in
    /// binary64 without rounding, then the lower halves again; what is left must be nothing
    /// (S. M. Rump, T. Ogita and S. Oishi, "Accurate floating-point summation", 2008). Otherwise the
    /// block is added number by number.
    pub fn add_all(&mut self, values: &[f64]) {
        const BLOCK: usize = 1024;
        for block in values.chunks(BLOCK) {
            match halves(block) {
                Some(sums) => sums.into_iter().for_each(|sum| self.add(sum)),
                None => block.iter().for_each(|value| self.add(*value)),
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
                let mut other = other.clone();
                other.carry();
                let wide = self.wide();
                wide.carry();
                for (digit, more) in wide.digits.iter_mut().zip(other.digits) {
                    *digit += more;
                }
                wide.waiting = 1;
                wide.nan = wide.nan.saturating_add(other.nan);
                wide.above = wide.above.saturating_add(other.above);
                wide.below = wide.below.saturating_add(other.below);
            }
        }
    }

    /// The sum, rounded to the nearest binary64 number, to the even one of two.
    pub fn value(&self) -> f64 {
        match self.exactly() {
            Ok(value) => value.round(),
            Err(special) => special,
        }
    }

    /// The sum over `count`, which must not be 0, rounded once.
    pub fn mean(&self, count: u64) -> f64 {
        match self.exactly() {
            Ok(value) => value.over(count).round(),
            Err(special) => special,
        }
    }

    /// The sum as it is.
    ///
    /// # Errors
    /// The sum, where it is infinite or NaN.
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
            Form::Wide(wide) => match (wide.nan > 0, wide.above > 0, wide.below > 0) {
                (false, false, false) => Ok(wide.value()),
                (false, true, false) => Err(f64::INFINITY),
                (false, false, true) => Err(f64::NEG_INFINITY),
                _ => Err(f64::NAN),
            },
        }
    }

    /// Bytes beside those of the value itself.
    pub fn heap(&self) -> usize {
        match self.form {
            Form::Window { .. } => 0,
            Form::Wide(_) => size_of::<Wide>(),
        }
    }

    #[cold]
    fn special(&mut self, x: f64, by: i64) {
        let wide = self.wide();
        match (x.is_nan(), x > 0.0) {
            (true, _) => wide.nan += by,
            (false, true) => wide.above += by,
            (false, false) => wide.below += by,
        }
    }

    /// Adds ±`whole`, whose lowest bit stands at `position`.
    #[inline(always)]
    fn term(&mut self, whole: u128, position: i32, negative: bool) {
        match &mut self.form {
            Form::Window { base, words } => {
                if *words == [0; WORDS] {
                    // Nothing is lost, wherever the window stands: more room below the first term
                    // than above, where only carries go.
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

    /// Adds a term that does not fit as it stands: moves the window, or widens it.
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

    /// The digits; a window becomes some.
    fn wide(&mut self) -> &mut Wide {
        if matches!(self.form, Form::Window { .. }) {
            let window = std::mem::take(self);
            self.form = Form::Wide(Box::new(Wide { digits: [0; DIGITS], waiting: 0, nan: 0, above: 0, below: 0 }));
            self.merge(&window);
        }
        match &mut self.form {
            Form::Wide(wide) => wide,
            Form::Window { .. } => unreachable!("it was widened"),
        }
    }
}

/// The sums of the upper and lower halves of a block's numbers, if there is nothing below them.
#[inline]
fn halves(block: &[f64]) -> Option<[f64; 8]> {
    const LANES: usize = 4;
    let (chunks, rest) = block.as_chunks::<LANES>();
    let mut largest = [0f64; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            // Not `max`: this is one instruction, and what it does to NaN is caught below.
            let magnitude = chunk[lane].abs();
            largest[lane] = if magnitude > largest[lane] { magnitude } else { largest[lane] };
        }
    }
    let largest = rest.iter().map(|value| value.abs()).chain(largest).fold(0.0, f64::max);
    let exponent = (largest.to_bits() >> 52) as i32 - 1022;
    if !(-900..=1000).contains(&exponent) {
        return None;
    }
    // Every number is below 2^exponent. The upper halves are multiples of 2^(exponent − 44), and a
    // lane adds at most 257 of them; what is below them is at most half of that, and is cut likewise.
    let power = |exponent: i32| f64::from_bits(((exponent + 1023) as u64) << 52);
    let (upper, lower) = (1.5 * power(exponent + 8), 1.5 * power(exponent - 45 + 8));
    let (mut high, mut low, mut left) = ([0f64; LANES], [0f64; LANES], [0f64; LANES]);
    let mut last = [0f64; LANES];
    last[..rest.len()].copy_from_slice(rest);
    for chunk in chunks.iter().chain([&last]) {
        for lane in 0..LANES {
            let above = (chunk[lane] + upper) - upper;
            let below = chunk[lane] - above;
            let middle = (below + lower) - lower;
            high[lane] += above;
            low[lane] += middle;
            left[lane] += (below - middle).abs();
        }
    }
    // A NaN or an infinity in the block leaves NaN.
    let [a, b, c, d] = high;
    let [e, f, g, h] = low;
    left.iter().all(|left| *left == 0.0).then_some([a, b, c, d, e, f, g, h])
}

fn negate(words: &mut [u64]) {
    let mut carry = true;
    for word in words {
        (*word, carry) = (!*word).overflowing_add(u64::from(carry));
    }
}

/// Adds ±`whole`·2^`shift`; leaves the words as they were and says false where they are too few.
#[inline(always)]
fn add_to<const WORDS: usize>(words: &mut [u64; WORDS], whole: u128, shift: u32, negative: bool) -> bool {
    if WORDS == 2 {
        let before = (u128::from(words[0]) | u128::from(words[1]) << 64) as i128;
        let term = (whole << shift) as i128;
        let (sum, over) = before.overflowing_add(if negative { -term } else { term });
        if !over {
            (words[0], words[1]) = (sum as u64, (sum >> 64) as u64);
        }
        return !over;
    }
    let (low, high) = match shift {
        0 => (whole, 0),
        1..128 => (whole << shift, whole >> (128 - shift)),
        _ => (0, whole << (shift - 128)),
    };
    let [a, b, c, d] = std::array::from_fn(|at| words.get(at).copied().map_or(0, u128::from));
    let flip = if negative { u128::MAX } else { 0 };
    let (partial, one) = (a | b << 64).overflowing_add(low ^ flip);
    let (low, two) = partial.overflowing_add(u128::from(negative));
    let before = c | d << 64;
    let high = before.wrapping_add(high ^ flip).wrapping_add(u128::from(one | two));
    let over = (before >> 127 == 1) == negative && (high >> 127 == 1) != negative;
    if !over {
        let sum = [low as u64, (low >> 64) as u64, high as u64, (high >> 64) as u64];
        words.iter_mut().zip(sum).for_each(|(word, sum)| *word = sum);
    }
    !over
}

/// The positions of the lowest and highest bits that are set.
fn span(words: &[u64]) -> Option<(i32, i32)> {
    let first = words.iter().position(|word| *word != 0)?;
    let last = words.iter().rposition(|word| *word != 0)?;
    let (low, high) = (words[first].trailing_zeros(), 63 - words[last].leading_zeros());
    Some((64 * first as i32 + low as i32, 64 * last as i32 + high as i32))
}

/// A window with the same sum, moved to take a term from the position `low` to below `high`.
fn moved<const WORDS: usize>(words: &[u64; WORDS], base: i32, low: i32, high: i32) -> Option<(u16, [u64; WORDS])> {
    let size = 64 * WORDS as i32;
    let negative = words[WORDS - 1] >> 63 == 1;
    let mut magnitude = *words;
    if negative {
        negate(&mut magnitude);
    }
    let (first, last) = span(&magnitude).unwrap_or((low - base, high - 1 - base));
    let (lowest, highest) = (low.min(base + first), high.max(base + last + 1));
    // Two bits for the carry and the sign.
    let room = size - 2 - (highest - lowest);
    if room < 0 {
        return None;
    }
    let target = (lowest - room / 2).max(0);
    let mut moved = [0; WORDS];
    let (skip, bit) = ((base - target).div_euclid(64), (base - target).rem_euclid(64));
    for (at, word) in magnitude.iter().enumerate() {
        let shifted = u128::from(*word) << bit;
        for (part, value) in [shifted as u64, (shifted >> 64) as u64].into_iter().enumerate() {
            // What would fall outside is zero.
            let to = usize::try_from(at as i32 + skip + part as i32).ok();
            if let Some(to) = to.and_then(|to| moved.get_mut(to)) {
                *to |= value;
            }
        }
    }
    if negative {
        negate(&mut moved);
    }
    Some((target as u16, moved))
}

impl Wide {
    #[inline]
    fn term(&mut self, whole: u128, position: i32, negative: bool) {
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
        // Where there are fewer than three digits, what is beyond them is zero.
        for (part, digit) in self.digits.iter_mut().skip(digit).take(3).enumerate() {
            *digit += sign * i64::from((shifted >> (32 * part)) as u32);
        }
    }

    /// Brings the carries in: every digit but the last is then in 0..2^32.
    fn carry(&mut self) {
        let mut carry = 0;
        for digit in &mut self.digits[..DIGITS - 1] {
            let total = *digit + carry;
            carry = total >> 32;
            *digit = total & 0xffff_ffff;
        }
        self.digits[DIGITS - 1] += carry;
        self.waiting = 0;
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

impl Value {
    /// The nearest binary64 number, the even one of two.
    pub fn round(&self) -> f64 {
        let words = &self.words;
        let Some(top) = words.iter().rposition(|word| *word != 0) else { return 0.0 };
        let length = 64 * (top as i32 + 1) - words[top].leading_zeros() as i32;
        let highest = self.exponent + length - 1;
        let sign = u64::from(self.negative) << 63;
        if highest > 1023 {
            return f64::from_bits(sign | f64::INFINITY.to_bits());
        }
        // The last place of the result, and how many bits lie below it.
        let place = (highest - 52).max(-1074);
        let dropped = place - self.exponent;
        let word = |at: i32| usize::try_from(at).ok().and_then(|at| words.get(at)).copied().unwrap_or_default();
        let bits_from = |at: i32| {
            let (index, bit) = (at.div_euclid(64), at.rem_euclid(64));
            let wide = u128::from(word(index)) | u128::from(word(index + 1)) << 64;
            (wide >> bit) as u64
        };
        // What lies above `length` is zero, so these are at most 53 bits.
        let mut whole = bits_from(dropped);
        if dropped > 0 {
            let half = bits_from(dropped - 1) & 1 == 1;
            let (index, bit) = ((dropped - 1) / 64, (dropped - 1) % 64);
            let below = word(index) & ((1 << bit) - 1) != 0 || words.iter().take(index as usize).any(|word| *word != 0);
            if half && (below || whole & 1 == 1) {
                whole += 1;
            }
        }
        // A whole number of 53 bits brings the exponent's last bit with it, and a carry the next.
        let biased = (place + 1074) as u64;
        f64::from_bits(sign | ((biased << 52) + whole))
    }

    /// This over `count`, with a last bit that says whether there is more: it rounds as the exact
    /// quotient does.
    fn over(&self, count: u64) -> Self {
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

/// A sum as bytes, little-endian: a window is `1`, its base (u16), how many bytes of it follow (u8),
/// and those, sign-extended where fewer than it has; digits are `2`, the three counts (i64), the
/// first digit that follows (u16), how many (u16), and those (i64 each).
impl<const WORDS: usize> Exact<WORDS> {
    /// Appends the sum's bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        match &self.form {
            Form::Window { base, words } => {
                let fill = if words[WORDS - 1] >> 63 == 1 { 0xff } else { 0 };
                let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                // The byte that is kept last says the sign.
                let used = bytes.iter().rposition(|byte| *byte != fill).map_or(0, |at| at + 1);
                let used = if used == 0 && fill == 0 { 0 } else { (used + 1).min(bytes.len()) };
                out.push(1);
                out.extend(base.to_le_bytes());
                out.push(used as u8);
                out.extend(&bytes[..used]);
            }
            Form::Wide(wide) => {
                let mut wide = wide.clone();
                wide.carry();
                let first = wide.digits.iter().position(|digit| *digit != 0).unwrap_or(0);
                let end = wide.digits.iter().rposition(|digit| *digit != 0).map_or(first, |at| at + 1);
                out.push(2);
                for count in [wide.nan, wide.above, wide.below] {
                    out.extend(count.to_le_bytes());
                }
                out.extend((first as u16).to_le_bytes());
                out.extend(((end - first) as u16).to_le_bytes());
                out.extend(wide.digits[first..end].iter().flat_map(|digit| digit.to_le_bytes()));
            }
        }
    }

    /// Reads a sum from the front of `bytes`, which are then those behind it; `None` if there is none.
    pub fn read(bytes: &mut &[u8]) -> Option<Self> {
        let [form] = take(bytes)?;
        match form {
            1 => {
                let base = u16::from_le_bytes(take(bytes)?);
                let [used] = take(bytes)?;
                let (kept, rest) = bytes.split_at_checked(usize::from(used))?;
                *bytes = rest;
                if kept.len() > 8 * WORDS || i32::from(base) > 32 * DIGITS as i32 - 64 * WORDS as i32 {
                    return None;
                }
                let fill = if kept.last().is_some_and(|last| last >> 7 == 1) { u64::MAX } else { 0 };
                let mut words = [fill; WORDS];
                for (at, byte) in kept.iter().enumerate() {
                    let (word, bit) = (&mut words[at / 8], 8 * (at % 8));
                    *word = *word & !(0xff << bit) | u64::from(*byte) << bit;
                }
                Some(Self { form: Form::Window { base, words } })
            }
            2 => {
                let mut counts = [0; 3];
                for count in &mut counts {
                    *count = i64::from_le_bytes(take(bytes)?);
                }
                let [nan, above, below] = counts;
                let first = usize::from(u16::from_le_bytes(take(bytes)?));
                let count = usize::from(u16::from_le_bytes(take(bytes)?));
                let mut digits = [0; DIGITS];
                for digit in digits.get_mut(first..first.checked_add(count)?)? {
                    *digit = i64::from_le_bytes(take(bytes)?);
                    if digit.unsigned_abs() > u64::from(u32::MAX) {
                        return None;
                    }
                }
                Some(Self { form: Form::Wide(Box::new(Wide { digits, waiting: 1, nan, above, below })) })
            }
            _ => None,
        }
    }
}

/// The next `N` bytes.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (next, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*next)
}

//! Blocks of numbers, added without rounding in binary64.
//!
//! Numbers below 2^e are split at a bit that allows adding their upper halves in binary64 without rounding, then their
//! lower halves in the same way; the rest must be zero (S. M. Rump, T. Ogita and S. Oishi, "Accurate floating-point
//! summation", 2008). Compilers vectorise these loops.

/// Numbers in a block. The sums are exact only up to this number.
pub(super) const BLOCK: usize = 1024;

/// The sums of the upper and lower halves of a block's numbers, if nothing remains below them.
#[inline]
pub(super) fn halves(block: &[f64]) -> Option<[f64; 8]> {
    const LANES: usize = 4;
    let (chunks, rest) = block.as_chunks::<LANES>();
    let mut largest = [0f64; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            // Not `max`: this is one instruction, and its result for NaN is detected below.
            let magnitude = chunk[lane].abs();
            largest[lane] = if magnitude > largest[lane] { magnitude } else { largest[lane] };
        }
    }
    let largest = rest.iter().map(|value| value.abs()).chain(largest).fold(0.0, f64::max);
    if largest == 0.0 {
        return block.iter().all(|value| *value == 0.0).then_some([0.0; 8]);
    }
    let exponent = (largest.to_bits() >> 52) as i32 - 1022;
    if !(-900..=1000).contains(&exponent) {
        return None;
    }
    // Every number is below 2^exponent. The upper halves are multiples of 2^(exponent − 44), and a lane adds at most
    // 257 of them; the remainders are at most half of that, and are split in the same way.
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
    // A NaN or an infinity in the block gives NaN.
    let [a, b, c, d] = high;
    let [e, f, g, h] = low;
    left.iter().all(|left| *left == 0.0).then_some([a, b, c, d, e, f, g, h])
}

/// The same for the products of two blocks, each product as the rounded one and its error, both floats (T. J. Dekker,
/// "A floating-point technique for extending the available precision", 1971).
#[inline]
pub(super) fn products(x: &[f64], y: &[f64]) -> Option<[f64; 16]> {
    // If neither overflows nor loses a bit below the smallest float.
    let fits = |value: &f64| (1e-140..1e140).contains(&value.abs()) || *value == 0.0;
    if !x.iter().all(fits) || !y.iter().all(fits) {
        return None;
    }
    let (mut rounded, mut errors) = ([0f64; BLOCK], [0f64; BLOCK]);
    let split = |value: f64| {
        let scaled = 134_217_729.0 * value;
        let high = scaled - (scaled - value);
        (high, value - high)
    };
    for (((x, y), rounded), error) in x.iter().zip(y).zip(&mut rounded).zip(&mut errors) {
        let ((a, b), (c, d)) = (split(*x), split(*y));
        *rounded = x * y;
        *error = ((a * c - *rounded) + a * d + b * c) + b * d;
    }
    let (high, low) = (halves(rounded.get(..x.len())?)?, halves(errors.get(..x.len())?)?);
    let mut sums = [0f64; 16];
    sums[..8].copy_from_slice(&high);
    sums[8..].copy_from_slice(&low);
    Some(sums)
}

//! A sum in a window of bits, in two's complement, lowest word first.

pub(super) fn negate(words: &mut [u64]) {
    let mut carry = true;
    for word in words {
        (*word, carry) = (!*word).overflowing_add(u64::from(carry));
    }
}

/// Adds ±`whole`·2^`shift`; returns false and leaves the words unchanged if they are too few.
#[inline(always)]
pub(super) fn add_to<const WORDS: usize>(words: &mut [u64; WORDS], whole: u128, shift: u32, negative: bool) -> bool {
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

/// A window with the same sum, moved so that it can take a term from the position `low` to below `high`.
pub(super) fn moved<const WORDS: usize>(
    words: &[u64; WORDS],
    base: i32,
    low: i32,
    high: i32,
) -> Option<(u16, [u64; WORDS])> {
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
            // The bits that would be outside are zero.
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

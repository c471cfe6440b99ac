//! Sums and order as numpy has them, to the bit.

/// numpy's sum of a contiguous array: in pairs of blocks, each block in eight partial sums.
pub(crate) fn sum(values: &[f64]) -> f64 {
    // A reduction begins with the identity of the addition.
    0.0 + pairwise(values)
}

fn pairwise(values: &[f64]) -> f64 {
    const BLOCK: usize = 128;
    let length = values.len();
    if length < 8 {
        return values.iter().fold(-0.0, |sum, value| sum + value);
    }
    if length > BLOCK {
        let half = length / 2;
        let half = half - half % 8;
        return pairwise(&values[..half]) + pairwise(&values[half..]);
    }
    let mut parts = [0.0; 8];
    parts.copy_from_slice(&values[..8]);
    let mut eights = values[8..].chunks_exact(8);
    for eight in &mut eights {
        for (part, value) in parts.iter_mut().zip(eight) {
            *part += value;
        }
    }
    let sum = ((parts[0] + parts[1]) + (parts[2] + parts[3])) + ((parts[4] + parts[5]) + (parts[6] + parts[7]));
    eights.remainder().iter().fold(sum, |sum, value| sum + value)
}

/// numpy's `argmax`: the first of the greatest. A NaN counts as the greatest, and the first one wins.
pub(crate) fn argmax(values: &[f64]) -> Option<usize> {
    let mut best = 0;
    let mut greatest = *values.first()?;
    for (place, &value) in values.iter().enumerate() {
        if greatest.is_nan() {
            break;
        }
        if value.is_nan() || value > greatest {
            (best, greatest) = (place, value);
        }
    }
    Some(best)
}

/// The harness's softmax of one array.
pub(crate) fn softmax(values: &[f64]) -> Vec<f64> {
    let greatest = argmax(values).map_or(f64::NAN, |place| values[place]);
    let powers: Vec<f64> = values.iter().map(|value| libm::exp(value - greatest)).collect();
    let total = sum(&powers);
    powers.into_iter().map(|power| power / total).collect()
}

/// A Python `sum` of floats: from left to right. This is the rule up to Python 3.11; later versions carry the rounding
/// error along, so that the last digit of a score depends on the version of Python there.
pub(crate) fn python_sum(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, |sum, value| sum + value)
}

/// A count as a float.
pub(crate) fn count(count: usize) -> f64 {
    count as f64
}

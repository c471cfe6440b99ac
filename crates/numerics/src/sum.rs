//! Lane sums: the fixed order in which everything except matrix products is summed.

use crate::lanes::Machine;

/// Lanes of a sum. Part of the contract, unlike the width of a register.
pub(crate) const LANES: usize = 32;

/// The tree over the lanes.
#[inline(always)]
fn tree<T: Copy + std::ops::Add<Output = T>>(mut lanes: [T; LANES]) -> T {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = lanes[lane] + lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// The lane sum of `terms`.
#[inline(always)]
pub(crate) fn sum(terms: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (whole, rest) = terms.as_chunks::<LANES>();
    for chunk in whole {
        for lane in 0..LANES {
            lanes[lane] += chunk[lane];
        }
    }
    for (lane, term) in lanes.iter_mut().zip(rest) {
        *lane += term;
    }
    tree(lanes)
}

/// The lane sum of the products a[i]·b[i].
#[inline(always)]
pub(crate) fn dot<M: Machine>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (whole_a, rest_a) = a.as_chunks::<LANES>();
    let (whole_b, rest_b) = b.as_chunks::<LANES>();
    for (a, b) in whole_a.iter().zip(whole_b) {
        for lane in 0..LANES {
            lanes[lane] = M::fma(a[lane], b[lane], lanes[lane]);
        }
    }
    for (lane, (a, b)) in lanes.iter_mut().zip(rest_a.iter().zip(rest_b)) {
        *lane = M::fma(*a, *b, *lane);
    }
    tree(lanes)
}

/// The lane sum, in binary64, of `terms`.
pub fn sum_f64(terms: &[f32]) -> f64 {
    lane_sum_f64(terms, f64::from)
}

/// The lane sum, in binary64, of the squares of `terms`; each square is exact in binary64 and is added by `+`.
pub fn sum_of_squares(terms: &[f32]) -> f64 {
    lane_sum_f64(terms, |term| f64::from(term) * f64::from(term))
}

#[inline(always)]
fn lane_sum_f64(terms: &[f32], of: impl Fn(f32) -> f64) -> f64 {
    let mut lanes = [0f64; LANES];
    let (whole, rest) = terms.as_chunks::<LANES>();
    for chunk in whole {
        for lane in 0..LANES {
            lanes[lane] += of(chunk[lane]);
        }
    }
    for (lane, term) in lanes.iter_mut().zip(rest) {
        *lane += of(*term);
    }
    tree(lanes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{Hardware, Software};
    use proptest::prelude::*;

    /// The definition in the contract, term by term, sharing no code with the functions above.
    fn by_the_contract(a: &[f32], b: Option<&[f32]>) -> f32 {
        let mut lanes = [0f32; 32];
        for i in 0..a.len() {
            lanes[i % 32] = match b {
                Some(b) => a[i].mul_add(b[i], lanes[i % 32]),
                None => a[i] + lanes[i % 32],
            };
        }
        for h in [16, 8, 4, 2, 1] {
            for j in 0..h {
                lanes[j] += lanes[j + h];
            }
        }
        lanes[0]
    }

    proptest! {
        #[test]
        fn is_the_contract(terms in prop::collection::vec((-1e3f32..1e3, -1e3f32..1e3), 0..200)) {
            let (a, b): (Vec<f32>, Vec<f32>) = terms.into_iter().unzip();
            prop_assert_eq!(sum(&a).to_bits(), by_the_contract(&a, None).to_bits());
            prop_assert_eq!(dot::<Software>(&a, &b).to_bits(), by_the_contract(&a, Some(&b)).to_bits());
            prop_assert_eq!(dot::<Hardware>(&a, &b).to_bits(), by_the_contract(&a, Some(&b)).to_bits());
            let exact: f64 = a.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
            prop_assert!((sum_of_squares(&a) - exact).abs() <= exact * 1e-12);
        }
    }
}

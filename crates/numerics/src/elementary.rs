//! The exponential, the logistic function and the error function.

use crate::lanes::Machine;

/// log2(e), rounded.
const LOG2_E: f32 = f32::from_bits(0x3fb8_aa3b);
/// ln 2 with so few bits that n·`LN2_HIGH` is exact for |n| < 2^9, and the remainder.
const LN2_HIGH: f32 = f32::from_bits(0x3f31_8000);
const LN2_LOW: f32 = f32::from_bits(0xb95e_8083);
/// 1.5·2^23: adding it rounds to an integer, which is then in the low bits.
const ROUND: f32 = 12_582_912.0;
/// The polynomial of Cephes' `expf` (S. Moshier, 1989), highest power first: (e^r − 1 − r)/r².
const POLYNOMIAL: [f32; 6] = [
    f32::from_bits(0x3950_6967),
    f32::from_bits(0x3ab7_43ce),
    f32::from_bits(0x3c08_8908),
    f32::from_bits(0x3d2a_a9c1),
    f32::from_bits(0x3e2a_aaaa),
    f32::from_bits(0x3f00_0000),
];

/// e^x, within one unit in the last place.
///
/// n = fma(x, log2 e, 1.5·2^23) − 1.5·2^23; r = fma(n, −ln2 high, x), then fma(n, −ln2 low, r); p by Horner's rule
/// with fma; e^r = fma(p, r·r, r) + 1; then two multiplications by powers of two, 2^⌊n/2⌋ and 2^(n−⌊n/2⌋). Before
/// that, x is limited to at least −104 and at most 89, where the result is 0 and infinity.
#[inline(always)]
pub(crate) fn exp_lane<M: Machine>(x: f32) -> f32 {
    let bounded = if x < -104.0 { -104.0 } else { x };
    let bounded = if bounded > 89.0 { 89.0 } else { bounded };
    let shifted = M::fma(bounded, LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = M::fma(n, -LN2_HIGH, bounded);
    let r = M::fma(n, -LN2_LOW, r);
    let mut p = POLYNOMIAL[0];
    p = M::fma(p, r, POLYNOMIAL[1]);
    p = M::fma(p, r, POLYNOMIAL[2]);
    p = M::fma(p, r, POLYNOMIAL[3]);
    p = M::fma(p, r, POLYNOMIAL[4]);
    p = M::fma(p, r, POLYNOMIAL[5]);
    let e = M::fma(p, r * r, r) + 1.0;
    // The integer is in the low bits of `shifted`, as in those of ROUND.
    let whole = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = whole >> 1;
    e * power_of_two(half) * power_of_two(whole.wrapping_sub(half))
}

/// 2^n for −126 ≤ n ≤ 127; for NaN's n, an arbitrary value.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// 1 / (1 + e^−x).
#[inline(always)]
pub(crate) fn logistic<M: Machine>(x: f32) -> f32 {
    1.0 / (1.0 + exp_lane::<M>(-x))
}

/// erf(x)/x as a polynomial in x², for |x| < 1, highest power first: least squares over Chebyshev points, reweighted
/// towards equal errors; error 1.3e−9 before rounding.
const ERF_INNER: [f32; 7] = [
    f32::from_bits(0x38a4_b517),
    f32::from_bits(0xba51_fb7f),
    f32::from_bits(0x3baa_02d9),
    f32::from_bits(0xbcdb_fc86),
    f32::from_bits(0x3de7_167c),
    f32::from_bits(0xbec0_939f),
    f32::from_bits(0x3f90_6eba),
];
/// (1 − erf(x))·exp(x²) as a polynomial in x − 2.5, for 1 ≤ x ≤ 4, found in the same way.
const ERF_OUTER: [f32; 9] = [
    f32::from_bits(0x38e0_1119),
    f32::from_bits(0x396b_ff12),
    f32::from_bits(0x3a0e_6db3),
    f32::from_bits(0xba2d_4efa),
    f32::from_bits(0x3b16_e596),
    f32::from_bits(0xbc05_3d24),
    f32::from_bits(0x3ccc_19c2),
    f32::from_bits(0xbd98_40b7),
    f32::from_bits(0x3e57_ddf3),
];

/// The polynomial by Horner's rule with fma.
#[inline(always)]
fn horner<M: Machine, const N: usize>(polynomial: &[f32; N], x: f32) -> f32 {
    let mut value = polynomial[0];
    for coefficient in &polynomial[1..] {
        value = M::fma(value, x, *coefficient);
    }
    value
}

/// erf(x), within three units in the last place.
///
/// With a = |x|, limited to at most 4, and s = a·a: for a < 1, a · (the inner polynomial of s); otherwise
/// fma(−exp(−s), the outer polynomial of a − 2.5, 1). Then x's sign.
#[inline(always)]
pub(crate) fn erf_lane<M: Machine>(x: f32) -> f32 {
    let a = x.abs();
    let a = if a > 4.0 { 4.0 } else { a };
    let s = a * a;
    let inner = a * horner::<M, 7>(&ERF_INNER, s);
    let outer = M::fma(-exp_lane::<M>(-s), horner::<M, 9>(&ERF_OUTER, a - 2.5), 1.0);
    (if a < 1.0 { inner } else { outer }).copysign(x)
}

/// e^x of each element, in place, within one unit in the last place.
pub fn exp(values: &mut [f32]) {
    struct Exp<'a>(&'a mut [f32]);
    impl crate::isa::Kernel for Exp<'_> {
        type Output = ();
        #[inline(always)]
        fn run<M: Machine>(self) {
            for value in self.0 {
                *value = exp_lane::<M>(*value);
            }
        }
    }
    crate::isa::dispatch(Exp(values));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{Hardware, Software};

    /// The number of floats between two of the same sign.
    fn apart(a: f32, b: f32) -> u32 {
        (a.to_bits() as i32).abs_diff(b.to_bits() as i32)
    }

    fn check(inputs: impl Iterator<Item = u32>) {
        for bits in inputs {
            let x = f32::from_bits(bits);
            let ours = exp_lane::<Software>(x);
            if x.is_nan() {
                assert!(ours.is_nan());
                continue;
            }
            let reference = libm::exp(f64::from(x)) as f32;
            assert!(apart(ours, reference) <= 1, "exp({x:e}) = {ours:e}, not {reference:e}");
            assert_eq!(ours.to_bits(), exp_lane::<Hardware>(x).to_bits(), "exp({x:e})");
        }
    }

    #[test]
    fn exp_is_within_one_unit_in_the_last_place() {
        check((0..=u32::MAX).step_by(9_973));
        let edges = [
            0.0,
            -0.0,
            88.722_84,
            88.722_85,
            89.0,
            1e30,
            f32::INFINITY,
            -87.3,
            -87.4,
            -103.9,
            -103.98,
            -104.0,
            -1e30,
            f32::NEG_INFINITY,
        ];
        check(edges.into_iter().map(f32::to_bits));
        check([f32::NAN.to_bits(), 1, 0x8000_0001].into_iter());
    }

    #[test]
    fn erf_is_within_three_units_in_the_last_place() {
        for bits in (0..=u32::MAX).step_by(99_973) {
            let x = f32::from_bits(bits);
            let ours = erf_lane::<Software>(x);
            if x.is_nan() {
                assert!(ours.is_nan());
                continue;
            }
            let reference = libm::erf(f64::from(x)) as f32;
            assert!(apart(ours, reference) <= 3, "erf({x:e}) = {ours:e}, not {reference:e}");
            assert_eq!(ours.to_bits(), erf_lane::<Hardware>(x).to_bits(), "erf({x:e})");
        }
    }

    #[test]
    #[ignore = "every binary32 there is: minutes"]
    fn exp_is_within_one_unit_in_the_last_place_everywhere() {
        check(0..=u32::MAX);
    }
}

//! exp and log in binary64 that the compiler can vectorise, with the same bits on every machine.
//!
//! Only sums, products, quotients and bit patterns, each rounded by itself: no table, no branch and no fused
//! multiply-add. All are within 3 units in the last place.

/// log₂ e.
const LOG2_E: f64 = core::f64::consts::LOG2_E;
/// ln 2 with its last 32 bits cleared, so that a multiple up to 2^31 is exact, and the rest.
const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_0000_0000);
const LN2_LOW: f64 = 4.749_325_039_031_672_6e-7;
/// 1.5 · 2^52: adding it leaves the nearest integer in the low bits of the sum.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// √½, the lower end of the interval to which log reduces its argument.
const ROOT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;

/// e^x for x from -708 to 709; beyond them, the value at the nearer end.
#[inline(always)]
pub(super) fn exp(x: f64) -> f64 {
    let x = if x > -708.0 { x } else { -708.0 };
    let x = if x < 709.0 { x } else { 709.0 };
    let shifted = x * LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = (x - k * LN2_HIGH) - k * LN2_LOW;
    // The Taylor series: |r| is at most ln 2 / 2, so that the first term left out is below 2e-16.
    let (r2, r4) = (r * r, (r * r) * (r * r));
    let low = (1.0 / 2.0 + r * (1.0 / 6.0)) + r2 * (1.0 / 24.0 + r * (1.0 / 120.0));
    let middle = (1.0 / 720.0 + r * (1.0 / 5_040.0)) + r2 * (1.0 / 40_320.0 + r * (1.0 / 362_880.0));
    let high = (1.0 / 3_628_800.0 + r * (1.0 / 39_916_800.0)) + r2 * (1.0 / 479_001_600.0);
    let sum = 1.0 + (r + r2 * (low + r4 * (middle + r4 * high)));
    sum * f64::from_bits((shifted.to_bits() << 52).wrapping_add(0x3ff0_0000_0000_0000))
}

/// ln x and 1/x for a normal x above 0 and below 2^1023; ln is NaN for all others. One division serves both: it is what
/// takes the most time.
#[inline(always)]
pub(super) fn log_and_inverse(x: f64) -> (f64, f64) {
    let bits = x.to_bits();
    // The exponent k for which m = x / 2^k is between √½ and √2, moved up by 1,024 so that it is positive.
    let k = bits.wrapping_sub(ROOT_HALF).wrapping_add(1024 << 52) >> 52;
    let m = f64::from_bits(bits.wrapping_sub(k.wrapping_sub(1024) << 52));
    let small = f64::from_bits(2047_u64.wrapping_sub(k) << 52);
    // An integer below 2^52 as the low bits of 2^52 plus it.
    let k = f64::from_bits(k | 0x4330_0000_0000_0000) - (4_503_599_627_370_496.0 + 1024.0);
    let quotient = 1.0 / (m * (m + 1.0));
    // ln m = 2 artanh s for s = (m - 1) / (m + 1); s² is at most 0.0295.
    let s = (m - 1.0) * (m * quotient);
    let (z, z2) = (s * s, (s * s) * (s * s));
    let z4 = z2 * z2;
    let low = (1.0 / 3.0 + z * (1.0 / 5.0)) + z2 * (1.0 / 7.0 + z * (1.0 / 9.0));
    let high = (1.0 / 11.0 + z * (1.0 / 13.0)) + z2 * (1.0 / 15.0 + z * (1.0 / 17.0));
    let series = low + z4 * (high + z4 * (1.0 / 19.0));
    let twice = 2.0 * s;
    let value = k * LN2_HIGH + (twice + (twice * z * series + k * LN2_LOW));
    let valid = (f64::MIN_POSITIVE..8.98e307).contains(&x);
    (if valid { value } else { f64::NAN }, (m + 1.0) * quotient * small)
}

/// ln x, as [`log_and_inverse`] gives it.
#[inline(always)]
pub(super) fn log(x: f64) -> f64 {
    log_and_inverse(x).0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distance in units in the last place of the expected value.
    fn apart(found: f64, expected: f64) -> f64 {
        (found - expected).abs() / (expected.abs() * f64::EPSILON)
    }

    #[test]
    fn they_are_near_libm() {
        let mut state = 1u64;
        for _ in 0..200_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let unit = (state >> 11) as f64 / (1u64 << 53) as f64;
            for x in [unit * 1416.0 - 708.0, unit * 4.0 - 2.0, (unit - 0.5) * 1e-6] {
                assert!(apart(exp(x), libm::exp(x)) <= 3.0, "exp {x:e}");
            }
            for x in [libm::exp(unit * 1400.0 - 700.0), 0.5 + unit, 1.0 + (unit - 0.5) * 1e-6] {
                assert!(libm::log(x) == 0.0 || apart(log(x), libm::log(x)) <= 3.0, "log {x:e}");
                assert!(apart(log_and_inverse(x).1, 1.0 / x) <= 3.0, "1 / {x:e}");
            }
        }
    }

    #[test]
    fn the_ends_are_as_stated() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(log(1.0), 0.0);
        assert_eq!(exp(-1e9), exp(-708.0));
        assert_eq!(exp(1e9), exp(709.0));
        for x in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-310] {
            assert!(log(x).is_nan(), "{x}");
        }
    }
}

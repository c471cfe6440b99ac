//! Vectors of sixteen floats, and the fused multiply-add in hardware or in software.

/// Lanes of a vector: one register with AVX-512, two with AVX2, four with NEON.
pub(crate) const LANES: usize = 16;

/// The target for which a kernel's body is compiled: how a fused multiply-add is computed, and the type of a vector of
/// sixteen floats.
pub(crate) trait Machine: Copy {
    /// Sixteen floats.
    type Vector: Copy;
    /// a·b + c, rounded once.
    fn fma(a: f32, b: f32, c: f32) -> f32;
    /// `value` in every lane.
    fn splat(value: f32) -> Self::Vector;
    /// Loads the lanes from memory.
    fn load(from: &[f32; LANES]) -> Self::Vector;
    /// Stores the lanes to memory.
    fn store(vector: Self::Vector, to: &mut [f32; LANES]);
    /// a·b + c in each lane, rounded once.
    fn fma_lanes(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
}

/// Sixteen floats as an array, which the compiler vectorises as it can.
type Array = [f32; LANES];

macro_rules! array_machine {
    () => {
        type Vector = Array;

        #[inline(always)]
        fn splat(value: f32) -> Array {
            [value; LANES]
        }

        #[inline(always)]
        fn load(from: &Array) -> Array {
            *from
        }

        #[inline(always)]
        fn store(vector: Array, to: &mut Array) {
            *to = vector;
        }

        #[inline(always)]
        fn fma_lanes(a: Array, b: Array, c: Array) -> Array {
            let mut out = [0.0; LANES];
            for lane in 0..LANES {
                out[lane] = Self::fma(a[lane], b[lane], c[lane]);
            }
            out
        }
    };
}

/// A processor whose baseline has the instruction: NEON, or a build for one processor.
#[derive(Clone, Copy)]
pub(crate) struct Hardware;

impl Machine for Hardware {
    array_machine!();

    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

/// For processors without one: the scalar reference.
#[derive(Clone, Copy)]
pub(crate) struct Software;

impl Machine for Software {
    array_machine!();

    /// The product is exact in binary64. The sum is rounded to odd there, so that rounding it
    /// again to binary32 gives what one rounding would have (Boldo and Melquiond, 2008).
    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        let product = f64::from(a) * f64::from(b);
        let c = f64::from(c);
        let sum = product + c;
        // Knuth's two-sum: the exact rounding error of `sum`.
        let part = sum - product;
        let lost = (product - (sum - part)) + (c - part);
        let bits = sum.to_bits();
        let inexact = lost != 0.0 && sum.is_finite();
        if inexact && bits & 1 == 0 {
            // An odd neighbour is on the side of the rounding error.
            let away_from_zero = (lost > 0.0) == (sum > 0.0);
            let odd = if away_from_zero { bits + 1 } else { bits - 1 };
            return f64::from_bits(odd) as f32;
        }
        sum as f32
    }
}

/// The first 16 of `from`, or all of them followed by zeros.
#[inline(always)]
pub(crate) fn load<M: Machine>(from: &[f32]) -> M::Vector {
    match from.first_chunk::<LANES>() {
        Some(whole) => M::load(whole),
        None => {
            let mut padded = [0.0; LANES];
            padded[..from.len()].copy_from_slice(from);
            M::load(&padded)
        }
    }
}

/// Writes as many lanes as `to` can hold.
#[inline(always)]
pub(crate) fn store<M: Machine>(vector: M::Vector, to: &mut [f32]) {
    match to.first_chunk_mut::<LANES>() {
        Some(whole) => M::store(vector, whole),
        None => {
            let mut padded = [0.0; LANES];
            M::store(vector, &mut padded);
            to.copy_from_slice(&padded[..to.len()]);
        }
    }
}

/// Prefetches the cache line with `data[at]`, if it exists: a hint, with no effect if the target has no such
/// instruction.
#[inline(always)]
pub(crate) fn prefetch(data: &[f32], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(of) = data.get(at) {
        crate::x86::prefetch(of);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (data, at);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200_000))]

        /// The standard library's `mul_add` is specified to round once, and is a different implementation (the
        /// platform's, or the processor's).
        #[test]
        fn the_software_fma_rounds_once(a in any::<u32>(), b in any::<u32>(), c in any::<u32>(), near in any::<bool>()) {
            let (a, b) = (f32::from_bits(a), f32::from_bits(b));
            // Half of the cases have an addend that nearly cancels the product.
            let c = if near { -(a * b) * (1.0 + f32::from_bits(0x3400_0000 | (c & 0x7f_ffff))) } else { f32::from_bits(c) };
            let (ours, theirs) = (Software::fma(a, b, c), a.mul_add(b, c));
            prop_assert!(ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()), "{a:e} {b:e} {c:e}: {ours:e} {theirs:e}");
        }
    }

    #[test]
    fn ties_and_denormals_round_once() {
        let tiny = f32::from_bits(1);
        for (a, b, c) in [
            (1.0 + f32::EPSILON, 1.0 + f32::EPSILON, -1.0),
            (tiny, 0.5, tiny),
            (tiny, 0.5, 0.0),
            (tiny, -0.5, -0.0),
            (f32::MAX, 2.0, f32::NEG_INFINITY),
            (f32::MAX, 1.0 + f32::EPSILON, -f32::MAX),
            (1.0, 1.0, f32::EPSILON / 2.0),
            (1.0, 1.0 + f32::EPSILON, f32::EPSILON / 2.0),
            (f32::INFINITY, 1.0, 1.0),
        ] {
            assert_eq!(Software::fma(a, b, c).to_bits(), a.mul_add(b, c).to_bits(), "{a:e} {b:e} {c:e}");
        }
    }
}

//! Sixteen floats in the registers of x86-64, and its prefetch instruction.
//!
//! Without these types the compiler keeps an array of sixteen floats in registers for some tile sizes and in memory,
//! forty times slower, for others. With the processor's own vector types it always uses registers. `unsafe` here has
//! one reason: each function uses instructions that not every processor has. It is sound because only
//! [`crate::isa::run_on`] runs code for these targets, and it checks the processor first.

use std::arch::x86_64::{
    __m256, __m512, _MM_HINT_T0, _mm_prefetch, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_storeu_ps,
    _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps, _mm512_storeu_ps,
};

use crate::lanes::{LANES, Machine};

/// Prefetches the cache line that contains `of`.
#[inline(always)]
pub(crate) fn prefetch(of: &f32) {
    // SAFETY: every x86-64 has the instruction; it only hints, reads nothing and cannot fault.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(of).cast()) }
}

/// AVX-512: one register.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

impl Machine for Avx512 {
    type Vector = __m512;

    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn splat(value: f32) -> __m512 {
        // SAFETY: this target runs only where AVX-512 is available.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(from: &[f32; LANES]) -> __m512 {
        // SAFETY: as above, and sixteen floats are readable.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn store(vector: __m512, to: &mut [f32; LANES]) {
        // SAFETY: as above, and sixteen floats are writable.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn fma_lanes(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: this target runs only where AVX-512 is available.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
}

/// AVX2 with FMA: two registers.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

impl Machine for Avx2 {
    type Vector = [__m256; 2];

    #[inline(always)]
    fn fma(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    fn splat(value: f32) -> [__m256; 2] {
        // SAFETY: this target runs only where AVX2 is available.
        let half = unsafe { _mm256_set1_ps(value) };
        [half, half]
    }

    #[inline(always)]
    fn load(from: &[f32; LANES]) -> [__m256; 2] {
        // SAFETY: as above, and sixteen floats are readable.
        unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(LANES / 2))] }
    }

    #[inline(always)]
    fn store(vector: [__m256; 2], to: &mut [f32; LANES]) {
        // SAFETY: as above, and sixteen floats are writable.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), vector[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(LANES / 2), vector[1]);
        }
    }

    #[inline(always)]
    fn fma_lanes(a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        // SAFETY: this target runs only where AVX2 and FMA are available.
        unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
    }
}

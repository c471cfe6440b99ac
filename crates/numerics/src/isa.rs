//! One portable body, compiled for several instruction sets and selected at run time.
//!
//! `unsafe` here has one reason: calling a function compiled for instructions that only some processors have (the
//! vectors of these are in `x86`). It is sound because only [`detect`] and [`force`] return [`Isa::Avx2`] and
//! [`Isa::Avx512`], after checking the processor.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::lanes::{Hardware, LANES, Machine, Software};
#[cfg(target_arch = "x86_64")]
use crate::x86::{Avx2, Avx512};

/// An instruction set that the kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Isa {
    /// The instructions of every processor of the architecture; on x86-64 that is SSE2, without fma, which is then
    /// computed in software.
    Baseline = 1,
    /// x86-64 with AVX2 and FMA.
    Avx2 = 2,
    /// x86-64 with AVX-512 F, VL, DQ and BW.
    Avx512 = 3,
}

impl Isa {
    /// All, starting with the slowest.
    pub const ALL: [Self; 3] = [Self::Baseline, Self::Avx2, Self::Avx512];

    /// The name, as [`Self::from_name`] reads it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// The instruction set called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|isa| isa.name() == name)
    }

    /// Whether this processor has it.
    pub fn is_here(self) -> bool {
        match self {
            Self::Baseline => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_here()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 | Self::Avx512 => false,
        }
    }
}

/// The instruction set in use; 0 before the first call.
static CHOSEN: AtomicU8 = AtomicU8::new(0);

/// The best instruction set of this machine, or the one that was forced.
pub fn detect() -> Isa {
    match CHOSEN.load(Ordering::Relaxed) {
        1 => Isa::Baseline,
        2 => Isa::Avx2,
        3 => Isa::Avx512,
        _ => {
            let best = Isa::ALL.into_iter().rev().find(|isa| isa.is_here()).unwrap_or(Isa::Baseline);
            CHOSEN.store(best as u8, Ordering::Relaxed);
            best
        }
    }
}

/// Uses `isa` from now on, to test that it does not change any bit.
///
/// Returns whether this processor has it; if not, nothing changes.
pub fn force(isa: Isa) -> bool {
    let here = isa.is_here();
    if here {
        CHOSEN.store(isa as u8, Ordering::Relaxed);
    }
    here
}

/// A body that is compiled for each instruction set. `run` and everything that it calls in its loops must be
/// `#[inline(always)]`: only code inlined into the compiled function gets its instructions.
pub(crate) trait Kernel {
    type Output;
    fn run<M: Machine>(self) -> Self::Output;
}

/// Runs `kernel` with the instruction set in use.
pub(crate) fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    run_on(detect(), kernel)
}

/// Runs `kernel` with `isa`, which this machine must have.
pub(crate) fn run_on<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `detect` and `force`, the only sources of this value, checked the processor.
        Isa::Avx512 => unsafe { avx512(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2(kernel) },
        _ if cfg!(any(target_feature = "fma", target_arch = "aarch64")) => kernel.run::<Hardware>(),
        _ => kernel.run::<Software>(),
    }
}

/// A body of plain arithmetic that is compiled for each instruction set, for computations of other crates on many
/// numbers. `run` and everything that it calls in its loops must be `#[inline(always)]`. Rust fuses and reorders no
/// operations on floats, so it has the same bits everywhere.
pub trait Plain {
    /// Its result.
    type Output;
    /// Computes it.
    fn run(self) -> Self::Output;
}

/// Runs `body` with the instruction set in use.
pub fn plain<P: Plain>(body: P) -> P::Output {
    struct OnAny<P>(P);
    impl<P: Plain> Kernel for OnAny<P> {
        type Output = P::Output;

        #[inline(always)]
        fn run<M: Machine>(self) -> P::Output {
            self.0.run()
        }
    }
    dispatch(OnAny(body))
}

/// As [`Kernel`], for a kernel that keeps a tile of `ROWS` × (`VECTORS` · 16) sums in registers.
pub(crate) trait TiledKernel {
    type Output;
    fn run<M: Machine, const ROWS: usize, const VECTORS: usize>(self) -> Self::Output;
}

/// A multiple of every tile's rows.
pub(crate) const TILE_ROWS: usize = 12;

/// The number of columns of a tile of `isa`.
pub(crate) const fn tile_width(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 2 * LANES,
        Isa::Avx2 | Isa::Baseline => LANES,
    }
}

/// Runs `kernel` with `isa`, which this machine must have, and with tiles of as many sums as its registers can hold.
pub(crate) fn run_tiled<K: TiledKernel>(isa: Isa, kernel: K) -> K::Output {
    struct Tiled<K, const ROWS: usize, const VECTORS: usize>(K);
    impl<K: TiledKernel, const ROWS: usize, const VECTORS: usize> Kernel for Tiled<K, ROWS, VECTORS> {
        type Output = K::Output;

        #[inline(always)]
        fn run<M: Machine>(self) -> K::Output {
            self.0.run::<M, ROWS, VECTORS>()
        }
    }
    match isa {
        Isa::Avx512 => run_on(isa, Tiled::<K, 12, 2>(kernel)),
        Isa::Avx2 | Isa::Baseline => run_on(isa, Tiled::<K, 6, 1>(kernel)),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx512>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Avx2>()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The instruction sets that this machine can test.
    pub(crate) fn here() -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(|isa| isa.is_here())
    }

    #[test]
    fn names_are_read_back() {
        for isa in Isa::ALL {
            assert_eq!(Isa::from_name(isa.name()), Some(isa));
        }
        assert_eq!(Isa::from_name("mmx"), None);
        assert!(force(detect()));
    }
}

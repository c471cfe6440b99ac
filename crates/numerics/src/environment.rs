//! Checks that the processor still computes with the default settings of IEEE 754.
//!
//! Another library in the process may have changed the rounding mode, or enabled flushing of denormals to zero, for
//! one thread or for all.

use std::hint::black_box;

use thiserror::Error;

/// The floating-point environment of a thread is not the default one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EnvironmentError {
    /// Rounding is not to nearest even.
    #[error("the rounding mode of a thread is not round-to-nearest-even; something in this process has changed it")]
    Rounding,
    /// Denormals are flushed to zero.
    #[error("a thread flushes denormal numbers to zero; something in this process has changed this mode")]
    Flush,
}

/// Checks this thread and every thread of the pool in use.
///
/// # Errors
/// The change in the first thread that has one.
pub fn check() -> Result<(), EnvironmentError> {
    check_thread()?;
    rayon::broadcast(|_| check_thread()).into_iter().collect()
}

fn check_thread() -> Result<(), EnvironmentError> {
    let one = black_box(1.0f32);
    let half_ulp = black_box(f32::EPSILON / 2.0);
    // Exactly between two floats: to even is down for the first and up for the second. Upward, downward and toward
    // zero each give at least one wrong result of these four.
    let ties = [
        (one + half_ulp, 1.0),
        (one + f32::EPSILON + half_ulp, 1.0 + 2.0 * f32::EPSILON),
        (-one - half_ulp, -1.0),
        (-one - f32::EPSILON - half_ulp, -1.0 - 2.0 * f32::EPSILON),
    ];
    if ties.iter().any(|(got, expected)| got != expected) {
        return Err(EnvironmentError::Rounding);
    }
    let smallest = black_box(f32::MIN_POSITIVE);
    let made = black_box(smallest * black_box(0.5));
    let read = black_box(black_box(f32::from_bits(1)) * black_box(8_388_608.0));
    if made.to_bits() != 0x0040_0000 || read.to_bits() != f32::MIN_POSITIVE.to_bits() {
        return Err(EnvironmentError::Flush);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_environment_passes() {
        assert_eq!(check(), Ok(()));
    }

    /// Changes this thread's control word and restores it: the only way to test that the check fails.
    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_changed_environment_is_found() {
        fn with(bits: u32) -> Result<(), EnvironmentError> {
            let mut old = 0u32;
            // SAFETY: the instructions read and write the four bytes they are given, and the old control word is
            // restored before any other code runs.
            unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut old) };
            let new = old | bits;
            // SAFETY: as above.
            unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const new) };
            let found = check_thread();
            // SAFETY: as above.
            unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const old) };
            found
        }
        assert_eq!(with(0x2000), Err(EnvironmentError::Rounding), "downward");
        assert_eq!(with(0x4000), Err(EnvironmentError::Rounding), "upward");
        assert_eq!(with(0x6000), Err(EnvironmentError::Rounding), "toward zero");
        assert_eq!(with(0x8000), Err(EnvironmentError::Flush), "flush to zero");
        assert_eq!(with(0x0040), Err(EnvironmentError::Flush), "denormals are zero");
        assert_eq!(with(0), Ok(()));
    }
}

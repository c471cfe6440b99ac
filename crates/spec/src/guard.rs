//! Turns panics of other libraries into errors. Some libraries panic on damaged or malicious bytes; that is not a bug
//! of retrace.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use thiserror::Error;

use crate::foreign::excerpt;

static GUARDED: AtomicUsize = AtomicUsize::new(0);

/// A library panicked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("it may be damaged; its reader failed: {what}")]
pub struct GaveUp {
    /// The message of the panic.
    pub what: String,
}

/// Whether some thread is in a call whose panics become errors. Meanwhile a panic hook need not report a panic of a
/// library.
pub fn guarded() -> bool {
    GUARDED.load(Ordering::Relaxed) > 0
}

/// The result of `work`, or an error if it panics. For calls of libraries with data from others; data that such a call
/// may have left incomplete must not be used afterwards.
///
/// # Errors
/// If it panics.
pub fn guard<T>(work: impl FnOnce() -> T) -> Result<T, GaveUp> {
    GUARDED.fetch_add(1, Ordering::Relaxed);
    // Nothing that a panic leaves incomplete is used again: the values that it worked on are dropped.
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.fetch_sub(1, Ordering::Relaxed);
    result.map_err(|panic| {
        let what = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        GaveUp { what: excerpt(what.unwrap_or("no reason given")).into_owned() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error() {
        assert_eq!(guard(|| 7), Ok(7));
        let index = std::hint::black_box(2);
        for (gave_up, what) in [
            (guard(|| assert_eq!([0; 2][index], 0)), "index out of bounds"),
            (guard(|| panic!("{}", "x".repeat(1_000_000))), "bytes more"),
            (guard(|| std::panic::panic_any(7)), "no reason given"),
        ] {
            let said = gave_up.expect_err("it panics").to_string();
            assert!(said.contains(what) && said.len() < 400, "{said}");
        }
        assert!(guard(guarded).expect("does not panic"));
    }
}

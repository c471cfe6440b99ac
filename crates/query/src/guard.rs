//! Panics of the readers that we stand on, as errors. Those of Parquet and Arrow panic at some files
//! that are damaged or made to do harm.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::QueryError;

static GUARDED: AtomicUsize = AtomicUsize::new(0);

/// Whether something is being read whose panics become errors. Whoever tells people of panics need not
/// tell of one in a library now.
pub fn guarded() -> bool {
    GUARDED.load(Ordering::Relaxed) > 0
}

/// What `work` gives, or an error where it panics.
pub(crate) fn guard<T>(work: impl FnOnce() -> Result<T, QueryError>) -> Result<T, QueryError> {
    GUARDED.fetch_add(1, Ordering::Relaxed);
    // Nothing that a panic leaves half done is looked at again: the answer is dropped.
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.fetch_sub(1, Ordering::Relaxed);
    result.unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(QueryError::Damaged { what: what.unwrap_or("it does not say why").to_owned() })
    })
}

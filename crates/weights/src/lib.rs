//! What the numbers of checkpoints look like: of every tensor its norm, moments and extremes, how far
//! it moved from one checkpoint to the next, its stable rank.
//!
//! [`stats()`] reads each checkpoint once, in constant memory. The same files give the same bits on
//! every machine. This crate knows nothing of tables or runs.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod moments;
mod spectrum;
mod stats;

pub use moments::{Moments, Pair};
pub use spectrum::largest_singular_value;
pub use stats::{StatsError, TensorStats, stats};

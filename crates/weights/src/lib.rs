//! What the numbers of checkpoints look like: of every tensor its norm, moments and extremes, how far
//! it moved from one checkpoint to the next, its stable rank; how far two tensors are apart, and whether a
//! model is the average of others.
//!
//! [`stats()`] reads each checkpoint once, in constant memory. The same files give the same bits on
//! every machine. This crate knows nothing of tables or runs.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod average;
mod distance;
mod moments;
mod spectrum;
mod stats;

pub use average::{AverageError, Averaged, Closeness, Mean, average};
pub use distance::{Apart, Distance, apart, numbers, numbers_into, same_bytes};
pub use moments::{Moments, Pair};
pub use spectrum::largest_singular_value;
pub use stats::{StatsError, TensorStats, stats};

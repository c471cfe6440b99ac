//! Statistics of checkpoints: for every tensor its norm, moments and extremes, its change from one checkpoint to the
//! next, its stable rank; the distance of two tensors, and whether a model is the average of others.
//!
//! [`stats()`] reads each checkpoint once, in constant memory. The same files give the same bits on every machine.
//! This crate does not depend on tables or runs.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod average;
mod distance;
mod minifloat;
mod moments;
mod spectrum;
mod stats;

pub use average::{AverageError, Averaged, Closeness, Computed, Mean, average};
pub use distance::{Apart, Distance, apart, has_numbers, numbers, numbers_into, same_bytes};
pub use moments::{Moments, Pair};
pub use spectrum::largest_singular_value;
pub use stats::{StatsError, TensorStats, stats};

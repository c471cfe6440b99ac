//! Searches a corpus for the items of benchmarks, in English, Chinese or both.

mod ngrams;
mod simplified;
mod text;

pub use ngrams::{Counts, Hit, Index, IndexError, Item, LENGTH, SHORTEST, THRESHOLD, TaskCounts};

//! Searches a corpus for the items of benchmarks, in English, Chinese or both.

mod align;
mod cover;
mod decon;
mod finding;
mod impossible;
mod index;
mod item;
mod judge;
mod markup;
mod method;
mod ngrams;
mod published;
mod search;
mod seen;
mod sentences;
mod simplified;
mod spans;
mod tally;
mod text;
mod words;

pub use finding::{Finding, Form, ItemSpan, Seen, Verdict};
pub use impossible::{Impossible, impossible};
pub use item::{BenchmarkItem, Document, Part};
pub use method::Method;
pub use ngrams::{Counts, Hit, Index, IndexError, Item, LENGTH, SHORTEST, THRESHOLD, TaskCounts};
pub use search::{Outcome, Scanner, Search, SearchError};
pub use tally::{KEPT, OtherSearch, Tally};

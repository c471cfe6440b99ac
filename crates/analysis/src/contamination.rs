//! Searches a corpus for the items of benchmarks, in English, Chinese or both.
//!
//! [`Search`] holds the items and the methods, a [`Scanner`] for each thread scans documents one at a time into a
//! [`Tally`], tallies of shards are merged in any order, and [`Search::finish`] gives the verdicts. Memory depends on
//! the items: of each item only so many documents are kept, [`KEPT`] or [`Search::keeping`], the worst; the others are counted.
//!
//! The method [`Method::Spans`]:
//!
//! 1. Item and document are read as units (`text.rs`): words, or single characters of Chinese and Japanese, after
//!    NFKC, without case, punctuation, markup, escapes, and the difference between Traditional and Simplified.
//! 2. Seeds, 3 words or 4 characters, lead from a document to the few parts of items that it may have (`index.rs`).
//!    How many documents have each seed is counted on the way.
//! 3. Where most of a part's seeds are, the part is aligned with the document (`align.rs`, `cover.rs`). What was found
//!    is weighted: a phrase of many items weighs little, and so do common words and what the part repeats.
//! 4. The question decides (`judge.rs`). A leak has most of its weight, in order and close together. It is no leak if
//!    numbers or names differ while the words agree, if only a quoted text is there, or if another item of the same
//!    template fits better. A short question must ask; one without content of its own needs its choices, its passage
//!    or its answer beside it. A long and rare solution is a leak by itself.
//! 5. At the end, a piece of a question that many documents have without the rest is a stock phrase, and so is a short
//!    question that many documents have without choices and answer.
//!
//! The other methods are those of papers (`published.rs`, `decon.rs`).

mod align;
mod cover;
mod decon;
mod finding;
mod impossible;
mod index;
mod item;
mod judge;
mod markup;
mod published;
mod search;
mod seeds;
mod seen;
mod sentences;
mod simplified;
mod spans;
mod tally;
mod text;
mod words;

pub use finding::{Excerpt, Finding, Form, ItemSpan, Seen};
pub use impossible::{Impossible, impossible};
pub use item::{BenchmarkItem, Document, Part};
pub use retrace_spec::recipe::{Method, Verdict};
pub use search::{LeftOut, Outcome, Scanner, Search, SearchError};
pub use tally::{KEPT, OtherSearch, Tally};

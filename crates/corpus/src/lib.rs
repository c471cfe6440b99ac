//! Documents, shards, cleaning, deduplication, tokenizers, token shards, data order.
//!
//! From raw documents to the sequence that a model sees at any step: each stage reads files and
//! writes files, the same bytes for the same input. This crate knows nothing of models, and prints
//! nothing.

mod clean;
mod document;
mod error;
pub mod order;
mod rules;
pub mod synthetic;
mod tokenize;
pub mod tokenizer;
pub mod tokens;

pub use clean::{CleanReport, LedgerEntry, clean};
pub use document::{CorpusDocument, Language};
pub use error::CorpusError;
pub use tokenize::{TokenizeReport, tokenize};

//! Documents, shards, cleaning, deduplication, tokenizers, token shards, data order.
//!
//! This crate covers everything from raw documents to the sequence that a model is trained on at a step. Each stage
//! reads and writes files, with the same bytes for the same input. This crate does not depend on models, and does not
//! print.

mod clean;
mod contamination;
mod document;
mod error;
pub mod order;
mod prompt;
pub mod records;
mod rules;
pub mod synthetic;
mod tokenize;
pub mod tokenizer;
pub mod tokens;

pub use clean::{CONTAMINATION, CleanReport, LedgerEntry, clean};
pub use contamination::{Found, FoundIn};
pub use document::CorpusDocument;
pub use error::CorpusError;
pub use prompt::PromptTokenizer;
pub use retrace_spec::recipe::Language;
pub use tokenize::{TokenizeReport, tokenize};

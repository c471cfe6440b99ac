//! A document of a corpus.

use serde::{Deserialize, Serialize};

/// A document, as a line of a shard has it. Other fields that a real corpus has are passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusDocument {
    /// Unique in the corpus.
    pub id: String,
    /// The text.
    pub text: String,
    /// The language that it is said to be in.
    pub lang: Language,
    /// Where it comes from.
    #[serde(default)]
    pub source: String,
}

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    En,
    /// Chinese.
    Zh,
}

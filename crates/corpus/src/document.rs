//! A document of a corpus.

use serde::{Deserialize, Serialize};

/// A document, as a line of a shard contains it. Other fields of a real corpus are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorpusDocument {
    /// Unique in the corpus.
    pub id: String,
    /// The text.
    pub text: String,
    /// Its declared language.
    pub lang: Language,
    /// Its source.
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

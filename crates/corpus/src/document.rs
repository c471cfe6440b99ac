//! A document of a corpus.

use retrace_spec::recipe::Language;
use serde::{Deserialize, Serialize};

/// A document, as a line of a made shard contains it.
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

//! The recipe of tokenization.

use serde::{Deserialize, Serialize};

use super::{check_input, check_name};
use crate::document::Complaint;
use crate::{Document, Pattern, RelPath};

/// How documents become tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizeRecipe {
    /// `tokenize/1`.
    pub retrace: String,
    /// The name of the step in the manifest.
    pub name: String,
    /// The tokenizer.
    pub tokenizer: TokenizerSource,
    /// The column of the documents with their text.
    #[serde(default = "text", skip_serializing_if = "is_text")]
    pub text: String,
    /// The token shards to make, one entry for each.
    pub shards: Vec<TokenShard>,
}

fn text() -> String {
    "text".to_owned()
}

fn is_text(column: &str) -> bool {
    column == "text"
}

/// The source of the tokenizer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "from", rename_all = "lowercase")]
pub enum TokenizerSource {
    /// An existing `tokenizer.json`.
    File {
        /// Its path.
        path: RelPath,
        /// The token that is added after each document.
        end_of_text: String,
    },
    /// A byte-level BPE, trained on all the recipe's documents.
    Train {
        /// Where it is written.
        path: RelPath,
        /// Its vocabulary size.
        vocab_size: usize,
        /// The token that is added after each document; it gets id 0.
        end_of_text: String,
    },
}

impl TokenizerSource {
    /// The path at which the `tokenizer.json` is after the step.
    pub const fn path(&self) -> &RelPath {
        match self {
            Self::File { path, .. } | Self::Train { path, .. } => path,
        }
    }

    /// The token that is added after each document.
    pub fn end_of_text(&self) -> &str {
        match self {
            Self::File { end_of_text, .. } | Self::Train { end_of_text, .. } => end_of_text,
        }
    }
}

/// A token shard to make.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenShard {
    /// Its documents, JSON lines (plain, gzip or zstd), JSON lists or Parquet; a `*` in the last part matches any text.
    pub input: Vec<Pattern>,
    /// Where it is written.
    pub output: RelPath,
}

impl Document for TokenizeRecipe {
    const SCHEMA: &'static str = "tokenize/1";

    fn schema(&self) -> &str {
        &self.retrace
    }

    fn check(&self) -> Result<(), Complaint> {
        check_name(&self.name)?;
        if let TokenizerSource::Train { vocab_size, .. } = self.tokenizer
            && !(257..=1 << 20).contains(&vocab_size)
        {
            return Err((
                "tokenizer.vocab_size".to_owned(),
                format!("{vocab_size} is not between 257 (all bytes and the end of text) and 2^20"),
            ));
        }
        if self.tokenizer.end_of_text().is_empty() {
            return Err(("tokenizer.end_of_text".to_owned(), "is empty".to_owned()));
        }
        if self.shards.is_empty() {
            return Err(("shards".to_owned(), "is empty".to_owned()));
        }
        for (index, shard) in self.shards.iter().enumerate() {
            check_input(&format!("shards[{index}].input"), &shard.input)?;
        }
        Ok(())
    }
}

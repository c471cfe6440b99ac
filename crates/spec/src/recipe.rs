//! Recipes: how documents are cleaned, and how they become tokens. Paths are relative to the
//! directory that the recipe lies in.

use serde::{Deserialize, Serialize};

use crate::document::Complaint;
use crate::{Document, RelPath};

/// How documents are cleaned: rules in order, then deduplication.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CleanRecipe {
    /// `clean/1`.
    pub retrace: String,
    /// What the step is called in the manifest.
    pub name: String,
    /// The shards to read, JSON lines; a `*` in the last part stands for any text.
    pub input: Vec<String>,
    /// The directory that cleaned shards go to, under their own names.
    pub output: RelPath,
    /// Tried in order; the first that fires drops the document.
    pub rules: Vec<Rule>,
    /// Whether a document that was there before is dropped.
    #[serde(default)]
    pub deduplicate: Deduplicate,
}

/// A reason to drop a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "rule", rename_all = "snake_case")]
pub enum Rule {
    /// Too short or too long, in characters that are not white space.
    Characters {
        /// Fewest.
        at_least: u64,
        /// Most.
        at_most: u64,
    },
    /// Too many of its lines are repeats of earlier ones of the document.
    RepeatedLines {
        /// Largest fraction of lines.
        at_most: f64,
    },
    /// Too many of its lines hold one of these phrases.
    Boilerplate {
        /// Largest fraction of lines.
        at_most: f64,
        /// The phrases, compared after NFKC and in lower case.
        phrases: Vec<String>,
    },
    /// Too few of its letters are of its language's script after NFKC (`en`: Latin; `zh`: Han).
    Script {
        /// Smallest fraction of letters.
        at_least: f64,
    },
    /// Too many of its characters are neither letters, digits, punctuation nor white space.
    Symbols {
        /// Largest fraction of characters.
        at_most: f64,
    },
}

impl Rule {
    /// The rule's name, as in the recipe.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Characters { .. } => "characters",
            Self::RepeatedLines { .. } => "repeated_lines",
            Self::Boilerplate { .. } => "boilerplate",
            Self::Script { .. } => "script",
            Self::Symbols { .. } => "symbols",
        }
    }
}

/// Which documents count as the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deduplicate {
    /// None.
    #[default]
    No,
    /// Those with the same text, after NFKC and with white space folded.
    Exact,
}

impl Document for CleanRecipe {
    const SCHEMA: &'static str = "clean/1";

    fn schema(&self) -> &str {
        &self.retrace
    }

    fn check(&self) -> Result<(), Complaint> {
        check_name(&self.name)?;
        check_input("input", &self.input)?;
        for (index, rule) in self.rules.iter().enumerate() {
            let fraction = match rule {
                Rule::Characters { at_least, at_most } if at_least > at_most => {
                    return Err((format!("rules[{index}]"), format!("at_least {at_least} is over at_most {at_most}")));
                }
                Rule::Characters { .. } => 0.0,
                Rule::RepeatedLines { at_most } | Rule::Boilerplate { at_most, .. } | Rule::Symbols { at_most } => {
                    *at_most
                }
                Rule::Script { at_least } => *at_least,
            };
            if !(0.0..=1.0).contains(&fraction) {
                return Err((format!("rules[{index}]"), format!("{fraction} is not a fraction from 0 to 1")));
            }
        }
        Ok(())
    }
}

/// How documents become tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizeRecipe {
    /// `tokenize/1`.
    pub retrace: String,
    /// What the step is called in the manifest.
    pub name: String,
    /// The tokenizer.
    pub tokenizer: TokenizerSource,
    /// The token shards to make, one each.
    pub shards: Vec<TokenShard>,
}

/// Where the tokenizer comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "from", rename_all = "lowercase")]
pub enum TokenizerSource {
    /// A `tokenizer.json` that is there.
    File {
        /// Where.
        path: RelPath,
        /// The token that is put after each document.
        end_of_text: String,
    },
    /// A byte-level BPE, trained on all the recipe's documents.
    Train {
        /// Where it is written.
        path: RelPath,
        /// Its size.
        vocab_size: usize,
        /// The token that is put after each document; it gets id 0.
        end_of_text: String,
    },
}

impl TokenizerSource {
    /// Where the `tokenizer.json` lies in the end.
    pub const fn path(&self) -> &RelPath {
        match self {
            Self::File { path, .. } | Self::Train { path, .. } => path,
        }
    }

    /// The token that is put after each document.
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
    /// Its documents, JSON lines; a `*` in the last part stands for any text.
    pub input: Vec<String>,
    /// Where it goes.
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

fn check_name(name: &str) -> Result<(), Complaint> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err(("name".to_owned(), format!("{name:?} is not letters, digits, `-`, `_` and `.`")));
    }
    Ok(())
}

/// A pattern is a path inside the release whose last part may hold `*`.
fn check_input(field: &str, patterns: &[String]) -> Result<(), Complaint> {
    if patterns.is_empty() {
        return Err((field.to_owned(), "is empty".to_owned()));
    }
    for pattern in patterns {
        let path: RelPath = pattern.parse().map_err(|e: crate::PathError| (field.to_owned(), e.to_string()))?;
        if path.parent().is_some_and(|parent| parent.as_str().contains('*')) {
            return Err((field.to_owned(), format!("{pattern:?} has a `*` in a directory; only the last part may")));
        }
    }
    Ok(())
}

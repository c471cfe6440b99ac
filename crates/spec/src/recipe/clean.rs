//! The recipe of a cleaning step.

use serde::{Deserialize, Serialize};

use super::contamination::check_once;
use super::{Method, Verdict, check_input, check_name};
use crate::document::Complaint;
use crate::{Document, Pattern, RelPath};

/// How documents are cleaned: what is contaminated is removed, then rules in order, then deduplication.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CleanRecipe {
    /// `clean/1`.
    pub retrace: String,
    /// The name of the step in the manifest.
    pub name: String,
    /// The shards to read, JSON lines; a `*` in the last part matches any text.
    pub input: Vec<Pattern>,
    /// The directory of the cleaned shards, which keep their names.
    pub output: RelPath,
    /// The items of benchmarks that a search found in the shards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contamination: Option<Contaminated>,
    /// Applied in order; the first one that fires drops the document.
    pub rules: Vec<Rule>,
    /// Whether a document that occurred before is dropped.
    #[serde(default)]
    pub deduplicate: Deduplicate,
}

/// What is removed because a search found items of benchmarks in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contaminated {
    /// The table `contamination` of the search, a Parquet file.
    pub table: RelPath,
    /// What is removed.
    pub remove: Remove,
    /// The methods whose findings count; if there are none, all in the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<Method>>,
    /// The verdicts that count.
    #[serde(default = "leaks")]
    pub verdicts: Vec<Verdict>,
}

fn leaks() -> Vec<Verdict> {
    vec![Verdict::Leak]
}

/// How much is removed of a document in which something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Remove {
    /// The document.
    Documents,
    /// The stretches of its text that were found.
    Spans,
}

/// A reason to drop a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "rule", rename_all = "snake_case")]
pub enum Rule {
    /// Too short or too long, in characters that are not white space.
    Characters {
        /// Minimum.
        at_least: u64,
        /// Maximum.
        at_most: u64,
    },
    /// Too many of its lines repeat earlier lines of the document.
    RepeatedLines {
        /// Largest fraction of lines.
        at_most: f64,
    },
    /// Too many of its lines contain one of these phrases.
    Boilerplate {
        /// Largest fraction of lines.
        at_most: f64,
        /// The phrases, compared after NFKC and in lower case.
        phrases: Vec<String>,
    },
    /// Too few of its letters are in its language's script after NFKC (`en`: Latin; `zh`: Han).
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
    /// Those with the same text, after NFKC and with white space collapsed.
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
        if let Some(Contaminated { methods, verdicts, .. }) = &self.contamination {
            methods.as_ref().map_or(Ok(()), |methods| check_once("contamination.methods", methods))?;
            check_once("contamination.verdicts", verdicts)?;
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let fraction = match rule {
                Rule::Characters { at_least, at_most } if at_least > at_most => {
                    return Err((format!("rules[{index}]"), format!("at_least {at_least} is above at_most {at_most}")));
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

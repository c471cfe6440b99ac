//! The recipe of a cleaning step.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::contamination::check_once;
use super::{Method, Verdict, check_input, check_name};
use crate::document::Complaint;
use crate::{Document, PathError, Pattern, RelPath};

/// How documents are cleaned: what is contaminated is removed, then rules in order, then deduplication.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CleanRecipe {
    /// `clean/1`.
    pub retrace: String,
    /// The name of the step in the manifest.
    pub name: String,
    /// The shards to read, JSON lines (plain, gzip or zstd), JSON lists or Parquet; a `*` in the last part matches any
    /// text.
    pub input: Vec<Pattern>,
    /// Columns of the shards that have other names than the fields `id`, `text` and `lang`: `text: content`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// The language of all documents, whatever they state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lang: Option<Language>,
    /// What happens if a document cannot be read.
    #[serde(default, skip_serializing_if = "Unreadable::is_refused")]
    pub unreadable: Unreadable,
    /// The directory of the cleaned shards, JSON lines, which keep their names ([`cleaned_name`]).
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

/// The language of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    En,
    /// Chinese.
    Zh,
}

/// What happens if a document cannot be read: its line is not JSON or not Unicode, or has no text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unreadable {
    /// Nothing is written.
    #[default]
    Refuse,
    /// It is dropped. A shard in which no document can be read is refused.
    Drop,
}

impl Unreadable {
    /// Whether nothing is written.
    pub fn is_refused(&self) -> bool {
        *self == Self::Refuse
    }
}

/// The fields of a document that cleaning reads.
const FIELDS: [&str; 3] = ["id", "text", "lang"];

/// The ends of names that a cleaned shard does not have: it is plain JSON lines.
const ENDS: [&str; 3] = [".gz", ".zst", ".parquet"];

/// The name of the cleaned shard `name`: without `.gz` or `.zst`, and with `.jsonl` in place of `.parquet`.
pub fn cleaned_name(name: &str) -> String {
    let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    plain.strip_suffix(".parquet").map_or_else(|| plain.to_owned(), |stem| format!("{stem}.jsonl"))
}

impl CleanRecipe {
    /// The column of the field `field`.
    pub fn column<'a>(&'a self, field: &'a str) -> &'a str {
        self.fields.get(field).map_or(field, String::as_str)
    }

    /// Whether a rule needs the language of each document, and this recipe does not say it.
    pub fn reads_language(&self) -> bool {
        self.lang.is_none() && self.rules.iter().any(|rule| matches!(rule, Rule::Script { .. }))
    }

    /// Patterns that match the cleaned shards, and may match the ledger.
    ///
    /// # Errors
    /// If a path is not valid.
    pub fn cleaned(&self) -> Result<Vec<Pattern>, PathError> {
        let name = |pattern: &Pattern| match pattern.name().rsplit_once('*') {
            // `*z` matches a name of which the end is cut.
            Some((before, end)) if !ENDS.contains(&end) && ENDS.iter().any(|of| of.ends_with(end)) => {
                format!("{before}*")
            }
            _ => cleaned_name(pattern.name()),
        };
        self.input.iter().map(|pattern| self.output.join(&name(pattern))?.as_str().parse()).collect()
    }
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
        for (field, column) in &self.fields {
            let wrong = match field.as_str() {
                _ if !FIELDS.contains(&field.as_str()) => {
                    format!("there is no such field; they are {}", FIELDS.join(", "))
                }
                _ if column.is_empty() => "names no column".to_owned(),
                "lang" if self.lang.is_some() => "`lang` says the language of all documents".to_owned(),
                _ => continue,
            };
            return Err((format!("fields.{field}"), wrong));
        }
        if let Some(Contaminated { methods, verdicts, remove, .. }) = &self.contamination {
            if *remove == Remove::Spans && self.column("text").contains('.') {
                let what = "spans cannot be cut from a text inside a column; `documents` can be removed".to_owned();
                return Err(("contamination.remove".to_owned(), what));
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: &str = "retrace: clean/1
name: clean
input: [raw/*.jsonl, raw/*.json.gz, raw/c4*.zst, raw/*.parquet, raw/0*, raw/a*z, raw/b.parquet, raw/*-t]
output: out
rules: []
";

    #[test]
    fn cleaned_shards_match_the_patterns_of_their_shards() {
        let recipe = CleanRecipe::parse(RECIPE, "clean.yaml").unwrap();
        let cleaned = recipe.cleaned().unwrap();
        let names: Vec<&str> = cleaned.iter().map(Pattern::as_str).collect();
        let expected =
            ["out/*.jsonl", "out/*.json", "out/c4*", "out/*.jsonl", "out/0*", "out/a*", "out/b.jsonl", "out/*-t"];
        assert_eq!(names, expected);
        for name in
            ["x.jsonl", "x.json.gz", "c4.jsonl.zst", "x.parquet", "0.parquet", "0.gz", "a.gz", "b.parquet", "x-t"]
        {
            let shard = format!("raw/{name}").parse().unwrap();
            let output: RelPath = format!("out/{}", cleaned_name(name)).parse().unwrap();
            for (input, cleaned) in recipe.input.iter().zip(&cleaned) {
                assert!(!input.matches(&shard) || cleaned.matches(&output), "{shard} {cleaned}");
            }
        }
    }

    #[test]
    fn fields_that_mean_nothing_are_refused() {
        for (more, expected) in [
            ("fields: {body: text}", "fields.body: there is no such field"),
            ("fields: {text: ''}", "fields.text: names no column"),
            ("fields: {lang: language}\nlang: en", "fields.lang: `lang` says"),
            ("fields: {text: a.b}\ncontamination: {table: t.parquet, remove: spans}", "contamination.remove: spans"),
            ("unreadable: skip", "unreadable"),
            ("lang: de", "lang"),
        ] {
            let error = CleanRecipe::parse(&format!("{RECIPE}{more}\n"), "clean.yaml").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let more = "fields: {text: a.b, id: n}\nlang: zh\nunreadable: drop\n";
        assert!(CleanRecipe::parse(&format!("{RECIPE}{more}"), "clean.yaml").is_ok());
    }
}

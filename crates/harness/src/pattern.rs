//! Regular expressions with the meaning that Python's `re` gives them, on `fancy_regex`.
//!
//! A pattern is translated (`translate`): what the two read differently is written out, and what cannot be is refused.
//! [`Pattern::find_all`] is Python's `findall`, whose empty matches differ from those of `regex`.

mod translate;

use fancy_regex::{Captures, Regex};
use thiserror::Error;

use crate::python::is_space;

/// Why a pattern cannot be used, or a search did not end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// What Python knows and this crate does not.
    #[error("the regular expression '{pattern}' has {what}, which is not supported")]
    Refused {
        /// The pattern.
        pattern: String,
        /// What it has.
        what: String,
    },
    /// It is not a regular expression.
    #[error("the regular expression '{pattern}' is wrong: {problem}")]
    Wrong {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        problem: String,
    },
    /// A search took too many steps.
    #[error("the search for '{pattern}' in a text of {length} bytes was given up: {problem}")]
    GivenUp {
        /// The pattern.
        pattern: String,
        /// The length of the text.
        length: usize,
        /// Why.
        problem: String,
    },
}

const PUNCTUATION: &str = r"\p{P}";

/// What one match of `findall` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The whole match, or the only group; a group that took no part is empty.
    One(String),
    /// The groups of a pattern with several.
    Groups(Vec<String>),
}

/// A regular expression of Python.
#[derive(Debug, Clone)]
pub struct Pattern {
    written: String,
    regex: Regex,
    /// The same, but it matches nothing empty where the search begins.
    forward: Regex,
    groups: usize,
}

impl Pattern {
    /// Translates and compiles a pattern.
    ///
    /// # Errors
    ///
    /// If the pattern is wrong, or has something that is not supported.
    pub fn new(pattern: &str) -> Result<Self, PatternError> {
        let translated = translate::translate(pattern)?;
        let compile = |text: &str| {
            Regex::new(text)
                .map_err(|error| PatternError::Wrong { pattern: pattern.to_owned(), problem: error.to_string() })
        };
        let regex = compile(&translated)?;
        let forward = compile(&format!("(?:{translated})(?!\\G)"))?;
        let groups = regex.captures_len() - 1;
        Ok(Self { written: pattern.to_owned(), regex, forward, groups })
    }

    /// Every character of Unicode's punctuation.
    pub(crate) fn punctuation() -> Result<Self, PatternError> {
        let wrong = |error: fancy_regex::Error| PatternError::Wrong {
            pattern: PUNCTUATION.to_owned(),
            problem: error.to_string(),
        };
        let regex = Regex::new(PUNCTUATION).map_err(wrong)?;
        Ok(Self { written: PUNCTUATION.to_owned(), forward: regex.clone(), regex, groups: 0 })
    }

    /// Python's `findall`.
    ///
    /// # Errors
    ///
    /// If a search takes too many steps.
    pub fn find_all(&self, text: &str) -> Result<Vec<Found>, PatternError> {
        let mut found = Vec::new();
        self.each(text, |captures| {
            let group = |place: usize| captures.get(place).map_or("", |found| found.as_str()).to_owned();
            found.push(match self.groups {
                0 | 1 => Found::One(group(self.groups)),
                _ => Found::Groups((1..=self.groups).map(group).collect()),
            });
        })?;
        Ok(found)
    }

    /// Python's `sub` with nothing in the place of each match.
    ///
    /// # Errors
    ///
    /// If a search takes too many steps.
    pub fn remove(&self, text: &str) -> Result<String, PatternError> {
        let mut out = String::with_capacity(text.len());
        let mut end = 0;
        self.each(text, |captures| {
            if let Some(whole) = captures.get(0) {
                out.push_str(&text[end..whole.start()]);
                end = whole.end();
            }
        })?;
        out.push_str(&text[end..]);
        Ok(out)
    }

    /// Each match in the order of Python: after an empty match, what begins there may not be empty again.
    fn each(&self, text: &str, mut found: impl FnMut(&Captures)) -> Result<(), PatternError> {
        let mut start = 0;
        let mut empty = false;
        while start <= text.len() {
            let regex = if empty { &self.forward } else { &self.regex };
            let captures = regex.captures_from_pos(text, start).map_err(|error| PatternError::GivenUp {
                pattern: self.written.clone(),
                length: text.len(),
                problem: error.to_string(),
            })?;
            let Some(captures) = captures else { break };
            let Some(whole) = captures.get(0) else { break };
            empty = whole.start() == whole.end();
            start = whole.end();
            found(&captures);
        }
        Ok(())
    }
}

/// How many pieces `re.split(r"\s+", text)` gives.
#[must_use]
pub fn words(text: &str) -> usize {
    let mut pieces = 1;
    let mut inside = false;
    for character in text.chars() {
        let space = is_space(character);
        pieces += usize::from(space && !inside);
        inside = space;
    }
    pieces
}

/// Python's `re.escape`, as a pattern that [`Pattern::new`] reads.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() && !character.is_ascii_alphanumeric() && character != '_' {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

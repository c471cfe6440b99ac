//! Whether a text that the model wrote is the target.

use serde_json::{Map, Value};

use crate::error::ScoreError;
use crate::numpy;
use crate::pattern::{Pattern, PatternError};

/// What is ignored when texts are compared.
#[derive(Debug, Clone, Default)]
pub struct ExactMatch {
    /// Whether capital letters are.
    pub ignore_case: bool,
    /// Whether the punctuation of ASCII is.
    pub ignore_punctuation: bool,
    /// Whether the digits of ASCII are.
    pub ignore_numbers: bool,
    /// What these match is.
    pub regexes_to_ignore: Vec<Pattern>,
}

impl ExactMatch {
    /// Reads the options of a metric.
    ///
    /// # Errors
    ///
    /// If one is unknown or has the wrong type.
    pub fn read(place: &str, options: &Map<String, Value>) -> Result<Self, ScoreError> {
        let mut read = Self::default();
        for (key, value) in options {
            let flag = || {
                value.as_bool().ok_or_else(|| ScoreError::wrong(place, format!("'{key}' is neither true nor false")))
            };
            match key.as_str() {
                "ignore_case" => read.ignore_case = flag()?,
                "ignore_punctuation" => read.ignore_punctuation = flag()?,
                "ignore_numbers" => read.ignore_numbers = flag()?,
                "regexes_to_ignore" => read.regexes_to_ignore = patterns(place, value)?,
                _ => return Err(ScoreError::wrong(place, format!("the option '{key}' is unknown"))),
            }
        }
        Ok(read)
    }

    /// Whether nothing is ignored.
    pub(crate) fn is_plain(&self) -> bool {
        !self.ignore_case && !self.ignore_punctuation && !self.ignore_numbers && self.regexes_to_ignore.is_empty()
    }

    /// Texts as they are compared. They have the width of the longest of them, as arrays of numpy do: what lowering
    /// adds beyond it is cut off, and zero characters at the end do not count.
    fn reduced(&self, texts: &[&str]) -> Result<Vec<String>, PatternError> {
        let mut reduced: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        for pattern in &self.regexes_to_ignore {
            for text in &mut reduced {
                *text = pattern.remove(text)?;
            }
        }
        let width = reduced.iter().map(|text| text.trim_end_matches('\0').chars().count()).max().unwrap_or(0);
        for text in &mut reduced {
            text.truncate(text.trim_end_matches('\0').len());
            if self.ignore_case {
                *text = text.to_lowercase().chars().take(width.max(1)).collect();
            }
            if self.ignore_punctuation {
                text.retain(|character| !character.is_ascii_punctuation());
            }
            if self.ignore_numbers {
                text.retain(|character| !character.is_ascii_digit());
            }
            text.truncate(text.trim_end_matches('\0').len());
        }
        Ok(reduced)
    }
}

fn patterns(place: &str, value: &Value) -> Result<Vec<Pattern>, ScoreError> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(patterns) => patterns
            .iter()
            .map(|pattern| {
                let pattern = pattern
                    .as_str()
                    .ok_or_else(|| ScoreError::wrong(place, "'regexes_to_ignore' has something that is not a text"))?;
                Pattern::new(pattern).map_err(|source| ScoreError::Pattern { place: place.to_owned(), source })
            })
            .collect(),
        _ => Err(ScoreError::wrong(place, "'regexes_to_ignore' is not a list")),
    }
}

/// The share of predictions that are their references, of which there are as many, or one for all.
///
/// # Errors
///
/// If a pattern gives up.
pub fn exact_match(settings: &ExactMatch, predictions: &[&str], references: &[&str]) -> Result<f64, PatternError> {
    let predictions = settings.reduced(predictions)?;
    let references = settings.reduced(references)?;
    let equal = predictions
        .iter()
        .enumerate()
        .filter(|(place, prediction)| references.get(*place).or(references.last()) == Some(*prediction))
        .count();
    Ok(numpy::count(equal) / numpy::count(predictions.len()))
}

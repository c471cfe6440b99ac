//! Evaluation tasks. Paths are relative to the directory of the task file.

use serde::{Deserialize, Serialize};

use crate::document::Complaint;
use crate::{Document, RelPath};

/// An evaluation task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// `task/1`.
    pub retrace: String,
    /// Its name in tables and on the command line.
    pub name: String,
    /// The kind of task.
    pub measure: Measure,
    /// The items, JSON lines: documents `{id, text}` or questions `{id, question, choices, answer}`, where `answer` is
    /// the index of the correct choice.
    pub items: RelPath,
    /// The token before every text: the one that ended documents in training.
    pub prefix: String,
    /// The text between a question and a choice.
    #[serde(default = "space", skip_serializing_if = "is_space")]
    pub delimiter: String,
}

fn space() -> String {
    " ".to_owned()
}

fn is_space(text: &str) -> bool {
    text == " "
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Bits per UTF-8 byte of text.
    BitsPerByte,
    /// Whether the correct choice is the most likely: `acc` and, with log-likelihoods divided by the number of
    /// characters, `acc_norm`.
    MultipleChoice,
}

impl Document for Task {
    const SCHEMA: &'static str = "task/1";

    fn schema(&self) -> &str {
        &self.retrace
    }

    fn check(&self) -> Result<(), Complaint> {
        if self.name.is_empty() || !self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return Err(("name".to_owned(), format!("{:?} is not letters, digits, `-`, `_` and `.`", self.name)));
        }
        Ok(())
    }
}

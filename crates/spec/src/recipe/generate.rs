//! The recipe of a synthetic corpus.

use serde::{Deserialize, Serialize};

use crate::document::Complaint;
use crate::{Document, Seed};

/// The size of a synthetic corpus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateRecipe {
    /// `synthetic/1`.
    pub retrace: String,
    /// The seed of every random choice.
    pub seed: Seed,
    /// Documents of the general part per language, before planting.
    pub documents: u64,
    /// Documents of the selected part per language: entries and questions with answers.
    pub selected: u64,
    /// Documents per language that are held out for evaluation.
    pub held_out: u64,
    /// Questions per language.
    pub questions: u64,
    /// Questions per language that are leaked into the general part.
    pub leaked: u64,
    /// Held-out documents per language that are leaked into the general part, each as a document of its own.
    #[serde(default, skip_serializing_if = "is_none")]
    pub leaked_texts: u64,
}

const fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Document for GenerateRecipe {
    const SCHEMA: &'static str = "synthetic/1";

    fn schema(&self) -> &str {
        &self.retrace
    }

    fn check(&self) -> Result<(), Complaint> {
        const MOST: u64 = 10_000_000;
        let counts = [
            ("documents", self.documents),
            ("selected", self.selected),
            ("held_out", self.held_out),
            ("questions", self.questions),
            ("leaked", self.leaked),
            ("leaked_texts", self.leaked_texts),
        ];
        if let Some((field, count)) = counts.into_iter().find(|(_, count)| *count > MOST) {
            return Err((field.to_owned(), format!("{count} is more than {MOST}")));
        }
        match self.leaked_texts > self.held_out {
            true => Err((
                "leaked_texts".to_owned(),
                format!("{} is more than the {} documents held out", self.leaked_texts, self.held_out),
            )),
            false => Ok(()),
        }
    }
}

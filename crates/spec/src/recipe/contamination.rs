//! The recipe of a search for benchmark items in a corpus.

use serde::{Deserialize, Serialize};

use super::{check_input, check_name};
use crate::document::Complaint;
use crate::{Document, Pattern, RelPath};

/// A search for the items of tasks in a corpus, by n-grams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContaminationRecipe {
    /// `contamination/1`.
    pub retrace: String,
    /// What the step is called in the manifest.
    pub name: String,
    /// The tasks' documents, `task/1`.
    pub tasks: Vec<RelPath>,
    /// The shards that are searched, JSON lines of documents; a `*` in the last part stands for any text.
    pub corpus: Vec<Pattern>,
    /// The output directories of runs that learned from these shards: of each it is told at which step
    /// it saw a document first.
    #[serde(default)]
    pub runs: Vec<RelPath>,
    /// Units of an n-gram: words, or characters of Chinese.
    pub ngram: usize,
    /// The directory of tables that `contamination.parquet` goes to.
    pub output: RelPath,
    /// Where the counts go, JSON: of each task its items, those that were found, and those that are too
    /// short to be searched for.
    pub counts: RelPath,
}

impl Document for ContaminationRecipe {
    const SCHEMA: &'static str = "contamination/1";

    fn schema(&self) -> &str {
        &self.retrace
    }

    fn check(&self) -> Result<(), Complaint> {
        check_name(&self.name)?;
        check_input("tasks", &self.tasks)?;
        check_input("corpus", &self.corpus)?;
        if !(1..=100).contains(&self.ngram) {
            return Err(("ngram".to_owned(), format!("{} is not between 1 and 100", self.ngram)));
        }
        Ok(())
    }
}

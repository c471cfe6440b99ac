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
    /// The name of the step in the manifest.
    pub name: String,
    /// The tasks' documents, `task/1`.
    pub tasks: Vec<RelPath>,
    /// The shards that are searched, JSON lines of documents; a `*` in the last part matches any text.
    pub corpus: Vec<Pattern>,
    /// The output directories of runs trained on these shards: for each, the result has the step at which it first saw
    /// a document.
    #[serde(default)]
    pub runs: Vec<RelPath>,
    /// Units per n-gram: words, or characters of Chinese.
    pub ngram: usize,
    /// The directory of tables in which `contamination.parquet` is written.
    pub output: RelPath,
    /// Where the counts are written, JSON: for each task its items, those that were found, and those that are too
    /// short for the search.
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

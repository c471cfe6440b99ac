//! The recipe of a release's tables.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{check_input, check_name};
use crate::document::Complaint;
use crate::{Document, Pattern, RelPath};

/// Journals, checkpoints, results and the files of other tools, converted to tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TablesRecipe {
    /// `tables/1`.
    pub retrace: String,
    /// The name of the step in the manifest.
    pub name: String,
    /// The name of the release in the tables.
    pub release: String,
    /// The directory of the tables.
    pub output: RelPath,
    /// Runs of `retrace train`.
    #[serde(default)]
    pub runs: Vec<RunTables>,
    /// Files of other tools.
    #[serde(default)]
    pub imports: Vec<Imports>,
}

/// A run whose journal and checkpoints are written into the tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunTables {
    /// The run's output directory, which contains `run.json` and `journal.jsonl`.
    pub run: RelPath,
    /// The directory with the results of its checkpoints, as an `eval/1` document writes them: `step-000060.json`.
    #[serde(default)]
    pub results: Option<RelPath>,
}

/// Files of one tool, as `retrace import` reads them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imports {
    /// The kind, by its name in `retrace import`.
    pub kind: String,
    /// The files; a `*` in the last part matches any text.
    pub files: Vec<Pattern>,
    /// A mapping of columns.
    #[serde(default)]
    pub mapping: Option<RelPath>,
    /// Tokens per step, if the files do not state it.
    #[serde(default)]
    pub tokens_per_step: Option<u64>,
}

impl Document for TablesRecipe {
    const SCHEMA: &'static str = "tables/1";

    fn schema(&self) -> &str {
        &self.retrace
    }

    fn check(&self) -> Result<(), Complaint> {
        check_name(&self.name)?;
        if self.release.is_empty() {
            return Err(("release".to_owned(), "is empty".to_owned()));
        }
        if self.runs.is_empty() && self.imports.is_empty() {
            return Err(("runs".to_owned(), "is empty, and so is `imports`".to_owned()));
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.runs.iter().find(|of| !seen.insert(&of.run)) {
            return Err(("runs".to_owned(), format!("{} is listed twice", twice.run)));
        }
        for (at, imports) in self.imports.iter().enumerate() {
            check_input(&format!("imports[{at}].files"), &imports.files)?;
        }
        Ok(())
    }
}

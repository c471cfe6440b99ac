//! The recipe of an evaluation: models and tasks.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{check_input, check_name};
use crate::document::Complaint;
use crate::{Document, Pattern, RelPath};

/// Models evaluated on tasks, a results file for each model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalRecipe {
    /// `eval/1`.
    pub retrace: String,
    /// The name of the step in the manifest.
    pub name: String,
    /// The models' directories; a `*` in the last part matches any text.
    pub models: Vec<Pattern>,
    /// The tasks' documents, `task/1`.
    pub tasks: Vec<RelPath>,
    /// The directory of the results: `DIRECTORY.json` for each model, named after the last part of its path.
    pub output: RelPath,
}

impl Document for EvalRecipe {
    const SCHEMA: &'static str = "eval/1";

    fn schema(&self) -> &str {
        &self.retrace
    }

    fn check(&self) -> Result<(), Complaint> {
        check_name(&self.name)?;
        check_input("models", &self.models)?;
        check_input("tasks", &self.tasks)?;
        let mut seen = BTreeSet::new();
        match self.tasks.iter().find(|task| !seen.insert(*task)) {
            Some(task) => Err(("tasks".to_owned(), format!("{task} is listed twice"))),
            None => Ok(()),
        }
    }
}

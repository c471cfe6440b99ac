//! The recipe of a page: its sections.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{check_input, check_name};
use crate::document::Complaint;
use crate::{Document, RelPath};

/// A page made from a release's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageRecipe {
    /// `page/1`.
    pub retrace: String,
    /// The name of the step in the manifest.
    pub name: String,
    /// The page's title.
    pub title: String,
    /// Where the page is written, HTML.
    pub output: RelPath,
    /// Its sections, from top to bottom.
    pub sections: Vec<Section>,
}

/// A section of a page, and the files that it is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "section", rename_all = "lowercase")]
pub enum Section {
    /// The training loss of each run.
    Training {
        /// The directory of tables: `train_log`, and `checkpoints` if it exists.
        tables: RelPath,
    },
    /// The metrics of each checkpoint.
    Evaluation {
        /// The directory of tables: `metrics`, and `checkpoints` if it exists.
        tables: RelPath,
        /// Tasks' documents, `task/1`: for a multiple-choice task the page states the result of guessing.
        #[serde(default)]
        tasks: Vec<RelPath>,
    },
    /// A scaling law.
    Scaling {
        /// The output of a `scaling/1` document.
        law: RelPath,
    },
    /// The result of cleaning.
    Cleaning {
        /// The `clean/1` document.
        recipe: RelPath,
    },
    /// The items of benchmarks in the corpus.
    Contamination {
        /// The directory of tables: `contamination`, and `exposures`, `samples` and `checkpoints` if they exist.
        tables: RelPath,
        /// The counts of a `contamination/1` document.
        counts: RelPath,
    },
    /// Metrics and training losses over tokens, and the runs compared at the same number of tokens.
    Checkpoints {
        /// The directory of tables: `metrics`, and `train_log` if it exists.
        tables: RelPath,
        /// Which metrics: `TASK/METRIC` or one of the two, in which `*` matches any text. All, if there are none.
        #[serde(default)]
        metrics: Vec<String>,
        /// Which runs; the others are compared with the first. All, if there are none.
        #[serde(default)]
        runs: Vec<String>,
        /// Whether a run is interpolated at numbers of tokens at which it has no checkpoint.
        #[serde(default)]
        interpolate: bool,
    },
    /// Statistics of weights by tensor or layer, as heat maps.
    Weights {
        /// The directory of tables: `tensors`, which `retrace stats` makes.
        tables: RelPath,
        /// Which runs; all, if there are none.
        #[serde(default)]
        runs: Vec<String>,
    },
    /// The scores of leaked items before and after each run saw them.
    Exposure {
        /// The directory of tables: `contamination`, `exposures`, `samples` and `checkpoints`.
        tables: RelPath,
        /// The counts of the `contamination/1` document that made the first two. Its first method decides what leaks.
        counts: RelPath,
        /// For a run, its twin: a run that was trained in the same way on a corpus without the leaks.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        twins: BTreeMap<String, String>,
    },
}

impl Document for PageRecipe {
    const SCHEMA: &'static str = "page/1";

    fn schema(&self) -> &str {
        &self.retrace
    }

    fn check(&self) -> Result<(), Complaint> {
        check_name(&self.name)?;
        check_input("sections", &self.sections)?;
        if self.title.trim().is_empty() {
            return Err(("title".to_owned(), "is empty".to_owned()));
        }
        Ok(())
    }
}

//! Cleaning.

use std::fmt;

use retrace_corpus::{CleanReport, clean};
use retrace_files::{Progress, Root, expand};
use retrace_spec::manifest::{ArtifactKind, StepKind};
use retrace_spec::{CleanRecipe, RelPath};

use crate::StepError;
use crate::step::{Files, Need, Options, Outputs, Step};

/// The results for the documents.
#[derive(Debug)]
pub struct Cleaned(pub CleanReport);

impl fmt::Display for Cleaned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} documents, {} kept", self.0.documents, self.0.kept)
    }
}

/// The ledger of what was dropped, in the directory of the cleaned documents.
const LEDGER: &str = "ledger.jsonl";

/// The path of a recipe's ledger of what was dropped.
pub(crate) fn ledger(recipe: &CleanRecipe) -> Result<RelPath, StepError> {
    Ok(recipe.output.join(LEDGER)?)
}

impl Step for CleanRecipe {
    type Report = Cleaned;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn kind(&self) -> StepKind {
        StepKind::Clean
    }

    fn reads(&self, _: &Root) -> Result<Vec<Need>, StepError> {
        Ok(self.input.iter().map(|pattern| Files::Matching(pattern.clone()).into()).collect())
    }

    fn makes(&self) -> Result<Vec<Files>, StepError> {
        let mut files = vec![Files::one(ledger(self)?)];
        for pattern in &self.input {
            files.push(Files::Matching(pattern.within(&self.output)?));
        }
        Ok(files)
    }

    fn inputs(&self, root: &Root) -> Result<Vec<RelPath>, StepError> {
        Ok(expand(root, &self.input)?)
    }

    fn carry_out(&self, root: &Root, _: &Options, progress: &dyn Progress) -> Result<(Cleaned, Outputs), StepError> {
        let report = clean(root, self, progress)?;
        let shards = report.outputs.iter().map(|shard| (shard.clone(), ArtifactKind::Shard));
        let outputs = shards.chain([(report.ledger.clone(), ArtifactKind::Log)]).collect();
        Ok((Cleaned(report), outputs))
    }
}

//! Tokenization.

use std::fmt;

use retrace_corpus::{TokenizeReport, tokenize};
use retrace_files::{Progress, Root, expand};
use retrace_spec::manifest::{ArtifactKind, StepKind};
use retrace_spec::recipe::TokenizerSource;
use retrace_spec::{RelPath, TokenizeRecipe};

use crate::StepError;
use crate::step::{Files, Need, Options, Outputs, Step, counted};

/// The inputs and outputs.
#[derive(Debug)]
pub struct Tokenized(pub TokenizeReport);

impl fmt::Display for Tokenized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", counted(self.0.documents, "document"), counted(self.0.tokens, "token"))
    }
}

/// The existing tokenizer, if it is not trained.
fn given(recipe: &TokenizeRecipe) -> Option<&RelPath> {
    match &recipe.tokenizer {
        TokenizerSource::File { path, .. } => Some(path),
        TokenizerSource::Train { .. } => None,
    }
}

impl Step for TokenizeRecipe {
    type Report = Tokenized;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn kind(&self) -> StepKind {
        StepKind::Tokenize
    }

    fn reads(&self, _: &Root) -> Result<Vec<Need>, StepError> {
        let shards = self.shards.iter().flat_map(|shard| &shard.input).map(|of| Files::Matching(of.clone()));
        Ok(shards.chain(given(self).cloned().map(Files::one)).map(Need::from).collect())
    }

    fn makes(&self) -> Result<Vec<Files>, StepError> {
        let mut files: Vec<Files> = self.shards.iter().map(|shard| Files::one(shard.output.clone())).collect();
        if given(self).is_none() {
            files.push(Files::one(self.tokenizer.path().clone()));
        }
        Ok(files)
    }

    fn inputs(&self, root: &Root) -> Result<Vec<RelPath>, StepError> {
        let mut inputs: Vec<RelPath> = given(self).cloned().into_iter().collect();
        for shard in &self.shards {
            inputs.extend(expand(root, &shard.input)?);
        }
        Ok(inputs)
    }

    fn carry_out(&self, root: &Root, _: &Options, progress: &dyn Progress) -> Result<(Tokenized, Outputs), StepError> {
        let report = tokenize(root, self, progress)?;
        let mut outputs: Outputs = report.outputs.iter().map(|shard| (shard.clone(), ArtifactKind::Tokens)).collect();
        outputs.extend(report.trained.clone().map(|path| (path, ArtifactKind::Tokenizer)));
        Ok((Tokenized(report), outputs))
    }
}

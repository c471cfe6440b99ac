//! Training.

use std::fmt;

use retrace_files::{Progress, Root};
use retrace_model::hub;
use retrace_spec::manifest::{ArtifactKind, StepKind};
use retrace_spec::{RelPath, Run};
use retrace_train::{Journal, RECORDED_RUN, checkpoints, train};

use crate::StepError;
use crate::step::{Files, Need, Options, Outputs, Step, counted, files_below};

/// A run, and the hub's `config.json` that describes its model, if one does.
#[derive(Debug)]
pub struct Training {
    /// The run.
    pub run: Run,
    /// The path of the file that describes its model, if there is one.
    pub config: Option<RelPath>,
}

/// How the training ended.
#[derive(Debug)]
pub struct Trained(pub Journal);

impl fmt::Display for Trained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.lines().last() {
            Some(last) => write!(f, "{}, to a loss of {:.3}", counted(last.step.0, "step"), last.loss),
            None => f.write_str("no step"),
        }
    }
}

impl Training {
    /// Reads a run file; the path of its `config.json`, if it names one, is relative to `root`.
    ///
    /// # Errors
    /// If it is not a run file, or its model cannot be read.
    pub fn parse(root: &Root, text: &str, path: &RelPath) -> Result<Self, StepError> {
        let read = |config: &RelPath| -> Result<_, StepError> { Ok(hub::read_config(root.file(config)?)?) };
        let (run, config) = Run::parse_with(text, path.as_str(), read)?;
        Ok(Self { run, config })
    }

    /// The files that the run has made so far: everything below its output directory belongs to it.
    ///
    /// # Errors
    /// If its directory cannot be read.
    pub fn outputs(&self, root: &Root) -> Result<Outputs, StepError> {
        let kind = |path: &RelPath| match path.file_name() {
            Journal::NAME => ArtifactKind::Log,
            RECORDED_RUN => ArtifactKind::Config,
            _ => ArtifactKind::Checkpoint,
        };
        let files = files_below(root, &self.run.output)?;
        Ok(files.into_iter().map(|path| (path.clone(), kind(&path))).collect())
    }

    /// The single files that it reads.
    fn files(&self) -> Vec<RelPath> {
        let mut files = vec![self.run.tokenizer.clone()];
        files.extend(self.config.clone());
        files.extend(self.run.phases.iter().flat_map(|phase| &phase.mix).map(|source| source.tokens.clone()));
        files.extend(self.run.validation.iter().map(|validation| validation.tokens.clone()));
        files
    }

    /// Whether there is a run that can be resumed.
    fn has_begun(&self, root: &Root) -> Result<bool, StepError> {
        if !root.has(&self.run.output) {
            return Ok(false);
        }
        let journal = self.run.output.join(Journal::NAME)?;
        Ok(root.has(&journal) || !checkpoints(&root.directory(&self.run.output)?)?.is_empty())
    }
}

impl Step for Training {
    type Report = Trained;

    fn id(&self) -> String {
        format!("train-{}", self.run.name)
    }

    fn kind(&self) -> StepKind {
        StepKind::Train
    }

    fn numerics(&self) -> Option<u32> {
        Some(self.run.numerics)
    }

    fn reads(&self, _: &Root) -> Result<Vec<Need>, StepError> {
        let files = self.files().into_iter().map(Files::one);
        let start = self.run.start.iter().map(|start| Files::below(start.checkpoint.clone()));
        Ok(files.chain(start).map(Need::from).collect())
    }

    fn makes(&self) -> Result<Vec<Files>, StepError> {
        Ok(vec![Files::below(self.run.output.clone())])
    }

    fn inputs(&self, root: &Root) -> Result<Vec<RelPath>, StepError> {
        let mut inputs = self.files();
        if let Some(start) = &self.run.start {
            inputs.extend(files_below(root, &start.checkpoint)?);
        }
        Ok(inputs)
    }

    fn begins_empty(&self) -> bool {
        true
    }

    fn carry_out(
        &self,
        root: &Root,
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<(Trained, Outputs), StepError> {
        // A run that was killed before its first line cannot be resumed.
        let resume = options.resume && self.has_begun(root)?;
        let network = options.engine.network(&self.run.model)?;
        let journal = train(root, &self.run, network.as_ref(), resume, progress)?;
        Ok((Trained(journal), self.outputs(root)?))
    }
}

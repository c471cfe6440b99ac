//! What can go wrong in training.

use std::path::PathBuf;

use retrace_corpus::CorpusError;
use retrace_files::FileError;
use retrace_model::ModelError;
use retrace_numerics::environment::EnvironmentError;
use retrace_spec::{Digest, Step};
use thiserror::Error;

/// Why a run could not be computed, resumed or replayed.
#[derive(Debug, Error)]
pub enum TrainError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A token shard could not be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// The model could not be built or computed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The processor does not compute as the numerics require.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// A document could not be digested.
    #[error(transparent)]
    Spec(#[from] retrace_spec::SpecError),
    /// The directory already contains a run.
    #[error("{} already exists", path.display())]
    Exists {
        /// The journal or a checkpoint.
        path: PathBuf,
    },
    /// The checkpoint to start with does not fit this run.
    #[error("{}: {what}", path.display())]
    Start {
        /// Its directory.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There is nothing to resume.
    #[error("{} has no complete checkpoint to continue from", path.display())]
    NoCheckpoint {
        /// The run's directory.
        path: PathBuf,
    },
    /// The checkpoint of a step is needed and does not exist.
    #[error("there is no checkpoint of step {step} in {}, only of {there}", path.display())]
    NoSuchCheckpoint {
        /// The step.
        step: Step,
        /// The run's directory.
        path: PathBuf,
        /// The steps that have a checkpoint.
        there: String,
    },
    /// A checkpoint or journal was made with another run file.
    #[error("{} was made by a run file with the digest {made_by}, but this run file has the digest {run}", path.display())]
    OtherRun {
        /// The path of the checkpoint or journal.
        path: PathBuf,
        /// The digest of the run that made it.
        made_by: Digest,
        /// The digest of the current run file.
        run: Digest,
    },
    /// A checkpoint's tensors differ from those that were saved.
    #[error("{}: the root of the tensors is {found}, but state.json says {stated}", path.display())]
    Damaged {
        /// The checkpoint.
        path: PathBuf,
        /// The root in its state file.
        stated: Digest,
        /// The root of its tensors.
        found: Digest,
    },
    /// The journal is not valid.
    #[error("{}:{line}: {what}", path.display())]
    Journal {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// The tokens do not fit the run.
    #[error("{}: {what}", path.display())]
    Tokens {
        /// The token shard.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The loss or a gradient is not a finite number.
    #[error("step {step}: {what} is not a finite number; the run has diverged")]
    NotFinite {
        /// The step.
        step: Step,
        /// The loss, or the tensor whose gradient it is.
        what: String,
    },
    /// The requested range of steps is not valid.
    #[error("cannot replay from step {from} to step {to} of a run of {steps} steps")]
    Segment {
        /// The first step.
        from: Step,
        /// The last step.
        to: Step,
        /// The number of steps of the run.
        steps: Step,
    },
}

//! Why a step could not be done.

use retrace_analysis::contamination::IndexError;
use retrace_corpus::CorpusError;
use retrace_eval::EvalError;
use retrace_files::FileError;
use retrace_import::ImportError;
use retrace_model::ModelError;
use retrace_query::QueryError;
use retrace_report::ReportError;
use retrace_spec::{PathError, RelPath, SpecError};
use retrace_tables::TablesError;
use retrace_train::TrainError;
use thiserror::Error;

/// Why a step could not be done.
#[derive(Debug, Error)]
pub enum StepError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A document is not one.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// Documents could not be made, cleaned or tokenized.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// A run could not be trained or read.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A model could not be evaluated.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// A model could not be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A table could not be asked.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A table could not be written.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// Files of another tool could not be imported.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A page could not be made.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The items of a task cannot be searched for.
    #[error("{task}: {source}")]
    Items {
        /// The task's document.
        task: RelPath,
        /// Why not.
        source: IndexError,
    },
    /// A document says something that cannot be meant here.
    #[error("{field}: {what}")]
    Field {
        /// The field.
        field: String,
        /// What is wrong with it.
        what: String,
    },
    /// A document is of another kind than asked for.
    #[error("{document} is {schema:?}, which is no step")]
    NoStep {
        /// The document.
        document: RelPath,
        /// What it says that it is.
        schema: String,
    },
    /// Two documents give one id.
    #[error("{one} and {other} both make the step {id:?}")]
    SameStep {
        /// A document.
        one: RelPath,
        /// Another.
        other: RelPath,
        /// The id.
        id: String,
    },
    /// Two documents make one file.
    #[error("{one} and {other} both make {files}")]
    SameFiles {
        /// A document.
        one: RelPath,
        /// Another.
        other: RelPath,
        /// The file, or a pattern of it.
        files: String,
    },
    /// Steps need what they make themselves, by way of each other.
    #[error("steps in a circle need what they make themselves: {0}")]
    Circle(String),
    /// A step reads what is not there, and no document makes it.
    #[error("{document} reads {files}, which is not there, and no document makes it")]
    NobodyMakes {
        /// The document.
        document: RelPath,
        /// The file, or a pattern of it.
        files: String,
    },
    /// A file lies where a step would write, and no record says that the step made it.
    #[error("{path} is there, and no record says that the step {id:?} made it")]
    NotOurs {
        /// The file.
        path: RelPath,
        /// The step.
        id: String,
    },
    /// What a step reads changed while it was done, so that it is not known what it was made of.
    #[error("{path} changed while the step {id:?} was done")]
    Meanwhile {
        /// The file.
        path: RelPath,
        /// The step.
        id: String,
    },
    /// A file that a step does not make any more was changed since it did.
    #[error("the step {id:?} does not make {path} any more, and the file was changed since it did")]
    Changed {
        /// The file.
        path: RelPath,
        /// The step.
        id: String,
    },
}

impl From<PathError> for StepError {
    fn from(error: PathError) -> Self {
        FileError::Name { path: error.path.clone().into(), what: error.to_string() }.into()
    }
}

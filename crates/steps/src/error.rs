//! Errors of steps.

use std::path::PathBuf;

use retrace_analysis::contamination::{OtherSearch, SearchError};
use retrace_analysis::scaling::FitError;
use retrace_corpus::CorpusError;
use retrace_eval::EvalError;
use retrace_files::FileError;
use retrace_harness::{HarnessError, ScoreError};
use retrace_import::ImportError;
use retrace_model::ModelError;
use retrace_query::QueryError;
use retrace_report::ReportError;
use retrace_spec::{PathError, RelPath, SpecError};
use retrace_tables::TablesError;
use retrace_train::TrainError;
use thiserror::Error;

use crate::points::PointsError;

/// Why a step failed.
#[derive(Debug, Error)]
pub enum StepError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A document is malformed.
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
    /// A task of lm-evaluation-harness cannot be prepared.
    #[error(transparent)]
    Harness(#[from] HarnessError),
    /// Several tasks of lm-evaluation-harness cannot be prepared.
    #[error("{stopped} of {of} tasks cannot be prepared; the first: {first}")]
    HarnessTasks {
        /// How many.
        stopped: usize,
        /// Of how many.
        of: usize,
        /// Why the first of them cannot be prepared.
        first: HarnessError,
    },
    /// A request of a task of lm-evaluation-harness cannot be answered.
    #[error("task {task}, document {document}: {what}")]
    HarnessRequest {
        /// The task.
        task: String,
        /// The document, from 0.
        document: usize,
        /// What is wrong.
        what: String,
    },
    /// Answers cannot be scored by the rules of a task of lm-evaluation-harness.
    #[error("task {task}: {error}")]
    HarnessScore {
        /// The task, or the group.
        task: String,
        /// Why.
        error: ScoreError,
    },
    /// The scores of tasks cannot be put together.
    #[error(transparent)]
    Groups(#[from] ScoreError),
    /// A table could not be queried.
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
    /// Rows are no points of a scaling law.
    #[error(transparent)]
    Points(#[from] PointsError),
    /// No law can be fitted to the points.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// A table of a search cannot be cleaned by.
    #[error("{table}: {what}")]
    Searched {
        /// The table.
        table: RelPath,
        /// The reason.
        what: String,
    },
    /// The items of benchmarks cannot be searched for.
    #[error("the benchmarks cannot be searched for: {0}")]
    Search(#[from] SearchError),
    /// Results of different searches were put together.
    #[error(transparent)]
    OtherSearch(#[from] OtherSearch),
    /// A file of a benchmark or a corpus lacks a column.
    #[error("{} has no column {wanted:?}; its first record has {there}", path.display())]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        wanted: String,
        /// The columns that it has.
        there: String,
    },
    /// A column was named that no record has.
    #[error("no {records} has the column {column:?} of `{given}`")]
    NobodyHas {
        /// What the records are.
        records: &'static str,
        /// The column.
        column: String,
        /// The field and its columns, as they were given.
        given: String,
    },
    /// A benchmark or a corpus has nothing in it.
    #[error("{what}")]
    NoRecords {
        /// Which.
        what: String,
    },
    /// A line or row of a benchmark or a corpus cannot be read.
    #[error("{}:{line}: {what}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The line or row, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// A file is no shard but a ledger.
    #[error("{} is a ledger of `retrace clean`: it lists documents that were dropped, and has no documents", path.display())]
    Ledger {
        /// The file.
        path: PathBuf,
    },
    /// The files of a search do not go together.
    #[error("{what}")]
    Inputs {
        /// What is wrong.
        what: String,
    },
    /// A field of a document has an unusable value.
    #[error("{field}: {what}")]
    Field {
        /// The field.
        field: String,
        /// What is wrong with it.
        what: String,
    },
    /// A document does not describe a step.
    #[error("{document} is of the kind {schema:?}, which is not a step")]
    NoStep {
        /// The document.
        document: RelPath,
        /// Its kind.
        schema: String,
    },
    /// Two documents have the same step id.
    #[error("{one} and {other} both have the step name {id:?}")]
    SameStep {
        /// A document.
        one: RelPath,
        /// Another.
        other: RelPath,
        /// The id.
        id: String,
    },
    /// Two documents make the same file.
    #[error("{one} and {other} both make {files}")]
    SameFiles {
        /// A document.
        one: RelPath,
        /// Another.
        other: RelPath,
        /// The file, or a pattern that matches it.
        files: String,
    },
    /// Steps depend on each other in a cycle.
    #[error("steps depend on each other in a circle: {0}")]
    Circle(String),
    /// A step reads a file that does not exist and that no document makes.
    #[error("{document} reads {files}, which does not exist, and no document makes it")]
    NobodyMakes {
        /// The document.
        document: RelPath,
        /// The file, or a pattern that matches it.
        files: String,
    },
    /// An output of a step exists already, and no record says that the step made it.
    #[error("{path} exists, and no record says that the step {id:?} made it")]
    NotOurs {
        /// The file.
        path: RelPath,
        /// The step.
        id: String,
    },
    /// An input changed while the step was running, so it is not known what the step read.
    #[error("{path} changed while the step {id:?} was running")]
    Meanwhile {
        /// The file.
        path: RelPath,
        /// The step.
        id: String,
    },
    /// A file that is no longer an output of a step was changed since the step made it.
    #[error("{path} is no longer an output of the step {id:?}, but was changed after the step made it")]
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

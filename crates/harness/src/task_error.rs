//! What is wrong with a task.

use std::path::PathBuf;

use retrace_files::FileError;
use retrace_spec::SpecError;

/// Why a task cannot be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HarnessError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A task file is no YAML that is read here.
    #[error(transparent)]
    Yaml(#[from] SpecError),
    /// A task file says something that the harness does not accept, or that is not supported.
    #[error("{}: {what}", path.display())]
    TaskFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// There is no task, group or tag of that name.
    #[error("there is no task, group or tag {name:?} in {}{}", directories(.looked), .similar.as_ref().map_or_else(String::new, |name| format!("; did you mean {name:?}?")))]
    Unknown {
        /// The name.
        name: String,
        /// The directories that were looked through.
        looked: Vec<PathBuf>,
        /// A name that is there and similar.
        similar: Option<String>,
    },
    /// A task is in two of the things that were asked for.
    #[error("the task {name:?} is in {first:?} and in {second:?}; the harness refuses this")]
    Twice {
        /// The task.
        name: String,
        /// Where it is.
        first: String,
        /// Where it is too.
        second: String,
    },
    /// A function in Python that is not ported.
    #[error("the task {task:?} needs the function `{function}` of {}, which is not ported (digest {digest})", path.display())]
    Function {
        /// The task.
        task: String,
        /// Its name.
        function: String,
        /// Its module.
        path: PathBuf,
        /// The digest of its source.
        digest: String,
    },
    /// Something about a task.
    #[error("the task {task:?}: {what}")]
    Task {
        /// The task.
        task: String,
        /// What is wrong.
        what: String,
    },
    /// Something about a document of a task.
    #[error("the task {task:?}, document {document} of the split {split:?}: {what}")]
    Document {
        /// The task.
        task: String,
        /// The split.
        split: String,
        /// The document, from 0.
        document: usize,
        /// What is wrong.
        what: String,
    },
    /// The data of a task are not there.
    #[error("no data of the split {split:?} of {dataset:?}{}; looked for {}", .name.as_ref().map_or_else(String::new, |name| format!(" ({name})")), .looked.join(", "))]
    NoData {
        /// The data set.
        dataset: String,
        /// Its configuration.
        name: Option<String>,
        /// The split.
        split: String,
        /// Where it was looked for.
        looked: Vec<String>,
    },
}

fn directories(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

//! Functions in Python of task files, by the digest of their source.

use std::path::PathBuf;

use retrace_spec::Digest;

use crate::document::{Aggregate, ProcessResults};
use crate::python::{Dict, FunctionName, Value};
use crate::{HarnessError, functions, source};

/// A port of a function in Python.
#[derive(Debug, Clone, Copy)]
pub enum Port {
    /// `process_docs`: the documents of a split to those that count.
    Documents(fn(Vec<Dict>) -> Result<Vec<Dict>, String>),
    /// As [`Self::Documents`], of a function that its module makes for its name.
    DocumentsOf(fn(&str, Vec<Dict>) -> Result<Vec<Dict>, String>),
    /// `doc_to_text`, `doc_to_target` or `doc_to_choice`.
    Value(fn(&Dict) -> Result<Value, String>),
    /// `samples` of `fewshot_config`.
    Samples(fn() -> Vec<Dict>),
    /// `process_results`.
    Results(ProcessResults),
    /// An aggregation.
    Aggregate(Aggregate),
}

/// The module of a function.
pub(crate) fn module(function: &FunctionName) -> Option<(PathBuf, &str)> {
    let (module, name) = function.name.rsplit_once('.')?;
    Some((function.directory.join(format!("{}.py", module.replace('.', "/"))), name))
}

/// The port of a function that a task names, bound to the digest of its source.
///
/// # Errors
/// If its module cannot be read, or this source is not ported.
pub fn port(function: &FunctionName, task: &str) -> Result<Port, HarnessError> {
    let Some((path, name)) = module(function) else {
        let what = format!("`!function {}` names no module", function.name);
        return Err(HarnessError::Task { task: task.to_owned(), what });
    };
    let path = crate::yaml::normal(&path);
    let digest = Digest::of(source::definition(&path, name)?.as_bytes());
    functions::find(&digest.to_string()).ok_or_else(|| HarnessError::Function {
        task: task.to_owned(),
        function: name.to_owned(),
        path,
        digest: digest.to_string(),
    })
}

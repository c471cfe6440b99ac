//! The run as it was trained, kept beside its journal, so that a replay can say which field of a run
//! file was changed afterwards.

use std::path::Path;

use retrace_files::{FileError, write_whole};
use retrace_spec::{Document, Run};

use crate::TrainError;

/// The name of the run in its own directory.
pub const RECORDED_RUN: &str = "run.json";

/// Writes `run` into its directory `output`, in the place of what an earlier run may have left.
pub(crate) fn record(run: &Run, output: &Path) -> Result<(), TrainError> {
    let path = output.join(RECORDED_RUN);
    let json = |e: serde_json::Error| FileError::Json { path: path.clone(), line: 0, what: e.to_string() };
    let mut text = serde_json::to_vec_pretty(run).map_err(json)?;
    text.push(b'\n');
    write_whole(&path, &text)?;
    Ok(())
}

/// The run that is recorded in the directory `output`, if one is.
///
/// # Errors
/// If it cannot be read, or is not a run.
pub fn recorded_run(output: &Path) -> Result<Option<Run>, TrainError> {
    let path = output.join(RECORDED_RUN);
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).map_err(FileError::io(&path, "read"))?;
    Ok(Some(Run::parse(&text, &path.display().to_string())?))
}

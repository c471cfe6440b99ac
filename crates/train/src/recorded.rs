//! The run as it was trained, kept beside its journal, so that a replay can say which field of a run
//! file was changed afterwards.

use retrace_files::{FileError, Root};
use retrace_spec::{Document, Run};

use crate::TrainError;
use crate::state::inside;

/// The name of the run in its own directory.
pub const RECORDED_RUN: &str = "run.json";
/// More than this no run has.
const LONGEST: u64 = 16 << 20;

/// Writes `run` into its directory `output`, in the place of what an earlier run may have left.
pub(crate) fn record(run: &Run, output: &Root) -> Result<(), TrainError> {
    let path = output.path().join(RECORDED_RUN);
    let json = |e: serde_json::Error| FileError::Json { path: path.clone(), line: 0, what: e.to_string() };
    let mut text = serde_json::to_vec_pretty(run).map_err(json)?;
    text.push(b'\n');
    output.write(&inside(RECORDED_RUN)?, &text)?;
    Ok(())
}

/// The run that is recorded in the directory `output`, if one is.
///
/// # Errors
/// If it cannot be read, or is not a run.
pub fn recorded_run(output: &Root) -> Result<Option<Run>, TrainError> {
    let name = inside(RECORDED_RUN)?;
    if !output.has(&name) {
        return Ok(None);
    }
    let origin = name.under(output.path()).display().to_string();
    Ok(Some(Run::parse(&output.file(&name)?.text(LONGEST)?, &origin)?))
}

//! The run file as it was trained, stored beside its journal, so that a replay can show which field of a run file was
//! changed later.

use retrace_files::{FileError, Root};
use retrace_spec::{Document, Run};

use crate::TrainError;
use crate::state::inside;

/// The name of the run file in its own directory.
pub const RECORDED_RUN: &str = "run.json";
/// No run file is longer than this.
const LONGEST: u64 = 16 << 20;

/// Writes `run` into its directory `output`, replacing one of an earlier run.
pub(crate) fn record(run: &Run, output: &Root) -> Result<(), TrainError> {
    let path = output.path().join(RECORDED_RUN);
    let json = |e: serde_json::Error| FileError::Json { path: path.clone(), line: 0, what: e.to_string() };
    let mut text = serde_json::to_vec_pretty(run).map_err(json)?;
    text.push(b'\n');
    output.write(&inside(RECORDED_RUN)?, &text)?;
    Ok(())
}

/// The run that is recorded in the directory `output`, if there is one.
///
/// # Errors
/// If it cannot be read, or is not a run file.
pub fn recorded_run(output: &Root) -> Result<Option<Run>, TrainError> {
    let name = inside(RECORDED_RUN)?;
    if !output.has(&name) {
        return Ok(None);
    }
    let origin = name.under(output.path()).display().to_string();
    Ok(Some(Run::parse(&output.file(&name)?.text(LONGEST)?, &origin)?))
}

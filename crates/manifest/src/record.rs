//! What verbs leave for the seal: one file a step, of what it read and made.

use std::path::Path;

use rayon::prelude::*;
use retrace_files::{FileError, hash_file, write_whole};
use retrace_spec::RelPath;
use retrace_spec::manifest::{GraphStep, Kind, Output, Reference, StepKind};

/// The directory of a release that holds what is not part of it.
pub const SCRATCH: &str = ".retrace";

/// A step that was done.
#[derive(Debug, Clone)]
pub struct Done {
    /// Unique in the release, and able to be a file's name.
    pub id: String,
    /// What was done.
    pub kind: StepKind,
    /// The numerics version, if it computes with it.
    pub numerics: Option<u32>,
    /// The document that says how.
    pub config: Option<RelPath>,
    /// What it read; the config is added.
    pub inputs: Vec<RelPath>,
    /// What it made.
    pub outputs: Vec<(RelPath, Kind)>,
}

/// Records a step below `root`, with the digests that its files have now. A step of the same id is
/// replaced.
///
/// # Errors
/// If the id cannot be a file's name, a file cannot be read, or the record not written.
pub fn save(root: &Path, done: Done) -> Result<GraphStep, FileError> {
    let path = root.join(SCRATCH).join("steps").join(format!("{}.json", done.id));
    if done.id.contains('/') || done.id.parse::<RelPath>().is_err() {
        return Err(FileError::Name { path, what: format!("{:?} cannot be the id of a step", done.id) });
    }
    let digest = |path: &RelPath| hash_file(&path.under(root)).map(|(_, digest)| digest);
    let mut inputs = done.inputs;
    inputs.extend(done.config.clone());
    inputs.sort();
    inputs.dedup();
    let inputs = inputs.into_par_iter().map(|path| Ok(Reference { digest: digest(&path)?, path }));
    let outputs = done.outputs.into_par_iter().map(|(path, kind)| Ok(Output { digest: digest(&path)?, path, kind }));
    let mut step = GraphStep {
        id: done.id,
        kind: done.kind,
        numerics: done.numerics,
        config: done.config,
        inputs: inputs.collect::<Result<_, FileError>>()?,
        outputs: outputs.collect::<Result<_, FileError>>()?,
    };
    step.outputs.sort();
    let json_error = |e: serde_json::Error| FileError::Json { path: path.clone(), line: 1, what: e.to_string() };
    let mut json = serde_json::to_vec_pretty(&step).map_err(json_error)?;
    json.push(b'\n');
    write_whole(&path, &json)?;
    Ok(step)
}

/// The records below `root`, sorted by id.
///
/// # Errors
/// If one cannot be read, or is not one.
pub fn load_all(root: &Path) -> Result<Vec<GraphStep>, FileError> {
    let directory = root.join(SCRATCH).join("steps");
    if !directory.exists() {
        return Ok(Vec::new());
    }
    let mut steps = Vec::new();
    for entry in std::fs::read_dir(&directory).map_err(FileError::io(&directory, "list"))? {
        let path = entry.map_err(FileError::io(&directory, "list"))?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read(&path).map_err(FileError::io(&path, "read"))?;
            let step: GraphStep = serde_json::from_slice(&text).map_err(|e| FileError::Json {
                path: path.clone(),
                line: e.line(),
                what: e.to_string(),
            })?;
            steps.push(step);
        }
    }
    steps.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(steps)
}

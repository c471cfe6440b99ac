//! The records that verbs leave for the seal: one file per step, with its inputs and outputs.

use rayon::prelude::*;
use retrace_files::{FileError, Root, Silent, Wanted, hash};
use retrace_spec::RelPath;
use retrace_spec::manifest::{ArtifactKind, GraphStep, Output, Reference, StepKind};
use serde::{Deserialize, Serialize};

/// The directory in a release for files that are not part of it.
pub const SCRATCH: &str = ".retrace";
/// The directory below it with the records.
const STEPS: &str = "steps";
/// No record is longer than this: one with a million files has about 200 megabytes.
const LONGEST: u64 = 512 << 20;

/// A step that was run.
#[derive(Debug, Clone)]
pub struct Done {
    /// Unique in the release, and valid as a file's name.
    pub id: String,
    /// The kind of the step.
    pub kind: StepKind,
    /// The numerics version, if it computes with it.
    pub numerics: Option<u32>,
    /// The document that describes it.
    pub config: Option<RelPath>,
    /// Its inputs; the config is added.
    pub inputs: Vec<RelPath>,
    /// Its outputs.
    pub outputs: Vec<(RelPath, ArtifactKind)>,
    /// What it could not read of its inputs, if anything.
    pub incomplete: Option<String>,
}

/// Records a step below `root`, with the current digests of its files. A step of the same id is replaced.
///
/// # Errors
/// If the id is not valid as a file's name, a file cannot be read, or the record cannot be written.
pub fn save(root: &Root, done: Done) -> Result<GraphStep, FileError> {
    let refuse =
        || FileError::Name { path: root.path().to_owned(), what: format!("{:?} is not a valid step id", done.id) };
    let id = done.id.parse::<RelPath>().ok().filter(|id| id.parent().is_none()).ok_or_else(refuse)?;
    let record: RelPath = format!("{SCRATCH}/{STEPS}/{id}.json").parse().map_err(|_| refuse())?;
    let path = record.under(root.path());
    let digest = |path: &RelPath| Ok(hash(&root.file(path)?, Wanted::default(), &Silent)?.digest);
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
        incomplete: done.incomplete,
    };
    step.outputs.sort();
    let json_error = |e: serde_json::Error| FileError::Json { path: path.clone(), line: 1, what: e.to_string() };
    let mut json = serde_json::to_vec_pretty(&step).map_err(json_error)?;
    json.push(b'\n');
    root.write(&record, &json)?;
    Ok(step)
}

/// The note that a step has begun, with its inputs: its outputs are not known yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begun {
    /// Its inputs, sorted by path.
    pub inputs: Vec<Reference>,
}

/// The directory below [`SCRATCH`] with the notes of steps that have begun.
const BEGUN: &str = "begun";

fn note(root: &Root, id: &str) -> Result<RelPath, FileError> {
    let refuse = || FileError::Name { path: root.path().to_owned(), what: format!("{id:?} is not a valid step id") };
    let id = id.parse::<RelPath>().ok().filter(|id| id.parent().is_none()).ok_or_else(refuse)?;
    format!("{SCRATCH}/{BEGUN}/{id}.json").parse().map_err(|_| refuse())
}

/// Writes the note that a step begins.
///
/// # Errors
/// If the note cannot be written.
pub fn begin(root: &Root, id: &str, begun: &Begun) -> Result<(), FileError> {
    let path = note(root, id)?;
    let json = |e: serde_json::Error| FileError::Json { path: path.under(root.path()), line: 1, what: e.to_string() };
    root.write(&path, &serde_json::to_vec_pretty(begun).map_err(json)?)?;
    Ok(())
}

/// The note that a step has begun, if it has begun and not ended.
///
/// # Errors
/// If the note cannot be read, or is not valid.
pub fn begun(root: &Root, id: &str) -> Result<Option<Begun>, FileError> {
    let path = note(root, id)?;
    if !root.has(&path) {
        return Ok(None);
    }
    let text = root.file(&path)?.read(LONGEST)?;
    let json =
        |e: serde_json::Error| FileError::Json { path: path.under(root.path()), line: e.line(), what: e.to_string() };
    serde_json::from_slice(&text).map(Some).map_err(json)
}

/// Removes the note that a step has begun, because it has ended.
///
/// # Errors
/// If it exists and cannot be removed.
pub fn end(root: &Root, id: &str) -> Result<(), FileError> {
    let path = note(root, id)?;
    if root.has(&path) { root.remove(&path) } else { Ok(()) }
}

/// The records below `root`, sorted by id.
///
/// # Errors
/// If one cannot be read, or is not valid.
pub fn load_all(root: &Root) -> Result<Vec<GraphStep>, FileError> {
    let Ok(directory) = format!("{SCRATCH}/{STEPS}").parse::<RelPath>() else { return Ok(Vec::new()) };
    if !root.has(&directory) {
        return Ok(Vec::new());
    }
    let directory = root.directory(&directory)?;
    let mut steps = Vec::new();
    for (name, _) in directory.list()? {
        let path = directory.path().join(&name);
        if let Ok(name) = name.parse::<RelPath>()
            && name.as_str().ends_with(".json")
        {
            let text = directory.file(&name)?.read(LONGEST)?;
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

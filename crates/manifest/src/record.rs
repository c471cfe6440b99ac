//! What verbs leave for the seal: one file a step, of what it read and made.

use rayon::prelude::*;
use retrace_files::{FileError, Root, Silent, Wanted, hash};
use retrace_spec::RelPath;
use retrace_spec::manifest::{GraphStep, Kind, Output, Reference, StepKind};

/// The directory of a release that holds what is not part of it.
pub const SCRATCH: &str = ".retrace";
/// The directory below it that holds the records.
const STEPS: &str = "steps";
/// More than this no record has: one of a million files has some 200 megabytes.
const LONGEST: u64 = 512 << 20;

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
pub fn save(root: &Root, done: Done) -> Result<GraphStep, FileError> {
    let refuse =
        || FileError::Name { path: root.path().to_owned(), what: format!("{:?} cannot be the id of a step", done.id) };
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
    };
    step.outputs.sort();
    let json_error = |e: serde_json::Error| FileError::Json { path: path.clone(), line: 1, what: e.to_string() };
    let mut json = serde_json::to_vec_pretty(&step).map_err(json_error)?;
    json.push(b'\n');
    root.write(&record, &json)?;
    Ok(step)
}

/// The records below `root`, sorted by id.
///
/// # Errors
/// If one cannot be read, or is not one.
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

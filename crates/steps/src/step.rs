//! The interface of a step: its inputs and outputs, how it runs, and its record.

use std::fmt::{self, Debug, Display};

use retrace_files::{FileError, Progress, Root, WalkEntry, expand_directories, is_lock, is_partial, walk};
use retrace_manifest::record::{self, Done};
use retrace_model::Engine;
use retrace_spec::manifest::{ArtifactKind, GraphStep, StepKind};
use retrace_spec::{Document, Pattern, RelPath, schema_of};

use crate::StepError;
use crate::train::Training;

/// A step of a release: a document of one kind. Its paths are relative to its own directory, which is the release's.
pub trait Step: Debug {
    /// The report after it has run.
    type Report: Display;

    /// Its name in the manifest, unique in a release.
    fn id(&self) -> String;

    /// Its kind.
    fn kind(&self) -> StepKind;

    /// The numerics version, if it computes with it.
    fn numerics(&self) -> Option<u32> {
        None
    }

    /// Its inputs, insofar as they are known before any other step is run.
    ///
    /// # Errors
    /// If another document that it names cannot be read.
    fn reads(&self, root: &Root) -> Result<Vec<Need>, StepError>;

    /// Its outputs, which no other step makes.
    ///
    /// # Errors
    /// If names cannot be combined to a path.
    fn makes(&self) -> Result<Vec<Files>, StepError>;

    /// The files that it reads, when all of them exist.
    ///
    /// # Errors
    /// If one does not exist, or one that names others cannot be read.
    fn inputs(&self, root: &Root) -> Result<Vec<RelPath>, StepError>;

    /// What its outputs lack, because it could not read all of its inputs or keep all that it found; `None` if nothing is
    /// missing.
    fn incomplete(_report: &Self::Report) -> Option<String> {
        None
    }

    /// Whether it refuses to overwrite its earlier outputs, unless it resumes.
    fn begins_empty(&self) -> bool {
        false
    }

    /// Runs it: returns the report, and the files that it made.
    ///
    /// # Errors
    /// If it fails.
    fn carry_out(
        &self,
        root: &Root,
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<(Self::Report, Outputs), StepError>;
}

/// A step's own statements after it has run.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Its report, as text.
    pub text: String,
    /// What its outputs lack, because it could not read all of its inputs or keep all that it found.
    pub incomplete: Option<String>,
}

/// The files that a step made, and the kind of each.
pub type Outputs = Vec<(RelPath, ArtifactKind)>;

/// Options that do not change a step's outputs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Resume an interrupted step, if the step can.
    pub resume: bool,
    /// The engine that computes models.
    pub engine: Engine,
}

/// Runs a step and records it; `document` is the path of its document.
///
/// # Errors
/// If it cannot be run or recorded.
pub fn carry_out<S: Step>(
    root: &Root,
    document: &RelPath,
    step: &S,
    options: &Options,
    progress: &dyn Progress,
) -> Result<S::Report, StepError> {
    let (report, outputs) = Step::carry_out(step, root, options, progress)?;
    save(root, document, step, outputs, S::incomplete(&report))?;
    Ok(report)
}

/// Records that a step made `outputs`, and what they lack; returns the record.
///
/// # Errors
/// If an input or output does not exist, or the record cannot be written.
pub fn save(
    root: &Root,
    document: &RelPath,
    step: &dyn AnyStep,
    outputs: Outputs,
    incomplete: Option<String>,
) -> Result<GraphStep, StepError> {
    let done = Done {
        id: step.id(),
        kind: step.kind(),
        numerics: step.numerics(),
        config: Some(document.clone()),
        inputs: step.inputs(root)?,
        outputs,
        incomplete,
    };
    Ok(record::save(root, done)?)
}

/// A [`Step`] of any kind.
pub trait AnyStep: Debug {
    /// As [`Step::id`].
    fn id(&self) -> String;
    /// As [`Step::kind`].
    fn kind(&self) -> StepKind;
    /// As [`Step::numerics`].
    fn numerics(&self) -> Option<u32>;
    /// As [`Step::reads`].
    ///
    /// # Errors
    /// As [`Step::reads`].
    fn reads(&self, root: &Root) -> Result<Vec<Need>, StepError>;
    /// As [`Step::makes`].
    ///
    /// # Errors
    /// As [`Step::makes`].
    fn makes(&self) -> Result<Vec<Files>, StepError>;
    /// As [`Step::inputs`].
    ///
    /// # Errors
    /// As [`Step::inputs`].
    fn inputs(&self, root: &Root) -> Result<Vec<RelPath>, StepError>;
    /// As [`Step::begins_empty`].
    fn begins_empty(&self) -> bool;
    /// As [`Step::carry_out`], with a summary of the report.
    ///
    /// # Errors
    /// As [`Step::carry_out`].
    fn carry_out(
        &self,
        root: &Root,
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<(Summary, Outputs), StepError>;
}

impl<S: Step> AnyStep for S {
    fn id(&self) -> String {
        Step::id(self)
    }

    fn kind(&self) -> StepKind {
        Step::kind(self)
    }

    fn numerics(&self) -> Option<u32> {
        Step::numerics(self)
    }

    fn reads(&self, root: &Root) -> Result<Vec<Need>, StepError> {
        Step::reads(self, root)
    }

    fn makes(&self) -> Result<Vec<Files>, StepError> {
        Step::makes(self)
    }

    fn inputs(&self, root: &Root) -> Result<Vec<RelPath>, StepError> {
        Step::inputs(self, root)
    }

    fn begins_empty(&self) -> bool {
        Step::begins_empty(self)
    }

    fn carry_out(
        &self,
        root: &Root,
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<(Summary, Outputs), StepError> {
        let (report, outputs) = Step::carry_out(self, root, options, progress)?;
        Ok((Summary { text: report.to_string(), incomplete: Self::incomplete(&report) }, outputs))
    }
}

/// Reads the document at `path` as a step. A new kind of step needs a line here.
///
/// # Errors
/// If it cannot be read, or is not a step.
pub fn open(root: &Root, path: &RelPath) -> Result<Box<dyn AnyStep>, StepError> {
    let text = root.file(path)?.text(LONGEST)?;
    match schema_of(&text) {
        Some("synthetic/1") => parse::<retrace_spec::GenerateRecipe>(&text, path),
        Some("clean/1") => parse::<retrace_spec::CleanRecipe>(&text, path),
        Some("tokenize/1") => parse::<retrace_spec::TokenizeRecipe>(&text, path),
        Some("run/1") => Ok(Box::new(Training::parse(root, &text, path)?)),
        Some("eval/1") => parse::<retrace_spec::EvalRecipe>(&text, path),
        Some("tables/1") => parse::<retrace_spec::TablesRecipe>(&text, path),
        Some("contamination/1") => parse::<retrace_spec::ContaminationRecipe>(&text, path),
        Some("scaling/1") => parse::<retrace_spec::ScalingRecipe>(&text, path),
        Some("page/1") => parse::<retrace_spec::PageRecipe>(&text, path),
        other => {
            let schema = retrace_spec::foreign::excerpt(other.unwrap_or_default()).to_string();
            Err(StepError::NoStep { document: path.clone(), schema })
        }
    }
}

/// The maximum size of a step's document in bytes.
const LONGEST: u64 = 16 << 20;

fn parse<S: Step + Document + 'static>(text: &str, path: &RelPath) -> Result<Box<dyn AnyStep>, StepError> {
    Ok(Box::new(S::parse(text, path.as_str())?))
}

/// Reads the document at `path`, which must be of one kind.
///
/// # Errors
/// If it cannot be read, or is of another kind.
pub(crate) fn read<D: Document>(root: &Root, path: &RelPath) -> Result<D, StepError> {
    let text = root.file(path)?.text(D::LARGEST as u64)?;
    Ok(D::parse(&text, path.as_str())?)
}

/// Files of a release, by their paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// The files that match.
    Matching(Pattern),
    /// All files below the directories that match.
    Below(Pattern),
}

/// Files that a step reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The files.
    pub files: Files,
    /// Whether they are optional.
    pub optional: bool,
}

impl From<Files> for Need {
    fn from(files: Files) -> Self {
        Self { files, optional: false }
    }
}

impl Files {
    /// One file.
    pub fn one(path: RelPath) -> Self {
        Self::Matching(path.into())
    }

    /// All files below one directory.
    pub fn below(directory: RelPath) -> Self {
        Self::Below(directory.into())
    }

    /// Whether some path can match both.
    pub(crate) fn overlap(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Matching(a), Self::Matching(b)) => a.directory() == b.directory() && a.can_share_a_name(b),
            (Self::Below(above), Self::Matching(of)) | (Self::Matching(of), Self::Below(above)) => {
                lies_below(of.directory(), above)
            }
            (Self::Below(a), Self::Below(b)) => {
                (a.directory() == b.directory() && a.can_share_a_name(b))
                    || lies_below(a.directory(), b)
                    || lies_below(b.directory(), a)
            }
        }
    }

    /// The existing directories that contain them.
    pub(crate) fn directories(&self, root: &Root) -> Result<Vec<RelPath>, FileError> {
        match self {
            Self::Matching(_) => Ok(Vec::new()),
            Self::Below(pattern) => absent_is_none(expand_directories(root, std::slice::from_ref(pattern))),
        }
    }

    /// The existing files: no directories, no locks, and no files that are still being written.
    pub(crate) fn there(&self, root: &Root) -> Result<Vec<RelPath>, FileError> {
        let mut all = match self {
            Self::Matching(pattern) => absent_is_none(retrace_files::expand(root, std::slice::from_ref(pattern)))?,
            Self::Below(_) => {
                let mut all = Vec::new();
                for directory in self.directories(root)? {
                    all.extend(files_below(root, &directory)?);
                }
                all
            }
        };
        all.retain(|path| !is_partial(path.file_name()) && !is_lock(path.file_name()));
        Ok(all)
    }
}

/// A number of things: 1 shard, 12 shards.
pub(crate) fn counted(number: impl TryInto<u64>, thing: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

impl Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matching(pattern) => Display::fmt(pattern, f),
            Self::Below(pattern) => write!(f, "{pattern}/**"),
        }
    }
}

/// Whether a directory matches `above`, or is below one that does.
fn lies_below(directory: Option<RelPath>, above: &Pattern) -> bool {
    let Some(directory) = directory else { return false };
    let rest = match above.directory() {
        None => Some(directory.as_str()),
        Some(parent) => directory.as_str().strip_prefix(parent.as_str()).and_then(|rest| rest.strip_prefix('/')),
    };
    rest.and_then(|rest| rest.split('/').next()).is_some_and(|name| above.matches_name(name))
}

fn absent_is_none(found: Result<Vec<RelPath>, FileError>) -> Result<Vec<RelPath>, FileError> {
    match found {
        Err(FileError::NoMatch { .. }) => Ok(Vec::new()),
        other => other,
    }
}

/// The files below `directory`, without locks and without files that are still being written.
///
/// # Errors
/// If it cannot be read, or contains an entry that is not a file.
pub fn files_below(root: &Root, directory: &RelPath) -> Result<Vec<RelPath>, FileError> {
    let inside = root.directory(directory)?;
    let mut files = Vec::new();
    // This process may itself hold the lock here.
    for found in walk(inside.path(), &|path| is_lock(path.file_name()) || is_partial(path.file_name()))? {
        let WalkEntry::File(path) = found else { continue };
        let name = |e: retrace_spec::PathError| FileError::Name { path: e.path.clone().into(), what: e.to_string() };
        files.push(directory.join(path.as_str()).map_err(name)?);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &str) -> Files {
        match text.strip_suffix("/**") {
            Some(directory) => Files::Below(directory.parse().unwrap()),
            None => Files::Matching(text.parse().unwrap()),
        }
    }

    #[test]
    fn what_two_steps_can_both_touch() {
        for (one, other, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("raw/*.jsonl", "raw/en-0.jsonl", true),
            ("raw/en-*.jsonl", "raw/zh-*.jsonl", false),
            ("raw/en-*.jsonl", "raw/*-0.jsonl", true),
            ("raw/*", "clean/*", false),
            ("runs/base/**", "runs/base/journal.jsonl", true),
            ("runs/base/**", "runs/base/step-1/model.safetensors", true),
            ("runs/base/**", "runs/base2/journal.jsonl", false),
            ("runs/base/**", "runs/base", false),
            ("runs/base/**", "runs/base/step-*/**", true),
            ("runs/base/**", "runs/*/**", true),
            ("runs/base/**", "runs/**", true),
            ("runs/b*/**", "runs/base/x/y", true),
            ("runs/c*/**", "runs/base/x/y", false),
            ("eval/base/step-*.json", "eval/base/step-000060.json", true),
            ("eval/base/step-*.json", "eval/small/step-000060.json", false),
        ] {
            assert_eq!(files(one).overlap(&files(other)), expected, "{one} {other}");
            assert_eq!(files(other).overlap(&files(one)), expected, "{other} {one}");
        }
    }
}

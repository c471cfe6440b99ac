//! Runs the steps that are not up to date.
//!
//! A step is up to date if its document, all its inputs and all its outputs have the digests of its record. File times
//! do not matter. All other steps run again, in order. A step overwrites or removes only files that its record lists.
//! While a note says that it has begun, all files at its outputs count as its own, because there were no others when
//! it began.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fmt;

use rayon::prelude::*;
use retrace_files::{FileError, Lock, Progress, Root, Silent, Wanted, hash_beneath, sweep_all};
use retrace_manifest::record::{self, Begun, SCRATCH};
use retrace_spec::manifest::{GraphStep, Reference};
use retrace_spec::{Digest, RelPath};

use crate::StepError;
use crate::plan::{Plan, PlannedStep};
use crate::step::{Files, Options, Summary, save};

/// How to make.
#[derive(Debug, Clone, Copy, Default)]
pub struct MakeOptions {
    /// Only report what would be done.
    pub dry_run: bool,
}

/// The results of all steps, in the order in which they were checked.
#[derive(Debug)]
pub struct Made {
    /// The steps.
    pub steps: Vec<Event>,
    /// Records of steps whose documents no longer exist: their files were not changed.
    pub without_document: Vec<String>,
}

/// The result for a step.
#[derive(Debug)]
pub struct Event {
    /// The step.
    pub id: String,
    /// Its document.
    pub document: RelPath,
    /// The result.
    pub outcome: Outcome,
}

/// The result for a step.
#[derive(Debug)]
pub enum Outcome {
    /// It is up to date.
    UpToDate {
        /// What it could not read of its inputs when it was run, if anything.
        incomplete: Option<String>,
    },
    /// It would be run.
    Due {
        /// The reasons.
        why: Vec<Why>,
    },
    /// It was run.
    Done {
        /// The reasons.
        why: Vec<Why>,
        /// Its own report.
        summary: Summary,
    },
    /// It failed.
    Failed {
        /// Why it was due; empty, if that could not be determined.
        why: Vec<Why>,
        /// Why it failed.
        error: Box<StepError>,
    },
    /// It was not run, because these steps that it needs failed.
    NotDone {
        /// The steps.
        needs: Vec<String>,
    },
}

/// Why a step is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It was never run.
    NotMade,
    /// It began and did not end.
    Interrupted,
    /// An input, or its document, differs from the record.
    Changed(RelPath),
    /// It did not read this input before.
    New(RelPath),
    /// It read this input before, and no longer does.
    NotRead(RelPath),
    /// This output is missing.
    Gone(RelPath),
    /// This output differs from the record.
    Altered(RelPath),
    /// It was run with another numerics version.
    Numerics(Option<u32>),
    /// These steps run first, and it reads their outputs.
    After(Vec<String>),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMade => f.write_str("not made yet"),
            Self::Interrupted => f.write_str("interrupted"),
            Self::Changed(path) => write!(f, "{path} changed"),
            Self::New(path) => write!(f, "{path} is new"),
            Self::NotRead(path) => write!(f, "{path} is no longer read"),
            Self::Gone(path) => write!(f, "{path} is missing"),
            Self::Altered(path) => write!(f, "{path} was changed after it was made"),
            Self::Numerics(Some(version)) => write!(f, "made with numerics version {version}"),
            Self::Numerics(None) => f.write_str("recorded without a numerics version"),
            Self::After(ids) => write!(f, "after {}", ids.join(", ")),
        }
    }
}

/// Runs the steps of the documents that are directly in `root`, if they are not up to date. Calls `told` with the
/// result of each step. If a step fails, the others' results are kept, and steps that do not need it are run.
///
/// # Errors
/// Before anything is run: see [`Plan::of`]. Also if another process runs `make` there, or a record cannot be read.
pub fn make(
    root: &Root,
    options: &MakeOptions,
    progress: &dyn Progress,
    told: &mut dyn FnMut(&Event),
) -> Result<Made, StepError> {
    let plan = Plan::of(root)?;
    let scratch = SCRATCH.parse::<RelPath>()?;
    let _lock = match options.dry_run {
        true => None,
        false => Some(Lock::file(root.make_directory(&scratch)?, OsStr::new("make"))?),
    };
    let records: BTreeMap<String, GraphStep> =
        record::load_all(root)?.into_iter().map(|step| (step.id.clone(), step)).collect();
    let mut digests = Digests { root, known: HashMap::new() };
    let mut steps: Vec<Event> = Vec::new();
    for planned in &plan.steps {
        let before = planned.needs.iter().map(|need| &steps[*need]);
        let of = |wanted: fn(&Outcome) -> bool| -> Vec<String> {
            before.clone().filter(|event| wanted(&event.outcome)).map(|event| event.id.clone()).collect()
        };
        let failed = of(|outcome| matches!(outcome, Outcome::Failed { .. } | Outcome::NotDone { .. }));
        let due = of(|outcome| matches!(outcome, Outcome::Due { .. }));
        let outcome = if failed.is_empty() {
            let one = One { root, planned, record: records.get(&planned.id) };
            one.look(&mut digests, due, options, progress)?
        } else {
            Outcome::NotDone { needs: failed }
        };
        let event = Event { id: planned.id.clone(), document: planned.document.clone(), outcome };
        told(&event);
        steps.push(event);
    }
    let without_document = records
        .values()
        .filter(|step| !plan.steps.iter().any(|planned| planned.id == step.id))
        .filter(|step| step.config.as_ref().is_some_and(|config| !root.has(config)))
        .map(|step| step.id.clone())
        .collect();
    Ok(Made { steps, without_document })
}

/// A step that is checked.
struct One<'a> {
    root: &'a Root,
    planned: &'a PlannedStep,
    record: Option<&'a GraphStep>,
}

impl One<'_> {
    /// Checks whether it is due, and if so, runs it. `due` are steps that it needs and that would be run first.
    fn look(
        &self,
        digests: &mut Digests<'_>,
        due: Vec<String>,
        options: &MakeOptions,
        progress: &dyn Progress,
    ) -> Result<Outcome, StepError> {
        let begun = record::begun(self.root, &self.planned.id)?;
        let now = match self.inputs(digests) {
            Ok(now) => now,
            // Its inputs may have to be made first.
            Err(_) if !due.is_empty() => return Ok(Outcome::Due { why: vec![Why::After(due)] }),
            Err(error) => return Ok(Outcome::Failed { why: Vec::new(), error: Box::new(error) }),
        };
        let mut why = self.why(&now, begun.is_some(), digests);
        if !due.is_empty() {
            why.push(Why::After(due));
        }
        if why.is_empty() {
            return Ok(Outcome::UpToDate { incomplete: self.record.and_then(|record| record.incomplete.clone()) });
        }
        if options.dry_run {
            return Ok(match self.strangers(begun.is_some()) {
                Err(error) => Outcome::Failed { why, error: Box::new(error) },
                Ok(()) => Outcome::Due { why },
            });
        }
        let done = self.carry_out(now, begun, digests, progress);
        Ok(match done {
            Ok(summary) => Outcome::Done { why, summary },
            Err(error) => Outcome::Failed { why, error: Box::new(error) },
        })
    }

    /// Its inputs and its document, as they are now.
    fn inputs(&self, digests: &mut Digests<'_>) -> Result<Vec<Reference>, StepError> {
        let mut paths = self.planned.step.inputs(self.root)?;
        paths.push(self.planned.document.clone());
        paths.sort();
        paths.dedup();
        let found = digests.of(&paths);
        let inputs = paths.into_iter().zip(found).map(|(path, digest)| Ok(Reference { digest: digest?, path }));
        inputs.collect::<Result<_, FileError>>().map_err(StepError::from)
    }

    /// Why it is due; empty, if it is up to date.
    fn why(&self, now: &[Reference], begun: bool, digests: &mut Digests<'_>) -> Vec<Why> {
        if begun {
            return vec![Why::Interrupted];
        }
        let Some(record) = self.record else { return vec![Why::NotMade] };
        let mut why = Vec::new();
        let numerics = self.planned.step.numerics();
        if record.numerics != numerics {
            why.push(Why::Numerics(record.numerics));
        }
        let then: BTreeMap<&RelPath, Digest> = record.inputs.iter().map(|input| (&input.path, input.digest)).collect();
        for Reference { path, digest } in now {
            match then.get(path) {
                None => why.push(Why::New(path.clone())),
                Some(then) if then != digest => why.push(Why::Changed(path.clone())),
                Some(_) => {}
            }
        }
        let read: BTreeSet<&RelPath> = now.iter().map(|input| &input.path).collect();
        why.extend(then.into_keys().filter(|path| !read.contains(path)).map(|path| Why::NotRead(path.clone())));
        let outputs: Vec<RelPath> = record.outputs.iter().map(|output| output.path.clone()).collect();
        for (output, digest) in record.outputs.iter().zip(digests.of(&outputs)) {
            match digest {
                Ok(digest) if digest == output.digest => {}
                Err(_) if !self.root.has(&output.path) => why.push(Why::Gone(output.path.clone())),
                // Also a link or a pipe in its place.
                _ => why.push(Why::Altered(output.path.clone())),
            }
        }
        why
    }

    /// The existing files at its outputs.
    fn there(&self) -> Result<BTreeSet<RelPath>, StepError> {
        let mut there = BTreeSet::new();
        for files in &self.planned.makes {
            there.extend(files.there(self.root)?);
        }
        Ok(there)
    }

    /// Removes its own output directories, if it must begin without them.
    fn remove_directories(&self) -> Result<(), StepError> {
        if self.planned.step.begins_empty() {
            for files in &self.planned.makes {
                for directory in files.directories(self.root)? {
                    self.root.remove_directory(&directory)?;
                }
            }
        }
        Ok(())
    }

    /// Removes incomplete files at its outputs that remained when it was killed.
    fn sweep(&self) -> Result<(), StepError> {
        for files in &self.planned.makes {
            let Files::Matching(pattern) = files else { continue };
            match pattern.directory() {
                None => sweep_all(&Root::open(self.root.path())?)?,
                Some(directory) if self.root.has(&directory) => sweep_all(&self.root.directory(&directory)?)?,
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Its outputs, according to its record.
    fn recorded(&self) -> BTreeMap<&RelPath, Digest> {
        self.record.iter().flat_map(|record| &record.outputs).map(|output| (&output.path, output.digest)).collect()
    }

    /// Refuses to overwrite files if it is not known that this step made them.
    fn strangers(&self, begun: bool) -> Result<(), StepError> {
        let recorded = self.recorded();
        match self.there()?.into_iter().find(|path| !begun && !recorded.contains_key(path)) {
            Some(path) => Err(StepError::NotOurs { path, id: self.planned.id.clone() }),
            None => Ok(()),
        }
    }

    fn carry_out(
        &self,
        now: Vec<Reference>,
        begun: Option<Begun>,
        digests: &mut Digests<'_>,
        progress: &dyn Progress,
    ) -> Result<Summary, StepError> {
        let (root, planned) = (self.root, self.planned);
        self.strangers(begun.is_some())?;
        // A step that began with the same inputs is resumed; otherwise it starts from the beginning.
        let resume = begun.as_ref().is_some_and(|begun| begun.inputs == now);
        if !resume {
            let recorded = self.recorded();
            let keep = |path: &RelPath| recorded.contains_key(path) && !planned.step.begins_empty();
            for path in self.there()?.iter().filter(|path| !keep(path)) {
                root.remove(path)?;
            }
            self.remove_directories()?;
        }
        if begun.is_some() {
            self.sweep()?;
        }
        let begun = Begun { inputs: now };
        record::begin(root, &planned.id, &begun)?;
        let options = Options { resume, ..Options::default() };
        let (summary, outputs) = planned.step.carry_out(root, &options, progress)?;
        let made: BTreeSet<&RelPath> = outputs.iter().map(|(path, _)| path).collect();
        for path in self.there()?.iter().filter(|path| !made.contains(path)) {
            // An earlier or interrupted run made it; other steps would read it as a current output.
            match self.recorded().get(path) {
                Some(then) if digests.fresh(path)? != *then => {
                    return Err(StepError::Changed { path: path.clone(), id: planned.id.clone() });
                }
                _ => root.remove(path)?,
            }
        }
        digests.forget(outputs.iter().map(|(path, _)| path));
        let incomplete = summary.incomplete.clone();
        let record = save(root, &planned.document, planned.step.as_ref(), outputs, incomplete)?;
        // The note is kept, so that the step is run again.
        if let Some(other) = record.inputs.iter().find(|input| !begun.inputs.contains(input)) {
            return Err(StepError::Meanwhile { path: other.path.clone(), id: planned.id.clone() });
        }
        record::end(root, &planned.id)?;
        Ok(summary)
    }
}

/// The digests of files, each computed once.
struct Digests<'a> {
    root: &'a Root,
    known: HashMap<RelPath, Digest>,
}

impl Digests<'_> {
    /// The digest of each file, or why it has none.
    fn of(&mut self, paths: &[RelPath]) -> Vec<Result<Digest, FileError>> {
        let found: Vec<Result<Digest, FileError>> = paths
            .par_iter()
            .map(|path| match self.known.get(path) {
                Some(digest) => Ok(*digest),
                None => Ok(hash_beneath(self.root, path, Wanted::default(), &Silent)?.digest),
            })
            .collect();
        for (path, digest) in paths.iter().zip(&found) {
            if let Ok(digest) = digest {
                self.known.insert(path.clone(), *digest);
            }
        }
        found
    }

    /// The current digest of a file.
    fn fresh(&mut self, path: &RelPath) -> Result<Digest, FileError> {
        self.known.remove(path);
        Ok(hash_beneath(self.root, path, Wanted::default(), &Silent)?.digest)
    }

    /// Call after these files were written.
    fn forget<'a>(&mut self, paths: impl Iterator<Item = &'a RelPath>) {
        paths.for_each(|path| {
            self.known.remove(path);
        });
    }
}

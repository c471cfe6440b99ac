//! The documents of a release, in the order of their dependencies.

use std::collections::BTreeMap;

use retrace_analysis::scaling::{Predictions, Report};
use retrace_files::{EntryKind, FileError, Root};
use retrace_manifest::Order;
use retrace_spec::{PathError, RelPath, schema_of};

use crate::StepError;
use crate::step::{AnyStep, Files, open};

/// All steps of a release, each after the steps that it needs.
#[derive(Debug)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<PlannedStep>,
}

/// A step, and the steps that it needs.
#[derive(Debug)]
pub struct PlannedStep {
    /// Its document.
    pub document: RelPath,
    /// Its id.
    pub id: String,
    /// The step.
    pub step: Box<dyn AnyStep>,
    /// Its outputs.
    pub makes: Vec<Files>,
    /// The steps that make its inputs, as indices in the plan.
    pub needs: Vec<usize>,
}

/// The values of the field `retrace` in documents that are not steps.
const NO_STEPS: [&str; 7] = [
    "manifest/1",
    "task/1",
    "mapping/1",
    "known-roots/1",
    Report::SCHEMA,
    Predictions::SCHEMA,
    Predictions::WITHOUT_POINTS,
];

impl Plan {
    /// The plan for the documents directly in `root`: YAML or JSON whose first field says that it is a step. Documents
    /// in subdirectories belong to releases of their own.
    ///
    /// # Errors
    /// If a document cannot be read, two make the same file or have the same id, some depend on their own outputs, or
    /// one reads a file that neither exists nor is made by a document.
    pub fn of(root: &Root) -> Result<Self, StepError> {
        let mut found = Vec::new();
        for path in documents(root)? {
            let step = open(root, &path)?;
            found.push((path, step));
        }
        Self::new(root, found)
    }

    fn new(root: &Root, found: Vec<(RelPath, Box<dyn AnyStep>)>) -> Result<Self, StepError> {
        let mut ids: BTreeMap<String, &RelPath> = BTreeMap::new();
        for (document, step) in &found {
            if let Some(one) = ids.insert(step.id(), document) {
                return Err(StepError::SameStep { one: one.clone(), other: document.clone(), id: step.id() });
            }
        }
        let makes: Vec<Vec<Files>> = found.iter().map(|(_, step)| step.makes()).collect::<Result<_, _>>()?;
        for (at, mine) in makes.iter().enumerate() {
            for (before, theirs) in makes.iter().enumerate().take(at) {
                if let Some(files) = mine.iter().find(|files| theirs.iter().any(|other| files.overlap(other))) {
                    let (one, other) = (found[before].0.clone(), found[at].0.clone());
                    return Err(StepError::SameFiles { one, other, files: files.to_string() });
                }
            }
        }
        let mut needs = vec![Vec::new(); found.len()];
        for (at, (document, step)) in found.iter().enumerate() {
            for need in step.reads(root)? {
                let makers =
                    (0..found.len()).filter(|other| makes[*other].iter().any(|files| files.overlap(&need.files)));
                let before = needs[at].len();
                needs[at].extend(makers);
                if needs[at].len() == before && !need.optional && need.files.there(root)?.is_empty() {
                    return Err(StepError::NobodyMakes { document: document.clone(), files: need.files.to_string() });
                }
            }
            needs[at].sort_unstable();
            needs[at].dedup();
        }
        let order = Order::of_needs(&needs);
        if let Some(circle) = order.circles.first() {
            let ids: Vec<String> =
                circle.iter().map(|at| format!("{} ({})", found[*at].1.id(), found[*at].0)).collect();
            return Err(StepError::Circle(ids.join(", ")));
        }
        let mut place = vec![0; found.len()];
        order.steps.iter().enumerate().for_each(|(new, old)| place[*old] = new);
        let mut parts: Vec<_> = found.into_iter().zip(makes).zip(needs).map(Some).collect();
        let mut steps = Vec::new();
        for old in order.steps {
            let Some((((document, step), makes), needs)) = parts[old].take() else { continue };
            let needs = needs.into_iter().map(|need: usize| place[need]).collect();
            steps.push(PlannedStep { document, id: step.id(), step, makes, needs });
        }
        Ok(Self { steps })
    }
}

/// The documents of steps directly in `root`, sorted.
fn documents(root: &Root) -> Result<Vec<RelPath>, StepError> {
    /// The first field must be within this many bytes.
    const BEGINNING: u64 = 64 << 10;
    let mut found = Vec::new();
    for (name, kind) in root.list()? {
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        let is_document = kind == EntryKind::File || kind == EntryKind::Link;
        if !is_document || name.starts_with('.') || !["yaml", "yml", "json"].contains(&ending) {
            continue;
        }
        let refuse = |e: PathError| FileError::Name { path: root.path().join(&name), what: e.to_string() };
        let path: RelPath = name.parse().map_err(refuse)?;
        // A link is refused here, so that no document is skipped silently.
        let file = root.file(&path)?;
        let mut bytes = vec![0; file.size().min(BEGINNING) as usize];
        file.read_at(&mut bytes, 0)?;
        let text = String::from_utf8_lossy(&bytes);
        match schema_of(&text) {
            Some(schema) if !NO_STEPS.contains(&schema) => found.push(path),
            _ => {}
        }
    }
    found.sort();
    Ok(found)
}

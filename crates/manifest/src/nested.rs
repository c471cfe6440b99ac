//! Manifests that name manifests: a large release sealed part by part.
//!
//! A part is a directory with a manifest of its own. The whole's manifest has that manifest as an
//! artifact of kind `manifest`, by its digest, and none of the part's files: whoever has the whole
//! checks the part's manifest against that digest, and the files against the part's manifest.

use std::io::Read;
use std::path::Path;

use retrace_files::{FileError, Root};
use retrace_spec::manifest::{Artifact, GraphStep, Kind, Output, Reference};
use retrace_spec::{Digest, Document, Manifest, RelPath, SpecError};

use crate::record::SCRATCH;

/// Parts within parts deeper than this are none that a person made.
const DEEPEST: usize = 8;
/// No manifest is longer.
const LONGEST: u64 = 1 << 30;

/// A manifest with those of its parts in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Unfolded {
    /// Every artifact and step of the whole and its parts, by paths in the whole. Its root is its own,
    /// and not the sealed one.
    pub manifest: Manifest,
    /// Directories of parts whose manifest is not there or not the sealed one, so that nothing is
    /// known of what they hold.
    pub unknown: Vec<RelPath>,
}

/// The manifest of what lies below `root` with those of its parts in it; nothing if it has no parts.
///
/// # Errors
/// If the whole cannot be meant together, as when two parts have made one path.
pub fn unfold(manifest: &Manifest, root: &Path) -> Result<Option<Unfolded>, SpecError> {
    if manifest.artifacts.iter().all(|artifact| artifact.kind != Kind::Manifest) {
        return Ok(None);
    }
    let mut unfolded =
        Parts { root: Root::open(root).ok(), ignored: vec![], artifacts: vec![], steps: vec![], unknown: vec![] };
    unfolded.add(manifest, None, 0);
    let Parts { ignored, artifacts, steps, unknown, .. } = unfolded;
    let manifest = Manifest::new(&manifest.name, &manifest.tool, ignored, artifacts, steps)?;
    Ok(Some(Unfolded { manifest, unknown }))
}

struct Parts {
    root: Option<Root>,
    ignored: Vec<RelPath>,
    artifacts: Vec<Artifact>,
    steps: Vec<GraphStep>,
    unknown: Vec<RelPath>,
}

impl Parts {
    /// Adds a manifest that lies in `directory`.
    fn add(&mut self, manifest: &Manifest, directory: Option<&RelPath>, depth: usize) {
        // Two good paths joined are one.
        let within = |path: &RelPath| match directory {
            Some(directory) => directory.join(path.as_str()).unwrap_or_else(|_| path.clone()),
            None => path.clone(),
        };
        self.ignored.extend(manifest.ignored.iter().map(within));
        for step in &manifest.steps {
            self.steps.push(GraphStep {
                id: directory.map_or_else(|| step.id.clone(), |directory| format!("{directory}/{}", step.id)),
                config: step.config.as_ref().map(within),
                inputs: step.inputs.iter().map(|i| Reference { path: within(&i.path), digest: i.digest }).collect(),
                outputs: step
                    .outputs
                    .iter()
                    .map(|o| Output { path: within(&o.path), kind: o.kind, digest: o.digest })
                    .collect(),
                ..step.clone()
            });
        }
        for artifact in &manifest.artifacts {
            let artifact = Artifact { path: within(&artifact.path), ..artifact.clone() };
            let part = artifact.path.parent().filter(|_| artifact.kind == Kind::Manifest);
            if let Some(part) = part {
                // Beside a part's manifest its signature and the records of its steps may lie.
                let signature = format!("{}.sig", artifact.path).parse().ok();
                let beside = signature.into_iter().chain(part.join(SCRATCH).ok());
                let root = self.root.as_ref().map(Root::path);
                self.ignored.extend(beside.filter(|path| root.is_some_and(|root| path.under(root).exists())));
                match self.read(&artifact).filter(|_| depth < DEEPEST) {
                    Some(manifest) => self.add(&manifest, Some(&part), depth + 1),
                    None => self.unknown.push(part),
                }
            }
            self.artifacts.push(artifact);
        }
    }

    /// The manifest that the artifact is, if it is there with the sealed bytes.
    fn read(&self, artifact: &Artifact) -> Option<Manifest> {
        let file = self.root.as_ref()?.file(&artifact.path).ok()?.into_file();
        let mut text = String::new();
        file.take(LONGEST).read_to_string(&mut text).ok()?;
        let sealed = Digest::of(text.as_bytes()) == artifact.digest;
        Manifest::parse(&text, artifact.path.as_str()).ok().filter(|_| sealed)
    }
}

/// The manifest of the part in `directory`, and where it lies.
///
/// # Errors
/// If there is none or there are two, or it cannot be read; in a sentence.
pub(crate) fn part(root: &Root, directory: &RelPath) -> Result<(RelPath, Manifest), String> {
    let names = ["manifest.yaml", "manifest.json"].map(|name| directory.join(name));
    let mut there = names.into_iter().flatten().filter_map(|path| Some((root.file(&path).ok()?.into_file(), path)));
    let (file, path) = there.next().ok_or("it has no manifest.yaml or manifest.json")?;
    if there.next().is_some() {
        return Err("it has both a manifest.yaml and a manifest.json".to_owned());
    }
    let mut text = String::new();
    let io = |e| FileError::io(&path.under(root.path()), "read")(e).to_string();
    file.take(LONGEST).read_to_string(&mut text).map_err(io)?;
    let manifest = Manifest::parse(&text, path.as_str()).map_err(|e| e.to_string())?;
    Ok((path, manifest))
}

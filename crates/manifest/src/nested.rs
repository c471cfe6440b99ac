//! Manifests that refer to other manifests: a large release sealed part by part.
//!
//! A part is a directory with a manifest of its own. The outer manifest has the part's manifest as an artifact of kind
//! `manifest`, with its digest, and none of the part's files: the part's manifest is checked against that digest, and
//! the files against the part's manifest. A part that cannot be followed is never skipped silently: see [`Unknown`].

use std::collections::BTreeSet;
use std::path::Path;

use retrace_files::Root;
use retrace_spec::manifest::{Artifact, ArtifactKind, GraphStep, Output, Reference};
use retrace_spec::{Digest, Document, Manifest, RelPath};
use serde::Serialize;

use crate::record::SCRATCH;

/// Parts that are nested deeper than this are not followed.
const DEEPEST: usize = 8;
/// A part's manifest with more bytes than this is not read.
const LONGEST: u64 = 512 << 20;

/// A manifest combined with those of its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Unfolded {
    /// Every artifact and step of the release and its parts, with paths from the release's directory. Its root is that
    /// of the outer manifest as it was sealed.
    pub manifest: Manifest,
    /// What is unknown about the parts.
    pub unknown: Vec<Unknown>,
}

/// A part whose expected content is unknown, so that nothing in it can be checked; or a path about which two manifests
/// make statements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// The part's directory, or the path.
    pub at: RelPath,
    /// The reason, as a sentence.
    pub why: String,
}

/// The manifest of the directory `root` combined with those of its parts; `None` if it has no parts.
pub fn unfold(manifest: &Manifest, root: &Path) -> Option<Unfolded> {
    if manifest.artifacts.iter().all(|artifact| artifact.kind != ArtifactKind::Manifest) {
        return None;
    }
    let mut parts =
        Parts { root: Root::open(root).ok(), whole: empty(manifest), seen: BTreeSet::new(), unknown: vec![] };
    parts.add(manifest, None, 0);
    Some(parts.finish())
}

/// `manifest` without its lists.
fn empty(manifest: &Manifest) -> Manifest {
    let Manifest { retrace, name, tool, root, .. } = manifest;
    Manifest {
        retrace: retrace.clone(),
        name: name.clone(),
        tool: tool.clone(),
        root: *root,
        ignored: vec![],
        artifacts: vec![],
        steps: vec![],
    }
}

struct Parts {
    root: Option<Root>,
    whole: Manifest,
    /// Manifests that were read, or whose reading failed: each is read only once, so that references between parts
    /// cannot multiply the work.
    seen: BTreeSet<RelPath>,
    unknown: Vec<Unknown>,
}

impl Parts {
    /// Adds a manifest whose directory is `directory`; `None` is the root.
    fn add(&mut self, manifest: &Manifest, directory: Option<&RelPath>, depth: usize) {
        // Two valid paths, joined, are a valid path.
        let within = |path: &RelPath| match directory {
            Some(directory) => directory.join(path.as_str()).unwrap_or_else(|_| path.clone()),
            None => path.clone(),
        };
        self.whole.ignored.extend(manifest.ignored.iter().map(within));
        for step in &manifest.steps {
            self.whole.steps.push(GraphStep {
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
            if artifact.kind == ArtifactKind::Manifest {
                self.part(&artifact, depth);
            }
            self.whole.artifacts.push(artifact);
        }
    }

    /// Adds the content of the part whose manifest is `artifact`.
    fn part(&mut self, artifact: &Artifact, depth: usize) {
        let part = artifact.path.parent();
        // A part's manifest may have its signature and the records of its steps beside it.
        if let Some(root) = self.root.as_ref().map(Root::path) {
            let signature = format!("{}.sig", artifact.path).parse().ok();
            let signature = signature.filter(|path: &RelPath| path.under(root).is_file());
            let records = part.as_ref().and_then(|part| part.join(SCRATCH).ok());
            let records = records.filter(|path| path.under(root).symlink_metadata().is_ok());
            self.whole.ignored.extend(signature.into_iter().chain(records));
        }
        if !self.seen.insert(artifact.path.clone()) {
            return;
        }
        let read = match depth < DEEPEST {
            true => self.read(artifact),
            false => Err(format!("it is nested more than {DEEPEST} parts deep")),
        };
        match read {
            Ok(manifest) => self.add(&manifest, part.as_ref(), depth + 1),
            Err(why) => {
                let at = part.unwrap_or_else(|| artifact.path.clone());
                self.unknown.push(Unknown { at, why: format!("{why}, so none of its files were checked") });
            }
        }
    }

    /// The manifest that the artifact describes, if it exists with the sealed bytes.
    fn read(&self, artifact: &Artifact) -> Result<Manifest, String> {
        let path = &artifact.path;
        if artifact.size > LONGEST {
            return Err(format!("its manifest {path} has {} bytes; the limit is {LONGEST}", artifact.size));
        }
        let not_there = || format!("its manifest {path} cannot be read");
        let file = self.root.as_ref().and_then(|root| root.file(path).ok()).ok_or_else(not_there)?;
        let other = || format!("its manifest {path} is not the sealed one");
        if file.size() != artifact.size {
            return Err(other());
        }
        let bytes = file.read(LONGEST).map_err(|_| not_there())?;
        if Digest::of(&bytes) != artifact.digest {
            return Err(other());
        }
        let text = String::from_utf8(bytes).map_err(|_| format!("its manifest {path} is not UTF-8"))?;
        Manifest::parse(&text, path.as_str()).map_err(|e| format!("its manifest is malformed ({e})"))
    }

    fn finish(self) -> Unfolded {
        let Self { mut whole, mut unknown, .. } = self;
        whole.ignored.sort();
        whole.ignored.dedup();
        // If two manifests expect different things of one path, the outer one, which was added first, is kept.
        whole.artifacts.sort_by(|a, b| a.path.cmp(&b.path));
        whole.artifacts.dedup_by(|twice, first| {
            let same = twice.path == first.path;
            if same {
                let why = "two manifests list it, and one of the two was not checked".to_owned();
                unknown.push(Unknown { at: twice.path.clone(), why });
            }
            same
        });
        whole.steps.sort_by(|a, b| a.id.cmp(&b.id));
        let mut made = BTreeSet::new();
        for output in whole.steps.iter().flat_map(|step| &step.outputs) {
            if !made.insert(&output.path) {
                let why = "steps of two manifests list it as their output".to_owned();
                unknown.push(Unknown { at: output.path.clone(), why });
            }
        }
        unknown.sort_by(|a, b| a.at.cmp(&b.at));
        Unfolded { manifest: whole, unknown }
    }
}

/// The path of the manifest of the part in `directory`.
///
/// # Errors
/// If there is none or there are two, or it cannot be read; as a sentence.
pub(crate) fn part(root: &Root, directory: &RelPath) -> Result<RelPath, String> {
    let names = ["manifest.yaml", "manifest.json"].map(|name| directory.join(name));
    let mut there = names.into_iter().flatten().filter_map(|path| Some((root.file(&path).ok()?, path)));
    let (file, path) = there.next().ok_or("it has no manifest.yaml or manifest.json")?;
    if there.next().is_some() {
        return Err("it has both a manifest.yaml and a manifest.json".to_owned());
    }
    let text = file.text(LONGEST).map_err(|e| e.to_string())?;
    // Whether its own parts can be followed is checked when the complete release is sealed.
    Manifest::parse(&text, path.as_str()).map_err(|e| e.to_string())?;
    Ok(path)
}

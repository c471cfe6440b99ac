//! The manifest: a release as a graph of artifacts and the steps that made them.

mod written;

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::document::Complaint;
use crate::{Algorithm, Checksum, Digest, Document, RelPath, SpecError, canonical_digest};

/// A release as a document: every artifact with its digest, every step with its inputs and outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// `manifest/1`.
    pub retrace: String,
    /// The name of the release.
    pub name: String,
    /// The program that sealed it, with its version. Not covered by the root.
    pub tool: String,
    /// The digest over all artifacts, steps and ignored paths: the one value to publish or sign.
    pub root: Digest,
    /// Paths in the release's directory that the manifest explicitly does not cover.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<RelPath>,
    /// The files, sorted by path.
    pub artifacts: Vec<Artifact>,
    /// The steps that made them, sorted by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<GraphStep>,
}

/// One file of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Its path.
    pub path: RelPath,
    /// Its kind.
    pub kind: ArtifactKind,
    /// Its length in bytes.
    pub size: u64,
    /// The BLAKE3 of its bytes.
    pub digest: Digest,
    /// Its SHA-256, for tools that do not support BLAKE3, if it was requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Checksum>,
    /// For a file of more than 16 MiB, the BLAKE3 subtree value of each 16 MiB, so that a range of
    /// wrong bytes can be named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<Digest>,
    /// For checkpoints (safetensors, PyTorch, llama2.c): the digests of the tensors, independent of the header. For
    /// the index of a sharded one: the root over all its shards. For the `.metadata` of a distributed checkpoint of
    /// PyTorch: the digests of all its tensors, each put together from its chunks, which are in several files; those
    /// have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tensors: Option<Box<Tensors>>,
}

/// The digests of a file's tensors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tensors {
    /// The tensor root: over (name, dtype, shape, bytes), sorted by name.
    pub root: Digest,
    /// One digest per tensor, over its dtype, shape and bytes; none in the index of a sharded checkpoint.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, Digest>,
}

/// The kind of an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactKind {
    /// A recipe, run file, task or other document that a step reads.
    Config,
    /// A part of a corpus: documents.
    Shard,
    /// A tokenizer.
    Tokenizer,
    /// A part of a corpus: tokens.
    Tokens,
    /// A file of a checkpoint.
    Checkpoint,
    /// A journal or another record of what was done.
    Log,
    /// Items that a model is evaluated on.
    Benchmark,
    /// Rows for SQL.
    Table,
    /// The manifest of a part of the release, which represents all the part's files.
    Manifest,
    /// Anything else.
    Other,
}

/// An edge of the graph: an operation with its inputs and outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphStep {
    /// Unique in the release: `clean`, `train-small`.
    pub id: String,
    /// What was done.
    pub kind: StepKind,
    /// The numerics version, if the step computes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numerics: Option<u32>,
    /// The document that describes the step; it is also one of the inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<RelPath>,
    /// Its inputs, sorted by path.
    pub inputs: Vec<Reference>,
    /// Its outputs, sorted by path.
    pub outputs: Vec<Output>,
    /// What it could not read of its inputs, in words, if its outputs lack something for that reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    /// Makes a corpus from a seed.
    Generate,
    /// Documents to fewer, better documents.
    Clean,
    /// Documents to tokens, with an existing or newly trained tokenizer.
    Tokenize,
    /// Tokens to checkpoints and a journal.
    Train,
    /// Checkpoints and tasks to metrics.
    Eval,
    /// Files of other tools to tables.
    Import,
    /// Journals, results and files of other tools to tables.
    Tables,
    /// Benchmarks and a corpus to the items that the corpus contains.
    Contamination,
    /// Tables to a scaling law.
    Scaling,
    /// Tables and reports to a page.
    Page,
}

/// A file as a step read it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// Its path.
    pub path: RelPath,
    /// Its digest at that time.
    pub digest: Digest,
}

/// A file as a step wrote it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its path.
    pub path: RelPath,
    /// Its kind.
    pub kind: ArtifactKind,
    /// Its digest at that time.
    pub digest: Digest,
}

impl Manifest {
    /// A manifest of these parts, sorted and with its root.
    ///
    /// # Errors
    /// If the parts are not valid together: see [`Document::check`].
    pub fn new(
        name: &str,
        tool: &str,
        mut ignored: Vec<RelPath>,
        mut artifacts: Vec<Artifact>,
        mut steps: Vec<GraphStep>,
    ) -> Result<Self, SpecError> {
        ignored.sort();
        artifacts.sort_by(|a, b| a.path.cmp(&b.path));
        steps.sort_by(|a, b| a.id.cmp(&b.id));
        for step in &mut steps {
            step.inputs.sort();
            step.outputs.sort();
        }
        let root = root(&ignored, &artifacts, &steps)?;
        let manifest = Self {
            retrace: Self::SCHEMA.to_owned(),
            name: name.to_owned(),
            tool: tool.to_owned(),
            root,
            ignored,
            artifacts,
            steps,
        };
        let invalid = |(field, what)| SpecError::Invalid { origin: "manifest".to_owned(), field, what };
        manifest.check().map_err(invalid)?;
        Ok(manifest)
    }

    /// The artifact at `path`.
    pub fn artifact(&self, path: &RelPath) -> Option<&Artifact> {
        let at = self.artifacts.binary_search_by(|artifact| artifact.path.cmp(path)).ok()?;
        self.artifacts.get(at)
    }

    /// The files that no step makes, by path: no replay checks what they say.
    pub fn not_made(&self) -> Vec<&RelPath> {
        let made: BTreeSet<&RelPath> =
            self.steps.iter().flat_map(|step| &step.outputs).map(|output| &output.path).collect();
        self.artifacts.iter().map(|artifact| &artifact.path).filter(|path| !made.contains(path)).collect()
    }

    /// The step called `id`.
    pub fn step(&self, id: &str) -> Option<&GraphStep> {
        self.steps.iter().find(|step| step.id == id)
    }
}

impl Document for Manifest {
    const SCHEMA: &'static str = "manifest/1";
    // Large enough for a million entries.
    const LARGEST: usize = 512 << 20;

    fn schema(&self) -> &str {
        &self.retrace
    }

    fn read_as_written(text: &str) -> Option<Self> {
        written::read(text)
    }

    fn check(&self) -> Result<(), Complaint> {
        for pair in self.artifacts.windows(2) {
            if let [a, b] = pair
                && a.path >= b.path
            {
                return Err((
                    "artifacts".to_owned(),
                    format!("{} is listed twice or out of order, after {}", b.path, a.path),
                ));
            }
        }
        for artifact in &self.artifacts {
            if artifact.sha256.as_ref().is_some_and(|checksum| checksum.algorithm() != Algorithm::Sha256) {
                return Err(("artifacts".to_owned(), format!("the sha256 of {} is not a SHA-256", artifact.path)));
            }
        }
        let mut made = BTreeSet::new();
        for pair in self.steps.windows(2) {
            if let [a, b] = pair
                && a.id >= b.id
            {
                return Err(("steps".to_owned(), format!("{} is listed twice or out of order, after {}", b.id, a.id)));
            }
        }
        for output in self.steps.iter().flat_map(|step| &step.outputs) {
            if !made.insert(&output.path) {
                return Err(("steps".to_owned(), format!("two steps list {} as their output", output.path)));
            }
        }
        let root =
            root(&self.ignored, &self.artifacts, &self.steps).map_err(|e| ("artifacts".to_owned(), e.to_string()))?;
        if root != self.root {
            let what = format!("is {}, but the entries give {root}: the manifest was edited after sealing", self.root);
            return Err(("root".to_owned(), what));
        }
        Ok(())
    }
}

/// The release root: BLAKE3, in its own domain, over the count and the canonical digests of the
/// artifacts, the steps and the ignored paths, in the manifest's order.
fn root(ignored: &[RelPath], artifacts: &[Artifact], steps: &[GraphStep]) -> Result<Digest, SpecError> {
    let mut hasher = blake3::Hasher::new_derive_key("retrace 2026 release root");
    let begin = |hasher: &mut blake3::Hasher, domain: &str, count: usize| {
        hasher.update(domain.as_bytes()).update(&(count as u64).to_le_bytes());
    };
    begin(&mut hasher, "artifacts", artifacts.len());
    // A million digests are not held in memory together.
    for some in artifacts.chunks(1 << 14) {
        let digests = some.par_iter().map(|entry| canonical_digest("artifact/1", entry));
        for digest in digests.collect::<Result<Vec<_>, _>>()? {
            hasher.update(digest.as_bytes());
        }
    }
    begin(&mut hasher, "steps", steps.len());
    for entry in steps {
        hasher.update(canonical_digest("step/1", entry)?.as_bytes());
    }
    begin(&mut hasher, "ignored", ignored.len());
    for entry in ignored {
        hasher.update(canonical_digest("ignored/1", entry)?.as_bytes());
    }
    Ok(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(path: &str, bytes: &[u8]) -> Artifact {
        Artifact {
            path: path.parse().expect("a path"),
            kind: ArtifactKind::Other,
            size: bytes.len() as u64,
            digest: Digest::of(bytes),
            sha256: None,
            slices: Vec::new(),
            tensors: None,
        }
    }

    fn manifest(artifacts: Vec<Artifact>) -> Manifest {
        Manifest::new("m", "retrace", Vec::new(), artifacts, Vec::new()).expect("a manifest")
    }

    #[test]
    fn the_root_covers_every_field_but_not_the_order_of_arrival() {
        let base = manifest(vec![artifact("a", b"1"), artifact("b", b"2")]);
        assert_eq!(base.root, manifest(vec![artifact("b", b"2"), artifact("a", b"1")]).root);
        let mut kind = artifact("a", b"1");
        kind.kind = ArtifactKind::Log;
        let mut size = artifact("a", b"1");
        size.size += 1;
        for other in [artifact("a", b"2"), artifact("c", b"1"), kind, size] {
            assert_ne!(base.root, manifest(vec![other, artifact("b", b"2")]).root);
        }
        assert_ne!(base.root, manifest(vec![artifact("a", b"1")]).root);
    }

    #[test]
    fn an_edited_manifest_is_refused() {
        let yaml = manifest(vec![artifact("a", b"1")]).to_yaml().expect("yaml");
        assert!(Manifest::parse(&yaml, "m").is_ok());
        let error = Manifest::parse(&yaml.replace("size: 1", "size: 2"), "m").expect_err("edited");
        assert!(error.to_string().contains("edited after sealing"), "{error}");
        assert!(Manifest::parse(&yaml.replace("path: a", "path: ../a"), "m").is_err());
    }
}

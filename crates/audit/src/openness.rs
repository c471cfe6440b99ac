//! The openness of a release: the 17 components of the Model Openness Framework, and how far each is checked.
//!
//! Components and classes follow White et al., The Model Openness Framework (2024), and the settings of its
//! tool. That framework asks whether a component exists, and under which licence. This module asks whether
//! the files are the stated ones. Licences are not checked.

use std::collections::{BTreeMap, BTreeSet};

use retrace_manifest::Again;
use retrace_spec::manifest::{Artifact, ArtifactKind, GraphStep, StepKind};
use retrace_spec::{CheckpointName, Manifest, RelPath};
use serde::Serialize;

/// The classes of the framework, from the least open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Class {
    /// Open Model.
    #[serde(rename = "III Open Model")]
    OpenModel,
    /// Open Tooling.
    #[serde(rename = "II Open Tooling")]
    OpenTooling,
    /// Open Science.
    #[serde(rename = "I Open Science")]
    OpenScience,
}

impl Class {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenModel => "III Open Model",
            Self::OpenTooling => "II Open Tooling",
            Self::OpenScience => "I Open Science",
        }
    }
}

/// The status of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It does not exist, judging by kinds and names.
    Absent,
    /// It is named in the manifest.
    Present,
    /// Each of its files has the bytes in the manifest.
    Verified,
    /// And those that a step made were remade with the same bits.
    Replayed,
}

/// The evidence for the status of components, in addition to the manifest.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Files that have the bytes in the manifest.
    pub verified: BTreeSet<RelPath>,
    /// The result of replaying each step, by its id.
    pub replayed: BTreeMap<String, Again>,
}

/// A component and its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Component {
    /// Its name in the framework.
    pub name: &'static str,
    /// The class that requires it.
    pub class: Class,
    /// Whether that class cannot be reached without it.
    pub required: bool,
    /// Its status.
    pub status: Status,
    /// The number of its files.
    pub files: usize,
    /// One of them, or why it is considered to exist.
    pub example: Option<String>,
}

/// The openness of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Openness {
    /// The release.
    pub release: String,
    /// The components, in the framework's order.
    pub components: Vec<Component>,
    /// The highest class for which all required components, and those of lower classes, exist.
    pub class: Option<Class>,
}

/// How a component's files are recognised.
type Is = fn(&Files<'_>, &Artifact) -> bool;

/// The components in the framework's order.
const COMPONENTS: [(&str, Class, bool, Is); 17] = [
    ("Model architecture", Class::OpenModel, true, |_, a| named(a, &["config.json", "params.json"])),
    ("Model parameters (final)", Class::OpenModel, true, |files, a| files.is_weights(a) && files.is_last(a)),
    ("Technical report", Class::OpenModel, true, |_, a| about(a, &["report", "paper"]) && is_text(a)),
    ("Evaluation results", Class::OpenModel, true, |files, a| {
        files.made_by(a, StepKind::Eval) || in_directory(a, &["eval", "evals", "results"])
    }),
    ("Model card", Class::OpenModel, true, |_, a| {
        about(a, &["model_card", "model-card", "modelcard"]) || a.path.as_str().eq_ignore_ascii_case("readme.md")
    }),
    ("Data card", Class::OpenModel, true, |_, a| {
        about(a, &["data_card", "data-card", "datacard", "datasheet", "dataset_card"])
    }),
    ("Sample model outputs", Class::OpenModel, false, |_, a| {
        about(a, &["sample", "generation", "outputs"]) && is_text(a)
    }),
    ("Training code", Class::OpenTooling, true, |_, a| is_code(a) && about(a, &["train"])),
    ("Inference code", Class::OpenTooling, true, |_, a| {
        is_code(a) && about(a, &["infer", "generate", "modeling", "serve"])
    }),
    ("Evaluation code", Class::OpenTooling, true, |_, a| is_code(a) && about(a, &["eval"])),
    ("Evaluation data", Class::OpenTooling, true, |_, a| a.kind == ArtifactKind::Benchmark),
    ("Supporting libraries and tools", Class::OpenTooling, false, |_, a| {
        named(a, &["requirements.txt", "pyproject.toml", "setup.py", "environment.yml", "cargo.lock", "cargo.toml"])
            || a.kind == ArtifactKind::Tokenizer
    }),
    ("Research paper", Class::OpenScience, true, |_, a| about(a, &["paper"]) && is_text(a)),
    ("Datasets", Class::OpenScience, true, |_, a| matches!(a.kind, ArtifactKind::Shard | ArtifactKind::Tokens)),
    ("Data preprocessing code", Class::OpenScience, true, |files, a| {
        files.configures(a, &[StepKind::Generate, StepKind::Clean, StepKind::Tokenize])
            || is_code(a) && about(a, &["clean", "preprocess", "tokenize", "dedup"])
    }),
    ("Model parameters (intermediate)", Class::OpenScience, true, |files, a| files.is_weights(a) && !files.is_last(a)),
    ("Model metadata", Class::OpenScience, false, |files, a| {
        files.configures(a, &[StepKind::Train])
            || a.kind == ArtifactKind::Checkpoint && about(a, &["optim", "moment", "training_args", "trainer_state"])
    }),
];

/// Code of these steps, if they are retrace's: only retrace uses a numerics version.
const BY_PROGRAM: [(&str, StepKind); 3] =
    [("Training code", StepKind::Train), ("Inference code", StepKind::Eval), ("Evaluation code", StepKind::Eval)];

/// The openness of the release of `manifest`, judging by its files' kinds and names and by `evidence`.
pub fn openness(manifest: &Manifest, evidence: &Evidence) -> Openness {
    let files = Files::of(manifest);
    let mut components: Vec<Component> = COMPONENTS
        .iter()
        .map(|(name, class, required, is)| {
            let found: Vec<&Artifact> = manifest.artifacts.iter().filter(|artifact| is(&files, artifact)).collect();
            // Not from the manifest's field `tool`, which the root does not cover.
            let ours = |kind: StepKind| manifest.steps.iter().find(|step| step.kind == kind && step.numerics.is_some());
            let of_component = BY_PROGRAM.iter().filter(|(component, _)| component == name);
            let by_program = of_component.filter_map(|(_, kind)| ours(*kind)?.numerics).next();
            // Code is not among the files, but the named program is available.
            let status = match files.status(&found, evidence) {
                Status::Absent if by_program.is_some() => Status::Present,
                status => status,
            };
            let example = found.first().map(|artifact| artifact.path.to_string());
            let example =
                example.or_else(|| by_program.map(|version| format!("the program: retrace, numerics {version}")));
            Component { name, class: *class, required: *required, status, files: found.len(), example }
        })
        .collect();
    // "A research paper may replace the technical report."
    if let Some(paper) = components.iter().find(|c| c.name == "Research paper").cloned()
        && let Some(report) = components.iter_mut().find(|c| c.name == "Technical report" && c.status == Status::Absent)
    {
        (report.status, report.files, report.example) = (paper.status, paper.files, paper.example);
    }
    let reached = |class: Class| components.iter().all(|c| c.class > class || !c.required || c.status > Status::Absent);
    let class = [Class::OpenScience, Class::OpenTooling, Class::OpenModel].into_iter().find(|class| reached(*class));
    Openness { release: manifest.name.clone(), components, class }
}

/// What the graph shows about files.
struct Files<'a> {
    manifest: &'a Manifest,
    /// The directories of the last checkpoint of each run.
    last: BTreeSet<&'a str>,
}

impl<'a> Files<'a> {
    fn of(manifest: &'a Manifest) -> Self {
        let mut last: BTreeMap<&str, (u64, BTreeSet<&str>)> = BTreeMap::new();
        for artifact in manifest.artifacts.iter().filter(|artifact| artifact.kind == ArtifactKind::Checkpoint) {
            let (directory, _) = split(&artifact.path);
            let (series, step) = series(directory);
            let (known, directories) = last.entry(series).or_default();
            if step > *known {
                (*known, *directories) = (step, BTreeSet::new());
            }
            if step == *known {
                directories.insert(directory);
            }
        }
        Self { manifest, last: last.into_values().flat_map(|(_, directories)| directories).collect() }
    }

    fn is_weights(&self, artifact: &Artifact) -> bool {
        let (_, name) = split(&artifact.path);
        artifact.kind == ArtifactKind::Checkpoint
            && artifact.tensors.is_some()
            && !["optim", "moment"].iter().any(|word| name.contains(word))
    }

    fn is_last(&self, artifact: &Artifact) -> bool {
        self.last.contains(split(&artifact.path).0)
    }

    fn made_by(&self, artifact: &Artifact, kind: StepKind) -> bool {
        self.maker(artifact).is_some_and(|step| step.kind == kind)
    }

    fn maker(&self, artifact: &Artifact) -> Option<&'a GraphStep> {
        self.manifest.steps.iter().find(|step| step.outputs.iter().any(|output| output.path == artifact.path))
    }

    fn configures(&self, artifact: &Artifact, kinds: &[StepKind]) -> bool {
        let of = |step: &&GraphStep| kinds.contains(&step.kind);
        self.manifest.steps.iter().filter(of).any(|step| step.config.as_ref() == Some(&artifact.path))
    }

    /// The status of a component that consists of these files.
    fn status(&self, artifacts: &[&Artifact], evidence: &Evidence) -> Status {
        if artifacts.is_empty() {
            return Status::Absent;
        }
        if !artifacts.iter().all(|artifact| evidence.verified.contains(&artifact.path)) {
            return Status::Present;
        }
        let makers: Vec<&GraphStep> = artifacts.iter().filter_map(|artifact| self.maker(artifact)).collect();
        let again = |step: &&GraphStep| evidence.replayed.get(&step.id) == Some(&Again::SameBits);
        match !makers.is_empty() && makers.iter().all(again) {
            true => Status::Replayed,
            false => Status::Verified,
        }
    }
}

/// A path's directory and name.
fn split(path: &RelPath) -> (&str, &str) {
    path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()))
}

/// The series of the checkpoints in a directory, and their position in it.
fn series(directory: &str) -> (&str, u64) {
    CheckpointName::in_path(directory).map_or((directory, 0), |found| (found.series, found.number))
}

fn named(artifact: &Artifact, names: &[&str]) -> bool {
    let name = split(&artifact.path).1.to_lowercase();
    names.contains(&name.as_str())
}

fn about(artifact: &Artifact, words: &[&str]) -> bool {
    let path = artifact.path.as_str().to_lowercase();
    words.iter().any(|word| path.contains(word))
}

fn in_directory(artifact: &Artifact, names: &[&str]) -> bool {
    let (directory, _) = split(&artifact.path);
    directory.split('/').any(|part| names.contains(&part))
}

fn extension(artifact: &Artifact) -> &str {
    split(&artifact.path).1.rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn is_text(artifact: &Artifact) -> bool {
    ["pdf", "md", "html", "txt", "tex", "json", "jsonl"].contains(&extension(artifact))
        && artifact.kind != ArtifactKind::Checkpoint
}

fn is_code(artifact: &Artifact) -> bool {
    ["py", "rs", "sh", "cpp", "cu", "ipynb", "jl"].contains(&extension(artifact))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The directories with those of these weights that are considered final.
    fn last(directories: &[&str]) -> Vec<String> {
        let artifact = |directory: &&str| Artifact {
            path: format!("{directory}/model.safetensors").parse().unwrap(),
            kind: ArtifactKind::Checkpoint,
            size: 0,
            digest: retrace_spec::Digest::of(directory.as_bytes()),
            sha256: None,
            slices: Vec::new(),
            tensors: None,
        };
        let manifest = Manifest::new("m", "t", vec![], directories.iter().map(artifact).collect(), vec![]).unwrap();
        Files::of(&manifest).last.into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn the_last_checkpoint_of_each_series_is_final() {
        assert_eq!(last(&["step1000-unsharded", "step20000-unsharded", "step3000-unsharded"]), ["step20000-unsharded"]);
        assert_eq!(last(&["ckpt_009", "ckpt_010", "main"]), ["ckpt_010", "main"]);
        let stages =
            ["stage1-step9-tokens9B", "stage2-ingredient1-step5-tokens1B", "stage2-ingredient1-step7-tokens2B"];
        assert_eq!(last(&stages), [stages[0], stages[2]]);
        // Two directories of the same checkpoint.
        assert_eq!(last(&["step-1/a", "step-2/a", "step-2/b"]), ["step-2/a", "step-2/b"]);
    }
}

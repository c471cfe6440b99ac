//! The content of a manifest in the formats of other tools.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use retrace_sign::{Chain, SigningKey};
use retrace_spec::manifest::{Artifact, ArtifactKind, GraphStep, StepKind};
use retrace_spec::{Algorithm, Checksum, Digest, Manifest, RelPath};
use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;

use crate::oms::{BundlingError, Signed, bundle};
use crate::record::SCRATCH;
use crate::statement::{PAYLOAD, Statement, Subject};

/// Why a manifest cannot be exported in a format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExportError {
    /// The format needs a value that was not sealed.
    #[error("the manifest has no SHA-256 of {path}")]
    NoSha256 {
        /// The first file without it.
        path: RelPath,
    },
    /// There is no such step, or the manifest has no steps.
    #[error("the manifest has no step{}", .id.as_ref().map_or_else(String::new, |id| format!(" called {id:?}")))]
    NoStep {
        /// The requested step.
        id: Option<String>,
    },
    /// The bundle cannot be made.
    #[error(transparent)]
    Bundling(#[from] BundlingError),
    /// The output cannot be written.
    #[error("{what}")]
    Form {
        /// What is wrong.
        what: String,
    },
}

/// A list in the format of `sha256sum` or `b3sum`, which they read with `--check`.
///
/// # Errors
/// If SHA-256 is requested and the manifest does not have it for every file.
pub fn checksum_list(manifest: &Manifest, algorithm: Algorithm) -> Result<String, ExportError> {
    let line = |artifact: &Artifact| {
        let checksum = if algorithm == Algorithm::Blake3 { artifact.digest.into() } else { sha256(artifact)? };
        // Both tools read a line that begins with `\` as an escaped one.
        let (mark, path) = match artifact.path.as_str() {
            path if path.contains('\\') => ("\\", path.replace('\\', "\\\\")),
            path => ("", path.to_owned()),
        };
        Ok(format!("{mark}{}  {path}\n", checksum.hex()))
    };
    manifest.artifacts.iter().map(line).collect()
}

fn sha256(artifact: &Artifact) -> Result<Checksum, ExportError> {
    artifact.sha256.ok_or_else(|| ExportError::NoSha256 { path: artifact.path.clone() })
}

/// An OMS bundle over every file of the manifest and, if given, the file `beside` them, such as the manifest itself;
/// signed by `key`. `apart` lists files that may also be in the directory and are not signed.
///
/// # Errors
/// If the manifest does not have the SHA-256 of a file, or OMS does not support the kind of key.
pub fn model_signature(
    manifest: &Manifest,
    beside: Option<Signed>,
    apart: &[RelPath],
    key: &SigningKey,
    chain: Option<&Chain>,
) -> Result<String, ExportError> {
    let sealed = manifest
        .artifacts
        .iter()
        .map(|artifact| Ok(Signed { path: artifact.path.clone(), size: artifact.size, sha256: sha256(artifact)? }));
    let files: Result<Vec<Signed>, ExportError> = sealed.chain(beside.map(Ok)).collect();
    let scratch = SCRATCH.parse::<RelPath>().ok();
    let ignored: Vec<RelPath> = manifest.ignored.iter().chain(apart).cloned().chain(scratch).collect();
    Ok(bundle(&manifest.name, files?, &ignored, key, chain)?)
}

/// The SLSA provenance of each step, or of the one called `id`: one in-toto statement per line, each in a DSSE
/// envelope if a key for signing is given. <https://slsa.dev/spec/v1.0/provenance>
///
/// in-toto has no name for BLAKE3 yet; we use `blake3`, beside `sha256` if the manifest has it.
///
/// # Errors
/// If there is no such step.
pub fn provenance(manifest: &Manifest, id: Option<&str>, key: Option<&SigningKey>) -> Result<String, ExportError> {
    let steps: Vec<&GraphStep> = manifest.steps.iter().filter(|step| id.is_none_or(|id| step.id == id)).collect();
    if steps.is_empty() {
        return Err(ExportError::NoStep { id: id.map(str::to_owned) });
    }
    let form = |e: serde_json::Error| ExportError::Form { what: e.to_string() };
    let mut lines = String::new();
    for step in steps {
        let statement = statement(manifest, step);
        let line = match key {
            Some(key) => {
                let payload = serde_json::to_vec(&statement).map_err(form)?;
                serde_json::to_string(&retrace_sign::Envelope::seal(PAYLOAD, payload, key))
            }
            None => serde_json::to_string(&statement),
        };
        lines += &line.map_err(form)?;
        lines.push('\n');
    }
    Ok(lines)
}

/// The builder of a step in a provenance, which must name one: a manifest does not prove who ran the step.
const NOT_ATTESTED: &str = "urn:retrace:builder:not-attested";

fn statement(manifest: &Manifest, step: &GraphStep) -> Statement<Value> {
    let digests = |path: &RelPath, digest: Digest| {
        let mut digests = BTreeMap::from([("blake3".to_owned(), Checksum::from(digest).hex())]);
        // The SHA-256 of the sealed file, so only if that is the file that the step used.
        let sealed = manifest.artifact(path).filter(|artifact| artifact.digest == digest);
        if let Some(sha256) = sealed.and_then(|artifact| artifact.sha256.as_ref()) {
            digests.insert("sha256".to_owned(), sha256.hex());
        }
        digests
    };
    let made = step.outputs.iter().map(|o| Subject { name: o.path.to_string(), digest: digests(&o.path, o.digest) });
    let read: Vec<Value> =
        step.inputs.iter().map(|i| json!({"name": i.path, "digest": digests(&i.path, i.digest)})).collect();
    // Who ran the step is not covered by the root, so no signed statement contains it.
    let predicate = json!({
        "buildDefinition": {
            "buildType": format!("urn:retrace:step:{}:1", name(step.kind)),
            "externalParameters": {"config": step.config, "step": step.id},
            "internalParameters": {"numerics": step.numerics},
            "resolvedDependencies": read,
        },
        "runDetails": {
            "builder": {"id": NOT_ATTESTED},
        },
    });
    Statement::new(made.collect(), "https://slsa.dev/provenance/v1", predicate)
}

const fn name(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Generate => "generate",
        StepKind::Clean => "clean",
        StepKind::Tokenize => "tokenize",
        StepKind::Train => "train",
        StepKind::Eval => "eval",
        StepKind::Import => "import",
        StepKind::Tables => "tables",
        StepKind::Contamination => "contamination",
        StepKind::Scaling => "scaling",
        StepKind::Page => "page",
    }
}

/// More dependencies than this are not written: a step can have as many outputs as inputs, and each output depends on
/// each input.
const MOST_DEPENDENCIES: usize = 20_000_000;

/// Writes the manifest as a CycloneDX 1.6 machine-learning bill of materials, in little memory: a component for each
/// file, a model for each checkpoint, and the steps as dependencies and as tasks of one workflow. `exporter` is the
/// name and version of the program that writes. Content that the manifest's root does not cover is not written.
/// <https://cyclonedx.org/docs/1.6/json/>
///
/// # Errors
/// If it cannot be written, or would be far longer than the manifest.
pub fn bill_of_materials(manifest: &Manifest, exporter: &str, out: &mut dyn Write) -> Result<(), ExportError> {
    let dependencies = |step: &GraphStep| step.outputs.len().saturating_mul(step.inputs.len());
    let dependencies = manifest.steps.iter().map(dependencies).fold(0, usize::saturating_add);
    if dependencies > MOST_DEPENDENCIES {
        let what = format!(
            "there are {dependencies} dependencies between outputs and inputs; the limit is {MOST_DEPENDENCIES}"
        );
        return Err(ExportError::Form { what });
    }
    let form = |e: serde_json::Error| ExportError::Form { what: e.to_string() };
    let mut serializer = serde_json::Serializer::pretty(&mut *out);
    Bill::of(manifest, exporter).serialize(&mut serializer).map_err(form)?;
    writeln!(out).map_err(|e| ExportError::Form { what: e.to_string() })
}

/// A list that is written while it is iterated.
struct Each<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for Each<F> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// Fields sorted by name.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bill<C, D, M> {
    bom_format: &'static str,
    components: C,
    dependencies: D,
    #[serde(skip_serializing_if = "Option::is_none")]
    formulation: Option<Value>,
    metadata: M,
    spec_version: &'static str,
    version: u32,
}

impl Bill<(), (), ()> {
    fn of(manifest: &Manifest, exporter: &str) -> impl Serialize {
        let is_data = |artifact: &Artifact| {
            matches!(artifact.kind, ArtifactKind::Shard | ArtifactKind::Tokens | ArtifactKind::Benchmark)
        };
        let mut models: BTreeMap<&str, Vec<&Artifact>> = BTreeMap::new();
        for artifact in manifest.artifacts.iter().filter(|artifact| artifact.kind == ArtifactKind::Checkpoint) {
            let parent = artifact.path.as_str().rsplit_once('/').map_or("", |(parent, _)| parent);
            models.entry(parent).or_default().push(artifact);
        }
        // Inputs and outputs of a step that are not in the release with the same content.
        let met = manifest.steps.iter().flat_map(|step| {
            let read = step.inputs.iter().map(|input| (&input.path, input.digest));
            read.chain(step.outputs.iter().map(|output| (&output.path, output.digest)))
        });
        let absent: BTreeMap<&RelPath, Digest> = met.filter(|(path, _)| manifest.artifact(path).is_none()).collect();
        // The outputs by path; no two steps have the same output.
        let mut made: Vec<(&RelPath, &GraphStep)> = manifest
            .steps
            .iter()
            .flat_map(|step| step.outputs.iter().map(move |output| (&output.path, step)))
            .collect();
        made.sort_by_key(|(path, _)| *path);

        let components = Each(move || {
            let files = manifest.artifacts.iter().filter(|artifact| artifact.kind != ArtifactKind::Checkpoint);
            let files = files.map(move |artifact| component(artifact, is_data(artifact)));
            let models = models.iter().map(|(directory, files)| Component {
                components: files.iter().map(|artifact| component(artifact, false)).collect(),
                name: if directory.is_empty() { manifest.name.as_str().into() } else { (*directory).into() },
                ..Component::new("machine-learning-model", format!("checkpoint:{directory}"))
            });
            let absent = absent.iter().map(|(path, digest)| Component {
                hashes: vec![Hash { alg: "BLAKE3", content: Checksum::from(*digest).hex() }],
                name: path.as_str().into(),
                scope: Some("excluded"),
                ..Component::new("file", reference(path))
            });
            // The files are not collected, because there may be very many.
            files.chain(models.collect::<Vec<_>>()).chain(absent.collect::<Vec<_>>())
        });
        let dependencies = Each(move || {
            made.clone().into_iter().map(|(path, step)| {
                let inputs: BTreeSet<&RelPath> =
                    step.inputs.iter().map(|input| &input.path).filter(|input| *input != path).collect();
                Dependency { depends_on: inputs.into_iter().map(reference).collect(), from: reference(path) }
            })
        });
        let tasks: Vec<Value> = manifest.steps.iter().map(task).collect();
        let workflow = json!({"bom-ref": "workflow", "uid": "release", "taskTypes": ["build"], "tasks": tasks});
        let formulation = (!manifest.steps.is_empty()).then(|| json!([{"workflows": [workflow]}]));
        let datasets = Each(move || {
            let data = manifest.artifacts.iter().filter(move |artifact| is_data(artifact));
            data.map(|artifact| Reference { to: reference(&artifact.path) })
        });
        let metadata = Metadata {
            component: Release {
                bom_ref: "release",
                // Of the complete release, and not repeated for each checkpoint: there may be as many checkpoints as
                // datasets.
                model_card: ModelCard { model_parameters: ModelParameters { datasets } },
                name: &manifest.name,
                properties: [Property { name: "retrace:root", value: manifest.root.to_string() }],
                kind: "machine-learning-model",
            },
            tools: json!({"components": [{"type": "application", "name": exporter}]}),
        };
        Bill {
            bom_format: "CycloneDX",
            components,
            dependencies,
            formulation,
            metadata,
            spec_version: "1.6",
            version: 1,
        }
    }
}

#[derive(Serialize)]
struct Metadata<'a, D> {
    component: Release<'a, D>,
    tools: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Release<'a, D> {
    #[serde(rename = "bom-ref")]
    bom_ref: &'static str,
    model_card: ModelCard<D>,
    name: &'a str,
    properties: [Property; 1],
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelCard<D> {
    model_parameters: ModelParameters<D>,
}

#[derive(Serialize)]
struct ModelParameters<D> {
    datasets: D,
}

#[derive(Serialize)]
struct Reference {
    #[serde(rename = "ref")]
    to: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    depends_on: Vec<String>,
    #[serde(rename = "ref")]
    from: String,
}

#[derive(Serialize)]
struct Component<'a> {
    #[serde(rename = "bom-ref")]
    bom_ref: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<Component<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<[Data<'a>; 1]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'static str>,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl Component<'_> {
    const fn new(kind: &'static str, bom_ref: String) -> Self {
        Self {
            bom_ref,
            components: Vec::new(),
            data: None,
            hashes: Vec::new(),
            name: Cow::Borrowed(""),
            properties: Vec::new(),
            scope: None,
            kind,
        }
    }
}

#[derive(Serialize)]
struct Data<'a> {
    name: &'a RelPath,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

fn reference(path: &RelPath) -> String {
    format!("file:{path}")
}

fn component(artifact: &Artifact, is_data: bool) -> Component<'_> {
    let mut hashes = vec![Hash { alg: "BLAKE3", content: Checksum::from(artifact.digest).hex() }];
    hashes.extend(artifact.sha256.as_ref().map(|sha256| Hash { alg: "SHA-256", content: sha256.hex() }));
    let mut properties = vec![Property { name: "retrace:size", value: artifact.size.to_string() }];
    let root = artifact.tensors.as_ref().map(|tensors| tensors.root.to_string());
    properties.extend(root.map(|value| Property { name: "retrace:tensor-root", value }));
    Component {
        data: is_data.then_some([Data { name: &artifact.path, kind: "dataset" }]),
        hashes,
        name: artifact.path.as_str().into(),
        properties,
        ..Component::new(if is_data { "data" } else { "file" }, reference(&artifact.path))
    }
}

fn task(step: &GraphStep) -> Value {
    let resource = |path: &RelPath| json!({"resource": {"ref": reference(path)}});
    json!({
        "bom-ref": format!("step:{}", step.id),
        "uid": step.id,
        "name": name(step.kind),
        "taskTypes": [if step.kind == StepKind::Eval { "test" } else { "build" }],
        "inputs": step.inputs.iter().map(|input| resource(&input.path)).collect::<Vec<_>>(),
        "outputs": step.outputs.iter().map(|output| resource(&output.path)).collect::<Vec<_>>(),
    })
}

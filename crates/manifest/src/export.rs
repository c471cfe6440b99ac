//! A manifest's facts in the forms of other tools.

use std::collections::{BTreeMap, BTreeSet};

use retrace_sign::{Chain, SigningKey};
use retrace_spec::manifest::{Artifact, GraphStep, Kind, StepKind};
use retrace_spec::{Algorithm, Checksum, Digest, Manifest, RelPath};
use serde_json::{Value, json};
use thiserror::Error;

use crate::oms::{BundlingError, Signed, bundle};
use crate::record::SCRATCH;
use crate::statement::{PAYLOAD, Statement, Subject};

/// Why a manifest cannot be given in a form.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExportError {
    /// The form needs what was not sealed.
    #[error("the manifest does not have the SHA-256 of {path}")]
    NoSha256 {
        /// The first file without.
        path: RelPath,
    },
    /// There is no such step, or none at all.
    #[error("the manifest has no step{}", .id.as_ref().map_or_else(String::new, |id| format!(" called {id:?}")))]
    NoStep {
        /// What was asked for.
        id: Option<String>,
    },
    /// The bundle cannot be made.
    #[error(transparent)]
    Bundling(#[from] BundlingError),
    /// The form cannot be written.
    #[error("{what}")]
    Form {
        /// What is wrong.
        what: String,
    },
}

/// A list as `sha256sum` or `b3sum` writes it, and reads it with `--check`.
///
/// # Errors
/// If the manifest does not have the SHA-256 of a file and that is asked for.
pub fn checksum_list(manifest: &Manifest, algorithm: Algorithm) -> Result<String, ExportError> {
    let line = |artifact: &Artifact| {
        let checksum = if algorithm == Algorithm::Blake3 { artifact.digest.into() } else { sha256(artifact)? };
        // Both tools read a line that begins with `\` as one with escapes.
        let (mark, path) = match artifact.path.as_str() {
            path if path.contains('\\') => ("\\", path.replace('\\', "\\\\")),
            path => ("", path.to_owned()),
        };
        Ok(format!("{mark}{}  {path}\n", checksum.hex()))
    };
    manifest.artifacts.iter().map(line).collect()
}

fn sha256(artifact: &Artifact) -> Result<Checksum, ExportError> {
    artifact.sha256.clone().ok_or_else(|| ExportError::NoSha256 { path: artifact.path.clone() })
}

/// An OMS bundle over every file of the manifest and what else is `beside` them, as the manifest
/// itself; signed by `key`. `apart` is what else may lie in the directory and is not signed.
///
/// # Errors
/// If the manifest does not have the SHA-256 of a file, or the key is not one for OMS.
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

/// The SLSA provenance of each step, or of the one called `id`: an in-toto statement a line, each in
/// a DSSE envelope if a key is there to sign. <https://slsa.dev/spec/v1.0/provenance>
///
/// in-toto has no name for BLAKE3 yet; ours is `blake3`, beside `sha256` where the manifest has it.
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

fn statement(manifest: &Manifest, step: &GraphStep) -> Statement<Value> {
    let digests = |path: &RelPath, digest: Digest| {
        let mut digests = BTreeMap::from([("blake3".to_owned(), Checksum::from(digest).hex())]);
        // Of the file that was sealed, so only if that is the one the step met.
        let sealed = manifest.artifact(path).filter(|artifact| artifact.digest == digest);
        if let Some(sha256) = sealed.and_then(|artifact| artifact.sha256.as_ref()) {
            digests.insert("sha256".to_owned(), sha256.hex());
        }
        digests
    };
    let made = step.outputs.iter().map(|o| Subject { name: o.path.to_string(), digest: digests(&o.path, o.digest) });
    let read: Vec<Value> =
        step.inputs.iter().map(|i| json!({"name": i.path, "digest": digests(&i.path, i.digest)})).collect();
    let predicate = json!({
        "buildDefinition": {
            "buildType": format!("urn:retrace:step:{}:1", name(step.kind)),
            "externalParameters": {"config": step.config, "step": step.id},
            "internalParameters": {"numerics": step.numerics},
            "resolvedDependencies": read,
        },
        "runDetails": {
            "builder": {"id": format!("urn:retrace:tool:{}", manifest.tool.replace(' ', ":"))},
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
    }
}

/// The manifest as a CycloneDX 1.6 machine-learning bill of materials: a component a file, a model a
/// checkpoint, and the steps as dependencies and as tasks of one workflow.
/// <https://cyclonedx.org/docs/1.6/json/>
///
/// # Errors
/// If it cannot be written.
pub fn bill_of_materials(manifest: &Manifest) -> Result<String, ExportError> {
    let mut models: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut components = Vec::new();
    let mut datasets = Vec::new();
    for artifact in &manifest.artifacts {
        let parent = artifact.path.as_str().rsplit_once('/').map_or("", |(parent, _)| parent);
        match artifact.kind {
            Kind::Checkpoint => models.entry(parent).or_default().push(component("file", artifact)),
            Kind::Shard | Kind::Tokens | Kind::Benchmark => {
                datasets.push(json!({"ref": reference(&artifact.path)}));
                let mut data = component("data", artifact);
                data["data"] = json!([{"type": "dataset", "name": artifact.path}]);
                components.push(data);
            }
            _ => components.push(component("file", artifact)),
        }
    }
    for (directory, files) in models {
        let name = if directory.is_empty() { manifest.name.as_str() } else { directory };
        components.push(json!({
            "type": "machine-learning-model",
            "bom-ref": format!("checkpoint:{directory}"),
            "name": name,
            "modelCard": {"modelParameters": {"datasets": datasets}},
            "components": files,
        }));
    }
    // What a step read or made and the release does not have as it was then.
    let met = manifest.steps.iter().flat_map(|step| {
        let read = step.inputs.iter().map(|input| (&input.path, input.digest));
        read.chain(step.outputs.iter().map(|output| (&output.path, output.digest)))
    });
    let absent: BTreeMap<&RelPath, Digest> = met.filter(|(path, _)| manifest.artifact(path).is_none()).collect();
    for (path, digest) in absent {
        components.push(json!({
            "type": "file",
            "bom-ref": reference(path),
            "name": path,
            "scope": "excluded",
            "hashes": [{"alg": "BLAKE3", "content": Checksum::from(digest).hex()}],
        }));
    }
    let mut dependencies: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for step in &manifest.steps {
        for output in &step.outputs {
            let inputs = step.inputs.iter().filter(|input| input.path != output.path);
            dependencies.entry(reference(&output.path)).or_default().extend(inputs.map(|i| reference(&i.path)));
        }
    }
    let dependencies: Vec<Value> =
        dependencies.into_iter().map(|(from, on)| json!({"ref": from, "dependsOn": on})).collect();
    let tasks: Vec<Value> = manifest.steps.iter().map(task).collect();
    let mut bom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "machine-learning-model",
                "bom-ref": "release",
                "name": manifest.name,
                "properties": [{"name": "retrace:root", "value": manifest.root}],
            },
            "tools": {"components": [{"type": "application", "name": manifest.tool}]},
        },
        "components": components,
        "dependencies": dependencies,
    });
    if !tasks.is_empty() {
        let workflow = json!({"bom-ref": "workflow", "uid": "release", "taskTypes": ["build"], "tasks": tasks});
        bom["formulation"] = json!([{"workflows": [workflow]}]);
    }
    let form = |e: serde_json::Error| ExportError::Form { what: e.to_string() };
    Ok(serde_json::to_string_pretty(&bom).map_err(form)? + "\n")
}

fn reference(path: &RelPath) -> String {
    format!("file:{path}")
}

fn component(kind: &str, artifact: &Artifact) -> Value {
    let mut hashes = vec![json!({"alg": "BLAKE3", "content": Checksum::from(artifact.digest).hex()})];
    if let Some(sha256) = &artifact.sha256 {
        hashes.push(json!({"alg": "SHA-256", "content": sha256.hex()}));
    }
    let mut properties = vec![json!({"name": "retrace:size", "value": artifact.size.to_string()})];
    if let Some(tensors) = &artifact.tensors {
        properties.push(json!({"name": "retrace:tensor-root", "value": tensors.root}));
    }
    let bom_ref = reference(&artifact.path);
    json!({"type": kind, "bom-ref": bom_ref, "name": artifact.path, "hashes": hashes, "properties": properties})
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

//! The graph of a manifest as tables.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use retrace_manifest::{GraphFinding, Unknown, check_graph};
use retrace_spec::{KnownRoots, Manifest};
use retrace_tables::{Batch, Graph, ManifestRoot, PublishedRoot};

use crate::QueryError;
use crate::releases::Sealed;

/// Every artifact.
pub(crate) fn artifacts(manifest: &Manifest) -> Result<RecordBatch, QueryError> {
    let all = &manifest.artifacts;
    let text = |of: &dyn Fn(&retrace_spec::manifest::Artifact) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(all.iter().map(of)))
    };
    let sizes: ArrayRef = Arc::new(UInt64Array::from_iter_values(all.iter().map(|artifact| artifact.size)));
    let roots = all.iter().map(|artifact| artifact.tensors.as_ref().map(|tensors| tensors.root.to_string()));
    let roots: ArrayRef = Arc::new(StringArray::from_iter(roots));
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("release", text(&|_| manifest.name.clone()), false),
        ("path", text(&|artifact| artifact.path.to_string()), false),
        ("kind", text(&|artifact| format!("{:?}", artifact.kind).to_lowercase()), false),
        ("size", sizes, false),
        ("digest", text(&|artifact| artifact.digest.to_string()), false),
        ("tensor_root", roots, true),
    ])?)
}

/// The tables that have a row for everything in a manifest and those of its parts.
pub(crate) const OF_ALL_PARTS: [&str; 2] = ["artifacts", "steps"];

/// The contradictions within the manifest, and the parts whose content is unknown.
pub(crate) fn graph(sealed: &Sealed) -> Result<RecordBatch, QueryError> {
    let (manifest, source) = (&sealed.manifest, sealed.path.display().to_string());
    let row = |found: GraphFinding| Graph {
        release: manifest.name.clone(),
        rule: found.rule.name().to_owned(),
        path: found.path,
        finding: found.what,
        source: source.clone(),
    };
    let unknown = |part: &Unknown| Graph {
        release: manifest.name.clone(),
        rule: "unknown-part".to_owned(),
        path: part.at.to_string(),
        finding: part.why.clone(),
        source: source.clone(),
    };
    let found = check_graph(manifest).into_iter().map(row);
    let rows: Vec<Graph> = found.chain(sealed.unknown.iter().map(unknown)).collect();
    Ok(Batch::of(&rows)?.into_columns()?)
}

/// The manifest itself, whose path is `source`.
pub(crate) fn root(manifest: &Manifest, source: &str) -> Result<RecordBatch, QueryError> {
    let row = ManifestRoot { release: manifest.name.clone(), root: manifest.root, source: source.to_owned() };
    Ok(Batch::of(&[row])?.into_columns()?)
}

/// The roots in the document at `source`.
pub(crate) fn known_roots(known: &KnownRoots, source: &str) -> Result<RecordBatch, QueryError> {
    let rows = known.releases.iter().flat_map(|release| {
        (1..).zip(&release.roots).map(|(place, root)| PublishedRoot {
            release: release.name.clone(),
            place,
            root: root.root,
            seen: root.seen.clone(),
            source: source.to_owned(),
        })
    });
    Ok(Batch::of(&rows.collect::<Vec<_>>())?.into_columns()?)
}

/// Every step of the graph.
pub(crate) fn steps(manifest: &Manifest) -> Result<RecordBatch, QueryError> {
    let all = &manifest.steps;
    let text = |of: &dyn Fn(&retrace_spec::manifest::GraphStep) -> Option<String>| -> ArrayRef {
        Arc::new(StringArray::from_iter(all.iter().map(of)))
    };
    let number = |of: &dyn Fn(&retrace_spec::manifest::GraphStep) -> Option<u64>| -> ArrayRef {
        Arc::new(UInt64Array::from_iter(all.iter().map(of)))
    };
    Ok(RecordBatch::try_from_iter_with_nullable([
        ("release", text(&|_| Some(manifest.name.clone())), false),
        ("id", text(&|step| Some(step.id.clone())), false),
        ("kind", text(&|step| Some(format!("{:?}", step.kind).to_lowercase())), false),
        ("config", text(&|step| step.config.as_ref().map(ToString::to_string)), true),
        ("numerics", number(&|step| step.numerics.map(u64::from)), true),
        ("inputs", number(&|step| Some(step.inputs.len() as u64)), false),
        ("outputs", number(&|step| Some(step.outputs.len() as u64)), false),
    ])?)
}

//! Comparison of two manifests.

use std::collections::BTreeSet;

use retrace_spec::{Manifest, RelPath};
use serde::Serialize;

/// How the artifacts of one manifest differ from those of another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The same bytes at the same path.
    pub identical: Vec<RelPath>,
    /// Different bytes at the same path.
    pub different: Vec<RelPath>,
    /// Only in the first.
    pub missing: Vec<RelPath>,
    /// Only in the second.
    pub extra: Vec<RelPath>,
}

impl Comparison {
    /// Whether both have the same artifacts.
    pub const fn holds(&self) -> bool {
        self.different.is_empty() && self.missing.is_empty() && self.extra.is_empty()
    }
}

/// Compares what was `made` with what was `published`.
pub fn compare(published: &Manifest, made: &Manifest) -> Comparison {
    let mut comparison = Comparison::default();
    let paths: BTreeSet<&RelPath> =
        published.artifacts.iter().chain(&made.artifacts).map(|artifact| &artifact.path).collect();
    for path in paths {
        let list = match (published.artifact(path), made.artifact(path)) {
            (Some(a), Some(b)) if a.digest == b.digest => &mut comparison.identical,
            (Some(_), Some(_)) => &mut comparison.different,
            (Some(_), None) => &mut comparison.missing,
            (None, _) => &mut comparison.extra,
        };
        list.push(path.clone());
    }
    comparison
}

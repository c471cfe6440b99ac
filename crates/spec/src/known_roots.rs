//! The roots of releases that were seen before. An auditor keeps this list, so that an old manifest is not accepted as
//! the latest.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::document::Complaint;
use crate::{Digest, Document};

/// Roots of releases; each release's roots are in the order in which they were published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownRoots {
    /// `known-roots/1`.
    pub retrace: String,
    /// The releases.
    pub releases: Vec<KnownRelease>,
}

/// A release whose roots are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownRelease {
    /// Its name in its manifests.
    pub name: String,
    /// Its roots in the order in which they were published, the latest last.
    pub roots: Vec<KnownRoot>,
}

/// A root that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownRoot {
    /// The root.
    pub root: Digest,
    /// When and where it was seen, as free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
}

impl Document for KnownRoots {
    const SCHEMA: &'static str = "known-roots/1";

    fn schema(&self) -> &str {
        &self.retrace
    }

    fn check(&self) -> Result<(), Complaint> {
        let mut names = BTreeSet::new();
        for (at, release) in self.releases.iter().enumerate() {
            let complain = |field: &str, what: &str| Err((format!("releases[{at}].{field}"), what.to_owned()));
            if !names.insert(&release.name) {
                return complain("name", "is listed twice, so it is not clear which of its roots is the latest");
            }
            if release.roots.is_empty() {
                return complain("roots", "has none");
            }
            let mut roots = BTreeSet::new();
            if let Some(again) = release.roots.iter().position(|known| !roots.insert(known.root)) {
                return complain(&format!("roots[{again}]"), "is listed twice; a root has only one place in the order");
            }
        }
        if names.is_empty() { Err(("releases".to_owned(), "has none".to_owned())) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(digit: char) -> String {
        format!("b3:{}", digit.to_string().repeat(64))
    }

    #[test]
    fn an_order_is_one() {
        let text = format!(
            "retrace: known-roots/1\nreleases:\n  - name: tour\n    roots:\n      - root: {}\n        seen: 2026-01-02, by mail\n      - root: {}\n",
            root('a'),
            root('b')
        );
        let known = KnownRoots::parse(&text, "t").unwrap();
        assert_eq!(known.releases[0].roots.len(), 2);
        assert_eq!(known.releases[0].roots[0].seen.as_deref(), Some("2026-01-02, by mail"));
        assert_eq!(KnownRoots::parse(&serde_json::to_string(&known).unwrap(), "t").unwrap(), known);
        for (spoiled, says) in [
            (text.replace(&root('b'), &root('a')), "releases[0].roots[1]: is listed twice"),
            (text.replace(&root('b'), "b3:00"), "t:"),
            (text.replace("name: tour", "name: tour\n    more: 1"), "more"),
            (text.replace("known-roots/1", "known-roots/2"), "known-roots/1"),
            (text.replace("seen:", "seen: x\n        seen:"), "duplicate"),
            (text.replace("- name", "- name: tour\n    roots: []\n  - name"), "releases[0].roots: has none"),
            (
                format!("{text}  - name: tour\n    roots: [{{root: \"{}\"}}]\n", root('c')),
                "releases[1].name: is listed twice",
            ),
            ("retrace: known-roots/1\nreleases: []\n".to_owned(), "releases: has none"),
            (String::new(), "t"),
        ] {
            let told = KnownRoots::parse(&spoiled, "t").unwrap_err().to_string();
            assert!(told.contains(says), "{spoiled}: {told}");
        }
    }
}

//! in-toto statements: what is said of which files, as signatures and provenance carry it.
//! <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The type of a DSSE payload that is a statement.
pub(crate) const PAYLOAD: &str = "application/vnd.in-toto+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// A predicate, and what it is said of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Statement<P> {
    #[serde(rename = "_type")]
    kind: String,
    pub(crate) subject: Vec<Subject>,
    pub(crate) predicate_type: String,
    pub(crate) predicate: P,
}

/// A file, or something else that has digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subject {
    #[serde(default)]
    pub(crate) name: String,
    /// By algorithm, in hexadecimal.
    pub(crate) digest: BTreeMap<String, String>,
}

impl<P> Statement<P> {
    pub(crate) fn new(subject: Vec<Subject>, predicate_type: &str, predicate: P) -> Self {
        Self { kind: STATEMENT.to_owned(), subject, predicate_type: predicate_type.to_owned(), predicate }
    }

    /// Whether it is a statement of this predicate; if not, what it is.
    pub(crate) fn is(&self, predicate_type: &str) -> Result<(), String> {
        if self.kind != STATEMENT {
            return Err(format!("it is a {:?}, not an in-toto statement of version 1", self.kind));
        }
        if self.predicate_type != predicate_type {
            return Err(format!("it states {:?}, not {predicate_type:?}", self.predicate_type));
        }
        Ok(())
    }
}

//! What a second party replayed: an in-toto statement about a release, for signing.

use std::collections::BTreeMap;

use retrace_sign::{Envelope, PublicKey, SignatureError, SigningKey};
use retrace_spec::{Checksum, Digest, GaveUp, Manifest, RelPath, guard};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::export::ExportError;
use crate::signature::ROOT;
use crate::statement::{PAYLOAD, Statement, Subject};

/// The predicate type of a statement that steps were replayed. Statements of version 1 may be based on notes that came
/// with the release, so they are not accepted.
const REPLAY: &str = "urn:retrace:replay:2";

/// The result of replaying a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Again {
    /// Every output has the bytes that the manifest states.
    SameBits,
    /// Some outputs differ, or are missing.
    Differs {
        /// Which outputs and, if known, why.
        outputs: Vec<String>,
    },
    /// The manifest's entry for the step cannot be true, or a replay could not distinguish it from a false one: a step
    /// that reads its own output would receive the recorded answer.
    Invalid {
        /// Why.
        because: String,
    },
    /// It could not be replayed here.
    NotReplayed {
        /// Why.
        because: String,
    },
}

/// A step and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The step's id.
    pub step: String,
    /// The digest of the manifest's entry for the step.
    pub digest: Digest,
    /// The result.
    #[serde(flatten)]
    pub again: Again,
    /// The digest of the auditor's note of an earlier replay that this is based on; `None` if the step was replayed
    /// for this statement.
    pub note: Option<Digest>,
}

/// The program and the kind of machine that replayed the steps. It contains no name, place or time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replayer {
    /// Program and version.
    pub tool: String,
    /// The numerics version.
    pub numerics: u32,
    /// The processor's architecture and the instruction set that was used.
    pub machine: String,
    /// The engine that computed models, if it was not the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
}

/// What was replayed of a release, and with which program and machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayStatement {
    /// The program and machine.
    pub replayer: Replayer,
    /// The steps that were considered.
    pub steps: Vec<Outcome>,
    /// Parts of the release whose manifest is not available as sealed, so that their steps are unknown.
    pub unknown: Vec<RelPath>,
}

/// Why a text is not a valid attestation of a release.
#[derive(Debug, Error)]
pub enum AttestationError {
    /// It is not signed by the key.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A library panicked while reading it.
    #[error(transparent)]
    GaveUp(#[from] GaveUp),
    /// It is a statement of another kind.
    #[error("it is not an attestation of a replay: {0}")]
    Other(String),
    /// It is about another release, or about an earlier seal of this one.
    #[error("it is for a release with the root {0}, not for this one")]
    Root(String),
}

/// The statement of what was replayed of `manifest`; signed, in a DSSE envelope, if a key is given.
///
/// # Errors
/// If it cannot be written.
pub fn attestation(
    manifest: &Manifest,
    replayed: &ReplayStatement,
    key: Option<&SigningKey>,
) -> Result<String, ExportError> {
    let form = |e: serde_json::Error| ExportError::Form { what: e.to_string() };
    let root = BTreeMap::from([(ROOT.to_owned(), Checksum::from(manifest.root).hex())]);
    let subject = vec![Subject { name: manifest.name.clone(), digest: root }];
    let statement = Statement::new(subject, REPLAY, replayed);
    let text = match key {
        Some(key) => {
            let payload = serde_json::to_vec(&statement).map_err(form)?;
            serde_json::to_string_pretty(&Envelope::seal(PAYLOAD, payload, key))
        }
        None => serde_json::to_string_pretty(&statement),
    };
    Ok(text.map_err(form)? + "\n")
}

/// What an attestation states was replayed of `manifest`. With a key, it must be signed by it; without one, the signer
/// is not checked.
///
/// # Errors
/// If it is not an attestation, is about another release, or is not signed by `key`.
pub fn read_attestation(
    manifest: &Manifest,
    text: &str,
    key: Option<&PublicKey>,
) -> Result<ReplayStatement, AttestationError> {
    let other = AttestationError::Other;
    let statement = match (serde_json::from_str::<Envelope>(text), key) {
        (Ok(envelope), key) => {
            key.map(|key| guard(|| envelope.check(key))).transpose()?.transpose()?;
            Statement::within(&envelope, REPLAY)
        }
        (Err(_), None) => Statement::parse(text.as_bytes(), REPLAY),
        (Err(_), Some(_)) => return Err(SignatureError::None.into()),
    };
    let statement: Statement<ReplayStatement> = statement.map_err(other)?;
    let [subject] = statement.subject.as_slice() else {
        return Err(other(format!("it has {} subjects instead of one", statement.subject.len())));
    };
    let signed = subject.digest.get(ROOT).cloned().unwrap_or_default();
    if signed != Checksum::from(manifest.root).hex() {
        return Err(AttestationError::Root(format!("b3:{signed}")));
    }
    Ok(statement.predicate)
}

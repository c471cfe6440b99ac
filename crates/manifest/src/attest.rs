//! What a second party replayed: an in-toto statement about a release, for signing.

use std::collections::BTreeMap;

use retrace_sign::{Envelope, PublicKey, SigningKey};
use retrace_spec::{Checksum, Manifest};
use serde::{Deserialize, Serialize};

use crate::export::ExportError;
use crate::signature::{ManifestSignatureError, ROOT};
use crate::statement::{PAYLOAD, Statement, Subject};

/// What a statement that steps were done again says.
const REPLAY: &str = "urn:retrace:replay:1";

/// What came of doing a step again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Again {
    /// Every output has the bytes that the manifest says.
    SameBits,
    /// Some have not, or are not there.
    Differs {
        /// Which, and as far as that is known, why.
        outputs: Vec<String>,
    },
    /// It could not be done here.
    NotReplayed {
        /// Why.
        because: String,
    },
}

/// A step and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The step's id.
    pub step: String,
    /// What came of it.
    #[serde(flatten)]
    pub again: Again,
}

/// By what, and on what kind of machine, steps were done again. No name, place or time of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Replayer {
    /// Program and version.
    pub tool: String,
    /// The numerics version.
    pub numerics: u32,
    /// The processor's architecture and the instruction set that was used.
    pub machine: String,
}

/// The statement that these steps of `manifest` were done again, with what came of each; signed, in a
/// DSSE envelope, if there is a key.
///
/// # Errors
/// If it cannot be written.
pub fn attestation(
    manifest: &Manifest,
    replayer: &Replayer,
    outcomes: &[Outcome],
    key: Option<&SigningKey>,
) -> Result<String, ExportError> {
    let form = |e: serde_json::Error| ExportError::Form { what: e.to_string() };
    let root = BTreeMap::from([(ROOT.to_owned(), Checksum::from(manifest.root).hex())]);
    let statement = Statement::new(
        vec![Subject { name: manifest.name.clone(), digest: root }],
        REPLAY,
        serde_json::json!({"replayer": replayer, "steps": outcomes}),
    );
    let text = match key {
        Some(key) => {
            let payload = serde_json::to_vec(&statement).map_err(form)?;
            serde_json::to_string_pretty(&retrace_sign::Envelope::seal(PAYLOAD, payload, key))
        }
        None => serde_json::to_string_pretty(&statement),
    };
    Ok(text.map_err(form)? + "\n")
}

/// What came of each step, as an attestation of `manifest` says. With a key, it must be signed by it;
/// without one, whoever wrote it is believed.
///
/// # Errors
/// If it is none, is of another release, or is not signed by `key`.
pub fn read_attestation(
    manifest: &Manifest,
    text: &str,
    key: Option<&PublicKey>,
) -> Result<Vec<Outcome>, ManifestSignatureError> {
    #[derive(Deserialize)]
    struct Replayed {
        steps: Vec<Outcome>,
    }
    let other = |what: String| ManifestSignatureError::Other { what };
    let payload = match (serde_json::from_str::<Envelope>(text), key) {
        (Ok(envelope), Some(key)) => {
            envelope.check(key)?;
            envelope.payload.0
        }
        (Ok(envelope), None) => envelope.payload.0,
        (Err(_), None) => text.as_bytes().to_vec(),
        (Err(_), Some(_)) => return Err(retrace_sign::SignatureError::None.into()),
    };
    let statement: Statement<serde_json::Value> = serde_json::from_slice(&payload).map_err(|e| other(e.to_string()))?;
    statement.is(REPLAY).map_err(other)?;
    let [subject] = statement.subject.as_slice() else {
        return Err(other(format!("it states something of {} subjects", statement.subject.len())));
    };
    let signed = subject.digest.get(ROOT).cloned().unwrap_or_default();
    if signed != Checksum::from(manifest.root).hex() {
        return Err(ManifestSignatureError::Root { signed: format!("b3:{signed}") });
    }
    let replayed: Replayed = serde_json::from_value(statement.predicate).map_err(|e| other(e.to_string()))?;
    Ok(replayed.steps)
}

//! The signature of a manifest.
//!
//! The signed content is an in-toto statement of the release's name and root in a DSSE envelope, not the manifest's
//! text: the signature is valid for the YAML and the JSON form.

use std::collections::BTreeMap;

use retrace_sign::{Envelope, PublicKey, SignatureError, SigningKey};
use retrace_spec::foreign::excerpt;
use retrace_spec::{Digest, Manifest};
use retrace_spec::{GaveUp, guard};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::statement::{PAYLOAD, Statement, Subject};

/// The predicate type of a statement that a manifest's root belongs to a release.
const RELEASE: &str = "urn:retrace:release:1";
/// The name of a root's hexadecimal digits among a subject's digests.
pub(crate) const ROOT: &str = "retraceRoot";

/// Counts, for readers that have only the signature. The root covers what they count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Release {
    artifacts: usize,
    bytes: u64,
    steps: usize,
}

impl Release {
    fn of(manifest: &Manifest) -> Self {
        Self {
            artifacts: manifest.artifacts.len(),
            bytes: manifest.artifacts.iter().fold(0, |bytes, artifact| bytes.saturating_add(artifact.size)),
            steps: manifest.steps.len(),
        }
    }
}

/// Why a manifest does not match its signature.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManifestSignatureError {
    /// The signature is not valid.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// It is damaged.
    #[error(transparent)]
    GaveUp(#[from] GaveUp),
    /// It is a signature of something other than a manifest.
    #[error("the signature is valid, but not one of a manifest: {what}")]
    Other {
        /// The kind of what is signed.
        what: String,
    },
    /// It is a signature of another root.
    #[error(
        "the signature is valid, but for a manifest with the root {}: this manifest was sealed again later, or belongs to another release",
        excerpt(signed)
    )]
    Root {
        /// The root that was signed.
        signed: String,
    },
    /// It is a signature of a release of another name.
    #[error("the signature is valid, but for a release with the name {:?}", excerpt(signed))]
    Name {
        /// The name that was signed.
        signed: String,
    },
}

/// The signature of `manifest` by `key`.
///
/// # Errors
/// This never fails for a manifest; the encoder's type allows it.
pub fn sign_manifest(manifest: &Manifest, key: &SigningKey) -> Result<Envelope, serde_json::Error> {
    let digest = BTreeMap::from([(ROOT.to_owned(), hex(manifest.root))]);
    let subject = Subject { name: manifest.name.clone(), digest };
    let statement = Statement::new(vec![subject], RELEASE, Release::of(manifest));
    Ok(Envelope::seal(PAYLOAD, serde_json::to_vec(&statement)?, key))
}

/// Whether `envelope` is a signature of `manifest` by `key`.
///
/// # Errors
/// If it is not, the reason.
pub fn check_manifest(manifest: &Manifest, envelope: &Envelope, key: &PublicKey) -> Result<(), ManifestSignatureError> {
    guard(|| envelope.check(key))??;
    let other = |what: String| ManifestSignatureError::Other { what };
    let statement: Statement<Release> = Statement::within(envelope, RELEASE).map_err(other)?;
    let [subject] = statement.subject.as_slice() else {
        return Err(other(format!("it has {} subjects instead of one", statement.subject.len())));
    };
    let signed = subject.digest.get(ROOT).cloned().unwrap_or_default();
    if signed != hex(manifest.root) {
        return Err(ManifestSignatureError::Root { signed: excerpt(&format!("b3:{signed}")).into_owned() });
    }
    if subject.name != manifest.name {
        return Err(ManifestSignatureError::Name { signed: excerpt(&subject.name).into_owned() });
    }
    if statement.predicate != Release::of(manifest) {
        return Err(other("its numbers of artifacts, bytes and steps are not those of the manifest".to_owned()));
    }
    Ok(())
}

fn hex(root: Digest) -> String {
    root.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

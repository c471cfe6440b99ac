//! Bundles of OpenSSF Model Signing (OMS) 1.0: a signed list of a model's files.
//! <https://github.com/ossf/model-signing-spec/blob/main/spec/v1.0.md>
//!
//! Of the signing methods, `key` and `certificate` are checked. `sigstore` (keyless) is read, but checking it needs
//! the keys of a public log, so its signature is refused as unchecked. Of the file methods, complete files by SHA-256
//! or BLAKE3 are read; files in shards and BLAKE2b are refused with a specific error.

use std::collections::{BTreeMap, BTreeSet};

use retrace_files::{Algorithm, Checksum, checksum};
use retrace_sign::{Base64, Chain, Envelope, Identity, PublicKey, Roots, SignatureError, SigningKey};
use retrace_spec::foreign::excerpt;
use retrace_spec::{GaveUp, PathError, RelPath, guard};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::lists::ListError;
use crate::statement::{PAYLOAD, Statement, Subject};
use crate::verify::Expected;

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const MEDIA_TYPES: [&str; 4] = [
    MEDIA_TYPE,
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
];
const PREDICATE: &str = "https://model_signing/signature/v1.0";
/// What OMS leaves out of every model, in its top directory.
const NEVER_SIGNED: [&str; 4] = [".git", ".gitattributes", ".github", ".gitignore"];

/// A bundle that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    envelope: Envelope,
    signer: Signer,
    /// The files that are signed, sorted by path.
    pub files: Vec<Expected>,
    /// The paths in the model's directory that the signature leaves out.
    pub ignored: Vec<RelPath>,
    /// Whether the signer followed links, so that a signed file may be one.
    pub allows_links: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Signer {
    /// A key, and its name in the bundle.
    Key(Option<String>),
    Chain(Chain),
    Keyless,
}

/// The signers that a caller trusts.
#[derive(Debug, Clone)]
pub enum Trust {
    /// The owner of the private half of this key.
    Key(PublicKey),
    /// Every signer with a certificate that leads to one of these roots.
    Roots {
        /// The roots.
        roots: Roots,
        /// The time at which the certificates must be valid, in seconds since 1970.
        at: u64,
        /// The certificate must be for one of these identities; if there are none, any is accepted.
        identities: Vec<Identity>,
    },
}

/// Why a bundle's signature is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BundleError {
    /// It is not a valid signature.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Its keys or certificates are damaged.
    #[error(transparent)]
    GaveUp(#[from] GaveUp),
    /// The bundle names another key.
    #[error("the bundle was signed with the key {}, and the given key is {given}", excerpt(named))]
    Hint {
        /// The key that the bundle names.
        named: String,
        /// The key that was given, by the SHA-256 of its PEM text.
        given: String,
    },
    /// A trusted root certifies the signer, but the signer is not the expected one.
    #[error("it was not signed by {wanted}, but by {}", listed(signer, ", "))]
    Identity {
        /// The expected signer.
        wanted: String,
        /// The actual signer.
        signer: Vec<Identity>,
    },
    /// The bundle was signed with a key alone.
    #[error("it was signed with a key and has no certificate; give the public key")]
    NoCertificates,
    /// The bundle was signed with a short-lived certificate and a public log.
    #[error(
        "it was signed with a temporary key (Sigstore): only the public log can tell by whom, and retrace does not read that log"
    )]
    Keyless,
}

/// Why a bundle could not be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BundlingError {
    /// OMS does not support this kind of key.
    #[error("OMS supports only ECDSA keys on P-256, P-384 and P-521, and this key is {kind}")]
    Kind {
        /// The kind.
        kind: &'static str,
    },
    /// The first certificate does not belong to the key.
    #[error("the first certificate, of {signer:?}, does not belong to the signing key")]
    Certificate {
        /// The identity in the certificate.
        signer: String,
    },
    /// There are no files to sign.
    #[error("there is no file to sign")]
    Empty,
    /// The parts cannot be serialized.
    #[error("{what}")]
    Form {
        /// What is wrong.
        what: String,
    },
}

/// A file as a bundle lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Its path.
    pub path: RelPath,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Checksum,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Outer {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Envelope,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<KeyMaterial>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x509_certificate_chain: Option<Certificates>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<RawBytes>,
    #[serde(default)]
    tlog_entries: Vec<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyMaterial {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// In bundles older than the specification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw_bytes: Option<Base64>,
}

#[derive(Serialize, Deserialize)]
struct Certificates {
    certificates: Vec<RawBytes>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBytes {
    raw_bytes: Base64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Predicate {
    resources: Vec<Resource>,
    serialization: Serialization,
}

/// Other tools may add fields to a file, as we do with its size; unknown fields are ignored.
#[derive(Serialize, Deserialize)]
struct Resource {
    name: String,
    digest: String,
    algorithm: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Serialization {
    method: String,
    hash_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shard_size: Option<serde_json::Number>,
    allow_symlinks: bool,
    #[serde(default)]
    ignore_paths: Vec<String>,
}

impl Bundle {
    /// Whether a JSON text is intended as a bundle rather than a manifest, even if it is not valid.
    pub fn is_one(text: &str) -> bool {
        let begins = text.get(..text.floor_char_boundary(1 << 10)).unwrap_or(text);
        ["\"mediaType\"", "\"verificationMaterial\"", "\"dsseEnvelope\""].iter().any(|key| begins.contains(key))
    }

    /// Reads the bundle called `name`. Its signature is not checked yet.
    ///
    /// # Errors
    /// If the specification does not allow it, or it uses a method that is not supported here.
    pub fn parse(name: &str, text: &str) -> Result<Self, ListError> {
        let at = |line: usize| {
            move |what: String| ListError {
                origin: name.to_owned(),
                line,
                what: format!("it is not an OMS bundle: {what}"),
            }
        };
        let outer: Outer =
            serde_json::from_str(text).map_err(|e| at(e.line())(excerpt(&e.to_string()).into_owned()))?;
        let refuse = at(0);
        if !MEDIA_TYPES.contains(&outer.media_type.as_str()) {
            return Err(refuse(format!("its media type is {:?}", excerpt(&outer.media_type))));
        }
        let signer = guard(|| signer(outer.verification_material)).map_err(|e| refuse(e.to_string()))?;
        let signer = signer.map_err(&refuse)?;
        let envelope = outer.dsse_envelope;
        if envelope.signatures.len() != 1 {
            return Err(refuse(format!("it has {} signatures instead of one", envelope.signatures.len())));
        }
        let (files, ignored, allows_links) = files(&envelope).map_err(&refuse)?;
        Ok(Self { envelope, signer, files, ignored, allows_links })
    }

    /// The signer of these files, if `trust` allows that signer: the identity that the key itself proves, or that of a
    /// certificate which a root certifies. Other statements of the bundle are never used.
    ///
    /// # Errors
    /// The reason, if the signer is not trusted.
    pub fn check(&self, trust: &Trust) -> Result<Vec<Identity>, BundleError> {
        guard(|| self.signed_by(trust))?
    }

    fn signed_by(&self, trust: &Trust) -> Result<Vec<Identity>, BundleError> {
        let of_key = |key: &PublicKey| Identity::of(key).into_iter().collect();
        match (&self.signer, trust) {
            (Signer::Keyless, _) => Err(BundleError::Keyless),
            (Signer::Key(hint), Trust::Key(key)) => {
                let given = key.hint().unwrap_or_default();
                match hint {
                    // A wrong key fails below in any case; this gives a better reason.
                    Some(named) if !named.eq_ignore_ascii_case(&given) => {
                        return Err(BundleError::Hint { named: excerpt(named).into_owned(), given });
                    }
                    _ => self.envelope.check(key)?,
                }
                Ok(of_key(key))
            }
            (Signer::Chain(_), Trust::Key(key)) => {
                self.envelope.check(key)?;
                Ok(of_key(key))
            }
            (Signer::Key(_), Trust::Roots { .. }) => Err(BundleError::NoCertificates),
            (Signer::Chain(chain), Trust::Roots { roots, at, identities }) => {
                let key = chain.verify(roots, *at).map_err(SignatureError::from)?;
                self.envelope.check(&key)?;
                let signer = chain.identities().map_err(SignatureError::from)?;
                if identities.is_empty() || identities.iter().any(|wanted| signer.contains(wanted)) {
                    return Ok(signer);
                }
                Err(BundleError::Identity { wanted: listed(identities, " or "), signer })
            }
        }
    }

    /// The signer according to the bundle: not verified.
    pub fn signer(&self) -> String {
        match &self.signer {
            Signer::Key(hint) => format!("key {}", excerpt(hint.as_deref().unwrap_or("without a name"))),
            Signer::Chain(chain) => chain.signer(),
            Signer::Keyless => "a temporary certificate (Sigstore)".to_owned(),
        }
    }
}

/// The first of them, for a message.
fn listed(identities: &[Identity], between: &str) -> String {
    let first: Vec<String> = identities.iter().take(8).map(ToString::to_string).collect();
    excerpt(&first.join(between)).into_owned()
}

fn signer(material: Material) -> Result<Signer, String> {
    let Material { public_key, x509_certificate_chain, certificate, tlog_entries } = material;
    match (public_key, x509_certificate_chain, certificate) {
        (Some(key), None, None) => {
            if key.hint.is_none() && key.raw_bytes.is_none() {
                return Err("it does not name its key".to_owned());
            }
            Ok(Signer::Key(key.hint.filter(|hint| !hint.is_empty())))
        }
        (None, Some(chain), None) => {
            let der = chain.certificates.iter().map(|certificate| certificate.raw_bytes.0.as_slice());
            Chain::from_der(der).map(Signer::Chain).map_err(|e| e.to_string())
        }
        (None, None, Some(_)) if tlog_entries.is_empty() => {
            Err("it was signed with a temporary key, and has no entry of a public log".to_owned())
        }
        (None, None, Some(_)) => Ok(Signer::Keyless),
        (None, None, None) => Err("it does not say who signed it".to_owned()),
        _ => Err("it names its signer in several ways".to_owned()),
    }
}

/// What the signed statement says about the files, and what it leaves out.
fn files(envelope: &Envelope) -> Result<(Vec<Expected>, Vec<RelPath>, bool), String> {
    let statement: Statement<Predicate> = Statement::within(envelope, PREDICATE)?;
    let Predicate { resources, serialization } = statement.predicate;
    let algorithm = match serialization.hash_type.as_str() {
        "sha256" => Algorithm::Sha256,
        "blake3" => Algorithm::Blake3,
        other => return Err(format!("its hashes are {:?}; only SHA-256 and BLAKE3 are supported", excerpt(other))),
    };
    match serialization.method.as_str() {
        "files" => {}
        "shards" => return Err("it hashes files in shards, which is not supported; sign whole files".to_owned()),
        other => return Err(format!("its method is {:?}", excerpt(other))),
    }
    if serialization.shard_size.is_some() {
        return Err("it hashes whole files, but has a shard size".to_owned());
    }
    if resources.is_empty() {
        return Err("it lists no file".to_owned());
    }
    let mut files = BTreeMap::new();
    let mut all = Vec::new();
    for Resource { name, digest, algorithm: of_file, size } in resources {
        if of_file != serialization.hash_type {
            let (name, of_file) = (excerpt(&name), excerpt(&of_file));
            return Err(format!("the hash of {name} is {of_file:?}, the others {:?}", serialization.hash_type));
        }
        let checksum = Checksum::from_hex(algorithm, &digest)
            .ok_or_else(|| format!("{}: {:?} is not a {of_file}", excerpt(&name), excerpt(&digest)))?;
        all.extend_from_slice(checksum.bytes());
        let path: RelPath = name.parse().map_err(|e: PathError| excerpt(&e.to_string()).into_owned())?;
        let size = size.and_then(|size| size.as_u64());
        let file = Expected { path: path.clone(), size, checksums: vec![checksum], slices: Vec::new(), tensors: None };
        if files.insert(path, file).is_some() {
            return Err(format!("it lists {} twice", excerpt(&name)));
        }
    }
    let [subject] = statement.subject.as_slice() else {
        return Err(format!("it has {} subjects instead of one", statement.subject.len()));
    };
    let sum = checksum(Algorithm::Sha256, &all).map(|sum| sum.hex()).unwrap_or_default();
    if !subject.digest.get("sha256").is_some_and(|digest| digest.eq_ignore_ascii_case(&sum)) {
        return Err("its subject is not the digest of the files that it lists".to_owned());
    }
    // A text that is not a path in the model leaves nothing in it out.
    let ignored = serialization.ignore_paths.iter().map(String::as_str).chain(NEVER_SIGNED);
    let ignored: BTreeSet<RelPath> = ignored.filter_map(|path| path.parse().ok()).collect();
    // Listed files are checked, even if they are in a directory that is left out by default: a signer may sign them.
    let mut names: Vec<&str> = files.keys().map(RelPath::as_str).collect();
    names.sort_unstable();
    let listed = |ignored: &RelPath| {
        let below = format!("{ignored}/");
        let first = names.partition_point(|name| *name < below.as_str());
        files.contains_key(ignored) || names.get(first).is_some_and(|name| name.starts_with(&below))
    };
    let ignored = ignored.into_iter().filter(|path| !listed(path)).collect();
    Ok((files.into_values().collect(), ignored, serialization.allow_symlinks))
}

/// A bundle in which `key` signs `files` of the model called `name`, with the certificates for the key if there are
/// any. The same input gives the same bytes.
///
/// # Errors
/// If OMS does not support the kind of key, or the first certificate does not belong to it.
pub fn bundle(
    name: &str,
    mut files: Vec<Signed>,
    ignored: &[RelPath],
    key: &SigningKey,
    chain: Option<&Chain>,
) -> Result<String, BundlingError> {
    let form = |what: String| BundlingError::Form { what };
    let public = key.public();
    if matches!(public, PublicKey::Ed25519(_)) {
        return Err(BundlingError::Kind { kind: public.kind() });
    }
    if files.is_empty() {
        return Err(BundlingError::Empty);
    }
    let mut material = Material::default();
    match chain {
        Some(chain) if chain.key().ok().as_ref() != Some(&public) => {
            return Err(BundlingError::Certificate { signer: chain.signer() });
        }
        Some(chain) => {
            let der = chain.to_der().map_err(|e| form(e.to_string()))?;
            let certificates = der.into_iter().map(|der| RawBytes { raw_bytes: Base64(der) }).collect();
            material.x509_certificate_chain = Some(Certificates { certificates });
        }
        None => {
            let hint = public.hint().map_err(|e| form(e.to_string()))?;
            material.public_key = Some(KeyMaterial { hint: Some(hint), raw_bytes: None });
        }
    }
    // By code points, which is the order of UTF-8's bytes.
    files.sort_by(|a, b| a.path.as_str().cmp(b.path.as_str()));
    let all: Vec<u8> = files.iter().flat_map(|file| file.sha256.bytes()).copied().collect();
    let sum = checksum(Algorithm::Sha256, &all).map(|sum| sum.hex()).unwrap_or_default();
    let resources = files.into_iter().map(|file| Resource {
        name: file.path.to_string(),
        digest: file.sha256.hex(),
        algorithm: "sha256".to_owned(),
        size: Some(file.size.into()),
    });
    let mut ignore_paths: Vec<String> = ignored.iter().map(ToString::to_string).collect();
    ignore_paths.extend(NEVER_SIGNED.map(str::to_owned));
    ignore_paths.sort();
    ignore_paths.dedup();
    let serialization = Serialization {
        method: "files".to_owned(),
        hash_type: "sha256".to_owned(),
        shard_size: None,
        allow_symlinks: false,
        ignore_paths,
    };
    let subject = Subject { name: name.to_owned(), digest: BTreeMap::from([("sha256".to_owned(), sum)]) };
    let predicate = Predicate { resources: resources.collect(), serialization };
    let statement = serde_json::to_vec(&Statement::new(vec![subject], PREDICATE, predicate));
    let statement = statement.map_err(|e| form(e.to_string()))?;
    let outer = Outer {
        media_type: MEDIA_TYPE.to_owned(),
        verification_material: material,
        dsse_envelope: Envelope::seal(PAYLOAD, statement, key),
    };
    Ok(serde_json::to_string_pretty(&outer).map_err(|e| form(e.to_string()))? + "\n")
}

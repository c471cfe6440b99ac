//! Keys: Ed25519, and ECDSA on the curves that OMS requires.

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePublicKey};
use p256::ecdsa::signature::{Signer, Verifier};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::SignatureError;

/// Why a text contains no key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what}")]
pub struct KeyError {
    /// What is wrong with it.
    pub what: String,
}

fn refuse(what: &str) -> KeyError {
    KeyError { what: what.to_owned() }
}

/// No key is longer than this. A file may also contain remarks.
const MOST_BYTES: usize = 1 << 16;

const KINDS: &str = "Ed25519, P-256, P-384 and P-521 keys are known";

/// A key for signing.
pub enum SigningKey {
    /// Ed25519 (RFC 8032).
    Ed25519(Box<ed25519_dalek::SigningKey>),
    /// ECDSA on P-256 with SHA-256.
    P256(p256::ecdsa::SigningKey),
    /// ECDSA on P-384 with SHA-384.
    P384(p384::ecdsa::SigningKey),
    /// ECDSA on P-521 with SHA-512.
    P521(p521::ecdsa::SigningKey),
}

impl std::fmt::Debug for SigningKey {
    /// Only the kind: a secret is never shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.public().kind())
    }
}

impl SigningKey {
    /// The key in the PEM text, in PKCS#8 or, for the curves, SEC 1.
    ///
    /// # Errors
    /// If there is none, it is encrypted, or its kind is not supported.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let (label, block) = block(text, "PRIVATE KEY")?;
        match label {
            "PRIVATE KEY" => None
                .or_else(|| ed25519_dalek::SigningKey::from_pkcs8_pem(block).ok().map(|key| Self::Ed25519(key.into())))
                .or_else(|| p256::ecdsa::SigningKey::from_pkcs8_pem(block).ok().map(Self::P256))
                .or_else(|| p384::ecdsa::SigningKey::from_pkcs8_pem(block).ok().map(Self::P384))
                .or_else(|| p521::SecretKey::from_pkcs8_pem(block).ok().map(|key| Self::P521(key.into()))),
            "EC PRIVATE KEY" => None
                .or_else(|| p256::SecretKey::from_sec1_pem(block).ok().map(|key| Self::P256(key.into())))
                .or_else(|| p384::SecretKey::from_sec1_pem(block).ok().map(|key| Self::P384(key.into())))
                .or_else(|| p521::SecretKey::from_sec1_pem(block).ok().map(|key| Self::P521(key.into()))),
            "ENCRYPTED PRIVATE KEY" => {
                return Err(refuse("the key is encrypted: decrypt it first, as with `openssl pkey`"));
            }
            _ => None,
        }
        .ok_or_else(|| refuse(&format!("its {label} is of no kind that signs here: {KINDS}")))
    }

    /// The public key for this key.
    pub fn public(&self) -> PublicKey {
        match self {
            Self::Ed25519(key) => PublicKey::Ed25519(key.verifying_key()),
            Self::P256(key) => PublicKey::P256(*key.verifying_key()),
            Self::P384(key) => PublicKey::P384(*key.verifying_key()),
            Self::P521(key) => PublicKey::P521(*key.verifying_key()),
        }
    }

    /// The signature of `message`: 64 bytes for Ed25519, DER for the curves. The same key and message
    /// give the same bytes (RFC 6979).
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            Self::P256(key) => Signer::<p256::ecdsa::DerSignature>::sign(key, message).as_bytes().to_vec(),
            Self::P384(key) => Signer::<p384::ecdsa::DerSignature>::sign(key, message).as_bytes().to_vec(),
            Self::P521(key) => Signer::<p521::ecdsa::DerSignature>::sign(key, message).as_bytes().to_vec(),
        }
    }
}

/// A key for checking signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// Ed25519 (RFC 8032).
    Ed25519(ed25519_dalek::VerifyingKey),
    /// ECDSA on P-256 with SHA-256.
    P256(p256::ecdsa::VerifyingKey),
    /// ECDSA on P-384 with SHA-384.
    P384(p384::ecdsa::VerifyingKey),
    /// ECDSA on P-521 with SHA-512.
    P521(p521::ecdsa::VerifyingKey),
}

impl PublicKey {
    /// The key in the PEM text (SubjectPublicKeyInfo).
    ///
    /// # Errors
    /// If there is none, or its kind is not supported.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        if text.len() <= MOST_BYTES && text.contains("PRIVATE KEY-----") {
            return Err(refuse("this is a private key: give the public one, as from `openssl pkey -pubout`"));
        }
        let (label, block) = block(text, "PUBLIC KEY")?;
        None.or_else(|| ed25519_dalek::VerifyingKey::from_public_key_pem(block).ok().map(Self::Ed25519))
            .or_else(|| p256::ecdsa::VerifyingKey::from_public_key_pem(block).ok().map(Self::P256))
            .or_else(|| p384::ecdsa::VerifyingKey::from_public_key_pem(block).ok().map(Self::P384))
            .or_else(|| p521::ecdsa::VerifyingKey::from_public_key_pem(block).ok().map(Self::P521))
            .ok_or_else(|| refuse(&format!("its {label} is of no kind that is checked here: {KINDS}")))
    }

    /// The key in a certificate's SubjectPublicKeyInfo, as DER.
    pub(crate) fn from_der(der: &[u8]) -> Option<Self> {
        None.or_else(|| ed25519_dalek::VerifyingKey::from_public_key_der(der).ok().map(Self::Ed25519))
            .or_else(|| p256::ecdsa::VerifyingKey::from_public_key_der(der).ok().map(Self::P256))
            .or_else(|| p384::ecdsa::VerifyingKey::from_public_key_der(der).ok().map(Self::P384))
            .or_else(|| p521::ecdsa::VerifyingKey::from_public_key_der(der).ok().map(Self::P521))
    }

    /// As PEM, in lines of 64 characters, including a final line end.
    ///
    /// # Errors
    /// Never for a key that was read; the encoder's type allows it.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        match self {
            Self::Ed25519(key) => key.to_public_key_pem(LineEnding::LF),
            Self::P256(key) => key.to_public_key_pem(LineEnding::LF),
            Self::P384(key) => key.to_public_key_pem(LineEnding::LF),
            Self::P521(key) => key.to_public_key_pem(LineEnding::LF),
        }
        .map_err(|e| refuse(&e.to_string()))
    }

    /// The key's name where keys are named: the SHA-256 of its PEM text, in hexadecimal, which is the hint of OMS
    /// bundles.
    ///
    /// # Errors
    /// As [`Self::to_pem`].
    pub fn hint(&self) -> Result<String, KeyError> {
        Ok(Sha256::digest(self.to_pem()?).iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// `Ed25519`, `P-256` and so on.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "Ed25519",
            Self::P256(_) => "P-256",
            Self::P384(_) => "P-384",
            Self::P521(_) => "P-521",
        }
    }

    /// Whether `signature` is one of `message` by the private key of this one. Ed25519 is strict: no key and no
    /// signature of small order.
    ///
    /// # Errors
    /// If it is not.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let holds = match self {
            Self::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Self::P256(key) => p256::ecdsa::DerSignature::try_from(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::P384(key) => p384::ecdsa::DerSignature::try_from(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::P521(key) => p521::ecdsa::DerSignature::try_from(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
        };
        if holds { Ok(()) } else { Err(SignatureError::Wrong { kind: self.kind() }) }
    }
}

/// The label and text of the first PEM block whose label ends in `ending`; OpenSSL puts a curve's
/// parameters before the key.
fn block<'a>(text: &'a str, ending: &str) -> Result<(&'a str, &'a str), KeyError> {
    let none = || refuse(&format!("it holds no PEM block that ends in {ending:?}"));
    if text.len() > MOST_BYTES {
        return Err(refuse(&format!("it has {} bytes, and keys of at most {MOST_BYTES} are read", text.len())));
    }
    let mut rest = text;
    loop {
        let at = rest.find("-----BEGIN ").ok_or_else(none)?;
        rest = &rest[at..];
        let label = rest["-----BEGIN ".len()..].split("-----").next().unwrap_or_default();
        if label.len() > 64 {
            return Err(none());
        }
        let end = format!("-----END {label}-----");
        let length = rest.find(&end).ok_or_else(|| refuse(&format!("its {label} has no end: the file is cut off")))?;
        if label.ends_with(ending) {
            return Ok((label, &rest[..length + end.len()]));
        }
        rest = &rest[length + end.len()..];
    }
}

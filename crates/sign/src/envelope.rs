//! DSSE: the envelope in which in-toto statements, SLSA provenance and OMS bundles are signed.
//!
//! The signature is over the exact bytes of the payload and their type, so no canonical form is needed.
//! <https://github.com/secure-systems-lab/dsse/blob/master/protocol.md>

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{PublicKey, SignatureError, SigningKey};

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Bytes that are base64 in JSON. Written in the standard alphabet; also read in the URL-safe one, as DSSE requires.
#[derive(Clone, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl std::fmt::Debug for Base64 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&STANDARD.encode(&self.0))
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(&text).or_else(|_| URL_SAFE.decode(&text));
        bytes.map(Self).map_err(|e| serde::de::Error::custom(format!("not base64: {e}")))
    }
}

/// No release has more signatures than this, and checking one takes up to milliseconds.
const MOST_SIGNATURES: usize = 16;

/// A payload and its signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// The signed bytes.
    pub payload: Base64,
    /// The type of the payload, such as `application/vnd.in-toto+json`.
    pub payload_type: String,
    /// One or more.
    pub signatures: Vec<Signature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// The signature of the payload and its type.
    pub sig: Base64,
    /// The name of the signing key. It is not signed, so no decision depends on it.
    #[serde(default)]
    pub keyid: Option<String>,
}

impl Envelope {
    /// `payload` signed by `key`.
    pub fn seal(payload_type: &str, payload: Vec<u8>, key: &SigningKey) -> Self {
        let sig = Base64(key.sign(&authenticated(payload_type, &payload)));
        let keyid = Some(key.public().hint().unwrap_or_default());
        Self {
            payload: Base64(payload),
            payload_type: payload_type.to_owned(),
            signatures: vec![Signature { sig, keyid }],
        }
    }

    /// Whether one of the signatures is by `key`: other signatures are allowed and are not checked. The key names in
    /// the signatures are ignored.
    ///
    /// # Errors
    /// If none is, or there are more signatures than the limit.
    pub fn check(&self, key: &PublicKey) -> Result<(), SignatureError> {
        let count = self.signatures.len();
        if count > MOST_SIGNATURES {
            return Err(SignatureError::Many { count, most: MOST_SIGNATURES });
        }
        let message = authenticated(&self.payload_type, &self.payload.0);
        let mut outcome = Err(SignatureError::None);
        for signature in &self.signatures {
            outcome = key.verify(&message, &signature.sig.0);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }
}

/// The signed bytes: DSSE's pre-authentication encoding of type and payload.
fn authenticated(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The protocol's own example.
    #[test]
    fn what_is_signed_is_the_protocols_encoding() {
        let encoded = authenticated("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn both_alphabets_are_read_with_and_without_padding() {
        for text in ["\"+/8=\"", "\"-_8=\"", "\"+/8\"", "\"-_8\""] {
            assert_eq!(serde_json::from_str::<Base64>(text).unwrap().0, [0xfb, 0xff]);
        }
        for text in ["\"+_8=\"", "\"a\"", "\"!\"", "7"] {
            assert!(serde_json::from_str::<Base64>(text).is_err(), "{text}");
        }
        assert_eq!(serde_json::to_string(&Base64(vec![0xfb, 0xff])).unwrap(), "\"+/8=\"");
    }
}

//! in-toto statements: claims about files, as signatures and provenance contain them.
//! <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>

use std::collections::BTreeMap;
use std::fmt;

use retrace_sign::Envelope;
use retrace_spec::foreign::excerpt;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The type of a DSSE payload that is a statement.
pub(crate) const PAYLOAD: &str = "application/vnd.in-toto+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// A predicate, and its subjects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Statement<P> {
    #[serde(rename = "_type")]
    kind: String,
    pub(crate) subject: Vec<Subject>,
    pub(crate) predicate_type: String,
    pub(crate) predicate: P,
}

/// A file, or another subject with digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subject {
    #[serde(default)]
    pub(crate) name: String,
    /// By algorithm, in hexadecimal. A repeated key could be read differently by other programs.
    #[serde(deserialize_with = "each_once")]
    pub(crate) digest: BTreeMap<String, String>,
}

impl<P> Statement<P> {
    pub(crate) fn new(subject: Vec<Subject>, predicate_type: &str, predicate: P) -> Self {
        Self { kind: STATEMENT.to_owned(), subject, predicate_type: predicate_type.to_owned(), predicate }
    }

    /// Whether it is a statement of this predicate; if not, what it is.
    pub(crate) fn is(&self, predicate_type: &str) -> Result<(), String> {
        if self.kind != STATEMENT {
            return Err(format!("it is a {:?}, not an in-toto statement of version 1", excerpt(&self.kind)));
        }
        if self.predicate_type != predicate_type {
            return Err(format!("its predicate is {:?}, not {predicate_type:?}", excerpt(&self.predicate_type)));
        }
        Ok(())
    }
}

impl<P: DeserializeOwned> Statement<P> {
    /// The statement of this predicate in `envelope`; the signer is not checked.
    pub(crate) fn within(envelope: &Envelope, predicate_type: &str) -> Result<Self, String> {
        if envelope.payload_type != PAYLOAD {
            return Err(format!("its payload is {:?}", excerpt(&envelope.payload_type)));
        }
        Self::parse(&envelope.payload.0, predicate_type)
    }

    /// The statement of this predicate that is `json`.
    pub(crate) fn parse(json: &[u8], predicate_type: &str) -> Result<Self, String> {
        let form = |e: serde_json::Error| format!("its statement: {}", excerpt(&e.to_string()));
        // The predicate type is checked before the content: other statements have other content.
        serde_json::from_slice::<Statement<IgnoredAny>>(json).map_err(form)?.is(predicate_type)?;
        serde_json::from_slice(json).map_err(form)
    }
}

/// A map in which no key occurs twice.
fn each_once<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Once;
    impl<'de> Visitor<'de> for Once {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("digests by algorithm")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = entries.next_entry::<String, String>()? {
                if map.insert(key, value).is_some() {
                    return Err(serde::de::Error::custom("two digests by one algorithm"));
                }
            }
            Ok(map)
        }
    }
    deserializer.deserialize_map(Once)
}

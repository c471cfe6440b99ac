//! One digest for one meaning: the canonical binary form of a document.
//!
//! A value is written as a type byte and its content; lengths and counts are little-endian `u64`;
//! the fields of a structure are sorted by name. So neither the order of keys nor the spelling of
//! a number nor the way a text is quoted shows in the digest, and no two values share a form.

use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use serde::Serialize;
use serde_json::Value;

use crate::{Digest, SpecError};

/// The domain of all canonical digests, hashed once: a manifest makes very many of them.
static CONTEXT: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context("retrace 2026 canonical document"));

/// The digest of `value` in the given domain.
///
/// The domain, such as `"run/1"`, keeps documents of different kinds apart, should their content
/// be the same.
///
/// # Errors
/// If the value holds what no document can: a map with keys that are not strings, or a number
/// that is not finite.
pub fn canonical_digest<T: Serialize>(domain: &str, value: &T) -> Result<Digest, SpecError> {
    let value = serde_json::to_value(value).map_err(|e| SpecError::Canonical(e.to_string()))?;
    let mut bytes = Vec::new();
    put_text(&mut bytes, domain);
    put(&mut bytes, &value)?;
    Ok(blake3::Hasher::new_from_context_key(&CONTEXT).update(&bytes).finalize().into())
}

fn put(out: &mut Vec<u8>, value: &Value) -> Result<(), SpecError> {
    match value {
        Value::Null => out.push(b'0'),
        Value::Bool(value) => out.extend([b'b', u8::from(*value)]),
        Value::Number(number) => {
            if let Some(value) = number.as_u64() {
                out.push(b'u');
                out.extend(value.to_le_bytes());
            } else if let Some(value) = number.as_i64() {
                out.push(b'i');
                out.extend(value.to_le_bytes());
            } else {
                let value = number.as_f64().ok_or_else(|| SpecError::Canonical(format!("number {number}")))?;
                out.push(b'f');
                out.extend(value.to_bits().to_le_bytes());
            }
        }
        Value::String(text) => {
            out.push(b's');
            put_text(out, text);
        }
        Value::Array(items) => {
            out.push(b'a');
            put_count(out, items.len());
            items.iter().try_for_each(|item| put(out, item))?;
        }
        Value::Object(fields) => {
            out.push(b'o');
            put_count(out, fields.len());
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            for (name, value) in fields {
                put_text(out, name);
                put(out, value)?;
            }
        }
    }
    Ok(())
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend((count as u64).to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn form(value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, value).expect("a form");
        bytes
    }

    #[test]
    fn the_form_is_as_described() {
        // Written out by hand from the description at the top of this file.
        let mut expected = vec![b'o', 2, 0, 0, 0, 0, 0, 0, 0];
        expected.extend([1, 0, 0, 0, 0, 0, 0, 0, b'a', b'u', 7, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([1, 0, 0, 0, 0, 0, 0, 0, b'b', b's', 2, 0, 0, 0, 0, 0, 0, 0, b'h', b'i']);
        assert_eq!(form(&json!({"b": "hi", "a": 7})), expected);
    }

    #[test]
    fn the_domain_counts() {
        assert_ne!(canonical_digest("a", &1).expect("digest"), canonical_digest("b", &1).expect("digest"));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-z]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{0,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_two_values_share_a_form(a in value(), b in value()) {
            prop_assert_eq!(a == b, form(&a) == form(&b));
        }
    }
}

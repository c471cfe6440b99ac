//! One digest for one meaning: the canonical binary form of a document.
//!
//! A value is written as a type byte and its content; lengths and counts are little-endian `u64`; the fields of a
//! structure are sorted by name. So the digest does not depend on the order of keys, the spelling of a number or the
//! quoting of a text, and no two values have the same form.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::LazyLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use serde::ser::{self, Serialize, Serializer};
use serde_json::Value;

use crate::{Digest, SpecError};

/// The domain of all canonical digests, hashed only once, because a manifest computes very many digests.
static CONTEXT: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context("retrace 2026 canonical document"));

/// The digest of `value` in the given domain.
///
/// The domain, such as `"run/1"`, gives documents of different kinds different digests, even if their content is the
/// same.
///
/// # Errors
/// If the value contains what no document can contain: a map whose keys are not texts, or an integer of more than 64
/// bits.
pub fn canonical_digest<T: Serialize + ?Sized>(domain: &str, value: &T) -> Result<Digest, SpecError> {
    let mut form = Form(Vec::with_capacity(512));
    form.put_text(domain);
    value.serialize(&mut form)?;
    Ok(blake3::Hasher::new_from_context_key(&CONTEXT).update(&form.0).finalize().into())
}

/// The form of a value, written directly while the value is serialized: a manifest has too many values to build a tree
/// of each first.
struct Form(Vec<u8>);

impl Form {
    fn put_count(&mut self, count: usize) {
        self.0.extend((count as u64).to_le_bytes());
    }

    fn put_text(&mut self, text: &str) {
        self.put_count(text.len());
        self.0.extend(text.as_bytes());
    }

    /// Writes a type byte and reserves space for a count that is not known yet; returns the position of the count.
    fn begin(&mut self, kind: u8) -> usize {
        self.0.push(kind);
        self.put_count(0);
        self.0.len() - 8
    }

    fn end(&mut self, at: usize, count: usize) {
        if let Some(place) = self.0.get_mut(at..at + 8) {
            place.copy_from_slice(&(count as u64).to_le_bytes());
        }
    }
}

impl ser::Error for SpecError {
    fn custom<T: std::fmt::Display>(what: T) -> Self {
        Self::Canonical(what.to_string())
    }
}

/// The items of a list.
struct Items<'a> {
    form: &'a mut Form,
    at: usize,
    count: usize,
}

impl Items<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SpecError> {
        self.count += 1;
        value.serialize(&mut *self.form)
    }
}

/// The fields of an object.
struct Fields<'a> {
    form: &'a mut Form,
    at: usize,
    /// The position of each field, with its name first.
    fields: Vec<Range<usize>>,
    /// In a map, the name of the field whose value comes next.
    key: String,
}

impl Fields<'_> {
    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), SpecError> {
        let begin = self.form.0.len();
        self.form.put_text(name);
        value.serialize(&mut *self.form)?;
        self.fields.push(begin..self.form.0.len());
        Ok(())
    }

    /// Sorts the fields by name. If two have the same name the later one is kept, as in JSON.
    fn sort(&mut self) {
        let bytes = &self.form.0;
        let name = |field: &Range<usize>| {
            let length = bytes.get(field.start..field.start + 8).and_then(|length| length.try_into().ok());
            let begin = field.start + 8;
            bytes.get(begin..begin + length.map_or(0, u64::from_le_bytes) as usize).unwrap_or_default()
        };
        if !self.fields.is_sorted_by(|a, b| name(a) < name(b)) {
            let mut fields = self.fields.clone();
            fields.sort_by(|a, b| name(a).cmp(name(b)));
            let last = |at: usize| fields.get(at + 1).is_none_or(|next| name(next) != name(&fields[at]));
            let kept: Vec<&Range<usize>> = (0..fields.len()).filter(|at| last(*at)).map(|at| &fields[at]).collect();
            let sorted: Vec<u8> = kept.iter().flat_map(|field| &bytes[(*field).clone()]).copied().collect();
            let count = kept.len();
            self.form.0.truncate(self.at + 8);
            self.form.0.extend(sorted);
            self.fields.truncate(count);
        }
        self.form.end(self.at, self.fields.len());
    }
}

impl<'a> Serializer for &'a mut Form {
    type Ok = ();
    type Error = SpecError;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Items<'a>;
    type SerializeTupleStruct = Items<'a>;
    type SerializeTupleVariant = Items<'a>;
    type SerializeMap = Fields<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    fn serialize_bool(self, value: bool) -> Result<(), SpecError> {
        self.0.extend([b'b', u8::from(value)]);
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), SpecError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), SpecError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), SpecError> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), SpecError> {
        if let Ok(value) = u64::try_from(value) {
            return self.serialize_u64(value);
        }
        self.0.push(b'i');
        self.0.extend(value.to_le_bytes());
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), SpecError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), SpecError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), SpecError> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), SpecError> {
        self.0.push(b'u');
        self.0.extend(value.to_le_bytes());
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), SpecError> {
        self.serialize_f64(value.into())
    }

    /// A number that is not finite is null, as in JSON.
    fn serialize_f64(self, value: f64) -> Result<(), SpecError> {
        if !value.is_finite() {
            return self.serialize_unit();
        }
        self.0.push(b'f');
        self.0.extend(value.to_bits().to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), SpecError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Result<(), SpecError> {
        self.0.push(b's');
        self.put_text(text);
        Ok(())
    }

    /// Without an intermediate `String`, because there are many digests.
    fn collect_str<T: std::fmt::Display + ?Sized>(self, value: &T) -> Result<(), SpecError> {
        struct Text<'a>(&'a mut Vec<u8>);
        impl std::fmt::Write for Text<'_> {
            fn write_str(&mut self, text: &str) -> std::fmt::Result {
                self.0.extend(text.as_bytes());
                Ok(())
            }
        }
        let at = self.begin(b's');
        write!(Text(&mut self.0), "{value}").map_err(ser::Error::custom)?;
        self.end(at, self.0.len() - at - 8);
        Ok(())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<(), SpecError> {
        self.collect_seq(bytes)
    }

    fn serialize_none(self) -> Result<(), SpecError> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), SpecError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), SpecError> {
        self.0.push(b'0');
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), SpecError> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), SpecError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), SpecError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), SpecError> {
        self.variant(variant);
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'a>, SpecError> {
        let at = self.begin(b'a');
        Ok(Items { form: self, at, count: 0 })
    }

    fn serialize_tuple(self, length: usize) -> Result<Items<'a>, SpecError> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Items<'a>, SpecError> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Items<'a>, SpecError> {
        self.variant(variant);
        self.serialize_seq(Some(length))
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Fields<'a>, SpecError> {
        self.serialize_struct("", length.unwrap_or_default())
    }

    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Fields<'a>, SpecError> {
        let at = self.begin(b'o');
        Ok(Fields { form: self, at, fields: Vec::with_capacity(length), key: String::new() })
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Fields<'a>, SpecError> {
        self.variant(variant);
        self.serialize_struct(name, length)
    }
}

impl Form {
    /// Begins an object of one field; its value follows.
    fn variant(&mut self, name: &str) {
        let at = self.begin(b'o');
        self.end(at, 1);
        self.put_text(name);
    }
}

impl ser::SerializeSeq for Items<'_> {
    type Ok = ();
    type Error = SpecError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SpecError> {
        self.item(value)
    }

    fn end(self) -> Result<(), SpecError> {
        self.form.end(self.at, self.count);
        Ok(())
    }
}

impl ser::SerializeTuple for Items<'_> {
    type Ok = ();
    type Error = SpecError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SpecError> {
        self.item(value)
    }

    fn end(self) -> Result<(), SpecError> {
        ser::SerializeSeq::end(self)
    }
}

impl ser::SerializeTupleStruct for Items<'_> {
    type Ok = ();
    type Error = SpecError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SpecError> {
        self.item(value)
    }

    fn end(self) -> Result<(), SpecError> {
        ser::SerializeSeq::end(self)
    }
}

impl ser::SerializeTupleVariant for Items<'_> {
    type Ok = ();
    type Error = SpecError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SpecError> {
        self.item(value)
    }

    fn end(self) -> Result<(), SpecError> {
        ser::SerializeSeq::end(self)
    }
}

impl ser::SerializeMap for Fields<'_> {
    type Ok = ();
    type Error = SpecError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), SpecError> {
        self.key = match serde_json::to_value(key).map_err(ser::Error::custom)? {
            Value::String(text) => text,
            // As JSON writes them.
            other @ (Value::Number(_) | Value::Bool(_)) => other.to_string(),
            other => return Err(SpecError::Canonical(format!("the key {other}"))),
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SpecError> {
        let key = std::mem::take(&mut self.key);
        self.field(&key, value)
    }

    fn end(mut self) -> Result<(), SpecError> {
        self.sort();
        Ok(())
    }
}

impl ser::SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = SpecError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), SpecError> {
        self.field(name, value)
    }

    fn end(mut self) -> Result<(), SpecError> {
        self.sort();
        Ok(())
    }
}

impl ser::SerializeStructVariant for Fields<'_> {
    type Ok = ();
    type Error = SpecError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), SpecError> {
        self.field(name, value)
    }

    fn end(mut self) -> Result<(), SpecError> {
        self.sort();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn form(value: &Value) -> Vec<u8> {
        let mut form = Form(Vec::new());
        value.serialize(&mut form).expect("a form");
        form.0
    }

    /// The form that the description at the top of this file defines, computed from a tree.
    fn put(out: &mut Vec<u8>, value: &Value) {
        let count = |out: &mut Vec<u8>, count: usize| out.extend((count as u64).to_le_bytes());
        match value {
            Value::Null => out.push(b'0'),
            Value::Bool(value) => out.extend([b'b', u8::from(*value)]),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => out.extend([&b"u"[..], &value.to_le_bytes()].concat()),
                (None, Some(value)) => out.extend([&b"i"[..], &value.to_le_bytes()].concat()),
                _ => out.extend([&b"f"[..], &number.as_f64().unwrap().to_bits().to_le_bytes()].concat()),
            },
            Value::String(text) => {
                out.push(b's');
                count(out, text.len());
                out.extend(text.as_bytes());
            }
            Value::Array(items) => {
                out.push(b'a');
                count(out, items.len());
                items.iter().for_each(|item| put(out, item));
            }
            Value::Object(fields) => {
                out.push(b'o');
                count(out, fields.len());
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(name, _)| *name);
                for (name, value) in fields {
                    count(out, name.len());
                    out.extend(name.as_bytes());
                    put(out, value);
                }
            }
        }
    }

    #[derive(serde::Serialize)]
    struct Everything {
        z: Option<u8>,
        none: Option<u8>,
        #[serde(skip_serializing_if = "Option::is_none")]
        skipped: Option<u8>,
        negative: i16,
        single: f32,
        infinite: f64,
        letter: char,
        digest: crate::Digest,
        tuple: (u8, String),
        wrapped: Wrapped,
        unit: (),
        map: std::collections::BTreeMap<&'static str, Vec<Variant>>,
        #[serde(flatten)]
        flat: Flat,
    }

    #[derive(serde::Serialize)]
    struct Wrapped(u64);

    #[derive(serde::Serialize)]
    struct Flat {
        a: bool,
    }

    #[derive(serde::Serialize)]
    enum Variant {
        Unit,
        One(u8),
        Two(u8, u8),
        Named { y: u8, x: u8 },
    }

    /// The form of a serialized value is the form of its JSON.
    #[test]
    fn every_kind_of_value_has_the_form_of_its_json() {
        let variants = vec![Variant::Unit, Variant::One(1), Variant::Two(1, 2), Variant::Named { y: 1, x: 2 }];
        let everything = Everything {
            z: Some(1),
            none: None,
            skipped: None,
            negative: -2,
            single: 0.1,
            infinite: f64::INFINITY,
            letter: 'é',
            digest: crate::Digest::of(b""),
            tuple: (1, "x".to_owned()),
            wrapped: Wrapped(7),
            unit: (),
            map: [("b", variants), ("a", vec![])].into(),
            flat: Flat { a: true },
        };
        let mut expected = Vec::new();
        put(&mut expected, &serde_json::to_value(&everything).expect("JSON"));
        let mut form = Form(Vec::new());
        everything.serialize(&mut form).expect("a form");
        assert_eq!(form.0, expected);
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

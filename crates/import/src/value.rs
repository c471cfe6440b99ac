//! A value of JSON or YAML, with its numbers as they stand.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// A value, borrowed from its text where that can be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// As it is written: `1e-05`, `NaN`.
    Number(Cow<'a, str>),
    String(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    /// In the text's order, each key once.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// The value of a key, if this is an object that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.object()?.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(crate) fn object(&self) -> Option<&[(Cow<'a, str>, Self)]> {
        if let Self::Object(entries) = self { Some(entries) } else { None }
    }

    pub(crate) fn array(&self) -> Option<&[Self]> {
        if let Self::Array(items) = self { Some(items) } else { None }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number, if this is one.
    pub(crate) fn number(&self) -> Option<f64> {
        if let Self::Number(number) = self { number.parse().ok() } else { None }
    }

    /// The number, if this is a whole one that is not negative.
    pub(crate) fn whole(&self) -> Option<u64> {
        if let Self::Number(number) = self { whole(number) } else { None }
    }

    /// What is written there, without the quotes: `null`, `true`, `1e-05`, `text`, `[]`, `{}`.
    fn as_it_stands(&self) -> &str {
        match self {
            Self::Null => "null",
            Self::Bool(true) => "true",
            Self::Bool(false) => "false",
            Self::Number(text) | Self::String(text) => text,
            Self::Array(_) => "[]",
            Self::Object(_) => "{}",
        }
    }

    /// Tells `each` of everything that is neither a list nor an object, or is an empty one: its dotted
    /// name, where it stands as a JSON pointer (RFC 6901), what is written there, and the number that
    /// this is, if it is one. `name` and `pointer` are those of this value.
    pub(crate) fn leaves(&self, name: &str, pointer: &str, each: &mut Leaf<'_>) {
        self.walk(&mut name.to_owned(), &mut pointer.to_owned(), each);
    }

    fn walk(&self, name: &mut String, pointer: &mut String, each: &mut Leaf<'_>) {
        let lengths = (name.len(), pointer.len());
        let mut below = |key: &str, value: &Self| {
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(key);
            push_key(pointer, key);
            value.walk(name, pointer, each);
            name.truncate(lengths.0);
            pointer.truncate(lengths.1);
        };
        match self {
            Self::Object(entries) if !entries.is_empty() => {
                entries.iter().for_each(|(key, value)| below(key, value));
            }
            Self::Array(items) if !items.is_empty() => {
                items.iter().enumerate().for_each(|(index, value)| below(&index.to_string(), value));
            }
            _ => each(name, pointer, self.as_it_stands(), self.number()),
        }
    }
}

/// Is told a dotted name, a JSON pointer, what is written there, and the number that this is.
type Leaf<'a> = dyn FnMut(&str, &str, &str, Option<f64>) + 'a;

/// Adds a key to a JSON pointer.
pub(crate) fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    if !key.contains(['~', '/']) {
        return pointer.push_str(key);
    }
    for c in key.chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
}

/// The JSON pointer to where these keys lead.
pub(crate) fn pointer<'a>(keys: impl IntoIterator<Item = &'a str>) -> String {
    // Most are shorter, and none is made longer a few bytes at a time.
    let mut pointer = String::with_capacity(64);
    keys.into_iter().for_each(|key| push_key(&mut pointer, key));
    pointer
}

/// The number that a text is, if it is a whole one that is not negative; `1000.0` and `1e3` are.
pub(crate) fn whole(text: &str) -> Option<u64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    // Up to 2^53 every whole f64 is exactly the number that is meant.
    let number: f64 = text.parse().ok()?;
    (number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number)).then_some(number as u64)
}

/// From YAML, which keeps of a number only what it is.
impl<'de> Deserialize<'de> for Value<'static> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value<'static>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain YAML, without tags")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Value::Number(number.to_string().into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Value::Number(number.to_string().into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Value::Number(number.to_string().into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::String(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut object: Vec<(Cow<'static, str>, Value<'static>)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some((key, value)) = entries.next_entry::<Value<'static>, Value<'static>>()? {
            let mut name = String::new();
            // Writing to a String does not fail.
            let _ = name.write_str(key.as_it_stands());
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(format!("duplicate key {name:?}")));
            }
            object.push((name.into(), value));
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_by_rfc_6901() {
        // The examples of section 5.
        for (key, expected) in [("a/b", "/a~1b"), ("m~n", "/m~0n"), ("", "/"), ("c%d", "/c%d"), (" ", "/ ")] {
            assert_eq!(pointer([key]), expected);
        }
        assert_eq!(pointer(["foo", "0"]), "/foo/0");
    }

    #[test]
    fn whole_numbers_by_hand() {
        for (text, expected) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("1000.0", Some(1000)),
            ("3.945065873408e12", Some(3_945_065_873_408)),
            ("9007199254740993.0", Some(9_007_199_254_740_992)),
            ("-1", None),
            ("0.5", None),
            ("1e300", None),
            ("NaN", None),
            ("", None),
        ] {
            assert_eq!(whole(text), expected, "{text}");
        }
    }
}

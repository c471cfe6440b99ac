//! A value of JSON or YAML, with its numbers as written.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::rows::LONGEST_NAME;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// A value, borrowed from its text if possible.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// As written: `1e-05`, `NaN`.
    Number(Cow<'a, str>),
    String(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    /// In the text's order, each key once.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// The value of a key, if this is an object that has the key.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.object()?.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The values of an object by their keys, for many searches.
    pub(crate) fn by_key(&self) -> HashMap<&str, &Self> {
        self.object().unwrap_or_default().iter().map(|(key, value)| (key.as_ref(), value)).collect()
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

    /// The number, if this is one. The texts `NaN`, `Infinity` and `-Infinity` are numbers too: strict writers of JSON
    /// have no others for them.
    pub(crate) fn figure(&self) -> Option<f64> {
        match self {
            Self::String(text) if is_non_finite(text) => text.parse().ok(),
            value => value.number(),
        }
    }

    /// The number, if this is a non-negative integer.
    pub(crate) fn whole(&self) -> Option<u64> {
        if let Self::Number(number) = self { whole(number) } else { None }
    }

    /// The written text, without the quotes: `null`, `true`, `1e-05`, `text`, `[]`, `{}`.
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

    /// Calls `each` for everything that is neither a list nor an object, or is an empty one: its dotted name, its
    /// position as a JSON pointer (RFC 6901), its written text, and its number, if it is one. `name` and `pointer` are
    /// those of this value.
    pub(crate) fn leaves(&self, name: &str, pointer: &str, each: &mut Leaf<'_>) {
        self.walk(&mut name.to_owned(), &mut pointer.to_owned(), each);
    }

    fn walk(&self, name: &mut String, pointer: &mut String, each: &mut Leaf<'_>) {
        let lengths = (name.len(), pointer.len());
        // If a name is too long, only one value below it is reported.
        let too_long = name.len() > LONGEST_NAME;
        let mut told = false;
        let mut below = |key: &str, value: &Self| {
            if too_long && std::mem::replace(&mut told, true) {
                return;
            }
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

/// Whether a text is how Python or JavaScript writes NaN or an infinity.
pub(crate) fn is_non_finite(text: &str) -> bool {
    matches!(text, "NaN" | "nan" | "Infinity" | "-Infinity" | "inf" | "-inf")
}

/// Receives a dotted name, a JSON pointer, the written text, and the number.
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

/// The JSON pointer for these keys.
pub(crate) fn pointer<'a>(keys: impl IntoIterator<Item = &'a str>) -> String {
    // Most are shorter, and this avoids growing them a few bytes at a time.
    let mut pointer = String::with_capacity(64);
    keys.into_iter().for_each(|key| push_key(&mut pointer, key));
    pointer
}

/// The number in a text, if it is a non-negative integer; `1000.0` and `1e3` are.
pub(crate) fn whole(text: &str) -> Option<u64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    // Up to 2^53 every f64 integer is exact.
    let number: f64 = text.parse().ok()?;
    (number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number)).then_some(number as u64)
}

/// The time in a text, in seconds since 1970: a number, or a date and time with its zone as in RFC 3339
/// (`2026-11-29T22:52:11.671350+00:00`). Without a zone the time is not known. A number that would be after the year 5000
/// is of milliseconds.
pub(crate) fn seconds(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        return Some(if number < 1e11 { number } else { number / 1000.0 });
    }
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let (time, zone) = match rest.strip_suffix(['Z', 'z']) {
        Some(time) => (time, 0.0),
        None => {
            let (time, zone) = rest.split_at_checked(rest.rfind(['+', '-'])?)?;
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let ahead = f64::from(digits(hours, 2, 23)?) * 3600.0 + f64::from(digits(minutes, 2, 59)?) * 60.0;
            (time, if zone.starts_with('-') { -ahead } else { ahead })
        }
    };
    let mut parts = date.split('-');
    let mut part = |length, most| digits(parts.next()?, length, most);
    let (year, month, day) = (part(4, 9999)?, part(2, 12)?, part(2, 31)?);
    let mut clock = time.splitn(3, ':');
    let (hour, minute) = (digits(clock.next()?, 2, 23)?, digits(clock.next()?, 2, 59)?);
    let second: f64 = clock.next().filter(|second| second.starts_with(|c: char| c.is_ascii_digit()))?.parse().ok()?;
    // Days since 0000-03-01, in which a leap day is the last of its year.
    let (month, year) = ((month.checked_sub(1)? + 10) % 12, if month < 3 { year.checked_sub(1)? } else { year });
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (month * 306 + 5) / 10 + day;
    let days = f64::from(days) - 719_469.0;
    Some(days * 86_400.0 + f64::from(hour * 3600 + minute * 60) + second - zone)
}

/// A number of so many digits, up to `most`.
fn digits(text: &str, length: usize, most: u32) -> Option<u32> {
    let all = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| all && *number <= most)
}

/// Values from YAML, which keeps only the value of a number. Their number and the length of their texts are limited by
/// the remaining space: with aliases a short text can represent any number of values.
pub(crate) struct Yaml<'r> {
    left: &'r mut usize,
}

impl<'r> Yaml<'r> {
    /// The limit is about ten times the size of a text without repetition.
    pub(crate) const fn room(text: &str) -> usize {
        (1 << 16) + 10 * text.len()
    }

    pub(crate) const fn new(left: &'r mut usize) -> Self {
        Self { left }
    }

    fn take<E: serde::de::Error>(&mut self, room: usize) -> Result<(), E> {
        let left = self.left.checked_sub(room);
        *self.left = left.ok_or_else(|| E::custom("its aliases expand it to more than ten times its length"))?;
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Yaml<'_> {
    type Value = Value<'static>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Yaml<'_> {
    type Value = Value<'static>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain YAML, without tags")
    }

    fn visit_unit<E: serde::de::Error>(mut self) -> Result<Self::Value, E> {
        self.take(1)?;
        Ok(Value::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        self.visit_unit()
    }

    fn visit_bool<E: serde::de::Error>(mut self, truth: bool) -> Result<Self::Value, E> {
        self.take(1)?;
        Ok(Value::Bool(truth))
    }

    fn visit_u64<E: serde::de::Error>(mut self, number: u64) -> Result<Self::Value, E> {
        self.take(1)?;
        Ok(Value::Number(number.to_string().into()))
    }

    fn visit_i64<E: serde::de::Error>(mut self, number: i64) -> Result<Self::Value, E> {
        self.take(1)?;
        Ok(Value::Number(number.to_string().into()))
    }

    fn visit_f64<E: serde::de::Error>(mut self, number: f64) -> Result<Self::Value, E> {
        self.take(1)?;
        Ok(Value::Number(number.to_string().into()))
    }

    fn visit_str<E: serde::de::Error>(mut self, text: &str) -> Result<Self::Value, E> {
        self.take(1 + text.len())?;
        Ok(Value::String(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<Self::Value, A::Error> {
        self.take(1)?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(Yaml::new(self.left))? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Self::Value, A::Error> {
        self.take(1)?;
        let mut object: Vec<(Cow<'static, str>, Value<'static>)> = Vec::new();
        let mut seen = HashSet::new();
        while let Some(key) = entries.next_key_seed(Yaml::new(self.left))? {
            let name = key.as_it_stands().to_owned();
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(format!("duplicate key {name:?}")));
            }
            object.push((name.into(), entries.next_value_seed(Yaml::new(self.left))?));
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

    /// Python's `datetime.fromisoformat(text).timestamp()`.
    #[test]
    fn times_as_python_reads_them() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0.0)),
            ("2026-11-29T22:52:11.671350+00:00", Some(1_795_992_731.671_35)),
            ("2024-02-29T23:59:59+05:30", Some(1_709_231_399.0)),
            ("2000-03-01 00:00:00-08:00", Some(951_897_600.0)),
            ("1969-12-31T23:59:58.5Z", Some(-1.5)),
            ("1795992731.5", Some(1_795_992_731.5)),
            ("1795992731500", Some(1_795_992_731.5)),
            ("2026-11-29T22:52:11", None),
            ("2026-13-29T22:52:11Z", None),
            ("2026-11-29", None),
            ("T+", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
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

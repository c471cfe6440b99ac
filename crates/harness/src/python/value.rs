//! Values of documents and of task files as Python has them: ordered, with whole numbers apart from others.

use std::fmt;
use std::path::PathBuf;

use serde::de::{Deserialize, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde_json::{Map, Number};

/// A value of a document or of a task file.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// `None`.
    #[default]
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An `int`, of at most 128 bits.
    Int(i128),
    /// A `float`.
    Float(f64),
    /// A `str`.
    Text(String),
    /// A `list` or a `tuple`.
    List(Vec<Value>),
    /// A `dict` whose keys are texts.
    Dict(Dict),
    /// A function that a task file names; it is not executed.
    Function(FunctionName),
}

/// A function that a task file names with `!function`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionName {
    /// The directory of the file that names it; empty until the file is known.
    pub directory: PathBuf,
    /// `module.name`.
    pub name: String,
}

/// A `dict`: texts to values, in the order in which they were added.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dict(Vec<(String, Value)>);

impl Dict {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// As [`Self::get`].
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Sets a key; one that was there keeps its place.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        match self.get_mut(&key) {
            Some(there) => *there = value,
            None => self.0.push((key, value)),
        }
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(at).1)
    }

    /// Sets each key of `other`, as `dict.update`.
    pub fn update(&mut self, other: Self) {
        other.0.into_iter().for_each(|(key, value)| self.insert(key, value));
    }

    /// The keys with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// As [`Self::iter`].
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Value)> {
        self.0.iter_mut().map(|(key, value)| (key.as_str(), value))
    }

    /// How many keys it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As JSON, without the order.
    pub fn to_json(&self) -> Map<String, serde_json::Value> {
        self.0.iter().map(|(key, value)| (key.clone(), value.to_json())).collect()
    }
}

impl FromIterator<(String, Value)> for Dict {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(entries: I) -> Self {
        let mut dict = Self::default();
        entries.into_iter().for_each(|(key, value)| dict.insert(key, value));
        dict
    }
}

impl Value {
    /// Its text, if it is one.
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Its list, if it is one.
    pub fn list(&self) -> Option<&[Self]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    /// Its keys and values, if it has some.
    pub fn dict(&self) -> Option<&Dict> {
        if let Self::Dict(dict) = self { Some(dict) } else { None }
    }

    /// Its whole number, if it is one; Python's `True` is 1.
    pub fn int(&self) -> Option<i128> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Bool(truth) => Some(i128::from(*truth)),
            _ => None,
        }
    }

    /// Whether it is `None`.
    pub const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// `bool(value)`.
    pub fn is_true(&self) -> bool {
        match self {
            Self::None => false,
            Self::Bool(truth) => *truth,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Dict(dict) => !dict.is_empty(),
            Self::Function(_) => true,
        }
    }

    /// The name of its type in Python.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
            Self::List(_) => "list",
            Self::Dict(_) => "dict",
            Self::Function(_) => "function",
        }
    }

    /// `==`: 1, 1.0 and True are the same, and the order of keys does not matter.
    pub fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(a), Self::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b)),
            (Self::Dict(a), Self::Dict(b)) => a.equals(b),
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::Float(float), other) | (other, Self::Float(float)) => {
                other.int().is_some_and(|int| int as f64 == *float && *float as i128 == int)
            }
            (a, b) => match (a.int(), b.int()) {
                (Some(a), Some(b)) => a == b,
                _ => a == b,
            },
        }
    }

    /// `str(value)`.
    pub fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            other => other.repr(),
        }
    }

    /// `repr(value)`.
    pub fn repr(&self) -> String {
        match self {
            Self::None => "None".to_owned(),
            Self::Bool(true) => "True".to_owned(),
            Self::Bool(false) => "False".to_owned(),
            Self::Int(number) => number.to_string(),
            Self::Float(number) => float(*number),
            Self::Text(text) => quoted(text),
            Self::List(list) => format!("[{}]", list.iter().map(Self::repr).collect::<Vec<_>>().join(", ")),
            Self::Dict(dict) => {
                let entries = dict.iter().map(|(key, value)| format!("{}: {}", quoted(key), value.repr()));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
            }
            Self::Function(function) => format!("<function {}>", function.name),
        }
    }

    /// As JSON, without the order of keys. A number that JSON lacks is its text.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::None => serde_json::Value::Null,
            Self::Bool(truth) => (*truth).into(),
            Self::Int(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(number), _) => number.into(),
                (_, Ok(number)) => number.into(),
                _ => number.to_string().into(),
            },
            Self::Float(number) => Number::from_f64(*number).map_or_else(|| float(*number).into(), Into::into),
            Self::Text(text) => text.as_str().into(),
            Self::List(list) => list.iter().map(Self::to_json).collect(),
            Self::Dict(dict) => serde_json::Value::Object(dict.to_json()),
            Self::Function(function) => format!("!function {}", function.name).into(),
        }
    }
}

impl Dict {
    /// `==` of two dicts: the order of keys does not matter.
    pub fn equals(&self, other: &Self) -> bool {
        let same = |(key, value): (&str, &Value)| other.get(key).is_some_and(|there| value.equals(there));
        self.len() == other.len() && self.iter().all(same)
    }
}

/// `repr` of a float: the shortest digits that give it back, with an exponent where Python has one.
fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number == 0.0 || (-4..16).contains(&exponent) {
        let plain = number.to_string();
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// `repr` of a text.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => out.push_str(&match c as u32 {
                code @ 0..=0xff => format!("\\x{code:02x}"),
                code @ 0x100..=0xffff => format!("\\u{code:04x}"),
                code => format!("\\U{code:08x}"),
            }),
        }
    }
    out.push(quote);
    out
}

/// `str.isprintable` of one character: no control, format or private character, and no space but the common one.
fn is_printable(c: char) -> bool {
    let hidden = matches!(c,
        '\u{a0}' | '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
        | '\u{8e2}' | '\u{1680}' | '\u{180e}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}'
        | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}' | '\u{f0000}'..='\u{10ffff}');
    !c.is_control() && !hidden
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i128> for Value {
    fn from(number: i128) -> Self {
        Self::Int(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Int(number as i128)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<Dict> for Value {
    fn from(dict: Dict) -> Self {
        Self::Dict(dict)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Value {
    fn from(list: Vec<T>) -> Self {
        Self::List(list.into_iter().map(Into::into).collect())
    }
}

impl From<&serde_json::Value> for Value {
    fn from(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::None,
            serde_json::Value::Bool(truth) => Self::Bool(*truth),
            serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Self::Int(number.into()),
                (_, Some(number)) => Self::Int(number.into()),
                _ => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Self::Text(text.clone()),
            serde_json::Value::Array(list) => Self::List(list.iter().map(Self::from).collect()),
            serde_json::Value::Object(map) => {
                Self::Dict(map.iter().map(|(key, value)| (key.clone(), Self::from(value))).collect())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::None)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Int(number.into()))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut dict = Dict::default();
        while let Some(key) = entries.next_key::<Value>()? {
            let key = match key {
                Value::Text(key) if key == "<<" => return Err(A::Error::custom("merge keys (`<<`) are not read")),
                Value::Text(key) => key,
                key @ (Value::Int(_) | Value::Bool(_)) => key.shown(),
                key => return Err(A::Error::custom(format_args!("a key is a {}, not a text", key.kind()))),
            };
            dict.insert(key, entries.next_value::<Value>()?);
        }
        Ok(Value::Dict(dict))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Value, A::Error> {
        let (tag, inner) = tagged.variant::<String>()?;
        if tag.trim_start_matches('!') != "function" {
            return Err(A::Error::custom(format_args!("the tag `{tag}` is not read; `!function` is")));
        }
        let name = inner.newtype_variant::<String>()?;
        Ok(Value::Function(FunctionName { directory: PathBuf::new(), name }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `python3 -c 'print(repr(...))'` of CPython 3.11.
    #[test]
    fn shown_as_python_does() {
        let list = Value::from(vec![
            Value::from("it's"),
            Value::from("a\"b'c"),
            Value::from("tab\t\\ \u{3000}\u{1f600}\u{200b}\u{7f}"),
            Value::None,
            Value::Bool(true),
        ]);
        let expected = r#"["it's", 'a"b\'c', 'tab\t\\ \u3000😀\u200b\x7f', None, True]"#;
        assert_eq!(list.repr(), expected);
        for (number, text) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (1e15, "1000000000000000.0"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (-0.0, "-0.0"),
            (1e100, "1e+100"),
        ] {
            assert_eq!(Value::Float(number).shown(), text);
        }
        let dict: Dict =
            [("b".to_owned(), Value::from(1.5)), ("a".to_owned(), Value::from(2_usize))].into_iter().collect();
        assert_eq!(Value::Dict(dict).shown(), "{'b': 1.5, 'a': 2}");
    }

    #[test]
    fn equal_as_in_python() {
        assert!(Value::Int(1).equals(&Value::Float(1.0)) && Value::Bool(true).equals(&Value::Int(1)));
        assert!(!Value::Int(1).equals(&Value::from("1")) && !Value::Float(f64::NAN).equals(&Value::Float(f64::NAN)));
        let read = |text| serde_json::from_str::<Value>(text).unwrap();
        assert!(read(r#"{"a":1,"b":[2,null]}"#).equals(&read(r#"{"b":[2.0,null],"a":true}"#)));
        assert!(!read(r#"{"a":1}"#).equals(&read(r#"{"a":1,"b":null}"#)));
    }
}

//! A value as Python has it: what a model answered, what a filter or a metric made of it, and how Python writes it.
//!
//! JSON cannot say everything that a score can be: NaN, infinities, tuples, arrays of numpy. Files of the harness have
//! the digits of Python's `repr`, so they are written here.

mod json;
mod text;

use serde_json::Value;

use crate::python;

/// A value as Python has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// `None`
    None,
    /// `bool`
    Bool(bool),
    /// `int`
    Integer(i128),
    /// `float`, also numpy's
    Float(f64),
    /// `str`
    Text(String),
    /// `list`
    List(Vec<Object>),
    /// `tuple`
    Tuple(Vec<Object>),
    /// `dict`, in its order
    Map(Vec<(String, Object)>),
    /// A one-dimensional array of numpy
    Array(Vec<f64>),
}

impl Object {
    /// What Python calls the type of this value, for errors.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Integer(_) => "an int",
            Self::Float(_) => "a float",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Map(_) => "a dict",
            Self::Array(_) => "an array",
        }
    }

    /// As a number, if it is one; `True` is 1.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Bool(value) => Some(f64::from(u8::from(*value))),
            Self::Integer(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// As a whole number, if it is one; `True` is 1.
    #[must_use]
    pub fn integer(&self) -> Option<i128> {
        match self {
            Self::Bool(value) => Some(i128::from(*value)),
            Self::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// As JSON without these forms; `None` where JSON has no such number.
    #[must_use]
    pub fn to_json(&self) -> Option<Value> {
        Some(match self {
            Self::None => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Integer(value) => match i64::try_from(*value) {
                Ok(value) => value.into(),
                Err(_) => u64::try_from(*value).ok()?.into(),
            },
            Self::Float(value) => Value::Number(serde_json::Number::from_f64(*value)?),
            Self::Text(text) => Value::String(text.clone()),
            Self::List(items) | Self::Tuple(items) => {
                Value::Array(items.iter().map(Self::to_json).collect::<Option<_>>()?)
            }
            Self::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, value)| Some((key.clone(), value.to_json()?)))
                    .collect::<Option<serde_json::Map<_, _>>>()?,
            ),
            Self::Array(values) => Value::Array(
                values
                    .iter()
                    .map(|value| serde_json::Number::from_f64(*value).map(Value::Number))
                    .collect::<Option<_>>()?,
            ),
        })
    }
}

impl From<&Value> for Object {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::None,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => Self::Integer(i128::from(value)),
                (None, Some(value)) => Self::Integer(i128::from(value)),
                (None, None) => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(entries) => {
                Self::Map(entries.iter().map(|(key, value)| (key.clone(), Self::from(value))).collect())
            }
        }
    }
}

impl From<&python::Value> for Object {
    fn from(value: &python::Value) -> Self {
        match value {
            python::Value::None => Self::None,
            python::Value::Bool(value) => Self::Bool(*value),
            python::Value::Int(value) => Self::Integer(*value),
            python::Value::Float(value) => Self::Float(*value),
            python::Value::Text(text) => Self::Text(text.clone()),
            python::Value::List(items) => Self::List(items.iter().map(Self::from).collect()),
            python::Value::Dict(dict) => {
                Self::Map(dict.iter().map(|(key, value)| (key.to_owned(), Self::from(value))).collect())
            }
            python::Value::Function(_) => Self::Text(value.repr()),
        }
    }
}

impl From<&str> for Object {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<f64> for Object {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

/// A dict in the making.
pub(crate) fn map<const N: usize>(entries: [(&str, Object); N]) -> Object {
    Object::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

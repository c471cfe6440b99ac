//! The messages in a log of wandb: `wandb/proto/wandb_internal.proto` (0.31), with the fields that are read.

use std::collections::HashSet;

use prost::{DecodeError, Message};

use crate::json;
use crate::protobuf::fields;
use crate::rows::Problem;
use crate::value::Value;

/// A longer record is not decoded: a line of a history has kilobytes.
pub(super) const LONGEST: usize = 32 << 20;
/// More keys above a value are refused, as in JSON.
const DEEPEST: usize = 128;

/// Why a record or a value cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Wrong {
    #[error("not a record of wandb: {0}")]
    Message(#[from] DecodeError),
    #[error("a record has {0} bytes; the limit is {LONGEST}")]
    Long(usize),
    #[error("a value below {0} keys; the limit is {DEEPEST}")]
    Deep(usize),
    #[error("{0}")]
    Value(String),
    #[error("config and summary have more than {0} bytes; the rest is left out")]
    Told(usize),
}

/// The fields of a `Record` that have a length.
pub(super) fn parts<'a>(record: &'a [u8], each: impl FnMut(u32, &'a [u8]) -> Result<(), Wrong>) -> Result<(), Wrong> {
    if record.len() > LONGEST {
        return Err(Wrong::Long(record.len()));
    }
    fields(record, each)
}

/// The fields of `Record`.
pub(super) mod field {
    pub(crate) const HISTORY: u32 = 2;
    pub(crate) const SUMMARY: u32 = 3;
    pub(crate) const CONFIG: u32 = 5;
    pub(crate) const RUN: u32 = 17;
    pub(crate) const EXIT: u32 = 18;
    /// What is not imported.
    pub(crate) const LEFT_OUT: [(&str, &[u32]); 4] =
        [("system metrics", &[7]), ("console output", &[4, 13, 27]), ("artifacts", &[8, 24, 25]), ("alerts", &[10])];
}

/// `HistoryItem`, `SummaryItem` or `ConfigItem`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Item {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(string, repeated, tag = "2")]
    pub(super) nested_key: Vec<String>,
    #[prost(bool, optional, tag = "4")]
    pub(super) boolean: Option<bool>,
    #[prost(sint64, optional, tag = "5")]
    pub(super) integer: Option<i64>,
    #[prost(double, optional, tag = "6")]
    pub(super) number: Option<f64>,
    #[prost(string, optional, tag = "7")]
    pub(super) text: Option<String>,
    #[prost(string, optional, tag = "8")]
    pub(super) json: Option<String>,
    #[prost(string, tag = "16")]
    pub(super) value_json: String,
}

/// `HistoryStep`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HistoryStep {
    #[prost(int64, tag = "1")]
    pub(super) num: i64,
}

/// A value, and the keys above it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) keys: Vec<String>,
    pub(super) value: Said,
}

/// A value as it is written.
#[derive(Debug)]
pub(super) enum Said {
    Json(String),
    Text(String),
}

impl Said {
    pub(super) fn of_step(message: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self::Json(HistoryStep::decode(message)?.num.to_string()))
    }
}

impl Entry {
    pub(super) fn of(message: &[u8]) -> Result<Self, Wrong> {
        let Item { key, nested_key, boolean, integer, number, text, json, value_json } = Item::decode(message)?;
        if nested_key.len() > DEEPEST {
            return Err(Wrong::Deep(nested_key.len()));
        }
        let json = match (json, boolean, integer, number) {
            (Some(json), ..) => json,
            (_, Some(boolean), ..) => boolean.to_string(),
            (_, _, Some(integer), _) => integer.to_string(),
            (_, _, _, Some(number)) if number.is_infinite() => {
                if number < 0.0 {
                    "-Infinity".to_owned()
                } else {
                    "Infinity".to_owned()
                }
            }
            (_, _, _, Some(number)) => format!("{number:?}"),
            // Neither of them: `none`.
            _ if value_json.is_empty() => "null".to_owned(),
            _ => value_json,
        };
        let keys = if nested_key.is_empty() { vec![key] } else { nested_key };
        Ok(Self { keys, value: text.map_or(Said::Json(json), Said::Text) })
    }
}

/// An object of these values, by their dotted names. What is below a `_type` is a picture, a histogram or a table, and
/// left out.
pub(super) fn object<'a>(entries: &'a [Entry], problem: &mut dyn FnMut(&str, Problem)) -> Value<'a> {
    let typed: HashSet<&[String]> = entries
        .iter()
        .filter_map(|entry| {
            Some(entry.keys.split_last()?).filter(|(last, above)| *last == "_type" && !above.is_empty())
        })
        .map(|(_, above)| above)
        .collect();
    let is_typed = |keys: &[String]| {
        !typed.is_empty() && (1..keys.len()).any(|length| keys.get(..length).is_some_and(|keys| typed.contains(keys)))
    };
    let mut object = Vec::with_capacity(entries.len());
    for Entry { keys, value } in entries.iter().filter(|entry| !is_typed(&entry.keys)) {
        let name = keys.join(".");
        match value {
            Said::Text(text) => object.push((name.into(), Value::String(text.as_str().into()))),
            Said::Json(text) => match json::read(text.as_bytes()) {
                Ok(value) => object.push((name.into(), value)),
                Err(what) => problem(&name, what),
            },
        }
    }
    Value::Object(object)
}

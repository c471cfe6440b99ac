//! One task file, and the files it includes.

use std::path::{Path, PathBuf};

use retrace_files::RegularFile;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer};

use crate::HarnessError;
use crate::python::{Dict, Value};

/// A larger task file is refused.
const LARGEST: u64 = 4 << 20;
/// A longer chain of `include` is refused.
const LONGEST_CHAIN: usize = 32;
/// A file whose aliases expand to more values is refused.
const MOST_VALUES: usize = 1 << 20;

struct Whole;

impl<'de> DeserializeSeed<'de> for Whole {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }
}

/// What a task file says, with what it includes: keys of its own count more, later includes more than earlier ones.
///
/// # Errors
/// If a file cannot be read, is no mapping, or includes itself.
pub fn read(path: &Path) -> Result<Dict, HarnessError> {
    included(path, &mut Vec::new())
}

fn included(path: &Path, seen: &mut Vec<PathBuf>) -> Result<Dict, HarnessError> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let path = normal(&path);
    let refuse = |what: String| HarnessError::TaskFile { path: path.clone(), what };
    if seen.contains(&path) {
        return Err(refuse("it includes itself, or the same file is included twice".to_owned()));
    }
    if seen.len() >= LONGEST_CHAIN {
        return Err(refuse(format!("more than {LONGEST_CHAIN} files are included")));
    }
    seen.push(path.clone());
    let text = RegularFile::open(&path)?.text(LARGEST)?;
    let value = retrace_spec::read_yaml(&text, &path.display().to_string(), Whole)?;
    if has_doubtful(&value)
        && let Some((line, what)) = differs(&text)
    {
        return Err(refuse(format!("line {line}: {what}")));
    }
    if size(&value) > MOST_VALUES {
        return Err(refuse(format!("it has more than {MOST_VALUES} values")));
    }
    let Value::Dict(mut own) = value else { return Err(refuse(format!("it is a {}, not a mapping", value.kind()))) };
    let directory = path.parent().unwrap_or(Path::new("")).to_owned();
    own.iter_mut().for_each(|(_, value)| settle(value, &directory));
    let includes = match own.remove("include") {
        None => return Ok(own),
        Some(Value::List(list)) => list,
        Some(one) => vec![one],
    };
    let mut merged = Dict::default();
    for include in includes {
        let Value::Text(name) = &include else { return Err(refuse("`include` is no text".to_owned())) };
        let mut other = included(&directory.join(name), seen)?;
        other.remove("task_list");
        merged.update(other);
    }
    merged.update(own);
    Ok(merged)
}

fn size(value: &Value) -> usize {
    match value {
        Value::List(list) => 1 + list.iter().map(size).sum::<usize>(),
        Value::Dict(dict) => 1 + dict.iter().map(|(_, value)| size(value)).sum::<usize>(),
        _ => 1,
    }
}

/// Whether there is a value that the two versions of YAML may understand in different ways.
fn has_doubtful(value: &Value) -> bool {
    match value {
        Value::Text(text) => is_truth(text),
        Value::Float(_) => true,
        Value::List(list) => list.iter().any(has_doubtful),
        Value::Dict(dict) => dict.iter().any(|(key, value)| is_truth(key) || has_doubtful(value)),
        _ => false,
    }
}

fn is_truth(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "yes" | "no" | "on" | "off")
}

/// Notes for each function which directory its module is in.
fn settle(value: &mut Value, directory: &Path) {
    match value {
        Value::Function(function) => directory.clone_into(&mut function.directory),
        Value::List(list) => list.iter_mut().for_each(|value| settle(value, directory)),
        Value::Dict(dict) => dict.iter_mut().for_each(|(_, value)| settle(value, directory)),
        _ => {}
    }
}

/// The path without `.` and `..`, by its names alone.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(out.pop()),
            std::path::Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

/// A line with a value that YAML 1.1, which the harness reads, understands otherwise than YAML 1.2, which is read
/// here: `yes`, `no`, `on` and `off` are truths there, and `1e5` is a text. Lines inside of longer texts may be meant.
fn differs(text: &str) -> Option<(usize, String)> {
    let mut block: Option<usize> = None;
    for (at, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        if block.is_some_and(|begun| line.trim().is_empty() || indent > begun) {
            continue;
        }
        block = None;
        let value = line.trim_start().trim_start_matches("- ").trim();
        let value = value.split_once(": ").map_or(value, |(_, value)| value.trim());
        let value = value.split(" #").next().unwrap_or(value).trim();
        if value.starts_with(['|', '>']) {
            block = Some(indent);
        }
        let items = value.strip_prefix('[').and_then(|list| list.strip_suffix(']'));
        let has_key = line.contains(": ") || line.trim_start().starts_with("- ");
        for item in items.map_or_else(|| vec![value], |items| items.split(',').map(str::trim).collect()) {
            if !has_key {
                continue;
            }
            let truth = is_truth(item);
            let digits = item.trim_start_matches(['-', '+']);
            let exponent = digits.starts_with(|c: char| c.is_ascii_digit())
                && digits.contains(['e', 'E'])
                && digits.parse::<f64>().is_ok()
                && !(digits.contains('.') && (digits.contains("e+") || digits.contains("e-")));
            if truth || exponent {
                return Some((
                    at + 1,
                    format!(
                        "`{item}` means different things in YAML 1.1 and 1.2; write it in quotes, or as true, false or a decimal number"
                    ),
                ));
            }
        }
    }
    None
}

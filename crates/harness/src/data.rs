//! The documents of a task, from local files.
//!
//! A task that names its files (`dataset_path: json` or `parquet` with `data_files`) has them where it says, from the
//! working directory. Files of a hub (`hf://datasets/owner/name/FILE`, or `data_files` of the data set `owner/name`) are
//! `owner/name/FILE` below a directory that the user gives. The data set `owner/name` of a hub is looked for in the directories that the user gives, below
//! `owner/name`. If the task names a configuration, the files of a split are there in `CONFIGURATION/` or
//! `data/CONFIGURATION/`; otherwise in the directory itself, `data/` or `default/`. They are `SPLIT.jsonl`,
//! `SPLIT.jsonl.gz`, `SPLIT.jsonl.zst`, `SPLIT.json`, `SPLIT.parquet`, or all of `SPLIT-*.parquet`. The first that is there
//! counts. Columns keep their order and their types; labels stay whole numbers. Texts of JSON that are dates stay texts,
//! of which `datasets` would make times.

mod parquet;

use std::path::{Path, PathBuf};

use retrace_files::{FileError, RegularFile, TextLines};

use crate::python::{Dict, Value};
use crate::{HarnessError, TaskConfig};

/// The ends of the names of files.
const ENDS: [&str; 5] = ["jsonl", "jsonl.gz", "jsonl.zst", "json", "parquet"];
/// How the names of files of a hub begin.
const HUB: &str = "hf://datasets/";
/// A larger file that is one JSON document is refused.
const LARGEST_DOCUMENT: u64 = 256 << 20;

/// Where data sets are.
#[derive(Debug, Clone, Default)]
pub struct Data {
    /// The directories that the user gives, in this order.
    pub directories: Vec<PathBuf>,
}

impl Data {
    /// The documents of a split of a task's data.
    ///
    /// # Errors
    /// If they are not there, cannot be read, or are asked for in a way that is not supported.
    pub fn split(&self, task: &TaskConfig, split: &str) -> Result<Vec<Dict>, HarnessError> {
        let files = self.files(task, split)?;
        let mut documents = Vec::new();
        for file in files {
            documents.extend(read(&file)?);
        }
        same_columns(&mut documents);
        Ok(documents)
    }

    /// A file that a task names; one of a hub is below the directories of the user.
    fn named(&self, file: &str, dataset: &str, split: &str) -> Result<PathBuf, HarnessError> {
        let Some(inner) = file.strip_prefix(HUB) else { return Ok(file.into()) };
        let places: Vec<PathBuf> = self.directories.iter().map(|directory| directory.join(inner)).collect();
        places.iter().find(|place| place.is_file()).cloned().ok_or_else(|| HarnessError::NoData {
            dataset: dataset.to_owned(),
            name: None,
            split: split.to_owned(),
            looked: places.iter().map(|place| place.display().to_string()).collect(),
        })
    }

    fn files(&self, task: &TaskConfig, split: &str) -> Result<Vec<PathBuf>, HarnessError> {
        let refuse = |what: String| HarnessError::Task { task: task.name().to_owned(), what };
        let dataset = task.text("dataset_path").ok_or_else(|| refuse("it has no `dataset_path`".to_owned()))?;
        if split.contains(['[', '+', '/']) {
            return Err(refuse(format!("the split {split:?} is a part of one, which is not supported")));
        }
        let given = task.get("dataset_kwargs").and_then(Value::dict);
        let named = given.and_then(|given| given.get("data_files"));
        if matches!(dataset, "json" | "parquet" | "csv" | "arrow" | "text") {
            if !matches!(dataset, "json" | "parquet") {
                return Err(refuse(format!("data as {dataset:?} are not supported; \"json\" and \"parquet\" are")));
            }
            let files = match named {
                Some(Value::Dict(splits)) => splits.get(split),
                Some(files) if split == "train" => Some(files),
                _ => None,
            };
            let files = texts(files)
                .ok_or_else(|| refuse(format!("`data_files` does not name files of the split {split:?}")))?;
            return files.into_iter().map(|file| self.named(&file, dataset, split)).collect();
        }
        if let Some(named) = named {
            let files = match named {
                Value::Dict(splits) => splits.get(split),
                files => Some(files).filter(|_| split == "train"),
            };
            let files = texts(files)
                .ok_or_else(|| refuse(format!("`data_files` does not name files of the split {split:?}")))?;
            let below = |file: String| self.named(&format!("{HUB}{dataset}/{file}"), dataset, split);
            return files.into_iter().map(below).collect();
        }
        let name = task.text("dataset_name");
        let mut looked = Vec::new();
        for directory in &self.directories {
            let base = directory.join(dataset);
            let places = match name {
                Some(name) => vec![base.join(name), base.join("data").join(name)],
                None => vec![base.clone(), base.join("data"), base.join("default")],
            };
            for place in places {
                for end in ENDS {
                    let path = place.join(format!("{split}.{end}"));
                    if path.is_file() {
                        return Ok(vec![path]);
                    }
                }
                let pieces = pieces(&place, split);
                if !pieces.is_empty() {
                    return Ok(pieces);
                }
                looked.push(format!("{}/{split}.{{{}}} and {split}-*.parquet", place.display(), ENDS.join(",")));
            }
        }
        if looked.is_empty() {
            looked.push("no directory, because none was given".to_owned());
        }
        Err(HarnessError::NoData {
            dataset: dataset.to_owned(),
            name: name.map(str::to_owned),
            split: split.to_owned(),
            looked,
        })
    }
}

fn texts(files: Option<&Value>) -> Option<Vec<String>> {
    match files? {
        Value::Text(file) => Some(vec![file.clone()]),
        Value::List(files) => files.iter().map(|file| file.text().map(str::to_owned)).collect(),
        _ => None,
    }
}

/// The files `SPLIT-*.parquet` of a directory, sorted.
fn pieces(place: &Path, split: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| {
            let name = entry.file_name();
            let rest = name.to_str().and_then(|name| name.strip_prefix(split)).and_then(|rest| rest.strip_prefix('-'));
            rest.is_some_and(|rest| Path::new(rest).extension().is_some_and(|end| end == "parquet"))
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

fn read(path: &Path) -> Result<Vec<Dict>, HarnessError> {
    let file = RegularFile::open(path)?;
    let name = path.to_string_lossy();
    if name.ends_with(".parquet") {
        return Ok(parquet::read(file)?);
    }
    let json = |line: usize, what: String| FileError::Json { path: path.to_owned(), line, what };
    let of = |value: Value, line: usize| match value {
        Value::Dict(document) => Ok(document),
        other => Err(json(line, format!("a document is a {}, not an object", other.kind()))),
    };
    if name.ends_with(".json") && file.size() <= LARGEST_DOCUMENT {
        let text = file.text(LARGEST_DOCUMENT)?;
        if text.trim_start().starts_with('[') {
            let list: Vec<Value> =
                serde_json::from_str(&text).map_err(|error| json(error.line(), error.to_string()))?;
            return list.into_iter().enumerate().map(|(at, value)| Ok(of(value, at + 1)?)).collect();
        }
    }
    let (mut lines, mut bytes) = (TextLines::open(RegularFile::open(path)?)?, Vec::new());
    let mut documents = Vec::new();
    while let Some(line) = lines.next_line(&mut bytes)? {
        let line = line as usize;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| json(line, format!("is not UTF-8: {error}")))?;
        let value = serde_json::from_str(text).map_err(|error| json(line, error.to_string()))?;
        documents.push(of(value, line)?);
    }
    Ok(documents)
}

/// Gives all documents the same columns in the order in which they first appear, null where one lacks them, as
/// `datasets` 5 makes a table of them. Within a column, objects with the same fields have them in the order of the first
/// one, and whole numbers among others are such numbers too. Values of several kinds, and objects with different fields,
/// stay as they are.
fn same_columns(documents: &mut [Dict]) {
    let mut shape = Shape::default();
    documents.iter().for_each(|document| shape.add_fields(document));
    documents.iter_mut().for_each(|document| shape.complete(document));
}

#[derive(Default)]
struct Shape {
    fields: Vec<(String, Shape)>,
    items: Option<Box<Shape>>,
    /// Which kinds of values there are, a bit for each.
    kinds: u8,
    has_floats: bool,
    has_different_fields: bool,
}

impl Shape {
    fn add_fields(&mut self, dict: &Dict) {
        for (place, (name, value)) in dict.iter().enumerate() {
            // Most documents have their fields at the same places.
            let found = match self.fields.get(place) {
                Some((there, _)) if there == name => Some(place),
                _ => self.fields.iter().position(|(there, _)| there == name),
            };
            let at = found.unwrap_or_else(|| {
                self.fields.push((name.to_owned(), Self::default()));
                self.fields.len() - 1
            });
            self.fields[at].1.add(value);
        }
    }

    fn add(&mut self, value: &Value) {
        let kind = match value {
            Value::None | Value::Function(_) => 0,
            Value::Dict(dict) => {
                let (is_first, before) = (self.kinds & 1 == 0, self.fields.len());
                self.add_fields(dict);
                self.has_different_fields |= !is_first && (before != self.fields.len() || dict.len() != before);
                1
            }
            Value::List(list) => {
                list.iter().for_each(|item| self.items.get_or_insert_default().add(item));
                2
            }
            Value::Text(_) => 4,
            Value::Bool(_) => 8,
            Value::Int(_) => 16,
            Value::Float(_) => {
                self.has_floats = true;
                16
            }
        };
        self.kinds |= kind;
    }

    fn complete(&self, dict: &mut Dict) {
        let of = |(name, shape): &(String, Self)| {
            let mut value = dict.remove(name).unwrap_or_default();
            shape.settle(&mut value);
            (name.clone(), value)
        };
        *dict = self.fields.iter().map(of).collect();
    }

    fn settle(&self, value: &mut Value) {
        if self.has_different_fields || self.kinds.count_ones() > 1 {
            return;
        }
        match value {
            Value::Dict(dict) => self.complete(dict),
            Value::List(list) => {
                if let Some(items) = &self.items {
                    list.iter_mut().for_each(|item| items.settle(item));
                }
            }
            Value::Int(number) if self.has_floats => *value = Value::Float(*number as f64),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(name: &str, bytes: &str) -> Result<Vec<String>, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut documents = read(&path).map_err(|error| error.to_string())?;
        same_columns(&mut documents);
        Ok(documents.into_iter().map(|document| Value::Dict(document).repr()).collect())
    }

    /// As `datasets` 5.2.0 reads them, with its type `Json` for what differs.
    #[test]
    fn documents_are_the_rows_of_a_table() {
        let of = |rows: &[&str]| documents("t.jsonl", &rows.join("\n")).unwrap().join(" ");
        for (rows, expected) in [
            (
                &["{\"b\":1,\"a\":\"é\"}", "", "{\"c\":2,\"b\":1.5}"][..],
                "{'b': 1.0, 'a': 'é', 'c': None} {'b': 1.5, 'a': None, 'c': 2}",
            ),
            (&[r#"{"a":{"x":1}}"#, r#"{"a":{"y":2}}"#], "{'a': {'x': 1}} {'a': {'y': 2}}"),
            (&[r#"{"a":{"x":1}}"#, r#"{"a":{"x":2.5}}"#], "{'a': {'x': 1.0}} {'a': {'x': 2.5}}"),
            (&[r#"{"a":[{"x":1},{"x":2.5}]}"#], "{'a': [{'x': 1.0}, {'x': 2.5}]}"),
            (&[r#"{"a":[{"n":1},{"m":2.5}]}"#], "{'a': [{'n': 1}, {'m': 2.5}]}"),
            (&[r#"{"a":[1]}"#, r#"{"a":[2.5]}"#], "{'a': [1.0]} {'a': [2.5]}"),
            (&[r#"{"a":[1,"x",2.5]}"#], "{'a': [1, 'x', 2.5]}"),
            (&[r#"{"a":{"x":1,"y":2}}"#, r#"{"a":{"y":3,"x":4}}"#], "{'a': {'x': 1, 'y': 2}} {'a': {'x': 4, 'y': 3}}"),
            (&[r#"{"a":null}"#, r#"{"a":{"y":2,"x":1}}"#], "{'a': None} {'a': {'y': 2, 'x': 1}}"),
            (&[r#"{"a":true}"#, r#"{"a":1}"#], "{'a': True} {'a': 1}"),
            (&[r#"{"a":{}}"#, r#"{"a":{"x":1}}"#], "{'a': {}} {'a': {'x': 1}}"),
        ] {
            assert_eq!(of(rows), expected);
        }
        let list = documents("t.json", "[{\"b\":1}, {\"c\":2}]").unwrap();
        assert_eq!(list, ["{'b': 1, 'c': None}", "{'b': None, 'c': 2}"]);
    }

    #[test]
    fn what_is_no_document_is_named() {
        for (name, bytes, said) in [
            ("t.jsonl", "{\"a\":1}\n[1]\n", "t.jsonl:2: a document is a list, not an object"),
            ("t.jsonl", "{\"a\":1}\n{\"a\":", "t.jsonl:2: EOF"),
            ("t.json", "[{}, 5]", "t.json:2: a document is a int, not an object"),
            ("t.json", "[{}", "t.json:1: EOF"),
            ("t.parquet", "PAR1", "t.parquet: its start: "),
        ] {
            let got = documents(name, bytes).unwrap_err();
            assert!(got.contains(said), "{got}");
        }
        documents("t.jsonl", &"[".repeat(100_000)).unwrap_err();
    }
}

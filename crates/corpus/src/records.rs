//! Records of files of others: JSON lines, plain or compressed, JSON lists, and Parquet, with some of their columns.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use arrow::array::{
    Array, AsArray, BinaryArray, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, FixedSizeListArray,
    LargeBinaryArray, LargeListArray, LargeStringArray, ListArray, MapArray, RecordBatch, StringArray, StringViewArray,
    StructArray,
};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use retrace_files::{FileError, RegularFile, TextLines};
use retrace_spec::guard;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Number, Value};

/// At most so many rows of a Parquet file are in memory.
const ROWS: usize = 64;
/// A file that is one JSON document is read if it has at most so many bytes.
const LARGEST_DOCUMENT: u64 = 64 << 20;
/// Where a JSON document has the list of its records, if it is no list itself.
const LISTS: [&str; 5] = ["examples", "data", "items", "questions", "instances"];
/// Values inside each other to this depth are read.
const DEEPEST: usize = 8;

/// A record: its line or row from 1, and a value for each of the columns that were asked for, null where it has none.
pub type Record = (u64, Vec<Value>);

/// The records of a file. A column `a.b` is the field `b` of the column `a`.
#[derive(Debug)]
pub struct Records {
    path: PathBuf,
    columns: Vec<String>,
    source: Source,
    ended: bool,
}

enum Source {
    Lines(Box<TextLines>, Vec<u8>),
    List(std::iter::Enumerate<std::vec::IntoIter<Value>>),
    Rows { reader: ParquetRecordBatchReader, batch: Option<RecordBatch>, at: usize, row: u64, rows: u64, size: u64 },
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lines(..) => "Lines",
            Self::List(_) => "List",
            Self::Rows { .. } => "Rows",
        })
    }
}

impl Records {
    /// The records of `file` with these columns. Whether it is Parquet and how it is compressed, its first bytes tell.
    ///
    /// # Errors
    /// If it cannot be read, or is a damaged Parquet file.
    pub fn open(file: RegularFile, columns: &[String]) -> Result<Self, FileError> {
        let path = file.path().to_owned();
        let source = if is_parquet(&file)? {
            rows(file, columns)?
        } else if path.extension().is_some_and(|name| name.eq_ignore_ascii_case("parquet")) {
            let what = "it is no Parquet file: it does not begin with PAR1".to_owned();
            return Err(FileError::Damaged { path, place: "byte 0".to_owned(), what });
        } else if let Some(list) = list(&file, columns)? {
            Source::List(list.into_iter().enumerate())
        } else {
            Source::Lines(Box::new(TextLines::open(file)?), Vec::new())
        };
        Ok(Self { path, columns: columns.to_vec(), source, ended: false })
    }

    /// About how many bytes of the file were read so far.
    pub fn consumed(&self) -> u64 {
        match &self.source {
            Source::Lines(lines, _) => lines.consumed(),
            Source::List(_) => 0,
            Source::Rows { row, rows, size, .. } => (*size as f64 * *row as f64 / (*rows).max(1) as f64) as u64,
        }
    }

    /// Reads the rest of a compressed file. A damaged one may have malformed records before its damage shows: then it,
    /// and not a record, is what is wrong.
    ///
    /// # Errors
    /// If the compression is damaged.
    pub fn check_rest(&mut self) -> Result<(), FileError> {
        if let Source::Lines(lines, bytes) = &mut self.source
            && lines.is_compressed()
        {
            loop {
                match lines.next_line(bytes) {
                    Ok(Some(_)) | Err(FileError::Json { .. }) => {}
                    Ok(None) => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// The line that was read last, without its line end. None if the file has no lines: it is Parquet or a JSON list.
    pub fn line(&self) -> Option<&[u8]> {
        match &self.source {
            Source::Lines(_, bytes) => Some(bytes),
            Source::List(_) | Source::Rows { .. } => None,
        }
    }

    fn record(&mut self) -> Result<Option<Record>, FileError> {
        match &mut self.source {
            Source::Lines(lines, bytes) => loop {
                let Some(line) = lines.next_line(bytes)? else { return Ok(None) };
                // Files of others have empty lines at their end.
                if bytes.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let json = |what: String| FileError::Json { path: self.path.clone(), line: line as usize, what };
                let text = std::str::from_utf8(bytes)
                    .map_err(|error| json(format!("is not UTF-8 at byte {} of the line", error.valid_up_to())))?;
                let mut reader = serde_json::Deserializer::from_str(text);
                let values = Wanted(&self.columns).deserialize(&mut reader);
                let values = values.and_then(|values| reader.end().map(|()| values));
                return values.map(|values| Some((line, values))).map_err(|error| json(said(&error)));
            },
            Source::List(list) => {
                let Some((at, record)) = list.next() else { return Ok(None) };
                let json =
                    |what: &str| FileError::Json { path: self.path.clone(), line: at + 1, what: what.to_owned() };
                let Value::Object(fields) = record else { return Err(json("this record of the list is no object")) };
                let of = |column: &String| {
                    let found = fields.iter().find(|(name, _)| is(name, column));
                    found.map_or(Value::Null, |(name, value)| inside(name, value.clone(), column))
                };
                Ok(Some((at as u64 + 1, self.columns.iter().map(of).collect())))
            }
            Source::Rows { reader, batch, at, row, .. } => loop {
                if let Some(batch) = batch.as_ref().filter(|batch| *at < batch.num_rows()) {
                    let values = self.columns.iter().map(|column| cell(batch, *at, column));
                    let values: Result<Vec<Value>, String> = values.collect();
                    (*at, *row) = (*at + 1, *row + 1);
                    let json = |what: String| FileError::Json { path: self.path.clone(), line: *row as usize, what };
                    return values.map(|values| Some((*row, values))).map_err(json);
                }
                let place = format!("after row {row}");
                let next = guard(|| reader.next()).map_err(|gave_up| damaged(&self.path, &place, &gave_up))?;
                match next.transpose().map_err(|error| damaged(&self.path, &place, &error))? {
                    None => return Ok(None),
                    Some(next) => (*batch, *at) = (Some(next), 0),
                }
            },
        }
    }
}

impl Iterator for Records {
    type Item = Result<Record, FileError>;

    /// After [`FileError::Json`], which says that one record is malformed, the next one follows; after another error
    /// there is none.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let record = self.record().transpose();
        self.ended = !matches!(record, Some(Ok(_) | Err(FileError::Json { .. })));
        record
    }
}

/// What the parser says of one line, without its number of the line.
pub(crate) fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = match text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what) {
        "lone leading surrogate in hex escape" | "unexpected end of hex escape" => {
            "has half of a surrogate pair (a character that was cut in two)"
        }
        what => what,
    };
    let cut = if error.is_eof() { "is truncated: " } else { "" };
    format!("{cut}{what} at column {}", error.column())
}

/// The names of the columns of `file`: of its first record that can be read, if it is JSON lines, and of all records
/// of a JSON list. The columns `wanted` tell what its records are, if it is one JSON document.
///
/// # Errors
/// If it cannot be read.
pub fn columns(file: RegularFile, wanted: &[String]) -> Result<Vec<String>, FileError> {
    if is_parquet(&file)? {
        let builder = builder(file)?;
        return Ok(builder.schema().fields().iter().map(|field| field.name().clone()).collect());
    }
    if let Some(list) = list(&file, wanted)? {
        let names: BTreeSet<&String> = list.iter().filter_map(Value::as_object).flat_map(Map::keys).collect();
        return Ok(names.into_iter().cloned().collect());
    }
    let (mut lines, mut bytes) = (TextLines::open(file)?, Vec::new());
    loop {
        match lines.next_line(&mut bytes) {
            Ok(None) => return Ok(Vec::new()),
            Ok(Some(_)) => {
                if let Ok(map) = serde_json::from_slice::<Map<String, Value>>(&bytes) {
                    return Ok(map.into_iter().map(|(name, _)| name).collect());
                }
            }
            Err(FileError::Json { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The records of a file that is one JSON document: a list, or an object with one of [`LISTS`], or an object that is a
/// record itself. It is one if it has more of the columns `wanted` than the first record of its list. None if the file is
/// JSON lines.
fn list(file: &RegularFile, wanted: &[String]) -> Result<Option<Vec<Value>>, FileError> {
    let named = file.path().extension().is_some_and(|name| name.eq_ignore_ascii_case("json"));
    if !named || file.size() > LARGEST_DOCUMENT {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(file.size()).unwrap_or(0)];
    file.read_at(&mut bytes, 0)?;
    Ok(match serde_json::from_slice(&bytes) {
        Ok(Value::Array(list)) => Some(list),
        Ok(Value::Object(mut fields)) => {
            let has = |fields: &Map<String, Value>| {
                wanted.iter().filter(|column| fields.keys().any(|name| is(name, column))).count()
            };
            let inner = |list: &Vec<Value>| list.first().and_then(Value::as_object).map_or(0, has);
            let own = has(&fields);
            let of_records = |name: &&str| match fields.get(*name) {
                Some(Value::Array(list)) => list.iter().all(Value::is_object) && inner(list) >= own,
                _ => false,
            };
            let name = LISTS.iter().find(|name| of_records(name));
            match name.and_then(|name| fields.remove(*name)) {
                Some(Value::Array(list)) => Some(list),
                _ => Some(vec![Value::Object(fields)]),
            }
        }
        _ => None,
    })
}

fn is_parquet(file: &RegularFile) -> Result<bool, FileError> {
    if file.size() < 4 {
        return Ok(false);
    }
    let mut first = [0; 4];
    file.read_at(&mut first, 0)?;
    Ok(&first == b"PAR1")
}

fn damaged(path: &std::path::Path, place: &str, what: &dyn fmt::Display) -> FileError {
    FileError::Damaged { path: path.to_owned(), place: place.to_owned(), what: what.to_string() }
}

fn builder(file: RegularFile) -> Result<ParquetRecordBatchReaderBuilder<std::fs::File>, FileError> {
    let path = file.path().to_owned();
    let whole = format!("its {} bytes", file.size());
    let builder = guard(|| ParquetRecordBatchReaderBuilder::try_new(file.into_file()));
    builder
        .map_err(|gave_up| damaged(&path, &whole, &gave_up))?
        .map_err(|error| damaged(&path, &whole, &format!("damaged or incomplete Parquet: {error}")))
}

fn rows(file: RegularFile, columns: &[String]) -> Result<Source, FileError> {
    let (path, size) = (file.path().to_owned(), file.size());
    let builder = builder(file)?;
    let wanted = |name: &str| columns.iter().any(|column| is(name, column));
    let fields = builder.schema().fields().iter().enumerate();
    let roots: Vec<usize> = fields.filter(|(_, field)| wanted(field.name())).map(|(at, _)| at).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let rows = builder.metadata().file_metadata().num_rows().max(0) as u64;
    let reader = guard(|| builder.with_projection(mask).with_batch_size(ROWS).build());
    let reader = reader
        .map_err(|gave_up| damaged(&path, "its start", &gave_up))?
        .map_err(|error| damaged(&path, "its start", &error))?;
    Ok(Source::Rows { reader, batch: None, at: 0, row: 0, rows, size })
}

/// Whether the column `name` of a file is, or has, the column that was asked for.
fn is(name: &str, column: &str) -> bool {
    column.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The value that `column` names, of which `value` is the whole column `name`.
fn inside(name: &str, value: Value, column: &str) -> Value {
    let path = column.strip_prefix(name).unwrap_or_default();
    path.split('.').filter(|field| !field.is_empty()).fold(value, |value, field| match value {
        Value::Object(mut fields) => fields.remove(field).unwrap_or(Value::Null),
        _ => Value::Null,
    })
}

/// Reads the wanted columns of an object, and no others into memory.
struct Wanted<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Vec<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Value>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Vec<Value>, A::Error> {
        let mut values = vec![Value::Null; self.0.len()];
        while let Some(name) = fields.next_key::<std::borrow::Cow<'_, str>>()? {
            if !self.0.iter().any(|column| is(&name, column)) {
                fields.next_value::<IgnoredAny>()?;
                continue;
            }
            let value: Value = fields.next_value()?;
            let last = self.0.iter().rposition(|column| is(&name, column));
            let mut value = Some(value);
            for (at, (column, slot)) in self.0.iter().zip(&mut values).enumerate() {
                if is(&name, column) {
                    let whole = if Some(at) == last { value.take() } else { value.clone() };
                    // Readers do not agree which of two values counts.
                    if !slot.is_null() {
                        return Err(A::Error::custom(format_args!("duplicate field `{column}`")));
                    }
                    *slot = inside(&name, whole.ok_or_else(|| A::Error::custom("no value"))?, column);
                }
            }
        }
        Ok(values)
    }
}

/// The value of a row in the column that was asked for.
fn cell(batch: &RecordBatch, row: usize, column: &str) -> Result<Value, String> {
    let schema = batch.schema();
    let found = schema.fields().iter().zip(batch.columns()).find(|(field, _)| is(field.name(), column));
    let Some((field, array)) = found else { return Ok(Value::Null) };
    let value = value(array.as_ref(), row, 0).map_err(|what| format!("column {:?}: {what}", field.name()))?;
    Ok(inside(field.name(), value, column))
}

/// The value of a row of a Parquet column as JSON.
fn value(array: &dyn Array, row: usize, depth: usize) -> Result<Value, String> {
    if depth > DEEPEST {
        return Err(format!("has values inside each other deeper than {DEEPEST}"));
    }
    if row >= array.len() || array.is_null(row) {
        return Ok(Value::Null);
    }
    let list = |values: &dyn Array| {
        let values = (0..values.len()).map(|at| value(values, at, depth + 1));
        values.collect::<Result<Vec<Value>, String>>().map(Value::Array)
    };
    let any = array.as_any();
    let text = |text: &str| Ok(Value::String(text.to_owned()));
    let bytes = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Value::String(text.to_owned())),
        Err(error) => Err(format!("its bytes are not UTF-8 at byte {}", error.valid_up_to())),
    };
    let number = |number: Option<Number>| Ok(number.map_or(Value::Null, Value::Number));
    let cast = |to: &DataType| arrow::compute::cast(&array.slice(row, 1), to).map_err(|error| error.to_string());
    if let Some(texts) = any.downcast_ref::<StringArray>() {
        return text(texts.value(row));
    } else if let Some(texts) = any.downcast_ref::<LargeStringArray>() {
        return text(texts.value(row));
    } else if let Some(texts) = any.downcast_ref::<StringViewArray>() {
        return text(texts.value(row));
    } else if let Some(texts) = any.downcast_ref::<BinaryArray>() {
        return bytes(texts.value(row));
    } else if let Some(texts) = any.downcast_ref::<LargeBinaryArray>() {
        return bytes(texts.value(row));
    } else if let Some(texts) = any.downcast_ref::<BinaryViewArray>() {
        return bytes(texts.value(row));
    } else if let Some(texts) = any.downcast_ref::<FixedSizeBinaryArray>() {
        return bytes(texts.value(row));
    } else if let Some(lists) = any.downcast_ref::<ListArray>() {
        return list(lists.value(row).as_ref());
    } else if let Some(lists) = any.downcast_ref::<LargeListArray>() {
        return list(lists.value(row).as_ref());
    } else if let Some(lists) = any.downcast_ref::<FixedSizeListArray>() {
        return list(lists.value(row).as_ref());
    } else if let Some(truths) = any.downcast_ref::<BooleanArray>() {
        return Ok(Value::Bool(truths.value(row)));
    } else if let Some(fields) = any.downcast_ref::<StructArray>() {
        let names = fields.fields().iter().map(|field| field.name().clone());
        let values = fields.columns().iter().map(|column| value(column.as_ref(), row, depth + 1));
        let fields = names.zip(values).map(|(name, value)| value.map(|value| (name, value)));
        return fields.collect::<Result<Map<String, Value>, String>>().map(Value::Object);
    } else if let Some(maps) = any.downcast_ref::<MapArray>() {
        return entries(&maps.value(row), depth + 1);
    }
    match array.data_type() {
        DataType::UInt64 => number(Some(array.as_primitive::<UInt64Type>().value(row).into())),
        kind if kind.is_integer() => number(Some(cast(&DataType::Int64)?.as_primitive::<Int64Type>().value(0).into())),
        kind if kind.is_floating() => {
            number(Number::from_f64(cast(&DataType::Float64)?.as_primitive::<Float64Type>().value(0)))
        }
        DataType::Dictionary(_, values) => value(cast(values)?.as_ref(), 0, depth + 1),
        DataType::Null => Ok(Value::Null),
        kind => {
            let texts = cast(&DataType::Utf8)?;
            match texts.as_any().downcast_ref::<StringArray>().filter(|texts| texts.is_valid(0)) {
                Some(texts) => text(texts.value(0)),
                None => Err(format!("its value of the type {kind} is no text")),
            }
        }
    }
}

/// All entries of a map as a JSON object.
fn entries(entries: &StructArray, depth: usize) -> Result<Value, String> {
    let [keys, values] = entries.columns() else { return Err("is a map without keys and values".to_owned()) };
    let mut fields = Map::new();
    for at in 0..entries.len() {
        let key = match value(keys.as_ref(), at, depth)? {
            Value::String(key) => key,
            Value::Number(key) => key.to_string(),
            Value::Bool(key) => key.to_string(),
            _ => return Err("has a key that is no text".to_owned()),
        };
        if fields.insert(key.clone(), value(values.as_ref(), at, depth)?).is_some() {
            return Err(format!("has the key {key:?} twice"));
        }
    }
    Ok(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array};
    use arrow::datatypes::Int32Type;
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn read(name: &str, bytes: &[u8], columns: &[&str]) -> Vec<Result<Record, String>> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
        match Records::open(RegularFile::open(&path).unwrap(), &columns) {
            Ok(records) => records.map(|record| record.map_err(|error| error.to_string())).collect(),
            Err(error) => vec![Err(error.to_string())],
        }
    }

    fn parquet() -> Vec<u8> {
        let mut lists = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
        for row in [&["x", "y"][..], &[]] {
            row.iter().for_each(|text| lists.values().append_value(text));
            lists.append(true);
        }
        let inner: ArrayRef = Arc::new(StringArray::from(vec![Some("deep"), None]));
        let field = Arc::new(arrow::datatypes::Field::new("stem", DataType::Utf8, true));
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(Int32Array::from(vec![7, 8]))),
            ("text", Arc::new(StringViewArray::from(vec!["one", "two"]))),
            ("choices", Arc::new(lists.finish())),
            ("question", Arc::new(StructArray::from(vec![(field, inner)]))),
            ("kind", Arc::new(["a", "a"].into_iter().collect::<arrow::array::DictionaryArray<Int32Type>>())),
        ];
        written(columns)
    }

    fn written(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes
    }

    #[test]
    fn parquet_and_json_lines_give_the_same_records() {
        let lines = b"{\"id\":7,\"other\":[{}],\"text\":\"one\",\"choices\":[\"x\",\"y\"],\"question\":{\"stem\":\"deep\"},\"kind\":\"a\"}\n\n{\"kind\":\"a\",\"choices\":[],\"question\":{},\"text\":\"two\",\"id\":8}";
        let columns = ["id", "text", "choices", "question.stem", "kind", "missing"];
        let lines = read("a.jsonl", lines, &columns);
        let rows = read("a.parquet", &parquet(), &columns);
        let values = |records: Vec<Result<Record, String>>| -> Vec<Vec<Value>> {
            records.into_iter().map(|record| record.unwrap().1).collect()
        };
        assert_eq!(lines.iter().map(|record| record.as_ref().unwrap().0).collect::<Vec<_>>(), [1, 3]);
        let expected = serde_json::json!([[7, "one", ["x", "y"], "deep", "a", null], [8, "two", [], null, "a", null],]);
        assert_eq!(serde_json::to_value(values(lines)).unwrap(), expected);
        assert_eq!(serde_json::to_value(values(rows)).unwrap(), expected);
    }

    #[test]
    fn one_json_document_is_the_list_of_its_records() {
        let of = |bytes: &[u8]| -> Vec<(u64, Vec<Value>)> {
            read("a.json", bytes, &["text", "in.deep"]).into_iter().map(Result::unwrap).collect()
        };
        let expected = [(1, vec![Value::from("one"), Value::Null]), (2, vec![Value::Null, Value::from(2)])];
        assert_eq!(of(b"[{\"text\": \"one\"},\n {\"in\": {\"deep\": 2}}]"), expected);
        assert_eq!(of(b"{\"canary\": 1, \"examples\": [{\"text\": \"one\"}, {\"in\": {\"deep\": 2}}]}"), expected);
        assert_eq!(of(b"{\"text\": \"one\"}\n{\"in\": {\"deep\": 2}}\n"), expected, "lines");
        for single in [
            &b"{\"text\": \"one\", \"choices\": [{\"text\": \"two\"}]}"[..],
            b"{\"text\": \"one\", \"items\": []}",
            b"{\"text\": \"one\", \"data\": [{\"x\": 1}]}",
            b"{\"id\": \"a\",\n \"text\": \"one\"\n}\n",
        ] {
            let said = String::from_utf8_lossy(single);
            assert_eq!(of(single), [(1, vec![Value::from("one"), Value::Null])], "one record with a list: {said}");
        }
        assert_eq!(of(b"{\"name\": \"x\", \"data\": []}"), []);
        let both =
            read("a.json", b"{\"id\": 1, \"text\": \"one\", \"data\": [{\"text\": \"inner\"}]}", &["id", "text"]);
        assert_eq!(both, [Ok((1, vec![Value::from(1), Value::from("one")]))]);
        let records = read("a.json", b"[{\"text\": \"one\"}, 5, {\"text\": \"two\"}]", &["text"]);
        let [Ok(_), Err(number), Ok((3, _))] = &records[..] else { panic!("{records:?}") };
        assert!(number.contains("a.json:2: this record of the list is no object"), "{number}");
    }

    #[test]
    fn a_line_that_is_too_long_is_named_and_the_next_one_follows() {
        let long = [&b"{\"text\":\"one\"}\n{\"text\":\""[..], &vec![b'x'; 65 << 20], b"\"}\n{\"text\":\"two\"}\n"];
        let records = read("a.jsonl", &long.concat(), &["text"]);
        let [Ok(_), Err(line), Ok((3, _))] = &records[..] else { panic!("{} records", records.len()) };
        assert!(line.contains("a.jsonl:2: is longer than 67108864 bytes"), "{line}");
    }

    #[test]
    fn a_bad_line_is_named_and_the_next_one_follows() {
        let records = read("a.jsonl", b"{\"text\":\"one\"}\n{\"text\":\n[1]\n\xff\n{\"text\":\"two\"}\n", &["text"]);
        let [Ok(_), Err(cut), Err(list), Err(bytes), Ok((5, _))] = &records[..] else { panic!("{records:?}") };
        assert!(cut.contains("a.jsonl:2: is truncated: EOF"), "{cut}");
        assert!(list.contains("a.jsonl:3: invalid type: sequence, expected a JSON object"), "{list}");
        assert!(bytes.contains("a.jsonl:4: is not UTF-8 at byte 0"), "{bytes}");
    }

    #[test]
    fn bytes_of_parquet_are_text_or_unreadable() {
        let all: [&[u8]; 3] = [b"one", b"tw\xffo", "\u{4e09}!".as_bytes()];
        let fixed = FixedSizeBinaryArray::try_from_iter([&b"four"[..], b"\xffour", b"more"].into_iter()).unwrap();
        let arrays: [(ArrayRef, &str); 4] = [
            (Arc::new(BinaryArray::from(all.to_vec())), "\u{4e09}!"),
            (Arc::new(LargeBinaryArray::from(all.to_vec())), "\u{4e09}!"),
            (Arc::new(BinaryViewArray::from(all.to_vec())), "\u{4e09}!"),
            (Arc::new(fixed), "more"),
        ];
        for (array, last) in arrays {
            let records = read("a.parquet", &written(vec![("text", Arc::clone(&array))]), &["text"]);
            let [Ok(_), Err(error), Ok((3, values))] = &records[..] else {
                panic!("{:?}: {records:?}", array.data_type())
            };
            assert!(error.contains("a.parquet:2: column \"text\": its bytes are not UTF-8 at byte"), "{error}");
            assert_eq!(values, &[Value::from(last)]);
        }
    }

    #[test]
    fn a_map_of_parquet_has_all_its_entries() {
        let of = |keys: [&str; 2]| {
            let mut maps = arrow::array::MapBuilder::new(
                None,
                arrow::array::StringBuilder::new(),
                arrow::array::StringBuilder::new(),
            );
            keys.iter().zip(["red", "blue"]).for_each(|(key, value)| {
                maps.keys().append_value(key);
                maps.values().append_value(value);
            });
            maps.append(true).unwrap();
            read("a.parquet", &written(vec![("choices", Arc::new(maps.finish()))]), &["choices", "choices.B"])
        };
        let expected = vec![serde_json::json!({"A": "red", "B": "blue"}), Value::from("blue")];
        assert_eq!(of(["A", "B"]), [Ok((1, expected))]);
        let twice = of(["A", "A"]);
        assert!(matches!(&twice[..], [Err(error)] if error.contains("has the key \"A\" twice")), "{twice:?}");
    }

    /// Of `just fuzz`: no damage leads to a panic, or to records without an error at the end.
    #[test]
    fn damaged_parquet_survived() {
        let whole = parquet();
        for cut in (0..whole.len()).step_by(7) {
            let records = read("a.parquet", &whole[..cut], &["text", "choices"]);
            assert!(records.last().is_some_and(Result::is_err), "{cut} bytes of {}", whole.len());
        }
        for at in (0..whole.len()).step_by(5) {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            read("a.parquet", &changed, &["id", "text", "choices", "question.stem", "kind"]);
        }
    }
}

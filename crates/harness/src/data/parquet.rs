//! Documents of a Parquet file, with the order of their columns and fields.

use std::fmt::Display;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use retrace_files::{FileError, RegularFile};
use retrace_spec::guard;

use crate::python::{Dict, Value};

/// Values inside each other to this depth are read.
const DEEPEST: usize = 8;

/// All rows of the file.
///
/// # Errors
/// If it is damaged, or has values of a type that is not read.
pub(super) fn read(file: RegularFile) -> Result<Vec<Dict>, FileError> {
    let path = file.path().to_owned();
    let start = "its start";
    let reader =
        guard(|| ParquetRecordBatchReaderBuilder::try_new(file.into_file()).and_then(|builder| builder.build()));
    let reader = reader.map_err(|gave_up| damaged(&path, start, &gave_up))?;
    let mut reader = reader.map_err(|error| damaged(&path, start, &error))?;
    let mut documents = Vec::new();
    loop {
        let place = format!("after row {}", documents.len());
        let next = guard(|| reader.next()).map_err(|gave_up| damaged(&path, &place, &gave_up))?;
        let Some(batch) = next.transpose().map_err(|error| damaged(&path, &place, &error))? else {
            return Ok(documents);
        };
        let rows = guard(|| rows(&batch)).map_err(|gave_up| damaged(&path, &place, &gave_up))?;
        documents.extend(rows.map_err(|what| damaged(&path, &place, &what))?);
    }
}

fn damaged(path: &Path, place: &str, what: &dyn Display) -> FileError {
    FileError::Damaged { path: path.to_owned(), place: place.to_owned(), what: what.to_string() }
}

fn rows(batch: &RecordBatch) -> Result<Vec<Dict>, String> {
    let schema = batch.schema();
    let mut documents = vec![Dict::default(); batch.num_rows()];
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let values = values(column, 0).map_err(|what| format!("column {:?}: {what}", field.name()))?;
        for (document, value) in documents.iter_mut().zip(values) {
            document.insert(field.name().as_str(), value);
        }
    }
    Ok(documents)
}

/// All values of an array.
fn values(array: &ArrayRef, depth: usize) -> Result<Vec<Value>, String> {
    if depth > DEEPEST {
        return Err(format!("has values inside each other deeper than {DEEPEST}"));
    }
    let cast = |to: &DataType| arrow::compute::cast(array, to).map_err(|error| error.to_string());
    let all: Vec<Value> = match array.data_type() {
        DataType::Null => vec![Value::None; array.len()],
        DataType::Boolean => array.as_boolean().iter().map(|value| value.map_or(Value::None, Value::Bool)).collect(),
        DataType::UInt64 => optional(array.as_primitive::<UInt64Type>().iter().map(|value| value.map(i128::from))),
        kind if kind.is_integer() => {
            optional(cast(&DataType::Int64)?.as_primitive::<Int64Type>().iter().map(|value| value.map(i128::from)))
        }
        kind if kind.is_floating() => optional(cast(&DataType::Float64)?.as_primitive::<Float64Type>().iter()),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            optional(cast(&DataType::LargeUtf8)?.as_string::<i64>().iter())
        }
        DataType::Dictionary(_, inner) => values(&cast(inner)?, depth + 1)?,
        DataType::List(field) | DataType::FixedSizeList(field, _) => {
            lists(&cast(&DataType::LargeList(field.clone()))?, depth)?
        }
        DataType::LargeList(_) => lists(array, depth)?,
        DataType::Struct(fields) => {
            let mut dicts = vec![Dict::default(); array.len()];
            for (field, column) in fields.iter().zip(array.as_struct().columns()) {
                for (dict, value) in dicts.iter_mut().zip(values(column, depth + 1)?) {
                    dict.insert(field.name().as_str(), value);
                }
            }
            let of = |(at, dict)| if array.is_null(at) { Value::None } else { Value::Dict(dict) };
            dicts.into_iter().enumerate().map(of).collect()
        }
        kind => return Err(format!("values of the type {kind} are not supported")),
    };
    Ok(all)
}

fn optional<T: Into<Value>>(values: impl Iterator<Item = Option<T>>) -> Vec<Value> {
    values.map(|value| value.map_or(Value::None, Into::into)).collect()
}

fn lists(array: &ArrayRef, depth: usize) -> Result<Vec<Value>, String> {
    let lists = array.as_list::<i64>();
    let of = |at: usize| {
        if lists.is_null(at) { Ok(Value::None) } else { values(&lists.value(at), depth + 1).map(Value::List) }
    };
    (0..lists.len()).map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        DictionaryArray, Float32Array, Int32Array, ListArray, StringArray, StructArray, TimestampSecondArray,
    };
    use arrow::datatypes::{Field, Int32Type};
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn written(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, of)| (name, of, true))).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes
    }

    fn documents(bytes: &[u8]) -> Result<Vec<Dict>, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.parquet");
        std::fs::write(&path, bytes).unwrap();
        read(RegularFile::open(&path).unwrap()).map_err(|error| error.to_string())
    }

    fn columns() -> Vec<(&'static str, ArrayRef)> {
        let field = |name: &str| Arc::new(Field::new(name, DataType::Int32, true));
        let number = |number| Arc::new(Int32Array::from(vec![number, Some(2)])) as ArrayRef;
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
        vec![
            ("z", Arc::new(StringArray::from(vec![Some("it's"), None]))),
            ("a", Arc::new(StructArray::from(vec![(field("y"), number(None)), (field("b"), number(Some(-1)))]))),
            ("list", Arc::new(lists)),
            ("kind", Arc::new(["x", "y"].into_iter().collect::<DictionaryArray<Int32Type>>())),
            ("part", Arc::new(Float32Array::from(vec![0.5, 2.0]))),
        ]
    }

    #[test]
    fn columns_and_fields_keep_their_order_and_types() {
        let shown: Vec<String> =
            documents(&written(columns())).unwrap().into_iter().map(|row| Value::Dict(row).repr()).collect();
        assert_eq!(
            shown,
            [
                "{'z': \"it's\", 'a': {'y': None, 'b': -1}, 'list': [1, None], 'kind': 'x', 'part': 0.5}",
                "{'z': None, 'a': {'y': 2, 'b': 2}, 'list': None, 'kind': 'y', 'part': 2.0}",
            ]
        );
        let time = written(vec![("when", Arc::new(TimestampSecondArray::from(vec![1])))]);
        let said = documents(&time).unwrap_err();
        assert!(said.contains("column \"when\": values of the type Timestamp"), "{said}");
    }

    #[test]
    fn damaged_files_are_errors() {
        let whole = written(columns());
        for cut in (0..whole.len()).step_by(11) {
            documents(&whole[..cut]).unwrap_err();
        }
        for at in (0..whole.len()).step_by(5) {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            drop(documents(&changed));
        }
    }
}

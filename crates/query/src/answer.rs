//! The answer to a query, and its output formats.

mod table;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Float64Type, Schema, SchemaRef, UInt64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;
use datafusion::parquet::arrow::ArrowWriter;
use retrace_spec::guard;
use retrace_tables::with_checksums;
use serde::ser::{Error as _, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::QueryError;

pub use table::Fitted;

/// Rows and columns.
#[derive(Debug, Clone)]
pub struct Answer {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as Arrow names it: `UInt64`, `Utf8`.
    pub kind: String,
    /// Whether it contains numbers.
    pub numeric: bool,
}

/// The format in which an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns, for display.
    Table,
    /// Comma-separated values (RFC 4180, with line feeds).
    Csv,
    /// An array of objects, keys sorted.
    Json,
    /// Parquet.
    Parquet,
}

impl Answer {
    /// An answer from these rows, for which the plan has that schema. If a plan says text, its batches may use
    /// different text types, and not all the same.
    pub(crate) fn new(schema: &Schema, batches: Vec<RecordBatch>) -> Result<Self, DataFusionError> {
        let plain = |field: &Field| match field.data_type() {
            DataType::Utf8View | DataType::LargeUtf8 => field.clone().with_data_type(DataType::Utf8),
            _ => field.clone(),
        };
        let fields: Fields = schema.fields().iter().map(|field| plain(field)).collect();
        let schema = Arc::new(Schema::new(fields));
        let fitted = |batch: RecordBatch| {
            let columns = batch.columns().iter().zip(schema.fields());
            let columns = columns.map(|(column, field)| cast(column, field.data_type())).collect::<Result<_, _>>()?;
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        };
        let batches = batches.into_iter().map(fitted).collect::<Result<_, _>>()?;
        Ok(Self { schema, batches })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Its columns.
    pub fn columns(&self) -> Vec<Column> {
        let column = |field: &Arc<Field>| Column {
            name: field.name().clone(),
            kind: field.data_type().to_string(),
            numeric: field.data_type().is_numeric(),
        };
        self.schema.fields().iter().map(column).collect()
    }

    /// The answer's bytes. Floats are written as the shortest decimal that is read back to the same bits.
    ///
    /// # Errors
    /// If a value cannot be written in this format.
    pub fn write(&self, format: Format) -> Result<Vec<u8>, QueryError> {
        guard(|| self.bytes(format))?
    }

    fn bytes(&self, format: Format) -> Result<Vec<u8>, QueryError> {
        match format {
            Format::Table => Ok(self.table(None, None)?.text.into_bytes()),
            Format::Csv => Ok(self.csv()?.into_bytes()),
            Format::Json => {
                let mut json = serde_json::to_vec_pretty(self).map_err(|e| QueryError::Runtime(e.into()))?;
                json.push(b'\n');
                Ok(json)
            }
            Format::Parquet => {
                let mut bytes = Vec::new();
                let mut writer = ArrowWriter::try_new(&mut bytes, self.schema.clone(), None)?;
                // Otherwise the division of the rows into batches would be visible in the file's pages.
                writer.write(&concat_batches(&self.schema, &self.batches)?)?;
                writer.close()?;
                Ok(with_checksums(bytes)?)
            }
        }
    }

    /// Every value of the first `most` rows as text, row by row; `None` for null.
    fn cells(&self, most: usize) -> Result<Vec<Vec<Option<String>>>, QueryError> {
        let mut rows = Vec::new();
        for batch in &self.batches {
            let columns = formatters(batch)?;
            for row in 0..batch.num_rows().min(most - rows.len()) {
                let cell = |(at, column): (usize, &ArrayFormatter<'_>)| {
                    (!batch.column(at).is_null(row)).then(|| column.value(row).to_string())
                };
                rows.push(columns.iter().enumerate().map(cell).collect());
            }
        }
        Ok(rows)
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.schema.fields().iter().map(|field| field.name())
    }

    fn csv(&self) -> Result<String, QueryError> {
        let mut out = String::new();
        for (at, name) in self.names().enumerate() {
            cell(&mut out, at, |out| out.push_str(name));
        }
        out.push('\n');
        for batch in &self.batches {
            let columns = formatters(batch)?;
            for row in 0..batch.num_rows() {
                for (at, column) in columns.iter().enumerate() {
                    // Null is written as an empty text; writing to a string cannot fail.
                    cell(&mut out, at, |out| {
                        let _ = write!(out, "{}", column.value(row));
                    });
                }
                out.push('\n');
            }
        }
        Ok(out)
    }

    fn column(
        &self,
        name: &str,
        to: &DataType,
        kind: &'static str,
    ) -> Result<datafusion::arrow::array::ArrayRef, QueryError> {
        let all = concat_batches(&self.schema, &self.batches)?;
        let missing = || QueryError::Column { name: name.to_owned(), kind };
        let column = all.column_by_name(name).ok_or_else(missing)?;
        cast(column, to).map_err(|_| missing())
    }

    /// A column of numbers; null is NaN.
    ///
    /// # Errors
    /// If there is no such column of numbers.
    pub fn floats(&self, name: &str) -> Result<Vec<f64>, QueryError> {
        let column = self.column(name, &DataType::Float64, "numbers")?;
        Ok(column.as_primitive::<Float64Type>().iter().map(|value| value.unwrap_or(f64::NAN)).collect())
    }

    /// A column of integers; null is `None`.
    ///
    /// # Errors
    /// If there is no such column of integers.
    pub fn numbers(&self, name: &str) -> Result<Vec<Option<u64>>, QueryError> {
        let column = self.column(name, &DataType::UInt64, "whole numbers")?;
        Ok(column.as_primitive::<UInt64Type>().iter().collect())
    }

    /// A column as text; null is empty.
    ///
    /// # Errors
    /// If there is no such column.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, QueryError> {
        let column = self.column(name, &DataType::Utf8, "text")?;
        Ok(column.as_string::<i32>().iter().map(|value| value.unwrap_or_default().to_owned()).collect())
    }
}

/// The rows as objects, keys sorted. Numbers and booleans keep their type, null is null, and anything else is text.
impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // If two columns have the same name, the last is used.
        let names: BTreeMap<&String, usize> = self.names().enumerate().map(|(at, name)| (name, at)).collect();
        let mut rows = serializer.serialize_seq(Some(self.rows()))?;
        for batch in &self.batches {
            let columns = formatters(batch).map_err(S::Error::custom)?;
            for row in 0..batch.num_rows() {
                let value = |at: usize| {
                    let (array, column) = (batch.columns().get(at)?, columns.get(at)?);
                    (!array.is_null(row)).then(|| as_json(array.data_type(), column.value(row).to_string()))
                };
                rows.serialize_element(&Row(names.iter().map(|(name, at)| (*name, value(*at))).collect()))?;
            }
        }
        rows.end()
    }
}

/// The cells of a row by the names of their columns.
struct Row<'a>(Vec<(&'a String, Option<serde_json::Value>)>);

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

fn as_json(kind: &DataType, cell: String) -> serde_json::Value {
    if kind.is_numeric() || *kind == DataType::Boolean {
        serde_json::from_str(&cell).unwrap_or(serde_json::Value::String(cell))
    } else {
        serde_json::Value::String(cell)
    }
}

fn formatters(batch: &RecordBatch) -> Result<Vec<ArrayFormatter<'_>>, ArrowError> {
    const PLAIN: FormatOptions<'_> = FormatOptions::new();
    batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &PLAIN)).collect()
}

/// Appends the cell of column `at` to a line of comma-separated values.
fn cell(out: &mut String, at: usize, write: impl FnOnce(&mut String)) {
    if at > 0 {
        out.push(',');
    }
    let begin = out.len();
    write(out);
    if out.as_bytes().iter().skip(begin).any(|byte| matches!(byte, b'"' | b',' | b'\n' | b'\r')) {
        let quoted = format!("\"{}\"", out.split_off(begin).replace('"', "\"\""));
        out.push_str(&quoted);
    }
}

//! The answer to a query, and how it is written.

mod table;

use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{DataType, Field, Fields, Float64Type, Schema, SchemaRef, UInt64Type};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::DataFusionError;
use datafusion::parquet::arrow::ArrowWriter;

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
    /// What it holds, as Arrow calls it: `UInt64`, `Utf8`.
    pub kind: String,
    /// Whether it holds numbers.
    pub numeric: bool,
}

/// How an answer can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Columns for people.
    Table,
    /// Comma-separated values (RFC 4180, with line feeds).
    Csv,
    /// An array of objects, keys sorted.
    Json,
    /// Parquet.
    Parquet,
}

impl Answer {
    /// Of these rows, which the plan said would have that schema. Where a plan says text, its parts may
    /// hold it in other ways, and not all in one.
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

    /// How many rows there are.
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

    /// The answer's bytes. Floats are written as the shortest decimal that is read back to the bit.
    ///
    /// # Errors
    /// If a value cannot be written so.
    pub fn write(&self, format: Format) -> Result<Vec<u8>, QueryError> {
        match format {
            Format::Table => Ok(self.table(None, None)?.text.into_bytes()),
            Format::Csv => Ok(self.csv()?.into_bytes()),
            Format::Json => {
                let mut json = serde_json::to_vec_pretty(&self.json()?).map_err(|e| QueryError::Runtime(e.into()))?;
                json.push(b'\n');
                Ok(json)
            }
            Format::Parquet => {
                let mut bytes = Vec::new();
                let mut writer = ArrowWriter::try_new(&mut bytes, self.schema.clone(), None)?;
                // How the rows came in batches would show in the file's pages.
                writer.write(&concat_batches(&self.schema, &self.batches)?)?;
                writer.close()?;
                Ok(bytes)
            }
        }
    }

    /// Every value of the first `most` rows as text, row by row; `None` for null.
    fn cells(&self, most: usize) -> Result<Vec<Vec<Option<String>>>, QueryError> {
        let options = FormatOptions::default();
        let mut rows = Vec::new();
        for batch in &self.batches {
            let columns: Vec<ArrayFormatter<'_>> = batch
                .columns()
                .iter()
                .map(|column| ArrayFormatter::try_new(column, &options))
                .collect::<Result<_, _>>()?;
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
        let quoted = |cell: &str| match cell.contains(['"', ',', '\n', '\r']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell.to_owned(),
        };
        let mut out = self.names().map(|name| quoted(name)).collect::<Vec<_>>().join(",");
        out.push('\n');
        for row in self.cells(usize::MAX)? {
            let cells: Vec<String> = row.iter().map(|cell| cell.as_deref().map(quoted).unwrap_or_default()).collect();
            out.push_str(&cells.join(","));
            out.push('\n');
        }
        Ok(out)
    }

    /// The rows as objects. Numbers and truth values stay what they are, null is null, and anything
    /// else is text.
    ///
    /// # Errors
    /// If a value has no such form.
    pub fn json(&self) -> Result<serde_json::Value, QueryError> {
        let names: Vec<&String> = self.names().collect();
        let types: Vec<&DataType> = self.schema.fields().iter().map(|field| field.data_type()).collect();
        let value = |kind: &DataType, cell: Option<String>| match cell {
            None => serde_json::Value::Null,
            Some(cell) if kind.is_numeric() || *kind == DataType::Boolean => {
                serde_json::from_str(&cell).unwrap_or(serde_json::Value::String(cell))
            }
            Some(cell) => serde_json::Value::String(cell),
        };
        let rows = self.cells(usize::MAX)?.into_iter().map(|row| {
            let pairs =
                names.iter().zip(&types).zip(row).map(|((name, kind), cell)| ((*name).clone(), value(kind, cell)));
            let sorted: std::collections::BTreeMap<String, serde_json::Value> = pairs.collect();
            serde_json::Value::Object(sorted.into_iter().collect())
        });
        Ok(serde_json::Value::Array(rows.collect()))
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

    /// A column of whole numbers; null is `None`.
    ///
    /// # Errors
    /// If there is no such column of whole numbers.
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

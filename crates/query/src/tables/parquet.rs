//! Rows as Parquet.
//!
//! Rows are sorted before they are written, and the file names no clock, machine or version of a
//! library, so the same rows are the same bytes.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Float64Array, RecordBatch, RecordBatchReader, StringArray, UInt64Array,
};
use datafusion::arrow::compute::{
    SortColumn, concat_batches, filter_record_batch, lexsort_to_indices, take_record_batch,
};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use retrace_files::{FileError, write_whole};
use retrace_spec::{Digest, Step, Tokens};

use crate::QueryError;

/// A kind of row, and the table it makes.
pub trait Row: Sized {
    /// The table's name, and its file's: `NAME.parquet`.
    const TABLE: &'static str;
    /// The columns of some rows.
    fn columns(rows: &[Self]) -> Vec<(&'static str, ArrayRef)>;
}

/// What can stand in a column.
pub trait Cell: Sized {
    /// A column of such cells.
    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef
    where
        Self: 'a;
}

/// A cell, and the same where it may be missing, as an array of its values.
macro_rules! cell {
    ($($cell:ty => $array:ident, |$value:ident| $as:expr;)*) => {$(
        impl Cell for $cell {
            fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
                Arc::new($array::from_iter(cells.map(|$value| Some($as))))
            }
        }

        impl Cell for Option<$cell> {
            fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef {
                Arc::new($array::from_iter(cells.map(|cell| cell.as_ref().map(|$value| $as))))
            }
        }
    )*};
}

cell! {
    String => StringArray, |text| text.as_str();
    Digest => StringArray, |digest| digest.to_string();
    bool => BooleanArray, |truth| *truth;
    u64 => UInt64Array, |number| *number;
    Step => UInt64Array, |step| step.get();
    Tokens => UInt64Array, |tokens| tokens.get();
    f64 => Float64Array, |number| *number;
}

/// Writes `rows`, sorted by their columns from left to right, to the table's file in `directory`.
///
/// # Errors
/// If the disk does not take them.
pub fn write<R: Row>(directory: &Path, rows: &[R]) -> Result<Digest, QueryError> {
    write_batch(&file::<R>(directory), &batch(rows)?)
}

/// Puts `rows` into the table's file in `directory`: the rows that it has of these releases and
/// sources make place for them, and all others stay. No file is made for no rows.
///
/// # Errors
/// If the file there is no such table, or the disk does not take the new one.
pub fn merge<R: Row>(directory: &Path, sources: &BTreeSet<(String, String)>, rows: &[R]) -> Result<(), QueryError> {
    let path = file::<R>(directory);
    let new = batch(rows)?;
    let schema = new.schema();
    let mut batches = Vec::new();
    if path.exists() {
        for old in read_batches(&path)? {
            if old.schema().fields() != schema.fields() {
                let what = format!("it has other columns than the table {}", R::TABLE);
                return Err(FileError::Name { path, what }.into());
            }
            batches.push(without(&old, sources)?);
        }
    } else if rows.is_empty() {
        return Ok(());
    }
    batches.push(new);
    write_batch(&path, &concat_batches(&schema, &batches)?)?;
    Ok(())
}

fn file<R: Row>(directory: &Path) -> PathBuf {
    directory.join(format!("{}.parquet", R::TABLE))
}

fn batch<R: Row>(rows: &[R]) -> Result<RecordBatch, QueryError> {
    let columns = R::columns(rows).into_iter().map(|(name, column)| (name, column, true));
    Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
}

/// The rows that are of none of these releases and sources.
fn without(batch: &RecordBatch, sources: &BTreeSet<(String, String)>) -> Result<RecordBatch, QueryError> {
    let text = |name| batch.column_by_name(name).and_then(|column| column.as_any().downcast_ref::<StringArray>());
    let (Some(releases), Some(names)) = (text("release"), text("source")) else { return Ok(batch.clone()) };
    let replaced: HashSet<(&str, &str)> = sources.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let stays = |(release, source): (Option<&str>, Option<&str>)| match (release, source) {
        (Some(release), Some(source)) => Some(!replaced.contains(&(release, source))),
        _ => Some(true),
    };
    let stays: BooleanArray = releases.iter().zip(names.iter()).map(stays).collect();
    Ok(filter_record_batch(batch, &stays)?)
}

fn write_batch(path: &Path, batch: &RecordBatch) -> Result<Digest, QueryError> {
    let batch = sorted(batch)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_created_by("retrace".to_owned())
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(write_whole(path, &bytes)?)
}

/// The batches of a Parquet file, the first of which is empty and has its columns.
pub(crate) fn read_batches(path: &Path) -> Result<Vec<RecordBatch>, QueryError> {
    let refuse =
        |what: String| FileError::Name { path: path.to_owned(), what: format!("it is not a Parquet table: {what}") };
    let file = std::fs::File::open(path).map_err(FileError::io(path, "open"))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| refuse(e.to_string()))?.build()?;
    let mut batches = vec![RecordBatch::new_empty(RecordBatchReader::schema(&reader))];
    for batch in reader {
        batches.push(batch.map_err(|e| refuse(e.to_string()))?);
    }
    Ok(batches)
}

/// The rows by their columns, from left to right: null first, then text by its bytes and numbers by
/// their total order.
fn sorted(batch: &RecordBatch) -> Result<RecordBatch, QueryError> {
    let columns = batch.columns().iter().map(|column| SortColumn { values: Arc::clone(column), options: None });
    let order = lexsort_to_indices(&columns.collect::<Vec<_>>(), None)?;
    Ok(take_record_batch(batch, &order)?)
}

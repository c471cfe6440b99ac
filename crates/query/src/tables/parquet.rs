//! Rows as Parquet.
//!
//! Rows are sorted before they are written, and the file names no clock, machine or version of a
//! library, so the same rows are the same bytes.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, UInt64Array};
use datafusion::arrow::compute::{SortColumn, lexsort_to_indices, take_record_batch};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use retrace_files::write_whole;
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
    let columns = R::columns(rows).into_iter().map(|(name, column)| (name, column, true));
    let batch = sorted(&RecordBatch::try_from_iter_with_nullable(columns)?)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_created_by("retrace".to_owned())
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(write_whole(&directory.join(format!("{}.parquet", R::TABLE)), &bytes)?)
}

/// The rows by their columns, from left to right: null first, then text by its bytes and numbers by
/// their total order.
fn sorted(batch: &RecordBatch) -> Result<RecordBatch, QueryError> {
    let columns = batch.columns().iter().map(|column| SortColumn { values: Arc::clone(column), options: None });
    let order = lexsort_to_indices(&columns.collect::<Vec<_>>(), None)?;
    Ok(take_record_batch(batch, &order)?)
}

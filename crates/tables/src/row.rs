//! A row of a table, and many rows column by column.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float64Array, RecordBatch, StringArray, StringDictionaryBuilder,
    UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type};
use retrace_spec::{Digest, Step, Tokens};

use crate::TablesError;

/// A kind of row, and the table it makes.
pub trait Row: Sized {
    /// The table's name, and its file's: `NAME.parquet`.
    const TABLE: &'static str;
    /// The columns, all at the end, that a file has only if a row has a value in them.
    const LATER: &'static [&'static str];
    /// The columns of some rows.
    fn columns(rows: &[Self]) -> Vec<(&'static str, ArrayRef)>;
}

/// A value that can be in a column.
pub trait Cell: Sized {
    /// A column of such cells.
    fn column<'a>(cells: impl Iterator<Item = &'a Self>) -> ArrayRef
    where
        Self: 'a;
}

/// Texts, each stored once.
struct Texts;

impl Texts {
    fn from_iter<'a>(cells: impl Iterator<Item = Option<&'a str>>) -> DictionaryArray<Int32Type> {
        // Many files have few rows, and each of them columns.
        let mut column = StringDictionaryBuilder::with_capacity(cells.size_hint().0, 16, 256);
        let mut cells = cells.peekable();
        // Neighbours are often the same: the rows of a file have the same release, source and run.
        while let Some(cell) = cells.next() {
            let mut times = 1;
            while cells.next_if_eq(&cell).is_some() {
                times += 1;
            }
            column.append_options(cell, times);
        }
        column.finish()
    }
}

/// A cell, and the same if it may be missing, as an array of its values.
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
    String => Texts, |text| text.as_str();
    Digest => StringArray, |digest| digest.to_string();
    bool => BooleanArray, |truth| *truth;
    u64 => UInt64Array, |number| *number;
    Step => UInt64Array, |step| step.get();
    Tokens => UInt64Array, |tokens| tokens.get();
    f64 => Float64Array, |number| *number;
}

/// Rows of a table, column by column, which use less memory than the rows themselves.
#[derive(Debug, Clone)]
pub struct Batch<R> {
    pub(crate) columns: RecordBatch,
    row: PhantomData<R>,
}

impl<R: Row> Batch<R> {
    /// From these rows.
    ///
    /// # Errors
    /// If there are more than Arrow can hold.
    pub fn of(rows: &[R]) -> Result<Self, TablesError> {
        let columns = R::columns(rows).into_iter().map(|(name, column)| (name, column, true));
        Ok(Self { columns: RecordBatch::try_from_iter_with_nullable(columns)?, row: PhantomData })
    }

    /// Its columns, as they are in the table's file.
    ///
    /// # Errors
    /// Never: a text can be written.
    pub fn into_columns(self) -> Result<RecordBatch, TablesError> {
        let plain = |column: &ArrayRef| match column.data_type() {
            DataType::Dictionary(_, texts) => cast(column, texts),
            _ => Ok(Arc::clone(column)),
        };
        let columns = self.columns.columns().iter().map(plain).collect::<Result<Vec<_>, _>>()?;
        let names = self.columns.schema();
        let names = names.fields().iter().map(|field| field.name());
        let columns = names.zip(columns).map(|(name, column)| (name, column, true));
        Ok(RecordBatch::try_from_iter_with_nullable(columns)?)
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.columns.num_rows()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

//! Sorts the rows of a table: by its columns from left to right, null first, then text by its bytes and numbers by
//! their total order.
//!
//! Most texts of a table occur many times: names of runs, tasks and files, positions in files. Each is stored once,
//! and a row has its rank. A row is then a few small numbers, packed into one or two of 128 bits that sort in the
//! order of the rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, RecordBatch, StringArray, StringBuilder, UInt64Array};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, Float64Type, Int32Type, SchemaRef, UInt64Type};
use arrow::error::ArrowError;
use hashbrown::HashMap;
use rayon::prelude::*;

/// Rows of batches, in order.
pub(crate) struct Ordered<'a> {
    schema: SchemaRef,
    columns: Vec<Column<'a>>,
    order: Vec<u64>,
}

enum Column<'a> {
    /// The texts in order, and for each row the index of its text counted from 1; 0 is null.
    Texts { texts: Vec<&'a str>, ranks: Vec<u32> },
    /// Integers, floats or booleans.
    Values(ArrayRef),
}

/// Texts as Arrow's dictionaries, from which [`Ordered`] reads them.
pub(crate) fn texts_once(batch: &RecordBatch) -> Result<Vec<ArrayRef>, ArrowError> {
    let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let once = |column: &ArrayRef| match column.data_type() {
        DataType::Utf8 => cast(column, &kind),
        _ => Ok(Arc::clone(column)),
    };
    batch.columns().iter().map(once).collect()
}

impl<'a> Ordered<'a> {
    /// From batches with the columns of `schema`, whose texts are those of [`texts_once`].
    pub(crate) fn new(schema: SchemaRef, batches: &'a [Vec<ArrayRef>]) -> Result<Self, ArrowError> {
        let column = |at: usize| Column::of(batches.iter().filter_map(|batch| batch.get(at)).collect());
        let columns = (0..schema.fields().len()).into_par_iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let order = order(&columns);
        Ok(Self { schema, columns, order })
    }

    /// The rows in order, this many at a time.
    pub(crate) fn batches(&self, rows: usize) -> impl Iterator<Item = Result<RecordBatch, ArrowError>> {
        // A table without rows has one batch, with its columns.
        let none = self.order.is_empty().then_some(&[][..]);
        self.order.chunks(rows).chain(none).map(|rows| {
            let columns = self.columns.iter().map(|column| column.rows(rows)).collect::<Result<_, _>>()?;
            RecordBatch::try_new(Arc::clone(&self.schema), columns)
        })
    }
}

impl<'a> Column<'a> {
    fn of(parts: Vec<&'a ArrayRef>) -> Result<Self, ArrowError> {
        let Some(dictionaries) = parts.iter().map(|part| dictionary(part)).collect::<Option<Vec<_>>>() else {
            return Ok(Self::Values(concat(&parts.iter().map(|part| &***part).collect::<Vec<_>>())?));
        };
        let mut places: HashMap<&'a str, u32> = HashMap::default();
        let mut texts: Vec<&'a str> = Vec::new();
        let mut ranks = Vec::with_capacity(dictionaries.iter().map(|of| of.len()).sum());
        for of in dictionaries {
            let values: &'a StringArray = of.values().as_string();
            let places: Vec<u32> = (0..values.len())
                .map(|at| {
                    *places.entry(values.value(at)).or_insert_with(|| {
                        texts.push(values.value(at));
                        texts.len() as u32
                    })
                })
                .collect();
            ranks.extend(of.keys().iter().map(|key| key.map_or(0, |key| places[key as usize])));
        }
        let mut order: Vec<(&str, usize)> = texts.iter().copied().zip(0..).collect();
        order.par_sort_unstable();
        let mut rank_of = vec![0; texts.len() + 1];
        for (rank, (_, place)) in order.iter().enumerate() {
            rank_of[place + 1] = rank as u32 + 1;
        }
        ranks.iter_mut().for_each(|place| *place = rank_of[*place as usize]);
        Ok(Self::Texts { texts: order.into_iter().map(|(text, _)| text).collect(), ranks })
    }

    /// Numbers that sort in the order of the column, except for its nulls, which may have any number.
    fn keys(&self, keys: &mut Vec<u64>) {
        keys.clear();
        match self {
            Self::Texts { ranks, .. } => keys.extend(ranks.iter().map(|rank| u64::from(*rank))),
            Self::Values(values) => match values.data_type() {
                DataType::UInt64 => keys.extend(values.as_primitive::<UInt64Type>().values()),
                DataType::Float64 => keys.extend(values.as_primitive::<Float64Type>().values().iter().map(by_total)),
                _ => keys.extend(values.as_boolean().values().iter().map(u64::from)),
            },
        }
    }

    fn rows(&self, rows: &[u64]) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Texts { texts, ranks } => {
                let text = |row: &u64| texts.get((ranks[*row as usize] as usize).wrapping_sub(1)).copied();
                let mut column = StringBuilder::with_capacity(rows.len(), rows.len() * 32);
                rows.iter().for_each(|row| column.append_option(text(row)));
                Ok(Arc::new(column.finish()))
            }
            Self::Values(values) => take(values, &UInt64Array::from(rows.to_vec()), None),
        }
    }
}

fn dictionary(column: &ArrayRef) -> Option<&DictionaryArray<Int32Type>> {
    column.as_any().downcast_ref()
}

/// IEEE 754's total order as the order of integers.
fn by_total(value: &f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// The rows, sorted by their columns from left to right.
fn order(columns: &[Column<'_>]) -> Vec<u64> {
    let rows = columns.first().map_or(0, |column| match column {
        Column::Texts { ranks, .. } => ranks.len(),
        Column::Values(values) => values.len(),
    });
    let mut words = vec![vec![0u128; rows]];
    let mut used = 0;
    let mut pack = |keys: &[u64]| {
        let (least, most) = keys.iter().fold((u64::MAX, 0), |(least, most), key| (least.min(*key), most.max(*key)));
        let bits = 64 - most.saturating_sub(least).leading_zeros();
        if used + bits > 128 {
            words.push(vec![0; rows]);
            used = 0;
        }
        used += bits;
        if let Some(word) = words.last_mut().filter(|_| bits > 0) {
            word.iter_mut().zip(keys).for_each(|(word, key)| *word = *word << bits | u128::from(key - least));
        }
    };
    let mut keys = Vec::with_capacity(rows);
    for column in columns {
        if let Column::Values(values) = column
            && values.null_count() > 0
        {
            keys.clear();
            keys.extend((0..rows).map(|row| u64::from(values.is_valid(row))));
            pack(&keys);
            column.keys(&mut keys);
            keys.iter_mut().enumerate().filter(|(row, _)| values.is_null(*row)).for_each(|(_, key)| *key = 0);
        } else {
            column.keys(&mut keys);
        }
        pack(&keys);
    }
    let mut words = words.into_iter();
    let mut order: Vec<(u128, u64)> = words.next().unwrap_or_default().into_iter().zip(0..).collect();
    let rest: Vec<Vec<u128>> = words.collect();
    // Rows that are the same in all columns may be in any order.
    order.par_sort_unstable_by(|(a, at), (b, bt)| {
        let further =
            || rest.iter().map(|word| word[*at as usize].cmp(&word[*bt as usize])).find(|order| order.is_ne());
        a.cmp(b).then_with(|| further().unwrap_or(std::cmp::Ordering::Equal))
    });
    order.into_iter().map(|(_, row)| row).collect()
}

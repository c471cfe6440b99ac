//! Makes a DataFusion aggregate from a statistic over rows: for all rows, by group, or over a sliding window.
//!
//! A [`Statistic`] adds rows, removes rows, and merges; [`One`] and [`Groups`] do the rest. Rows with a null
//! argument are ignored. The state that is sent between partitions is one column of bytes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, LargeBinaryArray, LargeBinaryBuilder, new_empty_array,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_datafusion_err};
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};

use super::exact::take;

/// A statistic over rows of `N` numbers. It must not depend on the order of its rows.
pub(super) trait Statistic<const N: usize>: std::fmt::Debug + Clone + Default + Send + Sync + 'static {
    /// Adds a row.
    fn add(&mut self, row: [f64; N]);

    /// Removes a row that was added.
    fn remove(&mut self, row: [f64; N]);

    /// Adds many rows, given as columns of equal length.
    fn add_all(&mut self, columns: [&[f64]; N]) {
        for at in 0..columns[0].len() {
            self.add(columns.map(|column| column[at]));
        }
    }

    /// Adds all rows of another.
    fn merge(&mut self, other: Self);

    /// Appends it as bytes.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads it from the start of `bytes`, which then begins after it.
    fn read(bytes: &mut &[u8]) -> Option<Self>;

    /// Heap bytes that it uses.
    fn heap(&self) -> usize;
}

/// The function that computes the result of a statistic.
pub(super) enum Reading<S> {
    /// A number, or null.
    Number(fn(&S) -> Option<f64>),
    /// A different result, or an error.
    Value(fn(&S) -> Result<ScalarValue>),
}

impl<S> Clone for Reading<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Reading<S> {}

impl<S> Reading<S> {
    fn one(self, of: &S, to: &DataType) -> Result<ScalarValue> {
        match self {
            Self::Number(read) => ScalarValue::Float64(read(of)).cast_to(to),
            Self::Value(read) => read(of)?.cast_to(to),
        }
    }
}

/// A statistic, or a value that is converted to one: of the distinct rows.
pub(super) trait Becomes<S: Clone> {
    fn settled(&self) -> Cow<'_, S>;
}

impl<S: Clone> Becomes<S> for S {
    fn settled(&self) -> Cow<'_, S> {
        Cow::Borrowed(self)
    }
}

/// The statistic of distinct rows: each with its number of occurrences. Zeros of both signs are one number, and so are
/// all NaNs.
#[derive(Debug, Clone)]
pub(super) struct Distinct<S, const N: usize> {
    rows: HashMap<[u64; N], u64>,
    of: std::marker::PhantomData<S>,
}

impl<S, const N: usize> Default for Distinct<S, N> {
    fn default() -> Self {
        Self { rows: HashMap::new(), of: std::marker::PhantomData }
    }
}

fn key(x: f64) -> u64 {
    if x.is_nan() { f64::NAN.to_bits() } else { (x + 0.0).to_bits() }
}

impl<S: Statistic<N>, const N: usize> Statistic<N> for Distinct<S, N> {
    fn add(&mut self, row: [f64; N]) {
        *self.rows.entry(row.map(key)).or_default() += 1;
    }

    fn remove(&mut self, row: [f64; N]) {
        let row = row.map(key);
        if let Some(count) = self.rows.get_mut(&row) {
            *count -= 1;
            if *count == 0 {
                self.rows.remove(&row);
            }
        }
    }

    fn merge(&mut self, other: Self) {
        for (row, count) in other.rows {
            let sum = self.rows.entry(row).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend((self.rows.len() as u64).to_le_bytes());
        for (row, count) in &self.rows {
            out.extend(row.iter().chain([count]).flat_map(|word| word.to_le_bytes()));
        }
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let mut read = Self::default();
        for _ in 0..u64::from_le_bytes(take(bytes)?) {
            let mut row = [0; N];
            for word in &mut row {
                *word = u64::from_le_bytes(take(bytes)?);
            }
            read.rows.insert(row, u64::from_le_bytes(take(bytes)?).max(1));
        }
        Some(read)
    }

    fn heap(&self) -> usize {
        self.rows.capacity() * (size_of::<([u64; N], u64)>() + 1)
    }
}

impl<S: Statistic<N>, const N: usize> Becomes<S> for Distinct<S, N> {
    fn settled(&self) -> Cow<'_, S> {
        let mut of = S::default();
        self.rows.keys().for_each(|row| of.add(row.map(f64::from_bits)));
        Cow::Owned(of)
    }
}

/// The argument columns as numbers.
fn columns<const N: usize>(values: &[ArrayRef]) -> Result<[Float64Array; N]> {
    let columns = values.iter().map(|column| match column.as_primitive_opt::<Float64Type>() {
        Some(column) => Ok(column.clone()),
        None => Ok(cast(column, &DataType::Float64)?.as_primitive::<Float64Type>().clone()),
    });
    let columns: Vec<Float64Array> = columns.collect::<Result<_>>()?;
    columns.try_into().map_err(|_| exec_datafusion_err!("an aggregate was given {} columns, not {N}", values.len()))
}

/// Calls `each` for every row without a null, with its number.
fn rows<const N: usize>(columns: &[Float64Array; N], mut each: impl FnMut(usize, [f64; N])) {
    let values = columns.each_ref().map(|column| column.values().as_ref());
    let full = columns.iter().all(|column| column.null_count() == 0);
    for at in 0..values.first().map_or(0, |column| column.len()) {
        if full || columns.iter().all(|column| column.is_valid(at)) {
            each(at, values.map(|column| column[at]));
        }
    }
}

fn read<const N: usize, S: Statistic<N>>(bytes: &[u8]) -> Result<S> {
    let mut rest = bytes;
    S::read(&mut rest)
        .filter(|_| rest.is_empty())
        .ok_or_else(|| exec_datafusion_err!("the state of an aggregate, {} bytes, is not one", bytes.len()))
}

fn states(values: &[ArrayRef]) -> Result<&LargeBinaryArray> {
    let states = values.first().and_then(|states| states.as_binary_opt::<i64>());
    states.ok_or_else(|| exec_datafusion_err!("the states of an aggregate are not bytes"))
}

/// One statistic of all rows, or of those in a window.
pub(super) struct One<T, S, const N: usize> {
    state: T,
    reading: Reading<S>,
    to: DataType,
}

impl<T, S, const N: usize> One<T, S, N>
where
    T: Statistic<N> + Becomes<S>,
    S: Clone,
{
    pub(super) fn new(reading: Reading<S>, to: DataType) -> Self {
        Self { state: T::default(), reading, to }
    }
}

impl<T: std::fmt::Debug, S, const N: usize> std::fmt::Debug for One<T, S, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.state.fmt(f)
    }
}

impl<T, S, const N: usize> Accumulator for One<T, S, N>
where
    T: Statistic<N> + Becomes<S>,
    S: Clone + 'static,
{
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let columns = columns::<N>(values)?;
        if columns.iter().all(|column| column.null_count() == 0) {
            self.state.add_all(columns.each_ref().map(|column| column.values().as_ref()));
        } else {
            rows(&columns, |_, row| self.state.add(row));
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        rows(&columns::<N>(values)?, |_, row| self.state.remove(row));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for bytes in states(values)?.iter().flatten() {
            self.state.merge(read::<N, T>(bytes)?);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut bytes = Vec::new();
        self.state.write(&mut bytes);
        Ok(vec![ScalarValue::LargeBinary(Some(bytes))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.reading.one(&self.state.settled(), &self.to)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.state.heap()
    }
}

/// A statistic for each of many groups.
pub(super) struct Groups<T, S, const N: usize> {
    groups: Vec<T>,
    heap: usize,
    reading: Reading<S>,
    to: DataType,
}

impl<T, S, const N: usize> Groups<T, S, N>
where
    T: Statistic<N> + Becomes<S>,
    S: Clone,
{
    pub(super) const fn new(reading: Reading<S>, to: DataType) -> Self {
        Self { groups: Vec::new(), heap: 0, reading, to }
    }

    fn emit(&mut self, emit_to: EmitTo) -> Vec<T> {
        let emitted = emit_to.take_needed(&mut self.groups);
        self.heap = self.heap.saturating_sub(emitted.iter().map(T::heap).sum());
        emitted
    }
}

/// Bytes of each of `states`, as a column.
fn written<'a, const N: usize, T: Statistic<N>>(states: impl Iterator<Item = Option<&'a T>>) -> ArrayRef {
    let mut builder = LargeBinaryBuilder::new();
    let mut bytes = Vec::new();
    for state in states {
        match state {
            Some(state) => {
                bytes.clear();
                state.write(&mut bytes);
                builder.append_value(&bytes);
            }
            None => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}

impl<T, S, const N: usize> GroupsAccumulator for Groups<T, S, N>
where
    T: Statistic<N> + Becomes<S>,
    S: Clone + 'static,
{
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize_with(total_num_groups, T::default);
        let (groups, heap) = (&mut self.groups, &mut self.heap);
        rows(&columns::<N>(values)?, |at, row| {
            if opt_filter.is_none_or(|filter| filter.is_valid(at) && filter.value(at)) {
                let group = &mut groups[group_indices[at]];
                let before = group.heap();
                group.add(row);
                *heap += group.heap().saturating_sub(before);
            }
        });
        Ok(())
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.groups.resize_with(total_num_groups, T::default);
        for (bytes, group) in states(values)?.iter().zip(group_indices) {
            if let Some(bytes) = bytes {
                let group = &mut self.groups[*group];
                let before = group.heap();
                group.merge(read::<N, T>(bytes)?);
                self.heap += group.heap().saturating_sub(before);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = self.emit(emit_to);
        match self.reading {
            Reading::Number(read) => {
                let numbers: Float64Array = groups.iter().map(|group| read(&group.settled())).collect();
                Ok(cast(&numbers, &self.to)?)
            }
            Reading::Value(_) if groups.is_empty() => Ok(new_empty_array(&self.to)),
            Reading::Value(_) => {
                let values = groups.iter().map(|group| self.reading.one(&group.settled(), &self.to));
                ScalarValue::iter_to_array(values.collect::<Result<Vec<_>>>()?)
            }
        }
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![written(self.emit(emit_to).iter().map(Some))])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let columns = columns::<N>(values)?;
        let mut states: Vec<Option<T>> = vec![None; columns[0].len()];
        rows(&columns, |at, row| {
            if opt_filter.is_none_or(|filter| filter.is_valid(at) && filter.value(at)) {
                let mut state = T::default();
                state.add(row);
                states[at] = Some(state);
            }
        });
        Ok(vec![written(states.iter().map(Option::as_ref))])
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<T>() + self.heap
    }
}

/// Rows that are stored, for statistics that need them all.
#[derive(Debug, Clone)]
pub(super) struct Rows<const N: usize>(Vec<[f64; N]>);

impl<const N: usize> Default for Rows<N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<const N: usize> Statistic<N> for Rows<N> {
    fn add(&mut self, row: [f64; N]) {
        self.0.push(row);
    }

    fn remove(&mut self, row: [f64; N]) {
        if let Some(at) = self.0.iter().position(|other| other.map(f64::to_bits) == row.map(f64::to_bits)) {
            self.0.swap_remove(at);
        }
    }

    fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend((self.0.len() as u64).to_le_bytes());
        out.extend(self.0.iter().flatten().flat_map(|number| number.to_le_bytes()));
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let mut read = Self::default();
        for _ in 0..u64::from_le_bytes(take(bytes)?) {
            let mut row = [0.0; N];
            for number in &mut row {
                *number = f64::from_le_bytes(take(bytes)?);
            }
            read.add(row);
        }
        Some(read)
    }

    fn heap(&self) -> usize {
        self.0.capacity() * size_of::<[f64; N]>()
    }
}

impl<const N: usize> Rows<N> {
    /// The rows in the one order that does not depend on how they arrived: by their columns from left to right, each
    /// in the total order of IEEE 754.
    pub(super) fn sorted(&self) -> Vec<[f64; N]> {
        let mut rows = self.0.clone();
        rows.sort_unstable_by(|a, b| {
            a.iter()
                .zip(b)
                .map(|(a, b)| a.total_cmp(b))
                .find(|order| order.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        rows
    }
}

/// An error of the query's author, as a message for them.
pub(super) fn refused(words: impl Into<String>) -> DataFusionError {
    DataFusionError::Plan(words.into())
}

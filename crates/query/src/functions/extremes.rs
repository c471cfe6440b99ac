//! `min` and `max` of floats: NaN is left out, so the result is NaN only if there is nothing else; and −0 is less than
//! +0. DataFusion's functions keep the first of two equal zeros, so they depend on the order of the rows, and take NaN
//! for the greatest number; they are used for other types.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, FieldRef, Float64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
    StatisticsArgs,
};

use super::exact::take;
use super::statistic::{One, Reading, Statistic};

/// Both.
pub(super) fn all() -> Vec<AggregateUDF> {
    [(min_udaf(), false), (max_udaf(), true)]
        .map(|(original, greatest)| AggregateUDF::new_from_impl(Extreme { original, greatest }))
        .into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    original: Arc<AggregateUDF>,
    greatest: bool,
}

/// The greatest or the least number so far, for one group or many.
#[derive(Debug)]
struct Extremes {
    groups: Vec<Option<f64>>,
    greatest: bool,
    to: DataType,
}

impl Extreme {
    fn extremes(&self, args: &AccumulatorArgs, groups: usize) -> Option<Extremes> {
        let to = args.return_field.data_type();
        let extremes = || Extremes { groups: vec![None; groups], greatest: self.greatest, to: to.clone() };
        to.is_floating().then(extremes)
    }
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.original.name()
    }

    fn signature(&self) -> &Signature {
        self.original.signature()
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.original.coerce_types(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.original.return_type(types)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.original.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.extremes(&args, 1) {
            Some(extremes) => Ok(Box::new(extremes)),
            None => self.original.accumulator(args),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let to = args.return_field.data_type();
        if !to.is_floating() {
            return self.original.create_sliding_accumulator(args);
        }
        let reading = Reading::Number(if self.greatest { Numbers::greatest } else { Numbers::least });
        Ok(Box::new(One::<Numbers, Numbers, 1>::new(reading, to.clone())))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.extremes(&args, 0).is_some() || self.original.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match self.extremes(&args, 0) {
            Some(extremes) => Ok(Box::new(extremes)),
            None => self.original.create_groups_accumulator(args),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    /// After NaN, which is the result as long as there is nothing else, any number may follow.
    fn set_monotonicity(&self, to: &DataType) -> SetMonotonicity {
        match to.is_floating() {
            true => SetMonotonicity::NotMonotonic,
            false => self.original.inner().set_monotonicity(to),
        }
    }

    /// Parquet's statistics of floats omit NaN and have zeros of only one sign.
    fn value_from_stats(&self, args: &StatisticsArgs) -> Option<ScalarValue> {
        (!args.return_type.is_floating()).then(|| self.original.value_from_stats(args)).flatten()
    }
}

impl Extremes {
    fn take(
        &mut self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
        group: impl Fn(usize) -> usize,
    ) -> Result<()> {
        for values in values {
            let values = cast(values, &DataType::Float64)?;
            let values = values.as_primitive::<Float64Type>();
            for at in 0..values.len() {
                if values.is_null(at) || filter.is_some_and(|filter| filter.is_null(at) || !filter.value(at)) {
                    continue;
                }
                let (value, so_far) = (values.value(at), &mut self.groups[group(at)]);
                let further = |other: f64| match self.greatest {
                    true => value.total_cmp(&other).is_gt(),
                    false => value.total_cmp(&other).is_lt(),
                };
                if value.is_nan() {
                    so_far.get_or_insert(f64::NAN);
                } else if so_far.is_none_or(|other| other.is_nan() || further(other)) {
                    *so_far = Some(value);
                }
            }
        }
        Ok(())
    }

    fn column(&self, groups: Vec<Option<f64>>) -> Result<ArrayRef> {
        Ok(cast(&Float64Array::from(groups), &self.to)?)
    }
}

impl Accumulator for Extremes {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.take(values, None, |_| 0)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.take(states, None, |_| 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![Accumulator::evaluate(self)?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.column(self.groups.clone())?, 0)
    }

    fn size(&self) -> usize {
        GroupsAccumulator::size(self)
    }
}

impl GroupsAccumulator for Extremes {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.groups.resize(total_num_groups, None);
        self.take(values, opt_filter, |at| group_indices[at])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        GroupsAccumulator::update_batch(self, states, group_indices, None, total_num_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let groups = emit_to.take_needed(&mut self.groups);
        self.column(groups)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        Ok(vec![GroupsAccumulator::evaluate(self, emit_to)?])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let rows = values.first().map_or(0, |values| values.len());
        let mut each = Self { groups: vec![None; rows], greatest: self.greatest, to: self.to.clone() };
        each.take(values, opt_filter, |at| at)?;
        GroupsAccumulator::state(&mut each, EmitTo::All)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.groups.capacity() * size_of::<Option<f64>>()
    }
}

/// The numbers in a window, each with how often it occurs, from the least to the greatest; and how many NaNs.
#[derive(Debug, Clone, Default)]
struct Numbers {
    counts: BTreeMap<i64, u64>,
    nans: u64,
}

/// An integer that compares as the number does in IEEE 754's total order; of the integer, the same makes the number's
/// bits again.
fn ordered(bits: i64) -> i64 {
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

impl Numbers {
    fn greatest(&self) -> Option<f64> {
        self.number(self.counts.keys().next_back())
    }

    fn least(&self) -> Option<f64> {
        self.number(self.counts.keys().next())
    }

    fn number(&self, key: Option<&i64>) -> Option<f64> {
        let number = key.map(|key| f64::from_bits(ordered(*key) as u64));
        number.or_else(|| (self.nans > 0).then_some(f64::NAN))
    }
}

impl Statistic<1> for Numbers {
    fn add(&mut self, [x]: [f64; 1]) {
        if x.is_nan() {
            self.nans += 1;
        } else {
            *self.counts.entry(ordered(x.to_bits() as i64)).or_default() += 1;
        }
    }

    fn remove(&mut self, [x]: [f64; 1]) {
        if x.is_nan() {
            self.nans = self.nans.saturating_sub(1);
            return;
        }
        let key = ordered(x.to_bits() as i64);
        if let Some(count) = self.counts.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&key);
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.nans = self.nans.saturating_add(other.nans);
        for (key, count) in other.counts {
            let sum = self.counts.entry(key).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.nans.to_le_bytes());
        out.extend((self.counts.len() as u64).to_le_bytes());
        out.extend(self.counts.iter().flat_map(|(key, count)| [key.to_le_bytes(), count.to_le_bytes()]).flatten());
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let mut read = Self { nans: u64::from_le_bytes(take(bytes)?), ..Self::default() };
        for _ in 0..u64::from_le_bytes(take(bytes)?) {
            read.counts.insert(i64::from_le_bytes(take(bytes)?), u64::from_le_bytes(take(bytes)?).max(1));
        }
        Some(read)
    }

    fn heap(&self) -> usize {
        self.counts.len() * 2 * size_of::<(i64, u64)>()
    }
}

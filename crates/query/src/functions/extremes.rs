//! `min` and `max` of floats, by IEEE 754's total order: −0 is less than +0, and NaN is the greatest (the least, if
//! its sign is negative). DataFusion's functions keep the first of two equal zeros, so they depend on the order of the
//! rows; they are used for other types.

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
        let ours = matches!(to, DataType::Float16 | DataType::Float32 | DataType::Float64);
        ours.then(|| Extremes { groups: vec![None; groups], greatest: self.greatest, to: to.clone() })
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

    /// DataFusion's function compares by the total order here.
    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.original.create_sliding_accumulator(args)
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

    fn set_monotonicity(&self, to: &DataType) -> SetMonotonicity {
        self.original.inner().set_monotonicity(to)
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
                if so_far.is_none_or(further) {
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

//! `percentile_cont`, always computed from the sorted rows. DataFusion replaces `percentile_cont(0)` and
//! `percentile_cont(1)` by its own `min` and `max`, which are not ours: they take another number where there is NaN.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::functions_aggregate::percentile_cont::percentile_cont_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, Signature};

/// The function.
pub(super) fn all() -> [AggregateUDF; 1] {
    [AggregateUDF::new_from_impl(Percentile { original: percentile_cont_udaf() })]
}

/// DataFusion's function without its simplification.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Percentile {
    original: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for Percentile {
    fn name(&self) -> &str {
        self.original.name()
    }

    fn aliases(&self) -> &[String] {
        self.original.aliases()
    }

    fn signature(&self) -> &Signature {
        self.original.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.original.return_type(types)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.original.state_fields(args)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.original.accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.original.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.original.create_groups_accumulator(args)
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }
}

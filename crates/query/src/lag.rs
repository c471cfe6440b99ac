//! `lag(x)` over sorted rows, one batch at a time.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, new_null_array};
use datafusion::arrow::compute::{concat, nullif, partition};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::window::{StandardWindowExpr, WindowExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowUDFExpr};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputOrderMode, PhysicalExpr, PlanProperties,
};
use tokio_stream::StreamExt;

/// Uses [`Lag`] instead of DataFusion's operator for a window with nothing but `lag(x)`. DataFusion's computes each
/// value separately, which takes longer than the sort before it.
#[derive(Debug)]
pub(crate) struct QuickLag;

impl PhysicalOptimizerRule for QuickLag {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let quick = plan.transform_up(|node| match Lag::of(&node) {
            Some(lag) => Ok(Transformed::yes(Arc::new(lag) as _)),
            None => Ok(Transformed::no(node)),
        })?;
        Ok(quick.data)
    }

    fn name(&self) -> &str {
        "quick_lag"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Appends the values of the row before, null where a partition begins.
#[derive(Debug)]
struct Lag {
    /// DataFusion's operator, which has the same input, columns and order.
    original: Arc<dyn ExecutionPlan>,
    values: Vec<Arc<dyn PhysicalExpr>>,
    partition_by: Vec<Arc<dyn PhysicalExpr>>,
}

impl Lag {
    fn of(node: &Arc<dyn ExecutionPlan>) -> Option<Self> {
        let window = node.downcast_ref::<BoundedWindowAggExec>()?;
        let sorted = window.input_order_mode == InputOrderMode::Sorted;
        let values = window.window_expr().iter().map(lagged).collect::<Option<_>>().filter(|_| sorted)?;
        let partition_by = window.window_expr().first()?.partition_by().to_vec();
        Some(Self { original: Arc::clone(node), values, partition_by })
    }
}

/// The argument of a plain `lag(x)`: by one row, null before the first, without skipping nulls.
fn lagged(function: &Arc<dyn WindowExpr>) -> Option<Arc<dyn PhysicalExpr>> {
    let function = function.as_any().downcast_ref::<StandardWindowExpr>()?.get_standard_func_expr();
    let function = function.as_any().downcast_ref::<WindowUDFExpr>()?;
    let [value] = function.args() else { return None };
    // Only its debug output shows how nulls are treated. A reversed `lead` is a `lag` with the opposite sign.
    let shown = format!("{function:?}");
    let plain = shown.contains("ignore_nulls: false") && shown.contains("is_reversed: false");
    (function.fun().name() == "lag" && plain).then(|| Arc::clone(value))
}

impl DisplayAs for Lag {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let values: Vec<String> = self.values.iter().map(ToString::to_string).collect();
        let by: Vec<String> = self.partition_by.iter().map(ToString::to_string).collect();
        write!(f, "Lag: values=[{}], partition_by=[{}]", values.join(", "), by.join(", "))
    }
}

impl ExecutionPlan for Lag {
    fn name(&self) -> &'static str {
        "Lag"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.original.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.original.children()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.original.apply_expressions(f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let original = Arc::clone(&self.original).replace_children(children, options)?;
        Ok(match Self::of(&original) {
            Some(lag) => Arc::new(lag),
            None => original,
        })
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.children().into_iter().next();
        let input = input.ok_or_else(|| exec_datafusion_err!("lag of nothing"))?.execute(partition, context)?;
        let (values, partition_by, schema) = (self.values.clone(), self.partition_by.clone(), self.schema());
        let mut before = None;
        let rows = input.map(move |batch| after(&mut before, &batch?, &values, &partition_by, &schema));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

/// The last row of a batch: its partition, and its values.
type Row = (Vec<ArrayRef>, Vec<ArrayRef>);

/// `batch` with the values of the row before each, where `before` is the row before the first; it is set to the last
/// row.
fn after(
    before: &mut Option<Row>,
    batch: &RecordBatch,
    values: &[Arc<dyn PhysicalExpr>],
    partition_by: &[Arc<dyn PhysicalExpr>],
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let column = |expr: &Arc<dyn PhysicalExpr>| expr.evaluate(batch)?.into_array(rows);
    let keys: Vec<ArrayRef> = partition_by.iter().map(column).collect::<Result<_>>()?;
    let values: Vec<ArrayRef> = values.iter().map(column).collect::<Result<_>>()?;
    if rows == 0 {
        let columns = batch.columns().iter().cloned().chain(values);
        return Ok(RecordBatch::try_new(Arc::clone(schema), columns.collect())?);
    }
    let mut begins = vec![false; rows];
    if !keys.is_empty() {
        partition(&keys)?.ranges().into_iter().for_each(|range| begins[range.start] = true);
    }
    begins[0] = match &*before {
        Some((last, _)) => !same(last, &keys)?,
        None => true,
    };
    let begins = BooleanArray::from(begins);
    let mut columns = batch.columns().to_vec();
    for (at, value) in values.iter().enumerate() {
        let last = before.as_ref().and_then(|(_, values)| values.get(at).cloned());
        let last = last.unwrap_or_else(|| new_null_array(value.data_type(), 1));
        columns.push(nullif(&concat(&[&*last, &*value.slice(0, rows - 1)])?, &begins)?);
    }
    let last = |column: &ArrayRef| column.slice(rows - 1, 1);
    *before = Some((keys.iter().map(last).collect(), values.iter().map(last).collect()));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// Whether the row `last` is in the same partition as the first row of `keys`.
fn same(last: &[ArrayRef], keys: &[ArrayRef]) -> Result<bool> {
    if keys.is_empty() {
        return Ok(true);
    }
    let pair = |(a, b): (&ArrayRef, &ArrayRef)| concat(&[&**a, &*b.slice(0, 1)]);
    let both: Vec<ArrayRef> = last.iter().zip(keys).map(pair).collect::<Result<_, _>>()?;
    Ok(partition(&both)?.len() == 1)
}

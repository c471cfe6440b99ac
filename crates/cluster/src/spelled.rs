//! Makes the sorts before windows explicit.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::physical_expr::window::WindowExpr;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// A window's rows are sorted by all columns by which it is partitioned, including those that the query fixes to one
/// value (`where run = 'a'`). DataFusion leaves these out, because it knows that the rows are sorted by them anyway;
/// but the part of the plan that is sent to a worker does not contain the reason, and the worker refuses it.
#[derive(Debug)]
pub(crate) struct Spelled;

impl PhysicalOptimizerRule for Spelled {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        const RECOMPUTED: ReplaceChildrenOptions = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        let spelled = plan.transform_up(|node| match sorted(&node) {
            Some(input) => Ok(Transformed::yes(node.replace_children(vec![input], RECOMPUTED)?)),
            None => Ok(Transformed::no(node)),
        })?;
        Ok(spelled.data)
    }

    fn name(&self) -> &str {
        "spelled"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

type Window<'a> = (&'a [Arc<dyn WindowExpr>], &'a Arc<dyn ExecutionPlan>);

/// The functions and the input of a window.
fn window(node: &Arc<dyn ExecutionPlan>) -> Option<Window<'_>> {
    let bounded = node.downcast_ref::<BoundedWindowAggExec>().map(|of| (of.window_expr(), of.input()));
    bounded.or_else(|| node.downcast_ref::<WindowAggExec>().map(|of| (of.window_expr(), of.input())))
}

/// The input of a window, sorted by everything that it needs, if it is not sorted already.
fn sorted(node: &Arc<dyn ExecutionPlan>) -> Option<Arc<dyn ExecutionPlan>> {
    let (functions, input) = window(node)?;
    let first = functions.first()?;
    let fixed = |expr| input.equivalence_properties().is_expr_constant(expr).is_some();
    if !first.partition_by().iter().any(fixed) {
        return None;
    }
    let by = first.partition_by().iter().map(|expr| PhysicalSortExpr::new_default(Arc::clone(expr)));
    let order = LexOrdering::new(by.chain(first.order_by().iter().cloned()))?;
    let unsorted = input.downcast_ref::<SortExec>().map_or(input, SortExec::input);
    let parts = unsorted.output_partitioning().partition_count() > 1;
    Some(Arc::new(SortExec::new(order, Arc::clone(unsorted)).with_preserve_partitioning(parts)))
}

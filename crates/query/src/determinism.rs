//! One query, one answer.
//!
//! The answer to a query is a function of the rows of its tables, including its bits and the order of its rows. It
//! does not depend on the number of partitions, threads or machines, nor on how the rows were distributed over files.
//! [`OneAnswer`] rewrites a plan so that this holds:
//!
//! - **Rows have an order.** Without `ORDER BY`, the answer is sorted by its columns from left to right, null first,
//!   numbers in IEEE 754's total order. Ties of any `ORDER BY` are broken by all columns that it sees and the query
//!   uses. An `ORDER BY` in a subquery applies outside it only if the outer query does nothing but select columns or
//!   apply a `LIMIT`.
//! - **`LIMIT` takes the first rows in that order**, also in a subquery; so does `DISTINCT ON`.
//! - **Windows have an order.** `row_number`, `ntile`, `lag`, `lead`, `ema`, `spike`, `first_value`, `last_value`,
//!   `nth_value` and frames of `ROWS` break the ties of their `ORDER BY` by all columns of their input that the query
//!   uses. (So rows that would be peers in a `RANGE` frame of `last_value` are not peers here.) `rank` and similar
//!   functions, and exact sums over peers, do not need this and are not changed.
//! - **Aggregates that depend on the order** (`array_agg`, `string_agg`, `first_value`, `last_value`, `nth_value`)
//!   take their rows in the order of their `ORDER BY`, then of their arguments.
//! - **There is one NaN** ([`crate::one_nan`]), whichever the processor or a file has.
//! - **Sums of floats are exact** ([`crate::functions`]), and their elementary functions are the same
//!   everywhere.
//! - **Queries that cannot have one answer are refused**: clocks, random numbers, sketches such as `approx_distinct`,
//!   `any_value`.

use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Dependency, Result};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::expr::{Sort as SortExpr, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    AggregateUDF, Distinct, Expr, LogicalPlan, Projection, Sort, Volatility, Window, WindowFrameBound,
    WindowFrameUnits, WindowFunctionDefinition,
};
use datafusion::optimizer::decorrelate_lateral_join::DecorrelateLateralJoin;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::{AnalyzerRule, Optimizer, OptimizerContext, OptimizerRule};
use std::sync::Arc;

use crate::one_nan;

/// The rule that gives a query one answer.
#[derive(Debug)]
pub struct OneAnswer;

impl AnalyzerRule for OneAnswer {
    fn name(&self) -> &str {
        "one_answer"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        // Columns that are not used break no ties: rows that differ only in them are the same rows to the query, and
        // sorting by them would take most of its time. (A lateral join must be converted to an ordinary join first, or
        // its columns are not known.)
        let only_used: Vec<Arc<dyn OptimizerRule + Send + Sync>> =
            vec![Arc::new(DecorrelateLateralJoin::new()), Arc::new(OptimizeProjections::new())];
        let only_used = Optimizer::with_rules(only_used);
        let plan = one_nan::everywhere(only_used.optimize(plan, &OptimizerContext::new(), |_, _| {})?)?;
        let plan = plan.transform_up_with_subqueries(|node| node_of(node).map(Transformed::yes))?.data;
        match &plan {
            LogicalPlan::Ddl(_)
            | LogicalPlan::Dml(_)
            | LogicalPlan::Copy(_)
            | LogicalPlan::Statement(_)
            | LogicalPlan::Explain(_)
            | LogicalPlan::Analyze(_)
            | LogicalPlan::DescribeTable(_) => Ok(plan),
            _ => in_order(plan),
        }
    }
}

fn node_of(node: LogicalPlan) -> Result<LogicalPlan> {
    node.apply_expressions(|expr| expr.apply(|part| refuse(part).map(|()| TreeNodeRecursion::Continue)))?;
    let node = match node {
        LogicalPlan::Sort(mut sort) => {
            break_ties(&mut sort.expr, &[], &sort.input)?;
            LogicalPlan::Sort(sort)
        }
        // A subquery that depends on the outer row may have a limit only within `exists`, where it does not matter
        // which rows there are; and a sort could not be planned there.
        LogicalPlan::Limit(mut limit) if limit.input.all_out_ref_exprs().is_empty() => {
            limit.input = Arc::new(in_order(Arc::unwrap_or_clone(limit.input))?);
            LogicalPlan::Limit(limit)
        }
        LogicalPlan::Distinct(Distinct::On(on)) => {
            let ascending = |expr: &Expr| expr.clone().sort(true, true);
            let first = || on.on_expr.iter().map(ascending).collect();
            let mut sort = on.sort_expr.clone().unwrap_or_else(first);
            break_ties(&mut sort, &[], &on.input)?;
            LogicalPlan::Distinct(Distinct::On(on.with_sort_expr(sort)?))
        }
        node => node,
    };
    let input = match &node {
        LogicalPlan::Window(window) => Some(Arc::clone(&window.input)),
        _ => None,
    };
    let names = NamePreserver::new(&node);
    let node = node.map_expressions(|expr| {
        let name = names.save(&expr);
        let expr = expr.transform_up(|part| match (part, &input) {
            (Expr::AggregateFunction(mut function), _) if sees_order(&function.func) => {
                let arguments = function.params.args.iter().filter(|argument| !matches!(argument, Expr::Literal(..)));
                let arguments: Vec<Expr> = arguments.cloned().collect();
                extend(&mut function.params.order_by, arguments);
                Ok(Transformed::yes(Expr::AggregateFunction(function)))
            }
            (Expr::WindowFunction(mut function), Some(input)) => {
                window(&mut function, input)?;
                Ok(Transformed::yes(Expr::WindowFunction(function)))
            }
            (part, _) => Ok(Transformed::no(part)),
        })?;
        Ok(expr.update_data(|expr| name.restore(expr)))
    })?;
    match node.data {
        LogicalPlan::Window(window) => one_order_each(window),
        node => Ok(node),
    }
}

/// After ties are broken, the functions of a window may have different orders; each order gets a window of its own,
/// because DataFusion sorts the rows of a window by its first function's order.
fn one_order_each(window: Window) -> Result<LogicalPlan> {
    fn order(function: &Expr) -> Option<(&[Expr], &[SortExpr])> {
        match function {
            Expr::Alias(alias) => order(&alias.expr),
            Expr::WindowFunction(function) => Some((&function.params.partition_by, &function.params.order_by)),
            _ => None,
        }
    }
    let mut groups: Vec<Vec<Expr>> = Vec::new();
    for function in &window.window_expr {
        let alike = |group: &&mut Vec<Expr>| group.first().is_some_and(|first| order(first) == order(function));
        match groups.iter_mut().find(alike) {
            Some(group) => group.push(function.clone()),
            None => groups.push(vec![function.clone()]),
        }
    }
    if groups.len() < 2 {
        return Ok(LogicalPlan::Window(window));
    }
    let columns: Vec<Expr> = window.schema.columns().into_iter().map(Expr::Column).collect();
    let one = |input, group| Window::try_new(group, Arc::new(input)).map(LogicalPlan::Window);
    let windows = groups.into_iter().try_fold(Arc::unwrap_or_clone(window.input), one)?;
    Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(windows))?))
}

/// The plan, sorted by all its columns unless it is sorted already.
fn in_order(plan: LogicalPlan) -> Result<LogicalPlan> {
    fn sorted(plan: &LogicalPlan) -> bool {
        match plan {
            LogicalPlan::Sort(_) => true,
            LogicalPlan::Projection(projection) => sorted(&projection.input),
            LogicalPlan::Limit(limit) => sorted(&limit.input),
            LogicalPlan::SubqueryAlias(alias) => sorted(&alias.input),
            _ => false,
        }
    }
    if sorted(&plan) || plan.schema().fields().is_empty() {
        return Ok(plan);
    }
    let mut expr = Vec::new();
    break_ties(&mut expr, &[], &plan)?;
    Ok(LogicalPlan::Sort(Sort { expr, input: Arc::new(plan), fetch: None }))
}

/// Appends the columns of `plan` to `order`, from left to right, until only identical rows tie; the columns in
/// `constant` are known to be equal.
fn break_ties(order: &mut Vec<SortExpr>, constant: &[Expr], plan: &LogicalPlan) -> Result<()> {
    let schema = plan.schema();
    let columns: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
    let keys = keys(plan);
    for (column, field) in columns.iter().zip(schema.fields()) {
        let fixed = |column: &Expr| constant.contains(column) || order.iter().any(|sorted| sorted.expr == *column);
        if keys.iter().any(|key| key.iter().all(|at| columns.get(*at).is_some_and(fixed))) {
            break;
        }
        if fixed(column) {
            continue;
        }
        if !RowConverter::supports_fields(&[SortField::new(field.data_type().clone())]) {
            return Err(DataFusionError::Plan(format!(
                "the column {} of {} cannot be ordered, so the rows have no fixed order: select a part of it",
                field.name(),
                field.data_type()
            )));
        }
        order.push(column.clone().sort(true, true));
    }
    Ok(())
}

/// Columns that together are unique among the rows of `plan`, if known: for a grouped table, the groups' keys.
fn keys(plan: &LogicalPlan) -> Vec<&Vec<usize>> {
    // DataFusion's information about other plans is not reliable: it reports columns that `unnest` repeats as keys.
    fn grouped(plan: &LogicalPlan) -> bool {
        match plan {
            // A null that `rollup` made looks the same as an original one.
            LogicalPlan::Aggregate(of) => !of.group_expr.iter().any(|key| matches!(key, Expr::GroupingSet(_))),
            LogicalPlan::Projection(projection) => grouped(&projection.input),
            LogicalPlan::SubqueryAlias(alias) => grouped(&alias.input),
            LogicalPlan::Filter(filter) => grouped(&filter.input),
            LogicalPlan::Sort(sort) => grouped(&sort.input),
            LogicalPlan::Limit(limit) => grouped(&limit.input),
            LogicalPlan::Window(window) => grouped(&window.input),
            _ => false,
        }
    }
    if !grouped(plan) {
        return Vec::new();
    }
    let once = plan.schema().functional_dependencies().iter().filter(|key| key.mode == Dependency::Single);
    once.map(|key| &key.source_indices).filter(|key| !key.is_empty()).collect()
}

fn extend(order: &mut Vec<SortExpr>, by: Vec<Expr>) {
    for expr in by {
        if order.iter().all(|sorted| sorted.expr != expr) {
            order.push(expr.sort(true, true));
        }
    }
}

/// Aggregates whose result depends on the order of the rows.
fn sees_order(function: &AggregateUDF) -> bool {
    matches!(function.name(), "array_agg" | "string_agg" | "first_value" | "last_value" | "nth_value")
}

fn window(function: &mut WindowFunction, input: &LogicalPlan) -> Result<()> {
    let params = &mut function.params;
    let frame = &params.window_frame;
    let (values, rows) = match &function.fun {
        WindowFunctionDefinition::WindowUDF(of) => match of.name() {
            "rank" | "dense_rank" | "percent_rank" | "cume_dist" => return Ok(()),
            "first_value" | "last_value" | "nth_value" => (true, false),
            _ => (false, true),
        },
        WindowFunctionDefinition::AggregateUDF(of) => (sees_order(of), frame.units == WindowFrameUnits::Rows),
    };
    if !values && !rows {
        return Ok(());
    }
    let counted = |bound: &WindowFrameBound| !bound.is_unbounded() && *bound != WindowFrameBound::CurrentRow;
    if values && frame.units != WindowFrameUnits::Rows && (counted(&frame.start_bound) || counted(&frame.end_bound)) {
        return Err(DataFusionError::Plan(format!(
            "{} over a number of {} is ambiguous for rows with equal keys: write ROWS",
            function.fun.name(),
            frame.units
        )));
    }
    break_ties(&mut params.order_by, &params.partition_by, input)
}

/// Refuses functions that do not have one answer.
fn refuse(expr: &Expr) -> Result<()> {
    let aggregate = match expr {
        Expr::AggregateFunction(function) => &function.func,
        Expr::WindowFunction(function) => match &function.fun {
            WindowFunctionDefinition::AggregateUDF(function) => function,
            WindowFunctionDefinition::WindowUDF(_) => return Ok(()),
        },
        Expr::ScalarFunction(function) if function.func.signature().volatility != Volatility::Immutable => {
            return Err(DataFusionError::Plan(format!(
                "{} gives a different value each time: write the value itself",
                function.func.name()
            )));
        }
        _ => return Ok(()),
    };
    let instead = match aggregate.name() {
        "approx_distinct" => "count(distinct x)",
        "approx_median" => "median(x)",
        "approx_percentile_cont" | "approx_percentile_cont_with_weight" => {
            "percentile_cont(0.9) within group (order by x)"
        }
        "any_value" => "min(x), or first_value(x order by y)",
        _ => return Ok(()),
    };
    Err(DataFusionError::Plan(format!("{} is ambiguous: write {instead}", aggregate.name())))
}

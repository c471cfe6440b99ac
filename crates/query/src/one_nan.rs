//! There is one NaN.
//!
//! A NaN has a sign and other bits, by which floats are compared: without this module, a NaN with the sign bit set is
//! less than all numbers, and two NaNs can be two groups. Processors differ in which NaN they make of ∞ − ∞, and numpy
//! writes what its processor made. So each column of floats in a table, and each computed float, is passed through
//! [`one_nan`], which gives every NaN the same bits.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float16Type, Float32Type, Float64Type};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, Projection, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// The name of the function [`one_nan`].
pub(crate) const NAME: &str = "one_nan";

/// The function: its argument, with every NaN as the same NaN.
pub(crate) fn one_nan() -> ScalarUDF {
    let kinds = [DataType::Float16, DataType::Float32, DataType::Float64];
    let kinds = kinds.map(|kind| TypeSignature::Exact(vec![kind])).to_vec();
    ScalarUDF::new_from_impl(OneNan { signature: Signature::one_of(kinds, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OneNan {
    signature: Signature,
}

impl ScalarUDFImpl for OneNan {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(types.first().cloned().unwrap_or(DataType::Float64))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        match args.arg_fields {
            [field] => Ok(Arc::new(Field::new(self.name(), field.data_type().clone(), field.is_nullable()))),
            fields => exec_err!("one_nan was given {} arguments", fields.len()),
        }
    }

    /// Of the argument's type: functions of an interval of no type fail.
    fn evaluate_bounds(&self, of: &[&Interval]) -> Result<Interval> {
        Interval::make_unbounded(&of.first().map_or(DataType::Float64, |of| of.data_type()))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [array] = arrays.as_slice() else { return exec_err!("one_nan was given {} arguments", arrays.len()) };
        Ok(ColumnarValue::Array(match array.data_type() {
            DataType::Float16 => replaced::<Float16Type>(array, Half::is_nan, Half::NAN),
            DataType::Float32 => replaced::<Float32Type>(array, f32::is_nan, f32::NAN),
            DataType::Float64 => replaced::<Float64Type>(array, f64::is_nan, f64::NAN),
            other => return exec_err!("one_nan takes floats, not {other}"),
        }))
    }
}

/// A number of [`Float16Type`].
type Half = <Float16Type as ArrowPrimitiveType>::Native;

fn replaced<T: ArrowPrimitiveType>(array: &ArrayRef, is_nan: fn(T::Native) -> bool, nan: T::Native) -> ArrayRef {
    let values = array.as_primitive::<T>();
    if !values.values().iter().any(|x| is_nan(*x)) {
        return Arc::clone(array);
    }
    Arc::new(values.unary::<_, T>(|x| if is_nan(x) { nan } else { x }))
}

/// The plan, with the function on each column of floats of a table, and on each computed float.
pub(crate) fn everywhere(plan: LogicalPlan) -> Result<LogicalPlan> {
    let function = Arc::new(one_nan());
    let plan = plan.transform_up_with_subqueries(|node| {
        if matches!(node, LogicalPlan::TableScan(_)) {
            return columns(node, &function);
        }
        let mut schema = merge_schema(&node.inputs());
        schema.merge(node.schema());
        let names = NamePreserver::new(&node);
        let node = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let expr = expr.transform_up(|part| computed(part, &schema, &function))?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        })?;
        match node.data {
            // The elements of lists in a table.
            node @ LogicalPlan::Unnest(_) => columns(node, &function),
            other => Ok(Transformed::new_transformed(other, node.transformed)),
        }
    })?;
    Ok(plan.data)
}

/// The rows of a node, with the function on its columns of floats, if it has any.
fn columns(node: LogicalPlan, function: &Arc<ScalarUDF>) -> Result<Transformed<LogicalPlan>> {
    let schema = Arc::clone(node.schema());
    if schema.fields().iter().all(|field| !field.data_type().is_floating()) {
        return Ok(Transformed::no(node));
    }
    let each = schema.iter().map(|(table, field)| {
        let column = Expr::Column(Column::new(table.cloned(), field.name()));
        match field.data_type().is_floating() {
            true => call(function, column).alias_qualified(table.cloned(), field.name()),
            false => column,
        }
    });
    let projection = Projection::try_new(each.collect(), Arc::new(node))?;
    Ok(Transformed::yes(LogicalPlan::Projection(projection)))
}

/// The function on an expression that computes a float, which is not a part of a longer such expression.
fn computed(part: Expr, schema: &DFSchema, function: &Arc<ScalarUDF>) -> Result<Transformed<Expr>> {
    let makes = match &part {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => is_arithmetic(*op),
        Expr::Negative(_) => true,
        Expr::ScalarFunction(of) => of.func.name() != function.name(),
        // A text can be any NaN.
        Expr::Cast(cast) => !cast.expr.get_type(schema)?.is_numeric(),
        Expr::TryCast(cast) => !cast.expr.get_type(schema)?.is_numeric(),
        _ => false,
    };
    if !makes || !part.get_type(schema)?.is_floating() {
        return Ok(Transformed::no(part));
    }
    // Of any NaN, arithmetic makes a NaN.
    let inner = |operand: Box<Expr>| match *operand {
        Expr::ScalarFunction(ScalarFunction { func, mut args })
            if func.name() == function.name() && args.len() == 1 =>
        {
            Box::new(args.swap_remove(0))
        }
        other => Box::new(other),
    };
    let part = match part {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            Expr::BinaryExpr(BinaryExpr { left: inner(left), op, right: inner(right) })
        }
        Expr::Negative(operand) => Expr::Negative(inner(operand)),
        other => other,
    };
    Ok(Transformed::yes(call(function, part)))
}

fn call(function: &Arc<ScalarUDF>, of: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction { func: Arc::clone(function), args: vec![of] })
}

const fn is_arithmetic(op: Operator) -> bool {
    matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo)
}

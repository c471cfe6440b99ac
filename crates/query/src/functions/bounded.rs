//! Functions with a limit on the size of their results.
//!
//! `repeat('x', 10000000000)` would end the process, because a failed allocation cannot be handled. So each function
//! whose result can be larger than its input is called only if the result for a batch needs at most [`MOST`] bytes.
//! This is computed in advance from the arguments. If this estimate is too high (the matches of a `replace` are not
//! known in advance), the function is applied to halves of the batch.
//!
//! [`Bounds`] replaces these functions in plans, including `||`, and refuses constants that would exceed the limit if
//! each row had its own copy.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::kernels::concat_elements::concat_elements_dyn;
use datafusion::arrow::compute::{cast, concat};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, IntervalMonthDayNanoType, IntervalUnit};
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err};
use datafusion::config::ConfigOptions;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Documentation, Expr, ExprSchemable, LogicalPlan, Operator, ReturnFieldArgs,
    ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::{AnalyzerRule, ApplyOrder, OptimizerConfig, OptimizerRule};

/// Maximum bytes of the result of one call, for the rows of a batch.
const MOST: u64 = 256 << 20;
/// Rows per batch, as DataFusion divides them.
const ROWS: u64 = 8192;
/// Additional bytes per list element: its offset, and a second copy of it while the list is built.
const PLACE: u64 = 16;

/// The size of a function's result, as a function of its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Growth {
    /// The first argument, repeated as often as the second states.
    Repeat,
    /// The same, as elements of a list.
    RepeatElement,
    /// As many characters as the second argument states, or as the first has.
    Pad,
    /// As many elements as the second argument states, or as the first has.
    Resize,
    /// The numbers or days between two.
    Range,
    /// The first argument, with each occurrence of the second replaced by the third.
    Replace,
    /// The same with a pattern, where the third argument can repeat the match.
    ReplacePattern,
    /// Each element of the first argument may be replaced by the third.
    ReplaceElement,
    /// The elements of the first argument as text, with the other arguments between them.
    Join,
    /// The arguments after the first, joined with the first between them.
    JoinTexts,
    /// All arguments, this many times.
    All(u64),
}

/// DataFusion's functions whose results can be larger than their inputs, by name.
const GROWING: &[(&str, Growth)] = &[
    ("array_append", Growth::All(1)),
    ("array_concat", Growth::All(1)),
    ("array_prepend", Growth::All(1)),
    ("array_repeat", Growth::RepeatElement),
    ("array_replace", Growth::ReplaceElement),
    ("array_replace_all", Growth::ReplaceElement),
    ("array_replace_n", Growth::ReplaceElement),
    ("array_resize", Growth::Resize),
    ("array_to_string", Growth::Join),
    ("array_union", Growth::All(1)),
    ("arrays_zip", Growth::All(1)),
    ("concat", Growth::All(1)),
    ("concat_ws", Growth::JoinTexts),
    ("encode", Growth::All(2)),
    ("generate_series", Growth::Range),
    ("initcap", Growth::All(3)),
    ("lower", Growth::All(3)),
    ("lpad", Growth::Pad),
    ("make_array", Growth::All(1)),
    ("map", Growth::All(1)),
    ("named_struct", Growth::All(1)),
    ("overlay", Growth::All(1)),
    ("range", Growth::Range),
    ("regexp_replace", Growth::ReplacePattern),
    ("repeat", Growth::Repeat),
    ("replace", Growth::Replace),
    ("rpad", Growth::Pad),
    ("string_to_array", Growth::All(24)),
    ("struct", Growth::All(1)),
    ("to_char", Growth::All(24)),
    ("translate", Growth::All(4)),
    ("upper", Growth::All(3)),
];

/// All of these that `registry` has, bounded, and the function for `||`.
///
/// # Errors
/// Never: a function that does not exist is skipped.
pub(super) fn all(registry: &dyn FunctionRegistry) -> Vec<ScalarUDF> {
    let bounded = GROWING.iter().filter_map(|(name, growth)| {
        let function = registry.udf(name).ok()?;
        Some(if function.inner().is::<Bounded>() { function.as_ref().clone() } else { Bounded::of(function, *growth) })
    });
    bounded.chain([joined()]).collect()
}

/// `a || b` for texts.
fn joined() -> ScalarUDF {
    let signature = Signature::variadic_any(Volatility::Immutable);
    Bounded::of(Arc::new(ScalarUDF::new_from_impl(Joined { signature })), Growth::All(1))
}

/// A function that is called only if its result is not too large.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    function: Arc<ScalarUDF>,
    growth: Growth,
}

impl Bounded {
    fn of(function: Arc<ScalarUDF>, growth: Growth) -> ScalarUDF {
        ScalarUDF::new_from_impl(Self { function, growth })
    }

    fn refuse(&self, bytes: u64) -> DataFusionError {
        let (name, most) = (self.function.name(), MOST >> 20);
        let what = format!("{name} would make {} MiB at once; the limit is {most} MiB", bytes >> 20);
        DataFusionError::Execution(what)
    }
}

// Methods that it does not implement have no effect: DataFusion's `simplify` would restore the function without its
// limit.
impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        self.function.schema_name(args)
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.function.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.function.return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(arg_types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = match args.args.iter().any(|argument| matches!(argument, ColumnarValue::Array(_))) {
            true => args.number_rows,
            false => 1,
        };
        let bytes = bytes_of(self.growth, &args.args, rows)?;
        if bytes <= MOST {
            return self.function.invoke_with_args(args);
        }
        let told_exactly = !matches!(
            self.growth,
            Growth::Replace | Growth::ReplacePattern | Growth::ReplaceElement | Growth::All(2..)
        );
        if told_exactly || rows < 2 {
            return Err(self.refuse(bytes));
        }
        let half = |from: usize, rows: usize| {
            let part = |argument: &ColumnarValue| match argument {
                ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(from, rows)),
                ColumnarValue::Scalar(_) => argument.clone(),
            };
            let args = ScalarFunctionArgs {
                args: args.args.iter().map(part).collect(),
                arg_fields: args.arg_fields.clone(),
                number_rows: rows,
                return_field: Arc::clone(&args.return_field),
                config_options: Arc::clone(&args.config_options),
            };
            self.invoke_with_args(args)?.into_array(rows)
        };
        let halves = [half(0, rows / 2)?, half(rows / 2, rows - rows / 2)?];
        let bytes: u64 = halves.iter().map(|half| Widths::of(half).map_or(0, |widths| widths.sum(half.len()))).sum();
        match bytes <= MOST {
            true => Ok(ColumnarValue::Array(concat(&[&halves[0], &halves[1]])?)),
            false => Err(self.refuse(bytes)),
        }
    }
}

/// Bytes of the values in an array, row by row; shared values count each time.
enum Widths {
    Same(u64),
    Each(Vec<u64>),
}

impl Widths {
    fn of(array: &ArrayRef) -> Result<Self> {
        let lengths = |offsets: &[i32]| offsets.windows(2).map(|pair| (pair[1] - pair[0]) as u64).collect();
        let large = |offsets: &[i64]| offsets.windows(2).map(|pair| (pair[1] - pair[0]) as u64).collect();
        Ok(match array.data_type() {
            DataType::Utf8 => Self::Each(lengths(array.as_string::<i32>().value_offsets())),
            DataType::LargeUtf8 => Self::Each(large(array.as_string::<i64>().value_offsets())),
            // The low half of a view's lowest word is the length.
            DataType::Utf8View => {
                Self::Each(array.as_string_view().views().iter().map(|v| u64::from(*v as u32)).collect())
            }
            DataType::BinaryView => {
                Self::Each(array.as_binary_view().views().iter().map(|v| u64::from(*v as u32)).collect())
            }
            DataType::Binary => Self::Each(lengths(array.as_binary::<i32>().value_offsets())),
            DataType::LargeBinary => Self::Each(large(array.as_binary::<i64>().value_offsets())),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let values = Self::of(list.values())?;
                Self::Each(
                    list.value_offsets()
                        .windows(2)
                        .map(|pair| values.between(pair[0] as usize, pair[1] as usize))
                        .collect(),
                )
            }
            DataType::LargeList(_) => {
                let list = array.as_list::<i64>();
                let values = Self::of(list.values())?;
                Self::Each(
                    list.value_offsets()
                        .windows(2)
                        .map(|pair| values.between(pair[0] as usize, pair[1] as usize))
                        .collect(),
                )
            }
            DataType::FixedSizeList(_, length) => {
                let (values, length) = (Self::of(array.as_fixed_size_list().values())?, *length as usize);
                Self::Each((0..array.len()).map(|row| values.between(row * length, (row + 1) * length)).collect())
            }
            DataType::Struct(_) => {
                let columns = array.as_struct().columns().iter().map(Self::of).collect::<Result<Vec<_>>>()?;
                Self::Each((0..array.len()).map(|row| columns.iter().map(|column| column.at(row)).sum()).collect())
            }
            DataType::Dictionary(_, values) => Self::of(&cast(array, values)?)?,
            DataType::Map(..) | DataType::Union(..) | DataType::RunEndEncoded(..) => {
                Self::Same((array.get_array_memory_size() / array.len().max(1)) as u64)
            }
            other => Self::Same(other.primitive_width().unwrap_or(16) as u64),
        })
    }

    fn at(&self, row: usize) -> u64 {
        match self {
            Self::Same(width) => *width,
            // A constant has one row.
            Self::Each(widths) if widths.len() == 1 => widths[0],
            Self::Each(widths) => widths.get(row).copied().unwrap_or(0),
        }
    }

    /// For some values of a list, with the additional bytes of each.
    fn between(&self, from: usize, to: usize) -> u64 {
        let of = match self {
            Self::Same(width) => width.saturating_mul((to - from) as u64),
            Self::Each(widths) => widths.get(from..to).unwrap_or_default().iter().sum(),
        };
        of.saturating_add((to - from) as u64)
    }

    fn sum(&self, rows: usize) -> u64 {
        match self {
            Self::Each(widths) if widths.len() == rows => widths.iter().sum(),
            _ => self.at(0).saturating_mul(rows as u64),
        }
    }
}

/// An upper bound of the bytes of the result for this number of rows.
fn bytes_of(growth: Growth, args: &[ColumnarValue], rows: usize) -> Result<u64> {
    if args.is_empty() {
        return Ok(0);
    }
    let array = |argument: &ColumnarValue| match argument {
        ColumnarValue::Array(array) => Ok(Arc::clone(array)),
        ColumnarValue::Scalar(scalar) => scalar.to_array(),
    };
    let arrays = args.iter().map(array).collect::<Result<Vec<_>>>()?;
    let widths = arrays.iter().map(Widths::of).collect::<Result<Vec<_>>>()?;
    let width = |argument: usize, row: usize| widths.get(argument).map_or(0, |widths| widths.at(row));
    let sum = |of: &dyn Fn(usize) -> u64| (0..rows).map(of).fold(0, u64::saturating_add);
    let counts = |argument: usize| -> Result<Counts> { Counts::of(arrays.get(argument)) };
    Ok(match growth {
        Growth::All(times) => {
            widths.iter().map(|widths| widths.sum(rows)).fold(0, u64::saturating_add).saturating_mul(times)
        }
        Growth::Repeat => {
            let counts = counts(1)?;
            sum(&|row| width(0, row).saturating_mul(counts.at(row)))
        }
        Growth::RepeatElement => {
            let counts = counts(1)?;
            // In a list, each element also has an offset.
            let elements = |row: usize| width(0, row).saturating_mul(2) + PLACE;
            sum(&|row| elements(row).saturating_mul(counts.at(row)))
        }
        Growth::Pad => {
            let counts = counts(1)?;
            sum(&|row| width(0, row).max(counts.at(row).saturating_mul(4)))
        }
        Growth::Resize => {
            let counts = counts(1)?;
            sum(&|row| width(0, row).saturating_add(counts.at(row).saturating_mul(width(2, row) + PLACE)))
        }
        Growth::Range => {
            let steps = between(&arrays)?;
            sum(&|row| steps.get(row).or(steps.first()).copied().unwrap_or(0).saturating_mul(8))
        }
        Growth::Replace => sum(&|row| {
            let (text, from, to) = (width(0, row), width(1, row), width(2, row));
            text.saturating_add((text / from.max(1) + 1).saturating_mul(to))
        }),
        Growth::ReplacePattern => {
            // Any special character may refer to the match; and without flags, only one match is replaced.
            let everywhere = args.len() > 3;
            sum(&|row| {
                let (text, by) = (width(0, row), width(2, row));
                let found = if everywhere { text + 1 } else { 1 };
                text.saturating_mul(1 + by / 2).saturating_add(found.saturating_mul(by))
            })
        }
        Growth::ReplaceElement => {
            let elements = elements(&arrays[0]);
            sum(&|row| width(0, row).saturating_add(elements.at(row).saturating_mul(width(2, row))))
        }
        Growth::Join => {
            let elements = elements(&arrays[0]);
            // As text, a number with its offset takes at most three times the bytes of its stored form.
            let each = |row: usize| width(0, row).saturating_mul(3);
            sum(&|row| each(row).saturating_add(elements.at(row).saturating_mul(width(1, row) + width(2, row))))
        }
        Growth::JoinTexts => {
            let all = widths.iter().map(|widths| widths.sum(rows)).fold(0, u64::saturating_add);
            all.saturating_add(sum(&|row| width(0, row).saturating_mul(args.len() as u64)))
        }
    })
}

/// The number of elements of an array's lists.
fn elements(array: &ArrayRef) -> Widths {
    match array.data_type() {
        DataType::List(_) => Widths::Each(
            array.as_list::<i32>().value_offsets().windows(2).map(|pair| (pair[1] - pair[0]) as u64).collect(),
        ),
        DataType::LargeList(_) => Widths::Each(
            array.as_list::<i64>().value_offsets().windows(2).map(|pair| (pair[1] - pair[0]) as u64).collect(),
        ),
        DataType::FixedSizeList(_, length) => Widths::Same(*length as u64),
        _ => Widths::Same(0),
    }
}

/// The number of repetitions, row by row; negative numbers count as zero.
struct Counts(Option<Int64Array>);

impl Counts {
    fn of(array: Option<&ArrayRef>) -> Result<Self> {
        let Some(array) = array else { return Ok(Self(None)) };
        Ok(Self(cast(array, &DataType::Int64)?.as_primitive_opt().cloned()))
    }

    fn at(&self, row: usize) -> u64 {
        let Some(counts) = &self.0 else { return 0 };
        let row = if counts.len() == 1 { 0 } else { row };
        if row >= counts.len() || counts.is_null(row) { 0 } else { u64::try_from(counts.value(row)).unwrap_or(0) }
    }
}

/// The number of steps from the first argument to the second, with the step width of the third.
fn between(arrays: &[ArrayRef]) -> Result<Vec<u64>> {
    let rows = arrays.iter().map(|array| array.len()).max().unwrap_or(0);
    // Days and times as nanoseconds, whatever their stored unit.
    let as_number = |array: &ArrayRef| -> Result<Box<dyn Fn(usize) -> i128>> {
        let (to, unit): (_, i128) = match array.data_type() {
            DataType::Date32 => (DataType::Int32, 86_400_000_000_000),
            DataType::Date64 => (DataType::Int64, 1_000_000),
            DataType::Timestamp(unit, _) => {
                use datafusion::arrow::datatypes::TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
                let unit = match unit {
                    Second => 1_000_000_000,
                    Millisecond => 1_000_000,
                    Microsecond => 1000,
                    Nanosecond => 1,
                };
                (DataType::Int64, unit)
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                let steps = array.as_primitive::<IntervalMonthDayNanoType>().clone();
                return Ok(Box::new(move |row| {
                    let step = steps.value(if steps.len() == 1 { 0 } else { row });
                    // The shortest month; a step with parts of both signs is as long as its parts.
                    let (months, days) = (i128::from(step.months), i128::from(step.days));
                    (months * 28 + days) * 86_400_000_000_000 + i128::from(step.nanoseconds)
                }));
            }
            _ => (DataType::Int64, 1),
        };
        let numbers = cast(&cast(array, &to)?, &DataType::Int64)?
            .as_primitive_opt::<datafusion::arrow::datatypes::Int64Type>()
            .cloned();
        Ok(Box::new(move |row| {
            let Some(numbers) = &numbers else { return 0 };
            i128::from(numbers.value(if numbers.len() == 1 { 0 } else { row })) * unit
        }))
    };
    let numbers = arrays.iter().map(as_number).collect::<Result<Vec<_>>>()?;
    let step = |row: usize| numbers.get(2).map_or(1, |step| step(row)).unsigned_abs().max(1);
    let length = |row: usize| match numbers.as_slice() {
        [stop] => stop(row).max(0).unsigned_abs(),
        [start, stop, ..] => (stop(row) - start(row)).unsigned_abs(),
        [] => 0,
    };
    Ok((0..rows).map(|row| u64::try_from(length(row) / step(row) + 1).unwrap_or(u64::MAX)).collect())
}

/// Joins texts; null if one of them is null: the meaning of `||`.
#[derive(Debug)]
struct Joined {
    signature: Signature,
}

impl PartialEq for Joined {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Joined {}

impl Hash for Joined {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl ScalarUDFImpl for Joined {
    fn name(&self) -> &str {
        "text_concat"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types.first().cloned().unwrap_or(DataType::Null))
    }

    /// As with the operator: null if a text is null, and nowhere else.
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let kind = args.arg_fields.first().map_or(DataType::Null, |field| field.data_type().clone());
        let nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(self.name(), kind, nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let mut texts = args.args.iter().map(|text| text.to_array(rows));
        let first = texts.next().unwrap_or_else(|| exec_err!("|| takes texts"))?;
        let whole =
            texts.try_fold(first, |whole, text| Ok::<_, DataFusionError>(concat_elements_dyn(&whole, &text?)?))?;
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&whole, 0)?)),
            false => Ok(ColumnarValue::Array(whole)),
        }
    }
}

/// Replaces functions by their bounded forms, and checks constants.
#[derive(Debug)]
pub(crate) struct Bounds {
    functions: Vec<Arc<ScalarUDF>>,
    joined: Arc<ScalarUDF>,
}

impl Bounds {
    /// With the functions of `registry`.
    pub(super) fn new(registry: &dyn FunctionRegistry) -> Self {
        Self { functions: all(registry).into_iter().map(Arc::new).collect(), joined: Arc::new(joined()) }
    }

    fn bounded(&self, expr: Expr, schema: &datafusion::common::DFSchema) -> Result<Transformed<Expr>> {
        match expr {
            Expr::ScalarFunction(ScalarFunction { func, args }) if !func.inner().is::<Bounded>() => {
                match self.functions.iter().find(|bounded| bounded.name() == func.name()) {
                    Some(bounded) => {
                        let func = Arc::clone(bounded);
                        Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args })))
                    }
                    None => Ok(Transformed::no(Expr::ScalarFunction(ScalarFunction { func, args }))),
                }
            }
            Expr::BinaryExpr(BinaryExpr { op: Operator::StringConcat, .. }) => {
                // `a || b || c` becomes one function of all three. Lists have a function for it already; here all are
                // texts, of the same type if there is no cast between them.
                let mut texts = Vec::new();
                let mut rest = &expr;
                while let Expr::BinaryExpr(BinaryExpr { left, op: Operator::StringConcat, right }) = rest {
                    texts.push(right.as_ref());
                    rest = left;
                }
                texts.push(rest);
                let kind = rest.get_type(schema)?;
                if !texts.iter().all(|text| text.get_type(schema).is_ok_and(|of| of == kind)) {
                    return Ok(Transformed::no(expr));
                }
                let args = texts.into_iter().rev().cloned().collect();
                Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func: Arc::clone(&self.joined), args })))
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

impl AnalyzerRule for Bounds {
    fn name(&self) -> &str {
        "bounds"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let bounded = plan.transform_up_with_subqueries(|node| {
            let mut schema = datafusion::logical_expr::utils::merge_schema(&node.inputs());
            schema.merge(node.schema());
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let bounded = expr.transform_down(|part| self.bounded(part, &schema))?;
                Ok(bounded.update_data(|expr| name.restore(expr)))
            })
        })?;
        Ok(bounded.data)
    }
}

/// Refuses constants that need too much memory if each row of a batch has one.
#[derive(Debug)]
pub(crate) struct Constants;

impl OptimizerRule for Constants {
    fn name(&self) -> &str {
        "constants"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let rows = plan.inputs().iter().map(|input| input.max_rows().map_or(ROWS, |rows| rows as u64)).max();
        let rows = rows.unwrap_or(1).min(ROWS);
        plan.apply_expressions(|expr| {
            expr.apply(|part| match part {
                Expr::Literal(value, _) if (value.size() as u64).saturating_mul(rows) > MOST => {
                    let (size, most) = (value.size() >> 10, MOST >> 20);
                    let what = format!("a value of {size} KiB in each row would need more than {most} MiB at once");
                    Err(DataFusionError::Plan(what))
                }
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })?;
        Ok(Transformed::no(plan))
    }
}

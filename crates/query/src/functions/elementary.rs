//! Scalar functions: replacements of DataFusion's with the same names, and `differs`.
//!
//! DataFusion's logarithms, exponentials and trigonometric functions come from the platform's C library, and their
//! last bits differ between platforms. The functions here come from the pinned crate `libm`, in binary64. `sqrt` is
//! defined exactly by IEEE 754 and not replaced, nor are `degrees` and `radians`, which only multiply.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use datafusion::arrow::compute::{binary, unary};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::interval_arithmetic::Interval;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

/// The computation of a function.
#[derive(Clone, Copy)]
enum Kernel {
    One(fn(f64) -> f64),
    Two(fn(f64, f64) -> f64),
    /// The logarithm, to base 10 or to the base that is the first argument.
    Log,
    Differs,
}

/// All of them.
pub(super) fn all() -> Vec<ScalarUDF> {
    let one = |name, of: fn(f64) -> f64| function(name, &[], &[1], Kernel::One(of));
    let two = |name, aliases, of: fn(f64, f64) -> f64| function(name, aliases, &[2], Kernel::Two(of));
    vec![
        one("acos", libm::acos),
        one("acosh", libm::acosh),
        one("asin", libm::asin),
        one("asinh", libm::asinh),
        one("atan", libm::atan),
        one("atanh", libm::atanh),
        one("cbrt", libm::cbrt),
        one("cos", libm::cos),
        one("cosh", libm::cosh),
        one("cot", |x| 1.0 / libm::tan(x)),
        one("exp", libm::exp),
        one("ln", libm::log),
        one("log10", libm::log10),
        one("log2", libm::log2),
        one("sin", libm::sin),
        one("sinh", libm::sinh),
        one("tan", libm::tan),
        one("tanh", libm::tanh),
        two("atan2", &[], libm::atan2),
        two("power", &["pow"], libm::pow),
        function("log", &[], &[1, 2], Kernel::Log),
        function("differs", &[], &[4, 5], Kernel::Differs),
    ]
}

fn function(name: &'static str, aliases: &[&str], arguments: &[usize], kernel: Kernel) -> ScalarUDF {
    let exact = arguments.iter().map(|count| TypeSignature::Exact(vec![DataType::Float64; *count]));
    let signature = Signature::one_of(exact.collect(), Volatility::Immutable);
    let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
    ScalarUDF::new_from_impl(Function { name, aliases, signature, kernel })
}

struct Function {
    name: &'static str,
    aliases: Vec<String>,
    signature: Signature,
    kernel: Kernel,
}

// A function is identified by its name: there is one of each.
impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Function {}

impl std::hash::Hash for Function {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(if matches!(self.kernel, Kernel::Differs) { DataType::Boolean } else { DataType::Float64 })
    }

    /// DataFusion's default is an interval of no type, of which its `abs` fails: rows could not be sorted by `abs(ln(x))`.
    fn evaluate_bounds(&self, _: &[&Interval]) -> Result<Interval> {
        Interval::make_unbounded(&self.return_type(&[])?)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let columns: Option<Vec<&Float64Array>> =
            arrays.iter().map(|column| column.as_primitive_opt::<Float64Type>()).collect();
        let Some(columns) = columns else { return exec_err!("{} takes floats", self.name) };
        let answer: ArrayRef = match (self.kernel, columns.as_slice()) {
            (Kernel::One(of), [x]) => Arc::new(unary::<_, _, Float64Type>(x, of)),
            (Kernel::Two(of), [x, y]) => Arc::new(binary::<_, _, _, Float64Type>(x, y, of)?),
            (Kernel::Log, [x]) => Arc::new(unary::<_, _, Float64Type>(x, libm::log10)),
            (Kernel::Log, [base, x]) => Arc::new(binary::<_, _, _, Float64Type>(base, x, logarithm)?),
            (Kernel::Differs, [a, a_error, b, b_error]) => Arc::new(differs([a, a_error, b, b_error], None)),
            (Kernel::Differs, [a, a_error, b, b_error, z]) => Arc::new(differs([a, a_error, b, b_error], Some(z))),
            _ => return exec_err!("{} was given {} arguments", self.name, columns.len()),
        };
        Ok(ColumnarValue::Array(answer))
    }
}

fn logarithm(base: f64, x: f64) -> f64 {
    if base == 10.0 {
        libm::log10(x)
    } else if base == 2.0 {
        libm::log2(x)
    } else {
        libm::log(x) / libm::log(base)
    }
}

/// The value above which 2.5 % of the normal distribution lie.
const Z: f64 = 1.959_963_984_540_054;

/// Whether |a − b| is more than z standard errors of the difference, √(`error_a`² + `error_b`²): the two-sided z-test
/// of independent estimates. Null if any argument is null, or if one of the two sides is NaN.
fn differs([a, error_a, b, error_b]: [&Float64Array; 4], z: Option<&Float64Array>) -> BooleanArray {
    let rows = a.iter().zip(error_a).zip(b.iter().zip(error_b)).enumerate();
    let one = |(row, ((a, error_a), (b, error_b)))| {
        let (a, error_a, b, error_b): (f64, f64, f64, f64) = (a?, error_a?, b?, error_b?);
        let z = match z {
            Some(z) => z.is_valid(row).then(|| z.value(row))?,
            None => Z,
        };
        let (difference, allowed) = ((a - b).abs(), z * (error_a * error_a + error_b * error_b).sqrt());
        difference.partial_cmp(&allowed).map(|order| order.is_gt())
    };
    rows.map(one).collect()
}

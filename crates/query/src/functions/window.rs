//! Window functions: computed along the rows of a partition, in their order.

use std::collections::VecDeque;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl};

use super::moments::Moments;
use super::statistic::{Statistic, refused};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum WindowKind {
    Ema,
    Spike,
}

/// All of them.
pub(super) fn all() -> Vec<WindowUDF> {
    [WindowKind::Ema, WindowKind::Spike].map(|kind| WindowUDF::new_from_impl(Along::new(kind))).into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Along {
    kind: WindowKind,
    signature: Signature,
}

impl Along {
    fn new(kind: WindowKind) -> Self {
        let arguments = match kind {
            WindowKind::Ema => 2,
            WindowKind::Spike => 3,
        };
        Self { kind, signature: Signature::exact(vec![DataType::Float64; arguments], Volatility::Immutable) }
    }
}

impl WindowUDFImpl for Along {
    fn name(&self) -> &str {
        match self.kind {
            WindowKind::Ema => "ema",
            WindowKind::Spike => "spike",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let kind = match self.kind {
            WindowKind::Ema => DataType::Float64,
            WindowKind::Spike => DataType::Boolean,
        };
        Ok(Arc::new(Field::new(args.name(), kind, true)))
    }

    fn partition_evaluator(&self, _: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Evaluator(self.kind)))
    }
}

#[derive(Debug)]
struct Evaluator(WindowKind);

impl PartitionEvaluator for Evaluator {
    fn evaluate_all(&mut self, values: &[ArrayRef], _: usize) -> Result<ArrayRef> {
        let columns: Option<Vec<&Float64Array>> =
            values.iter().map(|column| column.as_primitive_opt::<Float64Type>()).collect();
        match (self.0, columns.as_deref()) {
            (WindowKind::Ema, Some([value, alpha])) => ema(value, alpha),
            (WindowKind::Spike, Some([value, window, deviations])) => spike(value, window, deviations),
            _ => Err(exec_datafusion_err!("{:?} takes floats", self.0)),
        }
    }
}

/// The one number of a column that must be constant, if it has rows.
fn constant(column: &Float64Array, fits: impl Fn(f64) -> bool, what: &str) -> Result<Option<f64>> {
    let Some(first) = column.iter().next() else { return Ok(None) };
    match first {
        Some(first) if column.null_count() == 0 && fits(first) && column.values().iter().all(|x| *x == first) => {
            Ok(Some(first))
        }
        _ => Err(refused(what)),
    }
}

/// The exponential moving average: the first value, then alpha·value + (1 − alpha)·average. Null where the value is
/// null, and the value itself where it is infinite or NaN; the average continues after it.
fn ema(values: &Float64Array, alpha: &Float64Array) -> Result<ArrayRef> {
    let refusal = "ema(value, alpha): alpha is not one number above 0 and at most 1";
    let alpha = constant(alpha, |alpha| alpha > 0.0 && alpha <= 1.0, refusal)?.unwrap_or(1.0);
    let mut average = None;
    let each = values.iter().map(|value| {
        let value = value?;
        if !value.is_finite() {
            return Some(value);
        }
        let next = average.map_or(value, |average| alpha * value + (1.0 - alpha) * average);
        average = Some(next);
        average
    });
    Ok(Arc::new(each.collect::<Float64Array>()))
}

/// Whether a value differs by more than `deviations` sample standard deviations from the mean of the `window` values
/// before it, or of those that exist. Null where the value is null, and where fewer than two are before it. An
/// infinite value or NaN is always a spike, and is not used to evaluate others.
///
/// (OLMo's spike score counts values seven deviations from the previous thousand: "2 OLMo 2 Furious", 2025.)
fn spike(values: &Float64Array, window: &Float64Array, deviations: &Float64Array) -> Result<ArrayRef> {
    let refusal = "spike(value, window, deviations): window is not one whole number from 2 on";
    let whole = |window: f64| window >= 2.0 && window <= f64::from(u32::MAX) && window.fract() == 0.0;
    let window = constant(window, whole, refusal)?.unwrap_or(2.0) as usize;
    let refusal = "spike(value, window, deviations): deviations is not one number from 0 on";
    let deviations = constant(deviations, |deviations| deviations >= 0.0, refusal)?.unwrap_or_default();
    let mut before = VecDeque::new();
    let mut moments = Moments::default();
    let each = values.iter().map(|value| {
        let value = value?;
        let spike = if value.is_finite() { moments.is_beyond(value, deviations) } else { Some(true) };
        if value.is_finite() {
            before.push_back(value);
            moments.add([value]);
            if before.len() > window
                && let Some(oldest) = before.pop_front()
            {
                moments.remove([oldest]);
            }
        }
        spike
    });
    Ok(Arc::new(each.collect::<BooleanArray>()))
}

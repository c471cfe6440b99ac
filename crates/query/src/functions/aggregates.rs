//! The aggregates: replacements of DataFusion's with the same names, and ours.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::functions_aggregate as stock;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, GroupsAccumulator, Operator, ReversedUDAF, SetMonotonicity,
    Signature, StatisticsArgs, Volatility, expr,
};

use super::bootstrap;
use super::moments::{Moments, Pairs, Total};
use super::rank::{kendall, spearman};
use super::statistic::{Distinct, Groups, One, Reading, Rows, Statistic};
use super::trajectory::{LogSlope, first_reaching, forgetting, interpolate};

/// What an aggregate computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum AggregateKind {
    Sum,
    Mean,
    /// With this number subtracted from the rows for the degrees of freedom.
    Variance(u8),
    Deviation(u8),
    Covariance(u8),
    Correlation,
    Slope,
    Intercept,
    R2,
    MeanX,
    MeanY,
    Sxx,
    Syy,
    Sxy,
    LogSlope,
    Spearman,
    Kendall,
    FirstReaching,
    Forgetting,
    Interpolate,
    PairedBootstrap,
}

/// All of them.
pub(super) fn all() -> Vec<AggregateUDF> {
    let exact = |original: Arc<AggregateUDF>, kind| {
        let (name, aliases) = (original.name().to_owned(), original.aliases().to_vec());
        let signature = original.signature().clone();
        AggregateUDF::new_from_impl(Aggregate { name, aliases, kind, signature, original: Some(original) })
    };
    let ours = |name: &str, kind| {
        let signature = Signature::user_defined(Volatility::Immutable);
        AggregateUDF::new_from_impl(Aggregate {
            name: name.to_owned(),
            aliases: Vec::new(),
            kind,
            signature,
            original: None,
        })
    };
    vec![
        exact(stock::sum::sum_udaf(), AggregateKind::Sum),
        exact(stock::average::avg_udaf(), AggregateKind::Mean),
        exact(stock::variance::var_samp_udaf(), AggregateKind::Variance(1)),
        exact(stock::variance::var_pop_udaf(), AggregateKind::Variance(0)),
        exact(stock::stddev::stddev_udaf(), AggregateKind::Deviation(1)),
        exact(stock::stddev::stddev_pop_udaf(), AggregateKind::Deviation(0)),
        exact(stock::covariance::covar_samp_udaf(), AggregateKind::Covariance(1)),
        exact(stock::covariance::covar_pop_udaf(), AggregateKind::Covariance(0)),
        exact(stock::correlation::corr_udaf(), AggregateKind::Correlation),
        exact(stock::regr::regr_slope_udaf(), AggregateKind::Slope),
        exact(stock::regr::regr_intercept_udaf(), AggregateKind::Intercept),
        exact(stock::regr::regr_r2_udaf(), AggregateKind::R2),
        exact(stock::regr::regr_avgx_udaf(), AggregateKind::MeanX),
        exact(stock::regr::regr_avgy_udaf(), AggregateKind::MeanY),
        exact(stock::regr::regr_sxx_udaf(), AggregateKind::Sxx),
        exact(stock::regr::regr_syy_udaf(), AggregateKind::Syy),
        exact(stock::regr::regr_sxy_udaf(), AggregateKind::Sxy),
        ours("log_slope", AggregateKind::LogSlope),
        ours("spearman", AggregateKind::Spearman),
        ours("kendall", AggregateKind::Kendall),
        ours("first_reaching", AggregateKind::FirstReaching),
        ours("forgetting", AggregateKind::Forgetting),
        ours("interpolate", AggregateKind::Interpolate),
        ours("paired_bootstrap", AggregateKind::PairedBootstrap),
    ]
}

/// An aggregate of floats. If it has an `original`, that is DataFusion's aggregate of the same name, which is still
/// used for types without rounding: integers, decimals, durations.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Aggregate {
    name: String,
    aliases: Vec<String>,
    kind: AggregateKind,
    signature: Signature,
    original: Option<Arc<AggregateUDF>>,
}

/// Calls `$make` with the statistic for `$kind`, the number of its columns, and the function that reads its result.
macro_rules! of_kind {
    ($kind:expr, $arguments:expr, $make:ident($($with:expr),*)) => {{
        use Reading::{Number, Value};
        match $kind {
            AggregateKind::Sum => $make::<Total, 1>(Number(Total::sum), $($with),*),
            AggregateKind::Mean => $make::<Total, 1>(Number(Total::mean), $($with),*),
            AggregateKind::Variance(0) => $make::<Moments, 1>(Number(|m| m.variance(0)), $($with),*),
            AggregateKind::Variance(_) => $make::<Moments, 1>(Number(|m| m.variance(1)), $($with),*),
            AggregateKind::Deviation(0) => $make::<Moments, 1>(Number(|m| m.deviation(0)), $($with),*),
            AggregateKind::Deviation(_) => $make::<Moments, 1>(Number(|m| m.deviation(1)), $($with),*),
            AggregateKind::Covariance(0) => $make::<Pairs, 2>(Number(|p| p.covariance(0)), $($with),*),
            AggregateKind::Covariance(_) => $make::<Pairs, 2>(Number(|p| p.covariance(1)), $($with),*),
            AggregateKind::Correlation => $make::<Pairs, 2>(Number(Pairs::correlation), $($with),*),
            AggregateKind::Slope => $make::<Pairs, 2>(Number(Pairs::slope), $($with),*),
            AggregateKind::Intercept => $make::<Pairs, 2>(Number(Pairs::intercept), $($with),*),
            AggregateKind::R2 => $make::<Pairs, 2>(Number(Pairs::r2), $($with),*),
            AggregateKind::MeanX => $make::<Pairs, 2>(Number(Pairs::mean_x), $($with),*),
            AggregateKind::MeanY => $make::<Pairs, 2>(Number(Pairs::mean_y), $($with),*),
            AggregateKind::Sxx => $make::<Pairs, 2>(Number(Pairs::sxx), $($with),*),
            AggregateKind::Syy => $make::<Pairs, 2>(Number(Pairs::syy), $($with),*),
            AggregateKind::Sxy => $make::<Pairs, 2>(Number(Pairs::sxy), $($with),*),
            AggregateKind::LogSlope => $make::<LogSlope, 2>(Number(LogSlope::slope), $($with),*),
            AggregateKind::Spearman => $make::<Rows<2>, 2>(Value(spearman), $($with),*),
            AggregateKind::Kendall => $make::<Rows<2>, 2>(Value(kendall), $($with),*),
            AggregateKind::FirstReaching => $make::<Rows<3>, 3>(Value(first_reaching), $($with),*),
            AggregateKind::Forgetting => $make::<Rows<2>, 2>(Value(forgetting), $($with),*),
            AggregateKind::Interpolate => $make::<Rows<3>, 3>(Value(interpolate), $($with),*),
            AggregateKind::PairedBootstrap if $arguments == 2 => {
                $make::<Rows<2>, 2>(Value(bootstrap::paired_bootstrap_as_usual), $($with),*)
            }
            AggregateKind::PairedBootstrap => $make::<Rows<3>, 3>(Value(bootstrap::paired_bootstrap), $($with),*),
        }
    }};
}

fn one<S: Statistic<N>, const N: usize>(reading: Reading<S>, distinct: bool, to: &DataType) -> Box<dyn Accumulator> {
    match distinct {
        false => Box::new(One::<S, S, N>::new(reading, to.clone())),
        true => Box::new(One::<Distinct<S, N>, S, N>::new(reading, to.clone())),
    }
}

fn groups<S: Statistic<N>, const N: usize>(
    reading: Reading<S>,
    distinct: bool,
    to: &DataType,
) -> Box<dyn GroupsAccumulator> {
    match distinct {
        false => Box::new(Groups::<S, S, N>::new(reading, to.clone())),
        true => Box::new(Groups::<Distinct<S, N>, S, N>::new(reading, to.clone())),
    }
}

impl Aggregate {
    /// DataFusion's own, if its result is not a float.
    fn original(&self, to: &DataType) -> Option<&Arc<AggregateUDF>> {
        self.original.as_ref().filter(|_| *to != DataType::Float64)
    }
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        &self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let expected = match self.kind {
            AggregateKind::FirstReaching => "(step, value, threshold)",
            AggregateKind::Forgetting => "(step, value)",
            AggregateKind::Interpolate => "(tokens, value, at)",
            AggregateKind::PairedBootstrap => "(a, b), or (a, b, resamples)",
            AggregateKind::LogSlope => "(value, tokens)",
            _ => "(x, y)",
        };
        let most = expected.matches(',').count() + 1;
        let fits = match self.kind {
            AggregateKind::PairedBootstrap => [2, 3].contains(&types.len()),
            _ => types.len() == most,
        };
        if !fits || !types.iter().all(|kind| kind.is_numeric() || kind.is_null()) {
            return plan_err!("{} takes numbers: {expected}", self.name);
        }
        let mut coerced = vec![DataType::Float64; types.len()];
        if self.kind == AggregateKind::FirstReaching && types[0].is_integer() {
            coerced[0] = if types[0].is_unsigned_integer() { DataType::UInt64 } else { DataType::Int64 };
        }
        Ok(coerced)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match (&self.original, self.kind) {
            (Some(original), _) => original.return_type(types),
            (None, AggregateKind::PairedBootstrap) => Ok(bootstrap::kind()),
            // A step remains an integer.
            (None, AggregateKind::FirstReaching) => Ok(types.first().cloned().unwrap_or(DataType::Float64)),
            (None, _) => Ok(DataType::Float64),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let to = args.return_field.data_type();
        match self.original(to) {
            Some(original) => original.accumulator(args),
            None => Ok(of_kind!(self.kind, args.exprs.len(), one(args.is_distinct, to))),
        }
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match self.original(args.return_field.data_type()) {
            Some(original) => original.create_sliding_accumulator(args),
            None => self.accumulator(args),
        }
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match self.original(args.return_field.data_type()) {
            Some(original) => original.groups_accumulator_supported(args),
            None => true,
        }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let to = args.return_field.data_type();
        match self.original(to) {
            Some(original) => original.create_groups_accumulator(args),
            None => Ok(of_kind!(self.kind, args.exprs.len(), groups(args.is_distinct, to))),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        match self.original(args.return_field.data_type()) {
            Some(original) => original.state_fields(args),
            None => {
                let name = format_state_name(args.name, "exact");
                Ok(vec![Arc::new(Field::new(name, DataType::LargeBinary, true))])
            }
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn set_monotonicity(&self, to: &DataType) -> SetMonotonicity {
        match self.original(to) {
            Some(original) => original.inner().set_monotonicity(to),
            None => SetMonotonicity::NotMonotonic,
        }
    }

    /// `sum(x + 1)` is `sum(x) + count(x)` for integers, but not for floats, where each `x + 1` is rounded.
    fn simplify_expr_op_literal(
        &self,
        function: &expr::AggregateFunction,
        argument: &Expr,
        operator: Operator,
        literal: &Expr,
        argument_is_left: bool,
    ) -> Result<Option<Expr>> {
        let whole = matches!(literal, Expr::Literal(value, _) if value.data_type().is_integer());
        match &self.original {
            Some(original) if whole => {
                original.simplify_expr_op_literal(function, argument, operator, literal, argument_is_left)
            }
            _ => Ok(None),
        }
    }

    fn value_from_stats(&self, args: &StatisticsArgs) -> Option<ScalarValue> {
        self.original(args.return_type).and_then(|original| original.value_from_stats(args))
    }
}

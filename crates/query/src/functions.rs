//! The SQL functions that retrace adds to DataFusion's, or uses in place of them.
//!
//! | function | what it is | file |
//! |---|---|---|
//! | `sum`, `avg`, `var*`, `stddev*`, `covar*`, `corr`, `regr_*` over floats | the exact result, rounded once, whatever the order of the rows | `moments.rs`, on `exact.rs` |
//! | `min`, `max` over floats | of all but NaN, and zeros of both signs have an order | `extremes.rs` |
//! | `percentile_cont` | DataFusion's, without its replacement by `min` and `max` | `percentile.rs` |
//! | `count(distinct x)` of texts | DataFusion's count, with one table of texts for all groups | `distinct.rs` |
//! | `spearman(x, y)`, `kendall(x, y)` | agreement of two rankings | `rank.rs` |
//! | `log_slope(value, tokens)` | slope over ln tokens | `trajectory.rs` |
//! | `first_reaching(step, value, threshold)` | first step from which on the value stays there | `trajectory.rs` |
//! | `forgetting(step, value)` | peak minus last | `trajectory.rs` |
//! | `interpolate(tokens, value, at)` | the value between two checkpoints | `trajectory.rs` |
//! | `paired_bootstrap(a, b[, resamples])` | difference of means, its interval and p | `bootstrap.rs` |
//! | `differs(a, stderr_a, b, stderr_b[, z])` | whether two estimates differ | `elementary.rs` |
//! | `exp`, `ln`, `log*`, `power`, `sin` and kin | those of the pinned crate `libm` | `elementary.rs` |
//! | `ema(value, alpha)`, `spike(value, window, deviations)` | along a run's steps | `window.rs` |
//! | `one_nan(x)` | x, with every NaN as the same one; plans contain it, so that NaN has one order | `one_nan.rs` of the crate |
//! | `repeat`, `lpad`, `array_repeat`, `range`, `replace`, `concat`, `||` and kin | DataFusion's, where they make no more than fits | `bounded.rs` |
//! | `aligned('run a', 'run b')` | two runs side by side, a table | `aligned.rs` |
//!
//! A plan refers to all of them by name only, so a plan can be sent to another process that has registered the same
//! functions.

mod aggregates;
mod aligned;
mod bootstrap;
mod bounded;
mod distinct;
mod elementary;
pub mod exact;
mod extremes;
mod moments;
mod percentile;
mod rank;
mod ratio;
mod statistic;
mod trajectory;
mod window;

use std::sync::Arc;

use datafusion::catalog::TableFunctionImpl;
use datafusion::common::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::optimizer::Optimizer;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;

use crate::determinism::OneAnswer;
use crate::float_statistics::FloatStatistics;
use crate::json_lines::LenientJson;
use crate::lag::QuickLag;
use crate::one_nan::one_nan;
use crate::scan::Dealt;

/// Registers the functions under their names, replacing those with the same names. Table functions are registered in
/// sessions only: see [`table_functions`].
///
/// # Errors
/// If the registry does not accept them.
pub fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    let aggregates = aggregates::all().into_iter().chain(extremes::all()).chain(distinct::all());
    for function in aggregates.chain(percentile::all()) {
        registry.register_udaf(Arc::new(function))?;
    }
    for function in elementary::all() {
        registry.register_udf(Arc::new(function))?;
    }
    registry.register_udf(Arc::new(one_nan()))?;
    for function in window::all() {
        registry.register_udwf(Arc::new(function))?;
    }
    for function in bounded::all(registry) {
        registry.register_udf(Arc::new(function))?;
    }
    Ok(())
}

/// The table functions, which become ordinary plans when a query is read.
pub fn table_functions() -> Vec<(&'static str, Arc<dyn TableFunctionImpl>)> {
    vec![("aligned", Arc::new(aligned::Aligned))]
}

/// [`state`], for queries that stay in this process and run in `environment`: with an operator and a reader of ours
/// that cannot be sent.
///
/// # Errors
/// If a function cannot be registered.
pub fn local_state(config: SessionConfig, environment: Arc<RuntimeEnv>) -> Result<SessionState> {
    let state = SessionStateBuilder::new_from_existing(state(config)?).with_runtime_env(environment);
    let state = state.with_physical_optimizer_rule(Arc::new(QuickLag));
    Ok(state.with_physical_optimizer_rule(Arc::new(LenientJson)).build())
}

/// The state of a session whose queries have one answer: DataFusion's, our functions, and the rule [`OneAnswer`]. A
/// process that plans or runs a part of a query for others starts with this state.
///
/// # Errors
/// If a function cannot be registered.
pub fn state(mut config: SessionConfig) -> Result<SessionState> {
    // So that errors can show the position of a mistake.
    config.options_mut().sql_parser.collect_spans = true;
    // The order of a subquery also applies to what is selected from it.
    config.options_mut().sql_parser.enable_subquery_sort_elimination = false;
    // It removes sort columns that DataFusion considers dependent on others, which is wrong for `unnest`.
    let mut rules = Optimizer::new().rules;
    rules.retain(|rule| rule.name() != "eliminate_duplicated_expr");
    rules.push(Arc::new(bounded::Constants));
    // The rule `FloatStatistics` removes conditions from readers of files, which are evaluated elsewhere.
    config.options_mut().execution.parquet.pushdown_filters = false;
    let mut physical_rules = PhysicalOptimizer::new().rules;
    physical_rules.insert(0, Arc::new(FloatStatistics));
    let mut state = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_optimizer_rules(rules)
        .with_analyzer_rule(Arc::new(OneAnswer))
        .with_physical_optimizer_rules(physical_rules)
        .with_physical_optimizer_rule(Arc::new(FloatStatistics))
        .with_physical_optimizer_rule(Arc::new(Dealt))
        .build();
    register(&mut state)?;
    for (name, function) in table_functions() {
        state.register_udtf(name, function);
    }
    let bounds = bounded::Bounds::new(&state);
    state.add_analyzer_rule(Arc::new(bounds));
    Ok(state)
}

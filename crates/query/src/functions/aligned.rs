//! `aligned('run a', 'run b')`: comparison of two runs.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Result, ScalarValue};
use datafusion::datasource::ViewTable;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::Expr;

use super::statistic::refused;

/// Every metric of the first run at each of its steps, beside the second run's: task, metric, shots, step, tokens, a,
/// b, difference. b is the mean of the second run's values at the same step; if there is none, the linear
/// interpolation between its neighbours by tokens; if there are no neighbours, there is no row.
///
/// It is rewritten to a query on `metrics`, so it can be sent to any process that has that table.
#[derive(Debug)]
pub(super) struct Aligned;

impl TableFunctionImpl for Aligned {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let [Expr::Literal(ScalarValue::Utf8(Some(a)), _), Expr::Literal(ScalarValue::Utf8(Some(b)), _)] = args.exprs()
        else {
            return Err(refused("aligned takes the names of two runs: aligned('run a', 'run b')"));
        };
        let Some(state) = args.session().as_any().downcast_ref::<SessionState>() else {
            return Err(refused("aligned can only be planned by a session"));
        };
        let quoted = |run: &str| format!("'{}'", run.replace('\'', "''"));
        let sql = format!(
            "with a as (select task, metric, shots, step, tokens, avg(value) as value from metrics
               where run = {} group by task, metric, shots, step, tokens),
             b as (select task, metric, shots, step, tokens, value from metrics where run = {}),
             both_runs as (select a.task, a.metric, a.shots, a.step, a.tokens, a.value as a, coalesce(
                 avg(b.value) filter (where b.step = a.step),
                 interpolate(b.tokens, b.value, a.tokens)) as b
               from a join b on a.task = b.task and a.metric = b.metric and a.shots is not distinct from b.shots
               group by a.task, a.metric, a.shots, a.step, a.tokens, a.value)
             select task, metric, shots, step, tokens, a, b, a - b as difference from both_runs where b is not null",
            quoted(a),
            quoted(b)
        );
        // If the table is registered already, planning does not wait for anything.
        let mut planning = pin!(state.create_logical_plan(&sql));
        match planning.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(plan) => Ok(Arc::new(ViewTable::new(plan?, Some(sql.clone())))),
            Poll::Pending => Err(refused("aligned needs the table metrics, which does not exist")),
        }
    }
}

//! The SQL functions, and that a query has one answer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod analysis;
mod exact;
mod moments;
mod nan;
mod one_answer;
mod quick;

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, UInt32Array};
use datafusion::arrow::compute::{cast, concat_batches, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use retrace_numerics::random::Stream;
use retrace_query::functions;

/// A session with `partitions`, in small batches so that every partition gets some.
fn session(partitions: usize) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(64);
    SessionContext::new_with_state(functions::local_state(config, Arc::default()).unwrap())
}

/// Registers `rows` as `name`, shuffled by `seed` and spread over `parts` partitions.
fn spread(session: &SessionContext, name: &str, rows: &RecordBatch, seed: u64, parts: usize) {
    let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
    if seed > 0 {
        let stream = Stream::new(seed, "order");
        order.sort_by_key(|row| stream.at(0, u64::from(*row)));
    }
    let shuffled = take_record_batch(rows, &UInt32Array::from(order)).unwrap();
    let size = rows.num_rows().div_ceil(parts).max(1);
    let cut = |at: usize| {
        let start = (at * size).min(rows.num_rows());
        let part = shuffled.slice(start, size.min(rows.num_rows() - start));
        (0..part.num_rows()).step_by(50).map(|at| part.slice(at, 50.min(part.num_rows() - at))).collect()
    };
    let table = MemTable::try_new(rows.schema(), (0..parts).map(cut).collect()).unwrap();
    session.deregister_table(name).unwrap();
    session.register_table(name, Arc::new(table)).unwrap();
}

fn table(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.iter().map(|(name, column)| (*name, Arc::clone(column), true)))
        .unwrap()
}

fn float_column(values: impl IntoIterator<Item = impl Into<Option<f64>>>) -> ArrayRef {
    Arc::new(values.into_iter().map(Into::into).collect::<Float64Array>())
}

async fn ask(session: &SessionContext, sql: &str) -> datafusion::error::Result<RecordBatch> {
    let frame = session.sql(sql).await?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await?;
    let schema = batches.first().map_or(schema, RecordBatch::schema);
    Ok(concat_batches(&schema, &batches)?)
}

/// The first row, as numbers.
async fn numbers(session: &SessionContext, sql: &str) -> Vec<Option<f64>> {
    let answer = ask(session, sql).await.unwrap();
    let first = |column: &ArrayRef| {
        let column = cast(column, &DataType::Float64).unwrap();
        let column = column.as_primitive::<Float64Type>();
        (!column.is_empty() && column.is_valid(0)).then(|| column.value(0))
    };
    answer.columns().iter().map(first).collect()
}

/// The rows as text, one per line; floats with all bits.
async fn text(session: &SessionContext, sql: &str) -> String {
    let answer = match ask(session, sql).await {
        Ok(answer) => answer,
        Err(error) => panic!("{sql}: {error}"),
    };
    let options = FormatOptions::default().with_null("null");
    let columns: Vec<_> =
        answer.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    let row = |row| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join(" ");
    (0..answer.num_rows()).map(row).collect::<Vec<String>>().join("\n")
}

/// The error of a query that fails.
async fn failure(session: &SessionContext, sql: &str) -> String {
    match ask(session, sql).await {
        Ok(answer) => panic!("{sql} has an answer: {answer:?}"),
        Err(error) => error.strip_backtrace(),
    }
}

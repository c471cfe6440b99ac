//! Exact aggregates compared with DataFusion's own: the same queries on the same rows, and the ratio of the times.
//!
//! Arguments: rows (10 million), groups (1 000), partitions (1). Prints one line per query: both times in
//! milliseconds, the minimum of five, and the ratio. The rows have the range of typical metrics and, in `wide`, a
//! range that no window of [`retrace_query::functions::exact`] can hold.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench, not the product")]

use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::{ArrayRef, Float64Array, RecordBatch, UInt64Array};
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use retrace_numerics::random::Stream;
use retrace_query::functions;

const QUERIES: [&str; 9] = [
    "select sum(value) from t",
    "select sum(wide) from t",
    "select avg(value) from t",
    "select stddev(value) from t",
    "select corr(value, other) from t",
    "select key, sum(value) from t group by key order by key",
    "select key, sum(wide) from t group by key order by key",
    "select key, avg(value), stddev(value) from t group by key order by key",
    "select count(*) from (select many, sum(value) from t group by many)",
];

fn rows(count: usize, groups: u64) -> Vec<RecordBatch> {
    let stream = Stream::new(1, "bench");
    let batch = |first: usize| {
        let size = 8192.min(count - first);
        let words = |step| (first..first + size).map(move |at| stream.at(step, at as u64));
        let unit = |word: u32| f64::from(word) / 4_294_967_296.0;
        let wide = words(2)
            .map(|[a, b, c, _]| unit(a) * libm::exp2(f64::from(b % 600) - 300.0) * if c % 2 == 0 { 1.0 } else { -1.0 });
        let columns: [(&str, ArrayRef); 5] = [
            ("key", Arc::new(UInt64Array::from_iter_values(words(0).map(|[word, ..]| u64::from(word) % groups)))),
            (
                "many",
                Arc::new(UInt64Array::from_iter_values(
                    words(0).map(|[_, word, ..]| u64::from(word) % (count as u64 / 3 + 1)),
                )),
            ),
            (
                "value",
                Arc::new(Float64Array::from_iter_values(
                    words(1).map(|[a, b, ..]| unit(a) + unit(b) / 4_294_967_296.0),
                )),
            ),
            ("other", Arc::new(Float64Array::from_iter_values(words(1).map(|[a, _, c, _]| unit(a) * 3.0 + unit(c))))),
            ("wide", Arc::new(Float64Array::from_iter_values(wide))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    (0..count).step_by(8192).map(batch).collect()
}

fn main() {
    let arguments: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let argument = |at: usize, otherwise| arguments.get(at).copied().unwrap_or(otherwise);
    let (count, groups, partitions) = (argument(0, 10_000_000), argument(1, 1_000) as u64, argument(2, 1));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(partitions).build().unwrap();
    let config = SessionConfig::new().with_target_partitions(partitions);
    let batches = rows(count, groups);
    let parts: Vec<Vec<RecordBatch>> =
        batches.chunks(batches.len().div_ceil(partitions)).map(<[RecordBatch]>::to_vec).collect();
    let sessions = [
        SessionContext::new_with_config(config.clone()),
        SessionContext::new_with_state(functions::state(config).unwrap()),
    ];
    for session in &sessions {
        let table = MemTable::try_new(batches[0].schema(), parts.clone()).unwrap();
        session.register_table("t", Arc::new(table)).unwrap();
    }
    println!("{count} rows, {groups} groups, {partitions} partitions: DataFusion's, ours, ratio");
    for query in QUERIES {
        let [theirs, ours] = sessions.each_ref().map(|session| {
            let once = || {
                let start = Instant::now();
                runtime.block_on(async { session.sql(query).await.unwrap().collect().await.unwrap() });
                start.elapsed().as_secs_f64() * 1e3
            };
            (0..5).map(|_| once()).fold(f64::INFINITY, f64::min)
        });
        println!("{theirs:9.1} {ours:9.1} {:6.2}  {query}", ours / theirs);
    }
}

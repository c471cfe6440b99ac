//! Queries on a small release.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod answers;
mod floats;
mod leaked_items;
mod mistakes;
mod named;
mod sources;
mod trust;
mod urls;

use std::path::Path;

use retrace_query::Session;
use retrace_spec::{Step, Tokens};
use retrace_tables::{Contamination, Metric};

fn contamination(benchmark: &str, item: &str, line: u64, verdict: &str, method: &str) -> Contamination {
    Contamination {
        benchmark: benchmark.to_owned(),
        subset: None,
        item: item.to_owned(),
        method: method.to_owned(),
        verdict: verdict.to_owned(),
        score: 0.9,
        part: "question".to_owned(),
        parts: "question".to_owned(),
        form: "verbatim".to_owned(),
        with_answer: false,
        document: format!("d{line}"),
        shard: "s".to_owned(),
        line,
        language: None,
        origin: None,
        item_text: String::new(),
        item_spans: String::new(),
        excerpt: None,
        excerpt_start: None,
        document_spans: "0-9".to_owned(),
        left_out: 0,
    }
}

fn metric(step: u64, task: &str, value: f64) -> Metric {
    Metric {
        release: "r".to_owned(),
        run: "base".to_owned(),
        step: Some(Step(step)),
        tokens: Some(Tokens(step * 10)),
        task: task.to_owned(),
        shots: Some(0),
        metric: "acc".to_owned(),
        value,
        stderr: (step > 0).then_some(0.5),
        source: "eval, \"base\"".to_owned(),
        place: "line 1".to_owned(),
        is_group: None,
        time: None,
    }
}

fn release(directory: &Path) -> Session {
    let rows = vec![metric(2, "事实", 0.1 + 0.2), metric(0, "b", 1.0), metric(0, "a", -0.0)];
    retrace_tables::write(&directory.join("tables"), &rows).unwrap();
    Session::open(&[directory.to_owned()]).unwrap()
}

/// The answer as CSV.
fn csv(session: &Session, sql: &str) -> String {
    let answer = session.run(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    String::from_utf8(answer.write(retrace_query::Format::Csv).unwrap()).unwrap()
}

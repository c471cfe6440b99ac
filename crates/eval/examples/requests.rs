//! Answers the requests of a file with a model, and says how long it took: what `benches/eval.sh` measures.
//!
//! `requests MODEL REQUESTS ANSWERS THREADS`: REQUESTS has a JSON object on each line, with `context` and `continuation`,
//! or `text`, or `context`, `until` and `max_gen_toks`. ANSWERS gets a JSON value on each line.

#![allow(clippy::print_stdout, reason = "its output is a measurement")]

use std::error::Error;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use retrace_eval::{Limits, Prompts, answer};
use retrace_files::Root;
use retrace_harness::{Generation, Request, Response};
use retrace_model::{Engine, Inference, hub};
use serde_json::{Value, json};

fn request(line: &str) -> Result<Request, Box<dyn Error>> {
    let asked: Value = serde_json::from_str(line)?;
    let text = |name: &str| asked.get(name).and_then(Value::as_str).map(str::to_owned);
    if let Some(text) = text("text") {
        return Ok(Request::Text { text });
    }
    let context = text("context").ok_or("no context")?;
    if let Some(continuation) = text("continuation") {
        return Ok(Request::Continuation { context, continuation });
    }
    let until: Vec<String> = serde_json::from_value(asked["until"].clone())?;
    let max_gen_toks = Some(serde_json::from_value(asked["max_gen_toks"].clone())?);
    Ok(Request::Generation { context, settings: Generation { until, max_gen_toks, ..Generation::default() } })
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, requests, answers, threads] = arguments.as_slice() else {
        return Err("requests MODEL REQUESTS ANSWERS THREADS".into());
    };
    rayon::ThreadPoolBuilder::new().num_threads(threads.parse()?).build_global()?;
    let requests = std::fs::read_to_string(requests)?.lines().map(request).collect::<Result<Vec<Request>, _>>()?;
    let root = Root::open(Path::new(directory))?;
    let (description, weights) = hub::read(&root)?;
    let model = Inference::new(&description, weights, Engine::default())?;
    let prompts = Prompts::read(&root, None)?;
    let start = Instant::now();
    let asks = prompts.ask(&requests)?;
    let encoded = start.elapsed();
    let mut all = vec![Value::Null; asks.len()];
    answer(&model, &prompts, &asks, Limits::default(), &mut |at, response| {
        all[at] = match response {
            Response::Continuation { log_likelihood, greedy } => json!([log_likelihood, greedy]),
            Response::Text(log_likelihood) => json!(log_likelihood),
            Response::Generation(text) => json!(text),
        };
        Ok(())
    })?;
    let seconds = start.elapsed();
    let mut file = std::fs::File::create(answers)?;
    for answer in all {
        writeln!(file, "{answer}")?;
    }
    println!("{} {:.3} {:.3}", asks.len(), seconds.as_secs_f64(), encoded.as_secs_f64());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run()
}

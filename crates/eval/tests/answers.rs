//! Answers compared with those of lm-evaluation-harness 0.4.13, which tests/harness/answers.py writes: here a few that
//! are kept, and with `RETRACE_ANSWERS=DIRECTORY` all that are in that directory.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use retrace_eval::{Ask, EvalError, Limits, Prompts, answer};
use retrace_files::Root;
use retrace_harness::{Generation, Request, Response, python};
use retrace_model::{Engine, Inference, hub};
use serde_json::Value;

fn request(asked: &Value) -> Request {
    let text = |name: &str| asked[name].as_str().unwrap().to_owned();
    match asked["kind"].as_str().unwrap() {
        "continuation" => Request::Continuation { context: text("context"), continuation: text("continuation") },
        "text" => Request::Text { text: text("text") },
        _ => {
            let written = &asked["settings"];
            let until = match &written["until"] {
                Value::Array(all) => all.iter().map(|one| one.as_str().unwrap().to_owned()).collect(),
                one => vec![one.as_str().unwrap().to_owned()],
            };
            let max_gen_toks = written.get("max_gen_toks").map(|most| most.as_u64().unwrap() as usize);
            let written = python::Value::from(written).dict().unwrap().clone();
            Request::Generation { context: text("context"), settings: Generation { until, max_gen_toks, written } }
        }
    }
}

fn directories(root: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.join("config.json").exists());
    found.sort();
    found
}

/// What was compared.
#[derive(Debug, Default)]
struct Compared {
    log_likelihoods: usize,
    /// The largest difference, or for sums beyond 1,000 a thousand times the relative one.
    furthest: f64,
    /// Not the same flag, although no logits are nearly equal.
    greedy: usize,
    texts: usize,
    other_texts: Vec<String>,
    refused: usize,
}

fn compare(directory: &Path, file: &str, add_bos: Option<bool>, compared: &mut Compared) {
    let place = format!("{} {file}", directory.display());
    let root = Root::open(directory).unwrap();
    let (description, weights) = hub::read(&root).unwrap();
    let model = Inference::new(&description, weights, Engine::Fused).unwrap();
    let prompts = Prompts::read(&root, add_bos).unwrap();
    let all: Vec<Value> = serde_json::from_slice(&std::fs::read(directory.join(file)).unwrap()).unwrap();
    let answers = |asks: &[Ask], limits: Limits| {
        let mut all = vec![None; asks.len()];
        answer(&model, &prompts, asks, limits, &mut |request, response| {
            assert!(all[request].replace(response).is_none(), "{place}: answered twice");
            Ok(())
        })?;
        Ok::<_, EvalError>(all.into_iter().map(Option::unwrap).collect::<Vec<Response>>())
    };
    let (mut asks, mut alone, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for asked in &all {
        let request = request(asked);
        let found = prompts.ask(std::slice::from_ref(&request)).and_then(|mut asks| {
            let ask = asks.remove(0);
            let response = answers(std::slice::from_ref(&ask), Limits::default())?.remove(0);
            Ok((ask, response))
        });
        match (&asked["answer"], found) {
            (Value::Null, Err(_)) => compared.refused += 1,
            (Value::Null, Ok((_, found))) => panic!("{place}: {asked}: {found:?}"),
            (_, Err(error)) => panic!("{place}: {asked}: {error}"),
            (answer, Ok((ask, found))) => {
                asks.push(ask);
                alone.push(found);
                expected.push((asked, answer));
            }
        }
    }
    // Together the answers are those of each request alone, to the bit, also if hardly any text is written at a time.
    for memory in [1, 1 << 20] {
        let together = answers(&asks, Limits { memory, ..Limits::default() }).unwrap();
        assert_eq!(together, alone, "{place}");
    }
    for ((asked, answer), found) in expected.into_iter().zip(alone) {
        let mut near = |found: f64, expected: f64| {
            // The harness adds in binary32: sums of thousands of tokens have larger errors.
            let off = (found - expected).abs() / (expected.abs() * 1e-3).max(1.0);
            assert!(off < 1e-3, "{place}: {asked}: {found} against {expected}");
            compared.furthest = compared.furthest.max(off);
            compared.log_likelihoods += 1;
        };
        match found {
            Response::Continuation { log_likelihood, greedy } => {
                near(log_likelihood, answer[0].as_f64().unwrap());
                compared.greedy += usize::from(answer[1].as_bool().unwrap() != greedy);
            }
            Response::Text(log_likelihood) => near(log_likelihood, answer.as_f64().unwrap()),
            Response::Generation(text) => {
                compared.texts += 1;
                if answer.as_str().unwrap() != text {
                    compared.other_texts.push(format!("{place}: {asked}: {text:?}"));
                }
            }
        }
    }
}

fn compare_all(root: &Path) -> Compared {
    let mut compared = Compared::default();
    for directory in directories(root) {
        for (file, add_bos) in
            [("answers.json", None), ("answers-bos.json", Some(true)), ("answers-no-bos.json", Some(false))]
        {
            if directory.join(file).exists() {
                compare(&directory, file, add_bos, &mut compared);
            }
        }
    }
    compared
}

#[test]
fn answers_are_those_of_the_harness() {
    let kept = compare_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/answers"));
    assert!(kept.log_likelihoods >= 40 && kept.texts >= 8 && kept.refused >= 12, "{kept:?}");
    assert_eq!((kept.greedy, &*kept.other_texts), (0, &[][..]));
    if let Some(directory) = std::env::var_os("RETRACE_ANSWERS") {
        let wide = compare_all(Path::new(&directory));
        println!("{wide:?}");
        assert!(wide.log_likelihoods > 1000 && wide.texts > 200, "{wide:?}");
        assert_eq!((wide.greedy, &*wide.other_texts), (0, &[][..]));
    }
}

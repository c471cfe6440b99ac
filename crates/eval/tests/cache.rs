//! Kept answers: a file that was cut anywhere goes on, one that was changed is refused, and parts are put together.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use retrace_eval::{Ask, Cache, EvalError, Key, Limits, Prompts, answer, answer_with, part};
use retrace_files::{RegularFile, Root};
use retrace_harness::{Generation, Request, Response};
use retrace_model::{Engine, Inference, hub};
use retrace_spec::Digest;

fn setting() -> (Inference, Prompts, Vec<Ask>) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/answers/llama-template");
    let root = Root::open(&directory).unwrap();
    let (model, weights) = hub::read(&root).unwrap();
    let prompts = Prompts::read(&root, None).unwrap();
    let mut requests = Vec::new();
    for number in 0..6 {
        let context = format!("the grey donkey carried {number} sacks");
        for continuation in [" of barley", " of snow", " 梨"] {
            requests.push(Request::Continuation { context: context.clone(), continuation: continuation.to_owned() });
        }
        requests.push(Request::Text { text: context.repeat(number) });
        let settings = Generation { until: vec!["x".to_owned()], max_gen_toks: Some(7), ..Generation::default() };
        requests.push(Request::Generation { context, settings });
    }
    // Two requests twice.
    requests.extend_from_within(..2);
    let asks = prompts.ask(&requests).unwrap();
    (Inference::new(&model, weights, Engine::Fused).unwrap(), prompts, asks)
}

/// The answers without a cache.
fn plain(model: &Inference, prompts: &Prompts, asks: &[Ask]) -> Vec<Response> {
    let mut all = vec![None; asks.len()];
    answer(model, prompts, asks, Limits::default(), &mut |at, response| {
        all[at] = Some(response);
        Ok(())
    })
    .unwrap();
    all.into_iter().map(Option::unwrap).collect()
}

const MODEL: &[u8] = b"a model";

fn kept(
    path: &Path,
    setting: &(Inference, Prompts, Vec<Ask>),
    asks: &[Ask],
) -> Result<(Vec<Response>, usize), EvalError> {
    let mut cache = Cache::open(path)?;
    let before = cache.len();
    let mut done = Vec::new();
    let model = (&setting.0, Digest::of(MODEL));
    let all = answer_with(&mut cache, model, &setting.1, asks, Limits::default(), &mut |n| done.push(n))?;
    assert!(done.is_sorted() && done.last() == Some(&asks.len()), "{done:?}");
    Ok((all, before))
}

#[test]
fn a_file_that_was_cut_anywhere_goes_on() {
    let setting = setting();
    let expected = plain(&setting.0, &setting.1, &setting.2);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("answers");
    assert_eq!(kept(&path, &setting, &setting.2).unwrap(), (expected.clone(), 0));
    let whole = std::fs::read(&path).unwrap();
    // Nothing is computed or written again.
    assert_eq!(kept(&path, &setting, &setting.2).unwrap(), (expected.clone(), setting.2.len() - 2));
    assert_eq!(std::fs::read(&path).unwrap(), whole);
    for length in (0..whole.len()).step_by(7) {
        std::fs::write(&path, &whole[..length]).unwrap();
        let (all, before) = kept(&path, &setting, &setting.2).unwrap();
        assert_eq!(all, expected, "cut at {length}");
        assert!(before < setting.2.len() - 2);
        assert_eq!(std::fs::read(&path).unwrap().len(), whole.len(), "cut at {length}");
    }
}

#[test]
fn a_file_that_was_changed_is_refused() {
    let setting = setting();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("answers");
    kept(&path, &setting, &setting.2[..9]).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        for bit in [0, 7] {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            std::fs::write(&path, &changed).unwrap();
            let refused = Cache::open(&path).unwrap_err();
            assert!(matches!(refused, EvalError::Cache { .. }), "{at}: {refused}");
            // A file that is refused is not changed.
            assert_eq!(std::fs::read(&path).unwrap(), changed);
        }
    }
}

/// A record with a valid checksum that says what cannot be.
#[test]
fn a_record_that_lies_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("answers");
    let write = |contents: &[Vec<u8>]| {
        let mut bytes = b"retrace-answers/1\n".to_vec();
        for content in contents {
            let length = content.len() as u32;
            bytes.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
            bytes.extend_from_slice(content);
            bytes.extend_from_slice(&Digest::of(content).as_bytes()[..16]);
        }
        std::fs::write(&path, bytes).unwrap();
        Cache::open(&path).map(|cache| cache.len())
    };
    let record = |kind: u8, rest: &[u8]| [&[7; 32][..], &[kind], rest].concat();
    let number = |value: f64| value.to_le_bytes();
    assert_eq!(write(&[record(1, &number(-2.5))]).unwrap(), 1);
    assert_eq!(write(&[record(1, &number(f64::NEG_INFINITY))]).unwrap(), 1);
    assert_eq!(write(&[record(1, &number(-2.5)), record(1, &number(-2.5))]).unwrap(), 1);
    for (contents, expected) in [
        (vec![record(1, &number(f64::NAN))], "not a number"),
        (vec![record(1, &number(f64::INFINITY))], "not a number"),
        (vec![record(1, &[0; 7])], "another length"),
        (vec![record(0, &[&number(-1.0)[..], &[2]].concat())], "no known kind"),
        (vec![record(2, &[0xff])], "UTF-8"),
        (vec![record(3, &[])], "no known kind"),
        (vec![vec![7; 32]], "length of a record"),
        (vec![record(1, &number(-2.5)), record(1, &number(-2.0))], "two answers"),
    ] {
        let refused = write(&contents).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    for text in ["retrace-answers/2\n", "{}", "retrace-answers/1\nxxxxxxxxxxxxxxxx"] {
        std::fs::write(&path, text).unwrap();
        assert!(matches!(Cache::open(&path).unwrap_err(), EvalError::Cache { .. }), "{text}");
    }
}

#[test]
fn parts_are_put_together() {
    let setting = setting();
    let expected = plain(&setting.0, &setting.1, &setting.2);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    for parts in [1, 2, 3, 50] {
        let mut merged = Cache::open(&at(&format!("all of {parts}"))).unwrap();
        let mut covered = 0;
        for one in 1..=parts {
            let range = part(setting.2.len(), one, parts);
            assert_eq!(range.start, covered);
            covered = range.end;
            let path = at(&format!("{one} of {parts}"));
            kept(&path, &setting, &setting.2[range]).unwrap();
            merged.merge(RegularFile::open(&path).unwrap()).unwrap();
        }
        assert_eq!((covered, merged.len()), (setting.2.len(), setting.2.len() - 2));
        let never = &mut |_| {};
        let model = (&setting.0, Digest::of(MODEL));
        let all = answer_with(&mut merged, model, &setting.1, &setting.2, Limits::default(), never).unwrap();
        assert_eq!(all, expected);
        assert_eq!(merged.len(), setting.2.len() - 2, "everything was there");
    }
}

#[test]
fn a_key_is_what_determines_the_answer() {
    let (_, prompts, asks) = setting();
    let (one, other) = (Digest::of(b"1"), Digest::of(b"2"));
    let mut keys = vec![Key::new(other, prompts.digest(), 8, &asks[0]), Key::new(one, other, 8, &asks[0])];
    keys.push(Key::new(one, prompts.digest(), 9, &asks[0]));
    keys.extend(asks[..asks.len() - 2].iter().map(|ask| Key::new(one, prompts.digest(), 8, ask)));
    // The same tokens, divided otherwise, and texts that end otherwise.
    let divided = |context: &[u32], continuation: &[u32]| Ask::Continuation {
        context: context.to_vec(),
        continuation: continuation.to_vec(),
    };
    let ended = |until: &[&str]| Ask::Generation {
        context: vec![1],
        until: until.iter().map(|end| (*end).to_owned()).collect(),
        most: 2,
    };
    for ask in [divided(&[1, 2], &[3]), divided(&[1], &[2, 3]), ended(&["ab"]), ended(&["a", "b"]), ended(&[])] {
        keys.push(Key::new(one, prompts.digest(), 8, &ask));
    }
    let count = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), count);
}

#[test]
fn one_process_at_a_time_writes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("answers");
    let first = Cache::open(&path).unwrap();
    assert!(first.is_empty());
    assert!(matches!(Cache::open(&path).unwrap_err(), EvalError::File(_)));
    drop(first);
    Cache::open(&path).unwrap();
}

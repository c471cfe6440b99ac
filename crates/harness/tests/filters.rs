//! Searches, filters and what Python writes are those of Python and of lm-evaluation-harness 0.4.13: `scores.json` is
//! made by `tests/harness/scores.py`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use retrace_harness::filter::Pipeline;
use retrace_harness::object::Object;
use retrace_harness::pattern::{Found, Pattern};
use serde_json::{Map, Value, json};

fn expected() -> Value {
    serde_json::from_str(include_str!("scores.json")).expect("the expected values are JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[test]
fn searches_are_those_of_python() {
    let expected = expected();
    let texts: Vec<&str> = list(&expected["texts"]).iter().map(text).collect();
    let mut compared = 0;
    for search in list(&expected["searches"]) {
        let written = text(&search["pattern"]);
        let pattern = Pattern::new(written).unwrap_or_else(|error| panic!("{error}"));
        for ((subject, found), removed) in texts.iter().zip(list(&search["found"])).zip(list(&search["removed"])) {
            let ours: Vec<Value> = pattern
                .find_all(subject)
                .expect("a search")
                .into_iter()
                .map(|found| match found {
                    Found::One(text) => json!(text),
                    Found::Groups(texts) => json!(texts),
                })
                .collect();
            assert_eq!(json!(ours), *found, "{written} in {subject:?}");
            assert_eq!(pattern.remove(subject).expect("a search"), text(removed), "{written} in {subject:?}");
            compared += 1;
        }
    }
    assert!(compared > 1000, "only {compared} searches were compared");
}

#[test]
fn what_cannot_be_translated_is_refused_by_name() {
    for (pattern, what) in [
        ("(?x) a", "the flag 'x'"),
        ("(?a)\\w", "the flag 'a'"),
        ("(a)?(?(1)b|c)", "a conditional group"),
        ("\\N{DIGIT ONE}", "a character by its name"),
        ("\\012", "an octal escape"),
        ("\\q", "the escape '\\q' is unknown"),
        ("(a*)*", "a repeated group that can be empty"),
        ("(?:x|(a?))+", "a repeated group that can be empty"),
        ("(a", "a ')' is missing"),
        ("a)", "a ')' closes nothing"),
        ("[a", "a ']' is missing"),
        ("a\\", "it ends in a backslash"),
        ("[b-a]", "a range ends before it begins"),
    ] {
        let error = Pattern::new(pattern).expect_err(pattern).to_string();
        assert!(error.contains(what), "{pattern}: {error}");
    }
}

/// A value as the script writes it, with its type.
fn object(value: &Value) -> Object {
    let float = |value: &Value| text(value).parse::<f64>().expect("a float");
    match value {
        Value::Null => Object::None,
        Value::Bool(value) => Object::Bool(*value),
        Value::String(text) => Object::Text(text.clone()),
        Value::Array(items) => Object::List(items.iter().map(object).collect()),
        Value::Object(typed) => match typed.iter().next() {
            Some((kind, value)) => match kind.as_str() {
                "float" => Object::Float(float(value)),
                "integer" => Object::Integer(text(value).parse().expect("an integer")),
                "array" => Object::Array(list(value).iter().map(float).collect()),
                "tuple" => Object::Tuple(list(value).iter().map(object).collect()),
                _ => {
                    Object::Map(list(value).iter().map(|pair| (text(&pair[0]).to_owned(), object(&pair[1]))).collect())
                }
            },
            None => panic!("an untyped value"),
        },
        Value::Number(_) => panic!("a number without its type"),
    }
}

#[test]
fn values_are_written_as_python_writes_them() {
    for case in list(&expected()["written"]) {
        let value = object(&case["value"]);
        assert_eq!(value.json(), text(&case["json"]), "{value:?}");
        assert_eq!(value.json_indented(2), text(&case["indented"]), "{value:?}");
        assert_eq!(value.repr(), text(&case["repr"]), "{value:?}");
        assert_eq!(value.text(), text(&case["str"]), "{value:?}");
    }
}

fn pipeline(steps: &Value) -> Result<Pipeline, String> {
    Pipeline::of_task(Some(&json!([{"name": "f", "filter": steps}])))
        .map(|mut pipelines| pipelines.remove(0))
        .map_err(|error| error.to_string())
}

#[test]
fn filters_are_those_of_the_harness() {
    for case in list(&expected()["filtered"]) {
        let Object::List(answers) = object(&case["answers"]) else { panic!("answers") };
        let documents = Map::new();
        let documents: Vec<&Map<String, Value>> = answers.iter().map(|_| &documents).collect();
        let pipeline = pipeline(&case["steps"]).expect("a filter");
        let ours = pipeline.apply(answers, &documents).expect("filtered answers");
        assert_eq!(Object::List(ours), object(&case["filtered"]), "{}", case["steps"]);
    }
}

#[test]
fn wrong_filters_are_refused_with_their_place() {
    for (steps, problem) in [
        (
            json!([{"function": "custom", "filter_fn": "x"}]),
            "filter_list[0].filter[0]: the filter 'custom' is not supported",
        ),
        (json!([{"function": "format_span"}]), "the filter 'format_span' is not supported: it is not ported"),
        (json!([{"function": "decontaminate"}]), "the filter 'decontaminate' is not supported"),
        (json!([{"function": "nothing"}]), "the filter 'nothing' is unknown"),
        (json!([{"function": "regex", "regex": "x"}]), "the option 'regex' is unknown"),
        (json!([{"function": "regex", "regex_pattern": "("}]), "a ')' is missing"),
        (json!([{"function": "regex", "group_select": "1"}]), "'group_select' is not a whole number"),
        (json!([{"function": "take_first_k"}]), "'k' is not a whole number from 0"),
        (json!([{"function": 1}]), "a filter that is a function of Python is not supported"),
        (json!(["regex"]), "it is not a mapping"),
    ] {
        let error = pipeline(&steps).expect_err("an error");
        assert!(error.contains(problem), "{steps}: {error}");
    }
}

#[test]
fn answers_that_a_filter_cannot_take_are_errors() {
    let documents = Map::new();
    for (steps, answer, problem) in [
        (json!([{"function": "take_first_k", "k": 3}]), json!(["a", "b"]), "3 answers to a request are needed"),
        (json!([{"function": "take_first"}, {"function": "take_first"}]), json!([null]), "not None"),
        (json!([{"function": "remove_whitespace"}]), json!([null]), "an answer is None, not a text"),
        (json!([{"function": "regex", "regex_pattern": "a", "group_select": 5}]), json!(["aa"]), "has 2 matches"),
        (json!([{"function": "regex", "regex_pattern": "a", "group_select": -3}]), json!(["aa"]), "has 2 matches"),
        (json!([{"function": "multi_choice_regex"}]), json!(["aa"]), "the document has no list 'choices'"),
        (
            json!([{"function": "majority_vote"}, {"function": "majority_vote"}, {"function": "take_first"}, {"function": "take_first"}]),
            json!([]),
            "there is no answer to vote for",
        ),
    ] {
        let pipeline = pipeline(&steps).expect("a filter");
        let error = pipeline.apply(vec![Object::from(&answer)], &[&documents]).expect_err("an error").to_string();
        assert!(error.contains(problem), "{steps}: {error}");
    }
}

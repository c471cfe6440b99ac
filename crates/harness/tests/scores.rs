//! Scores, filters, files and tables are those of lm-evaluation-harness 0.4.13. `scores.json` has what the harness
//! itself made of invented documents and random answers (`tests/harness/scores.py`).
//!
//! Values of documents, means, medians, groups and texts are compared to the bit. What goes through an exponential or a
//! square has a last digit that depends on the C library there: relative 1e-12.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use retrace_harness::metric::{Aggregation, OutputType};
use retrace_harness::object::Object;
use retrace_harness::python::{self, Dict};
use retrace_harness::results::{
    Evaluation, GroupRules, Run, TaskResult, results_json, sample_hashes, sample_line, table, task_hash,
};
use retrace_harness::score::{Answered, Rules, Scored, Scoring};
use retrace_harness::stderr::standard_error;
use retrace_harness::{Document, Generation, Instance, Request, Response};
use serde_json::{Map, Value};

fn expected() -> Value {
    serde_json::from_str(include_str!("scores.json")).expect("the expected values are JSON")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// A value as the script writes it, with its type.
fn object(value: &Value) -> Object {
    let float = |value: &Value| text(value).parse::<f64>().expect("a float");
    match value {
        Value::Null => Object::None,
        Value::Bool(value) => Object::Bool(*value),
        Value::String(text) => Object::Text(text.clone()),
        Value::Array(items) => Object::List(items.iter().map(object).collect()),
        Value::Object(typed) => {
            let (kind, value) = typed.iter().next().expect("a typed value");
            match kind.as_str() {
                "float" => Object::Float(float(value)),
                "integer" => Object::Integer(text(value).parse().expect("an integer")),
                "array" => Object::Array(list(value).iter().map(float).collect()),
                "tuple" => Object::Tuple(list(value).iter().map(object).collect()),
                "map" => {
                    let entries = list(value).iter().map(|pair| (text(&pair[0]).to_owned(), object(&pair[1])));
                    Object::Map(entries.collect())
                }
                other => panic!("the type {other}"),
            }
        }
        Value::Number(_) => panic!("a number without its type"),
    }
}

fn entries(value: &Object) -> &[(String, Object)] {
    match value {
        Object::Map(entries) => entries,
        other => panic!("{other:?} is no dict"),
    }
}

/// Whether two values are the same; floats to the bit, or within a tolerance. Every NaN is the same.
fn same(left: &Object, right: &Object, tolerance: f64) -> bool {
    let all = |left: &[Object], right: &[Object]| {
        left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right, tolerance))
    };
    let close = |left: f64, right: f64| {
        left.to_bits() == right.to_bits()
            || left.is_nan() && right.is_nan()
            || tolerance > 0.0 && (left == right || (left - right).abs() <= tolerance * left.abs().max(right.abs()))
    };
    match (left, right) {
        (Object::Float(left), Object::Float(right)) => close(*left, *right),
        (Object::Array(left), Object::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| close(*left, *right))
        }
        (Object::List(left), Object::List(right)) | (Object::Tuple(left), Object::Tuple(right)) => all(left, right),
        (Object::Map(left), Object::Map(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| left.0 == right.0 && same(&left.1, &right.1, tolerance))
        }
        (left, right) => left == right,
    }
}

struct Asked {
    name: String,
    scoring: Scoring,
    documents: Vec<Document>,
    columns: Vec<Object>,
    targets: Vec<Object>,
    answers: Vec<(Instance, Vec<Response>)>,
    scored: Scored,
    lines: Vec<String>,
    hash: String,
}

fn response(value: &Object) -> Response {
    match value {
        Object::Text(text) => Response::Generation(text.clone()),
        Object::Float(value) => Response::Text(*value),
        Object::Tuple(pair) => match pair.as_slice() {
            [Object::Float(log_likelihood), Object::Bool(greedy)] => {
                Response::Continuation { log_likelihood: *log_likelihood, greedy: *greedy }
            }
            other => panic!("the answer {other:?}"),
        },
        other => panic!("the answer {other:?}"),
    }
}

fn json(value: &Object) -> Value {
    value.to_json().expect("finite numbers")
}

fn json_map(value: &Object) -> Map<String, Value> {
    json(value).as_object().expect("a mapping").clone()
}

fn settings(written: &Object) -> Dict {
    python::Value::from(&json(written)).dict().expect("a mapping").clone()
}

fn request(arguments: &Object) -> Request {
    let Object::List(arguments) = arguments else { panic!("arguments") };
    match arguments.as_slice() {
        [Object::Text(text)] => Request::Text { text: text.clone() },
        [Object::Text(context), Object::Text(continuation)] => {
            Request::Continuation { context: context.clone(), continuation: continuation.clone() }
        }
        [Object::Text(context), written] => Request::Generation {
            context: context.clone(),
            settings: Generation { written: settings(written), ..Generation::default() },
        },
        other => panic!("the arguments {other:?}"),
    }
}

fn asked(task: &Value, bootstraps: usize) -> Asked {
    let flag = |key: &str| task[key].as_bool().expect("a flag");
    let rules = Rules {
        output_type: OutputType::named(text(&task["output_type"])).expect("an output type"),
        filter_list: Some(&task["filter_list"]),
        metric_list: Some(&task["metric_list"]),
        process_results: None,
        aggregations: &[],
        has_choices: flag("has_choices"),
        multiple_inputs: flag("multiple_inputs"),
        multiple_targets: flag("multiple_targets"),
    };
    let scoring = Scoring::new(&rules).expect("rules");
    let columns: Vec<Object> = list(&task["documents"]).iter().map(|document| object(&document["columns"])).collect();
    let targets: Vec<Object> = list(&task["documents"]).iter().map(|document| object(&document["target"])).collect();
    let documents: Vec<Document> = list(&task["documents"])
        .iter()
        .zip(&columns)
        .zip(&targets)
        .map(|((document, columns), target)| Document {
            columns: json_map(columns),
            target: json(target),
            choices: list(&document["choices"]).iter().map(|choice| text(choice).to_owned()).collect(),
            input: document["input"].as_i64(),
        })
        .collect();
    let number = |value: &Value| usize::try_from(value.as_u64().expect("a number")).expect("a small number");
    let answers: Vec<(Instance, Vec<Response>)> = list(&task["instances"])
        .iter()
        .map(|instance| {
            let Object::List(responses) = object(&instance["responses"]) else { panic!("responses") };
            let asked = Instance {
                document: number(&instance["document"]),
                index: number(&instance["index"]),
                request: request(&object(&instance["arguments"])),
            };
            (asked, responses.iter().map(response).collect())
        })
        .collect();
    let answered: Vec<Answered> =
        answers.iter().map(|(instance, responses)| Answered { instance, responses }).collect();
    let numbered: Vec<(usize, &Document)> = documents.iter().enumerate().collect();
    let scored = scoring.score(&numbered, &answered, bootstraps).expect("scores");
    let (mut lines, mut hashes) = (Vec::new(), Vec::new());
    for sample in &scored.samples {
        let of: Vec<Answered> =
            answered.iter().filter(|answer| answer.instance.document == sample.document).copied().collect();
        let (columns, target) = (&columns[sample.document], &targets[sample.document]);
        let hash = sample_hashes(columns, target, &of);
        lines.push(sample_line(columns, target, &of, sample, &hash));
        hashes.push(hash);
    }
    let hash = task_hash(&hashes);
    Asked { name: text(&task["task"]).to_owned(), scoring, documents, columns, targets, answers, scored, lines, hash }
}

fn bootstraps(evaluated: &Value) -> usize {
    usize::try_from(evaluated["bootstraps"].as_u64().expect("a number")).expect("a small number")
}

/// The tolerance of a result: what goes through no exponential, logarithm or square is compared to the bit.
fn tolerance(key: &str) -> f64 {
    if ["stderr", "perplexity", "brier", "bleu"].iter().any(|part| key.contains(part)) { 1e-12 } else { 0.0 }
}

#[test]
fn tasks_score_as_in_the_harness() {
    let expected = expected();
    let evaluated = &expected["evaluated"];
    let mut compared = 0;
    for task in list(&evaluated["tasks"]) {
        let asked = asked(task, bootstraps(evaluated));
        assert_eq!(asked.documents.len(), asked.columns.len());
        let values = list(&task["values"]);
        assert_eq!(values.len(), asked.scored.samples.len(), "{}", asked.name);
        for (value, sample) in values.iter().zip(&asked.scored.samples) {
            let (ours, theirs) = (Object::Map(sample.values.clone()), object(value));
            assert!(same(&ours, &theirs, 1e-15), "{} {}: {ours:?} is not {theirs:?}", asked.name, sample.document);
            compared += sample.values.len();
        }
        let theirs = object(&task["results"]);
        let theirs = entries(&theirs);
        let named = |key: &str| theirs.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone());
        assert_eq!(named("sample_len"), Some(Object::Integer(asked.scored.evaluated as i128)), "{}", asked.name);
        assert_eq!(theirs.len(), asked.scored.results.len() + 3, "{}", asked.name);
        for ((key, ours), (their_key, theirs)) in asked.scored.results.iter().zip(&theirs[3..]) {
            assert_eq!(key, their_key, "{}", asked.name);
            assert!(same(ours, theirs, tolerance(key)), "{} {key}: {ours:?} is not {theirs:?}", asked.name);
            compared += 1;
        }
        let directions = Object::Map(asked.scoring.higher_is_better());
        assert_eq!(directions, object(&task["higher_is_better"]), "{}", asked.name);
    }
    assert!(compared > 600, "only {compared} values were compared");
}

#[test]
fn samples_are_written_as_the_harness_writes_them() {
    let expected = expected();
    let mut compared = 0;
    for task in list(&expected["evaluated"]["tasks"]) {
        let asked = asked(task, 0);
        assert_eq!(asked.hash, text(&task["hash"]), "{}", asked.name);
        let lines: Vec<&str> = list(&task["lines"]).iter().map(text).collect();
        let ours = asked.lines.iter().take(2).chain(asked.lines.last());
        for (ours, theirs) in ours.zip(lines) {
            // The settings of a generation are in the order of a `Map`, not of the task.
            if matches!(asked.answers[0].0.request, Request::Generation { .. }) {
                let (ours, theirs): (Value, Value) =
                    (serde_json::from_str(ours).expect("JSON"), serde_json::from_str(theirs).expect("JSON"));
                assert_eq!(ours, theirs, "{}", asked.name);
            } else {
                assert_eq!(ours, theirs, "{}", asked.name);
            }
            compared += 1;
        }
        assert_eq!(asked.targets.len(), asked.documents.len());
    }
    assert!(compared > 40, "only {compared} lines were compared");
}

fn groups() -> Vec<GroupRules> {
    let metrics = |metrics: Value| retrace_harness::group::AggregateMetric::of_group(Some(&metrics)).expect("metrics");
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    vec![
        GroupRules {
            name: "outer".to_owned(),
            alias: Some("All".to_owned()),
            version: "2".to_owned(),
            children: names(&["choices_binary", "written_filters", "written", "inner"]),
            metrics: metrics(serde_json::json!([
                {"metric": "acc", "weight_by_size": true}, {"metric": "exact_match"},
                {"metric": "exact_match", "filter_list": ["strict", "none"], "weight_by_size": false},
                {"metric": "absent"},
            ])),
        },
        GroupRules {
            name: "inner".to_owned(),
            alias: None,
            version: "N/A".to_owned(),
            children: names(&["choices", "choices_two", "choices_one"]),
            metrics: metrics(serde_json::json!([
                {"metric": "acc", "weight_by_size": false}, {"metric": "acc_norm", "filter_list": "none"},
            ])),
        },
        GroupRules {
            name: "zoo".to_owned(),
            alias: None,
            version: "N/A".to_owned(),
            children: names(&["pages"]),
            metrics: Vec::new(),
        },
    ]
}

fn evaluation(evaluated: &Value) -> (Evaluation, Vec<(String, String)>) {
    let mut hashes = Vec::new();
    let tasks: Vec<TaskResult> = list(&evaluated["tasks"])
        .iter()
        .map(|task| {
            let asked = asked(task, bootstraps(evaluated));
            hashes.push((asked.name.clone(), asked.hash));
            TaskResult {
                alias: asked.name.clone(),
                version: Object::Float(1.0),
                shots: 0,
                config: Object::None,
                higher_is_better: asked.scoring.higher_is_better(),
                documents: asked.documents.len(),
                evaluated: asked.scored.evaluated,
                results: asked.scored.results,
                name: asked.name,
            }
        })
        .collect();
    (Evaluation::new(&tasks, &groups()).expect("groups"), hashes)
}

#[test]
fn results_have_the_entries_of_the_harness() {
    let expected = expected();
    let evaluated = &expected["evaluated"];
    let (evaluation, task_hashes) = evaluation(evaluated);
    assert_eq!(evaluation.missing.len(), 1);
    assert!(evaluation.missing[0].1.iter().any(|(key, without)| key == "acc,none" && without.len() == 2));
    let run = Run {
        model: "hf".to_owned(),
        model_args: Object::from("pretrained=org/model"),
        model_name: "org/model".to_owned(),
        model_info: vec![("model_num_parameters".to_owned(), Object::Integer(7))],
        batch_size: Object::Integer(1),
        device: Object::from("cpu"),
        limit: Object::None,
        bootstraps: 2000,
        gen_kwargs: Object::None,
        fewshot_seed: 1234,
        date: Some(1.5),
        seconds: Some(0.25),
        tokenizer: vec![("max_length".to_owned(), Object::Integer(2048))],
        fewshot_as_multiturn: false,
        task_hashes,
        retrace: Object::Map(vec![("checkpoint".to_owned(), Object::from("00"))]),
    };
    let written = results_json(&evaluation, &run);
    // What Python writes for NaN and infinity is not JSON.
    assert!(written.contains("\"brier_score,none\": NaN") && written.contains("\"perplexity,none\": Infinity"));
    assert!(written.contains("\n    \"bootstrap_iters\": 2000,\n") && written.contains("\"limit\": null"));
    let parsable = written.replace(": NaN", ": null").replace(": Infinity", ": null");
    let parsed: Value = serde_json::from_str(&parsable).expect("JSON");
    let theirs = &evaluated["written"];
    for (key, theirs) in theirs.as_object().expect("entries") {
        let theirs = json(&object(theirs));
        assert_eq!(parsed[key], theirs, "{key}");
    }
    let places: Vec<usize> = list(&evaluated["keys"])
        .iter()
        .map(|key| {
            written
                .find(&format!("\n  {}: ", Object::Text(text(key).to_owned()).json()))
                .unwrap_or_else(|| panic!("{key} is missing"))
        })
        .collect();
    assert!(places.is_sorted(), "the entries are not in the order of the harness: {places:?}");
}

#[test]
fn groups_and_tables_are_those_of_the_harness() {
    let expected = expected();
    let evaluated = &expected["evaluated"];
    let (evaluation, _) = evaluation(evaluated);
    let entry = |key: &str| {
        evaluation
            .entries
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
            .expect("an entry of the results")
    };
    let results = entries(entry("results"));
    let order: Vec<&str> = results.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(order, list(&evaluated["order"]).iter().map(text).collect::<Vec<_>>());
    let order: Vec<&str> = entries(entry("groups")).iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(order, list(&evaluated["group_order"]).iter().map(text).collect::<Vec<_>>());
    for (name, theirs) in evaluated["groups"].as_object().expect("groups") {
        let ours = results.iter().find(|(other, _)| other == name).map(|(_, value)| value).expect("the group");
        let theirs = object(theirs);
        assert_eq!(entries(ours).len(), entries(&theirs).len(), "{name}");
        for ((key, ours), (their_key, theirs)) in entries(ours).iter().zip(entries(&theirs)) {
            assert_eq!(key, their_key, "{name}");
            assert!(same(ours, theirs, tolerance(key)), "{name} {key}: {ours:?} is not {theirs:?}");
        }
    }
    let theirs = object(&evaluated["higher_is_better"]);
    for (name, theirs) in entries(&theirs) {
        let ours = entries(entry("higher_is_better")).iter().find(|(other, _)| other == name);
        assert_eq!(ours.map(|(_, value)| value.clone()).unwrap_or(Object::None), *theirs, "{name}");
    }
    for (table_of, groups_only) in [("table", false), ("group_table", true)] {
        let theirs: Vec<Vec<String>> = text(&evaluated[table_of])
            .lines()
            .skip(2)
            .filter(|line| !line.is_empty())
            // A column of numbers gives its digits to whole numbers too.
            .map(|line| line.replace("999.0000", "999"))
            .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
            .collect();
        let ours: Vec<Vec<String>> = table(&evaluation, groups_only)
            .into_iter()
            .map(|row| {
                let version = row.version.trim_end_matches(".0").to_owned();
                [row.name, version, row.filter, row.shots, row.metric, row.direction, row.value, row.sign, row.error]
                    .map(|cell| cell.trim().to_owned())
                    .to_vec()
            })
            .collect();
        assert_eq!(ours, theirs, "{table_of}");
    }
}

#[test]
fn aggregations_and_their_errors_are_those_of_the_harness() {
    for case in list(&expected()["aggregates"]) {
        let name = text(&case["aggregation"]);
        let aggregation = Aggregation::named(name).expect("an aggregation");
        let Object::List(values) = object(&case["values"]) else { panic!("values") };
        let (ours, theirs) = (aggregation.of(&values).expect("a value"), object(&case["value"]));
        let exact = matches!(name, "mean" | "median" | "nanmean" | "f1" | "bits_per_byte" | "bypass");
        assert!(same(&ours, &theirs, if exact { 0.0 } else { 1e-12 }), "{name} {values:?}: {ours:?} is not {theirs:?}");
        for pair in list(&case["errors"]) {
            let draws = usize::try_from(pair[0].as_u64().expect("a number")).expect("a small number");
            let ours = standard_error("any name", aggregation, &values, draws).expect("an error");
            let (ours, theirs) = (ours.map_or(Object::from("N/A"), Object::Float), object(&pair[1]));
            assert!(same(&ours, &theirs, 1e-12), "{name} {draws} {values:?}: {ours:?} is not {theirs:?}");
        }
    }
}

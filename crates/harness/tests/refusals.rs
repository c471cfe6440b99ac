//! What cannot be scored is an error with its place, never a number.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use retrace_harness::group::{AggregateMetric, TaskScores, group_scores};
use retrace_harness::metric::{Aggregation, ExactMatch, METRICS, OutputType, REFUSED, exact_match, pass_at_k};
use retrace_harness::object::Object;
use retrace_harness::pattern::Pattern;
use retrace_harness::results::{Evaluation, GroupRules};
use retrace_harness::score::{Answered, Rules, Scoring};
use retrace_harness::stderr::standard_error;
use retrace_harness::{Document, Instance, Request, Response};
use serde_json::{Map, Value, json};

fn rules(output_type: OutputType, metric_list: &Value) -> Rules<'_> {
    Rules {
        output_type,
        filter_list: None,
        metric_list: Some(metric_list),
        process_results: None,
        aggregations: &[],
        has_choices: output_type == OutputType::MultipleChoice,
        multiple_inputs: false,
        multiple_targets: false,
    }
}

#[test]
fn metrics_are_refused_by_name() {
    for (output_type, metrics, problem) in [
        (OutputType::GenerateUntil, json!([{"metric": "ter"}]), "the metric 'ter' is not supported: it is not ported"),
        (OutputType::GenerateUntil, json!([{"metric": "rouge"}]), "looks for it in Hugging Face evaluate"),
        (
            OutputType::GenerateUntil,
            json!([{"metric": "bleu", "hf_evaluate": true}]),
            "'bleu' of Hugging Face evaluate",
        ),
        (OutputType::GenerateUntil, json!([{"metric": "f1"}]), "no rule that makes it of a generated text"),
        (OutputType::GenerateUntil, json!([{"metric": {"function": "x"}}]), "a metric of its own is not supported"),
        (
            OutputType::GenerateUntil,
            json!([{"metric": "exact_match", "ignore_cases": true}]),
            "'ignore_cases' is unknown",
        ),
        (OutputType::GenerateUntil, json!([{"metric": "exact_match", "ignore_case": 1}]), "neither true nor false"),
        (
            OutputType::MultipleChoice,
            json!([{"metric": "acc", "aggregation": {"function": "x"}}]),
            "an aggregation of its own",
        ),
        (
            OutputType::MultipleChoice,
            json!([{"metric": "acc", "aggregation": "ter"}]),
            "the aggregation 'ter' is not supported",
        ),
        (
            OutputType::MultipleChoice,
            json!([{"metric": "acc", "aggregation": "mode"}]),
            "the aggregation 'mode' is unknown",
        ),
        (OutputType::MultipleChoice, json!([{"aggregation": "mean"}]), "metric_list[0]: it has no 'metric'"),
        (OutputType::MultipleChoice, json!({"metric": "acc"}), "metric_list: it is not a list"),
    ] {
        let error = Scoring::new(&rules(output_type, &metrics)).expect_err("an error").to_string();
        assert!(error.contains(problem), "{metrics}: {error}");
    }
}

#[test]
fn each_metric_is_in_the_table_once() {
    let mut names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
    names.extend(REFUSED.iter().map(|(name, _)| *name));
    names.sort_unstable();
    let registered = [
        "acc",
        "acc_all",
        "acc_bytes",
        "acc_mutual_info",
        "acc_norm",
        "bits_per_byte",
        "bleu",
        "brier_score",
        "bypass",
        "byte_perplexity",
        "chrf",
        "chrf++",
        "exact_match",
        "f1",
        "likelihood",
        "mcc",
        "perplexity",
        "ter",
        "word_perplexity",
    ];
    assert_eq!(names, registered);
}

fn continuation(document: usize, index: usize) -> Instance {
    let request = Request::Continuation { context: "a".to_owned(), continuation: " b".to_owned() };
    Instance { document, index, request }
}

fn scored(metrics: &Value, target: Value, answers: usize) -> String {
    let scoring = Scoring::new(&rules(OutputType::MultipleChoice, metrics)).expect("rules");
    let document = Document { columns: Map::new(), target, choices: vec!["x".to_owned(), "y".to_owned()], input: None };
    let instances: Vec<Instance> = (0..answers).map(|index| continuation(0, index)).collect();
    let response = [Response::Continuation { log_likelihood: -1.0, greedy: false }];
    let answered: Vec<Answered> =
        instances.iter().map(|instance| Answered { instance, responses: &response }).collect();
    match scoring.score(&[(0, &document)], &answered, 0) {
        Ok(scored) => format!("{:?}", scored.results),
        Err(error) => error.to_string(),
    }
}

#[test]
fn answers_that_do_not_fit_are_errors() {
    let acc = json!([{"metric": "acc"}]);
    for (target, answers, problem) in [
        (json!(0), 3, "document 0: 3 answers to 2 choices"),
        (json!(0), 0, "document 0: no request is about it"),
        (json!(null), 2, "the target is None, neither a number nor the text of a choice"),
        (json!(0.5), 2, "the target is a float"),
        (json!([0]), 2, "the target is a list, but that of the first document is not"),
        // Ties: the first is the best.
        (json!(0), 2, "(\"acc,none\", Float(1.0))"),
        (json!(1), 2, "(\"acc,none\", Float(0.0))"),
        (json!("no choice"), 2, "(\"acc,none\", Float(0.0))"),
    ] {
        let said = scored(&acc, target.clone(), answers);
        assert!(said.contains(problem), "{target}, {answers} answers: {said}");
    }
    let said = scored(&json!([{"metric": "likelihood"}]), json!(0), 2);
    assert!(said.contains("metric likelihood: a value is a tuple, not a number"), "{said}");
    let said = scored(&json!([{"metric": "acc_mutual_info"}]), json!(0), 2);
    assert!(said.contains("the choices were not asked without a context"), "{said}");
    let said = scored(&json!([{"metric": "exact_match"}]), json!(-5), 2);
    assert!(said.contains("the target -5 is not one of 2 answers"), "{said}");
}

#[test]
fn a_request_without_a_document_or_an_answer_is_an_error() {
    let acc = json!([{"metric": "acc"}]);
    let scoring = Scoring::new(&rules(OutputType::MultipleChoice, &acc)).expect("rules");
    let instance = continuation(3, 0);
    let error = scoring.score(&[], &[Answered { instance: &instance, responses: &[] }], 0).expect_err("an error");
    assert_eq!(error.to_string(), "document 3: it was asked about, but is not there");
    let document = Document { columns: Map::new(), target: json!(0), choices: Vec::new(), input: None };
    let error = scoring.score(&[(3, &document)], &[Answered { instance: &instance, responses: &[] }], 0);
    assert_eq!(error.expect_err("an error").to_string(), "document 3: a request has no answer");
}

#[test]
fn aggregates_that_do_not_exist_are_errors() {
    let floats = |values: &[f64]| -> Vec<Object> { values.iter().copied().map(Object::Float).collect() };
    for (aggregation, values, problem) in [
        (Aggregation::Mean, Vec::new(), "no document has a value"),
        (Aggregation::Median, floats(&[1.0, f64::NAN]), "there is no median"),
        (Aggregation::Perplexity, floats(&[-1000.0]), "larger than any float"),
        (Aggregation::Brier, floats(&[1.0]), "not a pair"),
        (Aggregation::F1, floats(&[1.0]), "not a pair of two classes"),
        (Aggregation::Bleu, floats(&[1.0]), "not a pair of a reference and a text"),
        (
            Aggregation::BitsPerByte,
            vec![Object::Tuple(vec![Object::Float(-1.0), Object::Integer(0)])],
            "the weights are 0",
        ),
    ] {
        let error = aggregation.of(&values).expect_err("an error");
        assert!(error.contains(problem), "{aggregation:?}: {error}");
    }
    let error = standard_error("perplexity", Aggregation::Perplexity, &floats(&[-1.0, -2.0]), 1);
    assert!(error.expect_err("an error").contains("one bootstrap has no deviation"));
}

#[test]
fn groups_that_cannot_be_put_together_are_errors() {
    for (list, problem) in [
        (json!([{"metric": "acc", "aggregation": "median"}]), "the aggregation \"median\" is not supported"),
        (json!([{"aggregation": "mean"}]), "it has no 'metric'"),
        (json!([{"metric": "acc", "weight": true}]), "the field 'weight' is unknown"),
        (json!([{"metric": "acc", "weight_by_size": "yes"}]), "'weight_by_size' has the wrong type"),
        (json!("acc"), "neither a list nor a mapping"),
    ] {
        let error = AggregateMetric::of_group(Some(&list)).expect_err("an error").to_string();
        assert!(error.contains(problem), "{list}: {error}");
    }
    let metrics = AggregateMetric::of_group(Some(&json!({"metric": "acc"}))).expect("metrics");
    let results = vec![("acc,none".to_owned(), Object::from("good"))];
    let tasks = [TaskScores { task: "t", results: &results, evaluated: 1 }];
    assert!(group_scores(&metrics, &tasks).expect_err("an error").to_string().contains("is not a number"));
    let group = |name: &str, child: &str| GroupRules {
        name: name.to_owned(),
        alias: None,
        version: "N/A".to_owned(),
        children: vec![child.to_owned()],
        metrics: Vec::new(),
    };
    let error = Evaluation::new(&[], &[group("a", "b"), group("b", "a")]).expect_err("an error").to_string();
    assert_eq!(error, "group a: it contains itself");
    let error = Evaluation::new(&[], &[group("top", "a"), group("a", "b"), group("b", "a")]).expect_err("an error");
    assert_eq!(error.to_string(), "group a: it contains itself");
}

#[test]
fn pass_at_k_is_the_share_of_draws() {
    // By counting all ways to draw k of n.
    for (total, correct, k) in [(5, 2, 1), (5, 2, 3), (6, 1, 4), (4, 0, 2), (4, 4, 2), (3, 2, 2)] {
        let draws: Vec<u32> = (0_u32..1 << total).filter(|draw| draw.count_ones() == k).collect();
        let right = draws.iter().filter(|draw| *draw & ((1 << correct) - 1) != 0).count();
        let expected = right as f64 / draws.len() as f64;
        let ours = pass_at_k(total, correct, k as usize).expect("a chance");
        assert!((ours - expected).abs() < 1e-12, "{total} {correct} {k}: {ours}, not {expected}");
    }
    assert_eq!(pass_at_k(3, 4, 1), None);
    assert_eq!(pass_at_k(3, 1, 4), None);
}

#[test]
fn texts_are_compared_without_what_is_ignored() {
    let pattern = Pattern::new("x+").expect("a pattern");
    let all = ExactMatch {
        ignore_case: true,
        ignore_punctuation: true,
        ignore_numbers: true,
        regexes_to_ignore: vec![pattern],
    };
    assert_eq!(exact_match(&all, &["A.xx1", "b"], &["a", "c"]), Ok(0.5));
    assert_eq!(exact_match(&ExactMatch::default(), &["a\0"], &["a"]), Ok(1.0));
    // Lowering this letter adds one, which an array of numpy has no place for.
    let case = ExactMatch { ignore_case: true, ..ExactMatch::default() };
    assert_eq!(exact_match(&case, &["İ"], &["i"]), Ok(1.0));
}

fn lengths(columns: &Map<String, Value>, answers: &[Value]) -> Result<Vec<(String, Value)>, String> {
    let text = answers[0].as_str().ok_or("no text")?;
    Ok(vec![("length".to_owned(), json!(text.len())), ("id".to_owned(), columns["id"].clone())])
}

fn greatest(values: &[Value]) -> Result<f64, String> {
    values.iter().filter_map(Value::as_f64).reduce(f64::max).ok_or_else(|| "nothing".to_owned())
}

#[test]
fn ported_functions_score_documents_and_put_them_together() {
    let metrics = json!([{"metric": "length", "aggregation": {"function": "greatest"}, "higher_is_better": false}]);
    let ported = [("length".to_owned(), greatest as retrace_harness::Aggregate)];
    let rules =
        Rules { process_results: Some(lengths), aggregations: &ported, ..rules(OutputType::GenerateUntil, &metrics) };
    let scoring = Scoring::new(&rules).expect("rules");
    let documents: Vec<Document> = (0..3)
        .map(|id| Document {
            columns: Map::from_iter([("id".to_owned(), json!(id))]),
            target: json!(""),
            choices: Vec::new(),
            input: None,
        })
        .collect();
    let documents: Vec<(usize, &Document)> = documents.iter().enumerate().collect();
    let instances: Vec<Instance> = (0..3).map(|document| continuation(document, 0)).collect();
    let responses = ["ab", "abcd", ""].map(|text| [Response::Generation(text.to_owned())]);
    let answered: Vec<Answered> =
        instances.iter().zip(&responses).map(|(instance, responses)| Answered { instance, responses }).collect();
    let scored = scoring.score(&documents, &answered, 100).expect("scores");
    assert_eq!(scored.evaluated, 3);
    assert_eq!(scored.averaged, ["id"]);
    let results: Vec<(&str, String)> = scored.results.iter().map(|(key, value)| (key.as_str(), value.text())).collect();
    let id_error = (1.0 / 3.0_f64.sqrt()).to_string();
    assert_eq!(
        results,
        [
            ("length,none", "4.0".to_owned()),
            ("length_stderr,none", "N/A".to_owned()),
            ("id,none", "1.0".to_owned()),
            ("id_stderr,none", id_error),
        ]
    );
    let infinite = [Response::Continuation { log_likelihood: f64::NEG_INFINITY, greedy: false }];
    let answered: Vec<Answered> =
        instances.iter().map(|instance| Answered { instance, responses: &infinite }).collect();
    let error = scoring.score(&documents, &answered, 0).expect_err("an error").to_string();
    assert!(error.contains("document 0: an answer is not a finite number"), "{error}");
}

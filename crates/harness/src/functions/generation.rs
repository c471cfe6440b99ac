//! Tasks in which a model writes its answer.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use crate::function::Port;
use crate::functions::common::{column, dict, mapped, text, texts};
use crate::functions::equivalence::{boxed, in_text, is_equivalent, same_latex, without_box};
use crate::python::{Dict, Value, stripped, words};
use crate::substitution::replaced;

const LETTERS: [&str; 10] = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"];
const THINK: &str = "Let's think step by step.";

/// The digests of sources with their ports.
pub(super) const PORTS: &[(&str, Port)] = &[
    ("b3:4b08d92f37c1bfff3abe7cdfe41d0f14f78dc11dbf14fa766260f4617a9bec54", Port::Value(mmlu_pro_text)),
    ("b3:b5842dd8701f26c7984af3a71f4f289be274a7b90caeef77f828b393c889b34b", Port::Value(mmlu_pro_text)),
    ("b3:1fb8808cae68ab0952a61ae201b36d73f846e8c470bab7fa41c544a1a6712cf1", Port::Value(mmlu_pro_target)),
    (
        "b3:525ecdf78db1ed6da71bafb7afff1392f2533fc383eed1b44aeca905d6693394",
        Port::Documents(|documents| of_category(documents, "biology")),
    ),
    (
        "b3:642bd5d1df8619c2138e8a55a0885ed5ae9e5da2f73809a2bfaa6a6bf6ed3e0e",
        Port::Documents(|documents| of_category(documents, "business")),
    ),
    (
        "b3:e5943d757bff42aea2876497306a6d5a6da1c7c7a0443e6821b3463e9d7ee4d2",
        Port::Documents(|documents| of_category(documents, "chemistry")),
    ),
    (
        "b3:3865cc1f0a5044cb0191d88c8b2d29f333915cfd686487b58a572685c9aab7e0",
        Port::Documents(|documents| of_category(documents, "computer science")),
    ),
    (
        "b3:139e41fb7bd72762fab02773a1dfb56cd6e1f8f1b8c8abc7341b1a64ad257e8a",
        Port::Documents(|documents| of_category(documents, "economics")),
    ),
    (
        "b3:8d3713fb7fbe12515281214c421420b3fc75e62a7a9d35d7d664008ffa36292b",
        Port::Documents(|documents| of_category(documents, "engineering")),
    ),
    (
        "b3:2f06bb8cade16deefde8630f3a14b876c6fc7a01a96d17acad91b72667d6962f",
        Port::Documents(|documents| of_category(documents, "health")),
    ),
    (
        "b3:6a4cdacbbf1dd2dc6d12c5fe06f6784bbe1e3b4d3a93135a90c871883300cc3f",
        Port::Documents(|documents| of_category(documents, "history")),
    ),
    (
        "b3:44373753191326bf4a8b642671a487f074975e12e83366e12eb4ab5a64e60dcb",
        Port::Documents(|documents| of_category(documents, "law")),
    ),
    (
        "b3:d905136a0fb383b334e8a1dab2a86eb57afb692e9b454985957a5f201bb4451a",
        Port::Documents(|documents| of_category(documents, "math")),
    ),
    (
        "b3:13b61dea01e40d9c7c807d6bf92436adc1db7025143be2e37ce3a97e1b03eb2d",
        Port::Documents(|documents| of_category(documents, "other")),
    ),
    (
        "b3:e51db5fa2fafc31207f89b1355d20893190c91badaf936d0c63b37254c546450",
        Port::Documents(|documents| of_category(documents, "philosophy")),
    ),
    (
        "b3:59c988c2613ce368fe486ff98bcf030472339a1e34c2738f7476841e31b6e506",
        Port::Documents(|documents| of_category(documents, "physics")),
    ),
    (
        "b3:bd2e3177d61bf5ccb140fc28d36a7bb3b60772644b956ca9aa254e04b32a58b5",
        Port::Documents(|documents| of_category(documents, "psychology")),
    ),
    ("b3:447050b674b725a527a19b924a032f2cbb5c6f9d14fc9b1e07eb99de0e08426e", Port::Documents(drop_documents)),
    ("b3:b9fdc1419b2eced9b67fcf06e439861796f346a04ffc66cce36d5fc0d851fed4", Port::Results(drop_results)),
    ("b3:de4851ee25c902358625166b5ffabd6dd5702fa6d969e097a41f7a3ebab887e2", Port::Results(agieval_results)),
    ("b3:96f3776a7bf911048013d740f950311602f9a9553d39e2697d760b6da36ac9af", Port::Documents(math_documents)),
    ("b3:4e8730238b0b0d4dc0b87e4955e7e84dfeac0034ea2d121dceec07157e97b13f", Port::Results(math_results)),
];

fn mmlu_pro_text(document: &Dict) -> Result<Value, String> {
    let mut out = format!("Question:\n{}\nOptions:\n", text(document, "question")?);
    for (letter, option) in LETTERS.iter().zip(texts(document, "options")?) {
        out += &format!("{letter}. {}\n", stripped(option));
    }
    Ok(format!("{out}Answer: {THINK}").into())
}

fn mmlu_pro_target(document: &Dict) -> Result<Value, String> {
    Ok(text(document, "cot_content")?.replace(&format!("A: {THINK} "), "").into())
}

fn of_category(documents: Vec<Dict>, category: &str) -> Result<Vec<Dict>, String> {
    documents
        .into_iter()
        .filter_map(|document| match column(&document, "category") {
            Ok(value) => value.equals(&category.into()).then_some(Ok(document)),
            Err(what) => Some(Err(what)),
        })
        .collect()
}

fn drop_documents(documents: Vec<Dict>) -> Result<Vec<Dict>, String> {
    mapped(documents, |document| {
        Ok(dict([
            ("id", column(document, "query_id")?.clone()),
            ("passage", column(document, "passage")?.clone()),
            ("question", column(document, "question")?.clone()),
            ("answers", drop_answers(document)?),
        ]))
    })
}

fn drop_answers(document: &Dict) -> Result<Value, String> {
    let own = column(document, "answer")?.dict().ok_or("`answer` is no object")?;
    let checked = column(document, "validated_answers")?.dict().ok_or("`validated_answers` is no object")?;
    let lists = ["number", "date", "spans"].map(|name| checked.get(name).and_then(Value::list).unwrap_or_default());
    let mut answers = vec![drop_answer(own.get("number"), own.get("date"), own.get("spans"))?];
    for at in 0..lists[0].len() {
        let answer = drop_answer(lists[0].get(at), lists[1].get(at), lists[2].get(at))?;
        if !answers.contains(&answer) {
            answers.push(answer);
        }
    }
    Ok(Value::List(answers))
}

fn drop_answer(number: Option<&Value>, date: Option<&Value>, spans: Option<&Value>) -> Result<Value, String> {
    let number = number.ok_or("an answer has no `number`")?;
    if !number.equals(&"".into()) {
        return Ok(vec![number.shown()].into());
    }
    match spans {
        Some(Value::List(spans)) if !spans.is_empty() => return Ok(Value::List(spans.clone())),
        Some(Value::List(_)) => {}
        _ => return Err("the `spans` of an answer are no list".to_owned()),
    }
    let date = date.and_then(Value::dict).ok_or("an answer has no `date`")?;
    let date = [text(date, "day")?, text(date, "month")?, text(date, "year")?].join(" ");
    Ok(vec![stripped(&date)].into())
}

fn drop_results(document: &Map<String, Json>, results: &[Json]) -> Result<Vec<(String, Json)>, String> {
    let [_] = results else { return Err(format!("it has {} answers, and one is scored", results.len())) };
    let predicted = normalized(written(results)?)?;
    let answers = document.get("answers").and_then(Json::as_array).ok_or("it has no list `answers`")?;
    let (mut exact, mut best) = (0.0_f64, 0.0_f64);
    for answer in answers {
        let spans = answer.as_array().map(|spans| spans.iter().map(Json::as_str).collect::<Option<Vec<&str>>>());
        let spans = spans.flatten().ok_or("an answer is no list of texts")?;
        if stripped(spans.first().ok_or("an answer is empty")?).is_empty() {
            continue;
        }
        let gold = spans.iter().map(|span| normalized(span)).collect::<Result<Vec<_>, _>>()?;
        if gold.as_slice() == std::slice::from_ref(&predicted) {
            exact = 1.0;
        }
        // Of several spans one is paired with the only prediction, and the others count as missing.
        let overlap = gold.iter().map(|gold| overlap(&predicted, gold)).fold(0.0, f64::max) / gold.len() as f64;
        best = best.max((overlap * 100.0).round_ties_even() / 100.0);
    }
    Ok(vec![("em".to_owned(), json!(exact)), ("f1".to_owned(), json!(best))])
}

/// `float(text)`, if that is a number.
fn number(text: &str) -> Option<f64> {
    let text = stripped(text);
    let joined = |at: usize| {
        let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        digit(text[..at].chars().next_back()) && digit(text[at + 1..].chars().next())
    };
    if !text.match_indices('_').all(|(at, _)| joined(at)) {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// An answer in small letters without punctuation and articles, with numbers written in one way.
fn normalized(answer: &str) -> Result<String, String> {
    let mut kept = Vec::new();
    for token in answer.split([' ', '-']) {
        let token = token.to_lowercase();
        let token = match number(&token) {
            Some(_) => token,
            None => token.replace(|c: char| c.is_ascii_punctuation(), ""),
        };
        let token = number(&token).map_or(token, |number| Value::Float(number).shown());
        let token = replaced(r"\b(a|an|the)\b", &token, " ", 0)?;
        let token = words(&token).collect::<Vec<_>>().join(" ");
        if !token.is_empty() {
            kept.push(token);
        }
    }
    Ok(kept.join(" "))
}

/// The F1 of the words of two answers; 0 if one has numbers and the other none of them.
fn overlap(predicted: &str, gold: &str) -> f64 {
    let bag = |text: &str| words(text).map(str::to_owned).collect::<BTreeSet<_>>();
    let (predicted, gold) = (bag(predicted), bag(gold));
    let numbers =
        |bag: &BTreeSet<String>| bag.iter().filter(|word| number(word).is_some()).cloned().collect::<BTreeSet<_>>();
    let wanted = numbers(&gold);
    if !wanted.is_empty() && wanted.is_disjoint(&numbers(&predicted)) {
        return 0.0;
    }
    let both = gold.intersection(&predicted).count() as f64;
    let part = |bag: &BTreeSet<String>| if bag.is_empty() { 1.0 } else { both / bag.len() as f64 };
    let (precision, recall) = (part(&predicted), part(&gold));
    if precision == 0.0 && recall == 0.0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) }
}

fn written(results: &[Json]) -> Result<&str, String> {
    results.first().and_then(Json::as_str).ok_or_else(|| "its first answer is no text".to_owned())
}

fn agieval_results(document: &Map<String, Json>, results: &[Json]) -> Result<Vec<(String, Json)>, String> {
    let gold = document.get("answer").ok_or("it has no column `answer`")?;
    let same = match gold {
        Json::Null => false,
        Json::String(gold) => is_equivalent(in_text(written(results)?)?.as_deref(), in_text(gold)?.as_deref()),
        _ => return Err("the column `answer` is no text".to_owned()),
    };
    Ok(vec![("acc".to_owned(), json!(i32::from(same)))])
}

fn solution_of(solution: &str) -> Result<String, String> {
    without_box(&boxed(solution).ok_or("the solution has no `\\boxed`")?)
}

fn math_documents(documents: Vec<Dict>) -> Result<Vec<Dict>, String> {
    mapped(documents, |document| {
        Ok(dict([
            ("problem", column(document, "problem")?.clone()),
            ("solution", column(document, "solution")?.clone()),
            ("answer", solution_of(text(document, "solution")?)?.into()),
        ]))
    })
}

fn math_results(document: &Map<String, Json>, results: &[Json]) -> Result<Vec<(String, Json)>, String> {
    let written = written(results)?;
    let answer = match (written.find('$'), written.rfind('$')) {
        (Some(first), Some(last)) if first < last => &written[first + 1..last],
        _ => written,
    };
    let solution = document.get("solution").and_then(Json::as_str).ok_or("it has no text `solution`")?;
    let same = same_latex(answer, &solution_of(solution)?, true);
    Ok(vec![("exact_match".to_owned(), json!(i32::from(same)))])
}

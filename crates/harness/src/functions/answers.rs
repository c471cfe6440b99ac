//! Tasks whose answers are compared as SQuAD compares them.

use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};

use crate::function::Port;
use crate::functions::common::{column, dict, mapped, text, texts};
use crate::python::{Dict, Value, stripped, words};
use crate::substitution::replaced;

/// The digests of sources with their ports.
pub(super) const PORTS: &[(&str, Port)] = &[
    ("b3:e0ca740372ad2c55f10dcba8bc0550bbde19bd1b8a3b7af703936a1755fbae47", Port::Value(coqa_text)),
    (
        "b3:3814be67d7c4cbb6128bbe07ea648df1f5b527244ec573fc36bfb06996013cb0",
        Port::Value(|document| Ok(coqa_answers(document)?.into())),
    ),
    ("b3:137fddda6752f826f7ae1eee5c253420a3e3012c934e47c5ee663b06a55fdd3a", Port::Results(coqa_results)),
    ("b3:6ff8c763699e2bab857b5425d034517ea54b4eba979c07dcd404d00e820a9b4d", Port::Documents(record)),
    ("b3:0e7013e9b7d25a06b3b30c6dfd0dfc6f9a95caab978c2852d36387c674878b0c", Port::Value(record_text)),
    ("b3:3fdac1203c74e14b93f645e1a7b4b9fcbf2fd97fee3831e587f7fdc20b74694a", Port::Value(record_target)),
    ("b3:fcf0e7026c70f60607ee1b623d7537279e1c977531c772885a79ee191527e723", Port::Value(record_choice)),
    ("b3:14e27e0da637461cbce965dca00267f6003af18f56e259030ba2afa4c6b60725", Port::Results(record_results)),
];

/// The words of an answer in small letters, without punctuation and articles.
fn bag(answer: &str) -> Result<Vec<String>, String> {
    let plain: String = answer.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let plain = replaced(r"\b(a|an|the)\b", &plain, " ", 0)?;
    Ok(words(&plain).map(str::to_owned).collect())
}

/// Whether two answers are the same, and the F1 of their words.
fn compared(gold: &str, predicted: &str) -> Result<(f64, f64), String> {
    let (gold, predicted) = (bag(gold)?, bag(predicted)?);
    let exact = if gold == predicted { 1.0 } else { 0.0 };
    if gold.is_empty() || predicted.is_empty() {
        return Ok((exact, exact));
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    gold.iter().for_each(|word| *counts.entry(word).or_default() += 1);
    let mut both = 0_usize;
    for word in &predicted {
        if let Some(count) = counts.get_mut(word.as_str()).filter(|count| **count > 0) {
            *count -= 1;
            both += 1;
        }
    }
    if both == 0 {
        return Ok((exact, 0.0));
    }
    let (precision, recall) = (both as f64 / predicted.len() as f64, both as f64 / gold.len() as f64);
    Ok((exact, 2.0 * precision * recall / (precision + recall)))
}

/// The best of the comparisons with these answers.
fn best<'a>(golds: impl Iterator<Item = &'a str>, predicted: &str) -> Result<(f64, f64), String> {
    golds.map(|gold| compared(gold, predicted)).try_fold((0.0_f64, 0.0_f64), |(exact, f1), next| {
        let (next_exact, next_f1) = next?;
        Ok((exact.max(next_exact), f1.max(next_f1)))
    })
}

fn turns<'a>(document: &'a Dict, name: &str) -> Result<Vec<&'a str>, String> {
    let of = column(document, name)?.dict().ok_or_else(|| format!("the column `{name}` is no object"))?;
    texts(of, "input_text")
}

fn coqa_text(document: &Dict) -> Result<Value, String> {
    let (questions, answers) = (turns(document, "questions")?, turns(document, "answers")?);
    let before = answers.split_last().map_or(&[][..], |(_, before)| before);
    if before.len() > questions.len() {
        return Err("it has more answers than questions".to_owned());
    }
    let mut out = format!("{}\n\n", text(document, "story")?);
    for (at, question) in questions.iter().enumerate() {
        out += &format!("Q: {question}\n\n");
        out += &before.get(at).map_or_else(|| "A:".to_owned(), |answer| format!("A: {answer}\n\n"));
    }
    Ok(out.into())
}

/// The answers to the last question, each once, whatever the size of its letters.
fn coqa_answers(document: &Dict) -> Result<Vec<String>, String> {
    let last = turns(document, "questions")?.len().checked_sub(1).ok_or("it has no questions")?;
    let of = |answers: Vec<&str>| answers.get(last).map(|answer| (*answer).to_owned()).ok_or("an answer is missing");
    let mut all = vec![of(turns(document, "answers")?)?];
    if let Some(Value::Dict(more)) = document.get("additional_answers") {
        for (name, _) in more.iter() {
            let answer = of(turns(more, name)?)?;
            if !all.iter().any(|there| there.to_lowercase() == answer.to_lowercase()) {
                all.push(answer);
            }
        }
    }
    Ok(all)
}

fn coqa_results(document: &Map<String, Json>, results: &[Json]) -> Result<Vec<(String, Json)>, String> {
    let document: Dict = document.iter().map(|(name, value)| (name.clone(), value.into())).collect();
    let golds = coqa_answers(&document)?;
    let written = results.first().and_then(Json::as_str).ok_or("its first answer is no text")?;
    let predicted = stripped(written).split('\n').next().unwrap_or_default();
    let (mut exact, mut f1) = (0.0, 0.0);
    for left_out in 0..golds.len() {
        // With several answers, each is left out once, as a person is compared with the others.
        let others = golds.iter().enumerate().filter(|(at, _)| golds.len() == 1 || *at != left_out);
        let (next_exact, next_f1) = best(others.map(|(_, gold)| gold.as_str()), predicted)?;
        exact += next_exact;
        f1 += next_f1;
    }
    let count = golds.len() as f64;
    Ok(vec![("em".to_owned(), json!(exact / count)), ("f1".to_owned(), json!(f1 / count))])
}

fn record(documents: Vec<Dict>) -> Result<Vec<Dict>, String> {
    mapped(documents, |document| {
        let sorted = |name: &str| -> Result<Value, String> {
            let mut all = texts(document, name)?;
            all.sort_unstable();
            all.dedup();
            Ok(all.into())
        };
        Ok(dict([
            ("passage", column(document, "passage")?.clone()),
            ("query", column(document, "query")?.clone()),
            ("entities", sorted("entities")?),
            ("answers", sorted("answers")?),
        ]))
    })
}

fn record_text(document: &Dict) -> Result<Value, String> {
    let mut parts = stripped(text(document, "passage")?).split("\n@highlight\n");
    let mut out = format!("{}\n\n", parts.next().unwrap_or_default());
    parts.for_each(|part| out += &format!("  - {part}.\n"));
    Ok(out.into())
}

fn filled(document: &Dict, entity: &str) -> Result<String, String> {
    Ok(format!("  - {}", text(document, "query")?).replace("@placeholder", entity))
}

fn record_target(document: &Dict) -> Result<Value, String> {
    let answers = texts(document, "answers")?;
    Ok(filled(document, answers.first().ok_or("it has no answers")?)?.into())
}

fn record_choice(document: &Dict) -> Result<Value, String> {
    let choices = texts(document, "entities")?.into_iter().map(|entity| filled(document, entity));
    Ok(choices.collect::<Result<Vec<_>, _>>()?.into())
}

fn record_results(document: &Map<String, Json>, results: &[Json]) -> Result<Vec<(String, Json)>, String> {
    let list =
        |name: &str| document.get(name).and_then(Json::as_array).ok_or_else(|| format!("it has no list `{name}`"));
    let chosen = super::likelihoods::greatest(super::likelihoods::log_likelihoods(results)?.into_iter());
    let (entities, answers) = (list("entities")?, list("answers")?);
    let chosen = chosen.and_then(|at| entities.get(at)).and_then(Json::as_str).ok_or("no choice is the greatest")?;
    let (exact, f1) = best(answers.iter().filter_map(Json::as_str), chosen)?;
    Ok(vec![("f1".to_owned(), json!(f1)), ("em".to_owned(), json!(exact))])
}

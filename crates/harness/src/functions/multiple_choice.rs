//! Tasks of multiple choice.

use crate::function::Port;
use crate::functions::common::{dict, list, mapped, position, text, texts};
use crate::pattern::replaced;
use crate::python::{Dict, Value, capitalized, literal, stripped};

const LETTERS: [&str; 4] = ["A", "B", "C", "D"];

/// The digests of sources with their ports.
pub(super) const PORTS: &[(&str, Port)] = &[
    ("b3:f596a1d293b80099b8f81448970d8523de5f1652d5a0c7b7435bf1411f8ad650", Port::Documents(hellaswag)),
    ("b3:8e5e0f259c683a60c931209a92adaffe8c88452132302f35dfecc5de8a64b161", Port::Value(winogrande_text)),
    ("b3:b6d9ef89e1ad26eb25666e58399469f3ab103acb178df569718f2653a48eaffe", Port::Value(winogrande_target)),
    ("b3:f0dda0e6d3d2dc4444d39b27367ae396234ad4d4c4921eb72a32c539bf013ed1", Port::Value(winogrande_choice)),
    ("b3:b1756b6766451c9b9426e936d3f0fbcaec4c8472caefbb67949547b8809299b2", Port::Value(race_text)),
    ("b3:27405a1d471c593ef973740ed03838d0f486ccc90c22fe177cc30f18a3327959", Port::Value(race_target)),
    ("b3:ed44a55ff932379d992f796d9e41d69a2d4405a20fcf3fc8b61e758340f6764d", Port::Value(race_choice)),
    ("b3:4adacb0b3d8f7e3fbf459cbec54dbe3e9b7a824a25264e609f1351f84f5bd605", Port::Value(logiqa_text)),
    ("b3:91ad6639ec2cfbe80f14207757f142e2b35b8f476071343a56787157016c12f2", Port::Value(logiqa_target)),
];

fn hellaswag(documents: Vec<Dict>) -> Result<Vec<Dict>, String> {
    let cleaned = |of: &str| -> Result<String, String> {
        let without = replaced(r"\[.*?\]", &stripped(of).replace(" [title]", ". "), "", 0)?;
        Ok(without.replace("  ", " "))
    };
    mapped(documents, |document| {
        let context = format!("{} {}", text(document, "ctx_a")?, capitalized(text(document, "ctx_b")?));
        let endings = texts(document, "endings")?;
        let label = text(document, "label")?;
        let gold: i128 = stripped(label).parse().map_err(|_| format!("the label {label:?} is no number"))?;
        Ok(dict([
            ("query", cleaned(&format!("{}: {context}", text(document, "activity_label")?))?.into()),
            ("choices", endings.into_iter().map(cleaned).collect::<Result<Vec<_>, _>>()?.into()),
            ("gold", gold.into()),
        ]))
    })
}

fn winogrande_parts(document: &Dict) -> Result<(&str, &str), String> {
    text(document, "sentence")?.split_once('_').ok_or_else(|| "the sentence has no `_`".to_owned())
}

fn winogrande_text(document: &Dict) -> Result<Value, String> {
    position(text(document, "answer")?, &["1", "2"]).map(Value::from)
}

fn winogrande_target(document: &Dict) -> Result<Value, String> {
    Ok(stripped(winogrande_parts(document)?.1).into())
}

fn winogrande_choice(document: &Dict) -> Result<Value, String> {
    let (before, _) = winogrande_parts(document)?;
    let of = |name: &str| Ok(format!("{before}{}", text(document, name)?));
    Ok([of("option1"), of("option2")].into_iter().collect::<Result<Vec<String>, String>>()?.into())
}

fn race_problems(document: &Dict) -> Result<(Vec<Dict>, Dict), String> {
    let problems = literal(text(document, "problems")?)?;
    let problems = problems.list().ok_or("the problems are no list")?;
    let problems = problems.iter().map(|problem| problem.dict().cloned()).collect::<Option<Vec<Dict>>>();
    let mut problems = problems.ok_or("a problem is no dict")?;
    let last = problems.pop().ok_or("it has no problems")?;
    Ok((problems, last))
}

fn race_answer(problem: &Dict) -> Result<&str, String> {
    let answer = position(text(problem, "answer")?, &LETTERS)?;
    texts(problem, "options")?.get(answer).copied().ok_or_else(|| "a problem has less options".to_owned())
}

fn race_text(document: &Dict) -> Result<Value, String> {
    let (before, last) = race_problems(document)?;
    let mut out = format!("Article: {}\n\n", text(document, "article")?);
    for problem in &before {
        let (question, answer) = (text(problem, "question")?, race_answer(problem)?);
        match question.strip_suffix("  _  .") {
            Some(start) => out += &format!("{start} {answer}\n"),
            None => out += &format!("Question: {question}\nAnswer: {answer}\n"),
        }
    }
    out += text(&last, "question")?;
    Ok(out.into())
}

fn race_target(document: &Dict) -> Result<Value, String> {
    position(text(&race_problems(document)?.1, "answer")?, &LETTERS).map(Value::from)
}

fn race_choice(document: &Dict) -> Result<Value, String> {
    let (_, last) = race_problems(document)?;
    let options = list(&last, "options")?.get(..4).ok_or("the last problem has less than 4 options")?;
    Ok(Value::List(options.to_vec()))
}

fn logiqa_text(document: &Dict) -> Result<Value, String> {
    let mut out =
        format!("Passage: {}\nQuestion: {}\nChoices:\n", text(document, "context")?, text(document, "question")?);
    for (letter, option) in LETTERS.iter().zip(list(document, "options")?) {
        out += &format!("{letter}. {}\n", option.shown());
    }
    Ok((out + "Answer:").into())
}

fn logiqa_target(document: &Dict) -> Result<Value, String> {
    position(stripped(text(document, "label")?), &["a", "b", "c", "d"]).map(Value::from)
}

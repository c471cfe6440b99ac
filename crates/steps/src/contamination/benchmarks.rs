//! Benchmarks of others as items: which columns are what, and the forms in which choices and answers are written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use retrace_analysis::contamination::BenchmarkItem;
use retrace_corpus::records::{Records, columns};
use retrace_eval::{Items, LoadedTask, Question};
use retrace_files::{FileError, RegularFile};
use serde_json::Value;

use super::inputs::{Columns, Layout, Skipped};
use crate::StepError;

/// What an item has, by the names of its columns.
pub(super) const FIELDS: &[&str] = &["id", "question", "choices", "answer", "passage", "solution", "subset"];

/// A benchmark that was read.
pub(super) struct Benchmark {
    pub(super) items: Vec<BenchmarkItem>,
    /// The records that were skipped.
    pub(super) skipped: Skipped,
    /// The columns that an item has.
    pub(super) had: BTreeSet<String>,
    /// What can be read in two ways, and how it was read.
    pub(super) remark: Option<String>,
}

/// The items of the benchmark `name` in the file at `path`.
pub(super) fn read(path: &Path, name: &str, fields: &Columns, skip: bool) -> Result<Benchmark, StepError> {
    let there = columns(RegularFile::open(path)?, &fields.every())?;
    let fields = fields.of_file(&there);
    if !there.is_empty() {
        // An item without a question asks by its passage, but only if the user says that there is none.
        fields.check(path, &there, if fields.reads("question") { &["question"] } else { &["passage"] })?;
    }
    let (mut items, mut numbered): (Vec<BenchmarkItem>, Vec<(usize, u64)>) = (Vec::new(), Vec::new());
    let (mut lines, mut had) = (BTreeMap::new(), there.into_iter().collect());
    let mut skipped = Skipped::default();
    let mut records = Records::open(RegularFile::open(path)?, fields.all())?;
    while let Some(record) = records.next() {
        let (line, values) = match record {
            Ok(record) => record,
            Err(FileError::Json { line, what, .. }) => {
                skipped.or_fail(skip, &mut records, path, line as u64, what)?;
                continue;
            }
            Err(other) => return Err(other.into()),
        };
        fields.note(&values, &mut had);
        let made = item(name, line, &fields, &values).and_then(|(item, number)| match lines.get(&item.id) {
            Some(first) => Err(format!("has the id {:?} of line {first}; ids must be unique", item.id)),
            None => Ok((item, number)),
        });
        match made {
            Ok((item, number)) => {
                numbered.extend(number.map(|number| (items.len(), number)));
                lines.insert(item.id.clone(), line);
                items.push(item);
            }
            Err(what) => skipped.or_fail(skip, &mut records, path, line, what)?,
        }
    }
    if items.is_empty() {
        return Err(StepError::NoRecords { what: format!("{} has no items", path.display()) });
    }
    let remark = by_index_or_text(&mut items, &numbered);
    Ok(Benchmark { items, skipped, had, remark })
}

/// Decides what the answers mean that are integers, where choices are numbers: the index of a choice from 0 or its text.
/// They are indices if all of the benchmark are valid indices, and some is the text of no choice. Says what was ambiguous.
fn by_index_or_text(items: &mut [BenchmarkItem], numbered: &[(usize, u64)]) -> Option<String> {
    let (mut valid, mut texts, mut either) = (true, true, 0_usize);
    for (item, number) in numbered {
        let choices = items.get(*item).map_or(&[][..], |item| &item.choices);
        let chosen = usize::try_from(*number).ok().and_then(|at| choices.get(at));
        let text = number.to_string();
        let is_text = choices.contains(&text);
        valid &= chosen.is_some();
        texts &= is_text;
        either += usize::from(is_text && chosen.is_some_and(|choice| *choice != text));
    }
    let index = valid && !texts;
    if index {
        for (item, number) in numbered {
            if let Some(item) = items.get_mut(*item) {
                item.answer = usize::try_from(*number).ok().and_then(|at| chosen(at, &item.choices));
            }
        }
    }
    let read = if index { "the index from 0, as in the other items" } else { "the text" };
    let of = if either == 1 { "1 item is".to_owned() } else { format!("{either} items are") };
    (either > 0).then(|| {
        format!("the answers of {of} an integer that can be the index of a choice or the text of another; it was read as {read}")
    })
}

/// The items of a task, with its own item ids: a text is what is asked.
pub(super) fn of_task(task: &LoadedTask) -> Vec<BenchmarkItem> {
    let benchmark = || task.task.name.clone();
    match &task.items {
        Items::Texts(texts) => {
            let item = |id: &String, text: &String| BenchmarkItem {
                id: id.clone(),
                benchmark: benchmark(),
                question: Some(text.clone()),
                ..BenchmarkItem::default()
            };
            texts.iter().map(|text| item(&text.id, &text.text)).collect()
        }
        Items::Questions(questions) => {
            let item = |question: &Question| BenchmarkItem {
                id: question.id.clone(),
                benchmark: benchmark(),
                question: Some(question.question.clone()),
                choices: question.choices.clone(),
                answer: chosen(question.answer, &question.choices),
                ..BenchmarkItem::default()
            };
            questions.iter().map(item).collect()
        }
    }
}

/// The choice number `at` as an answer: its letter, which is not mistaken for a text.
fn chosen(at: usize, choices: &[String]) -> Option<String> {
    match u8::try_from(at) {
        Ok(at) if at < 10 => Some(char::from(b'A' + at).to_string()),
        _ => choices.get(at).cloned(),
    }
}

/// The item in a record, and its answer if that is an integer that can be the index of a choice or its text.
fn item(benchmark: &str, line: u64, fields: &Layout, values: &[Value]) -> Result<(BenchmarkItem, Option<u64>), String> {
    let one = |field: &str| fields.of(field, values).next().unwrap_or(&Value::Null);
    let read = |field: &str| text(one(field)).map_err(|what| format!("{field} {what}"));
    let (choices, labels) =
        choices(fields.of("choices", values).collect()).map_err(|what| format!("choices {what}"))?;
    let number = one("answer").as_u64().filter(|number| {
        let text = number.to_string();
        !choices.is_empty() && !labels.iter().any(|label| label.trim() == text)
    });
    let answer = answer(one("answer"), &choices, &labels).map_err(|what| format!("answer {what}"))?;
    let item = BenchmarkItem {
        id: read("id")?.unwrap_or_else(|| line.to_string()),
        benchmark: benchmark.to_owned(),
        subset: read("subset")?,
        question: read("question")?,
        choices,
        answer,
        passage: read("passage")?,
        solution: read("solution")?,
    };
    let texts = [&item.question, &item.passage, &item.solution, &item.answer];
    if texts.into_iter().flatten().all(|text| text.trim().is_empty()) {
        return Err(match fields.other_name("question") {
            Some(column) => format!("has no question in the column {column:?}, and no passage, solution or answer"),
            None => "has no question, passage, solution or answer".to_owned(),
        });
    }
    Ok((item, number))
}

/// A value as text: numbers and truth values as they are written; none if there is none.
pub(super) fn text(value: &Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Bool(truth) => Ok(Some(truth.to_string())),
        Value::Array(_) => Err("is a list, not a text".to_owned()),
        Value::Object(_) => Err("is an object, not a text".to_owned()),
    }
}

/// The choices and their labels, if they have such: a list of texts, an object with the lists `text` and `label`, a list
/// of such objects, an object from labels to texts, or several columns with one choice each. A choice that is null keeps
/// its place, so that the others keep their letters; at the end there is none.
fn choices(values: Vec<&Value>) -> Result<(Vec<String>, Vec<String>), String> {
    let (mut choices, labels) = with_nulls(values)?;
    while choices.last().is_some_and(String::is_empty) {
        choices.pop();
    }
    Ok((choices, labels))
}

fn with_nulls(values: Vec<&Value>) -> Result<(Vec<String>, Vec<String>), String> {
    let texts = |values: &mut dyn Iterator<Item = &Value>| -> Result<Vec<String>, String> {
        values.map(|value| Ok(text(value)?.unwrap_or_default())).collect()
    };
    let [value] = values[..] else {
        return Ok((texts(&mut values.into_iter())?, Vec::new()));
    };
    match value {
        Value::Null => Ok((Vec::new(), Vec::new())),
        Value::Array(list) if list.iter().any(Value::is_object) => {
            let of = |name: &str| list.iter().map(|choice| choice.get(name).unwrap_or(&Value::Null)).collect();
            let (choices, labels): (Vec<&Value>, Vec<&Value>) = (of("text"), of("label"));
            if choices.iter().any(|choice| choice.is_null()) {
                return Err("are objects without `text`".to_owned());
            }
            Ok((texts(&mut choices.into_iter())?, texts(&mut labels.into_iter())?))
        }
        Value::Array(list) => Ok((texts(&mut list.iter())?, Vec::new())),
        Value::Object(fields) => match (fields.get("text"), fields.get("label")) {
            (Some(Value::Array(choices)), Some(Value::Array(labels))) if choices.len() == labels.len() => {
                Ok((texts(&mut choices.iter())?, texts(&mut labels.iter())?))
            }
            _ => Ok((texts(&mut fields.values())?, fields.keys().cloned().collect())),
        },
        _ => Err("are neither a list of texts nor an object with the lists `text` and `label`".to_owned()),
    }
}

/// The answer as text, or as the letter of a choice if it names one: by its label, its letter or its index from 0.
fn answer(value: &Value, choices: &[String], labels: &[String]) -> Result<Option<String>, String> {
    let value = match value {
        // Of several accepted answers the first.
        Value::Array(list) => list.first().unwrap_or(&Value::Null),
        Value::Object(fields) => match (fields.get("value"), fields.get("text")) {
            (Some(value), _) => value,
            (None, Some(Value::Array(list))) => list.first().unwrap_or(&Value::Null),
            (None, Some(value)) => value,
            (None, None) => return Err("is an object without `value` or `text`".to_owned()),
        },
        value => value,
    };
    let Some(answer) = text(value)? else { return Ok(None) };
    if answer.trim().is_empty() {
        return Ok(Some(answer));
    }
    if let Some(at) = labels.iter().position(|label| *label == answer.trim()) {
        return Ok(chosen(at, choices));
    }
    if choices.is_empty() || choices.contains(&answer) {
        return Ok(Some(answer));
    }
    match (answer.trim().parse::<usize>(), value.is_number()) {
        (Ok(at), _) if at < choices.len() => Ok(chosen(at, choices)),
        (_, true) => Err(format!("is {answer}, and there are {} choices, counted from 0", choices.len())),
        _ => Ok(Some(answer)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn choices_and_answers_in_the_forms_of_published_benchmarks() {
        let read = |written: Value, answered: Value| {
            let (choices, labels) = choices(vec![&written])?;
            let answer = answer(&answered, &choices, &labels)?;
            Ok::<_, String>((choices.join("|"), answer.unwrap_or_default()))
        };
        let pair = |choices: &str, answer: &str| Ok((choices.to_owned(), answer.to_owned()));
        // MMLU: an index. HellaSwag: an index as text. ARC: labels, sometimes numbers. CommonsenseQA: objects.
        assert_eq!(read(json!(["w", "x", "y", "z"]), json!(2)), pair("w|x|y|z", "C"));
        assert_eq!(read(json!(["w", "x", "y", "z"]), json!("3")), pair("w|x|y|z", "D"));
        assert_eq!(read(json!(["2", "3", "1"]), json!("1")), pair("2|3|1", "1"));
        assert_eq!(read(json!({"text": ["w", "x"], "label": ["1", "2"]}), json!("2")), pair("w|x", "B"));
        assert_eq!(
            read(json!([{"text": "w", "label": "A"}, {"text": "x", "label": "B"}]), json!("B")),
            pair("w|x", "B")
        );
        assert_eq!(read(json!({"A": "w", "B": "x"}), json!("A")), pair("w|x", "A"));
        assert_eq!(read(json!(["w", "x"]), json!("x")), pair("w|x", "x"));
        // GSM8K: text. SQuAD and TriviaQA: objects.
        assert_eq!(read(Value::Null, json!("1+1\n#### 2")), pair("", "1+1\n#### 2"));
        assert_eq!(read(Value::Null, json!({"text": ["Rome", "the city"], "answer_start": [3]})), pair("", "Rome"));
        assert_eq!(read(Value::Null, json!({"value": "Rome", "aliases": []})), pair("", "Rome"));
        assert_eq!(read(Value::Null, json!(true)), pair("", "true"));
        assert!(read(json!(["w", "x"]), json!(2)).unwrap_err().contains("there are 2 choices"));
        assert!(read(json!("w, x"), json!(0)).unwrap_err().contains("neither a list"));
        let columns = choices(vec![&json!("w"), &json!("x"), &Value::Null]).unwrap().0;
        assert_eq!(columns, ["w", "x"], "C-Eval: a column for each");
        // A choice that is null is none, and the others keep their letters.
        assert_eq!(read(json!(["w", null, "y", "z"]), json!(2)), pair("w||y|z", "C"));
        assert_eq!(read(json!({"text": ["w", null, "y"], "label": ["1", "2", "3"]}), json!("3")), pair("w||y", "C"));
    }

    #[test]
    fn an_integer_among_numbers_is_an_index_only_if_all_items_say_so() {
        let of = |answers: &[(&[&str], u64)]| {
            let item = |(at, (choices, answer)): (usize, &(&[&str], u64))| {
                let record = [json!(at.to_string()), json!("q"), json!(choices), json!(answer)];
                let layout = Columns::of_benchmarks(&[]).unwrap().of_file(&[]);
                let values: Vec<Value> = record.into_iter().chain(vec![Value::Null; 3]).collect();
                item("b", 1, &layout, &values).unwrap()
            };
            let (mut items, numbers): (Vec<_>, Vec<_>) = answers.iter().enumerate().map(item).unzip();
            let numbered: Vec<(usize, u64)> =
                numbers.into_iter().enumerate().filter_map(|(at, number)| Some((at, number?))).collect();
            let remark = by_index_or_text(&mut items, &numbered);
            (items.into_iter().map(|item| item.answer.unwrap()).collect::<Vec<_>>(), remark)
        };
        let numbers: &[&str] = &["1", "2", "3", "4"];
        let (answers, remark) = of(&[(numbers, 2), (&["5", "6", "7", "8"], 1)]);
        assert_eq!(answers, ["C", "B"], "6 is the text of no choice of the second item");
        assert!(remark.unwrap().contains("1 item is an integer"));
        let (answers, remark) = of(&[(numbers, 2), (numbers, 4)]);
        assert_eq!(answers, ["2", "4"], "4 is no index");
        assert!(remark.unwrap().contains("read as the text"));
        assert_eq!(of(&[(numbers, 2)]).0, ["2"], "every answer is a text");
        assert_eq!(of(&[(&["w", "x"], 1)]), (vec!["B".to_owned()], None));
    }
}

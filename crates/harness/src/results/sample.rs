//! Lines of `samples_TASK.jsonl`.

use sha2::{Digest, Sha256};

use crate::object::{Object, map};
use crate::request::Request;
use crate::score::{Answered, Sample};

/// The hashes of a sample: SHA-256 in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes {
    /// Of the document's columns, as JSON with an indent of 2.
    pub document: String,
    /// Of the first prompt.
    pub prompt: String,
    /// Of the target, as Python's `str` writes it.
    pub target: String,
}

/// The hashes of a sample. `columns` are the document's, in their own order.
#[must_use]
pub fn sample_hashes(columns: &Object, target: &Object, answered: &[Answered]) -> Hashes {
    let prompt = answered.first().map_or("", |first| match &first.instance.request {
        Request::Continuation { context, .. } | Request::Generation { context, .. } => context,
        Request::Text { text } => text,
    });
    Hashes { document: sha256(&columns.json_indented(2)), prompt: sha256(prompt), target: sha256(&target.text()) }
}

/// The hash of a task (`task_hashes`): of the hashes of all its samples, with all filters, in order.
#[must_use]
pub fn task_hash<'a>(samples: impl IntoIterator<Item = &'a Hashes>) -> String {
    let mut hash = Sha256::new();
    for Hashes { document, prompt, target } in samples {
        hash.update(document);
        hash.update(prompt);
        hash.update(target);
    }
    hexadecimal(&hash.finalize())
}

/// One line of `samples_TASK.jsonl`, without the line break. `answered` are the requests about the document, in the
/// order of their index.
#[must_use]
pub fn sample_line(
    columns: &Object,
    target: &Object,
    answered: &[Answered],
    sample: &Sample,
    hashes: &Hashes,
) -> String {
    let arguments = answered.iter().enumerate().map(|(place, answer)| {
        let arguments = match &answer.instance.request {
            Request::Continuation { context, continuation } => {
                map([("arg_0", Object::from(context.as_str())), ("arg_1", Object::from(continuation.as_str()))])
            }
            Request::Text { text } => map([("arg_0", Object::from(text.as_str()))]),
            Request::Generation { context, settings } => {
                let written = settings.written.iter().map(|(key, value)| (key.to_owned(), Object::from(value)));
                map([("arg_0", Object::from(context.as_str())), ("arg_1", Object::Map(written.collect()))])
            }
        };
        (format!("gen_args_{place}"), arguments)
    });
    let responses = answered
        .iter()
        .map(|answer| Object::List(answer.responses.iter().map(|response| as_texts(&response.object())).collect()));
    let filtered = sample.filtered.iter().map(as_texts);
    let names = sample.values.iter().map(|(name, _)| Object::Text(name.clone()));
    let Object::Map(mut line) = map([
        ("doc_id", Object::Integer(sample.document as i128)),
        ("doc", columns.clone()),
        ("target", Object::Text(target.text())),
        ("arguments", Object::Map(arguments.collect())),
        ("resps", Object::List(responses.collect())),
        ("filtered_resps", Object::List(filtered.collect())),
        ("filter", Object::Text(sample.filter.clone())),
        ("metrics", Object::List(names.collect())),
        ("doc_hash", Object::Text(hashes.document.clone())),
        ("prompt_hash", Object::Text(hashes.prompt.clone())),
        ("target_hash", Object::Text(hashes.target.clone())),
    ]) else {
        return String::new();
    };
    line.extend(sample.values.iter().cloned());
    Object::Map(line).json()
}

/// A value with every part that is not a list or a tuple as the text that Python writes for it.
fn as_texts(value: &Object) -> Object {
    match value {
        Object::List(items) => Object::List(items.iter().map(as_texts).collect()),
        Object::Tuple(items) => Object::Tuple(items.iter().map(as_texts).collect()),
        other => Object::Text(other.text()),
    }
}

fn sha256(text: &str) -> String {
    hexadecimal(&Sha256::digest(text))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

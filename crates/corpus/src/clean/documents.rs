//! The documents of a shard that is cleaned, and the lines that they become.

use retrace_files::Root;
use retrace_spec::recipe::Language;
use retrace_spec::{CleanRecipe, RelPath};
use serde_json::Value;

use crate::CorpusError;
use crate::contamination::{text_in, without};
use crate::records::{Records, columns};

/// The columns of the fields of documents, in the order of [`document`].
pub(super) fn wanted(recipe: &CleanRecipe) -> Vec<String> {
    let language = recipe.reads_language().then_some("lang");
    ["id", "text"].into_iter().chain(language).map(|field| recipe.column(field).to_owned()).collect()
}

/// The records of a shard with the columns of [`wanted`]. If they are no lines, all columns follow, whose names these are.
pub(super) fn open(root: &Root, shard: &RelPath, recipe: &CleanRecipe) -> Result<(Records, Vec<String>), CorpusError> {
    let wanted = wanted(recipe);
    let records = Records::open(root.file(shard)?, &wanted)?;
    if records.line().is_some() {
        return Ok((records, Vec::new()));
    }
    let all = columns(root.file(shard)?, &wanted)?;
    let records = Records::open(root.file(shard)?, &[wanted, all.clone()].concat())?;
    Ok((records, all))
}

/// A document in a record.
pub(super) struct Document {
    pub(super) id: String,
    pub(super) text: String,
    pub(super) lang: Option<Language>,
}

/// The document in the values of the columns of [`wanted`], or what is wrong and whether it cannot be read. One without
/// an id has its line as the id, as in a search for benchmark items.
pub(super) fn document(recipe: &CleanRecipe, line: usize, values: Vec<Value>) -> Result<Document, (String, bool)> {
    let kind = |value: &Value| match value {
        Value::Null => "is missing",
        Value::Bool(_) => "is true or false",
        Value::Number(_) => "is a number",
        Value::String(_) => "is a text",
        Value::Array(_) => "is a list",
        Value::Object(_) => "is an object",
    };
    let mut values = values.into_iter();
    let (id, text) = (values.next().unwrap_or_default(), values.next().unwrap_or_default());
    let id = match id {
        Value::String(id) => id,
        Value::Null => line.to_string(),
        Value::Number(_) | Value::Bool(_) => id.to_string(),
        other => return Err((format!("{} {}, not a text or a number", recipe.column("id"), kind(&other)), true)),
    };
    let Value::String(text) = text else {
        return Err((format!("{} {}, not a text", recipe.column("text"), kind(&text)), true));
    };
    if !recipe.reads_language() {
        return Ok(Document { id, text, lang: recipe.lang });
    }
    let lang = values.next().unwrap_or_default();
    let known = serde_json::from_value(lang.clone());
    known.map(|lang| Document { id, text, lang: Some(lang) }).map_err(|_| {
        let lang = lang.as_str().map_or_else(|| kind(&lang).to_owned(), |name| format!("is {name:?}"));
        (format!("{} {lang}, and the rule `script` knows en and zh", recipe.column("lang")), false)
    })
}

/// Whether the line has the escape of a surrogate, which is no character without the other half of its pair.
pub(super) fn has_surrogate(line: &[u8]) -> bool {
    line.windows(3).any(|three| matches!(three, [b'\\', b'u', b'd' | b'D']))
}

/// The line without what was cut of the text in its field `name`. All other bytes are the same.
pub(super) fn shortened(line: &[u8], name: &str, cut: &[(u64, u64)]) -> Result<Vec<u8>, String> {
    let none = || "no longer has the text that was read first".to_owned();
    let place = text_in(line, name).ok_or_else(none)?;
    let text: String =
        serde_json::from_slice(line.get(place.clone()).unwrap_or_default()).map_err(|e| e.to_string())?;
    let text = serde_json::to_vec(&without(&text, cut)).map_err(|e| e.to_string())?;
    let (before, after) = (line.get(..place.start).unwrap_or_default(), line.get(place.end..).unwrap_or_default());
    Ok([before, &text, after].concat())
}

/// A line with these columns, in their order.
pub(super) fn row(names: &[String], values: &[Value]) -> String {
    let field = |(name, value): (&String, &Value)| format!("{}:{value}", Value::from(name.as_str()));
    format!("{{{}}}", names.iter().zip(values).map(field).collect::<Vec<_>>().join(","))
}

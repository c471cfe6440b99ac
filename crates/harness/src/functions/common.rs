//! What the ports have in common: columns of documents, with errors that name them.

use crate::python::{Dict, Value};

/// A column that is a text.
pub(super) fn text<'a>(document: &'a Dict, name: &str) -> Result<&'a str, String> {
    let value = column(document, name)?;
    value.text().ok_or_else(|| format!("the column `{name}` is a {}, not a text", value.kind()))
}

/// A column that is a list.
pub(super) fn list<'a>(document: &'a Dict, name: &str) -> Result<&'a [Value], String> {
    let value = column(document, name)?;
    value.list().ok_or_else(|| format!("the column `{name}` is a {}, not a list", value.kind()))
}

/// A column that is a list of texts.
pub(super) fn texts<'a>(document: &'a Dict, name: &str) -> Result<Vec<&'a str>, String> {
    let texts = list(document, name)?.iter().map(Value::text).collect::<Option<_>>();
    texts.ok_or_else(|| format!("the column `{name}` has something that is no text"))
}

/// A column.
pub(super) fn column<'a>(document: &'a Dict, name: &str) -> Result<&'a Value, String> {
    document.get(name).ok_or_else(|| format!("it has no column `{name}`"))
}

/// Which of these texts a text is.
pub(super) fn position(of: &str, among: &[&str]) -> Result<usize, String> {
    among.iter().position(|other| *other == of).ok_or_else(|| format!("{of:?} is none of {}", among.join(", ")))
}

/// The documents with what `of` adds to each, as `map` of a data set.
pub(super) fn mapped(documents: Vec<Dict>, of: impl Fn(&Dict) -> Result<Dict, String>) -> Result<Vec<Dict>, String> {
    let changed = |(at, mut document): (usize, Dict)| {
        let added = of(&document).map_err(|what| format!("document {at}: {what}"))?;
        document.update(added);
        Ok(document)
    };
    documents.into_iter().enumerate().map(changed).collect()
}

/// A dict of these entries.
pub(super) fn dict<const N: usize>(entries: [(&str, Value); N]) -> Dict {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

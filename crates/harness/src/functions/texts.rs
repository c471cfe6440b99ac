//! Tasks whose whole text is scored.

use serde_json::{Map, Value as Json, json};

use crate::function::Port;
use crate::functions::common::{column, text};
use crate::python::{Dict, Value, is_space};
use crate::substitution::replaced;

/// The digests of sources with their ports.
pub(super) const PORTS: &[(&str, Port)] = &[
    ("b3:215f68b1e93008c8f982a5b5c0b4f59412d99310d71c5e81be8fa22c868c2fe0", Port::Value(wikitext)),
    (
        "b3:a069c1f1ad8ba8695e0543957fffbc474a4c6dd8efedf5580b496f48a2e3b25b",
        Port::Results(|document, results| sizes(document, results, "page")),
    ),
    (
        "b3:3e4317cd09cd6fab8fe341fe6e3210bf074ebf47c2b98e4862109f81eabf4bad",
        Port::Value(|document| detokenized(document, "text")),
    ),
    (
        "b3:368c0b74196ee454d844ab3d1af849a9782e17b4bf0c7a4bfed4fd2294041ca7",
        Port::Results(|document, results| sizes(document, results, "text")),
    ),
    (
        "b3:a58ba93ffca4a7eb52f7db3469d279b41b6d3db2aa59fbf6566db533ec316a5e",
        Port::Value(|document| Ok(column(document, "text")?.shown().into())),
    ),
];

fn wikitext(document: &Dict) -> Result<Value, String> {
    detokenized(document, "page")
}

/// The text as it was before it was cut into tokens.
fn detokenized(document: &Dict, column: &str) -> Result<Value, String> {
    let mut out = text(document, column)?.replace("s '", "s'");
    out = replaced("/' [0-9]/", &out, "/'[0-9]/", 0)?;
    for (old, new) in [
        (" @-@ ", "-"),
        (" @,@ ", ","),
        (" @.@ ", "."),
        (" : ", ": "),
        (" ; ", "; "),
        (" . ", ". "),
        (" ! ", "! "),
        (" ? ", "? "),
        (" , ", ", "),
    ] {
        out = out.replace(old, new);
    }
    for (pattern, new) in [
        (r"\(\s*([^\)]*?)\s*\)", r"(\1)"),
        (r"\[\s*([^\]]*?)\s*\]", r"[\1]"),
        (r"\{\s*([^}]*?)\s*\}", r"{\1}"),
        (r#""\s*([^"]*?)\s*""#, r#""\1""#),
        (r"'\s*([^']*?)\s*'", r"'\1'"),
    ] {
        out = replaced(pattern, &out, new, 0)?;
    }
    for (old, new) in [
        ("= = = =", "===="),
        ("= = =", "==="),
        ("= =", "=="),
        (" \u{b0} ", "\u{b0}"),
        (" \n", "\n"),
        ("\n ", "\n"),
        (" N ", " 1 "),
        (" 's", "'s"),
    ] {
        out = out.replace(old, new);
    }
    Ok(out.into())
}

/// The log-likelihood with the words and bytes of a column, for each perplexity.
fn sizes(document: &Map<String, Json>, results: &[Json], column: &str) -> Result<Vec<(String, Json)>, String> {
    let text = document.get(column).and_then(Json::as_str).ok_or_else(|| format!("it has no text `{column}`"))?;
    let [log_likelihood] = results else { return Err("it has more than one result".to_owned()) };
    let mut words = 1;
    let mut space = false;
    for c in text.chars() {
        words += usize::from(is_space(c) && !space);
        space = is_space(c);
    }
    Ok(vec![
        ("word_perplexity".to_owned(), json!([log_likelihood, words])),
        ("byte_perplexity".to_owned(), json!([log_likelihood, text.len()])),
        ("bits_per_byte".to_owned(), json!([log_likelihood, text.len()])),
    ])
}

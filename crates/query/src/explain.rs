//! Explanations of errors in a query: what is wrong, where, and what may help.

use std::ops::Range;

use datafusion::common::{SchemaError, Span};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use crate::QueryError;

/// The names that a query could use.
pub(crate) struct Names {
    pub(crate) tables: Vec<String>,
    pub(crate) functions: Vec<String>,
}

/// DataFusion's error as one of ours.
pub(crate) fn explain(sql: &str, error: &DataFusionError, names: &Names) -> QueryError {
    let mut place = error.diagnostic().and_then(|diagnostic| diagnostic.span).and_then(|span| bytes(sql, span));
    let raw = error.find_root().strip_backtrace();
    if let DataFusionError::ResourcesExhausted(what) = error.find_root() {
        // The memory of each operator is not useful information for the user.
        return QueryError::Exhausted { what: what.lines().next().unwrap_or_default().to_owned() };
    }
    let (message, help) = match error.find_root() {
        DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => {
                place = place.or_else(|| word(sql, &field.name));
                let mut there: Vec<String> = valid_fields.iter().map(|column| quoted(&column.name)).collect();
                there.sort();
                there.dedup();
                let help = match &field.relation {
                    // A column of a table that the query does not read.
                    Some(table) if !valid_fields.iter().any(|column| column.relation.as_ref() == Some(table)) => {
                        format!("the query reads no table {table}; its columns are {}", there.join(", "))
                    }
                    _ => nearest("column", &field.name, &there),
                };
                (format!("there is no column {}", field.name), help)
            }
            SchemaError::AmbiguousReference { field } => {
                place = place.or_else(|| word(sql, &field.name));
                let message = format!("column {} is in more than one of the tables", field.name);
                (message, format!("name the table, as in a.{}", quoted(&field.name)))
            }
            _ => (plain(&raw), String::new()),
        },
        DataFusionError::SQL(parser, _) => {
            let what = match parser.as_ref() {
                ParserError::TokenizerError(what) | ParserError::ParserError(what) => what.clone(),
                ParserError::RecursionLimitExceeded => "it is nested too deeply".to_owned(),
            };
            let (what, at) = without_location(&what);
            place = place.or_else(|| at.and_then(|(line, column)| token_at(sql, line, column)));
            // After the last word the error can only point at the end.
            let place_or_end = place.take().unwrap_or(sql.trim_end().len()..sql.trim_end().len());
            place = Some(place_or_end);
            let what = what.trim_start_matches("sql parser error: ").replace("Expected: ", "expected ");
            (format!("this is not SQL: {}", what.replace("found: ", "found ")), keyword_nearby(sql, place.as_ref()))
        }
        _ => {
            let lower = raw.to_lowercase();
            let name = raw.split('\'').nth(1).unwrap_or_default();
            let last = name.rsplit('.').next().unwrap_or_default();
            if lower.contains("table function") && lower.contains("not found") || lower.contains("invalid function") {
                place = place.or_else(|| word(sql, name));
                (format!("there is no function {name}"), nearest("function", name, &names.functions))
            } else if lower.contains("table") && lower.contains("not found") {
                place = place.or_else(|| word(sql, last));
                (format!("there is no table {last}"), nearest("table", last, &names.tables))
            } else {
                place = place.or_else(|| word(sql, name));
                let help = error.diagnostic().map(|diagnostic| {
                    diagnostic.helps.iter().map(|help| help.message.as_str()).collect::<Vec<_>>().join("; ")
                });
                (plain(&raw), help.unwrap_or_default())
            }
        }
    };
    QueryError::Sql { message, help, sql: sql.to_owned(), place }
}

/// Whether a text is a complete statement: it ends with `;`, outside of texts and comments.
pub fn is_whole(sql: &str) -> bool {
    let Some(tokens) = tokens(sql) else { return false };
    tokens
        .iter()
        .rev()
        .find(|token| !matches!(token.token, Token::Whitespace(_)))
        .is_some_and(|last| last.token == Token::SemiColon)
}

pub(crate) fn tokens(sql: &str) -> Option<Vec<TokenWithSpan>> {
    Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().ok()
}

/// A message without the kind that DataFusion writes before it, and without DataFusion's advice.
fn plain(message: &str) -> String {
    let mut message = message;
    for kind in [
        "Error during planning: ",
        "Schema error: ",
        "Execution error: ",
        "External error: ",
        "This feature is not implemented: ",
        "Arrow error: ",
    ] {
        message = message.strip_prefix(kind).unwrap_or(message);
    }
    message.trim().to_owned()
}

/// The byte offset of a line and column of SQL, both counted from 1, columns in characters.
fn byte(sql: &str, line: u64, column: u64) -> Option<usize> {
    let (line, column) = (usize::try_from(line).ok()?.checked_sub(1)?, usize::try_from(column).ok()?.checked_sub(1)?);
    let before: usize = sql.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = sql.get(before..)?;
    Some(before + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at))
}

fn bytes(sql: &str, span: Span) -> Option<Range<usize>> {
    let (start, end) = (byte(sql, span.start.line, span.start.column)?, byte(sql, span.end.line, span.end.column)?);
    (start <= end).then_some(start..end)
}

/// The token that begins at a line and column; everything after it, if there is no token (for example an unterminated
/// text).
fn token_at(sql: &str, line: u64, column: u64) -> Option<Range<usize>> {
    let start = byte(sql, line, column)?;
    let end = match tokens(sql) {
        None => sql.trim_end().len(),
        Some(tokens) => {
            let mut spans = tokens.iter().map(|token| token.span);
            let span = spans.find(|span| (span.start.line, span.start.column) == (line, column));
            span.and_then(|span| byte(sql, span.end.line, span.end.column)).unwrap_or(start)
        }
    };
    Some(start..end.max(start))
}

/// The first word of a query that equals `name`.
fn word(sql: &str, name: &str) -> Option<Range<usize>> {
    let found = tokens(sql)?.into_iter().find(|token| match &token.token {
        Token::Word(word) => word.value.eq_ignore_ascii_case(name),
        Token::SingleQuotedString(text) => text == name,
        Token::Placeholder(placeholder) => placeholder == name,
        _ => false,
    })?;
    let at = |place: datafusion::sql::sqlparser::tokenizer::Location| byte(sql, place.line, place.column);
    Some(at(found.span.start)?..at(found.span.end)?)
}

/// A parser's message without the position at its end, and that position.
fn without_location(message: &str) -> (&str, Option<(u64, u64)>) {
    let Some((what, place)) = message.rsplit_once(" at Line: ") else { return (message, None) };
    let place = place.split_once(", Column: ").and_then(|(line, column)| {
        let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
        Some((line.parse().ok()?, digits.parse().ok()?))
    });
    (what, place)
}

/// If a misspelt keyword caused the parser's error, it is the word there or the one before.
fn keyword_nearby(sql: &str, place: Option<&Range<usize>>) -> String {
    const KEYWORDS: [&str; 16] = [
        "select",
        "from",
        "where",
        "group",
        "order",
        "having",
        "limit",
        "join",
        "with",
        "union",
        "distinct",
        "between",
        "offset",
        "values",
        "explain",
        "partition",
    ];
    let Some(place) = place else { return String::new() };
    let before = sql.get(..place.start).unwrap_or_default().split_whitespace().next_back();
    let near = |word: &str| {
        let word = word.to_lowercase();
        let found = KEYWORDS.iter().map(|keyword| (distance(&word, keyword), *keyword)).min()?;
        let swapped = letters(&word) == letters(found.1);
        (found.0 == 1 || found.0 == 2 && (swapped || word.len() > 4))
            .then(|| format!("did you mean `{}` for `{word}`?", found.1))
    };
    sql.get(place.clone()).and_then(near).or_else(|| before.and_then(near)).unwrap_or_default()
}

fn letters(word: &str) -> Vec<char> {
    let mut letters: Vec<char> = word.chars().collect();
    letters.sort_unstable();
    letters
}

/// A column as SQL needs it: in quotes, if it is not a plain name.
pub(crate) fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let first = name.chars().next().is_some_and(|c| !c.is_ascii_digit());
    if first && name.chars().all(plain) { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// Suggests the one of `there` that is nearest to `name`, and lists all of them unless they are very many.
pub(crate) fn nearest(what: &str, name: &str, there: &[String]) -> String {
    let mut there: Vec<&String> = there.iter().collect();
    there.sort();
    there.dedup();
    let all = match there.len() {
        0 => format!("there is no {what} at all"),
        1..=40 => format!("there {} {}", if there.len() == 1 { "is" } else { "are" }, join(&there)),
        _ => String::new(),
    };
    let lower = name.to_lowercase();
    // Of two equally near names the longer one: a missing letter is the more common mistake.
    let near = there.iter().map(|other| {
        let steps = distance(&lower, &other.trim_matches('"').to_lowercase());
        (steps, std::cmp::Reverse(other.len()), other)
    });
    match near.min() {
        Some((steps, _, other)) if steps <= name.chars().count().div_ceil(2) => {
            let rest = if all.is_empty() { String::new() } else { format!("; {all}") };
            format!("the nearest {what} is {other}{rest}")
        }
        _ => all,
    }
}

fn join(names: &[&String]) -> String {
    names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The edit distance in characters (Levenshtein, 1966).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let kept = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = kept.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_by_hand() {
        for (a, b, expected) in
            [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("metric", "metrics", 1), ("ab", "ba", 2)]
        {
            assert_eq!(distance(a, b), expected);
        }
    }

    #[test]
    fn a_statement_is_whole_with_its_semicolon() {
        for (sql, whole) in [
            ("select 1", false),
            ("select 1;", true),
            ("select 1; -- done", true),
            ("select ';", false),
            ("select ';'", false),
            ("select 1 /* ; */", false),
            ("select 1 -- ;", false),
            ("", false),
        ] {
            assert_eq!(is_whole(sql), whole, "{sql}");
        }
    }

    #[test]
    fn places_count_lines_and_characters() {
        let sql = "select\n  '事实', x\nfrom t";
        assert_eq!(byte(sql, 1, 1), Some(0));
        assert_eq!(&sql[byte(sql, 2, 9).unwrap_or_default()..][..1], "x");
        assert_eq!(&sql[byte(sql, 3, 1).unwrap_or_default()..], "from t");
        assert_eq!(byte(sql, 3, 99), Some(sql.len()));
        assert_eq!(byte(sql, 0, 1), None);
        assert_eq!(word(sql, "T"), Some(sql.len() - 1..sql.len()));
    }
}

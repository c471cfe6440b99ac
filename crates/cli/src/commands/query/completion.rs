//! Tab completion in the shell.

use std::collections::BTreeMap;

use retrace_spec::foreign::hides;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper, Result};

use super::Library;
use super::shell::is_answerable;

const COMMANDS: [&str; 6] = [".help", ".list", ".quit", ".rows", ".schema", ".tables"];

const KEYWORDS: [&str; 44] = [
    "all",
    "and",
    "as",
    "asc",
    "between",
    "by",
    "case",
    "cast",
    "cross",
    "desc",
    "distinct",
    "else",
    "end",
    "except",
    "exists",
    "explain",
    "false",
    "from",
    "full",
    "group",
    "having",
    "in",
    "inner",
    "intersect",
    "is",
    "join",
    "left",
    "like",
    "limit",
    "not",
    "null",
    "nulls",
    "offset",
    "on",
    "or",
    "order",
    "over",
    "partition",
    "select",
    "then",
    "true",
    "union",
    "where",
    "with",
];

/// The possible words.
pub(super) struct Completion {
    tables: BTreeMap<String, Vec<String>>,
    functions: Vec<String>,
    queries: Vec<String>,
    files: FilenameCompleter,
}

impl Completion {
    pub(super) fn new(library: &Library) -> Self {
        Self {
            tables: library.session.tables().clone(),
            functions: library.session.functions(),
            queries: library.queries.iter().map(|query| format!("@{}", query.name)).collect(),
            files: FilenameCompleter::new(),
        }
    }

    /// The start of the word before the cursor, and its possible completions.
    fn words(&self, before: &str) -> (usize, Vec<String>) {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        let name = |c: char| part(c) || matches!(c, '-' | '@');
        let whole = |names: &[String], prefix: &str| -> Vec<String> {
            names.iter().filter(|name| name.starts_with(prefix)).cloned().collect()
        };
        if let Some(table) = before.strip_prefix(".schema ") {
            let tables: Vec<String> = self.tables.keys().cloned().collect();
            return (before.len() - table.len(), whole(&tables, table));
        }
        if before.starts_with('.') {
            return (
                0,
                COMMANDS.iter().filter(|name| name.starts_with(before)).map(|name| (*name).to_owned()).collect(),
            );
        }
        let begin =
            before.rfind(|c| !name(c)).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        if before[begin..].starts_with('@') {
            return (begin, whole(&self.queries, &before[begin..]));
        }
        let begin =
            before.rfind(|c| !part(c)).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let word = &before[begin..];
        let lower = word.to_lowercase();
        let starts = |name: &&String| name.to_lowercase().starts_with(&lower);
        let mut found: Vec<String> = Vec::new();
        if let Some(table) = before[..begin].strip_suffix('.') {
            // `metrics.` is completed with that table's columns; an alias may have any.
            let table = table.rsplit(|c| !part(c)).next().unwrap_or_default();
            match self.tables.get(table) {
                Some(columns) => found.extend(columns.iter().filter(starts).cloned()),
                None => found.extend(self.tables.values().flatten().filter(starts).cloned()),
            }
        } else if !word.is_empty() {
            found.extend(self.tables.keys().filter(starts).cloned());
            found.extend(self.tables.values().flatten().filter(starts).cloned());
            // If the keyword is in upper case, functions are too.
            let shouting = word.chars().all(char::is_uppercase);
            let called =
                |name: &String| if shouting { format!("{}(", name.to_uppercase()) } else { format!("{name}(") };
            found.extend(self.functions.iter().filter(starts).map(called));
            let keywords = KEYWORDS.iter().filter(|keyword| keyword.starts_with(&lower));
            found.extend(keywords.map(|keyword| if shouting { keyword.to_uppercase() } else { (*keyword).to_owned() }));
        }
        found.sort();
        found.dedup();
        (begin, found)
    }
}

/// Whether the cursor is in a text in quotes.
fn in_quotes(before: &str) -> bool {
    before.matches('\'').count() % 2 == 1
}

/// Those that need no escaping: the completion is inserted into the typed line.
fn showable(mut words: Vec<Pair>) -> Vec<Pair> {
    words.retain(|word| !word.display.contains(hides) && !word.replacement.contains(hides));
    words
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> Result<(usize, Vec<Pair>)> {
        let before = line.get(..at).unwrap_or_default();
        if in_quotes(before) {
            let (begin, paths) = self.files.complete_path(line, at)?;
            return Ok((begin, showable(paths)));
        }
        let (begin, words) = self.words(before);
        let words = words.into_iter().map(|word| Pair { display: word.clone(), replacement: word }).collect();
        Ok((begin, showable(words)))
    }
}

impl Hinter for Completion {
    type Hint = String;
}

impl Highlighter for Completion {}

impl Validator for Completion {
    fn validate(&self, context: &mut ValidationContext<'_>) -> Result<ValidationResult> {
        let whole = is_answerable(context.input());
        Ok(if whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Helper for Completion {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_what_can_be_meant() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let completion = Completion {
            tables: [("metrics", names(&["step", "stderr"])), ("steps", names(&["id"]))]
                .map(|(table, columns)| (table.to_owned(), columns))
                .into(),
            functions: names(&["stddev", "sum"]),
            queries: names(&["@smooth-loss", "@spikes"]),
            files: FilenameCompleter::new(),
        };
        for (before, begin, words) in [
            ("select ste", 7, &["step", "steps"][..]),
            ("select 事, STD", 12, &["STDDEV(", "stderr"]),
            ("SEL", 0, &["SELECT"]),
            ("select metrics.", 15, &["stderr", "step"]),
            ("select m.st", 9, &["stderr", "step"]),
            ("@smooth-l", 0, &["@smooth-loss"]),
            ("@s", 0, &["@smooth-loss", "@spikes"]),
            (".sc", 0, &[".schema"]),
            (".schema st", 8, &["steps"]),
            ("select ", 7, &[]),
            ("", 0, &[]),
        ] {
            assert_eq!(completion.words(before), (begin, names(words)), "{before:?}");
        }
        let pair = |word: &str| Pair { display: word.to_owned(), replacement: word.to_owned() };
        let offered = showable(vec![pair("a\u{1b}[2Jb"), pair("语料"), pair("\u{202e}x")]);
        assert_eq!(offered.iter().map(|pair| pair.display.as_str()).collect::<Vec<_>>(), ["语料"]);
        assert!(in_quotes("select * from 'ru") && !in_quotes("select 'a' "));
    }
}

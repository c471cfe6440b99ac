//! The interactive shell of `retrace query`.

use std::collections::BTreeMap;
use std::fs;

use retrace_query::is_whole;
use rustyline::config::Config;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Editor};

use super::completion::Completion;
use super::{Exit, Library, list, show};
use crate::environment;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// The default number of rows that are shown of an answer, until `.rows` changes it.
const ROWS: usize = 40;

/// The number of entries in the history.
const HISTORY: usize = 2000;

const HELP: &str = "\
SELECT …;            run a query; it can have several lines and ends with ;
@NAME NAME=VALUE …   run a named query with these parameters
.list                list the named queries with their questions
.tables              list the tables
.schema TABLE        list a table's columns and their types
.rows N              show at most N rows of an answer (0: all)
.help                show this help
.quit                leave the shell, like Ctrl-D

Tab completes keywords, tables, columns, functions, names of queries, and paths in quotes.
";

/// The meaning of a line.
#[derive(Debug, PartialEq)]
enum Line<'a> {
    Empty,
    Command(&'a str, &'a str),
    Named(&'a str, BTreeMap<String, String>),
    Sql(&'a str),
}

/// Whether a text is complete, or more lines are needed.
pub(super) fn is_answerable(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || text.starts_with(['.', '@']) || is_whole(text)
}

impl<'a> Line<'a> {
    fn parse(text: &'a str) -> Result<Self, Failure> {
        let text = text.trim();
        if text.is_empty() || text == ";" {
            return Ok(Self::Empty);
        }
        if text.trim_end_matches(';').to_lowercase().split_whitespace().eq(["show", "tables"]) {
            return Ok(Self::Command(".tables", ""));
        }
        if text.starts_with('.') {
            let (command, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            return Ok(Self::Command(command.trim_end_matches(';'), rest.trim().trim_end_matches(';')));
        }
        match text.strip_prefix('@') {
            None => Ok(Self::Sql(text)),
            Some(named) => {
                let named = named.trim_end_matches(';').trim();
                let (name, rest) = named.split_once(char::is_whitespace).unwrap_or((named, ""));
                Ok(Self::Named(name, values(rest)?))
            }
        }
    }
}

/// `task=lambada like='a text'` as names and values.
fn values(text: &str) -> Result<BTreeMap<String, String>, Failure> {
    let mut values = BTreeMap::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let refuse = || {
            Failure::usage(
                format!("{rest:?} is not of the form NAME=VALUE"),
                "write, for example, @NAME task=lambada run='a b'",
            )
        };
        let (name, after) = rest.split_once('=').ok_or_else(refuse)?;
        let (value, after) = match after.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').ok_or_else(refuse)?,
            None => after.split_once(char::is_whitespace).unwrap_or((after, "")),
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(refuse());
        }
        values.insert(name.to_owned(), value.to_owned());
        rest = after.trim_start();
    }
    Ok(values)
}

/// Reads queries and answers them, until the end of the input. A query that fails does not end the loop.
pub(super) fn open(library: &Library, terminal: &Terminal) -> Result<Exit, Failure> {
    let config = Config::builder().completion_type(CompletionType::List).max_history_size(HISTORY);
    let config = config.and_then(|config| config.history_ignore_dups(true)).map_err(unusable)?.build();
    let mut editor: Editor<Completion, DefaultHistory> = Editor::with_config(config).map_err(unusable)?;
    editor.set_helper(Some(Completion::new(library)));
    let history = environment::history_file();
    if let Some(history) = &history {
        // The first time there is no history; one that cannot be read is replaced.
        let _ = editor.load_history(history);
    }
    let tables = count(library.session.tables().len(), "table");
    terminal.say(Tone::Faint, &format!("{tables}; .help lists the commands, .quit leaves"), "");
    let mut rows = Some(ROWS);
    loop {
        let text = match editor.readline("retrace> ") {
            Ok(text) => text,
            // Ctrl-C discards the line.
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(unusable(error)),
        };
        // If the history cannot be stored, the shell continues.
        let _ = editor.add_history_entry(text.trim());
        let done = Line::parse(&text).and_then(|line| match line {
            Line::Empty => Ok(true),
            Line::Command(".quit" | ".exit", _) => Ok(false),
            line => answer(library, terminal, &line, &mut rows).map(|()| true),
        });
        match done {
            Ok(true) => {}
            Ok(false) => break,
            Err(failure) => {
                terminal.fail(&failure);
            }
        }
    }
    if let Some(history) = history {
        let kept = history.parent().map_or(Ok(()), fs::create_dir_all).map_err(ReadlineError::from);
        if let Err(error) = kept.and_then(|()| editor.save_history(&history)) {
            terminal.say(Tone::Faint, "history not saved:", format!("{}: {error}", history.display()));
        }
    }
    Ok(Exit::Holds)
}

fn answer(library: &Library, terminal: &Terminal, line: &Line<'_>, rows: &mut Option<usize>) -> Result<(), Failure> {
    let width = terminal.width();
    match line {
        Line::Empty => Ok(()),
        Line::Sql(sql) => {
            let answer = library.answer(sql, &BTreeMap::new())?;
            library.tell(terminal);
            show(&answer, width, *rows, terminal)
        }
        Line::Named(name, values) => {
            let answer = library.answer(&format!("@{name}"), values)?;
            library.tell(terminal);
            show(&answer, width, *rows, terminal)
        }
        Line::Command(".help", _) => terminal.result("shell/1", &(), |out| out.write_all(HELP.as_bytes())),
        Line::Command(".list", _) => list(&library.queries, terminal).map(|_| ()),
        Line::Command(".tables", _) => terminal.result("shell/1", &(), |out| {
            let tables = library.session.tables();
            let width = tables.keys().map(|name| name.chars().count()).max().unwrap_or(0);
            tables
                .iter()
                .try_for_each(|(name, columns)| writeln!(out, "{name:width$}  {}", count(columns.len(), "column")))
        }),
        Line::Command(".schema", table) => schema(library, table, terminal),
        Line::Command(".rows", number) => {
            let number: usize = number
                .parse()
                .map_err(|_| Failure::usage(format!("{number:?} is not a number of rows"), "write .rows 100"))?;
            *rows = (number > 0).then_some(number);
            Ok(())
        }
        Line::Command(command, _) => {
            Err(Failure::usage(format!("unknown command {command}"), ".help lists the commands"))
        }
    }
}

fn schema(library: &Library, table: &str, terminal: &Terminal) -> Result<(), Failure> {
    if table.is_empty() {
        return Err(Failure::usage("no table given", "write .schema TABLE; .tables lists the tables"));
    }
    // A path in quotes is also a table.
    let name =
        if table.starts_with(['\'', '"']) { table.to_owned() } else { format!("\"{}\"", table.replace('"', "\"\"")) };
    let columns = library.session.run(&format!("select * from {name} limit 0"))?.columns();
    let width = columns.iter().map(|column| column.name.chars().count()).max().unwrap_or(0);
    terminal.result("shell/1", &(), |out| {
        columns.iter().try_for_each(|column| writeln!(out, "{:width$}  {}", column.name, column.kind))
    })
}

fn unusable(error: ReadlineError) -> Failure {
    match error {
        ReadlineError::Io(error) => Failure::Output(error),
        other => Failure::usage(
            format!("cannot read from this terminal: {other}"),
            "give the query as an argument, or on standard input",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let values = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        for (text, line) in [
            ("  ", Line::Empty),
            (";", Line::Empty),
            (".tables", Line::Command(".tables", "")),
            (".schema metrics;", Line::Command(".schema", "metrics")),
            ("@emergence", Line::Named("emergence", values(&[]))),
            ("@a task=b  run='c d' e=f;", Line::Named("a", values(&[("task", "b"), ("run", "c d"), ("e", "f")]))),
            ("select 1;", Line::Sql("select 1;")),
        ] {
            assert_eq!(Line::parse(text).unwrap_or(Line::Empty), line, "{text}");
        }
        assert!(Line::parse("@a task").is_err() && Line::parse("@a task='b").is_err());
    }

    #[test]
    fn sql_goes_on_until_its_semicolon() {
        for (text, whole) in
            [("select 1", false), ("select\n1;", true), (".tables", true), ("@a b=c", true), ("", true)]
        {
            assert_eq!(is_answerable(text), whole, "{text}");
        }
    }
}

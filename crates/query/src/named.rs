//! Named queries: SQL with a question as text, and parameters.
//!
//! A file begins with comment lines, each `-- key: value`:
//!
//! ```sql
//! -- question: From which step on does a task stay above chance?
//! -- parameter task in metrics.task: the task
//! -- parameter margin = 0.05: how far above chance
//! select … where task = $task …
//! ```
//!
//! A continuation line is indented: `--   and its end`. A parameter has the type of its default: a text `'in quotes'`,
//! an integer, a number, or `null`, which is a missing text; a parameter without a default is a required text. With
//! `in TABLE.COLUMN`, it is one of the texts of this column: if the answer is empty and a given value is not there, this
//! is an error and no answer. A value is never inserted into the SQL's text: it replaces `$task` in the parsed query.

use std::collections::BTreeMap;
use std::path::Path;

use datafusion::sql::sqlparser::ast::Value;

use crate::QueryError;
use crate::explain::nearest;
use crate::texts::{HeaderLine, SqlFile, read_sql};

/// A query with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedQuery {
    /// Its name: that of its file, without the ending.
    pub name: String,
    /// The question that it answers, as text.
    pub question: String,
    /// Its parameters, in the order of its file.
    pub parameters: Vec<Parameter>,
    /// The complete file, including comments.
    pub sql: String,
}

/// A parameter of a named query.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name, without the `$`.
    pub name: String,
    /// The table and the column that have its values, if the file says this.
    pub values: Option<(String, String)>,
    /// Its default value; without one it is required.
    pub default: Option<Literal>,
    /// Its description.
    pub about: String,
}

/// A value in SQL.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// A text, or null.
    Text(Option<String>),
    /// An integer.
    Whole(i64),
    /// A number.
    Number(f64),
}

/// In SQL syntax.
impl std::fmt::Display for Literal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(None) => f.write_str("null"),
            Self::Text(Some(text)) => write!(f, "'{}'", text.replace('\'', "''")),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Number(number) => write!(f, "{number:?}"),
        }
    }
}

impl Literal {
    /// A default, from a file.
    fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("null") {
            return Some(Self::Text(None));
        }
        if let Some(inner) = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
            return Some(Self::Text(Some(inner.replace("''", "'"))));
        }
        match text.parse() {
            Ok(number) => Some(Self::Whole(number)),
            Err(_) => text.parse().ok().filter(|number: &f64| number.is_finite()).map(Self::Number),
        }
    }

    /// Another value of the same type; the error is the expected type.
    fn like(&self, value: &str) -> Result<Self, &'static str> {
        match self {
            Self::Text(_) => Ok(Self::Text(Some(value.to_owned()))),
            Self::Whole(_) => value.trim().parse().map(Self::Whole).map_err(|_| "an integer"),
            Self::Number(_) => {
                let number = value.trim().parse().ok().filter(|number: &f64| number.is_finite());
                number.map(Self::Number).ok_or("a number")
            }
        }
    }

    pub(crate) fn value(&self) -> Value {
        match self {
            Self::Text(None) => Value::Null,
            Self::Text(Some(text)) => Value::SingleQuotedString(text.clone()),
            Self::Whole(number) => Value::Number(number.to_string(), false),
            Self::Number(number) => Value::Number(format!("{number:?}"), false),
        }
    }
}

/// Embeds the queries of `reports/queries`, each by its name.
macro_rules! embedded {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../../reports/queries/", $name, ".sql")))),*]
    };
}

/// The queries that are included in retrace, in the order in which they are listed.
const EMBEDDED: &[(&str, &str)] = embedded! {
    "aligned-runs" "benchmarks-that-move-together" "best-checkpoint" "checkpoints-without-evals"
    "contaminated-items" "emergence" "eval-coverage" "forgetting" "greatest-drops" "interpolated"
    "layer-moves" "leaked-items" "learning-curve" "paired-samples" "published-ladder-13b"
    "published-ladder-noise" "published-speedrun-noise" "rank-stability" "runs-differ" "scaling-points"
    "seed-noise" "shots-difference" "slope" "smooth-loss" "spikes" "term-frequency" "tokens-per-step"
    "tokens-to-threshold"
};

impl NamedQuery {
    /// The queries that are included in retrace, by name.
    ///
    /// # Errors
    /// If one of them is not valid, which the tests exclude.
    pub fn embedded() -> Result<Vec<Self>, QueryError> {
        EMBEDDED.iter().map(|(name, text)| Self::parse(name, text, &format!("@{name}"))).collect()
    }

    /// The queries in `directory`: every `*.sql`, by name.
    ///
    /// # Errors
    /// If the directory or a file cannot be read, or a file is not a query.
    pub fn read(directory: &Path) -> Result<Vec<Self>, QueryError> {
        let parse = |file: SqlFile| Self::parse(&file.name, &file.text, &file.path.display().to_string());
        read_sql(directory)?.into_iter().map(parse).collect()
    }

    /// A query from the text of its file, whose name in errors is `origin`.
    ///
    /// # Errors
    /// If its header does not have a question and valid parameters.
    pub fn parse(name: &str, text: &str, origin: &str) -> Result<Self, QueryError> {
        let refuse = |line: usize, what: String| QueryError::Header { origin: origin.to_owned(), line, what };
        let mut query =
            Self { name: name.to_owned(), question: String::new(), parameters: Vec::new(), sql: text.to_owned() };
        for header in HeaderLine::all(text) {
            let line = header.line;
            let (key, value) = header.field().ok_or_else(|| {
                refuse(line, "a header line must be `-- question: …` or `-- parameter NAME = DEFAULT: …`".to_owned())
            })?;
            match key.split_once(' ') {
                None if key == "question" && query.question.is_empty() => query.question = value.to_owned(),
                Some(("parameter", declared)) => {
                    let (name, default) = match declared.split_once('=') {
                        None => (declared.trim(), None),
                        Some((name, default)) => {
                            let default = default.trim();
                            let literal = Literal::parse(default).ok_or_else(|| {
                                refuse(
                                    line,
                                    format!("{default} is not a valid default; write 'text', a number, or null"),
                                )
                            })?;
                            (name.trim(), Some(literal))
                        }
                    };
                    let (name, values) = match name.split_once(" in ") {
                        None => (name, None),
                        Some((name, column)) => {
                            let values = column.trim().split_once('.').filter(|(table, column)| {
                                let plain = |part: &str| part.chars().all(|c| c.is_ascii_lowercase() || c == '_');
                                !table.is_empty() && !column.is_empty() && plain(table) && plain(column)
                            });
                            let (table, column) = values.ok_or_else(|| {
                                refuse(line, format!("{column} is not a table and a column, such as metrics.run"))
                            })?;
                            (name.trim(), Some((table.to_owned(), column.to_owned())))
                        }
                    };
                    if query.parameters.iter().any(|other| other.name == name) {
                        return Err(refuse(line, format!("duplicate parameter {name}")));
                    }
                    query.parameters.push(Parameter {
                        name: name.to_owned(),
                        values,
                        default,
                        about: value.to_owned(),
                    });
                }
                _ => return Err(refuse(line, format!("unknown or duplicate key {key}"))),
            }
        }
        if query.question.is_empty() {
            return Err(refuse(1, "the line `-- question: …` is missing".to_owned()));
        }
        Ok(query)
    }

    /// The one of `queries` with this name.
    ///
    /// # Errors
    /// If there is none; the error suggests the nearest name.
    pub fn find<'a>(queries: &'a [Self], name: &str) -> Result<&'a Self, QueryError> {
        queries.iter().find(|query| query.name == name).ok_or_else(|| {
            let names: Vec<String> = queries.iter().map(|query| query.name.clone()).collect();
            QueryError::NoSuchQuery { name: name.to_owned(), help: nearest("query", name, &names) }
        })
    }

    /// The values of all parameters, including those that were given.
    pub(crate) fn bind(&self, given: &BTreeMap<String, String>) -> Result<BTreeMap<String, Literal>, QueryError> {
        let refuse = |what: String| QueryError::Parameter { query: self.name.clone(), what, help: self.told() };
        if let Some(unknown) = given.keys().find(|name| !self.parameters.iter().any(|of| of.name == **name)) {
            return Err(refuse(format!("there is no parameter {unknown}")));
        }
        let mut values = BTreeMap::new();
        for parameter in &self.parameters {
            let name = &parameter.name;
            let value = match (given.get(name), &parameter.default) {
                (None, Some(default)) => default.clone(),
                (None, None) => return Err(refuse(format!("parameter {name} is missing: {}", parameter.about))),
                (Some(value), None) => Literal::Text(Some(value.clone())),
                (Some(value), Some(default)) => {
                    default.like(value).map_err(|kind| refuse(format!("{name} is {value:?}, which is not {kind}")))?
                }
            };
            values.insert(name.clone(), value);
        }
        Ok(values)
    }

    /// The parameters, for display.
    fn told(&self) -> String {
        if self.parameters.is_empty() {
            return "it has no parameters".to_owned();
        }
        let each = self.parameters.iter().map(|parameter| match &parameter.default {
            None => format!("{} ({})", parameter.name, parameter.about),
            Some(default) => format!("{} = {default} ({})", parameter.name, parameter.about),
        });
        format!("its parameters are {}", each.collect::<Vec<_>>().join(", "))
    }
}

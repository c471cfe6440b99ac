//! Rules: a header in comments, then SQL.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use retrace_files::FileError;
use retrace_query::{HeaderLine, read_sql};
use serde::Serialize;
use thiserror::Error;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A claim cannot be true, or a file cannot be used.
    Error,
    /// A person who relies on it may be misled.
    Warning,
    /// Useful information.
    Note,
}

impl Severity {
    /// Its name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A query on the tables of a release, whose rows are findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The name of its file, without `.sql`.
    pub id: String,
    /// What is wrong if it finds something.
    pub title: String,
    /// Its severity.
    pub severity: Severity,
    /// What the finding means.
    pub means: String,
    /// What to do about it.
    pub advice: String,
    /// Tables without which it cannot be applied. Without any of the tables that it reads, no rule can.
    pub needs: Vec<String>,
    /// The query.
    pub sql: String,
}

/// Why a rule cannot be loaded.
#[derive(Debug, Error)]
pub enum RuleError {
    /// The rule's header is not valid.
    #[error("{}: {what}", path.display())]
    Header {
        /// The rule's file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The rules of `reports/audit`, by their files' names.
macro_rules! built_in {
    ($($id:literal),* $(,)?) => {
        &[$(($id, include_str!(concat!("../../../reports/audit/", $id, ".sql")))),*]
    };
}

const BUILT_IN: &[(&str, &str)] = built_in![
    "agree-beyond-chance",
    "claims-contradict",
    "constant-metric",
    "empty-tensors",
    "graph",
    "label-contradicts",
    "non-finite",
    "not-the-average",
    "out-of-line",
    "rolled-back",
    "same-content",
    "settings-differ",
    "sizes-disagree",
    "stderr-does-not-fit",
    "steps-doubled",
    "steps-missing",
    "tokens-do-not-fit",
    "unknown-root",
    "unreadable",
];

impl Rule {
    /// The rules that are included in retrace.
    ///
    /// # Errors
    /// Never: a test reads them all.
    pub fn built_in() -> Result<Vec<Self>, RuleError> {
        BUILT_IN.iter().map(|(id, text)| Self::parse(id, text, Path::new(id))).collect()
    }

    /// The rules in the `*.sql` files in `directory`, by name.
    ///
    /// # Errors
    /// If one cannot be read, or is not a rule.
    pub fn read_all(directory: &Path) -> Result<Vec<Self>, RuleError> {
        read_sql(directory)?.into_iter().map(|file| Self::parse(&file.name, &file.text, &file.path)).collect()
    }

    /// The rule in `text`, the content of the file at `path`.
    ///
    /// # Errors
    /// If its header lacks a field, or has an unknown one.
    pub fn parse(id: &str, text: &str, path: &Path) -> Result<Self, RuleError> {
        let refuse = |what: String| RuleError::Header { path: path.to_owned(), what };
        let mut fields: BTreeMap<&str, String> = BTreeMap::new();
        let header = HeaderLine::all(text);
        // Lines that are not fields are remarks.
        for (name, value) in header.iter().filter_map(HeaderLine::field) {
            if FIELDS.contains(&name) && fields.insert(name, value.to_owned()).is_some() {
                return Err(refuse(format!("the header has `-- {name}:` twice")));
            }
        }
        let mut take = |name: &str| {
            let missing = || refuse(format!("the header has no line `-- {name}: …`"));
            fields.remove(name).filter(|value| !value.is_empty()).ok_or_else(missing)
        };
        let severity = match take("severity")?.as_str() {
            "error" => Severity::Error,
            "warning" => Severity::Warning,
            "note" => Severity::Note,
            other => return Err(refuse(format!("the severity is {other:?}; it must be error, warning or note"))),
        };
        let (title, means, advice) = (take("title")?, take("means")?, take("do")?);
        let needs = take("needs").map(|needs| needs.split(',').map(|table| table.trim().to_owned()).collect());
        Ok(Self {
            id: id.to_owned(),
            title,
            severity,
            means,
            advice,
            needs: needs.unwrap_or_default(),
            sql: text.to_owned(),
        })
    }
}

/// The fields of a header.
const FIELDS: [&str; 5] = ["title", "severity", "means", "do", "needs"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_that_ships_is_listed_and_is_one() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports/audit");
        let there = Rule::read_all(&directory).unwrap();
        assert_eq!(Rule::built_in().unwrap(), there);
        assert!(there.len() >= 15);
    }

    #[test]
    fn headers_by_hand() {
        let text = "-- title: T\n-- severity: warning\n-- means: M: so\n-- a remark\n-- do: D\n-- needs: graph, tensors\nselect 1\n-- title: no header";
        let parse = |text: &str| Rule::parse("x", text, Path::new("x.sql"));
        let rule = parse(text).unwrap();
        assert_eq!((rule.title.as_str(), rule.severity, rule.means.as_str()), ("T", Severity::Warning, "M: so"));
        assert_eq!(rule.needs, ["graph", "tensors"]);
        for (spoil, says) in [
            (text.replace("-- do: D\n", ""), "no line `-- do: …`"),
            (text.replace("warning", "fatal"), "\"fatal\""),
            (text.replace("-- a remark", "-- title: U"), "twice"),
            (String::new(), "no line"),
        ] {
            let error = parse(&spoil).unwrap_err().to_string();
            assert!(error.contains(says) && error.starts_with("x.sql: "), "{error}");
        }
    }
}

//! Strict reading and writing of documents.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::{DeserializeOwned, DeserializeSeed};
use thiserror::Error;

use crate::foreign::{Snippet, concise, excerpt};
use crate::yaml::{self, Indirection};
use crate::{Digest, canonical_digest, guard, schema_of};

/// What is wrong with a document.
#[derive(Debug, Error)]
pub enum SpecError {
    /// The text is not a document of this kind.
    #[error("{origin}{}: {what}", LineColumn(*.line, *.column))]
    Parse {
        /// The file, or another source of the text.
        origin: String,
        /// Line, from 1; 0 if not known.
        line: usize,
        /// Column, from 1; 0 if not known.
        column: usize,
        /// What is wrong there.
        what: String,
        /// The lines there, if the position is known.
        snippet: Option<Box<Snippet>>,
    },
    /// The syntax is correct, but a value is not valid.
    #[error("{origin}: {field}: {what}")]
    Invalid {
        /// The file, or another source of the text.
        origin: String,
        /// The field, as a path such as `model.hidden_size`.
        field: String,
        /// What is wrong with it.
        what: String,
    },
    /// A value has no canonical form.
    #[error("the value has no canonical form: {0}")]
    Canonical(String),
}

impl SpecError {
    /// The text cannot be read at a line and column, counted from 1; zeros if the position is not known.
    fn parse(text: &str, origin: &str, (line, column): (usize, usize), what: &str) -> Self {
        let snippet = Snippet::at(text, line, column).map(Box::new);
        Self::Parse { origin: origin.to_owned(), line, column, what: concise(what), snippet }
    }
}

struct LineColumn(usize, usize);

impl std::fmt::Display for LineColumn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.0, self.1) {
            (0, _) => Ok(()),
            (line, 0) => write!(f, ":{line}"),
            (line, column) => write!(f, ":{line}:{column}"),
        }
    }
}

/// A field that is not valid, and why: what [`Document::check`] returns.
pub type Complaint = (String, String);

/// A document that people write as YAML and programs as JSON.
///
/// Reading refuses unknown fields, duplicate keys, anchors, aliases and tags. The first field of
/// every document is `retrace: KIND/VERSION`.
pub trait Document: Serialize + DeserializeOwned {
    /// Kind and version, as in `run/1`.
    const SCHEMA: &'static str;
    /// The largest size of such a document, in bytes.
    const LARGEST: usize = 16 << 20;

    /// What the field `retrace` says.
    fn schema(&self) -> &str;

    /// Checks the values.
    ///
    /// # Errors
    /// The first field that is not valid, and why.
    fn check(&self) -> Result<(), Complaint>;

    /// Reads the form that [`Self::to_yaml`] writes in a faster way, for documents that are long; nothing for any
    /// other text.
    fn read_as_written(_text: &str) -> Option<Self> {
        None
    }

    /// Reads a document; `origin` is the name of the text in errors.
    ///
    /// # Errors
    /// If the text is not such a document, or [`Self::check`] returns an error.
    fn parse(text: &str, origin: &str) -> Result<Self, SpecError> {
        let quick = if text.len() > Self::LARGEST { None } else { Self::read_as_written(text) };
        let document = quick
            .map_or_else(|| read(text, origin, Self::LARGEST), Ok)
            .map_err(|error| schema_of(text).and_then(|schema| other::<Self>(schema, origin)).unwrap_or(error))?;
        accept(&document, origin)?;
        Ok(document)
    }

    /// The document as YAML.
    ///
    /// # Errors
    /// If a value has no YAML form.
    fn to_yaml(&self) -> Result<String, SpecError> {
        serde_yaml::to_string(self).map_err(|e| SpecError::Canonical(e.to_string()))
    }

    /// The digest of the document's meaning, the same for every way of writing it.
    ///
    /// # Errors
    /// If a value has no canonical form.
    fn digest(&self) -> Result<Digest, SpecError> {
        canonical_digest(Self::SCHEMA, self)
    }
}

/// Reads YAML or JSON of at most `largest` bytes, strictly.
pub(crate) fn read<T: DeserializeOwned>(text: &str, origin: &str, largest: usize) -> Result<T, SpecError> {
    let refuse = |line, column, what: String| SpecError::parse(text, origin, (line, column), &what);
    if text.len() > largest {
        return Err(refuse(
            0,
            0,
            format!("the document has {} bytes; the limit for its kind is {largest}", text.len()),
        ));
    }
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|e| refuse(e.line(), e.column(), without_place(e.to_string())));
    }
    yaml_value(text, origin, Indirection::Refused, PhantomData)
}

/// The maximum size of [`read_yaml`] in bytes.
const LARGEST_YAML: usize = 16 << 20;

/// Reads YAML that other programs wrote, with a seed: unlike [`Document::parse`], aliases and unknown fields are
/// accepted. With aliases a short text can expand to a huge value, so the seed must limit what it builds.
///
/// # Errors
/// If the text is not YAML, not such a value, longer than 16 MiB or nested deeper than 64 levels.
pub fn read_yaml<'de, S: DeserializeSeed<'de>>(text: &'de str, origin: &str, seed: S) -> Result<S::Value, SpecError> {
    if text.len() > LARGEST_YAML {
        let what = format!("the YAML has {} bytes; the limit is {LARGEST_YAML}", text.len());
        return Err(SpecError::parse(text, origin, (0, 0), &what));
    }
    yaml_value(text, origin, Indirection::Allowed, seed)
}

fn yaml_value<'de, S: DeserializeSeed<'de>>(
    text: &'de str,
    origin: &str,
    indirection: Indirection,
    seed: S,
) -> Result<S::Value, SpecError> {
    let refuse = |line, column, what: String| SpecError::parse(text, origin, (line, column), &what);
    yaml::look(text, indirection).map_err(|(line, column, what)| refuse(line, column, what))?;
    let value = guard(|| seed.deserialize(serde_yaml::Deserializer::from_str(text)));
    value.map_err(|e| refuse(0, 0, e.to_string()))?.map_err(|e| {
        let (line, column) = e.location().map_or((0, 0), |place| (place.line(), place.column()));
        refuse(line, column, without_place(e.to_string()))
    })
}

/// Whether the document has the version that is read here, and its values are valid.
pub(crate) fn accept<D: Document>(document: &D, origin: &str) -> Result<(), SpecError> {
    if let Some(error) = other::<D>(document.schema(), origin) {
        return Err(error);
    }
    document.check().map_err(|(field, what)| SpecError::Invalid { origin: origin.to_owned(), field, what })
}

/// The error for a document with this `schema`, if it is of another kind or version.
fn other<D: Document>(schema: &str, origin: &str) -> Option<SpecError> {
    let what = || format!("is {:?}, and {:?} is read here", excerpt(schema), D::SCHEMA);
    let invalid = || SpecError::Invalid { origin: origin.to_owned(), field: "retrace".to_owned(), what: what() };
    (schema != D::SCHEMA).then(invalid)
}

/// A parser's message without the position at its end, which is shown separately.
fn without_place(mut what: String) -> String {
    if let Some(at) = what.rfind(" at line ")
        && what[at..].split(' ').skip(3).step_by(2).all(|number| number.parse::<usize>().is_ok())
    {
        what.truncate(at);
    }
    what
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Small {
        retrace: String,
        name: String,
        #[serde(default)]
        list: Vec<String>,
    }

    impl Document for Small {
        const SCHEMA: &'static str = "small/1";
        fn schema(&self) -> &str {
            &self.retrace
        }
        fn check(&self) -> Result<(), Complaint> {
            if self.name.is_empty() { Err(("name".to_owned(), "is empty".to_owned())) } else { Ok(()) }
        }
    }

    #[test]
    fn meaning_and_not_spelling_has_the_digest() {
        let one = Small::parse("retrace: small/1\nname: a b\nlist: [x, 'y']\n", "t").expect("reads");
        let two = Small::parse("# note & more\nlist:\n  - x\n  - \"y\"\nname: 'a b'\nretrace: small/1\n", "t")
            .expect("reads");
        let three = Small::parse(r#"{"retrace":"small/1","list":["x","y"],"name":"a b"}"#, "t").expect("reads");
        assert_eq!(one.digest().expect("digest"), two.digest().expect("digest"));
        assert_eq!(one.digest().expect("digest"), three.digest().expect("digest"));
        assert_eq!(Small::parse(&one.to_yaml().expect("yaml"), "t").expect("reads"), one);
    }

    #[test]
    fn what_is_refused_names_its_place() {
        let cases = [
            ("retrace: small/1\nname: a\nnmae: b\n", "t:3"),
            ("retrace: small/1\nname: a\nname: b\n", "duplicate"),
            ("retrace: small/1\nname: &x a\n", "t:2:7"),
            ("retrace: small/1\nname: a\nlist: [*x]\n", "t:3:8"),
            ("retrace: small/1\nname: a\nlist:\n  - !!str x\n", "t:4:5"),
            ("retrace: small/1\n<<: *base\nname: a\n", "t:2:5"),
            ("retrace: small/2\nname: a\n", "retrace: is \"small/2\""),
            ("retrace: small/1\nname: ''\n", "name: is empty"),
            ("retrace: small/1\n", "missing field"),
            ("retrace: small/1\nname: |\n  '\nlist: [&x y, *x]\n", "t:4:8"),
            (
                "retrace: small/1\nname: a\nlist: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
                "t:3:70",
            ),
            ("{\"retrace\": \"small/1\", \"name\": \"a\", \"name\": \"b\"}", "duplicate"),
            ("", "t"),
        ];
        for (text, expected) in cases {
            let error = Small::parse(text, "t").expect_err(text).to_string();
            assert!(error.contains(expected), "{text:?} gave {error:?}, which lacks {expected:?}");
        }
    }

    #[test]
    fn text_that_only_looks_like_indirection_is_read() {
        for name in ["a & b", "a*b", "'*x'", "\"&x \\\" !y\"", "x!", "a -&b"] {
            let text = format!("retrace: small/1\nname: {name}\n");
            assert!(Small::parse(&text, "t").is_ok(), "{name} was refused");
        }
    }
}

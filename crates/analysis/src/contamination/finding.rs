//! What a search finds.

use retrace_spec::recipe::{Method, Verdict};
use serde::{Deserialize, Serialize};

use super::item::Part;

/// How a part stands in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The same bytes.
    Verbatim,
    /// The same units: line ends, case, punctuation, width, markup or script may differ.
    Normalised,
    /// All choices, in another order.
    Reordered,
    /// With units replaced, added or left out.
    Edited,
    /// A piece of it, the rest missing.
    Piece,
}

/// A part of an item that a document has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// The part.
    pub part: Part,
    /// How it stands there.
    pub form: Form,
    /// How much of it, from 0 to 1, weighted by how much each unit tells.
    pub score: f64,
    /// The units (words or characters) of the part, and those that were found.
    pub units: u32,
    /// Units found.
    pub found: u32,
    /// The stretches of the item's text that were found.
    pub item: Vec<ItemSpan>,
    /// The stretches of the document's text that were found: first byte and end.
    pub document: Vec<(u64, u64)>,
}

/// A stretch of an item's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemSpan {
    /// The field. Choices and passages inside a question are stretches of the question.
    pub field: Part,
    /// Which choice, from 0, where the field is the choices.
    pub choice: u32,
    /// The first byte.
    pub start: u32,
    /// The end.
    pub end: u32,
}

/// A document that has something of an item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The method that found it.
    pub method: Method,
    /// The item's place in the benchmarks as they were given.
    pub item: u32,
    /// The document's id.
    pub document: String,
    /// The document's shard.
    pub shard: String,
    /// The document's line or row in the shard, from 1.
    pub line: u64,
    /// The document's language, if the corpus says it.
    pub lang: Option<String>,
    /// The document's source, if the corpus says it.
    pub source: Option<String>,
    /// Leak or not.
    pub verdict: Verdict,
    /// How much of the deciding part was found, from 0 to 1, by the method's own measure.
    pub score: f64,
    /// The parts that were seen, the deciding one first.
    pub seen: Vec<Seen>,
    /// Whether the right answer stands at the question.
    pub with_answer: bool,
    /// The document's text around what was found; only for the worst findings of an item.
    pub excerpt: Option<Excerpt>,
}

/// A stretch of a document's text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Excerpt {
    /// Its first byte in the document.
    pub start: u64,
    /// The text.
    pub text: String,
    /// Whether the document ends with it.
    pub ends: bool,
}

impl Excerpt {
    /// Bytes on both sides of what was found.
    const AROUND: usize = 160;
    /// The most bytes of an excerpt.
    const LONGEST: usize = 1600;

    /// The stretch of `text` around what was seen: around the deciding part, if all is too long.
    pub(super) fn of(text: &str, seen: &[Seen]) -> Option<Self> {
        let extent = |seen: &[Seen]| {
            let spans = || seen.iter().flat_map(|seen| &seen.document);
            Some((spans().map(|span| span.0).min()? as usize, spans().map(|span| span.1).max()? as usize))
        };
        let all = extent(seen)?;
        let (first, end) = if all.1 - all.0 > Self::LONGEST { extent(seen.get(..1)?).unwrap_or(all) } else { all };
        let start = text.floor_char_boundary(first.saturating_sub(Self::AROUND));
        let end = text.ceil_char_boundary((end + Self::AROUND).min(text.len()));
        let end = if end - start > Self::LONGEST { text.floor_char_boundary(start + Self::LONGEST) } else { end };
        let excerpt = text.get(start..end)?;
        Some(Self { start: start as u64, text: excerpt.to_owned(), ends: end == text.len() })
    }
}

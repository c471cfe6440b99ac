//! What a search finds.

use serde::{Deserialize, Serialize};

use super::item::Part;
use super::method::Method;

/// Whether a document gives an item away, or why not. From the worst to the most harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The document has the question, or so much of it, or so long and rare an answer, that it can only be the item.
    Leak,
    /// Much of the item is there, but not enough to say so.
    NearMiss,
    /// The same words with other numbers or names, or an item of the same template.
    SameTemplate,
    /// The passage without the question: the document may be where the item has it from.
    PassageOnly,
    /// A text that the question quotes, without what it asks about that text.
    Quotation,
    /// The answer or the solution, without the question.
    AnswerOnly,
    /// The choices without the question.
    ChoicesOnly,
    /// What was found is in many documents or items: an instruction, a licence, a common question.
    StockPhrase,
    /// The question is so short that any text may have it.
    TooShort,
}

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
}

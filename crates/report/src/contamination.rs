//! What a search of a corpus for the items of benchmarks found: its data, and its page, tables and text.

use retrace_analysis::contamination::{Form, Method, Part, Verdict};
use serde::{Deserialize, Serialize};

mod counts;
mod page;
mod tables;

pub use counts::{ContaminationCounts, RunExposure, unsearched};
pub use page::contamination_page;
pub(crate) use tables::in_words;
pub use tables::{DataTable, data_tables, markdown, not_searched};

/// The result of a search.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContaminationReport {
    /// The methods, in their order.
    pub methods: Vec<Method>,
    /// The files of the benchmarks.
    pub benchmarks: Vec<InputFile>,
    /// The shards of the corpus.
    pub shards: Vec<InputFile>,
    /// Documents searched.
    pub documents: u64,
    /// Bytes of their text.
    pub bytes: u64,
    /// Items by benchmark and subset.
    pub rates: Vec<Rate>,
    /// Documents by source; none if there are so many sources that they tell documents apart.
    pub sources: Option<Vec<Group>>,
    /// Documents by language; as for sources.
    pub languages: Option<Vec<Group>>,
    /// What was found of impossible items; none if none were searched for.
    pub false_alarms: Option<Vec<FalseAlarms>>,
    /// Findings by score.
    pub scores: Vec<Band>,
    /// The findings, those of an item together.
    pub findings: Vec<Hit>,
    /// Items of which more documents were found than are kept.
    pub left_out: Vec<LeftOut>,
    /// The most findings of an item by a method that are kept.
    pub kept: usize,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputFile {
    /// Its name, with as many of its directories as tell the files of its kind apart.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// The digest of its bytes.
    pub digest: String,
    /// Items or documents.
    pub records: u64,
    /// Lines or rows that could not be read, and were left out.
    pub skipped: u64,
    /// The first of them: line, and why.
    pub skipped_first: Vec<(u64, String)>,
    /// What can be read in two ways, and how it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// A part of a whole, with its 95 % interval (Wilson).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// How many.
    pub count: u64,
    /// Of how many.
    pub of: u64,
    /// The interval's ends, from 0 to 1; none if the count is a lower bound.
    pub interval: Option<(f64, f64)>,
}

impl Share {
    /// `count` of `of`.
    pub fn new(count: u64, of: u64) -> Self {
        Self { count, of, interval: Some(retrace_analysis::wilson(count, of)) }
    }

    /// At least `count` of `of`.
    pub const fn at_least(count: u64, of: u64) -> Self {
        Self { count, of, interval: None }
    }

    /// The share, from 0 to 1.
    pub fn value(&self) -> f64 {
        if self.of == 0 { 0.0 } else { self.count as f64 / self.of as f64 }
    }
}

/// The items of a benchmark, or of one of its subsets, by the worst verdict of each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The method.
    pub method: Method,
    /// The benchmark.
    pub benchmark: String,
    /// The subset; none for the benchmark as a whole.
    pub subset: Option<String>,
    /// Items with a leak.
    pub leaked: Share,
    /// Of these, items whose answer stands at the question.
    pub with_answer: u64,
    /// Items by worst verdict, of those with a finding.
    pub verdicts: Vec<(Verdict, u64)>,
    /// Items of which nothing was found.
    pub nothing: u64,
    /// Items that have nothing to search for, such as a question without words. They are in no other number.
    #[serde(default)]
    pub not_searched: u64,
}

/// The documents of a source or a language.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// The method.
    pub method: Method,
    /// The source or language; empty for documents without.
    pub name: String,
    /// Documents with a leak.
    pub documents: Share,
    /// Items that leaked there.
    pub items: u64,
}

/// What was found of items that no document can have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FalseAlarms {
    /// The method.
    pub method: Method,
    /// How the items were made.
    pub made: String,
    /// The benchmark they were made from.
    pub benchmark: String,
    /// Items with a leak, all of which are false.
    pub flagged: Share,
}

/// The findings whose scores are in a band.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Band {
    /// The method.
    pub method: Method,
    /// The band's number: of 4, from 0.4 to before 0.5.
    pub tenth: u8,
    /// Findings by verdict.
    pub verdicts: Vec<(Verdict, u64)>,
}

/// An item and a document that has something of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hit {
    /// The method.
    pub method: Method,
    /// The benchmark.
    pub benchmark: String,
    /// The item's subset.
    pub subset: Option<String>,
    /// The item.
    pub item: String,
    /// Leak, or why not.
    pub verdict: Verdict,
    /// How much of the deciding part was found, from 0 to 1.
    pub score: f64,
    /// Whether the right answer stands at the question.
    pub with_answer: bool,
    /// The parts that were seen, the deciding one first.
    pub parts: Vec<SeenPart>,
    /// The item's texts, what was found marked.
    pub texts: Vec<Marked>,
    /// The document.
    pub document: String,
    /// Its shard.
    pub shard: String,
    /// Its line or row there.
    pub line: u64,
    /// Its language, if the corpus says it.
    pub language: Option<String>,
    /// Its source, if the corpus says it.
    pub source: Option<String>,
    /// The document's text around what was found, if it was kept.
    pub excerpt: Option<Marked>,
    /// What was found in the document: first byte and end.
    pub spans: Vec<(u64, u64)>,
}

/// A part of an item that was seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeenPart {
    /// The part.
    pub part: Part,
    /// In which form; none if the method does not tell.
    pub form: Option<Form>,
    /// How much of it, from 0 to 1.
    pub score: f64,
    /// Its words or characters, and those that were found.
    pub units: u32,
    /// Those that were found.
    pub found: u32,
}

/// A text with marked stretches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Marked {
    /// What it is: the item's field, or the excerpt.
    pub name: String,
    /// The text.
    pub text: String,
    /// The marked bytes, in order, none within another.
    pub marks: Vec<(usize, usize)>,
    /// The first byte of the text in the whole.
    pub start: u64,
    /// Whether the whole ends with it.
    pub ends: bool,
}

impl Marked {
    /// A text with these stretches marked, given in bytes of the whole, in any order.
    pub fn new(name: &str, text: &str, start: u64, ends: bool, spans: &[(u64, u64)]) -> Self {
        let within = |at: u64| (at.saturating_sub(start) as usize).min(text.len());
        let mut spans: Vec<(usize, usize)> = spans
            .iter()
            .filter(|(_, end)| *end > start)
            .map(|(from, to)| (text.floor_char_boundary(within(*from)), text.ceil_char_boundary(within(*to))))
            .filter(|(from, to)| from < to)
            .collect();
        spans.sort_unstable();
        let mut marks: Vec<(usize, usize)> = Vec::new();
        for (from, to) in spans {
            match marks.last_mut() {
                // What stands between two stretches is read as one with them if it is no word.
                Some(last)
                    if !text.get(last.1..from).is_some_and(|between| between.contains(char::is_alphanumeric)) =>
                {
                    last.1 = last.1.max(to);
                }
                _ => marks.push((from, to)),
            }
        }
        Self { name: name.to_owned(), text: text.to_owned(), marks, start, ends }
    }

    /// The text in pieces, and whether each is marked.
    pub(crate) fn pieces(&self) -> Vec<(bool, &str)> {
        let mut pieces = Vec::new();
        let mut at = 0;
        for (from, to) in &self.marks {
            pieces.push((false, self.text.get(at..*from).unwrap_or_default()));
            pieces.push((true, self.text.get(*from..*to).unwrap_or_default()));
            at = *to;
        }
        pieces.push((false, self.text.get(at..).unwrap_or_default()));
        pieces.retain(|(_, text)| !text.is_empty());
        pieces
    }
}

/// Findings of an item that were counted and not kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// The method.
    pub method: Method,
    /// The benchmark.
    pub benchmark: String,
    /// The item.
    pub item: String,
    /// How many.
    pub findings: u64,
    /// Of these, how many leak the item, by what is in the document alone.
    pub leaks: u64,
}

/// A verdict in words.
pub const fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Leak => "leak",
        Verdict::NearMiss => "near miss",
        Verdict::SameTemplate => "same template",
        Verdict::PassageOnly => "passage only",
        Verdict::Quotation => "quotation",
        Verdict::AnswerOnly => "answer only",
        Verdict::ChoicesOnly => "choices only",
        Verdict::StockPhrase => "stock phrase",
        Verdict::TooShort => "too short to judge",
    }
}

const fn verdict_means(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Leak => {
            "The document has the question, or so much of it or of a long answer that it can only be the item."
        }
        Verdict::NearMiss => "Much of the item is there, and not enough to say that it is the item.",
        Verdict::SameTemplate => "The same words with other numbers or names: another item of the same template.",
        Verdict::PassageOnly => "The passage without the question: the document may be where the item has it from.",
        Verdict::Quotation => "A text that the question quotes, without what it asks about it.",
        Verdict::AnswerOnly => "The answer or the solution without the question.",
        Verdict::ChoicesOnly => "The choices without the question.",
        Verdict::StockPhrase => "What was found is in many documents: an instruction, a licence, a common question.",
        Verdict::TooShort => "The question is so short that any text can have it.",
    }
}

const fn part_name(part: Part) -> &'static str {
    match part {
        Part::Question => "question",
        Part::Choices => "choices",
        Part::Answer => "answer",
        Part::Passage => "passage",
        Part::Solution => "solution",
    }
}

const fn form_name(form: Form) -> &'static str {
    match form {
        Form::Verbatim => "verbatim",
        Form::Normalised => "other case, punctuation or script",
        Form::Reordered => "in another order",
        Form::Edited => "edited",
        Form::Piece => "a piece",
    }
}

/// Where a method is from, and its parameters.
const fn method_means(method: Method) -> (&'static str, &'static str) {
    match method {
        Method::Spans => (
            "retrace",
            "Words in Latin script and characters in Chinese, without case, width, punctuation, markup, and Traditional as Simplified characters. The units of an item are aligned with the document (Smith and Waterman 1981) and weighted by how much each tells. A question leaks if 70 % of its weight and 68 % of its units stand together (under 13 words: 72 % and 75 %; with its choices or answer beside it 55 % and 65 %), or half of it in one piece of 13 words. Pieces and short questions that many documents of the corpus have are stock phrases.",
        ),
        Method::Gpt3 => (
            "Brown et al. 2020, appendix C",
            "Any n-gram of words, lower case and without punctuation. n is the 5th percentile of the lengths of the benchmark's items, from 8 to 13.",
        ),
        Method::Palm => ("Chowdhery et al. 2022", "70 % of the item's 8-grams of words."),
        Method::Llama2 => (
            "Touvron et al. 2023, appendix A.6",
            "Matches of more than 10 units in which 4 may differ; an item is contaminated from 80 % of its units on, near from 20 % on.",
        ),
        Method::Olmo => ("Magnusson et al. 2023 (Paloma)", "A whole paragraph of at least 13 words."),
        Method::Decon => (
            "allenai/decon (OLMo 3)",
            "5-grams sampled every 10 words, grown until 11 misses; weighted by inverse frequency among items; question 0.7, answer 0.2, passage 0.1; threshold 0.8, and up to 1 for items of less than 50 words. On words in place of tokens.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_join_over_what_is_no_word_and_keep_to_characters() {
        let text = "one two, three 四五 six";
        let marked = Marked::new("x", text, 100, true, &[(100 + 15, 100 + 17), (100, 103), (104, 107), (50, 60)]);
        assert_eq!(marked.pieces(), [(true, "one two"), (false, ", three "), (true, "四"), (false, "五 six")]);
        let none = Marked::new("x", text, 0, true, &[(500, 600), (3, 2)]);
        assert_eq!(none.pieces(), [(false, text)]);
    }
}

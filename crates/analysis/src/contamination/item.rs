//! What is searched for, and in what.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::text::is_cjk;

/// An item of a benchmark, its parts told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchmarkItem {
    /// Unique in the benchmark.
    pub id: String,
    /// The benchmark's name.
    pub benchmark: String,
    /// The part of the benchmark that the item belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
    /// What is asked. Choices and a passage inside it (`A. …`, `Options:`, `Passage: … Question: …`) are told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// The choices, without their letters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// The right answer. A letter alone (`C`, `(C)`) means that choice; what is before `####` is the solution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// A text that the question is about. Of an item without a question, it is what is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passage: Option<String>,
    /// How the answer is found: steps of a calculation, code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub solution: Option<String>,
}

/// A part of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What is asked, without choices and passage.
    Question,
    /// The choices.
    Choices,
    /// The right answer.
    Answer,
    /// The text that the question is about.
    Passage,
    /// How the answer is found.
    Solution,
}

/// A document of the corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Document<'a> {
    /// Its id; unique in its shard.
    pub id: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Its language, as the corpus says.
    pub lang: Option<&'a str>,
    /// Where the corpus has it from.
    pub source: Option<&'a str>,
    /// The file that it is in.
    pub shard: &'a str,
    /// Its line or row there, from 1.
    pub line: u64,
}

/// A piece of an item's field that plays a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) part: Part,
    /// The field that has it, which is the question where choices or a passage stand inside it.
    pub(super) field: Part,
    /// Which of the choices, where the field is [`Part::Choices`].
    pub(super) choice: usize,
    /// The bytes of the field.
    pub(super) range: Range<usize>,
}

impl BenchmarkItem {
    /// The text of a field; of the choices, that of number `choice`.
    pub(super) fn field(&self, field: Part, choice: usize) -> &str {
        let text = match field {
            Part::Question => self.question.as_deref(),
            Part::Choices => self.choices.get(choice).map(String::as_str),
            Part::Answer => self.answer.as_deref(),
            Part::Passage => self.passage.as_deref(),
            Part::Solution => self.solution.as_deref(),
        };
        text.unwrap_or_default()
    }

    pub(super) fn text(&self, piece: &Piece) -> &str {
        self.field(piece.field, piece.choice).get(piece.range.clone()).unwrap_or_default()
    }

    /// The item's pieces, by part. A question comes first.
    pub(super) fn pieces(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        if let Some(question) = &self.question {
            let mut add = |part, range: Range<usize>| {
                if !range.is_empty() {
                    pieces.push(Piece { part, field: Part::Question, choice: 0, range });
                }
            };
            let (passage, rest) = passage_inside(question);
            let choices = choices_inside(question.get(rest.clone()).unwrap_or_default());
            let stem = choices.first().map_or(rest.end, |first| rest.start + first.0);
            add(Part::Question, rest.start..stem);
            for (_, range) in choices {
                add(Part::Choices, rest.start + range.start..rest.start + range.end);
            }
            add(Part::Passage, passage);
        }
        for (choice, text) in self.choices.iter().enumerate() {
            pieces.push(Piece { part: Part::Choices, field: Part::Choices, choice, range: 0..text.len() });
        }
        if let Some(passage) = &self.passage {
            let part = if self.question.is_some() { Part::Passage } else { Part::Question };
            pieces.push(Piece { part, field: Part::Passage, choice: 0, range: 0..passage.len() });
        }
        if let Some(answer) = &self.answer {
            let whole = 0..answer.len();
            let mut add = |part, range| pieces.push(Piece { part, field: Part::Answer, choice: 0, range });
            match (answer.rfind("####"), letter(answer)) {
                (Some(at), _) => {
                    add(Part::Solution, 0..at);
                    add(Part::Answer, at + 4..answer.len());
                }
                (None, Some(number)) => {
                    let chosen = pieces.iter().filter(|piece| piece.part == Part::Choices).nth(number).cloned();
                    pieces.extend(chosen.map(|piece| Piece { part: Part::Answer, ..piece }));
                }
                (None, None) => add(Part::Answer, whole),
            }
        }
        if let Some(solution) = &self.solution {
            pieces.push(Piece { part: Part::Solution, field: Part::Solution, choice: 0, range: 0..solution.len() });
        }
        pieces
    }
}

/// The number of the choice that `answer` names by its letter alone: `C`, `(C)`, `C.`.
fn letter(answer: &str) -> Option<usize> {
    let letter = answer.trim().trim_matches(['(', ')', '.', '（', '）']);
    match letter.as_bytes() {
        [b @ b'A'..=b'J'] => Some(usize::from(b - b'A')),
        _ => None,
    }
}

/// The letter that a choice starts with at `at` (`(A)`, `A.`, `A)`, `A、`, `（A）`, `A：`), and where its text starts.
fn marker(text: &str, at: usize) -> Option<(char, usize)> {
    let rest = text.get(at..)?;
    let opened = rest.trim_start_matches(['(', '（']);
    let c = opened.chars().next()?;
    let plain = match c {
        'A'..='J' => c,
        'Ａ'..='Ｊ' => char::from_u32(c as u32 - 0xFEE0)?,
        _ => return None,
    };
    let after = opened.get(c.len_utf8()..)?;
    let end = after.chars().next()?;
    let closes =
        matches!(end, ')' | '）') || opened.len() == rest.len() && matches!(end, '.' | '．' | '、' | ':' | '：');
    closes.then(|| (plain, text.len() - after.len() + end.len_utf8()))
}

/// The choices that stand at the end of a question: for each, where its marker starts and the bytes of its text.
fn choices_inside(question: &str) -> Vec<(usize, Range<usize>)> {
    let starts = |c: char| c.is_whitespace() || is_cjk(c) || matches!(c, '？' | '。' | '：' | '）' | '；');
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut before = ' ';
    for (at, c) in question.char_indices() {
        let next = char::from_u32('A' as u32 + found.len() as u32);
        if starts(before)
            && let Some((letter, text)) = marker(question, at)
        {
            if Some(letter) == next {
                found.push((at, text));
            } else if letter == 'A' && found.len() < 2 {
                found = vec![(at, text)];
            }
        }
        before = c;
    }
    if found.len() < 2 {
        found = dashes(question);
    }
    let Some(&(first, _)) = found.first() else { return Vec::new() };
    // The line that announces them belongs to them.
    let announced = question.get(..first).unwrap_or_default().trim_end();
    let heading = ["Options:", "Choices:", "Answer Choices:", "选项：", "选项:"];
    let stem = heading.iter().find_map(|heading| announced.strip_suffix(heading)).unwrap_or(announced).len();
    let ends: Vec<usize> = found.iter().skip(1).map(|(at, _)| *at).chain([question.len()]).collect();
    let mut choices: Vec<(usize, Range<usize>)> =
        found.iter().zip(ends).map(|((at, text), end)| (*at, *text..end)).collect();
    if let Some(first) = choices.first_mut() {
        first.0 = stem;
    }
    choices
}

/// Choices as lines with dashes after a line `Options:`.
fn dashes(question: &str) -> Vec<(usize, usize)> {
    let Some(heading) = question.rfind("Options:\n- ") else { return Vec::new() };
    question
        .get(heading..)
        .unwrap_or_default()
        .match_indices("\n- ")
        .map(|(at, _)| (heading + at + 1, heading + at + 3))
        .collect()
}

/// A passage that stands inside a question under a heading, and the rest of the question after the next heading.
fn passage_inside(question: &str) -> (Range<usize>, Range<usize>) {
    let headings = ["Passage:", "Context:", "Article:", "Paragraph:", "文章：", "材料：", "短文：", "背景："];
    let asks = ["\nQuestion:", "\nQ:", "\n问题：", "\n问：", "\nQuestions:"];
    let lead = question.len() - question.trim_start().len();
    let heading = headings.iter().find(|heading| question.get(lead..).is_some_and(|text| text.starts_with(**heading)));
    let ask = asks.iter().filter_map(|ask| question.rfind(ask).map(|at| (at, at + ask.len()))).max();
    match (heading, ask) {
        (Some(heading), Some((end, ask))) if end >= lead + heading.len() => {
            (lead + heading.len()..end, ask..question.len())
        }
        _ => (0..0, 0..question.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(item: &BenchmarkItem) -> Vec<(Part, String)> {
        item.pieces().iter().map(|piece| (piece.part, item.text(piece).trim().to_owned())).collect()
    }

    fn of(question: &str, answer: &str) -> Vec<(Part, String)> {
        parts(&BenchmarkItem {
            question: Some(question.to_owned()),
            answer: Some(answer.to_owned()),
            ..BenchmarkItem::default()
        })
    }

    #[test]
    fn parts_inside_a_question_are_told_apart() {
        let strings = |parts: &[(Part, &str)]| -> Vec<(Part, String)> {
            parts.iter().map(|(part, text)| (*part, (*text).to_owned())).collect()
        };
        assert_eq!(
            of("Which is red?\nOptions:\n(A) the jug\n(B) the cup (C is green)", "(B)"),
            strings(&[
                (Part::Question, "Which is red?"),
                (Part::Choices, "the jug"),
                (Part::Choices, "the cup (C is green)"),
                (Part::Answer, "the cup (C is green)"),
            ])
        );
        assert_eq!(
            of("下列哪一项是红色的？A. 壶 B. 杯 C．盘", "C"),
            strings(&[
                (Part::Question, "下列哪一项是红色的？"),
                (Part::Choices, "壶"),
                (Part::Choices, "杯"),
                (Part::Choices, "盘"),
                (Part::Answer, "盘"),
            ])
        );
        assert_eq!(
            of("Do you return?\nOptions:\n- Yes\n- No", "No"),
            strings(&[
                (Part::Question, "Do you return?"),
                (Part::Choices, "Yes"),
                (Part::Choices, "No"),
                (Part::Answer, "No"),
            ])
        );
        assert_eq!(
            of("Passage: It rained.\nQuestion: Did it rain? A. B. Smith said so.", "3 + 4\n#### 7"),
            strings(&[
                (Part::Question, "Did it rain?"),
                (Part::Choices, ""),
                (Part::Choices, "Smith said so."),
                (Part::Passage, "It rained."),
                (Part::Solution, "3 + 4"),
                (Part::Answer, "7"),
            ])
        );
        assert_eq!(of("Plan A. is bad. Why?", "x").len(), 2);
    }
}

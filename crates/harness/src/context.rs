//! How the parts of a prompt are joined.

use crate::python::{Value, is_space};

/// What a question and its answer are made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn<'a> {
    /// The question.
    pub(crate) question: &'a Value,
    /// The choices, of which the answer may be a number.
    pub(crate) choices: Option<&'a [Value]>,
    /// The answer; none for the document that is asked about.
    pub(crate) answer: Option<&'a Value>,
    /// How each answer begins.
    pub(crate) prefix: Option<&'a str>,
    /// Between question and answer.
    pub(crate) before_answer: &'a str,
    /// After the answer.
    pub(crate) after_answer: &'a str,
}

impl Turn<'_> {
    /// The text of the turn.
    pub(crate) fn text(&self) -> Result<String, String> {
        let Value::Text(question) = self.question else {
            return Err(format!("`doc_to_text` gives a {}, not a text", self.question.kind()));
        };
        let prefix = self.prefix.filter(|prefix| !prefix.is_empty());
        let answer = self
            .answer
            .filter(|answer| !matches!(answer, Value::None) && !matches!(answer, Value::Text(text) if text.is_empty()));
        let delimited = match prefix {
            None => answer.is_some(),
            Some(prefix) => meets(question, prefix),
        };
        let mut out = question.clone();
        out += if delimited { self.before_answer } else { "" };
        match answer {
            Some(answer) => {
                let text = self.answer_text(answer)?;
                out += &joined(prefix.unwrap_or(""), text, " ");
                out += self.after_answer;
            }
            None => out += prefix.unwrap_or(""),
        }
        Ok(out)
    }

    fn answer_text<'a>(&'a self, answer: &'a Value) -> Result<&'a str, String> {
        let chosen = match (self.choices.filter(|choices| !choices.is_empty()), answer, answer.int()) {
            (Some(choices), _, Some(number)) => at(choices, number)
                .ok_or_else(|| format!("the answer {number} is none of {} choices", choices.len()))?,
            (_, Value::List(list), _) => list.first().ok_or("the list of answers is empty")?,
            _ => answer,
        };
        chosen.text().ok_or_else(|| format!("the answer {} is no text", chosen.repr()))
    }
}

/// The item of a list, counted from the end if the number is negative.
pub(crate) fn at(list: &[Value], number: i128) -> Option<&Value> {
    let length = list.len() as i128;
    let place = if number < 0 { number + length } else { number };
    usize::try_from(place).ok().and_then(|place| list.get(place))
}

/// Whether there is something on both sides, without white space where they meet.
fn meets(before: &str, after: &str) -> bool {
    let white = |c: Option<char>| c.is_none_or(is_space);
    !white(before.chars().next_back()) && !white(after.chars().next())
}

/// Both texts, with the delimiter between them unless white space is there or one is empty.
pub(crate) fn joined(before: &str, after: &str, delimiter: &str) -> String {
    let between = if meets(before, after) { delimiter } else { "" };
    format!("{before}{between}{after}")
}

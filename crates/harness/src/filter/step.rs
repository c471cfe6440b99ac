//! One step of a pipeline.

use serde_json::{Map, Value};

use super::choices::Choices;
use crate::error::ScoreError;
use crate::object::Object;
use crate::pattern::{Found, Pattern};
use crate::python::stripped;

/// The filters that there are.
pub const NAMES: [&str; 10] = [
    "regex",
    "regex_pos",
    "multi_choice_regex",
    "remove_whitespace",
    "lowercase",
    "uppercase",
    "map",
    "take_first",
    "take_first_k",
    "majority_vote",
];

/// What the harness looks for if a task names no pattern.
const NUMBER: &str = r"#### (\-?[0-9\.\,]+)";
/// The tagged words that `regex_pos` looks for, whatever its pattern is.
const TAGGED: &str = r"\('([^']*)', '([^']*)'\)";

/// One step of a pipeline.
#[derive(Debug, Clone)]
pub enum Step {
    /// The first answer.
    TakeFirst,
    /// The first so many answers.
    TakeFirstK(usize),
    /// The most frequent answer; of equally frequent ones the first.
    MajorityVote,
    /// A match in each answer.
    Regex(Search),
    /// The tags of a list of tagged words.
    Tags {
        /// What to look for.
        pattern: Pattern,
        /// If there are none.
        fallback: Object,
    },
    /// The choice that each answer names.
    MultiChoice(Box<Choices>),
    /// White space at both ends is removed.
    RemoveWhitespace,
    /// Small letters.
    Lowercase,
    /// Capital letters.
    Uppercase,
    /// One answer is replaced by another.
    Map {
        /// By what each is replaced.
        mapping: Map<String, Value>,
        /// By what all others are.
        default: Object,
    },
}

/// A pattern, and which match counts.
#[derive(Debug, Clone)]
pub struct Search {
    /// The pattern.
    pub pattern: Pattern,
    /// Which match, from 0; from the end if negative.
    pub group_select: i64,
    /// If there is none.
    pub fallback: Object,
}

/// The options of a step. Each is taken out, so that what is left is unknown.
pub(super) struct Options<'a> {
    pub(super) place: &'a str,
    entries: Map<String, Value>,
}

impl Options<'_> {
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.entries.remove(key)
    }

    pub(super) fn text(&mut self, key: &str, default: &str) -> Result<String, ScoreError> {
        match self.take(key) {
            None => Ok(default.to_owned()),
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(ScoreError::wrong(self.place, format!("'{key}' is not a text"))),
        }
    }

    pub(super) fn flag(&mut self, key: &str) -> Result<bool, ScoreError> {
        match self.take(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(ScoreError::wrong(self.place, format!("'{key}' is neither true nor false"))),
        }
    }

    pub(super) fn pattern(&mut self) -> Result<Pattern, ScoreError> {
        let pattern = self.text("regex_pattern", NUMBER)?;
        compile(self.place, &pattern)
    }

    pub(super) fn search(&mut self) -> Result<Search, ScoreError> {
        let pattern = self.pattern()?;
        let group_select = match self.take("group_select") {
            None => 0,
            Some(value) => {
                value.as_i64().ok_or_else(|| ScoreError::wrong(self.place, "'group_select' is not a whole number"))?
            }
        };
        let fallback = self.take("fallback").map_or_else(|| Object::from("[invalid]"), |value| Object::from(&value));
        Ok(Search { pattern, group_select, fallback })
    }

    fn end(self) -> Result<(), ScoreError> {
        match self.entries.keys().next() {
            None => Ok(()),
            Some(key) => Err(ScoreError::wrong(self.place, format!("the option '{key}' is unknown"))),
        }
    }
}

pub(super) fn compile(place: &str, pattern: &str) -> Result<Pattern, ScoreError> {
    Pattern::new(pattern).map_err(|source| ScoreError::Pattern { place: place.to_owned(), source })
}

impl Step {
    /// Reads a step.
    pub(super) fn read(place: &str, step: &Value) -> Result<Self, ScoreError> {
        let entries = step.as_object().ok_or_else(|| ScoreError::wrong(place, "it is not a mapping"))?;
        let mut options = Options { place, entries: entries.clone() };
        let Some(function) = options.take("function") else {
            return Err(ScoreError::wrong(place, "it has no 'function'"));
        };
        let Value::String(function) = function else {
            return Err(ScoreError::refused(
                place,
                "a filter that is a function of Python",
                "nothing foreign is executed",
            ));
        };
        let step = match function.as_str() {
            "take_first" => Self::TakeFirst,
            "take_first_k" => {
                let count = options.take("k").and_then(|k| k.as_u64()).and_then(|k| usize::try_from(k).ok());
                Self::TakeFirstK(count.ok_or_else(|| ScoreError::wrong(place, "'k' is not a whole number from 0"))?)
            }
            "majority_vote" => Self::MajorityVote,
            "regex" => Self::Regex(options.search()?),
            "regex_pos" => {
                // The harness compiles the pattern of the task and then looks for one of its own.
                options.pattern()?;
                options.take("group_select");
                let fallback = options.take("fallback").filter(|value| !value.is_null());
                Self::Tags {
                    pattern: compile(place, TAGGED)?,
                    fallback: fallback
                        .map_or_else(|| Object::List(vec![Object::from("invalid")]), |value| Object::from(&value)),
                }
            }
            "multi_choice_regex" => Self::MultiChoice(Box::new(Choices::read(&mut options)?)),
            "remove_whitespace" => Self::RemoveWhitespace,
            "lowercase" => Self::Lowercase,
            "uppercase" => Self::Uppercase,
            "map" => Self::Map {
                mapping: match options.take("mapping_dict") {
                    None | Some(Value::Null) => Map::new(),
                    Some(Value::Object(mapping)) => mapping,
                    Some(_) => return Err(ScoreError::wrong(place, "'mapping_dict' is not a mapping")),
                },
                default: options.take("default_value").map_or(Object::None, |value| Object::from(&value)),
            },
            name @ ("custom" | "format_span" | "decontaminate") => {
                let why = match name {
                    "custom" => "it is a function of Python, and nothing foreign is executed",
                    "format_span" => "it is not ported",
                    _ => "the harness has no code for it",
                };
                return Err(ScoreError::refused(place, format!("the filter '{name}'"), why));
            }
            other => return Err(ScoreError::wrong(place, format!("the filter '{other}' is unknown"))),
        };
        options.end()?;
        Ok(step)
    }

    /// The name by which a task names it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::TakeFirst => "take_first",
            Self::TakeFirstK(_) => "take_first_k",
            Self::MajorityVote => "majority_vote",
            Self::Regex(_) => "regex",
            Self::Tags { .. } => "regex_pos",
            Self::MultiChoice(_) => "multi_choice_regex",
            Self::RemoveWhitespace => "remove_whitespace",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
            Self::Map { .. } => "map",
        }
    }

    pub(super) fn apply(
        &self,
        place: &str,
        answers: Vec<Object>,
        documents: &[&Map<String, Value>],
    ) -> Result<Vec<Object>, ScoreError> {
        if let (Self::TakeFirstK(count), Some(first)) = (self, answers.first()) {
            let length = items(place, first)?.len();
            if length < *count {
                return Err(ScoreError::wrong(
                    place,
                    format!("{count} answers to a request are needed, but there are {length}: 'repeats' is too small"),
                ));
            }
        }
        answers
            .into_iter()
            .enumerate()
            .map(|(request, answer)| match self {
                Self::MultiChoice(choices) => {
                    let columns = documents
                        .get(request)
                        .ok_or_else(|| ScoreError::wrong(place, format!("request {request} has no document")))?;
                    choices.apply(place, &items(place, &answer)?, columns)
                }
                step => step.one(place, answer),
            })
            .collect()
    }

    /// The answers of one request.
    fn one(&self, place: &str, answer: Object) -> Result<Object, ScoreError> {
        let texts = |change: &dyn Fn(&str) -> String| -> Result<Object, ScoreError> {
            let texts = items(place, &answer)?.into_iter().map(|item| match item {
                Object::Text(text) => Ok(Object::Text(change(&text))),
                other => Err(ScoreError::wrong(place, format!("an answer is {}, not a text", other.kind()))),
            });
            Ok(Object::List(texts.collect::<Result<_, _>>()?))
        };
        match self {
            Self::TakeFirst => items(place, &answer)?
                .into_iter()
                .next()
                .ok_or_else(|| ScoreError::wrong(place, "there is no answer to take")),
            Self::TakeFirstK(count) => {
                let taken: Vec<Object> = items(place, &answer)?.into_iter().take(*count).collect();
                Ok(match answer {
                    Object::Text(_) => Object::Text(taken.iter().map(Object::text).collect()),
                    Object::Tuple(_) => Object::Tuple(taken),
                    _ => Object::List(taken),
                })
            }
            Self::MajorityVote => Ok(Object::List(vec![majority(place, items(place, &answer)?)?])),
            Self::Regex(search) => {
                let found = items(place, &answer)?.into_iter().map(|item| search.apply(place, &item));
                Ok(Object::List(found.collect::<Result<_, _>>()?))
            }
            Self::Tags { pattern, fallback } => {
                let found = items(place, &answer)?.into_iter().map(|item| tags(place, pattern, fallback, &item));
                Ok(Object::List(found.collect::<Result<_, _>>()?))
            }
            Self::RemoveWhitespace => texts(&|text| stripped(text).to_owned()),
            Self::Lowercase => texts(&str::to_lowercase),
            Self::Uppercase => texts(&str::to_uppercase),
            Self::Map { mapping, default } => {
                let mapped = items(place, &answer)?.into_iter().map(|item| match item {
                    Object::Text(text) => Ok(mapping.get(&text).map_or_else(|| default.clone(), Object::from)),
                    Object::List(_) | Object::Map(_) | Object::Array(_) => {
                        Err(ScoreError::wrong(place, format!("{} cannot be looked up", item.kind())))
                    }
                    _ => Ok(default.clone()),
                });
                Ok(Object::List(mapped.collect::<Result<_, _>>()?))
            }
            Self::MultiChoice(_) => Err(ScoreError::wrong(place, "it needs the document")),
        }
    }
}

impl Search {
    fn apply(&self, place: &str, answer: &Object) -> Result<Object, ScoreError> {
        let text = if let Object::Text(text) = answer { text } else { "" };
        Ok(match select(place, &self.pattern, self.group_select, text)? {
            None => self.fallback.clone(),
            Some(Found::One(text)) => Object::from(stripped(&text)),
            Some(Found::Groups(groups)) => match groups.iter().find(|group| !group.is_empty()) {
                Some(group) => Object::from(stripped(group)),
                // The harness strips the fallback too, here only.
                None => match &self.fallback {
                    Object::Text(text) => Object::from(stripped(text)),
                    other => {
                        return Err(ScoreError::wrong(place, format!("'fallback' is {}, not a text", other.kind())));
                    }
                },
            },
        })
    }
}

/// The match that counts.
pub(super) fn select(place: &str, pattern: &Pattern, which: i64, text: &str) -> Result<Option<Found>, ScoreError> {
    let mut found = pattern.find_all(text).map_err(|source| ScoreError::Pattern { place: place.to_owned(), source })?;
    if found.is_empty() {
        return Ok(None);
    }
    let length = found.len();
    let from_end = usize::try_from(which.unsigned_abs()).ok();
    let at = match which {
        0.. => from_end.filter(|at| *at < length),
        _ => from_end.and_then(|back| length.checked_sub(back)),
    };
    match at {
        Some(at) => Ok(Some(found.swap_remove(at))),
        None => Err(ScoreError::wrong(
            place,
            format!("'group_select' is {which}, but an answer has {length} matches; the harness stops here too"),
        )),
    }
}

/// What Python goes through in `for item in value`.
pub(super) fn items(place: &str, value: &Object) -> Result<Vec<Object>, ScoreError> {
    match value {
        Object::List(items) | Object::Tuple(items) => Ok(items.clone()),
        Object::Text(text) => Ok(text.chars().map(|character| Object::Text(character.to_string())).collect()),
        other => Err(ScoreError::wrong(place, format!("a list of answers is needed, not {}", other.kind()))),
    }
}

fn majority(place: &str, answers: Vec<Object>) -> Result<Object, ScoreError> {
    let mut counts: Vec<(Object, usize)> = Vec::new();
    for answer in answers {
        if matches!(answer, Object::List(_) | Object::Map(_) | Object::Array(_)) {
            return Err(ScoreError::wrong(place, format!("{} cannot be counted", answer.kind())));
        }
        match counts.iter_mut().find(|(other, _)| same(other, &answer)) {
            Some((_, count)) => *count += 1,
            None => counts.push((answer, 1)),
        }
    }
    let most = counts.iter().map(|(_, count)| *count).max();
    counts
        .into_iter()
        .find(|(_, count)| Some(*count) == most)
        .map(|(answer, _)| answer)
        .ok_or_else(|| ScoreError::wrong(place, "there is no answer to vote for"))
}

/// Python's `==` between answers.
fn same(left: &Object, right: &Object) -> bool {
    match (left.number(), right.number()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

fn tags(place: &str, pattern: &Pattern, fallback: &Object, answer: &Object) -> Result<Object, ScoreError> {
    let tags: Vec<Object> = match answer {
        Object::Text(text) => pattern
            .find_all(text)
            .map_err(|source| ScoreError::Pattern { place: place.to_owned(), source })?
            .into_iter()
            .filter_map(|found| match found {
                Found::Groups(mut groups) => groups.pop().map(Object::Text),
                Found::One(_) => None,
            })
            .collect(),
        other => items(place, other)?
            .iter()
            .map(|pair| match items(place, pair)?.as_slice() {
                [_, tag] => Ok(tag.clone()),
                _ => Err(ScoreError::wrong(place, "an answer is not a list of pairs")),
            })
            .collect::<Result<_, _>>()?,
    };
    Ok(if tags.is_empty() { fallback.clone() } else { Object::List(tags) })
}

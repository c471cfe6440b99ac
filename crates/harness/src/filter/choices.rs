//! The filter `multi_choice_regex`: the letter of the choice that an answer names.

use serde_json::{Map, Value};

use super::step::{Options, Search, compile, select};
use crate::error::ScoreError;
use crate::object::Object;
use crate::pattern::{Found, Pattern, escape};
use crate::python::stripped;

/// The settings of `multi_choice_regex`.
#[derive(Debug, Clone)]
pub struct Choices {
    search: Search,
    ignore_case: bool,
    ignored: Vec<Pattern>,
    /// Set if punctuation is ignored.
    punctuation: Option<Pattern>,
}

impl Choices {
    pub(super) fn read(options: &mut Options) -> Result<Self, ScoreError> {
        let search = options.search()?;
        let ignore_case = options.flag("ignore_case")?;
        let ignore_punctuation = options.flag("ignore_punctuation")?;
        let ignored = match options.take("regexes_to_ignore") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(patterns)) => patterns
                .iter()
                .map(|pattern| match pattern {
                    Value::String(pattern) => compile(options.place, pattern),
                    _ => Err(ScoreError::wrong(options.place, "'regexes_to_ignore' has something that is not a text")),
                })
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(ScoreError::wrong(options.place, "'regexes_to_ignore' is not a list")),
        };
        let punctuation = ignore_punctuation
            .then(|| {
                Pattern::punctuation().map_err(|source| ScoreError::Pattern { place: options.place.to_owned(), source })
            })
            .transpose()?;
        Ok(Self { search, ignore_case, ignored, punctuation })
    }

    pub(super) fn apply(
        &self,
        place: &str,
        answers: &[Object],
        columns: &Map<String, Value>,
    ) -> Result<Object, ScoreError> {
        let choices = columns
            .get("choices")
            .and_then(Value::as_array)
            .ok_or_else(|| ScoreError::wrong(place, "the document has no list 'choices'"))?;
        if choices.len() > 26 {
            return Err(ScoreError::wrong(place, format!("{} choices have no letters from A to Z", choices.len())));
        }
        // The texts of the choices without what is ignored, each with its letter. Of equal ones the last counts.
        let mut letters: Vec<(String, String)> = Vec::with_capacity(choices.len());
        let mut texts = Vec::with_capacity(choices.len());
        for (choice, letter) in choices.iter().zip('A'..='Z') {
            let Value::String(choice) = choice else {
                return Err(ScoreError::wrong(place, "a choice is not a text"));
            };
            let text = self.reduce(place, stripped(choice))?;
            texts.push(escape(&text));
            letters.push((text, format!("({letter})")));
        }
        // Longer ones first, so that a choice that begins as another one does not hide it.
        texts.sort_by_key(|text| std::cmp::Reverse(text.chars().count()));
        let by_text = compile(place, &texts.join("|"))?;
        let alphabet: Vec<String> = ('A'..='Z').take(choices.len()).map(String::from).collect();
        let by_letter = compile(place, &format!(r":[\s]*({})", alphabet.join("|")))?;

        let mut filtered = Vec::with_capacity(answers.len());
        for answer in answers {
            let Object::Text(answer) = answer else {
                return Err(ScoreError::wrong(place, format!("an answer is {}, not a text", answer.kind())));
            };
            let mut found = self.found(place, &self.search.pattern, answer)?;
            if found.is_empty() {
                found = self.found(place, &by_text, &self.reduce(place, answer)?)?;
                if !found.is_empty()
                    && let Some((_, letter)) = letters.iter().rev().find(|(text, _)| *text == found)
                {
                    found.clone_from(letter);
                }
            }
            if found.is_empty() {
                found = self.found(place, &by_letter, answer)?;
                if alphabet.contains(&found) {
                    found = format!("({found})");
                }
            }
            filtered.push(if found.is_empty() { self.search.fallback.clone() } else { Object::Text(found) });
        }
        Ok(Object::List(filtered))
    }

    /// The match that counts; empty if there is none.
    fn found(&self, place: &str, pattern: &Pattern, text: &str) -> Result<String, ScoreError> {
        Ok(match select(place, pattern, self.search.group_select, text)? {
            None => String::new(),
            Some(Found::One(text)) => stripped(&text).to_owned(),
            Some(Found::Groups(groups)) => {
                groups.iter().find(|group| !group.is_empty()).map_or("", |group| stripped(group)).to_owned()
            }
        })
    }

    /// A text without what is ignored.
    fn reduce(&self, place: &str, text: &str) -> Result<String, ScoreError> {
        let remove = |pattern: &Pattern, text: &str| {
            pattern.remove(text).map_err(|source| ScoreError::Pattern { place: place.to_owned(), source })
        };
        let mut text = text.to_owned();
        for pattern in &self.ignored {
            text = remove(pattern, &text)?;
        }
        if self.ignore_case {
            text = text.to_lowercase();
        }
        if let Some(punctuation) = &self.punctuation {
            text = remove(punctuation, &text)?;
        }
        Ok(text)
    }
}

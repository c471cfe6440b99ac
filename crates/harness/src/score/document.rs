//! The values of one document: the harness's `process_results`.

use serde_json::Value;

use super::rules::{Scoring, TaskMetric};
use crate::document::Document;
use crate::metric::{self, Choices, Generated, OutputType, exact_match};
use crate::metric::{Gold, NO_CHOICE};
use crate::object::Object;
use crate::python::stripped;

type Values = Vec<(String, Object)>;

impl Scoring {
    /// The values of one document, of the filtered answers to its requests.
    pub(super) fn of_document(&self, document: &Document, answers: &[Object]) -> Result<Values, String> {
        if let Some(process) = self.process_results {
            let answers: Option<Vec<Value>> = answers.iter().map(Object::to_json).collect();
            let answers = answers
                .ok_or("an answer is not a finite number, which the task's own process_results cannot be given")?;
            let values = process(&document.columns, &answers)?;
            return Ok(values.into_iter().map(|(name, value)| (name, Object::from(&value))).collect());
        }
        let first = answers.first().ok_or("there is no answer")?;
        match self.output_type {
            OutputType::Loglikelihood => {
                let (likelihood, greedy) = likelihood(first)?;
                self.each(|metric| Ok(metric.of_document.continuation.map(|of| of(likelihood, greedy))))
            }
            OutputType::LoglikelihoodRolling => {
                let Value::String(text) = &document.target else {
                    return Err("the target is not a text, whose words could be counted".to_owned());
                };
                let [Object::Float(likelihood)] = answers else {
                    return Err(format!("one likelihood is needed, but there are {} answers", answers.len()));
                };
                self.each(|metric| Ok(metric.of_document.text.map(|of| of(*likelihood, text))))
            }
            OutputType::MultipleChoice => self.of_choices(document, answers),
            OutputType::GenerateUntil => self.of_generation(document, first),
        }
    }

    /// The metrics of the task in the order of the table, as the harness reports them.
    fn each(&self, of: impl Fn(&metric::Metric) -> Result<Option<Object>, String>) -> Result<Values, String> {
        let mut values = Vec::with_capacity(self.metrics.len());
        for metric in metric::METRICS.iter().filter(|metric| self.has(metric.name)) {
            if let Some(value) = of(metric)? {
                values.push((metric.name.to_owned(), value));
            }
        }
        Ok(values)
    }

    fn of_choices(&self, document: &Document, answers: &[Object]) -> Result<Values, String> {
        let (mut likelihoods, mut greedy) = (Vec::with_capacity(answers.len()), Vec::with_capacity(answers.len()));
        for answer in answers {
            let (value, is_greedy) = likelihood(answer)?;
            likelihoods.push(value);
            greedy.push(is_greedy);
        }
        let count = document.choices.len();
        let halves =
            (2 * count == likelihoods.len() && self.has("acc_mutual_info")).then(|| likelihoods.split_at(count));
        let choices = Choices {
            texts: &document.choices,
            likelihoods: halves.map_or(&likelihoods[..], |(with, _)| with),
            unconditional: halves.map(|(_, without)| without),
            greedy: &greedy,
            gold: self.gold(document)?,
        };
        choices.fits()?;
        self.each(|metric| metric.of_document.choices.map(|of| of(&choices)).transpose())
    }

    /// Which choices are right.
    fn gold(&self, document: &Document) -> Result<Gold, String> {
        let count = document.choices.len() as i128;
        let within = |gold: i128| if gold < count { gold } else { NO_CHOICE };
        if self.multiple_inputs {
            let input = document.input.ok_or("doc_to_text gives no number, as it does for the first document")?;
            return Ok(Gold::One(within(i128::from(input))));
        }
        match (Object::from(&document.target), self.multiple_targets) {
            (Object::List(golds), true) => {
                let golds = golds.iter().map(|gold| gold.integer().map(within));
                let golds: Option<Vec<i128>> = golds.collect();
                golds.map(Gold::AnyOf).ok_or_else(|| "a target of several is not a whole number".to_owned())
            }
            (Object::List(_), false) => Err("the target is a list, but that of the first document is not".to_owned()),
            (other, true) => Err(format!("the target is {}, but that of the first document is a list", other.kind())),
            (Object::Text(text), false) => {
                let place = document.choices.iter().position(|choice| *choice == text);
                Ok(Gold::One(place.map_or(NO_CHOICE, |place| place as i128)))
            }
            (other, false) => match other.integer() {
                Some(gold) => Ok(Gold::One(within(gold))),
                None => Err(format!("the target is {}, neither a number nor the text of a choice", other.kind())),
            },
        }
    }

    fn of_generation(&self, document: &Document, answer: &Object) -> Result<Values, String> {
        let target = Object::from(&document.target);
        if !self.has_choices && self.multiple_targets {
            let golds = match target {
                Object::List(golds) => golds,
                // Python makes a list of a text's characters.
                Object::Text(text) => text.chars().map(|character| Object::Text(character.to_string())).collect(),
                other => {
                    return Err(format!("the target is {}, but that of the first document is a list", other.kind()));
                }
            };
            return self.generated(|metric| match metric_kind(metric) {
                Generated::ExactMatch => {
                    let share = if golds.is_empty() { 0.0 } else { compared(metric, &golds, answer)? };
                    Ok(Object::Float(if share > 0.0 { 1.0 } else { 0.0 }))
                }
                Generated::Nothing => Ok(Object::Float(0.0)),
                Generated::Pair => Err("it has no rule for several targets; the harness stops here too".to_owned()),
            });
        }
        let gold = if self.has_choices {
            let place =
                target.integer().ok_or_else(|| format!("the target is {}, not a choice's number", target.kind()))?;
            let count = document.choices.len() as i128;
            usize::try_from(if place < 0 { place + count } else { place })
                .ok()
                .and_then(|place| document.choices.get(place))
                .map(|choice| Object::Text(choice.clone()))
                .ok_or_else(|| format!("the target {place} is not one of {count} choices"))?
        } else if self.has("bypass") || matches!(answer, Object::List(_)) {
            target
        } else {
            cast(target, answer)?
        };
        self.generated(|metric| match metric_kind(metric) {
            Generated::ExactMatch => Ok(Object::Float(compared(metric, std::slice::from_ref(&gold), answer)?)),
            Generated::Pair => Ok(Object::List(vec![gold.clone(), answer.clone()])),
            Generated::Nothing => Ok(Object::None),
        })
    }

    /// The metrics of the task in its own order.
    fn generated(&self, of: impl Fn(&TaskMetric) -> Result<Object, String>) -> Result<Values, String> {
        self.metrics
            .iter()
            .map(|metric| Ok((metric.name.clone(), of(metric).map_err(|error| format!("{}: {error}", metric.name))?)))
            .collect()
    }
}

fn metric_kind(metric: &TaskMetric) -> Generated {
    metric::named(&metric.name).and_then(|metric| metric.of_document.generation).unwrap_or(Generated::Nothing)
}

fn likelihood(answer: &Object) -> Result<(f64, bool), String> {
    match answer {
        Object::Tuple(pair) => match pair.as_slice() {
            [Object::Float(likelihood), Object::Bool(greedy)] => Ok((*likelihood, *greedy)),
            _ => Err("an answer is not a likelihood".to_owned()),
        },
        other => Err(format!("an answer is {} after the filter, not a likelihood", other.kind())),
    }
}

/// The target in the type of the answer, as Python's `type(answer)(target)` makes it.
fn cast(target: Object, answer: &Object) -> Result<Object, String> {
    let fails = |target: &Object| format!("the target {} cannot be made {}", target.repr(), answer.kind());
    match (&target, answer) {
        (_, Object::Text(_)) => Ok(Object::Text(target.text())),
        (_, Object::None) => match target {
            Object::None => Ok(target),
            _ => Err(fails(&target)),
        },
        (Object::Integer(_), Object::Integer(_))
        | (Object::Float(_), Object::Float(_))
        | (Object::Bool(_), Object::Bool(_)) => Ok(target),
        (Object::Text(text), Object::Integer(_)) => {
            stripped(text).parse().map(Object::Integer).map_err(|_| fails(&target))
        }
        (Object::Bool(_), Object::Integer(_)) => target.integer().map(Object::Integer).ok_or_else(|| fails(&target)),
        _ => Err(format!("{}: this is not supported", fails(&target))),
    }
}

/// `exact_match` of an answer with each target.
fn compared(metric: &TaskMetric, golds: &[Object], answer: &Object) -> Result<f64, String> {
    let settings = &metric.exact_match;
    let texts = |objects: &[Object]| -> Option<Vec<String>> {
        let texts = objects.iter().map(|object| match object {
            Object::Text(text) => Some(text.clone()),
            _ => None,
        });
        texts.collect()
    };
    let answers = match answer {
        Object::List(answers) => texts(answers),
        other => texts(std::slice::from_ref(other)).map(|answers| vec![answers.concat(); golds.len()]),
    };
    match (answers, texts(golds)) {
        (Some(answers), Some(golds)) if golds.len() == 1 || !matches!(answer, Object::List(_)) => {
            let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
            let golds: Vec<&str> = golds.iter().map(String::as_str).collect();
            exact_match(settings, &answers, &golds).map_err(|error| error.to_string())
        }
        _ => match (golds, settings.is_plain()) {
            ([gold], true) if gold.number().is_some() && answer.number().is_some() => {
                let equal = gold.number() == answer.number();
                Ok(if equal { 1.0 } else { 0.0 })
            }
            _ => {
                let golds: Vec<&str> = golds.iter().map(Object::kind).collect();
                Err(format!("{} cannot be compared with {}", answer.kind(), golds.join(", ")))
            }
        },
    }
}

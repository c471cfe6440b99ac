//! Log-likelihoods, and the metrics computed from them.

use retrace_corpus::tokenizer::Tokenizer;
use retrace_model::Inference;
use retrace_spec::Task;
use serde::{Deserialize, Serialize};

use crate::likelihood::{Sequence, predictions};
use crate::{EvalError, Items, LoadedTask, Question, Text};

/// A metric of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// `bits_per_byte`, `acc` or `acc_norm`.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// The standard error of a mean over items: the sample's standard deviation over √n.
    pub stderr: Option<f64>,
}

/// The result for an item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemScore {
    /// The item.
    pub item: String,
    /// The log-likelihood, in nats, of the text or of each choice.
    pub log_likelihoods: Vec<f64>,
    /// For a question, whether the most likely choice is the correct one.
    pub correct: Option<bool>,
}

/// The result for a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// The task.
    pub task: String,
    /// The metrics.
    pub metrics: Vec<Metric>,
    /// Every item.
    pub samples: Vec<ItemScore>,
}

/// Scores `model` on `task`.
///
/// # Errors
/// If a text cannot be encoded, or is not valid input for the model.
pub fn score(model: &Inference, tokenizer: &Tokenizer, task: &LoadedTask) -> Result<Scores, EvalError> {
    let prefix = tokenizer.id_of(&task.task.prefix)?;
    let (metrics, samples) = match &task.items {
        Items::Texts(texts) => bits_per_byte(model, tokenizer, prefix, texts)?,
        Items::Questions(questions) => multiple_choice(model, tokenizer, prefix, &task.task, questions)?,
    };
    let bad = samples.iter().find(|sample| sample.log_likelihoods.iter().any(|value| !value.is_finite()));
    match bad {
        Some(bad) => Err(EvalError::NotFinite { task: task.task.name.clone(), item: bad.item.clone() }),
        None => Ok(Scores { task: task.task.name.clone(), metrics, samples }),
    }
}

type Outcome = (Vec<Metric>, Vec<ItemScore>);

/// Minus the texts' log-likelihood divided by (ln 2 · their UTF-8 bytes).
fn bits_per_byte(model: &Inference, tokenizer: &Tokenizer, prefix: u32, texts: &[Text]) -> Result<Outcome, EvalError> {
    let longest = model.description().max_position_embeddings;
    let mut windows = Vec::new();
    for (item, text) in texts.iter().enumerate() {
        windows.extend(rolling(item, prefix, &tokenizer.encode(&text.text)?, longest));
    }
    let values = log_likelihoods(model, &windows, texts.len())?;
    let bytes: u64 = texts.iter().map(|text| text.text.len() as u64).sum();
    let value = -values.iter().sum::<f64>() / (core::f64::consts::LN_2 * bytes as f64);
    let sample =
        |(text, value): (&Text, f64)| ItemScore { item: text.id.clone(), log_likelihoods: vec![value], correct: None };
    let samples = texts.iter().zip(values).map(sample).collect();
    Ok((vec![Metric { name: "bits_per_byte".to_owned(), value, stderr: None }], samples))
}

/// `acc`: how often the correct choice has the largest log-likelihood, where the first of equals wins; `acc_norm`: the
/// same with each divided by the number of characters of the choice.
fn multiple_choice(
    model: &Inference,
    tokenizer: &Tokenizer,
    prefix: u32,
    task: &Task,
    questions: &[Question],
) -> Result<Outcome, EvalError> {
    let longest = model.description().max_position_embeddings;
    let mut windows = Vec::new();
    let choices = questions.iter().flat_map(|question| question.choices.iter().map(move |choice| (question, choice)));
    for (at, (question, choice)) in choices.enumerate() {
        windows.push(continued(
            at,
            prefix,
            tokenizer,
            &question.question,
            &format!("{}{choice}", task.delimiter),
            longest,
        )?);
    }
    let mut values = log_likelihoods(model, &windows, windows.len())?.into_iter();
    let (mut samples, mut plain, mut normed) = (Vec::new(), Vec::new(), Vec::new());
    for question in questions {
        let values: Vec<f64> = values.by_ref().take(question.choices.len()).collect();
        let characters = question.choices.iter().map(|choice| choice.chars().count() as f64);
        let by_character: Vec<f64> = values.iter().zip(characters).map(|(value, n)| value / n).collect();
        let correct = first_largest(&values) == question.answer;
        plain.push(f64::from(u8::from(correct)));
        normed.push(f64::from(u8::from(first_largest(&by_character) == question.answer)));
        samples.push(ItemScore { item: question.id.clone(), log_likelihoods: values, correct: Some(correct) });
    }
    Ok((vec![mean("acc", &plain), mean("acc_norm", &normed)], samples))
}

fn mean(name: &str, values: &[f64]) -> Metric {
    let n = values.len() as f64;
    let value = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - value) * (v - value)).sum();
    let stderr = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt() / n.sqrt());
    Metric { name: name.to_owned(), value, stderr }
}

fn first_largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (at, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = at;
        }
    }
    best
}

/// A sequence for the model, whose targets count for an item.
#[derive(Debug, PartialEq, Eq)]
struct Window {
    item: usize,
    sequence: Sequence,
}

/// Disjoint windows of at most `longest` tokens; each sees the token before it, the first one the
/// prefix.
fn rolling(item: usize, prefix: u32, tokens: &[u32], longest: usize) -> Vec<Window> {
    let before = std::iter::once(prefix).chain(tokens.iter().copied());
    let inputs: Vec<u32> = before.take(tokens.len()).collect();
    inputs
        .chunks(longest)
        .zip(tokens.chunks(longest))
        .map(|(inputs, targets)| Window {
            item,
            sequence: Sequence { inputs: inputs.to_vec(), targets: targets.to_vec() },
        })
        .collect()
}

/// The continuation of a context. Both are encoded together and split after as many tokens as the context alone has;
/// before that, white space at the context's end is moved to the continuation; a sequence that is too long loses its
/// beginning.
fn continued(
    item: usize,
    prefix: u32,
    tokenizer: &Tokenizer,
    context: &str,
    continuation: &str,
    longest: usize,
) -> Result<Window, EvalError> {
    let bare = context.trim_end();
    let whole = tokenizer.encode(&format!("{context}{continuation}"))?;
    let split = tokenizer.encode(bare)?.len().min(whole.len().saturating_sub(1));
    let all: Vec<u32> = std::iter::once(prefix).chain(whole.iter().copied()).collect();
    let inputs = &all[..all.len() - 1];
    let inputs = inputs[inputs.len().saturating_sub(longest)..].to_vec();
    let targets = &whole[split..];
    let targets = targets[targets.len().saturating_sub(longest)..].to_vec();
    Ok(Window { item, sequence: Sequence { inputs, targets } })
}

/// The sum, for each item, of the log-likelihoods of its windows' targets, added in binary64 in
/// their order.
fn log_likelihoods(model: &Inference, windows: &[Window], items: usize) -> Result<Vec<f64>, EvalError> {
    let mut values = vec![0.0; items];
    let sequences: Vec<Sequence> = windows.iter().map(|window| window.sequence.clone()).collect();
    let mut all = vec![Vec::new(); sequences.len()];
    predictions(model, &sequences, &mut |sequence, scores| {
        all[sequence] = scores;
        Ok(())
    })?;
    for (window, scores) in windows.iter().zip(all) {
        for score in scores {
            values[window.item] -= f64::from(score.loss);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_every_token_once() {
        for n in 1..20 {
            let tokens: Vec<u32> = (100..100 + n).collect();
            for longest in 1..8 {
                let windows = rolling(0, 7, &tokens, longest);
                let targets: Vec<u32> = windows.iter().flat_map(|w| w.sequence.targets.clone()).collect();
                assert_eq!(targets, tokens);
                for Window { sequence: window, .. } in &windows {
                    assert!(window.inputs.len() <= longest && window.inputs.len() == window.targets.len());
                    // Each target is preceded by the token before it.
                    for (input, target) in window.inputs.iter().zip(&window.targets) {
                        assert_eq!(*input, if *target == 100 { 7 } else { target - 1 });
                    }
                }
            }
        }
    }

    #[test]
    fn means_and_ties() {
        // By hand: mean 0.5, sample variance 1/3, standard error sqrt(1/12).
        let metric = mean("acc", &[1.0, 0.0, 1.0, 0.0]);
        assert_eq!(metric.value, 0.5);
        assert!((metric.stderr.unwrap() - (1.0f64 / 12.0).sqrt()).abs() < 1e-15);
        assert_eq!(mean("acc", &[1.0]).stderr, None);
        assert_eq!(first_largest(&[-2.0, -1.0, -1.0]), 1);
    }
}

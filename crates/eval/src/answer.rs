//! A model's answers to requests, by the rules of lm-evaluation-harness.

use retrace_harness::Response;
use retrace_model::Inference;

use crate::generate::{Start, generate};
use crate::likelihood::{Sequence, predictions};
use crate::{Ask, EvalError, Prompts};

/// The default of [`Limits::memory`].
const MEMORY: usize = 2 << 30;

/// What answers may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The greatest number of tokens that the model reads; that of its description, if it is none.
    pub length: Option<usize>,
    /// The bytes of keys and values that are kept while texts are generated.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { length: None, memory: MEMORY }
    }
}

/// The tokens that the model does not see because there are too many: of each such request, its index and their number.
/// The windows of a text are not among them: every token of it is predicted.
///
/// # Errors
/// If the limit does not fit the model.
pub fn truncated(model: &Inference, asks: &[Ask], limits: Limits) -> Result<Vec<(usize, usize)>, EvalError> {
    let longest = length(model, limits)?;
    let lost = |ask: &Ask| match ask {
        Ask::Continuation { context, continuation } => (context.len() + continuation.len()).saturating_sub(longest + 1),
        Ask::Text { .. } => 0,
        Ask::Generation { context, most, .. } => context.len().saturating_sub(longest.saturating_sub(*most)),
    };
    Ok(asks.iter().map(lost).enumerate().filter(|(_, lost)| *lost > 0).collect())
}

/// A request whose sequences are computed.
#[derive(Clone)]
struct Open {
    /// Of each sequence: the sum of its targets' log-likelihoods, and whether each is the most likely token.
    parts: Vec<(f64, bool)>,
    /// Sequences that are not computed yet.
    left: usize,
}

/// Answers requests: `each` is called once for each request, with its index and its answer, when it is answered. The
/// order is that of the computation. An error of `each` ends it.
///
/// # Errors
/// If a request cannot be answered with this model: the error has its index. If the model's logits are not finite.
pub fn answer(
    model: &Inference,
    prompts: &Prompts,
    asks: &[Ask],
    limits: Limits,
    each: &mut dyn FnMut(usize, Response) -> Result<(), EvalError>,
) -> Result<(), EvalError> {
    let longest = length(model, limits)?;
    let mut sequences = Vec::new();
    // Of each sequence, its request and its number among the request's own.
    let mut owners = Vec::new();
    let mut starts = Vec::new();
    let mut open = Vec::with_capacity(asks.len());
    for (request, ask) in asks.iter().enumerate() {
        let first = sequences.len();
        let refuse = |what| Err(EvalError::Request { request, what });
        match ask {
            Ask::Continuation { context, continuation } => {
                if context.is_empty() || continuation.is_empty() {
                    return refuse("the context or the continuation has no tokens".to_owned());
                }
                if continuation.len() > longest {
                    let tokens = continuation.len();
                    return refuse(format!("the continuation of {tokens} tokens is longer than the model's {longest}"));
                }
                sequences.push(continued(context, continuation, longest));
            }
            Ask::Text { prefix, tokens } => sequences.extend(windows(*prefix, tokens, longest)),
            Ask::Generation { context, until, most } => {
                let Some(room) = longest.checked_sub(*most).filter(|room| *room > 0 && !context.is_empty()) else {
                    return refuse(format!("{most} tokens after a context are more than the model's {longest}"));
                };
                let context = &context[context.len().saturating_sub(room)..];
                starts.push(Start { context, until, most: *most, request });
            }
        }
        let parts = sequences.len() - first;
        owners.extend((0..parts).map(|part| (request, part)));
        open.push(Open { parts: vec![(0.0, true); parts], left: parts });
        if matches!(ask, Ask::Text { .. }) && parts == 0 {
            each(request, Response::Text(0.0))?;
        }
    }
    predictions(model, &sequences, &mut |sequence, scores| {
        let (request, part) = owners[sequence];
        let sum = scores.iter().fold(0.0, |sum, score| sum - f64::from(score.loss));
        let greedy = scores.iter().zip(&sequences[sequence].targets).all(|(score, target)| score.best == *target);
        let Open { parts, left } = &mut open[request];
        parts[part] = (sum, greedy);
        *left -= 1;
        if *left > 0 {
            return Ok(());
        }
        let log_likelihood: f64 = parts.iter().map(|(sum, _)| sum).sum();
        // Minus infinity is what the harness gives for a token that cannot come; other such values are no results.
        if log_likelihood.is_nan() || log_likelihood == f64::INFINITY {
            return Err(EvalError::NotFiniteAnswer { request });
        }
        let greedy = parts.iter().all(|(_, greedy)| *greedy);
        let text = matches!(asks[request], Ask::Text { .. });
        parts.clear();
        each(
            request,
            if text { Response::Text(log_likelihood) } else { Response::Continuation { log_likelihood, greedy } },
        )
    })?;
    generate(model, prompts, &starts, limits.memory, &mut |request, text| each(request, Response::Generation(text)))
}

/// The greatest number of tokens that the model reads.
pub(crate) fn length(model: &Inference, limits: Limits) -> Result<usize, EvalError> {
    let own = model.description().max_position_embeddings;
    match limits.length {
        None => Ok(own),
        Some(length) if (1..=own).contains(&length) => Ok(length),
        Some(length) => Err(retrace_model::ModelError::Input(format!("{length} tokens of a model of {own}")).into()),
    }
}

/// A continuation after its context, of which the beginning is lost if there are too many tokens.
fn continued(context: &[u32], continuation: &[u32], longest: usize) -> Sequence {
    let all = [context, continuation].concat();
    let lost = all.len().saturating_sub(longest + 1);
    Sequence { inputs: all[lost..all.len() - 1].to_vec(), targets: continuation.to_vec() }
}

/// Windows of a text that predict every token once. The first begins with the prefix. Each of the others sees the token
/// before those that it predicts, and the last as many as make it as long as the others.
fn windows(prefix: u32, tokens: &[u32], longest: usize) -> Vec<Sequence> {
    let before: Vec<u32> = std::iter::once(prefix).chain(tokens.iter().copied()).collect();
    let mut windows = Vec::new();
    let mut predicted = 0;
    for targets in tokens.chunks(longest) {
        let end = predicted + targets.len();
        let start = if predicted == 0 { 0 } else { end - longest };
        windows.push(Sequence { inputs: before[start..end].to_vec(), targets: targets.to_vec() });
        predicted = end;
    }
    windows
}

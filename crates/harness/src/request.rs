//! What a task asks a model, and what the model answers.

use crate::python::Dict;

/// What a model is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// How likely a continuation of a context is (`loglikelihood`, and each choice of `multiple_choice`).
    Continuation {
        /// The text before it.
        context: String,
        /// The continuation, with the delimiter before it.
        continuation: String,
    },
    /// How likely a whole text is, in windows of the model's length (`loglikelihood_rolling`).
    Text {
        /// The text.
        text: String,
    },
    /// What the model writes after a context (`generate_until`).
    Generation {
        /// The text before it.
        context: String,
        /// When it ends, and how tokens are chosen.
        settings: Generation,
    },
}

/// The settings of a generation (`generation_kwargs`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Generation {
    /// The text ends before the first of these.
    pub until: Vec<String>,
    /// The greatest number of tokens; 256 if the task says nothing.
    pub max_gen_toks: Option<usize>,
    /// All settings as the task has them, in its order, for the record: temperature, sampling.
    pub written: Dict,
}

/// A request with its place in the task.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// The document, counted from 0 in the split that is evaluated.
    pub document: usize,
    /// Which of the document's requests, from 0: for multiple choice, the choice.
    pub index: usize,
    /// What is asked.
    pub request: Request,
}

/// What a model answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// To [`Request::Continuation`].
    Continuation {
        /// In nats.
        log_likelihood: f64,
        /// Whether each token of the continuation is the most likely one.
        greedy: bool,
    },
    /// To [`Request::Text`], in nats.
    Text(f64),
    /// To [`Request::Generation`].
    Generation(String),
}

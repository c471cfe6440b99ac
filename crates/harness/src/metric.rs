//! The table of metrics: what each is of one document, how documents are put together, and which direction is better.
//!
//! A new metric is one entry of [`METRICS`].

pub mod aggregation;
mod choices;
mod exact_match;
mod pass_at_k;
pub(crate) mod translation;

use crate::object::Object;
use crate::pattern::words;

pub use aggregation::Aggregation;
pub(crate) use choices::NO_CHOICE;
pub use choices::{Choices, Gold};
pub use exact_match::{ExactMatch, exact_match};
pub use pass_at_k::pass_at_k;

/// What a task asks (`output_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputType {
    /// One continuation.
    Loglikelihood,
    /// Whole texts.
    LoglikelihoodRolling,
    /// Several continuations, of which one or more are right.
    MultipleChoice,
    /// A text that the model writes.
    GenerateUntil,
}

impl OutputType {
    /// By the name that a task gives; nothing if there is no such type.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "loglikelihood" => Self::Loglikelihood,
            "loglikelihood_rolling" => Self::LoglikelihoodRolling,
            "multiple_choice" => Self::MultipleChoice,
            "generate_until" => Self::GenerateUntil,
            _ => return None,
        })
    }

    /// The name that a task gives.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Loglikelihood => "loglikelihood",
            Self::LoglikelihoodRolling => "loglikelihood_rolling",
            Self::MultipleChoice => "multiple_choice",
            Self::GenerateUntil => "generate_until",
        }
    }

    /// The metrics of a task that names none.
    #[must_use]
    pub fn default_metrics(self) -> &'static [&'static str] {
        match self {
            Self::Loglikelihood => &["perplexity", "acc"],
            Self::LoglikelihoodRolling => &["word_perplexity", "byte_perplexity", "bits_per_byte"],
            Self::MultipleChoice => &["acc", "acc_norm"],
            Self::GenerateUntil => &["exact_match"],
        }
    }
}

/// What a metric is of the likelihoods of several continuations.
pub type OfChoices = fn(&Choices) -> Result<Object, String>;

/// What a metric is of the answers to one document. What is not there, the harness does not compute: the metric is then
/// absent from the results.
#[derive(Debug, Clone, Copy, Default)]
pub struct OfDocument {
    /// Of the likelihood of one continuation, and whether it is the greedy one.
    pub continuation: Option<fn(f64, bool) -> Object>,
    /// Of the likelihood of a text, and the text.
    pub text: Option<fn(f64, &str) -> Object>,
    /// Of the likelihoods of several continuations.
    pub choices: Option<OfChoices>,
    /// Of a text that the model wrote.
    pub generation: Option<Generated>,
}

/// How a text that the model wrote is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generated {
    /// Whether it is the target ([`exact_match`]).
    ExactMatch,
    /// The pair of target and text is kept for the aggregation.
    Pair,
    /// It is not.
    Nothing,
}

/// A metric that the harness registers.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Whether a higher value is better.
    pub higher_is_better: bool,
    /// What it is of one document.
    pub of_document: OfDocument,
    /// How documents are put together if the task says nothing.
    pub aggregation: Aggregation,
    /// Where it is defined.
    pub source: &'static str,
}

const NONE: OfDocument = OfDocument { continuation: None, text: None, choices: None, generation: None };
const HARNESS: &str = "lm-evaluation-harness 0.4.13";

/// All metrics. Their order is that in which the harness reports those of one document.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "perplexity",
        higher_is_better: false,
        of_document: OfDocument { continuation: Some(|likelihood, _| Object::Float(likelihood)), ..NONE },
        aggregation: Aggregation::Perplexity,
        source: HARNESS,
    },
    Metric {
        name: "acc",
        higher_is_better: true,
        of_document: OfDocument {
            continuation: Some(|_, greedy| Object::Integer(i128::from(greedy))),
            choices: Some(|choices| choices.right(choices.best(Choices::plain))),
            ..NONE
        },
        aggregation: Aggregation::Mean,
        source: HARNESS,
    },
    Metric {
        name: "f1",
        higher_is_better: true,
        of_document: OfDocument { choices: Some(|choices| choices.gold_and_best()), ..NONE },
        aggregation: Aggregation::F1,
        source: "scikit-learn f1_score",
    },
    Metric {
        name: "mcc",
        higher_is_better: true,
        of_document: OfDocument { choices: Some(|choices| choices.gold_and_best()), ..NONE },
        aggregation: Aggregation::Matthews,
        source: "scikit-learn matthews_corrcoef",
    },
    Metric {
        name: "acc_norm",
        higher_is_better: true,
        of_document: OfDocument {
            choices: Some(|choices| choices.right(choices.best(Choices::per_character))),
            ..NONE
        },
        aggregation: Aggregation::Mean,
        source: HARNESS,
    },
    Metric {
        name: "acc_bytes",
        higher_is_better: true,
        of_document: OfDocument { choices: Some(|choices| choices.right(choices.best(Choices::per_byte))), ..NONE },
        aggregation: Aggregation::Mean,
        source: HARNESS,
    },
    Metric {
        name: "exact_match",
        higher_is_better: true,
        of_document: OfDocument {
            choices: Some(|choices| choices.greedy()),
            generation: Some(Generated::ExactMatch),
            ..NONE
        },
        aggregation: Aggregation::Mean,
        source: "Hugging Face evaluate, exact_match",
    },
    Metric {
        name: "brier_score",
        higher_is_better: false,
        of_document: OfDocument { choices: Some(|choices| choices.gold_and_probabilities()), ..NONE },
        aggregation: Aggregation::Brier,
        source: HARNESS,
    },
    Metric {
        name: "likelihood",
        higher_is_better: true,
        of_document: OfDocument { choices: Some(|choices| choices.gold_and_likelihoods()), ..NONE },
        aggregation: Aggregation::Mean,
        source: HARNESS,
    },
    Metric {
        name: "acc_mutual_info",
        higher_is_better: true,
        of_document: OfDocument { choices: Some(|choices| choices.mutual_information()), ..NONE },
        aggregation: Aggregation::Mean,
        source: HARNESS,
    },
    Metric {
        name: "word_perplexity",
        higher_is_better: false,
        of_document: OfDocument { text: Some(|likelihood, text| weighted(likelihood, words(text))), ..NONE },
        aggregation: Aggregation::WeightedPerplexity,
        source: HARNESS,
    },
    Metric {
        name: "byte_perplexity",
        higher_is_better: false,
        of_document: OfDocument { text: Some(|likelihood, text| weighted(likelihood, text.len())), ..NONE },
        aggregation: Aggregation::WeightedPerplexity,
        source: HARNESS,
    },
    Metric {
        name: "bits_per_byte",
        higher_is_better: false,
        of_document: OfDocument { text: Some(|likelihood, text| weighted(likelihood, text.len())), ..NONE },
        aggregation: Aggregation::BitsPerByte,
        source: HARNESS,
    },
    Metric {
        name: "bleu",
        higher_is_better: true,
        of_document: OfDocument { generation: Some(Generated::Pair), ..NONE },
        aggregation: Aggregation::Bleu,
        source: "Papineni et al. 2002; sacrebleu 2.6",
    },
    Metric {
        name: "chrf",
        higher_is_better: true,
        of_document: OfDocument { generation: Some(Generated::Pair), ..NONE },
        aggregation: Aggregation::Chrf,
        source: "Popović 2015; sacrebleu 2.6",
    },
    Metric {
        name: "chrf++",
        higher_is_better: true,
        of_document: OfDocument { generation: Some(Generated::Pair), ..NONE },
        aggregation: Aggregation::ChrfPlusPlus,
        source: "Popović 2017; sacrebleu 2.6",
    },
    Metric {
        name: "bypass",
        higher_is_better: true,
        of_document: OfDocument { generation: Some(Generated::Nothing), ..NONE },
        aggregation: Aggregation::Bypass,
        source: HARNESS,
    },
];

/// What the harness registers as metrics and this crate refuses, each with the reason.
pub const REFUSED: &[(&str, &str)] =
    &[("ter", "it is not ported"), ("acc_all", "no output type of the harness gives it what it needs")];

/// The metric of a name, if there is one.
#[must_use]
pub fn named(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
}

/// A likelihood with what it is divided by.
fn weighted(likelihood: f64, weight: usize) -> Object {
    Object::Tuple(vec![Object::Float(likelihood), Object::Integer(weight as i128)])
}

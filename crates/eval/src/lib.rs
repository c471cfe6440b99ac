//! Tasks and scoring of checkpoints.
//!
//! Scores are those of lm-evaluation-harness: rolling log-likelihoods in disjoint windows, and multiple
//! choice by the likelihood of the continuation. Every number is a function of the checkpoint, the task and
//! the numerics version. This crate does not know training, tables or reports.

mod answer;
mod cache;
mod error;
mod generate;
mod likelihood;
mod prompts;
mod results;
mod score;
mod task;
mod tree;

pub use answer::{Limits, answer, truncated};
pub use cache::{Cache, Key, answer_with, part};
pub use error::EvalError;
pub use prompts::{Ask, Prompts};
pub use results::Results;
pub use score::{ItemScore, Metric, Scores, score};
pub use task::{Items, LoadedTask, Question, Text};

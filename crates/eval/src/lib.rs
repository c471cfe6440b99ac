//! Tasks and scoring: what a checkpoint makes of text and questions.
//!
//! Scores are those of the lm-evaluation-harness: rolling log-likelihoods in disjoint windows, and
//! multiple choice by the likelihood of the continuation. Every number is a function of checkpoint,
//! task and numerics version. This crate knows nothing of training, tables or reports.

mod error;
mod results;
mod score;
mod task;

pub use error::EvalError;
pub use results::Results;
pub use score::{ItemScore, Metric, Scores, score};
pub use task::{Items, LoadedTask, Question, Text};

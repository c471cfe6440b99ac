//! The steps of a release. Each is a document, and one function from (root, document) to what it read and
//! made, which is recorded for the seal.
//!
//! [`make()`] does all documents of a directory in the order in which they need each other, and leaves what
//! is as on record. [`open`] reads one document; a replay does it in a directory of its own and compares.
//! A new kind of step is a document in `retrace-spec`, a file of this crate that implements [`Step`], and a
//! line in [`open`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod clean;
mod contamination;
mod error;
mod eval;
mod generate;
mod make;
mod page;
mod plan;
mod scaling;
mod step;
mod tables;
mod tokenize;
mod train;

pub use clean::Cleaned;
pub use error::StepError;
pub use eval::{Evaluated, evaluate, load};
pub use make::{Event, Made, MakeOptions, Outcome, Why, make};
pub use page::sections;
pub use plan::{Plan, PlannedStep};
pub use step::{AnyStep, Files, Need, Options, Outputs, Step, Summary, carry_out, files_below, open, save};
pub use tokenize::Tokenized;
pub use train::{Trained, Training};

//! The steps of a release. Each step is a document, and a function from (root, document) to its inputs and
//! outputs, which are recorded for the seal.
//!
//! [`make()`] runs all documents of a directory in the order of their dependencies, and skips steps that are
//! up to date. [`open`] reads one document; a replay runs it in a private directory and compares. A new kind
//! of step is a document in `retrace-spec`, a file of this crate that implements [`Step`], and a line in
//! [`open`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod clean;
mod contamination;
mod error;
mod eval;
mod generate;
mod harness;
mod make;
mod page;
mod plan;
mod points;
mod scaling;
mod step;
mod tables;
mod tokenize;
mod train;

pub use clean::Cleaned;
pub use contamination::{Columns, Named, Scan, TaskItems, named, write_contamination};
pub use error::StepError;
pub use eval::{Evaluated, evaluate, load};
pub use harness::{HarnessOptions, HarnessOutput, HarnessScores, HarnessTasks};
pub use make::{Event, Made, MakeOptions, Outcome, Why, make};
pub use page::sections;
pub use plan::{Plan, PlannedStep};
pub use points::{PointColumns, PointsError, all_rows, open_points};
pub use scaling::ScalingRequest;
pub use step::{AnyStep, Files, Need, Options, Outputs, Step, Summary, carry_out, files_below, open, save};
pub use tokenize::Tokenized;
pub use train::{Trained, Training};

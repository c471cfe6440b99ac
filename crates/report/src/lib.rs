//! Charts and pages: the content of a release's tables and checks, for readers.
//!
//! A [`Part`] queries the tables for a section, [`page()`] writes the page, [`plot`] draws its charts. A page is one
//! file that needs nothing else. This crate computes no metric and checks nothing itself.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod checkpoints;
mod command;
pub mod contamination;
mod error;
pub mod exposure;
mod figure;
mod numbers;
mod page;
pub mod plot;
pub mod release;
mod review;
mod scaling;
mod sections;
mod weights;

pub use checkpoints::Choice;
pub use command::{file_name, shell_word};
pub use error::ReportError;
pub use figure::{Figure, Figures, figures_page};
pub use page::page;
pub use release::{Checked, CheckedReplay, Cleaning, Part};
pub use review::{Attested, AuditFinding, AuditResult, Review, ReviewPage, SignatureResult};
pub use scaling::{ScalingPage, scaling_page};
pub use weights::{no_weights, weights};

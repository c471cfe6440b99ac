//! Charts and pages: the content of a release's tables and checks, for readers.
//!
//! A [`Part`] queries the tables for a section, [`page()`] writes the page, [`plot`] draws its charts. A page is one
//! file that needs nothing else. This crate computes no metric and checks nothing itself.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod contamination;
mod error;
pub mod exposure;
mod numbers;
mod page;
pub mod plot;
pub mod release;
mod scaling;
mod sections;

pub use error::ReportError;
pub use page::page;
pub use release::{Checked, CheckedReplay, Cleaning, Part};
pub use scaling::{ScalingPage, scaling_page};

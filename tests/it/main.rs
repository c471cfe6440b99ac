//! End-to-end tests of the binary `retrace`: its behaviour as a person or a program sees it.
//!
//! They belong to the package `retrace-cli`, so that cargo builds the binary before they run.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may take a thing for granted")]
#![allow(clippy::print_stdout, reason = "a test says what it saw")]

mod architectures;
mod audit;
mod average;
mod checkpoints;
mod cluster;
mod contamination;
mod copies;
mod corpus;
mod decontamination;
mod engines;
mod eval;
mod foreign;
#[cfg(unix)] // Its pages are for a shell.
mod guide;
#[cfg(target_os = "linux")]
mod hostile;
mod house;
mod import;
mod interrupted;
mod leaks;
mod limits;
mod lists;
mod logits;
mod making;
mod manners;
mod query;
mod real_data;
mod replaying;
mod reports;
mod reviewing;
mod runs;
mod scaling;
mod seal_and_verify;
mod shell;
mod signing;
mod stats;
mod stories;
mod support;
#[cfg(target_os = "linux")] // Elsewhere there are no such names, nor a device that is always full.
mod terminal;
#[cfg(unix)] // The system's own words are part of errors.
mod wording;
mod workers;

//! Is what a release says of itself true? Rules in SQL over its tables, and how open it is.
//!
//! A [`Rule`] is a SQL file of `reports/audit` or of a directory of one's own, that returns its
//! findings with their evidence; [`audit()`] asks all of them. [`openness()`] says which components of
//! the Model Openness Framework a release has, and whether each is only present, verified, or replayed.
//! This crate knows nothing of how tables come to be or how findings are shown.

mod audit;
mod openness;
mod rule;

pub use audit::{Asked, AuditError, Audited, Finding, Outcome, audit};
pub use openness::{Class, Component, Evidence, Openness, Status, openness};
pub use rule::{Rule, RuleError, Severity};

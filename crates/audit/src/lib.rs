//! Checks the claims of a release: rules in SQL over its tables, and its openness.
//!
//! A [`Rule`] is a SQL file of `reports/audit` or of a user's directory that returns findings with their evidence.
//! [`audit()`] applies all rules. [`openness()`] lists which components of the Model Openness Framework a release has,
//! and whether each is present, verified or replayed. This crate does not depend on how tables are made or how
//! findings are shown.

mod audit;
mod openness;
mod rule;

pub use audit::{Asked, AuditError, Audited, Finding, Outcome, audit};
pub use openness::{Class, Component, Evidence, Openness, Status, openness};
pub use rule::{Rule, RuleError, Severity};

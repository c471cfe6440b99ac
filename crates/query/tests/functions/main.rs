//! The functions of SQL, and that a query has one answer.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod exact;

//! SQL with DataFusion. All SQL queries on releases use this crate.
//!
//! [`Session`] answers queries on tables, always with the same answer. A [`NamedQuery`] is a query with its question
//! as text. This crate does not depend on models or plots, and reads no environment variables: [`Stores`] contains the
//! settings for URLs.

mod answer;
mod depth;
pub mod determinism;
mod error;
mod explain;
mod float_statistics;
pub mod functions;
mod held;
mod json_lines;
mod lag;
mod limits;
mod manifests;
mod named;
mod one_nan;
mod redirects;
mod releases;
mod scan;
mod session;
mod sources;
mod stores;
mod texts;

pub use answer::{Answer, Column, Fitted, Format};
pub use error::QueryError;
pub use explain::is_whole;
pub use held::{By, Held, UnknownPart};
pub use limits::Limits;
pub use named::{Literal, NamedQuery, Parameter};
pub use session::{Options, Session};
pub use stores::Stores;
pub use texts::{HeaderLine, SqlFile, read_sql};

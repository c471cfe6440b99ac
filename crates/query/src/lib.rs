//! SQL on DataFusion. All SQL queries on releases go through this crate.
//!
//! [`Session`] answers queries over tables, always with the same answer. A [`NamedQuery`] is a query with its
//! question in words. This crate does not know models or plots, and reads no environment variables:
//! [`Stores`] says how to reach URLs.

mod answer;
mod depth;
pub mod determinism;
mod error;
mod explain;
pub mod functions;
mod held;
mod lag;
mod limits;
mod manifests;
mod named;
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

//! SQL on DataFusion: everything that is asked of a release in SQL is asked here.
//!
//! [`Session`] answers a query over tables, one answer whenever it is asked; a [`NamedQuery`] is one
//! whose question stands beside it in words. This crate knows nothing of models or plots, and reads
//! no environment: how a URL is reached is told by [`Stores`].

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

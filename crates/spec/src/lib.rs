//! The documents that people write and read: manifest, run, recipes, task, known roots. Each has a type, is
//! validated on reading, and has a canonical digest that depends on its meaning and not on its YAML.
//!
//! This crate does no I/O and does not know tensors, SQL or the command line. All other crates use its types:
//! [`Digest`], [`Step`], [`Tokens`], [`RelPath`].

mod canonical;
mod checkpoint_name;
mod checksum;
mod digest;
mod document;
pub mod foreign;
mod guard;
mod harness;
mod known_roots;
pub mod manifest;
pub mod model;
mod path;
mod pattern;
pub mod recipe;
pub mod run;
mod schema;
pub mod task;
mod units;
mod yaml;

pub use canonical::canonical_digest;
pub use checkpoint_name::{CheckpointName, CountedIn, InSeries};
pub use checksum::{Algorithm, Checksum};
pub use digest::{Digest, DigestError};
pub use document::{Complaint, Document, SpecError, read_yaml};
pub use guard::{GaveUp, guard, guarded};
pub use harness::ResultKey;
pub use known_roots::{KnownRelease, KnownRoot, KnownRoots};
pub use manifest::Manifest;
pub use model::Model;
pub use path::{PathError, RelPath};
pub use pattern::Pattern;
pub use recipe::{
    CleanRecipe, ContaminationRecipe, EvalRecipe, GenerateRecipe, PageRecipe, ScalingRecipe, TablesRecipe,
    TokenizeRecipe,
};
pub use run::Run;
pub use schema::schema_of;
pub use task::Task;
pub use units::{Seed, Step, Tokens};

//! The architectures on candle, and their checkpoints.
//!
//! A model is built from a description ([`retrace_spec::run::Model`]) and [`Weights`], and is
//! computed with the kernels of `retrace-numerics`, so that its bits are those of the numerics
//! contract. This crate knows nothing of training, tokens on disk or tasks.

mod error;
pub mod hub;
mod llama;
mod ops;
mod weights;

pub use error::ModelError;
pub use llama::Llama;
pub use ops::cross_entropy;
pub use weights::{Weights, take_floats};

//! The architectures, and their checkpoints.
//!
//! A model is built from a description ([`retrace_spec::Model`]) and computed with [`Weights`], by
//! the kernels of `retrace-numerics`, so that its bits are those of the numerics contract. This
//! crate knows nothing of training, tokens on disk or tasks.

pub mod candle;
mod config;
mod error;
mod frequencies;
mod gpt_neox;
pub mod hub;
mod llama;
pub mod llama2c;
mod network;
mod olmo;
mod olmo2;
mod sampler;
mod tape;
mod weights;

pub use error::ModelError;
pub use network::{Inference, MicroBatch, Network};
pub use sampler::Sampler;
pub use tape::{Dropout, Workspace};
pub use weights::{Layout, Weights, check_memory, take_floats, tensors};

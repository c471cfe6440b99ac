//! The architectures, and their checkpoints.
//!
//! A model is built from a description ([`retrace_spec::Model`]) and computed with [`Weights`], with the kernels of
//! `retrace-numerics`, so that its bits are those of the numerics contract. Each architecture is written once, on a
//! few operations, which each [`Engine`] implements. This crate does not depend on training, tokens on disk or tasks.

mod architecture;
pub mod candle;
mod config;
mod continuing;
mod engine;
mod error;
mod frequencies;
mod fused;
mod gpt_neox;
pub mod hub;
mod inference;
mod llama;
pub mod llama2c;
mod network;
mod olmo;
mod olmo2;
pub mod olmo_core;
mod operations;
mod reader;
mod sampler;
mod stored;
mod tape;
mod weights;

pub use engine::Engine;
pub use error::ModelError;
pub use inference::Inference;
pub use network::{MicroBatch, Moments, Network};
pub use operations::Dropout;
pub use reader::{Node, Part, Reader};
pub use retrace_numerics::cross_entropy::Score;
pub use sampler::Sampler;
pub use weights::{Layout, Weights, check_memory, take_floats, tensors};

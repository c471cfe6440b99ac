//! Models on candle: the kernels as its custom operations, its autograd, its variables, and AdamW as its optimizer.
//!
//! [`Engine::Candle`](crate::Engine::Candle) computes the supported architectures in this way. [`Own`] does the same
//! for any module of candle, so that it can be trained, resumed and replayed like them.
//!
//! The bits are those of the fused engine with one exception: candle adds every gradient to +0, so the sign of a zero
//! gradient is lost. It would only be visible in a first moment that is −0 already and whose gradient is zero; such an
//! update is refused ([`ModelError::ZeroSign`](crate::ModelError::ZeroSign)), and everything else that is computed is
//! the same.

mod adamw;
mod graph;
mod network;
mod operations;
mod variables;

pub use adamw::AdamW;
pub(crate) use network::Candle;
pub use network::Own;
pub use operations::{
    add, attend, clip, cross_entropy, dropout, embed, embed_tied, gate, gelu, layer_norm, layer_norm_part, linear,
    rms_norm, rms_norm_part, turn,
};

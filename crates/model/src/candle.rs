//! Models on candle: the kernels as its custom operations, its autograd over them, its variables, and AdamW as
//! its optimizer.
//!
//! [`Engine::Candle`](crate::Engine::Candle) computes the known architectures so, and [`Own`] any module of
//! candle, so that it can be trained, resumed and replayed as they are.
//!
//! The bits are those of the fused engine but for one thing: candle adds every gradient to +0, so that a zero
//! has no sign there. It would show only in a number's first moment that is −0 already, at a gradient that is
//! a zero; such an update is refused ([`ModelError::ZeroSign`](crate::ModelError::ZeroSign)), and everything
//! else that is computed is the same number.

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

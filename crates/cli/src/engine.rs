//! `--engine`: the engine that computes models.

use retrace_model::Engine;

/// Who computes models.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct EngineChoice {
    /// The engine that computes the model. Both engines give the same bits
    #[arg(long, value_name = "ENGINE", value_enum, default_value_t = Name::Fused)]
    engine: Name,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Name {
    /// Our own: fast
    Fused,
    /// The tensors, automatic gradients and optimizer interface of candle, over the same kernels: a second
    /// implementation, and slower
    Candle,
}

impl EngineChoice {
    /// The engine.
    pub(crate) const fn get(self) -> Engine {
        match self.engine {
            Name::Fused => Engine::Fused,
            Name::Candle => Engine::Candle,
        }
    }
}

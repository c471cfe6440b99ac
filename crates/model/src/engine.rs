//! The engine that computes a model.

use std::fmt;

use retrace_spec::Model;

use crate::candle::Candle;
use crate::fused::Fused;
use crate::{ModelError, Network};

/// The engine that computes a model. Both compute the same bits; no file states which was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Engine {
    /// The kernels with gradients added in place, in reused memory: the fast engine.
    #[default]
    Fused,
    /// The kernels as operations of candle, with its autograd, its variables and an optimizer with its interface: a
    /// second implementation of everything except the kernels.
    Candle,
}

impl Engine {
    /// All engines.
    pub const ALL: [Self; 2] = [Self::Fused, Self::Candle];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fused => "fused",
            Self::Candle => "candle",
        }
    }

    /// The model of this description, which must have passed its check.
    ///
    /// # Errors
    /// If its architecture is not supported here.
    pub fn network(self, model: &Model) -> Result<Box<dyn Network>, ModelError> {
        Ok(match self {
            Self::Fused => Box::new(Fused::new(model)?),
            Self::Candle => Box::new(Candle::new(model)?),
        })
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

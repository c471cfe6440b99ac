//! What can go wrong with a model.

use std::path::PathBuf;

use retrace_checkpoint::CheckpointError;
use retrace_files::FileError;
use thiserror::Error;

/// Why a model could not be read, written or computed.
#[derive(Debug, Error)]
pub enum ModelError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The weights cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A `config.json` does not describe a model that is known here.
    #[error("{}: {what}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A tensor that the model needs is not among the weights.
    #[error("tensor {name} is missing from the weights")]
    Missing {
        /// The tensor.
        name: String,
    },
    /// A tensor is not what the model needs.
    #[error("tensor {name} is {found}, but the model needs {needed}")]
    Mismatch {
        /// The tensor.
        name: String,
        /// Its dtype and shape.
        found: String,
        /// What they should be.
        needed: String,
    },
    /// A tensor is among the weights that the model has no place for.
    #[error("tensor {name} is not part of the model")]
    Unknown {
        /// The tensor.
        name: String,
    },
    /// The system does not give the memory that is needed at least.
    #[error(
        "a model of {parameters} parameters needs at least {bytes} bytes of memory for this, and the system cannot provide them"
    )]
    Memory {
        /// Numbers in its weights.
        parameters: u128,
        /// What is needed at least.
        bytes: u128,
    },
    /// Tokens that the model cannot take.
    #[error("{0}")]
    Input(String),
    /// The architecture is a user's own.
    #[error("the run has an architecture of its own, and its code is not part of this program")]
    Own,
    /// candle could not compute something.
    #[error("candle: {0}")]
    Candle(#[from] candle_core::Error),
    /// Which of the two zeros a gradient is decides a bit, and candle does not say.
    #[error(
        "the gradient of {name} has a zero whose sign decides a bit of its moment, and candle's autograd does not keep that"
    )]
    ZeroSign {
        /// The weight.
        name: String,
    },
}

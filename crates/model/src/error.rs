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
    /// A `config.json` does not describe a supported model.
    #[error("{}: {what}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A `config.json` describes a model of an architecture that is not computed here.
    #[error("{}: {architecture} is not computed here", path.display())]
    NotComputed {
        /// The file.
        path: PathBuf,
        /// The architecture.
        architecture: String,
    },
    /// A tensor that the model needs is missing from the weights.
    #[error("tensor {name} is missing from the weights")]
    Missing {
        /// The tensor.
        name: String,
    },
    /// A tensor does not have the dtype or shape that the model needs.
    #[error("tensor {name} is {found}, but the model needs {needed}")]
    Mismatch {
        /// The tensor.
        name: String,
        /// Its dtype and shape.
        found: String,
        /// The expected dtype and shape.
        needed: String,
    },
    /// The weights contain a tensor that the model does not use.
    #[error("tensor {name} is not part of the model")]
    Unknown {
        /// The tensor.
        name: String,
    },
    /// The system cannot provide the minimum memory.
    #[error(
        "a model of {parameters} parameters needs at least {bytes} bytes of memory for this, and the system cannot provide them"
    )]
    Memory {
        /// Number of elements of its weights.
        parameters: u128,
        /// The minimum in bytes.
        bytes: u128,
    },
    /// Tokens that are not valid for the model.
    #[error("{0}")]
    Input(String),
    /// The architecture is the user's own.
    #[error("the run has an architecture of its own, and its code is not part of this program")]
    Own,
    /// candle could not compute something.
    #[error("candle: {0}")]
    Candle(#[from] candle_core::Error),
    /// The sign of a zero gradient affects a bit, and candle does not keep it.
    #[error(
        "the gradient of {name} has a zero whose sign decides a bit of its moment, and candle's autograd does not keep that"
    )]
    ZeroSign {
        /// The weight.
        name: String,
    },
}

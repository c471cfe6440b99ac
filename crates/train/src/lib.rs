//! Schedule, trainer, checkpoints, journal, replay.
//!
//! A run is a pure function of its run file, its token shards and the numerics version: [`Trainer`] computes it step
//! by step, the journal has a line per step, and [`replay`](replay()) recomputes any part of it and compares. This
//! crate does not depend on manifests, evaluation or the command line.

mod batch;
mod checks;
mod diagnosis;
mod error;
mod finding;
mod journal;
mod learner;
mod outliers;
mod recorded;
mod replay;
mod schedule;
mod state;
mod tolerance;
mod trainer;

pub use batch::{Batch, Batches};
pub use checks::Checks;
pub use error::TrainError;
pub use finding::{DifferenceKind, Element, Finding};
pub use journal::{Journal, Line};
pub use learner::{Block, Compute, Learner, LocalCompute};
pub use recorded::{RECORDED_RUN, recorded_run};
pub use replay::{Replay, replay};
pub use schedule::learning_rate;
pub use state::{State, checkpoints, directory_of, stated_digest, write_moments};
pub use tolerance::{FURTHEST, Followed, Follows, LIMIT, Tolerance, tolerance};
pub use trainer::{Trainer, train, train_by};

//! What Python does, where a task's requests or scores depend on it to the byte.

mod random;

pub use random::Random;

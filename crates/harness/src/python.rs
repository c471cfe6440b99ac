//! What Python does, where a task's requests or scores depend on it to the byte.

mod literal;
mod random;
mod text;
mod value;

pub use literal::literal;
pub use random::Random;
pub use text::{capitalized, is_digits, is_space, stripped, words};
pub use value::{Dict, FunctionName, Value};

//! The environment variables that are read, all of them here:
//!
//! | variable | what it does |
//! |---|---|
//! | `NO_COLOR` | not empty: no colour, unless `--color always` (no-color.org) |
//! | `TERM` | `dumb`: no colour and no progress bars |
//! | `RETRACE_ISA` | the instruction set that the kernels use, `baseline`, `avx2` or `avx512`: it makes no difference but to speed, and this is how to see that |
//!
//! The thread pool reads `RAYON_NUM_THREADS` by itself; `--threads` goes before it.

use std::env;

/// What the environment says.
#[derive(Debug)]
pub(crate) struct Environment {
    /// No colour is wanted.
    pub(crate) no_color: bool,
    /// The terminal cannot move its cursor.
    pub(crate) dumb_terminal: bool,
    /// The instruction set that the kernels are to use.
    pub(crate) isa: Option<String>,
}

impl Environment {
    /// Reads it.
    pub(crate) fn read() -> Self {
        Self {
            no_color: env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()),
            dumb_terminal: env::var_os("TERM").is_some_and(|value| value == "dumb"),
            isa: env::var_os("RETRACE_ISA").map(|value| value.to_string_lossy().into_owned()),
        }
    }
}

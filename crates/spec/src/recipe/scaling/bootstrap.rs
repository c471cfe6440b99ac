//! How the intervals of a scaling law are found.

use core::fmt;

use serde::{Deserialize, Serialize};

/// How a law's intervals are found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bootstrap {
    /// What is drawn.
    pub by: Resampling,
    /// The number of samples.
    pub samples: usize,
    /// The part of the samples' parameters that an interval holds.
    pub level: f64,
    /// The seed of the random numbers.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { by: Resampling::Run, samples: 1000, level: 0.95, seed: 0 }
    }
}

impl Bootstrap {
    /// No samples, and so no intervals.
    pub fn none() -> Self {
        Self { by: Resampling::None, ..Self::default() }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// The first that is out of its range, and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if !(1..=1_000_000).contains(&self.samples) {
            return Err(("samples", "from 1 to 1,000,000"));
        }
        if !(self.level > 0.0 && self.level < 1.0) {
            return Err(("level", "between 0 and 1"));
        }
        Ok(())
    }
}

/// What a bootstrap draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resampling {
    /// Runs, with all their points: the points of a run are not independent. A point without a run is its own.
    Run,
    /// Points, as if they were independent.
    Case,
    /// New losses of the same points: the law's, with normal noise in ln L of the residuals' deviation.
    Parametric,
    /// Nothing: there are no intervals.
    None,
}

impl Resampling {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Run, Self::Case, Self::Parametric, Self::None];

    /// The name, as documents and commands have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Case => "case",
            Self::Parametric => "parametric",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Resampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

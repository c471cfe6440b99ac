//! Scaling laws by name.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A scaling law with the procedure of its paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LawName {
    /// L = [(N_c/N)^(α_N/α_D) + D_c/D]^α_D (Kaplan et al. 2020, equation 1.5).
    Kaplan,
    /// N_opt and D_opt as powers of C, from the runs that have the least loss at each C (Hoffmann et al. 2022, approach
    /// 1). Needs points along runs.
    #[serde(rename = "hoffmann-1")]
    Hoffmann1,
    /// The same from the minima of parabolas of loss over ln N at equal C (approach 2).
    #[serde(rename = "hoffmann-2")]
    Hoffmann2,
    /// L = E + A/N^α + B/D^β, Huber loss on ln L (approach 3).
    #[serde(rename = "hoffmann-3")]
    Hoffmann3,
    /// L = E + A/N^α + B/D^β - d ln D (MAP-Neo 2024). Without bound as D grows.
    Neo,
    /// Hoffmann 3 with α = β over effective parameters and tokens, which decay with repetition (Muennighoff et al.
    /// 2023). Needs unique tokens.
    DataConstrained,
    /// The loss on a task by Hoffmann 3, and its accuracy as a sigmoid of this loss (Bhagia et al. 2024, the OLMo
    /// ladder). Needs accuracies.
    TwoStep,
    /// L = E + A/N^α + B/D^β by least squares on L, linear in E, A, B for each (α, β) (the estimator of arXiv
    /// 2603.22339). It is not the same estimate as Hoffmann 3.
    VariableProjection,
    /// L = E + (L₀ - E) h/(1 + h), h = a/N^α + b/T^β + c N^γ/D^δ, T tokens of which D are unique (arXiv 2605.09189):
    /// between L₀ and E however small or large the model. Needs unique tokens.
    Bounded,
}

/// A name that is no law's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no law is called {0:?}; the laws are {all}", all = LawName::ALL.map(LawName::name).join(", "))]
pub struct UnknownLaw(pub String);

impl LawName {
    /// All laws.
    pub const ALL: [Self; 9] = [
        Self::Kaplan,
        Self::Hoffmann1,
        Self::Hoffmann2,
        Self::Hoffmann3,
        Self::Neo,
        Self::DataConstrained,
        Self::TwoStep,
        Self::VariableProjection,
        Self::Bounded,
    ];

    /// The name, as documents and commands have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kaplan => "kaplan",
            Self::Hoffmann1 => "hoffmann-1",
            Self::Hoffmann2 => "hoffmann-2",
            Self::Hoffmann3 => "hoffmann-3",
            Self::Neo => "neo",
            Self::DataConstrained => "data-constrained",
            Self::TwoStep => "two-step",
            Self::VariableProjection => "variable-projection",
            Self::Bounded => "bounded",
        }
    }

    /// The names of its parameters, in a fixed order.
    pub const fn parameters(self) -> &'static [&'static str] {
        match self {
            Self::Kaplan => &["N_c", "D_c", "alpha_N", "alpha_D"],
            // N_opt = G_N C^a, D_opt = G_D C^b.
            Self::Hoffmann1 | Self::Hoffmann2 => &["G_N", "a", "G_D", "b"],
            Self::Hoffmann3 | Self::VariableProjection => &["E", "A", "B", "alpha", "beta"],
            Self::Neo => &["E", "A", "B", "alpha", "beta", "d"],
            Self::DataConstrained => &["E", "A", "B", "alpha", "beta", "R_D", "R_N"],
            Self::TwoStep => &["E", "A", "B", "alpha", "beta", "a", "k", "L0", "b"],
            Self::Bounded => &["E", "L0", "a", "b", "c", "alpha", "beta", "gamma", "delta"],
        }
    }

    /// Those of its parameters that its search starts from values of: a grid has values of each. None for laws that are
    /// found without a search.
    pub const fn searched(self) -> &'static [&'static str] {
        match self {
            Self::Hoffmann1 | Self::Hoffmann2 => &[],
            Self::DataConstrained => &["R_D", "R_N"],
            Self::TwoStep => &["E", "A", "B", "alpha", "beta"],
            Self::VariableProjection => &["alpha", "beta"],
            Self::Kaplan | Self::Hoffmann3 | Self::Neo | Self::Bounded => self.parameters(),
        }
    }

    /// Whether it says a loss for N and D; approaches 1 and 2 only say the best of them for C.
    pub const fn has_loss(self) -> bool {
        !matches!(self, Self::Hoffmann1 | Self::Hoffmann2)
    }
}

impl fmt::Display for LawName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for LawName {
    type Err = UnknownLaw;

    fn from_str(name: &str) -> Result<Self, UnknownLaw> {
        Self::ALL.into_iter().find(|law| law.name() == name).ok_or_else(|| UnknownLaw(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer as _;
    use serde::de::value::{Error, StrDeserializer};

    use super::*;

    #[test]
    fn names_are_read_back() {
        for law in LawName::ALL {
            assert_eq!(law.name().parse(), Ok(law));
            let text: StrDeserializer<'_, Error> = law.name().into_deserializer();
            assert_eq!(LawName::deserialize(text), Ok(law));
        }
        let error = "chinchilla".parse::<LawName>().unwrap_err().to_string();
        assert!(error.starts_with("no law is called \"chinchilla\"; the laws are kaplan, hoffmann-1"), "{error}");
    }
}

//! The laws by name, and their losses once their parameters are known.

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

    /// The names of its parameters, in the order of [`super::Fit::parameters`].
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

    /// Whether it says a loss for N and D; approaches 1 and 2 only say the best of them for C.
    pub const fn has_loss(self) -> bool {
        !matches!(self, Self::Hoffmann1 | Self::Hoffmann2)
    }

    /// The law's loss at N = `params` and D = `tokens`, of which `unique` are no repetitions. NaN where the law
    /// has no loss. `p` are its parameters in the order of [`Self::parameters`].
    pub(super) fn loss(self, p: &[f64], params: f64, tokens: f64, unique: f64) -> f64 {
        let additive = |e: f64, a: f64, b: f64, alpha: f64, beta: f64, n: f64, d: f64| {
            e + a * libm::pow(n, -alpha) + b * libm::pow(d, -beta)
        };
        match (self, p) {
            (Self::Kaplan, &[n_c, d_c, alpha_n, alpha_d]) => {
                libm::pow(libm::pow(n_c / params, alpha_n / alpha_d) + d_c / tokens, alpha_d)
            }
            (Self::Hoffmann3 | Self::VariableProjection, &[e, a, b, alpha, beta])
            | (Self::TwoStep, &[e, a, b, alpha, beta, ..]) => additive(e, a, b, alpha, beta, params, tokens),
            (Self::Neo, &[e, a, b, alpha, beta, d]) => {
                let loss = additive(e, a, b, alpha, beta, params, tokens) - d * libm::log(tokens);
                if loss > 0.0 { loss } else { f64::NAN }
            }
            (Self::DataConstrained, &[e, a, b, alpha, beta, r_d, r_n]) => {
                let parts = Repetition::new(&[e, a, b, alpha, beta], params, tokens, unique);
                let worth = |unique: f64, repeats: f64, star: f64| unique * (1.0 - star * libm::expm1(-repeats / star));
                let n = worth(parts.unique_params, parts.params_repeats, r_n);
                let d = worth(parts.unique_tokens, parts.tokens_repeats, r_d);
                additive(e, a, b, alpha, beta, n, d)
            }
            (Self::Bounded, &[e, start, a, b, c, alpha, beta, gamma, delta]) => {
                let h = a * libm::pow(params, -alpha)
                    + b * libm::pow(tokens, -beta)
                    + c * libm::pow(params, gamma) * libm::pow(unique, -delta);
                e + (start - e) * h / (1.0 + h)
            }
            _ => f64::NAN,
        }
    }
}

/// The parts of N and D in the data-constrained law (Muennighoff et al. 2023, section 3).
#[derive(Debug, Clone, Copy)]
pub(super) struct Repetition {
    /// U_N: the parameters that are best for U_D tokens without repetition, or N if it is smaller.
    pub(super) unique_params: f64,
    /// R_N = N / U_N - 1.
    pub(super) params_repeats: f64,
    /// U_D.
    pub(super) unique_tokens: f64,
    /// R_D = D / U_D - 1.
    pub(super) tokens_repeats: f64,
}

impl Repetition {
    /// By the law E + A/N^α + B/D^β: with G = (αA/βB)^(1/(α+β)), N_opt = G (C/6)^(β/(α+β)) and D_opt = (C/6)^(α/(α+β)) /
    /// G, so that N_opt at the compute for which D_opt is U_D is G (G U_D)^(β/α).
    pub(super) fn new([_, a, b, alpha, beta]: &[f64; 5], params: f64, tokens: f64, unique: f64) -> Self {
        let g = libm::pow(alpha * a / (beta * b), 1.0 / (alpha + beta));
        let best = g * libm::pow(g * unique, beta / alpha);
        let unique_params = if best < params { best } else { params };
        Self {
            unique_params,
            params_repeats: params / unique_params - 1.0,
            unique_tokens: unique,
            tokens_repeats: tokens / unique - 1.0,
        }
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

    /// The constants and the predictions that Muennighoff et al. publish with their runs (parametric_fit.ipynb).
    #[test]
    fn the_data_constrained_law_gives_the_published_predictions() {
        let (a, b, e): (f64, f64, f64) = (6.255_414, 7.304_997_4, 0.625_480_4);
        let p = [e.exp(), a.exp(), b.exp(), 0.352_659_6, 0.352_659_6, 15.387_756, 5.309_743];
        for (params, tokens, unique, published) in [
            (2.81e9, 4e9, 4e9, 2.808_707_245_973_6),
            (2.81e9, 8e9, 4e9, 2.678_851_691_389_38),
            (2.81e9, 16e9, 4e9, 2.581_830_286_081_437_4),
        ] {
            let loss = LawName::DataConstrained.loss(&p, params, tokens, unique);
            assert!((loss - published).abs() < 1e-6, "{loss}, not {published}");
        }
    }
}

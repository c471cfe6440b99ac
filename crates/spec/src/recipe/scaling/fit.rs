//! How a scaling law is fitted.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BadValue, law::LawName, number};

/// How a law is fitted. The default is its paper's procedure with a strict tolerance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FitOptions {
    /// Huber's δ on ln L; infinite for least squares. 10⁻³ in Hoffmann et al. (2022).
    #[serde(with = "delta")]
    pub delta: f64,
    /// Whether the Huber losses are summed or averaged.
    pub reduction: Reduction,
    /// When a search ends.
    pub tolerance: Tolerance,
    /// The largest number of updates of a search.
    pub updates: usize,
    /// Where the searches start.
    #[serde(skip_serializing_if = "Grid::is_paper")]
    pub grid: Grid,
    /// `data-constrained`: the constants of the law without repetition, if they are known from other points; otherwise
    /// they are fitted, with α = β, to the points without repetition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// `hoffmann-1`: the numbers of compute at which the best run is looked for, evenly spaced in ln C. 1,500 in the
    /// paper.
    pub envelope: usize,
    /// `hoffmann-2`: the largest factor between the computes of points that belong to one parabola.
    pub isoflop: f64,
    /// `two-step`: the part of each run that is left out at its beginning before the sigmoid is fitted. 0.1 in the OLMo
    /// ladder.
    pub skip: f64,
    /// `two-step`: the points of a run over which loss and accuracy are averaged, at its end for the law of the loss and
    /// along it for the sigmoid. 5 in the OLMo ladder.
    pub window: usize,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            delta: 1e-3,
            reduction: Reduction::Sum,
            tolerance: Tolerance::Relative(1e-11),
            updates: 2000,
            grid: Grid::default(),
            base: None,
            envelope: 1500,
            isoflop: 1.05,
            skip: 0.1,
            window: 5,
        }
    }
}

/// The largest number of updates, of numbers of compute, and of starts: more only take time.
const MOST: usize = 1_000_000;

impl FitOptions {
    /// Checks the values.
    ///
    /// # Errors
    /// The first option that is out of its range, and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let of = |name, holds: bool, expected| if holds { Ok(()) } else { Err((name, expected)) };
        let tolerance = match self.tolerance {
            Tolerance::Relative(tolerance) | Tolerance::Absolute(tolerance) => tolerance,
        };
        of("delta", self.delta > 0.0, "above 0")?;
        of("tolerance", tolerance.is_finite() && tolerance > 0.0, "above 0")?;
        of("updates", (1..=MOST).contains(&self.updates), "from 1 to 1,000,000")?;
        of("window", self.window > 0, "above 0")?;
        of("envelope", (3..=MOST).contains(&self.envelope), "from 3 to 1,000,000")?;
        of("isoflop", self.isoflop >= 1.0 && self.isoflop < 2.0, "from 1 to below 2")?;
        of("skip", (0.0..1.0).contains(&self.skip), "from 0 to below 1")?;
        let base = self.base.is_none_or(|base| base.values().iter().all(|value| value.is_finite() && *value > 0.0));
        of("base", base, "five finite numbers above 0: E, A, B, alpha, beta")?;
        let values = || self.grid.0.values().flatten();
        of("grid", values().all(|value| value.is_finite()), "finite numbers")?;
        of("grid", self.grid.0.values().all(|values| !values.is_empty()), "at least one value of each parameter")?;
        let starts = self.grid.0.values().try_fold(1_usize, |all, values| all.checked_mul(values.len()));
        of("grid", starts.is_some_and(|starts| starts <= MOST), "at most 1,000,000 starts")
    }
}

/// An infinite δ, which JSON has no number for, is `inf`.
mod delta {
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Delta {
        Number(f64),
        Text(String),
    }

    pub(super) fn serialize<S: Serializer>(delta: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if delta.is_infinite() { serializer.serialize_str("inf") } else { serializer.serialize_f64(*delta) }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        match Delta::deserialize(deserializer) {
            Ok(Delta::Number(delta)) => Ok(delta),
            Ok(Delta::Text(text)) if text == "inf" => Ok(f64::INFINITY),
            _ => Err(de::Error::custom("`delta` is not a number, or `inf`")),
        }
    }
}

/// How the Huber losses of points become the objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduction {
    /// Their sum.
    Sum,
    /// Their mean: with an absolute tolerance the search then stops too early (Besiroglu et al. 2024).
    Mean,
}

/// When a search ends. In a document: `1e-11`, or `{absolute: 2.2e-9}`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "ToleranceForm", into = "ToleranceForm")]
pub enum Tolerance {
    /// After two updates in a row that lower the objective by no more than this part of it.
    Relative(f64),
    /// After one update that lowers the objective by no more than this, as SciPy's `ftol` does for objectives below 1
    /// (2.2 · 10⁻⁹ by default).
    Absolute(f64),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "the tolerance is neither a number nor {absolute: NUMBER}")]
enum ToleranceForm {
    Relative(f64),
    Absolute(Absolute),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Absolute {
    absolute: f64,
}

impl From<ToleranceForm> for Tolerance {
    fn from(form: ToleranceForm) -> Self {
        match form {
            ToleranceForm::Relative(part) => Self::Relative(part),
            ToleranceForm::Absolute(Absolute { absolute }) => Self::Absolute(absolute),
        }
    }
}

impl From<Tolerance> for ToleranceForm {
    fn from(tolerance: Tolerance) -> Self {
        match tolerance {
            Tolerance::Relative(part) => Self::Relative(part),
            Tolerance::Absolute(absolute) => Self::Absolute(Absolute { absolute }),
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relative(part) => write!(f, "{part:e}"),
            Self::Absolute(value) => write!(f, "absolute={value:e}"),
        }
    }
}

impl FromStr for Tolerance {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        match text.strip_prefix("absolute=") {
            Some(value) => number(value).map(Self::Absolute),
            None => number(text).map(Self::Relative),
        }
    }
}

/// Where the searches start: values of each parameter that is searched for ([`LawName::searched`]), of which all
/// combinations are tried. Without any, the grid of the law's paper, or ours where the paper states none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Grid(pub BTreeMap<String, Vec<f64>>);

impl Grid {
    /// One start.
    pub fn one(law: LawName, values: &[f64]) -> Self {
        Self(law.searched().iter().zip(values).map(|(name, value)| ((*name).to_owned(), vec![*value])).collect())
    }

    /// Whether it is the grid of the law's paper.
    pub fn is_paper(&self) -> bool {
        self.0.is_empty()
    }

    /// All starts for a law, each in the order of [`LawName::searched`], the last parameter the fastest; `None` if the
    /// grid is not of these parameters.
    pub fn starts(&self, law: LawName) -> Option<Vec<Vec<f64>>> {
        let mut starts = vec![Vec::new()];
        for name in law.searched() {
            let values = self.0.get(*name)?;
            let with = |start: &Vec<f64>| {
                let start = start.clone();
                values.iter().map(move |value| start.iter().copied().chain([*value]).collect::<Vec<f64>>())
            };
            starts = starts.iter().flat_map(with).collect();
        }
        (self.0.len() == law.searched().len()).then_some(starts)
    }
}

/// E, A, B, α and β of the law without repetition.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// E.
    #[serde(rename = "E")]
    pub e: f64,
    /// A.
    #[serde(rename = "A")]
    pub a: f64,
    /// B.
    #[serde(rename = "B")]
    pub b: f64,
    /// α.
    pub alpha: f64,
    /// β.
    pub beta: f64,
}

impl Base {
    /// Their names, in the order of [`Self::values`].
    pub const NAMES: [&'static str; 5] = ["E", "A", "B", "alpha", "beta"];

    /// The constants, in the order of [`Self::NAMES`].
    pub const fn values(self) -> [f64; 5] {
        [self.e, self.a, self.b, self.alpha, self.beta]
    }
}

impl From<[f64; 5]> for Base {
    fn from([e, a, b, alpha, beta]: [f64; 5]) -> Self {
        Self { e, a, b, alpha, beta }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> =
            Self::NAMES.iter().zip(self.values()).map(|(name, value)| format!("{name}={value}")).collect();
        f.write_str(&all.join(","))
    }
}

impl FromStr for Base {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let refuse = || BadValue(format!("{text:?} is not of the form E=…,A=…,B=…,alpha=…,beta=…"));
        let mut given = [None; 5];
        for part in text.split(',') {
            let (name, value) = part.split_once('=').ok_or_else(refuse)?;
            let at = Self::NAMES.iter().position(|known| *known == name.trim()).ok_or_else(refuse)?;
            if given.get_mut(at).ok_or_else(refuse)?.replace(number(value)?).is_some() {
                return Err(refuse());
            }
        }
        let [Some(e), Some(a), Some(b), Some(alpha), Some(beta)] = given else { return Err(refuse()) };
        Ok(Self { e, a, b, alpha, beta })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_written_and_read_back() {
        let options = FitOptions {
            delta: f64::INFINITY,
            reduction: Reduction::Mean,
            tolerance: Tolerance::Absolute(2.2e-9),
            grid: Grid::one(LawName::Hoffmann3, &[1.7, 400.0, 410.0, 0.34, 0.28]),
            base: Some([1.0, 2.0, 3.0, 0.4, 0.5].into()),
            ..FitOptions::default()
        };
        for options in [options, FitOptions::default()] {
            let json = serde_json::to_string(&options).unwrap();
            assert_eq!(serde_json::from_str::<FitOptions>(&json).unwrap(), options, "{json}");
            let yaml = serde_yaml::to_string(&options).unwrap();
            assert_eq!(serde_yaml::from_str::<FitOptions>(&yaml).unwrap(), options, "{yaml}");
            assert_eq!(options.tolerance.to_string().parse(), Ok(options.tolerance));
            assert!(options.base.is_none_or(|base| base.to_string().parse() == Ok(base)));
            assert_eq!(options.check(), Ok(()));
        }
    }

    #[test]
    fn a_grid_is_every_combination() {
        let of = |values: &[(&str, &[f64])]| {
            Grid(values.iter().map(|(name, values)| ((*name).to_owned(), values.to_vec())).collect())
        };
        let grid = of(&[("R_N", &[3.0, 4.0]), ("R_D", &[1.0, 2.0])]);
        let all = [[1.0, 3.0], [1.0, 4.0], [2.0, 3.0], [2.0, 4.0]];
        assert_eq!(grid.starts(LawName::DataConstrained).unwrap(), all);
        assert_eq!(grid.starts(LawName::Hoffmann3), None);
        assert_eq!(of(&[("R_D", &[1.0])]).starts(LawName::DataConstrained), None);
        let huge: Vec<f64> = (0..2000).map(f64::from).collect();
        for (grid, what) in [
            (of(&[("E", &huge), ("A", &huge), ("B", &huge)]), "at most 1,000,000 starts"),
            (of(&[("E", &[])]), "at least one value of each parameter"),
            (of(&[("E", &[f64::NAN])]), "finite numbers"),
        ] {
            assert_eq!(FitOptions { grid, ..FitOptions::default() }.check(), Err(("grid", what)));
        }
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for text in ["{delta: many}", "{tolerance: {relative: 1}}", "{base: {E: 1}}", "{hubber: 1}", "{grid: {E: 1}}"] {
            assert!(serde_yaml::from_str::<FitOptions>(text).is_err(), "{text}");
        }
        for text in
            ["", "E=1", "E=1,A=2,B=3,alpha=4,alpha=5", "E=1,A=2,B=3,alpha=4,gamma=5", "E=x,A=2,B=3,alpha=4,beta=5"]
        {
            assert!(text.parse::<Base>().is_err(), "{text}");
        }
    }
}

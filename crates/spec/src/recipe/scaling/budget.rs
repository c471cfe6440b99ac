//! What a scaling law is asked to predict.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{BadValue, number};

/// What a prediction is for. In a document: `{compute: 1e22}` or `{params: 7e9, tokens: 1e12}`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub enum Budget {
    /// The best model for this training compute, C = 6 N D.
    Compute(f64),
    /// This model.
    Model {
        /// N.
        params: f64,
        /// D, without repetition.
        tokens: f64,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compute: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    params: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens: Option<f64>,
}

impl TryFrom<Fields> for Budget {
    type Error = BadValue;

    fn try_from(Fields { compute, params, tokens }: Fields) -> Result<Self, BadValue> {
        let given = [compute, params, tokens].into_iter().flatten();
        if let Some(value) = given.into_iter().find(|value| !(value.is_finite() && *value > 0.0)) {
            return Err(BadValue(format!("{value} is not one finite number above 0")));
        }
        match (compute, params, tokens) {
            (Some(compute), None, None) => Ok(Self::Compute(compute)),
            (None, Some(params), Some(tokens)) => Ok(Self::Model { params, tokens }),
            _ => Err(BadValue("a budget has `compute` alone, or `params` and `tokens`".to_owned())),
        }
    }
}

impl From<Budget> for Fields {
    fn from(budget: Budget) -> Self {
        match budget {
            Budget::Compute(compute) => Self { compute: Some(compute), params: None, tokens: None },
            Budget::Model { params, tokens } => Self { compute: None, params: Some(params), tokens: Some(tokens) },
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compute(compute) => write!(f, "compute={compute:e}"),
            Self::Model { params, tokens } => write!(f, "params={params:e},tokens={tokens:e}"),
        }
    }
}

impl FromStr for Budget {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let mut fields = Fields { compute: None, params: None, tokens: None };
        for part in text.split(',') {
            let refuse = || BadValue("it is not of the form compute=C or params=N,tokens=D".to_owned());
            let (name, value) = part.split_once('=').ok_or_else(refuse)?;
            let field = match name.trim() {
                "compute" => &mut fields.compute,
                "params" => &mut fields.params,
                "tokens" => &mut fields.tokens,
                other => return Err(BadValue(format!("{other:?} is not compute, params or tokens"))),
            };
            if field.replace(number(value)?).is_some() {
                return Err(BadValue(format!("{part:?} is not one finite number above 0")));
            }
        }
        Self::try_from(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_written_and_read_back() {
        for budget in [Budget::Compute(1e22), Budget::Model { params: 7e9, tokens: 1.5e12 }] {
            assert_eq!(budget.to_string().parse(), Ok(budget));
            let yaml = serde_yaml::to_string(&budget).unwrap();
            assert_eq!(serde_yaml::from_str::<Budget>(&yaml).unwrap(), budget, "{yaml}");
        }
        assert_eq!(serde_yaml::from_str::<Budget>("{params: 7000000000, tokens: 1e12}").unwrap().to_string(), {
            "params=7e9,tokens=1e12"
        });
    }

    #[test]
    fn what_is_no_budget_is_refused() {
        for text in [
            "",
            "compute",
            "compute=0",
            "compute=x",
            "compute=inf",
            "params=1",
            "size=1",
            "compute=1,compute=2",
            "compute=1,params=2,tokens=3",
        ] {
            assert!(text.parse::<Budget>().is_err(), "{text}");
        }
        for text in ["{}", "{compute: 0}", "{compute: .nan}", "{params: 1}", "{compute: 1, tokens: 1}", "{flops: 1}"] {
            assert!(serde_yaml::from_str::<Budget>(text).is_err(), "{text}");
        }
    }
}

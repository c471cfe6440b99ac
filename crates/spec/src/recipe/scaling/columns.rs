//! Which column of a table has which quantity of a scaling law's points, and in which unit.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::BadValue;

/// A quantity of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// N.
    Params,
    /// D, each repetition counted.
    Tokens,
    /// L.
    Loss,
    /// C, measured.
    Flops,
    /// The run that the point belongs to.
    Run,
    /// The run's seed.
    Seed,
    /// The tokens that are not repetitions.
    UniqueTokens,
    /// The accuracy on the task, from 0 to 1.
    Accuracy,
}

impl Quantity {
    /// All quantities.
    pub const ALL: [Self; 8] = [
        Self::Params,
        Self::Tokens,
        Self::Loss,
        Self::Flops,
        Self::Run,
        Self::Seed,
        Self::UniqueTokens,
        Self::Accuracy,
    ];

    /// The name, as documents, commands and columns have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Params => "params",
            Self::Tokens => "tokens",
            Self::Loss => "loss",
            Self::Flops => "flops",
            Self::Run => "run",
            Self::Seed => "seed",
            Self::UniqueTokens => "unique_tokens",
            Self::Accuracy => "accuracy",
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Columns by the quantity that they have: `params=N,tokens=D,loss=L`, or in a document `{params: N, tokens: D, loss: L}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ColumnNames(pub BTreeMap<Quantity, String>);

impl fmt::Display for ColumnNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<String> = self.0.iter().map(|(quantity, column)| format!("{quantity}={column}")).collect();
        f.write_str(&named.join(","))
    }
}

impl FromStr for ColumnNames {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let mut named = BTreeMap::new();
        for part in text.split(',') {
            let refuse = || {
                let all = Quantity::ALL.map(Quantity::name).join(", ");
                BadValue(format!("{part:?} is not of the form QUANTITY=COLUMN; the quantities are {all}"))
            };
            let (quantity, column) = part.split_once('=').ok_or_else(refuse)?;
            let known = |known: &Quantity| known.name() == quantity.trim();
            let quantity = Quantity::ALL.into_iter().find(known).ok_or_else(refuse)?;
            if column.trim().is_empty() || named.insert(quantity, column.trim().to_owned()).is_some() {
                return Err(refuse());
            }
        }
        Ok(Self(named))
    }
}

/// Which parameters are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParamsUnit {
    /// All parameters.
    Total,
    /// All except embeddings.
    NonEmbedding,
}

impl ParamsUnit {
    /// The name, as documents and commands have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::NonEmbedding => "non-embedding",
        }
    }
}

/// The unit of a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LossUnit {
    /// Nats per token.
    #[serde(rename = "nats/token")]
    NatsPerToken,
    /// Bits per UTF-8 byte of text.
    #[serde(rename = "bits/byte")]
    BitsPerByte,
}

impl LossUnit {
    /// The name, as documents and commands have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NatsPerToken => "nats/token",
            Self::BitsPerByte => "bits/byte",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_by_their_quantities() {
        let names: ColumnNames = "params=N, loss = L".parse().unwrap();
        let expected = [(Quantity::Params, "N".to_owned()), (Quantity::Loss, "L".to_owned())];
        assert_eq!(names.0, BTreeMap::from(expected));
        assert_eq!(serde_yaml::from_str::<ColumnNames>("{loss: L, params: N}").unwrap(), names);
        assert!(serde_yaml::from_str::<ColumnNames>("{size: N}").is_err());
        for quantity in Quantity::ALL {
            assert_eq!(serde_yaml::to_string(&quantity).unwrap().trim(), quantity.name());
        }
        for text in ["", "params", "params=", "size=N", "params=N,params=M", "params=N,"] {
            assert!(text.parse::<ColumnNames>().is_err(), "{text}");
        }
    }
}

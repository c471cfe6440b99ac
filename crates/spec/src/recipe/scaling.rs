//! The recipe of a scaling law.

use serde::{Deserialize, Serialize};

use super::{check_input, check_name};
use crate::document::Complaint;
use crate::{Document, RelPath};

/// A scaling law fitted to points that a query gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScalingRecipe {
    /// `scaling/1`.
    pub retrace: String,
    /// What the step is called in the manifest.
    pub name: String,
    /// The tables that the query asks: Parquet files, each called after its table.
    pub tables: Vec<RelPath>,
    /// SQL that gives the points: columns `run`, `params`, `tokens` and `loss`.
    pub points: String,
    /// What `params` counts.
    pub params_unit: ParamsUnit,
    /// What `loss` counts.
    pub loss_unit: LossUnit,
    /// What the loss is of, in a few words.
    pub loss: String,
    /// Where points and law go, JSON.
    pub output: RelPath,
}

/// What a number of parameters counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParamsUnit {
    /// All of them.
    Total,
    /// Those that are not embeddings.
    NonEmbedding,
}

/// What a loss counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LossUnit {
    /// Nats a token.
    #[serde(rename = "nats/token")]
    NatsPerToken,
    /// Bits a UTF-8 byte of text.
    #[serde(rename = "bits/byte")]
    BitsPerByte,
}

impl Document for ScalingRecipe {
    const SCHEMA: &'static str = "scaling/1";

    fn schema(&self) -> &str {
        &self.retrace
    }

    fn check(&self) -> Result<(), Complaint> {
        check_name(&self.name)?;
        check_input("tables", &self.tables)?;
        if self.points.trim().is_empty() {
            return Err(("points".to_owned(), "is empty".to_owned()));
        }
        Ok(())
    }
}

//! The recipe of a scaling law.

use serde::{Deserialize, Serialize};

use super::{check_input, check_name};
use crate::document::Complaint;
use crate::{Document, RelPath};

/// A scaling law fitted to the points that a query returns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScalingRecipe {
    /// `scaling/1`.
    pub retrace: String,
    /// The name of the step in the manifest.
    pub name: String,
    /// The tables that the query reads: Parquet files, each named after its table.
    pub tables: Vec<RelPath>,
    /// SQL that returns the points: columns `run`, `params`, `tokens` and `loss`.
    pub points: String,
    /// What `params` counts.
    pub params_unit: ParamsUnit,
    /// What `loss` counts.
    pub loss_unit: LossUnit,
    /// What the loss is measured on, in a few words.
    pub loss: String,
    /// Where the points and the law are written, JSON.
    pub output: RelPath,
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

//! The recipe of a report of scaling laws.

mod bootstrap;
mod budget;
mod columns;
mod fit;
mod law;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{check_input, check_name};
use crate::document::Complaint;
use crate::{Document, RelPath};

pub use bootstrap::{Bootstrap, Resampling};
pub use budget::Budget;
pub use columns::{ColumnNames, LossUnit, ParamsUnit, Quantity};
pub use fit::{Base, FitOptions, Grid, Reduction, Tolerance};
pub use law::{LawName, UnknownLaw};

/// A text that is not a value of its kind. The message is the whole sentence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct BadValue(pub(crate) String);

fn number(text: &str) -> Result<f64, BadValue> {
    text.trim().parse().map_err(|_| BadValue(format!("{text:?} is not a number")))
}

/// Scaling laws fitted to the points of a file, or to those that a query returns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScalingRecipe {
    /// `scaling/1`.
    pub retrace: String,
    /// The name of the step in the manifest.
    pub name: String,
    /// The tables that SQL in `points` reads: Parquet files, each named after its table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<RelPath>,
    /// The points. With `tables`: SQL that returns them. Without: a Parquet, CSV, TSV or JSON lines file.
    pub points: String,
    /// The columns of the points whose names do not say what they have.
    #[serde(default, skip_serializing_if = "no_columns")]
    pub columns: ColumnNames,
    /// What the parameters count, unless the name of their column says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params_unit: Option<ParamsUnit>,
    /// The unit of the loss, unless the name of its column says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_unit: Option<LossUnit>,
    /// What the loss is measured on, in a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
    /// Whether only the last point of each run is used.
    #[serde(default)]
    pub finals: bool,
    /// The laws.
    #[serde(default = "laws")]
    pub laws: Vec<LawName>,
    /// How they are fitted.
    #[serde(default)]
    pub fit: FitOptions,
    /// The part of the runs, those with the largest computes, that is held out when laws are compared.
    #[serde(default = "held_out")]
    pub held_out: f64,
    /// The number of cuts of compute at which extrapolation is tested.
    #[serde(default = "cuts")]
    pub cuts: usize,
    /// How the intervals are found.
    #[serde(default)]
    pub intervals: Bootstrap,
    /// What is predicted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub predict: Vec<Budget>,
    /// Where the points, the laws and all that is said of them are written, JSON.
    pub output: RelPath,
    /// Where the predictions are written, JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<RelPath>,
    /// The directory in which the page, its Markdown and its CSV files are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<RelPath>,
}

fn no_columns(columns: &ColumnNames) -> bool {
    columns.0.is_empty()
}

fn laws() -> Vec<LawName> {
    vec![LawName::Hoffmann3]
}

const fn held_out() -> f64 {
    0.2
}

const fn cuts() -> usize {
    5
}

/// Checks the part of the runs that is held out, and the number of cuts.
///
/// # Errors
/// The first that is out of its range, and what it must be.
pub fn check_tests(held_out: f64, cuts: usize) -> Result<(), (&'static str, &'static str)> {
    if !(held_out > 0.0 && held_out < 1.0) {
        return Err(("held_out", "between 0 and 1"));
    }
    if cuts > 100 {
        return Err(("cuts", "at most 100"));
    }
    Ok(())
}

impl ScalingRecipe {
    /// The file that has the points; `None` if SQL over `tables` returns them.
    ///
    /// # Errors
    /// If there are no `tables`, and `points` is not a path.
    pub fn file(&self) -> Result<Option<RelPath>, crate::PathError> {
        if self.tables.is_empty() { self.points.parse().map(Some) } else { Ok(None) }
    }
}

impl Document for ScalingRecipe {
    const SCHEMA: &'static str = "scaling/1";

    fn schema(&self) -> &str {
        &self.retrace
    }

    fn check(&self) -> Result<(), Complaint> {
        let refuse = |field: &str, what: &str| Err((field.to_owned(), what.to_owned()));
        check_name(&self.name)?;
        if self.points.trim().is_empty() {
            return refuse("points", "is empty");
        }
        if let Err(error) = self.file() {
            return refuse("points", &format!("without `tables` it is a file, and {error}"));
        }
        let first = self.points.split_whitespace().next().unwrap_or_default();
        if self.tables.is_empty() && ["select", "with"].iter().any(|word| first.eq_ignore_ascii_case(word)) {
            return refuse("points", "without `tables` it is a file, and this is SQL");
        }
        check_input("laws", &self.laws)?;
        if let Some(law) = self.laws.iter().enumerate().find(|(at, law)| self.laws.iter().take(*at).any(|l| l == *law))
        {
            return refuse("laws", &format!("has {} twice", law.1));
        }
        let of = |field: &'static str| {
            move |(option, expected)| (format!("{field}.{option}"), format!("must be {expected}"))
        };
        self.fit.check().map_err(of("fit"))?;
        self.intervals.check().map_err(of("intervals"))?;
        if let Err((field, expected)) = check_tests(self.held_out, self.cuts) {
            return refuse(field, &format!("must be {expected}"));
        }
        match &self.prediction {
            Some(_) if self.predict.is_empty() => return refuse("prediction", "`predict` says nothing to write there"),
            Some(prediction) if *prediction == self.output => return refuse("prediction", "is also the `output`"),
            _ => {}
        }
        for (field, path) in [("output", Some(&self.output)), ("prediction", self.prediction.as_ref())] {
            let (Some(path), Some(report)) = (path, &self.report) else { continue };
            let inside = path.as_str().strip_prefix(report.as_str()).is_some_and(|rest| rest.starts_with('/'));
            if path == report || (inside && !path.as_str().ends_with(".json")) {
                return refuse(field, "may be a file of the `report`; in that directory its name must end in .json");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "retrace: scaling/1\nname: scaling\ntables: [a.parquet]\npoints: select 1 as run\n\
        params_unit: total\nloss_unit: bits/byte\nloss: words\noutput: scaling.json\n";

    fn with(more: &str) -> Result<ScalingRecipe, crate::SpecError> {
        let text = "retrace: scaling/1\nname: scaling\npoints: points.csv\noutput: law/scaling.json\n";
        ScalingRecipe::parse(&format!("{text}{more}"), "scaling.yaml")
    }

    #[test]
    fn a_document_of_earlier_versions_and_a_full_one_are_read() {
        let old = ScalingRecipe::parse(OLD, "scaling.yaml").unwrap();
        assert_eq!((old.file().unwrap(), old.laws.as_slice()), (None, &[LawName::Hoffmann3][..]));
        assert_eq!((old.held_out, old.cuts, old.intervals), (0.2, 5, Bootstrap::default()));
        let full = with(
            "columns: {params: N, tokens: D}\nparams_unit: non-embedding\nfinals: true\nlaws: [kaplan, hoffmann-2]\n\
             fit: {delta: .inf, tolerance: {absolute: 2.2e-9}, reduction: mean, updates: 100, isoflop: 1.1, skip: 0.2,\n\
             \x20 window: 3, envelope: 100, base: {E: 1, A: 2, B: 3, alpha: 0.4, beta: 0.5}, grid: {alpha: [0.1, 0.2]}}\n\
             held_out: 0.3\ncuts: 2\nintervals: {by: case, samples: 10, level: 0.9, seed: 3}\n\
             predict: [{compute: 1e22}, {params: 7e9, tokens: 1e12}]\nprediction: law/prediction.json\nreport: law\n",
        )
        .unwrap();
        assert_eq!(full.file().unwrap().unwrap().as_str(), "points.csv");
        assert_eq!(full.predict, [Budget::Compute(1e22), Budget::Model { params: 7e9, tokens: 1e12 }]);
        for recipe in [old, full] {
            assert_eq!(ScalingRecipe::parse(&recipe.to_yaml().unwrap(), "again").unwrap(), recipe);
        }
    }

    #[test]
    fn a_bad_field_is_named() {
        for (more, field) in [
            ("laws: []\n", "laws: is empty"),
            ("laws: [kaplan, kaplan]\n", "laws: has kaplan twice"),
            ("laws: [chinchilla]\n", "unknown variant `chinchilla`"),
            ("fit: {delta: 0}\n", "fit.delta: must be above 0"),
            ("fit: {skip: 1}\n", "fit.skip: must be from 0 to below 1"),
            ("fit: {hubber: 1}\n", "unknown field `hubber`"),
            ("intervals: {samples: 0}\n", "intervals.samples: must be"),
            ("intervals: {by: bag}\n", "unknown variant `bag`"),
            ("held_out: 1\n", "held_out: must be between"),
            ("cuts: 1000\n", "cuts: must be at most"),
            ("predict: [{params: 1e9}]\n", "`params` and `tokens`"),
            ("prediction: p.json\n", "prediction: `predict`"),
            ("predict: [{compute: 1}]\nprediction: law/scaling.json\n", "prediction: is also"),
            ("predict: [{compute: 1}]\nprediction: r/report.html\nreport: r\n", "prediction: may be a file of"),
            ("columns: {size: N}\n", "unknown variant `size`"),
        ] {
            let error = with(more).unwrap_err().to_string();
            assert!(error.contains(field), "{more}: {error}");
        }
        let error = ScalingRecipe::parse(&OLD.replace("tables: [a.parquet]\n", "").replace("select 1", "/etc"), "s");
        assert!(error.unwrap_err().to_string().contains("points: without `tables` it is a file"));
    }
}

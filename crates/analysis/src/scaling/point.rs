//! The points that laws are fitted to, with their units.

use std::collections::BTreeMap;

use retrace_spec::recipe::scaling::{LossUnit, ParamsUnit};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A model after training on a number of tokens.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// N, its parameters.
    pub params: f64,
    /// D, the tokens that it was trained on, each repetition counted.
    pub tokens: f64,
    /// L, its loss; for the law `two-step` the loss on the task.
    pub loss: f64,
    /// C, the training compute in floating-point operations, where it was measured; otherwise 6 N D stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flops: Option<f64>,
    /// The run that the point belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The run's seed: runs of one name with different seeds are different runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The tokens among `tokens` that are not repetitions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_tokens: Option<f64>,
    /// The accuracy on the task, from 0 to 1, for the law `two-step`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
}

impl Point {
    /// A point with nothing but its size, tokens and loss.
    pub fn new(params: f64, tokens: f64, loss: f64) -> Self {
        Self { params, tokens, loss, ..Self::default() }
    }

    /// Its training compute: `flops`, or 6 N D (Kaplan et al. 2020).
    pub fn compute(&self) -> f64 {
        self.flops.unwrap_or(6.0 * self.params * self.tokens)
    }
}

/// What is wrong with a table of points.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PointError {
    /// A number that no model can have.
    #[error("row {}, column {column}: {value} is not {expected}", row + 1)]
    Value {
        /// The row in the order given, from 0; the message counts from 1.
        row: usize,
        /// The column.
        column: &'static str,
        /// The value.
        value: f64,
        /// What it must be.
        expected: &'static str,
    },
    /// Two tables that measure different things.
    #[error("the {what} of one table is {first}, of the other {second}: they cannot be fitted together")]
    Units {
        /// `unit of parameters` or `unit of loss`.
        what: &'static str,
        /// The first table's, or `unknown`.
        first: &'static str,
        /// The second table's, or `unknown`.
        second: &'static str,
    },
}

/// Points of one unit, in an order that does not depend on the order in which they were given. As a document: their units
/// and rows, which are checked when it is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Table", into = "Table")]
pub struct Points {
    params_unit: Option<ParamsUnit>,
    loss_unit: Option<LossUnit>,
    rows: Vec<Point>,
    /// The run of each row: a number from 0, without gaps.
    clusters: Vec<usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    params_unit: Option<ParamsUnit>,
    loss_unit: Option<LossUnit>,
    rows: Vec<Point>,
}

impl TryFrom<Table> for Points {
    type Error = PointError;

    fn try_from(Table { params_unit, loss_unit, rows }: Table) -> Result<Self, PointError> {
        Self::new(params_unit, loss_unit, rows)
    }
}

impl From<Points> for Table {
    fn from(Points { params_unit, loss_unit, rows, .. }: Points) -> Self {
        Self { params_unit, loss_unit, rows }
    }
}

impl Points {
    /// Points in the stated units; `None` is a unit that nobody knows, which the fit warns of.
    ///
    /// # Errors
    /// If a number or the compute is not finite and above 0, or an accuracy is not from 0 to 1, or there are more unique
    /// tokens than tokens.
    pub fn new(
        params_unit: Option<ParamsUnit>,
        loss_unit: Option<LossUnit>,
        mut rows: Vec<Point>,
    ) -> Result<Self, PointError> {
        for (row, point) in rows.iter().enumerate() {
            let given = [("params", point.params), ("tokens", point.tokens), ("loss", point.loss)];
            let optional = [("flops", point.flops), ("unique_tokens", point.unique_tokens)];
            let optional = optional.into_iter().filter_map(|(column, value)| Some((column, value?)));
            for (column, value) in given.into_iter().chain(optional) {
                if !(value.is_finite() && value > 0.0) {
                    return Err(PointError::Value { row, column, value, expected: "a finite number above 0" });
                }
            }
            let value = point.compute();
            if !(value.is_finite() && value > 0.0) {
                let expected = "a finite number above 0 when it is multiplied with params and 6, the compute";
                return Err(PointError::Value { row, column: "tokens", value: point.tokens, expected });
            }
            if let Some(value) = point.unique_tokens.filter(|unique| *unique > point.tokens) {
                let expected = "at most the number of tokens";
                return Err(PointError::Value { row, column: "unique_tokens", value, expected });
            }
            if let Some(value) = point.accuracy.filter(|value| !(0.0..=1.0).contains(value)) {
                return Err(PointError::Value { row, column: "accuracy", value, expected: "from 0 to 1" });
            }
        }
        // A sum depends on its order: sorting makes every result independent of the order of the input.
        rows.sort_by(|a, b| {
            let key = |p: &Point| [p.params, p.tokens, p.loss, p.compute(), p.unique_tokens.unwrap_or(p.tokens)];
            let numbers = key(a).iter().zip(key(b)).map(|(a, b)| a.total_cmp(&b)).find(|order| order.is_ne());
            numbers.unwrap_or(core::cmp::Ordering::Equal).then_with(|| (&a.run, a.seed).cmp(&(&b.run, b.seed)))
        });
        let mut of_run = BTreeMap::new();
        let mut next = 0;
        let mut clusters = Vec::with_capacity(rows.len());
        for point in &rows {
            let mut new = || {
                next += 1;
                next - 1
            };
            clusters.push(match &point.run {
                Some(run) => *of_run.entry((run.clone(), point.seed)).or_insert_with(new),
                None => new(),
            });
        }
        Ok(Self { params_unit, loss_unit, rows, clusters })
    }

    /// These points and others of the same units.
    ///
    /// # Errors
    /// If a unit differs, also if one is unknown and the other is not.
    pub fn join(self, other: Self) -> Result<Self, PointError> {
        if self.params_unit != other.params_unit {
            let name = |unit| match unit {
                Some(ParamsUnit::Total) => "total",
                Some(ParamsUnit::NonEmbedding) => "non-embedding",
                None => "unknown",
            };
            let (first, second) = (name(self.params_unit), name(other.params_unit));
            return Err(PointError::Units { what: "unit of parameters", first, second });
        }
        if self.loss_unit != other.loss_unit {
            let name = |unit| match unit {
                Some(LossUnit::NatsPerToken) => "nats/token",
                Some(LossUnit::BitsPerByte) => "bits/byte",
                None => "unknown",
            };
            let (first, second) = (name(self.loss_unit), name(other.loss_unit));
            return Err(PointError::Units { what: "unit of loss", first, second });
        }
        Self::new(self.params_unit, self.loss_unit, self.rows.into_iter().chain(other.rows).collect())
    }

    /// The points, by size, tokens and loss.
    pub fn rows(&self) -> &[Point] {
        &self.rows
    }

    /// What `params` counts.
    pub fn params_unit(&self) -> Option<ParamsUnit> {
        self.params_unit
    }

    /// The unit of `loss`.
    pub fn loss_unit(&self) -> Option<LossUnit> {
        self.loss_unit
    }

    /// The run of each row, as a number from 0 without gaps: rows of one run and seed have the same; a row without a run
    /// has its own.
    pub fn clusters(&self) -> &[usize] {
        &self.clusters
    }

    /// The number of different runs; a row without a run counts as one.
    pub fn runs(&self) -> usize {
        self.clusters.iter().max().map_or(0, |last| last + 1)
    }

    /// Whether any run has points at several numbers of tokens: then they are points along runs, not final losses.
    pub fn along_runs(&self) -> bool {
        self.rows.len() > self.finals().rows.len()
    }

    /// The last points of each run: those at its largest number of tokens.
    pub fn finals(&self) -> Self {
        let mut last = vec![0.0_f64; self.runs()];
        for (point, run) in self.rows.iter().zip(&self.clusters) {
            last[*run] = last[*run].max(point.tokens);
        }
        self.keep(|at| self.rows[at].tokens == last[self.clusters[at]])
    }

    /// Whether some larger model is no better than a smaller one that was trained on no more tokens.
    pub fn larger_is_no_better(&self) -> bool {
        /// Numbers of tokens that differ by less than this part are the same.
        const NEAR: f64 = 0.02;
        let rows = || self.rows.iter();
        rows().any(|large| {
            // Rows are sorted by size.
            rows()
                .take_while(|small| small.params < large.params)
                .any(|small| small.tokens <= large.tokens * (1.0 + NEAR) && small.loss <= large.loss)
        })
    }

    /// The points whose index `keep` accepts.
    pub fn keep(&self, keep: impl Fn(usize) -> bool) -> Self {
        let mut numbers = BTreeMap::new();
        let mut kept = Self { rows: Vec::new(), clusters: Vec::new(), ..*self };
        for at in (0..self.rows.len()).filter(|at| keep(*at)) {
            let next = numbers.len();
            kept.clusters.push(*numbers.entry(self.clusters[at]).or_insert(next));
            kept.rows.push(self.rows[at].clone());
        }
        kept
    }

    /// These points with the losses that `loss` gives for each index.
    pub(super) fn with_losses(mut self, loss: impl Fn(usize) -> f64) -> Self {
        for (at, point) in self.rows.iter_mut().enumerate() {
            point.loss = loss(at);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn along() -> Vec<Point> {
        let of = |run: &str, tokens, loss| Point { run: Some(run.to_owned()), ..Point::new(1e8, tokens, loss) };
        vec![of("b", 2e9, 3.1), of("a", 1e9, 3.5), of("a", 2e9, 3.0), Point::new(5e7, 1e9, 4.0)]
    }

    #[test]
    fn runs_are_told_from_final_losses() {
        let points = Points::new(Some(ParamsUnit::Total), Some(LossUnit::NatsPerToken), along()).unwrap();
        assert_eq!(points.runs(), 3);
        assert!(points.along_runs());
        let finals = points.finals();
        assert_eq!(finals.rows().iter().map(|p| p.loss).collect::<Vec<_>>(), [4.0, 3.0, 3.1]);
        assert_eq!(finals.clusters(), [0, 1, 2]);
        assert!(!finals.along_runs());
        let mut reversed = along();
        reversed.reverse();
        assert_eq!(Points::new(Some(ParamsUnit::Total), Some(LossUnit::NatsPerToken), reversed).unwrap(), points);
    }

    #[test]
    fn a_larger_model_that_is_no_better_is_found() {
        let of = |large: (f64, f64)| {
            let rows = vec![Point::new(1e8, 2e9, 3.0), Point::new(1e8, 1e9, 3.5), Point::new(2e8, large.0, large.1)];
            Points::new(None, None, rows).unwrap().larger_is_no_better()
        };
        // By hand: fewer tokens excuse a higher loss.
        assert_eq!(
            [(2e9, 2.9), (1e9, 3.2), (1e9, 3.6), (2e9, 3.0), (1.99e9, 3.1)].map(of),
            [false, false, true, true, true]
        );
    }

    #[test]
    fn a_bad_number_is_refused_with_its_place() {
        for bad in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
            let mut rows = along();
            rows[2].tokens = bad;
            let error = Points::new(None, None, rows).unwrap_err();
            assert!(matches!(error, PointError::Value { row: 2, column: "tokens", .. }), "{error}");
        }
        let mut rows = along();
        rows[1].unique_tokens = Some(2e9);
        let error = Points::new(None, None, rows).unwrap_err().to_string();
        assert_eq!(error, "row 2, column unique_tokens: 2000000000 is not at most the number of tokens");
    }

    #[test]
    fn a_table_is_checked_when_it_is_read() {
        let points = Points::new(Some(ParamsUnit::Total), None, along()).unwrap();
        let json = serde_json::to_string(&points).unwrap();
        assert_eq!(serde_json::from_str::<Points>(&json).unwrap(), points);
        for (from, to) in [("3.1", "-3.1"), ("\"total\"", "\"some\""), ("\"run\"", "\"name\""), ("\"rows\"", "\"x\"")] {
            assert!(serde_json::from_str::<Points>(&json.replace(from, to)).is_err(), "{from}");
        }
    }

    /// The compute of such a point is 0 or infinite.
    #[test]
    fn a_compute_that_is_no_number_is_refused() {
        for size in [1e-200, 1e200] {
            let error = Points::new(None, None, vec![Point::new(size, size, 1.0)]).unwrap_err();
            assert!(matches!(error, PointError::Value { row: 0, column: "tokens", .. }), "{error}");
        }
    }

    #[test]
    fn tables_of_unlike_units_are_not_joined() {
        let of = |unit| Points::new(Some(ParamsUnit::Total), unit, along()).unwrap();
        let error = of(Some(LossUnit::NatsPerToken)).join(of(None)).unwrap_err().to_string();
        assert_eq!(
            error,
            "the unit of loss of one table is nats/token, of the other unknown: they cannot be fitted together"
        );
        assert_eq!(of(None).join(of(None)).unwrap().rows().len(), 8);
    }
}

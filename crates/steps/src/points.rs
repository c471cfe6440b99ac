//! The points of a scaling law in the rows of a query.

use std::collections::BTreeSet;
use std::path::PathBuf;

use retrace_analysis::scaling::{Point, PointError, Points};
use retrace_query::{Answer, Options, QueryError, Session};
use retrace_spec::recipe::scaling::{ColumnNames, LossUnit, ParamsUnit, Quantity};
use thiserror::Error;

/// Which column has which quantity, and the units that no name of a column says.
#[derive(Debug, Clone, Default)]
pub struct PointColumns {
    /// The columns by quantity, as the user names them.
    pub named: ColumnNames,
    /// What the column of the parameters counts.
    pub params_unit: Option<ParamsUnit>,
    /// The unit of the column of the loss.
    pub loss_unit: Option<LossUnit>,
}

/// The columns whose names say the unit of parameters.
const PARAMS: [(&str, ParamsUnit); 3] = [
    ("params_nonembedding", ParamsUnit::NonEmbedding),
    ("params_non_embedding", ParamsUnit::NonEmbedding),
    ("params_total", ParamsUnit::Total),
];

/// The columns whose names say the unit of loss.
const LOSSES: [(&str, LossUnit); 2] =
    [("loss_nats_per_token", LossUnit::NatsPerToken), ("loss_bits_per_byte", LossUnit::BitsPerByte)];

/// Why rows are no points.
#[derive(Debug, Error)]
pub enum PointsError {
    /// A column that does not exist, or has no such values.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A value that a point cannot have.
    #[error("the row with {row}: {column} is not {expected}")]
    Value {
        /// The row's values: rows of a query have no numbers.
        row: String,
        /// The quantity.
        column: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A value that is not a number.
    #[error("the row with {row}: the column {column:?} has {value:?}, which is not a number as it must have")]
    NoNumber {
        /// The row's values.
        row: String,
        /// The column.
        column: String,
        /// The value.
        value: String,
    },
    /// Points that do not go together.
    #[error(transparent)]
    Point(PointError),
    /// A quantity has no column.
    #[error("no column has {quantity}; the columns are {columns}")]
    Missing {
        /// The quantity.
        quantity: Quantity,
        /// All columns.
        columns: String,
    },
    /// A column that is named does not exist.
    #[error("there is no column {column:?}; the columns are {columns}")]
    Unknown {
        /// The column.
        column: String,
        /// All columns.
        columns: String,
    },
    /// A quantity may be in two columns.
    #[error("both {one} and {other} may have {quantity}")]
    Ambiguous {
        /// The quantity.
        quantity: Quantity,
        /// A column.
        one: String,
        /// Another.
        other: String,
    },
    /// The name of a column does not say its unit, and nobody else does.
    #[error("the unit of {quantity} in the column {column:?} is not stated")]
    Unit {
        /// The parameters or the loss.
        quantity: Quantity,
        /// The column.
        column: String,
    },
    /// The unit that the name of a column says is not the one that is stated.
    #[error("the name of the column {column:?} says another unit than the one that is given")]
    OtherUnit {
        /// The column.
        column: String,
    },
    /// Only the last point of each run is asked for, and no point has a run.
    #[error("the last point of each run cannot be found: no point has a run")]
    NoRuns,
    /// There are no rows.
    #[error("there are no points")]
    None,
}

impl PointsError {
    /// The field of a document that has to be corrected.
    pub(crate) const fn field(&self) -> &'static str {
        match self {
            Self::Missing { .. } | Self::Unknown { .. } | Self::Ambiguous { .. } => "columns",
            Self::Unit { quantity: Quantity::Params, .. } => "params_unit",
            Self::Unit { .. } => "loss_unit",
            Self::NoRuns => "finals",
            _ => "points",
        }
    }
}

impl PointColumns {
    /// The points in the rows of an answer. Columns whose names say quantity and unit are taken as they are:
    /// `params_nonembedding` or `params_total`, `tokens`, `loss_nats_per_token` or `loss_bits_per_byte`, `flops`, `run`,
    /// `seed`, `unique_tokens`, `accuracy`.
    ///
    /// # Errors
    /// If a quantity has no column or more than one, its unit is not stated, or a value is not one that a model can have.
    pub fn points(&self, answer: &Answer) -> Result<Points, PointsError> {
        let columns: BTreeSet<String> = answer.columns().into_iter().map(|column| column.name).collect();
        if answer.rows() == 0 {
            return Err(PointsError::None);
        }
        if let Some(column) = self.named.0.values().find(|column| !columns.contains(*column)) {
            return Err(PointsError::Unknown { column: column.clone(), columns: listed(&columns) });
        }
        let (params, params_unit) = self.with_unit(Quantity::Params, &PARAMS, self.params_unit, &columns)?;
        let (loss, loss_unit) = self.with_unit(Quantity::Loss, &LOSSES, self.loss_unit, &columns)?;
        let tokens = self.column(Quantity::Tokens, &columns).ok_or_else(|| missing(Quantity::Tokens, &columns))?;
        let numbers = |quantity| -> Result<Option<Vec<f64>>, QueryError> {
            self.column(quantity, &columns).map(|column| answer.floats(&column)).transpose()
        };
        let (flops, unique, accuracy) =
            (numbers(Quantity::Flops)?, numbers(Quantity::UniqueTokens)?, numbers(Quantity::Accuracy)?);
        let runs = self.column(Quantity::Run, &columns).map(|column| answer.texts(&column)).transpose()?;
        let seeds = self.column(Quantity::Seed, &columns).map(|column| answer.numbers(&column)).transpose()?;
        let required =
            [(Quantity::Params, params.clone()), (Quantity::Tokens, tokens.clone()), (Quantity::Loss, loss.clone())];
        let optional = [Quantity::Flops, Quantity::UniqueTokens, Quantity::Accuracy, Quantity::Seed];
        let optional = optional.into_iter().filter_map(|quantity| Some((quantity, self.column(quantity, &columns)?)));
        // Null in an optional column is no value; a text or a number that is none of its kind must not pass for null.
        for (quantity, column) in required.iter().cloned().chain(optional) {
            let texts = answer.texts(&column)?;
            let read: Vec<bool> = match quantity {
                Quantity::Seed => answer.numbers(&column)?.iter().map(Option::is_some).collect(),
                _ => answer.floats(&column)?.iter().map(|value| !value.is_nan()).collect(),
            };
            // The check of the points tells a NaN among these.
            let checked = matches!(quantity, Quantity::Params | Quantity::Tokens | Quantity::Loss);
            let nan = |text: &str| checked && text.trim().eq_ignore_ascii_case("nan");
            let is_none = |(_, (text, read)): &(usize, (&String, bool))| !text.is_empty() && !read && !nan(text);
            if let Some((row, (text, _))) = texts.iter().zip(read).enumerate().find(is_none) {
                let cell = |(quantity, column): &(Quantity, String)| {
                    let text = answer.texts(column)?.get(row).cloned().unwrap_or_default();
                    Ok::<_, QueryError>(format!("{quantity} {text}"))
                };
                let row = required.iter().map(cell).collect::<Result<Vec<_>, _>>()?.join(", ");
                return Err(PointsError::NoNumber { row, column, value: text.clone() });
            }
        }
        let (params, tokens, loss) = (answer.floats(&params)?, answer.floats(&tokens)?, answer.floats(&loss)?);
        let of = |values: &Option<Vec<f64>>, row: usize| values.as_ref()?.get(row).copied().filter(|v| !v.is_nan());
        let at = |row: usize| {
            let number = |values: &[f64]| values.get(row).copied().unwrap_or(f64::NAN);
            let run = runs.as_ref().and_then(|runs| runs.get(row)).filter(|run| !run.is_empty());
            let run = run.map_or_else(String::new, |run| format!(", run {run:?}"));
            format!("params {}, tokens {}, loss {}{run}", number(&params), number(&tokens), number(&loss))
        };
        let rows = params.iter().zip(&tokens).zip(&loss).enumerate().map(|(row, ((params, tokens), loss))| Point {
            params: *params,
            tokens: *tokens,
            loss: *loss,
            flops: of(&flops, row),
            run: runs.as_ref().and_then(|runs| runs.get(row)).filter(|run| !run.is_empty()).cloned(),
            seed: seeds.as_ref().and_then(|seeds| *seeds.get(row)?),
            unique_tokens: of(&unique, row),
            accuracy: of(&accuracy, row),
        });
        Points::new(Some(params_unit), Some(loss_unit), rows.collect()).map_err(|error| match error {
            PointError::Value { row, column, expected, .. } => PointsError::Value { row: at(row), column, expected },
            error => PointsError::Point(error),
        })
    }

    /// The column of a quantity: the one that the user names, or the one of the same name.
    fn column(&self, quantity: Quantity, columns: &BTreeSet<String>) -> Option<String> {
        let same = || columns.contains(quantity.name()).then(|| quantity.name().to_owned());
        self.named.0.get(&quantity).cloned().or_else(same)
    }

    /// The column of a quantity with a unit.
    fn with_unit<U: Copy + PartialEq>(
        &self,
        quantity: Quantity,
        known: &[(&'static str, U)],
        stated: Option<U>,
        columns: &BTreeSet<String>,
    ) -> Result<(String, U), PointsError> {
        let mut saying = known.iter().filter(|(name, _)| columns.contains(*name));
        let column = match (self.named.0.get(&quantity), saying.next(), saying.next()) {
            (Some(column), ..) => column.clone(),
            (None, Some((one, _)), Some((other, _))) => {
                return Err(PointsError::Ambiguous { quantity, one: (*one).to_owned(), other: (*other).to_owned() });
            }
            (None, Some((name, _)), None) => (*name).to_owned(),
            (None, None, _) if columns.contains(quantity.name()) => quantity.name().to_owned(),
            (None, None, _) => return Err(missing(quantity, columns)),
        };
        let said = known.iter().find(|(name, _)| *name == column).map(|(_, unit)| *unit);
        match (said, stated) {
            (Some(said), Some(stated)) if said != stated => Err(PointsError::OtherUnit { column }),
            (Some(unit), _) | (None, Some(unit)) => Ok((column, unit)),
            (None, None) => Err(PointsError::Unit { quantity, column }),
        }
    }
}

/// The session with the rows at `paths`, in which the run of a point is text as it stands in the file: "01" is no "1".
///
/// # Errors
/// If a file cannot be read, or is none that has rows.
pub fn open_points(paths: &[PathBuf], columns: &ColumnNames, options: Options) -> Result<Session, QueryError> {
    let mut texts = vec![Quantity::Run.name().to_owned()];
    texts.extend(columns.0.get(&Quantity::Run).cloned());
    Session::open_with(paths, Options { texts, ..options })
}

/// All rows of the one file that is opened.
///
/// # Errors
/// If it cannot be read.
pub fn all_rows(session: &Session) -> Result<Answer, QueryError> {
    let table = session.tables().keys().next().map_or("", String::as_str);
    session.run_foreign(&format!("select * from \"{}\"", table.replace('"', "\"\"")))
}

fn missing(quantity: Quantity, columns: &BTreeSet<String>) -> PointsError {
    PointsError::Missing { quantity, columns: listed(columns) }
}

fn listed(columns: &BTreeSet<String>) -> String {
    columns.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

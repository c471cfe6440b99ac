//! The tables of a release, as rows and as Parquet.
//!
//! Rows are sorted before they are written, and the file names no clock, machine or version of a
//! library, so the same rows are the same bytes.

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, UInt64Array};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::Compression;
use datafusion::parquet::file::properties::WriterProperties;
use retrace_files::write_whole;
use retrace_spec::{Digest, Step, Tokens};

use crate::QueryError;

/// A kind of row, and the table it makes.
pub trait Row: Sized + PartialOrd {
    /// The table's name, and its file's: `NAME.parquet`.
    const TABLE: &'static str;
    /// The columns of some rows.
    fn columns(rows: &[Self]) -> Vec<(&'static str, ArrayRef)>;
}

/// Writes `rows`, sorted, to the table's file in `directory`.
///
/// # Errors
/// If the disk does not take them.
pub fn write<R: Row>(directory: &Path, mut rows: Vec<R>) -> Result<Digest, QueryError> {
    rows.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let batch = RecordBatch::try_from_iter_with_nullable(
        R::columns(&rows).into_iter().map(|(name, column)| (name, column, true)),
    )?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_created_by("retrace".to_owned())
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(write_whole(&directory.join(format!("{}.parquet", R::TABLE)), &bytes)?)
}

fn text<R, S: AsRef<str>>(rows: &[R], of: impl Fn(&R) -> S) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
}

fn optional_text<R>(rows: &[R], of: impl Fn(&R) -> Option<String>) -> ArrayRef {
    Arc::new(StringArray::from_iter(rows.iter().map(of)))
}

fn number<R>(rows: &[R], of: impl Fn(&R) -> u64) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values(rows.iter().map(of)))
}

fn optional_number<R>(rows: &[R], of: impl Fn(&R) -> Option<u64>) -> ArrayRef {
    Arc::new(UInt64Array::from_iter(rows.iter().map(of)))
}

fn float<R>(rows: &[R], of: impl Fn(&R) -> f64) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(rows.iter().map(of)))
}

fn optional_float<R>(rows: &[R], of: impl Fn(&R) -> Option<f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter(rows.iter().map(of)))
}

/// `metrics`: a number about a checkpoint.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub struct Metric {
    /// The release.
    pub release: String,
    /// The run.
    pub run: String,
    /// The checkpoint's step.
    pub step: Step,
    /// Tokens that it had learned from.
    pub tokens: Tokens,
    /// The task.
    pub task: String,
    /// Examples in the prompt.
    pub shots: u64,
    /// What is measured.
    pub metric: String,
    /// Its value.
    pub value: f64,
    /// Its standard error, if it has one.
    pub stderr: Option<f64>,
    /// The file that it is from.
    pub source: String,
}

impl Row for Metric {
    const TABLE: &'static str = "metrics";

    fn columns(rows: &[Self]) -> Vec<(&'static str, ArrayRef)> {
        vec![
            ("release", text(rows, |r| r.release.clone())),
            ("run", text(rows, |r| r.run.clone())),
            ("step", number(rows, |r| r.step.get())),
            ("tokens", number(rows, |r| r.tokens.get())),
            ("task", text(rows, |r| r.task.clone())),
            ("shots", number(rows, |r| r.shots)),
            ("metric", text(rows, |r| r.metric.clone())),
            ("value", float(rows, |r| r.value)),
            ("stderr", optional_float(rows, |r| r.stderr)),
            ("source", text(rows, |r| r.source.clone())),
        ]
    }
}

/// `train_log`: a step of a run.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub struct TrainLog {
    /// The release.
    pub release: String,
    /// The run.
    pub run: String,
    /// The step.
    pub step: Step,
    /// Tokens that were learned from so far.
    pub tokens: Tokens,
    /// The phase that the step belongs to.
    pub phase: String,
    /// The learning rate.
    pub learning_rate: f64,
    /// The mean loss, in nats a token.
    pub loss: f64,
    /// The gradient's norm.
    pub grad_norm: f64,
    /// The file that it is from.
    pub source: String,
}

impl Row for TrainLog {
    const TABLE: &'static str = "train_log";

    fn columns(rows: &[Self]) -> Vec<(&'static str, ArrayRef)> {
        vec![
            ("release", text(rows, |r| r.release.clone())),
            ("run", text(rows, |r| r.run.clone())),
            ("step", number(rows, |r| r.step.get())),
            ("tokens", number(rows, |r| r.tokens.get())),
            ("phase", text(rows, |r| r.phase.clone())),
            ("learning_rate", float(rows, |r| r.learning_rate)),
            ("loss", float(rows, |r| r.loss)),
            ("grad_norm", float(rows, |r| r.grad_norm)),
            ("source", text(rows, |r| r.source.clone())),
        ]
    }
}

/// `samples`: what became of an item.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub struct Sample {
    /// The release.
    pub release: String,
    /// The run.
    pub run: String,
    /// The checkpoint's step.
    pub step: Step,
    /// The task.
    pub task: String,
    /// The item.
    pub item: String,
    /// For a question, whether it was answered right.
    pub correct: Option<bool>,
    /// The log-likelihood, in nats, of the text or of the likeliest choice.
    pub log_likelihood: f64,
}

impl Row for Sample {
    const TABLE: &'static str = "samples";

    fn columns(rows: &[Self]) -> Vec<(&'static str, ArrayRef)> {
        vec![
            ("release", text(rows, |r| r.release.clone())),
            ("run", text(rows, |r| r.run.clone())),
            ("step", number(rows, |r| r.step.get())),
            ("task", text(rows, |r| r.task.clone())),
            ("item", text(rows, |r| r.item.clone())),
            ("correct", Arc::new(BooleanArray::from_iter(rows.iter().map(|r| r.correct)))),
            ("log_likelihood", float(rows, |r| r.log_likelihood)),
        ]
    }
}

/// `checkpoints`: a checkpoint of a run.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub struct Checkpoint {
    /// The release.
    pub release: String,
    /// The run.
    pub run: String,
    /// The step.
    pub step: Step,
    /// Tokens that it had learned from.
    pub tokens: Tokens,
    /// Numbers in its weights.
    pub parameters: u64,
    /// Where it lies.
    pub path: String,
    /// Its state's digest.
    pub state: Digest,
}

impl Row for Checkpoint {
    const TABLE: &'static str = "checkpoints";

    fn columns(rows: &[Self]) -> Vec<(&'static str, ArrayRef)> {
        vec![
            ("release", text(rows, |r| r.release.clone())),
            ("run", text(rows, |r| r.run.clone())),
            ("step", number(rows, |r| r.step.get())),
            ("tokens", number(rows, |r| r.tokens.get())),
            ("parameters", number(rows, |r| r.parameters)),
            ("path", text(rows, |r| r.path.clone())),
            ("state", text(rows, |r| r.state.to_string())),
        ]
    }
}

/// `contamination`: an item of a benchmark and a document that holds it.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub struct Contamination {
    /// The benchmark: the task's name.
    pub task: String,
    /// The item.
    pub item: String,
    /// The document.
    pub document: String,
    /// Its shard.
    pub shard: String,
    /// Its line in the shard.
    pub line: u64,
    /// The fraction of the item's n-grams that the document holds.
    pub overlap: f64,
    /// A run that learned from the document, if one did.
    pub run: Option<String>,
    /// The first step at which it did.
    pub seen_at: Option<u64>,
}

impl Row for Contamination {
    const TABLE: &'static str = "contamination";

    fn columns(rows: &[Self]) -> Vec<(&'static str, ArrayRef)> {
        vec![
            ("task", text(rows, |r| r.task.clone())),
            ("item", text(rows, |r| r.item.clone())),
            ("document", text(rows, |r| r.document.clone())),
            ("shard", text(rows, |r| r.shard.clone())),
            ("line", number(rows, |r| r.line)),
            ("overlap", float(rows, |r| r.overlap)),
            ("run", optional_text(rows, |r| r.run.clone())),
            ("seen_at", optional_number(rows, |r| r.seen_at)),
        ]
    }
}

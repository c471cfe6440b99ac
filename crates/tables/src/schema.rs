//! The rows of each table.
//!
//! The columns after `later` were added after tables had been published. A file has such a column only if a row has a
//! value in it, so the bytes of a table without such values did not change; for a query, the column is null then.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::FieldRef;
use retrace_spec::{Digest, Step, Tokens};

use crate::{Batch, Cell, Row, TablesError};

/// Every known table, without rows; of those of manifests, only `graph` and `manifests`.
///
/// # Errors
/// Never: the columns of a table have valid types.
pub fn empty() -> Result<Vec<(&'static str, RecordBatch)>, TablesError> {
    Ok(all()?.into_iter().map(|(table, _, rows)| (table, rows)).collect())
}

/// The columns that a file of this table lacks because no row has a value in them. None, if the columns in `has` are
/// not those of the table.
///
/// # Errors
/// Never: the columns of a table have valid types.
pub fn left_out(table: &str, has: &[&str]) -> Result<Vec<FieldRef>, TablesError> {
    let known = all()?.into_iter().find(|(name, ..)| *name == table);
    let Some((_, later, rows)) = known else { return Ok(Vec::new()) };
    let (there, absent): (Vec<_>, Vec<_>) =
        rows.schema().fields().iter().cloned().partition(|field| has.contains(&field.name().as_str()));
    let is_table = there.len() == has.len() && absent.iter().all(|field| later.contains(&field.name().as_str()));
    Ok(if is_table { absent } else { Vec::new() })
}

/// A table's name, its later columns, and the table without rows.
type Known = (&'static str, &'static [&'static str], RecordBatch);

fn all() -> Result<Vec<Known>, TablesError> {
    fn of<R: Row>() -> Result<Known, TablesError> {
        Ok((R::TABLE, R::LATER, Batch::<R>::of(&[])?.into_columns()?))
    }
    let all = [
        of::<Metric>()?,
        of::<TrainLog>()?,
        of::<Sample>()?,
        of::<Checkpoint>()?,
        of::<Claim>()?,
        of::<Contamination>()?,
        of::<Exposure>()?,
        of::<Tensor>()?,
        of::<Graph>()?,
        of::<ManifestRoot>()?,
        of::<PublishedRoot>()?,
        of::<Average>()?,
        of::<Source>()?,
    ];
    Ok(all.into())
}

/// Declares the rows of a table once: the struct, and its columns in order.
macro_rules! table {
    ($(#[$about:meta])* $table:literal $row:ident { $($(#[$doc:meta])* $field:ident: $cell:ty,)* }
     $(later { $($(#[$later_doc:meta])* $later:ident: $later_cell:ty,)* })?) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $row {
            $($(#[$doc])* pub $field: $cell,)*
            $($($(#[$later_doc])* pub $later: $later_cell,)*)?
        }

        impl Row for $row {
            const TABLE: &'static str = $table;
            const LATER: &'static [&'static str] = &[$($(stringify!($later)),*)?];

            fn columns(rows: &[Self]) -> Vec<(&'static str, ArrayRef)> {
                vec![
                    $((stringify!($field), <$cell as Cell>::column(rows.iter().map(|row| &row.$field))),)*
                    $($((stringify!($later), <$later_cell as Cell>::column(rows.iter().map(|row| &row.$later))),)*)?
                ]
            }
        }
    };
}

table! {
    /// A metric of a checkpoint.
    "metrics" Metric {
        /// The release.
        release: String,
        /// The run.
        run: String,
        /// The checkpoint's step.
        step: Option<Step>,
        /// Tokens that it was trained on.
        tokens: Option<Tokens>,
        /// The task.
        task: String,
        /// Number of examples in the prompt.
        shots: Option<u64>,
        /// The metric.
        metric: String,
        /// Its value.
        value: f64,
        /// Its standard error, if it has one.
        stderr: Option<f64>,
        /// The source file.
        source: String,
        /// The position in that file: `line 7`, or a JSON pointer (RFC 6901).
        place: String,
    } later {
        /// Whether the task is a group, whose value is of the tasks in it; null if the source does not say it.
        is_group: Option<bool>,
        /// When the value was logged, in seconds since 1970 (UTC).
        time: Option<f64>,
    }
}

table! {
    /// A step of a run.
    "train_log" TrainLog {
        /// The release.
        release: String,
        /// The run.
        run: String,
        /// The step.
        step: Step,
        /// Tokens trained on so far.
        tokens: Option<Tokens>,
        /// The phase of the step.
        phase: Option<String>,
        /// The learning rate.
        learning_rate: Option<f64>,
        /// The mean loss, in nats per token.
        loss: Option<f64>,
        /// The gradient's norm.
        grad_norm: Option<f64>,
        /// The source file.
        source: String,
        /// The position in that file: `line 7`, or a JSON pointer.
        place: String,
    } later {
        /// When the step was logged, in seconds since 1970 (UTC).
        time: Option<f64>,
    }
}

table! {
    /// The result for an item.
    "samples" Sample {
        /// The release.
        release: String,
        /// The run.
        run: String,
        /// The checkpoint's step.
        step: Option<Step>,
        /// The task.
        task: String,
        /// The item.
        item: String,
        /// For a question, whether the answer was correct.
        correct: Option<bool>,
        /// The log-likelihood, in nats, of the text or of the most likely choice.
        log_likelihood: Option<f64>,
        /// The source file.
        source: String,
        /// The position in that file: `line 7`, or a JSON pointer.
        place: String,
    } later {
        /// What was applied to the model's answer before it was scored: a task with two filters has two rows an item.
        /// `none` is the harness's name of no filter; null if the source names none.
        filter: Option<String>,
        /// Number of examples in the prompt; null if the source does not say it.
        shots: Option<u64>,
    }
}

table! {
    /// A checkpoint of a run.
    "checkpoints" Checkpoint {
        /// The release.
        release: String,
        /// The run.
        run: String,
        /// Its name in the release: `step1000`, `stage1-step1000-tokens5B`.
        label: String,
        /// The step.
        step: Option<Step>,
        /// Tokens that it was trained on.
        tokens: Option<Tokens>,
        /// Number of elements of its weights.
        parameters: Option<u64>,
        /// Its location: a path in the release, or a URL.
        path: String,
        /// Its state's digest.
        state: Option<Digest>,
        /// The source file.
        source: String,
        /// The position in that file: `line 7`, or a JSON pointer.
        place: String,
    }
}

table! {
    /// A statement of a release about itself, verbatim.
    "claims" Claim {
        /// The release.
        release: String,
        /// The subject: a run, a model, a checkpoint.
        subject: String,
        /// The property, as a dotted path: `optimizer.learning_rate`.
        name: String,
        /// Its value, verbatim.
        value: String,
        /// Its value, if that is a number.
        number: Option<f64>,
        /// The source file.
        source: String,
        /// The position in that file: `line 7`, or a JSON pointer.
        place: String,
    }
}

table! {
    /// An item of a benchmark and a document that has something of it, and whether that is a leak.
    "contamination" Contamination {
        /// The benchmark.
        benchmark: String,
        /// The part of the benchmark that the item belongs to.
        subset: Option<String>,
        /// The item.
        item: String,
        /// The method that found it.
        method: String,
        /// `leak`, or why not: `near_miss`, `same_template`, `passage_only`, `quotation`, `answer_only`, `choices_only`,
        /// `stock_phrase`, `too_short`.
        verdict: String,
        /// How much of the deciding part was found, from 0 to 1.
        score: f64,
        /// The deciding part: `question`, `choices`, `answer`, `passage` or `solution`.
        part: String,
        /// All parts that were seen, with spaces between.
        parts: String,
        /// How the deciding part stands in the document: `verbatim`, `normalised`, `reordered`, `edited`, `piece`;
        /// empty if the method does not tell.
        form: String,
        /// Whether the right answer stands at the question.
        with_answer: bool,
        /// The document.
        document: String,
        /// Its shard.
        shard: String,
        /// Its line or row in the shard.
        line: u64,
        /// Its language, if the corpus says it.
        language: Option<String>,
        /// Where the corpus has it from, if it says so.
        origin: Option<String>,
        /// The item's texts.
        item_text: String,
        /// What was found of them: field, and the first byte and the end of each stretch.
        item_spans: String,
        /// The document's text around what was found; only for the worst findings of an item.
        excerpt: Option<String>,
        /// The excerpt's first byte in the document.
        excerpt_start: Option<u64>,
        /// What was found in the document: the first byte and the end of each stretch, with spaces between:
        /// `12-40 52-60`.
        document_spans: String,
        /// How many further documents have a leak of this item by this method. They have no rows: of each item only so
        /// many documents are kept.
        left_out: u64,
    }
}

table! {
    /// A step of a run in whose batch a sequence had tokens of a document with a leak.
    "exposures" Exposure {
        /// The run.
        run: String,
        /// The document.
        document: String,
        /// Its shard.
        shard: String,
        /// Its line in the shard.
        line: u64,
        /// The step.
        step: Step,
    }
}

table! {
    /// A tensor of a checkpoint.
    "tensors" Tensor {
        /// The run.
        run: String,
        /// The checkpoint: its path.
        checkpoint: String,
        /// The checkpoint's step.
        step: Option<Step>,
        /// The tensor's name.
        tensor: String,
        /// The dtype in which it is stored.
        dtype: String,
        /// Its shape: `[64, 128]`.
        shape: String,
        /// Number of elements.
        elements: u64,
        /// How many of them are NaN or infinite; the other statistics are of the finite ones.
        non_finite: u64,
        /// The square root of the sum of squares.
        norm: f64,
        /// The mean.
        mean: Option<f64>,
        /// The standard deviation, of the population.
        std: Option<f64>,
        /// The minimum.
        min: Option<f64>,
        /// The maximum.
        max: Option<f64>,
        /// The fourth central moment divided by the squared variance; 3 for a normal distribution.
        kurtosis: Option<f64>,
        /// For a matrix: the squared Frobenius norm divided by the squared largest singular value.
        stable_rank: Option<f64>,
        /// The norm of its difference from the checkpoint before.
        distance_to_previous: Option<f64>,
        /// The cosine with the checkpoint before.
        cosine_to_previous: Option<f64>,
        /// The norm of its difference from the first checkpoint.
        distance_to_first: Option<f64>,
        /// The cosine with the first checkpoint.
        cosine_to_first: Option<f64>,
        /// The digest of its bytes.
        digest: Digest,
    }
}

table! {
    /// A contradiction within a manifest.
    "graph" Graph {
        /// The release.
        release: String,
        /// The rule of the graph that is violated.
        rule: String,
        /// An artifact, or the directory of a series.
        path: String,
        /// The violation, as a sentence.
        finding: String,
        /// The manifest's file.
        source: String,
    }
}

table! {
    /// A manifest.
    "manifests" ManifestRoot {
        /// The release.
        release: String,
        /// Its root.
        root: Digest,
        /// The manifest's file.
        source: String,
    }
}

table! {
    /// A root of a release that an auditor has stored. A file cannot be a table of this name, because a `-` in a
    /// file's name becomes `_`: a release does not decide which of its own manifests is the latest.
    "known-roots" PublishedRoot {
        /// The release.
        release: String,
        /// Its position among the release's roots in the order in which they were published, from 1.
        place: u64,
        /// The root.
        root: Digest,
        /// When and where it was seen.
        seen: Option<String>,
        /// The source file.
        source: String,
    }
}

table! {
    /// A tensor of a model that is claimed to be the average of others.
    "averages" Average {
        /// The release.
        release: String,
        /// The model.
        subject: String,
        /// The tensor.
        tensor: String,
        /// The models of which it is claimed to be the average.
        of: String,
        /// The norm of its difference from the average, computed in binary64; 0 if it has exactly the numbers of an
        /// average that was computed in its own 16-bit type.
        distance: f64,
        /// Its norm.
        norm: f64,
        /// The greatest relative error of rounding once to the type in which it is stored.
        unit: f64,
        /// The source file.
        source: String,
        /// The position in that file.
        place: String,
    }
}

table! {
    /// A file that was imported, or that could not be.
    "sources" Source {
        /// The release.
        release: String,
        /// The file, with its name in the other tables.
        source: String,
        /// The digest of its bytes.
        digest: Option<Digest>,
        /// Its length in bytes.
        size: u64,
        /// The kind as which it was read.
        kind: String,
        /// The number of rows that it gave, in all tables.
        rows: u64,
        /// Why all or part of it could not be read, and where.
        problem: Option<String>,
    }
}

//! The rows of each table.

use arrow::array::{ArrayRef, RecordBatch};
use retrace_spec::{Digest, Step, Tokens};

use crate::{Batch, Cell, Row, TablesError};

/// Every table that there can be, without rows; of those of manifests, only `graph` and `manifests`.
///
/// # Errors
/// Never: the columns of a table fit.
pub fn empty() -> Result<Vec<(&'static str, RecordBatch)>, TablesError> {
    fn of<R: Row>() -> Result<(&'static str, RecordBatch), TablesError> {
        Ok((R::TABLE, Batch::<R>::of(&[])?.into_columns()?))
    }
    let all = [
        of::<Metric>()?,
        of::<TrainLog>()?,
        of::<Sample>()?,
        of::<Checkpoint>()?,
        of::<Claim>()?,
        of::<Contamination>()?,
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
    ($(#[$about:meta])* $table:literal $row:ident { $($(#[$doc:meta])* $field:ident: $cell:ty,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $row {
            $($(#[$doc])* pub $field: $cell,)*
        }

        impl Row for $row {
            const TABLE: &'static str = $table;

            fn columns(rows: &[Self]) -> Vec<(&'static str, ArrayRef)> {
                vec![$((stringify!($field), <$cell as Cell>::column(rows.iter().map(|row| &row.$field)))),*]
            }
        }
    };
}

table! {
    /// A number about a checkpoint.
    "metrics" Metric {
        /// The release.
        release: String,
        /// The run.
        run: String,
        /// The checkpoint's step.
        step: Option<Step>,
        /// Tokens that it had learned from.
        tokens: Option<Tokens>,
        /// The task.
        task: String,
        /// Examples in the prompt.
        shots: Option<u64>,
        /// What is measured.
        metric: String,
        /// Its value.
        value: f64,
        /// Its standard error, if it has one.
        stderr: Option<f64>,
        /// The file that it is from.
        source: String,
        /// Where in that file: `line 7`, or a JSON pointer (RFC 6901).
        place: String,
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
        /// Tokens that were learned from so far.
        tokens: Option<Tokens>,
        /// The phase that the step belongs to.
        phase: Option<String>,
        /// The learning rate.
        learning_rate: Option<f64>,
        /// The mean loss, in nats a token.
        loss: Option<f64>,
        /// The gradient's norm.
        grad_norm: Option<f64>,
        /// The file that it is from.
        source: String,
        /// Where in that file: `line 7`, or a JSON pointer.
        place: String,
    }
}

table! {
    /// What became of an item.
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
        /// For a question, whether it was answered right.
        correct: Option<bool>,
        /// The log-likelihood, in nats, of the text or of the likeliest choice.
        log_likelihood: Option<f64>,
        /// The file that it is from.
        source: String,
        /// Where in that file: `line 7`, or a JSON pointer.
        place: String,
    }
}

table! {
    /// A checkpoint of a run.
    "checkpoints" Checkpoint {
        /// The release.
        release: String,
        /// The run.
        run: String,
        /// What the release calls it: `step1000`, `stage1-step1000-tokens5B`.
        label: String,
        /// The step.
        step: Option<Step>,
        /// Tokens that it had learned from.
        tokens: Option<Tokens>,
        /// Numbers in its weights.
        parameters: Option<u64>,
        /// Where it lies: a path in the release, or a URL.
        path: String,
        /// Its state's digest.
        state: Option<Digest>,
        /// The file that says so.
        source: String,
        /// Where in that file: `line 7`, or a JSON pointer.
        place: String,
    }
}

table! {
    /// What a release says of itself, word for word.
    "claims" Claim {
        /// The release.
        release: String,
        /// What it is said of: a run, a model, a checkpoint.
        subject: String,
        /// What is said, a dotted path: `optimizer.learning_rate`.
        name: String,
        /// Its value, as it stands.
        value: String,
        /// Its value, where that is a number.
        number: Option<f64>,
        /// The file that says so.
        source: String,
        /// Where in that file: `line 7`, or a JSON pointer.
        place: String,
    }
}

table! {
    /// An item of a benchmark and a document that holds it.
    "contamination" Contamination {
        /// The benchmark: the task's name.
        task: String,
        /// The item.
        item: String,
        /// The document.
        document: String,
        /// Its shard.
        shard: String,
        /// Its line in the shard.
        line: u64,
        /// The fraction of the item's n-grams that the document holds.
        overlap: f64,
        /// A run that learned from the document, if one did.
        run: Option<String>,
        /// The first step at which it did.
        seen_at: Option<Step>,
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
        /// What it is stored as.
        dtype: String,
        /// Its shape: `[64, 128]`.
        shape: String,
        /// How many elements it has.
        elements: u64,
        /// How many of them are NaN or infinite; the other numbers are of those that are not.
        non_finite: u64,
        /// The root of the sum of squares.
        norm: f64,
        /// The mean.
        mean: Option<f64>,
        /// The standard deviation, of the population.
        std: Option<f64>,
        /// The least.
        min: Option<f64>,
        /// The greatest.
        max: Option<f64>,
        /// The fourth central moment over the squared variance; 3 for a normal distribution.
        kurtosis: Option<f64>,
        /// Of a matrix: the squared Frobenius norm over the squared largest singular value.
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
    /// Where a manifest contradicts itself.
    "graph" Graph {
        /// The release.
        release: String,
        /// The rule of the graph that is broken.
        rule: String,
        /// An artifact, or the directory of a series.
        path: String,
        /// In a sentence, how.
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
    /// A root that an auditor knows of a release. No file is a table of this name, as
    /// a `-` in a file's name becomes `_`: a release does not say which of its own manifests is the latest.
    "known-roots" PublishedRoot {
        /// The release.
        release: String,
        /// Its place among the release's roots in the order in which they were published, from 1.
        place: u64,
        /// The root.
        root: Digest,
        /// When and where it was seen.
        seen: Option<String>,
        /// The file that says so.
        source: String,
    }
}

table! {
    /// A tensor of a model that is said to be the average of others.
    "averages" Average {
        /// The release.
        release: String,
        /// The model.
        subject: String,
        /// The tensor.
        tensor: String,
        /// What it is said to be the average of.
        of: String,
        /// The norm of its difference from the average, computed in binary64.
        distance: f64,
        /// Its norm.
        norm: f64,
        /// The greatest relative error of rounding once to the type that it is stored as.
        unit: f64,
        /// The file that it is from.
        source: String,
        /// Where in that file.
        place: String,
    }
}

table! {
    /// A file that was imported, or that could not be.
    "sources" Source {
        /// The release.
        release: String,
        /// The file, as the other tables name it.
        source: String,
        /// The digest of its bytes.
        digest: Option<Digest>,
        /// How many bytes it has.
        size: u64,
        /// What it was read as.
        kind: String,
        /// How many rows it gave, of all tables.
        rows: u64,
        /// Why it, or some of it, could not be read, and where.
        problem: Option<String>,
    }
}

//! What can go wrong with a query.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use retrace_files::FileError;
use retrace_manifest::Unknown;
use retrace_spec::{Digest, GaveUp};
use retrace_tables::TablesError;
use thiserror::Error;

/// Why a query has no answer.
#[derive(Debug, Error)]
pub enum QueryError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A manifest is not one.
    #[error(transparent)]
    Spec(#[from] retrace_spec::SpecError),
    /// A directory has no tables.
    #[error("{} has no tables: neither manifest.yaml nor *.parquet in it or its tables/", path.display())]
    NoTables {
        /// The directory.
        path: PathBuf,
    },
    /// A file's name does not say what it is.
    #[error("{name} is no table: its name ends in none of .parquet, .csv, .tsv, .jsonl, .ndjson")]
    Form {
        /// The file or URL.
        name: String,
    },
    /// A file is not what its name says.
    #[error("{place} is not a {form} table: {what}")]
    Table {
        /// The file or URL.
        place: String,
        /// What its name says.
        form: &'static str,
        /// Why it is not.
        what: String,
    },
    /// What a part of a release holds is not known.
    #[error("{} has a part of which it is not known what it holds: {}: {}", manifest.display(), part.at, part.why)]
    UnknownPart {
        /// The manifest.
        manifest: PathBuf,
        /// The part.
        part: Unknown,
    },
    /// A table that was sealed is gone.
    #[error("{} is not there, but {} seals it", path.display(), manifest.display())]
    MissingTable {
        /// The table's file.
        path: PathBuf,
        /// The manifest.
        manifest: PathBuf,
    },
    /// A file is not the one that was sealed.
    #[error("{} is not as it was sealed: {} says {sealed}, its bytes are {found}", path.display(), manifest.display())]
    NotAsSealed {
        /// The file.
        path: PathBuf,
        /// The manifest.
        manifest: PathBuf,
        /// What the manifest says.
        sealed: Digest,
        /// What it is.
        found: Digest,
    },
    /// A table's file is damaged.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// A text that is not the user's own names a file or URL.
    #[error("{place} is no table that was opened, and this SQL may read no other: it came in a file")]
    Reach {
        /// The path or URL.
        place: String,
    },
    /// A URL has a scheme that is not read.
    #[error("{url} is not read: only s3://, gs:// and https:// are")]
    Scheme {
        /// The URL.
        url: String,
    },
    /// It took too long.
    #[error("there is no answer after {} s", after.as_secs_f64())]
    TooLong {
        /// When it was given up.
        after: Duration,
    },
    /// A part of it asks for more memory than there is for it.
    #[error("the query takes too much memory: {what}")]
    Exhausted {
        /// What does.
        what: String,
    },
    /// It took too much memory.
    #[error("the query takes more than {} MiB of memory{}", most >> 20, if what.is_empty() { String::new() } else { format!(": {what}") })]
    TooLarge {
        /// Bytes that it may take.
        most: usize,
        /// What took them, if that is known.
        what: String,
    },
    /// A library gave up in the middle of its work.
    #[error("a file that was asked seems to be damaged, as its reader gave up: {}", .0.what)]
    Damaged(#[from] GaveUp),
    /// What is at a URL cannot be had.
    #[error("cannot read {url}: {what}")]
    Unreachable {
        /// The file or URL.
        url: String,
        /// Why not.
        what: String,
    },
    /// Two tables have one name.
    #[error("{} and {} would both be the table {table}", files[0], files[1])]
    Clash {
        /// The name.
        table: String,
        /// Where both are.
        files: [String; 2],
    },
    /// Files of one table disagree on what a column holds.
    #[error("column {column} is {} in {} and {} in {}", types[0], files[0], types[1], files[1])]
    Columns {
        /// The column.
        column: String,
        /// The files.
        files: [String; 2],
        /// What it holds in each.
        types: [String; 2],
    },
    /// The query is not one, or names what is not there.
    #[error("{message}")]
    Sql {
        /// What is wrong.
        message: String,
        /// What may help: the nearest names, or what there is.
        help: String,
        /// The query.
        sql: String,
        /// The bytes of it that are wrong, if that is known.
        place: Option<Range<usize>>,
    },
    /// A named query is not written as it should be.
    #[error("{origin}, line {line}: {what}")]
    Header {
        /// Its file.
        origin: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// No query has such a name.
    #[error("there is no query @{name}")]
    NoSuchQuery {
        /// The name.
        name: String,
        /// What may help.
        help: String,
    },
    /// A parameter is unknown, missing or of the wrong kind.
    #[error("query @{query}: {what}")]
    Parameter {
        /// The query's name.
        query: String,
        /// What is wrong.
        what: String,
        /// The parameters that it has.
        help: String,
    },
    /// The answer has no such column.
    #[error("the answer has no column {name} of {kind}")]
    Column {
        /// The column's name.
        name: String,
        /// What it should hold.
        kind: &'static str,
    },
    /// DataFusion failed.
    #[error("DataFusion: {0}")]
    DataFusion(#[from] DataFusionError),
    /// Arrow failed.
    #[error("Arrow: {0}")]
    Arrow(#[from] ArrowError),
    /// Parquet failed.
    #[error("Parquet: {0}")]
    Parquet(#[from] ParquetError),
    /// The runtime could not be started.
    #[error("the query's runtime could not be started: {0}")]
    Runtime(std::io::Error),
}

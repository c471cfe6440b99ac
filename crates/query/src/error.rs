//! Errors of queries.

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

/// Why a query failed.
#[derive(Debug, Error)]
pub enum QueryError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A manifest is not valid.
    #[error(transparent)]
    Spec(#[from] retrace_spec::SpecError),
    /// A directory has no tables.
    #[error("{} has no tables: neither manifest.yaml nor *.parquet in it or its tables/", path.display())]
    NoTables {
        /// The directory.
        path: PathBuf,
    },
    /// The format is not known from the file's name.
    #[error("{name} is not a table: its name must end in .parquet, .csv, .tsv, .jsonl or .ndjson")]
    Form {
        /// The file or URL.
        name: String,
    },
    /// A file does not have the format that its name states.
    #[error("{place} is not a {form} table: {what}")]
    Table {
        /// The file or URL.
        place: String,
        /// The format that its name states.
        form: &'static str,
        /// Why it is not that format.
        what: String,
    },
    /// The content of a part of a release is not known.
    #[error("{}: the part {} cannot be checked: {}", manifest.display(), part.at, part.why)]
    UnknownPart {
        /// The manifest.
        manifest: PathBuf,
        /// The part.
        part: Unknown,
    },
    /// A sealed table does not exist any more.
    #[error("{} does not exist, but {} lists it", path.display(), manifest.display())]
    MissingTable {
        /// The table's file.
        path: PathBuf,
        /// The manifest.
        manifest: PathBuf,
    },
    /// A file differs from the sealed one.
    #[error("{} differs from the sealed file: {} says {sealed}, but its digest is {found}", path.display(), manifest.display())]
    NotAsSealed {
        /// The file.
        path: PathBuf,
        /// The manifest.
        manifest: PathBuf,
        /// Its digest in the manifest.
        sealed: Digest,
        /// Its digest now.
        found: Digest,
    },
    /// A table's file is damaged.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// SQL from a file names a file or URL that was not opened.
    #[error("{place} is not an opened table, and SQL from a file may read no other")]
    Reach {
        /// The path or URL.
        place: String,
    },
    /// A URL has an unsupported scheme.
    #[error("{url} cannot be read: only s3://, gs:// and https:// URLs are supported")]
    Scheme {
        /// The URL.
        url: String,
    },
    /// The query took too long.
    #[error("the query was stopped after {} s", after.as_secs_f64())]
    TooLong {
        /// The time after which it was stopped.
        after: Duration,
    },
    /// A part of the query needs more memory than is available.
    #[error("the query needs too much memory: {what}")]
    Exhausted {
        /// Which part.
        what: String,
    },
    /// The query took too much memory.
    #[error("the query needs more than {} MiB of memory{}", most >> 20, if what.is_empty() { String::new() } else { format!(": {what}") })]
    TooLarge {
        /// The limit in bytes.
        most: usize,
        /// What used the memory, if that is known.
        what: String,
    },
    /// A library panicked.
    #[error("a file of the query may be damaged; its reader failed: {}", .0.what)]
    Damaged(#[from] GaveUp),
    /// A URL cannot be read.
    #[error("cannot read {url}: {what}")]
    Unreachable {
        /// The file or URL.
        url: String,
        /// The reason.
        what: String,
    },
    /// Two tables have the same name.
    #[error("{} and {} have the same table name {table}", files[0], files[1])]
    Clash {
        /// The name.
        table: String,
        /// The two files.
        files: [String; 2],
    },
    /// Files of one table have different types for a column.
    #[error("column {column} is {} in {} and {} in {}", types[0], files[0], types[1], files[1])]
    Columns {
        /// The column.
        column: String,
        /// The files.
        files: [String; 2],
        /// The type in each.
        types: [String; 2],
    },
    /// The SQL is invalid, or names something that does not exist.
    #[error("{message}")]
    Sql {
        /// What is wrong.
        message: String,
        /// Advice: the nearest names, or all names.
        help: String,
        /// The query.
        sql: String,
        /// The range of its bytes that is wrong, if known.
        place: Option<Range<usize>>,
    },
    /// The header of a named query is malformed.
    #[error("{origin}, line {line}: {what}")]
    Header {
        /// Its file.
        origin: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// There is no named query with this name.
    #[error("there is no named query @{name}")]
    NoSuchQuery {
        /// The name.
        name: String,
        /// Advice.
        help: String,
    },
    /// A parameter is unknown, missing or of the wrong type.
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
        /// The expected type.
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
    #[error("the runtime for queries cannot be started: {0}")]
    Runtime(std::io::Error),
}

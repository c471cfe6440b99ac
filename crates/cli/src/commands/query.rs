//! `retrace query`

use std::fs;
use std::path::PathBuf;

use retrace_query::{Format, Session};

use super::Exit;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Ask the tables of one or more releases, in SQL
///
/// The tables are the Parquet files of the release and its `tables/`, each under its own name, and
/// the manifest's `artifacts` and `steps`. Rows of the same table in several releases come one after
/// another. A query can only read, and has one answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace query \"select step, task, value from metrics order by step\" release
  retrace query \"select kind, count(*), sum(size) from artifacts group by kind\" release --format csv
  retrace query \"select * from train_log\" a b --format parquet > both.parquet
  retrace query \"show tables\" release")]
pub(crate) struct Query {
    /// The query
    sql: String,
    /// Releases, or directories of Parquet files
    #[arg(default_value = ".")]
    dirs: Vec<PathBuf>,
    /// How the answer is written
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Written,
}

/// How an answer can be written.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Written {
    /// Columns for people
    Table,
    /// Comma-separated values
    Csv,
    /// An array of objects
    Json,
    /// A Parquet file
    Parquet,
}

impl Query {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        for dir in &self.dirs {
            fs::metadata(dir).map_err(retrace_files::FileError::io(dir, "open"))?;
        }
        let session = Session::open(&self.dirs)?;
        let words = self.sql.trim().trim_end_matches(';').to_lowercase();
        if words.split_whitespace().eq(["show", "tables"]) {
            terminal.result("tables/1", &serde_json::json!({"tables": session.tables()}), |out| {
                session
                    .tables()
                    .iter()
                    .try_for_each(|(table, columns)| writeln!(out, "{table}: {}", columns.join(", ")))
            })?;
            return Ok(Exit::Holds);
        }
        if matches!(self.format, Written::Parquet) && terminal.shows_results() {
            return Err(Failure::usage("Parquet is not for a terminal to show", "send it to a file: > answer.parquet"));
        }
        let answer = session.run(&self.sql)?;
        let format = match self.format {
            Written::Table => Format::Table,
            Written::Csv => Format::Csv,
            Written::Json => Format::Json,
            Written::Parquet => Format::Parquet,
        };
        let bytes = answer.write(format)?;
        terminal.result("query/1", &serde_json::json!({"rows": answer.json()?}), |out| out.write_all(&bytes))?;
        terminal.say(Tone::Faint, &count(answer.rows(), "row"), "");
        Ok(Exit::Holds)
    }
}

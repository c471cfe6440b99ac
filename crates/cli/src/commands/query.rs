//! `retrace query`

mod asking;
mod completion;
mod shell;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use retrace_files::{FileError, RegularFile, write_whole};
use retrace_query::{Answer, Format, Held, NamedQuery, Options, QueryError, Session, UnknownPart};
use retrace_report::plot;
use retrace_spec::foreign::{excerpt, shown_json};
use serde::Serialize;

use super::Exit;
use super::work::read_token;
use crate::cluster::Cluster;
use crate::environment;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

pub(crate) use asking::Asking;

/// Query the tables of releases with SQL
///
/// Inputs are release directories, manifests, and Parquet, CSV, TSV and JSON lines files, given by path
/// or by s3://, gs:// or https:// URL. A release has a table for each Parquet file in its directory and
/// in `tables/`, and the tables `artifacts` and `steps` of its manifest. Any other file is a table named
/// after the file; SQL can name a file directly: from 'runs/val.csv'. Tables of the same name are
/// combined into one. A query can only read, and always gives the same answer.
///
/// Before a file of a release is read, it is checked against the manifest. Tables outside a manifest
/// that retrace wrote are checked against their own checksums. A mismatch is an error; files that no
/// manifest covers are listed. SQL that you type can read any file. A named query can read only the
/// opened tables, unless you pass --trust-queries.
///
/// An argument that begins with @ or contains white space is the query; every other argument is a path.
/// With --sql, all arguments are paths. Without a query, `query` opens a shell, or reads the query from
/// standard input if that is not a terminal.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "retrace query [OPTIONS] [SQL | @NAME] [PATH | URL]...",
    after_help = "\
Examples:
  retrace query \"select step, task, value from metrics order by step\" release
  retrace query \"select kind, count(*), sum(size) from artifacts group by kind\" release --format csv
  retrace query \"select * from train_log\" a b --format parquet > both.parquet
  retrace query \"select max(loss) from 'runs/val.csv'\"
  retrace query --list
  retrace query @learning-curve --set task=lambada release --plot curve.png
  retrace query @emergence release --cluster 10.0.0.1:50050 --token token
  retrace query release                    a shell; .help lists its commands
  retrace query \"show tables\" release
  retrace query @theirs release --queries release/queries --timeout 10 --memory 1G

--plot chooses the chart by the columns of the answer. The first column named tokens or step is the
x axis (tokens on a logarithmic scale if they span a factor of ten). Text columns and the column
shots name the lines. The first other numeric column is the y axis. Without such an x axis, the
chart has a bar for each row if the rows have distinct names; otherwise the first two numeric
columns are points. A column named stderr gives error bars."
)]
pub(crate) struct Query {
    /// The query, and the inputs [default: the current directory]
    #[arg(value_name = "SQL|@NAME|PATH|URL")]
    given: Vec<PathBuf>,
    /// The query; all other arguments are paths
    #[arg(long, short = 'c', value_name = "SQL")]
    sql: Option<String>,
    /// Set a parameter of a named query
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    set: Vec<(String, String)>,
    /// Read your own named queries from DIR too; they take precedence over retrace's
    #[arg(long, value_name = "DIR")]
    queries: Vec<PathBuf>,
    /// List the named queries with their questions
    #[arg(long)]
    list: bool,
    /// The format of the answer [default: table]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Written>,
    /// Run the query on the cluster whose scheduler listens at ADDRESS; paths must be the same on all its
    /// machines. The scheduler must first prove that it has the token, which is never sent (see
    /// `retrace help cluster`)
    #[arg(long, value_name = "ADDRESS", requires = "token")]
    cluster: Option<String>,
    /// The file with the cluster's token
    #[arg(long, value_name = "FILE", requires = "cluster")]
    token: Option<PathBuf>,
    /// Draw the answer as a chart into FILE, an SVG or PNG image
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    asking: Asking,
}

/// How an answer can be written.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Written {
    /// Aligned columns
    Table,
    /// Comma-separated values
    Csv,
    /// An array of objects
    Json,
    /// A Parquet file
    Parquet,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("it is not of the form NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The document of an answer with `--json`.
#[derive(Serialize)]
struct Rows<'a> {
    rows: &'a Answer,
    /// What the files that were read were checked against.
    held: Vec<Held>,
    /// Parts of releases that are missing in the answer.
    unknown: Vec<UnknownPart>,
}

/// Opened tables, and queries on them.
struct Library {
    session: Session,
    queries: Vec<NamedQuery>,
    asking: Asking,
    /// Files for which a warning was already printed that no manifest covers them.
    said: RefCell<BTreeSet<String>>,
}

impl Library {
    /// The answer to SQL, or to `@NAME` with values for its parameters.
    fn answer(&self, asked: &str, values: &BTreeMap<String, String>) -> Result<Answer, Failure> {
        match asked.trim().strip_prefix('@') {
            Some(name) => Ok(self.session.ask(NamedQuery::find(&self.queries, name.trim_end_matches(';'))?, values)?),
            None if values.is_empty() => Ok(self.session.run(asked)?),
            None => {
                Err(Failure::usage("SQL has no parameters; only named queries do", "write the values into the SQL"))
            }
        }
    }

    /// Prints which of the files that were read no manifest covers.
    fn tell(&self, terminal: &Terminal) {
        self.asking.tell(&self.session, &mut self.said.borrow_mut(), terminal);
    }

    /// The query, for messages.
    fn title(&self, asked: &str) -> String {
        let name = asked.trim().strip_prefix('@').map(|name| name.trim_end_matches(';'));
        let named = name.and_then(|name| self.queries.iter().find(|query| query.name == name));
        named.map_or_else(|| asked.trim().to_owned(), |query| query.question.clone())
    }
}

impl Query {
    /// Whether the query uses a cluster.
    pub(crate) const fn asks_a_cluster(&self) -> bool {
        self.cluster.is_some()
    }

    pub(crate) fn run(&self, parts: Option<&dyn Cluster>, terminal: &Terminal) -> Result<Exit, Failure> {
        let queries = self.named()?;
        if self.list {
            return list(&queries, terminal);
        }
        let (asked, paths) = self.arguments()?;
        let (session, asking) = (self.open(&paths, parts, terminal)?, self.asking.clone());
        let library = Library { session, queries, asking, said: RefCell::default() };
        let asked = match asked {
            Some(asked) => asked,
            None if io::stdin().is_terminal() && terminal.shows_results() && self.plot.is_none() => {
                return shell::open(&library, terminal);
            }
            None => read_input()?,
        };
        let values: BTreeMap<String, String> = self.set.iter().cloned().collect();
        if asked.trim().trim_end_matches(';').to_lowercase().split_whitespace().eq(["show", "tables"]) {
            return show_tables(&library, terminal);
        }
        if matches!(self.format, Some(Written::Parquet)) && terminal.shows_results() {
            return Err(Failure::usage("a terminal cannot show Parquet", "redirect it to a file: > answer.parquet"));
        }
        let picture = self.plot.as_deref().map(Picture::of).transpose()?;
        let answer = library.answer(&asked, &values).map_err(|failure| path_with_spaces(failure, &asked))?;
        library.tell(terminal);
        let unknown = library.session.unknown();
        let exit = if unknown.is_empty() { Exit::Holds } else { Exit::Failed };
        let rows = Rows { rows: &answer, held: library.session.held(), unknown };
        if let Some(picture) = picture {
            picture.draw(&answer, &library.title(&asked), terminal)?;
            if self.format.is_none() {
                terminal.result("query/1", &rows, |_| Ok(()))?;
                return Ok(exit);
            }
        }
        self.write(&rows, terminal)?;
        Ok(exit)
    }

    /// The session, local or in a cluster.
    fn open(&self, paths: &[PathBuf], parts: Option<&dyn Cluster>, terminal: &Terminal) -> Result<Session, Failure> {
        let options = self.asking.options();
        let (Some(address), Some(token), Some(parts)) = (&self.cluster, &self.token, parts) else {
            return open(paths, options);
        };
        let paths = if paths.is_empty() { &[PathBuf::from(".")] } else { paths };
        Ok(parts.session(address, &read_token(token, terminal)?, paths, options)?)
    }

    /// The named queries: the user's own, then the included ones with other names.
    fn named(&self) -> Result<Vec<NamedQuery>, Failure> {
        let mut queries: Vec<NamedQuery> = Vec::new();
        for directory in &self.queries {
            queries.extend(NamedQuery::read(directory)?);
        }
        for query in NamedQuery::embedded()? {
            if !queries.iter().any(|own| own.name == query.name) {
                queries.push(query);
            }
        }
        queries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(queries)
    }

    /// Which argument is the query, and which are paths.
    fn arguments(&self) -> Result<(Option<String>, Vec<PathBuf>), Failure> {
        let mut asked = self.sql.clone();
        let mut paths = Vec::new();
        for argument in &self.given {
            // SQL is UTF-8, and a path need not be.
            let text = argument.to_str().filter(|_| self.sql.is_none());
            let query = text.filter(|text| text.starts_with('@') || text.contains(char::is_whitespace));
            let Some(query) = query else {
                paths.push(argument.clone());
                continue;
            };
            if let Some(other) = asked.replace(query.to_owned()) {
                let what = format!("there are two queries: {other:?} and {:?}", asked.unwrap_or_default());
                return Err(Failure::usage(
                    what,
                    "give one query; if one of them is a path with white space, give the query with --sql",
                ));
            }
        }
        Ok((asked, paths))
    }

    fn write(&self, rows: &Rows<'_>, terminal: &Terminal) -> Result<(), Failure> {
        let format = match self.format.unwrap_or(Written::Table) {
            Written::Table => Format::Table,
            Written::Csv => Format::Csv,
            Written::Json => Format::Json,
            Written::Parquet => Format::Parquet,
        };
        let answer = rows.rows;
        if let (Format::Table, Some(width)) = (format, terminal.width()) {
            return show(answer, Some(width), None, terminal);
        }
        let bytes = answer.write(format)?;
        match format {
            Format::Table => terminal.result("query/1", rows, |out| out.write_all(&bytes))?,
            Format::Json => {
                terminal.data("query/1", rows, shown_json(&String::from_utf8_lossy(&bytes)).as_bytes())?;
            }
            Format::Csv | Format::Parquet => terminal.data("query/1", rows, &bytes)?,
        }
        terminal.say(Tone::Faint, &count(answer.rows(), "row"), "");
        Ok(())
    }
}

/// Shows an answer on a terminal, with this maximum width and number of rows, and prints what was left out.
fn show(answer: &Answer, width: Option<usize>, rows: Option<usize>, terminal: &Terminal) -> Result<(), Failure> {
    let fitted = answer.table(width, rows)?;
    terminal.result("query/1", &serde_json::Value::Null, |out| out.write_all(fitted.text.as_bytes()))?;
    let mut said = count(answer.rows(), "row");
    if fitted.more_rows > 0 {
        said += &format!(", {} of them not shown", fitted.more_rows);
    }
    if fitted.cut > 0 {
        said += &format!("; {} cut to fit, marked …", count(fitted.cut, "cell"));
    }
    if !fitted.more_columns.is_empty() {
        said += &format!("; no room for {}", fitted.more_columns.join(", "));
    }
    terminal.say(Tone::Faint, &said, "");
    Ok(())
}

/// Opens the inputs; if none is named, the current directory if it has tables.
fn open(paths: &[PathBuf], options: Options) -> Result<Session, Failure> {
    let opened = |paths: &[PathBuf]| Session::open_with(paths, options.clone());
    if !paths.is_empty() {
        return Ok(opened(paths)?);
    }
    match opened(&[PathBuf::from(".")]) {
        Err(QueryError::NoTables { .. }) => Ok(opened(&[])?),
        opened => Ok(opened?),
    }
}

/// No longer query is read.
const LONGEST: u64 = 1 << 20;

fn read_input() -> Result<String, Failure> {
    let mut sql = String::new();
    let read = io::stdin().lock().take(LONGEST + 1).read_to_string(&mut sql);
    if read.map_err(FileError::io(Path::new("standard input"), "read"))? as u64 > LONGEST {
        let what = format!("the query on standard input has more than {LONGEST} bytes");
        return Err(Failure::usage(what, "put the data into a file, which SQL can name, and give a shorter query"));
    }
    if sql.trim().is_empty() {
        return Err(Failure::usage("no query given", "give it as an argument, or on standard input"));
    }
    Ok(sql)
}

/// Prints a note that a path with white space in it was interpreted as a query.
fn path_with_spaces(failure: Failure, asked: &str) -> Failure {
    if Path::new(asked).exists() {
        let help = format!(
            "an argument with white space is taken as the query; to query the file {asked:?}, give the query with --sql"
        );
        return Failure::Helped { failure: Box::new(failure), help };
    }
    failure
}

fn list(queries: &[NamedQuery], terminal: &Terminal) -> Result<Exit, Failure> {
    let parameter = |of: &retrace_query::Parameter| {
        let default = of.default.as_ref().map(ToString::to_string);
        serde_json::json!({"name": of.name, "default": default, "about": of.about})
    };
    let document = queries.iter().map(|query| {
        let parameters: Vec<serde_json::Value> = query.parameters.iter().map(parameter).collect();
        serde_json::json!({"name": query.name, "question": query.question, "parameters": parameters})
    });
    let document = serde_json::json!({"queries": document.collect::<Vec<_>>()});
    terminal.result("queries/1", &document, |out| {
        queries.iter().try_for_each(|query| {
            writeln!(out, "@{}: {}", query.name, query.question)?;
            query.parameters.iter().try_for_each(|parameter| match &parameter.default {
                None => writeln!(out, "    {}: {}", parameter.name, parameter.about),
                Some(default) => writeln!(out, "    {} = {default}: {}", parameter.name, parameter.about),
            })
        })
    })?;
    Ok(Exit::Holds)
}

fn show_tables(library: &Library, terminal: &Terminal) -> Result<Exit, Failure> {
    let tables = library.session.tables();
    terminal.result("tables/1", &serde_json::json!({"tables": tables}), |out| {
        tables.iter().try_for_each(|(table, columns)| writeln!(out, "{table}: {}", columns.join(", ")))
    })?;
    Ok(Exit::Holds)
}

/// The chart of an answer.
struct Picture<'a> {
    path: &'a Path,
    png: bool,
}

impl<'a> Picture<'a> {
    fn of(path: &'a Path) -> Result<Self, Failure> {
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("svg") => Ok(Self { path, png: false }),
            Some("png") => Ok(Self { path, png: true }),
            _ => {
                let what = format!("{} is not the name of an SVG or PNG image", path.display());
                Err(Failure::usage(what, "give a file name that ends in .svg or .png"))
            }
        }
    }

    fn draw(&self, answer: &Answer, title: &str, terminal: &Terminal) -> Result<(), Failure> {
        let drawn = plot::of_answer(answer, title)?;
        let (bytes, missing) = if self.png {
            let fonts = environment::font_files();
            let font = |at: usize| Some(read_font(fonts.get(at)?));
            let png = plot::png(&drawn.svg, &font)?;
            (png.bytes, png.missing)
        } else {
            (drawn.svg.clone().into_bytes(), String::new())
        };
        write_whole(self.path, &bytes)?;
        terminal.say(Tone::Good, "drew", format!("{} into {}", count(answer.rows(), "row"), self.path.display()));
        if !missing.is_empty() {
            let what = excerpt(&missing);
            let note = format!(
                "no font on this machine has {what}, so the image lacks them; an SVG uses the fonts of its viewer"
            );
            terminal.say(Tone::Faint, "note:", note);
        }
        for note in drawn.notes {
            terminal.say(Tone::Faint, "note:", note);
        }
        Ok(())
    }
}

/// The bytes of a font; none if it cannot be read, so that the next is tried.
fn read_font(path: &Path) -> Vec<u8> {
    const LARGEST: u64 = 256 << 20;
    let read = || {
        let file = RegularFile::open(path).ok().filter(|file| file.size() <= LARGEST)?;
        let mut bytes = vec![0; file.size() as usize];
        file.read_at(&mut bytes, 0).ok()?;
        Some(bytes)
    };
    read().unwrap_or_default()
}

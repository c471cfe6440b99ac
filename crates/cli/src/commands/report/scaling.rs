//! `retrace report scaling`

mod prediction;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use retrace_analysis::scaling::{Report, Request};
use retrace_files::{FileError, RegularFile};
use retrace_query::{Answer, Session};
use retrace_report::file_name;
use retrace_spec::recipe::scaling::{
    Base, Bootstrap, Budget, ColumnNames, FitOptions, Grid, LawName, LossUnit, ParamsUnit, Reduction, Resampling,
    Tolerance, check_tests,
};
use retrace_spec::schema_of;
use retrace_steps::{PointColumns, ScalingRequest, all_rows, open_points};
use serde::Serialize;

use super::super::Exit;
use super::super::query::Asking;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Fit scaling laws to points, with intervals, tests on held-out points, and predictions
///
/// A point is a model after training on a number of tokens. Columns whose names say quantity and unit are
/// taken as they are: `params_nonembedding` or `params_total`, `tokens`, `loss_nats_per_token` or
/// `loss_bits_per_byte`, and if they are there `flops`, `run`, `seed`, `unique_tokens` and `accuracy`. Name
/// other columns with --columns, and state the units; they are never guessed. Several points of one `run` are
/// points along that run.
///
/// The laws: kaplan; hoffmann-1, hoffmann-2 and hoffmann-3 (the three approaches of Hoffmann et al. 2022); neo
/// (MAP-Neo); data-constrained (repeated tokens); two-step (loss on a task, then accuracy);
/// variable-projection (hoffmann-3 by least squares on the loss); bounded (between two losses). Each is fitted
/// by the procedure of its paper.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace report scaling --points runs.csv --law hoffmann-3 -o report
  retrace report scaling --points runs.csv --law hoffmann-1,hoffmann-2,hoffmann-3 \\
      --columns params=N,tokens=D,loss=L --params-unit non-embedding --loss-unit nats/token
  retrace report scaling --points \"select run, params as params_total, tokens, loss as loss_nats_per_token
      from train_log where step > 100\" --tables release
  retrace report scaling --points runs.csv --predict compute=1e22 -o before
  retrace report scaling --points later.csv --check before/prediction.json

A prediction says which loss a run will have, with its interval, before the run. `seal` and `sign` the
directory that has it, and nobody can change it unseen. --check compares it with every later run of the
predicted model: parameters and tokens within 2 %, or the compute within 2 % and parameters and tokens within
25 % of the predicted ones. Of one run the nearest point is compared. Points that the laws were fitted to are
left out.

Exit codes: 0 every law was fitted (with --check: each prediction was compared, and each loss is in its
interval), 1 a law was not fitted or its search did not converge (with --check: a loss is outside, or a
prediction was not compared), 2 an error.")]
pub(crate) struct Scaling {
    /// The points: a Parquet, CSV, TSV or JSON lines file, the scaling.json of a report, or SQL
    #[arg(long, value_name = "FILE|SQL")]
    points: PathBuf,
    /// The releases and files that the SQL reads
    #[arg(long, value_name = "PATH", num_args = 1..)]
    tables: Vec<PathBuf>,
    /// The laws
    #[arg(long = "law", value_name = "NAME", value_delimiter = ',', num_args = 1.., default_value = "hoffmann-3")]
    laws: Vec<LawName>,
    /// The columns of the points by quantity: params=N,tokens=D,loss=L
    #[arg(long, value_name = "QUANTITY=COLUMN,…")]
    columns: Option<ColumnNames>,
    /// What the parameters count
    #[arg(long, value_name = "UNIT", value_parser = one_of([ParamsUnit::Total, ParamsUnit::NonEmbedding], ParamsUnit::name))]
    params_unit: Option<ParamsUnit>,
    /// The unit of the loss
    #[arg(long, value_name = "UNIT", value_parser = one_of([LossUnit::NatsPerToken, LossUnit::BitsPerByte], LossUnit::name))]
    loss_unit: Option<LossUnit>,
    /// What the loss is measured on, in a few words
    #[arg(long, value_name = "WORDS")]
    loss: Option<String>,
    /// Use only the last point of each run
    #[arg(long)]
    finals: bool,
    /// Predict the loss for a budget: compute=C, or params=N,tokens=D. With -o, writes `prediction.json`
    #[arg(long, value_name = "BUDGET")]
    predict: Vec<Budget>,
    /// Compare a prediction with the points, instead of a fit
    #[arg(long, value_name = "FILE", conflicts_with_all = ["predict", "output", "format"])]
    check: Option<PathBuf>,
    /// Write the page, its Markdown, its data and `scaling.json` into DIR, which must not exist
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The format of the report on standard output: text, md, or json, which is as --json
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text, hide_possible_values = true)]
    format: Format,
    #[command(flatten)]
    fit: Fitting,
    #[command(flatten)]
    intervals: Intervals,
    #[command(flatten)]
    asking: Asking,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Md,
    Json,
}

/// How laws are fitted.
#[derive(Debug, clap::Args)]
struct Fitting {
    /// Huber's δ on the logarithm of the loss; inf for least squares
    #[arg(long, value_name = "DELTA", default_value_t = 1e-3)]
    delta: f64,
    /// Average the Huber losses instead of summing them, as some implementations do
    #[arg(long)]
    mean: bool,
    /// End a search when an update lowers the objective by less than this part of it, or with absolute=VALUE
    /// by less than VALUE
    #[arg(long, value_name = "PART", default_value = "1e-11")]
    tolerance: Tolerance,
    /// End a search after N updates
    #[arg(long, value_name = "N", default_value_t = 2000)]
    updates: usize,
    /// Start from all combinations of these values instead of the paper's; give one --grid for each parameter
    #[arg(long, value_name = "NAME=VALUE,…", value_parser = values)]
    grid: Vec<(String, Vec<f64>)>,
    /// data-constrained: the law without repetition, if it is known: E=…,A=…,B=…,alpha=…,beta=…
    #[arg(long, value_name = "NAME=VALUE,…")]
    base: Option<Base>,
    /// hoffmann-2: points whose computes are within this factor belong to one parabola
    #[arg(long, value_name = "FACTOR", default_value_t = 1.05)]
    isoflop: f64,
    /// hoffmann-1: look for the best run at N numbers of compute
    #[arg(long, value_name = "N", default_value_t = 1500)]
    envelope: usize,
    /// two-step: leave out this part of each run at its beginning when the sigmoid is fitted
    #[arg(long, value_name = "PART", default_value_t = 0.1)]
    skip: f64,
    /// two-step: average loss and accuracy over N points of a run
    #[arg(long, value_name = "N", default_value_t = 5)]
    window: usize,
    /// Hold out this part of the runs, those with the largest computes, to compare the laws
    #[arg(long, value_name = "PART", default_value_t = 0.2)]
    held_out: f64,
    /// Test the extrapolation at N cuts of compute
    #[arg(long, value_name = "N", default_value_t = 5)]
    cuts: usize,
}

/// How intervals are found.
#[derive(Debug, clap::Args)]
struct Intervals {
    /// What the bootstrap draws: runs with all their points, single points, or new losses around the law
    #[arg(long, value_name = "WHAT", default_value = "run", value_parser = one_of(Resampling::ALL, Resampling::name))]
    bootstrap: Resampling,
    /// The number of bootstrap samples
    #[arg(long, value_name = "N", default_value_t = 1000)]
    samples: usize,
    /// The part of the samples that an interval holds
    #[arg(long, value_name = "PART", default_value_t = 0.95)]
    level: f64,
    /// The seed of the bootstrap
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
}

/// Values by their names.
fn one_of<T: Copy + Send + Sync + 'static, const N: usize>(
    all: [T; N],
    name: fn(T) -> &'static str,
) -> impl clap::builder::TypedValueParser<Value = T> {
    let named = move |text: String| all.into_iter().find(|value| name(*value) == text).ok_or("it is no such name");
    PossibleValuesParser::new(all.map(name)).try_map(named)
}

fn values(text: &str) -> Result<(String, Vec<f64>), String> {
    let (name, values) = text.split_once('=').ok_or("it is not of the form NAME=VALUE,…")?;
    let number = |value: &str| value.trim().parse().map_err(|_| format!("{value:?} is not a number"));
    Ok((name.trim().to_owned(), values.split(',').map(number).collect::<Result<_, _>>()?))
}

/// The report as JSON: its own fields, whether all laws converged, and where it was written.
#[derive(Serialize)]
struct Answered<'a> {
    holds: bool,
    output: Option<String>,
    #[serde(flatten)]
    report: &'a Report,
}

impl Scaling {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        if let Some(output) = self.output.as_ref().filter(|output| output.exists()) {
            let exists = io::ErrorKind::AlreadyExists.into();
            return Err(FileError::io(output, "make directory")(exists).into());
        }
        let asked = self.asked()?;
        let points = match self.report()? {
            Some(report) => asked.chosen(report.points)?,
            None => asked.points(&self.answer(terminal)?)?,
        };
        if let Some(file) = &self.check {
            return prediction::check(file, &points, terminal);
        }
        let report = asked.report(points)?;
        let fitted = report.fitted().count();
        if let (0, Some(law)) = (fitted, report.laws.first()) {
            let why = law.failed.clone().unwrap_or_default();
            return Err(Failure::usage(
                why,
                "give more points, or another --law; `retrace report scaling --help` lists the laws",
            ));
        }
        let pages = match self.output.is_some() || self.format == Format::Md {
            true => asked.pages(&report)?,
            false => BTreeMap::new(),
        };
        if let Some(output) = &self.output {
            write(output, &asked, &report, &pages)?;
        }
        let holds = report.laws.iter().all(|law| law.starts.is_some_and(|starts| starts.converged));
        // A path need not be text.
        let output = self.output.as_ref().map(|output| output.display().to_string());
        let answered = Answered { holds, output, report: &report };
        match pages.get("report.md").filter(|_| self.format == Format::Md) {
            Some(markdown) => terminal.data("scaling-report/1", &answered, markdown.as_bytes())?,
            None => {
                let json = self.format == Format::Json;
                terminal.document("scaling-report/1", &answered, json, |out| text::print(out, &report, terminal))?;
            }
        }
        for law in &report.laws {
            match &law.failed {
                Some(why) => terminal.say(Tone::Bad, "not fitted", format_args!("{}: {why}", law.law)),
                None => law.warnings.iter().for_each(|told| {
                    terminal.say(Tone::Bad, "warning", format_args!("{}: {}", law.law, told.text));
                }),
            }
        }
        prediction::tell_unchecked(&report, terminal);
        let points = report.points.rows().len() as u64;
        let of = format!("{} to {}", count(fitted as u64, "law"), count(points, "point"));
        match &self.output {
            Some(output) => {
                terminal.say(Tone::Good, "fitted", format_args!("{of}; {}", output.join("report.html").display()));
            }
            None => terminal.say(Tone::Good, "fitted", of),
        }
        Ok(Exit::holds(holds))
    }

    /// Whether the points are SQL: a text with white space that is no file.
    fn is_sql(&self) -> bool {
        !self.points.exists() && self.points.to_str().is_some_and(|text| text.contains(char::is_whitespace))
    }

    /// The report whose points are fitted again, if the points are one.
    fn report(&self) -> Result<Option<Report>, Failure> {
        /// Its first field says what it is.
        const BEGINNING: u64 = 256;
        let documents = ["json", "yaml", "yml"];
        if self.points.extension().is_none_or(|ending| documents.iter().all(|of| ending != *of))
            || !self.points.is_file()
        {
            return Ok(None);
        }
        let file = RegularFile::open(&self.points)?;
        let mut bytes = vec![0; file.size().min(BEGINNING) as usize];
        file.read_at(&mut bytes, 0)?;
        if schema_of(&String::from_utf8_lossy(&bytes)) != Some(Report::SCHEMA) {
            let what = format!("{} is not the scaling.json of a report", self.points.display());
            return Err(Failure::usage(
                what,
                "give a Parquet, CSV, TSV or JSON lines file, or the scaling.json of a report; JSON lines have the ending .jsonl",
            ));
        }
        if self.columns.is_some() || self.params_unit.is_some() || self.loss_unit.is_some() {
            let what = format!("{} is a report, whose points have their units", self.points.display());
            return Err(Failure::usage(what, "leave out --columns, --params-unit and --loss-unit"));
        }
        let json = |e: serde_json::Error| {
            let (path, line, what) = (self.points.clone(), e.line(), e.to_string());
            FileError::Json { path, line, what }
        };
        Ok(Some(serde_json::from_str(&super::super::read_text(&self.points)?).map_err(json)?))
    }

    /// The rows of the file, or of the SQL.
    fn answer(&self, terminal: &Terminal) -> Result<Answer, Failure> {
        match self.points.to_str().filter(|_| self.is_sql()) {
            Some(sql) => {
                let session = self.open(&self.tables)?;
                let answer = session.run(sql)?;
                self.asking.tell(&session, &mut BTreeSet::new(), terminal);
                Ok(answer)
            }
            None if self.tables.is_empty() => {
                // Points are mostly a file of no release: that no manifest covers it says nothing.
                Ok(all_rows(&self.open(std::slice::from_ref(&self.points))?)?)
            }
            None => Err(Failure::usage("--tables is only for SQL", "leave it out, or give SQL with --points")),
        }
    }

    fn open(&self, paths: &[PathBuf]) -> Result<Session, Failure> {
        let columns = self.columns.clone().unwrap_or_default();
        Ok(open_points(paths, &columns, self.asking.options())?)
    }

    fn asked(&self) -> Result<ScalingRequest, Failure> {
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        let mut laws: Vec<LawName> = Vec::new();
        for law in &self.laws {
            if !laws.contains(law) {
                laws.push(*law);
            }
        }
        let Fitting {
            delta,
            mean,
            tolerance,
            updates,
            ref grid,
            base,
            isoflop,
            envelope,
            skip,
            window,
            held_out,
            cuts,
        } = self.fit;
        let reduction = if mean { Reduction::Mean } else { Reduction::Sum };
        let grid = Grid(grid.iter().cloned().collect());
        let fit = FitOptions { delta, reduction, tolerance, updates, grid, base, envelope, isoflop, skip, window };
        let Intervals { bootstrap: by, samples, level, seed } = self.intervals;
        let intervals = Bootstrap { by, samples, level, seed };
        let named = fit.check().and_then(|()| intervals.check()).and_then(|()| check_tests(held_out, cuts));
        named.map_err(|(option, expected)| {
            let option = option.replace('_', "-");
            Failure::usage(format!("--{option} must be {expected}"), "`retrace help report scaling` has the defaults")
        })?;
        Ok(ScalingRequest {
            points: if self.is_sql() { text(&self.points) } else { file_name(&text(&self.points)) },
            tables: self.tables.iter().map(|path| file_name(&text(path))).collect(),
            columns: PointColumns {
                named: self.columns.clone().unwrap_or_default(),
                params_unit: self.params_unit,
                loss_unit: self.loss_unit,
            },
            loss: self.loss.clone(),
            finals: self.finals,
            request: Request { laws, fit, intervals, held_out, cuts, predict: self.predict.clone() },
        })
    }
}

/// Writes everything, or nothing.
fn write(
    output: &Path,
    asked: &ScalingRequest,
    report: &Report,
    pages: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let in_json = |value: serde_json::Result<String>| -> Result<String, Failure> {
        let path = output.to_owned();
        Ok(value.map_err(|e| FileError::Json { path, line: 0, what: e.to_string() })? + "\n")
    };
    let mut files = pages.clone();
    files.insert("scaling.json".to_owned(), in_json(serde_json::to_string_pretty(report))?);
    if let Some(predictions) = asked.predictions(report)? {
        files.insert("prediction.json".to_owned(), in_json(serde_json::to_string_pretty(&predictions))?);
    }
    retrace_files::write_whole_directory(output, |directory| -> Result<(), Failure> {
        for (name, text) in &files {
            directory.write(&super::super::in_release(name)?, text.as_bytes())?;
        }
        Ok(())
    })
}

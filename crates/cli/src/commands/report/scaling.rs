//! `retrace report scaling`

mod prediction;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use retrace_analysis::scaling::{
    Bootstrap, Budget, LawName, LawReport, Options, Points, Prediction, Reduction, Report, Request, Resampling,
    Tolerance,
};
use retrace_files::FileError;
use retrace_query::{Answer, Session};
use retrace_report::{scaling_page, shell_word};
use retrace_spec::recipe::{LossUnit, ParamsUnit};
use retrace_steps::{ColumnNames, PointColumns, StepError};
use serde_json::json;

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
directory that has it, and nobody can change it unseen. --check compares it with the points of the run.

Exit codes: 0 every law was fitted (with --check: the loss is in the interval), 1 a law was not fitted or its
search did not converge (with --check: the loss is outside), 2 an error.")]
pub(crate) struct Scaling {
    /// The points: a Parquet, CSV, TSV or JSON lines file, or SQL
    #[arg(long, value_name = "FILE|SQL")]
    points: PathBuf,
    /// The releases and files that the SQL reads
    #[arg(long, value_name = "PATH", num_args = 1..)]
    tables: Vec<PathBuf>,
    /// The laws
    #[arg(long = "law", value_name = "NAME", value_delimiter = ',', num_args = 1.., default_value = "hoffmann-3")]
    laws: Vec<LawName>,
    /// The columns of the points by quantity: params=N,tokens=D,loss=L
    #[arg(long, value_name = "QUANTITY=COLUMN,…", default_value = "", value_parser = columns, hide_default_value = true)]
    columns: ColumnNames,
    /// What the parameters count
    #[arg(long, value_name = "UNIT", value_parser = ["total", "non-embedding"])]
    params_unit: Option<String>,
    /// The unit of the loss
    #[arg(long, value_name = "UNIT", value_parser = ["nats/token", "bits/byte"])]
    loss_unit: Option<String>,
    /// Use only the last point of each run
    #[arg(long)]
    finals: bool,
    /// Predict the loss for a budget: compute=C, or params=N,tokens=D. With -o, writes `prediction.json`
    #[arg(long, value_name = "BUDGET", value_parser = budget)]
    predict: Vec<Budget>,
    /// Compare a prediction with the points, instead of a fit
    #[arg(long, value_name = "FILE", conflicts_with_all = ["predict", "output"])]
    check: Option<PathBuf>,
    /// Write the page, its data and `scaling.json` into DIR, which must not exist
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    #[command(flatten)]
    fit: FitOptions,
    #[command(flatten)]
    intervals: IntervalOptions,
    #[command(flatten)]
    asking: Asking,
}

/// How laws are fitted.
#[derive(Debug, clap::Args)]
struct FitOptions {
    /// Huber's δ on the logarithm of the loss
    #[arg(long, value_name = "DELTA", default_value_t = 1e-3)]
    delta: f64,
    /// Average the Huber losses instead of summing them, as some implementations do
    #[arg(long)]
    mean: bool,
    /// End a search when an update lowers the objective by less than this part of it
    #[arg(long, value_name = "PART", default_value_t = 1e-11)]
    tolerance: f64,
    /// End a search after N updates
    #[arg(long, value_name = "N", default_value_t = 2000)]
    updates: usize,
    /// hoffmann-2: points whose computes are within this factor belong to one parabola
    #[arg(long, value_name = "FACTOR", default_value_t = 1.05)]
    isoflop: f64,
    /// hoffmann-1: look for the best run at N numbers of compute
    #[arg(long, value_name = "N", default_value_t = 1500)]
    envelope: usize,
    /// Hold out this part of the runs, those with the largest computes, to compare the laws
    #[arg(long, value_name = "PART", default_value_t = 0.2)]
    held_out: f64,
    /// Test the extrapolation at N cuts of compute
    #[arg(long, value_name = "N", default_value_t = 5)]
    cuts: usize,
}

/// How intervals are found.
#[derive(Debug, clap::Args)]
struct IntervalOptions {
    /// What the bootstrap draws: runs with all their points, single points, or new losses around the law
    #[arg(long, value_name = "WHAT", default_value = "run", value_parser = ["run", "case", "parametric", "none"])]
    bootstrap: String,
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

fn columns(text: &str) -> Result<ColumnNames, String> {
    if text.is_empty() { Ok(ColumnNames::default()) } else { text.parse().map_err(|e| format!("{e}")) }
}

fn budget(text: &str) -> Result<Budget, String> {
    let mut given = [None; 3];
    for part in text.split(',') {
        let (name, value) = part.split_once('=').ok_or("it is not of the form compute=C or params=N,tokens=D")?;
        let at = ["compute", "params", "tokens"].iter().position(|known| *known == name.trim());
        let place =
            at.and_then(|at| given.get_mut(at)).ok_or_else(|| format!("{name:?} is not compute, params or tokens"))?;
        let value: f64 = value.trim().parse().map_err(|_| format!("{value:?} is not a number"))?;
        if !(value.is_finite() && value > 0.0) || place.replace(value).is_some() {
            return Err(format!("{part:?} is not one finite number above 0"));
        }
    }
    match given {
        [Some(compute), None, None] => Ok(Budget::Compute(compute)),
        [None, Some(params), Some(tokens)] => Ok(Budget::Model { params, tokens }),
        _ => Err("give compute=C alone, or params=N,tokens=D".to_owned()),
    }
}

impl Scaling {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        if let Some(output) = self.output.as_ref().filter(|output| output.exists()) {
            let exists = io::ErrorKind::AlreadyExists.into();
            return Err(FileError::io(output, "make directory")(exists).into());
        }
        let mut points = self.points(terminal)?;
        if let Some(file) = &self.check {
            return prediction::check(file, &points, terminal);
        }
        if self.finals {
            points = points.finals();
        }
        let request = self.request();
        let report = Report::of(&points, &request);
        let fitted = report.laws.iter().filter(|law| law.failed.is_none()).count();
        if let (0, Some(law)) = (fitted, report.laws.first()) {
            let why = law.failed.clone().unwrap_or_default();
            return Err(Failure::usage(
                why,
                "give more points, or another --law; `retrace report scaling --help` lists the laws",
            ));
        }
        if let Some(output) = &self.output {
            self.write(output, &report, &points, &request)?;
        }
        let holds = report.laws.iter().all(|law| law.starts.is_some_and(|starts| starts.converged));
        // A path need not be text.
        let output = self.output.as_ref().map(|output| output.display().to_string());
        let result = json!({"holds": holds, "report": report, "output": output});
        terminal.result("scaling-report/1", &flat(result), |out| print(out, &report, terminal))?;
        for law in &report.laws {
            match &law.failed {
                Some(why) => terminal.say(Tone::Bad, "not fitted", format_args!("{}: {why}", law.law)),
                None => law.warnings.iter().for_each(|told| {
                    terminal.say(Tone::Bad, "warning", format_args!("{}: {}", law.law, told.text));
                }),
            }
        }
        let of = format!("{} to {}", count(fitted as u64, "law"), count(report.points as u64, "point"));
        match &self.output {
            Some(output) => {
                terminal.say(Tone::Good, "fitted", format_args!("{of}; {}", output.join("report.html").display()));
            }
            None => terminal.say(Tone::Good, "fitted", of),
        }
        Ok(Exit::holds(holds))
    }

    fn points(&self, terminal: &Terminal) -> Result<Points, Failure> {
        let answer = self.answer(terminal)?;
        let columns = PointColumns {
            named: self.columns.clone(),
            params_unit: self.params_unit.as_deref().map(|unit| match unit {
                "total" => ParamsUnit::Total,
                _ => ParamsUnit::NonEmbedding,
            }),
            loss_unit: self.loss_unit.as_deref().map(|unit| match unit {
                "nats/token" => LossUnit::NatsPerToken,
                _ => LossUnit::BitsPerByte,
            }),
        };
        Ok(columns.points(&answer).map_err(StepError::from)?)
    }

    /// The rows of the file, or of the SQL.
    fn answer(&self, terminal: &Terminal) -> Result<Answer, Failure> {
        let text = self.points.to_str().filter(|text| text.contains(char::is_whitespace));
        let sql = text.filter(|_| !self.points.exists());
        let paths = if sql.is_some() { self.tables.clone() } else { vec![self.points.clone()] };
        if sql.is_none() && !self.tables.is_empty() {
            return Err(Failure::usage("--tables is only for SQL", "leave it out, or give SQL with --points"));
        }
        let session = Session::open_with(&paths, self.asking.options())?;
        let answer = match sql {
            Some(sql) => session.run(sql)?,
            None => {
                let table = session.tables().keys().next().map_or("", String::as_str);
                session.run(&format!("select * from \"{}\"", table.replace('"', "\"\"")))?
            }
        };
        self.asking.tell(&session, &mut BTreeSet::new(), terminal);
        Ok(answer)
    }

    fn request(&self) -> Request {
        let fit = &self.fit;
        let options = Options {
            delta: fit.delta,
            reduction: if fit.mean { Reduction::Mean } else { Reduction::Sum },
            tolerance: Tolerance::Relative(fit.tolerance),
            updates: fit.updates,
            isoflop: fit.isoflop,
            envelope: fit.envelope,
            ..Options::default()
        };
        let IntervalOptions { bootstrap, samples, level, seed } = &self.intervals;
        let by = match bootstrap.as_str() {
            "run" => Some(Resampling::Run),
            "case" => Some(Resampling::Case),
            "parametric" => Some(Resampling::Parametric),
            _ => None,
        };
        let bootstrap = by.map(|by| Bootstrap { by, samples: *samples, level: *level, seed: *seed });
        let mut laws: Vec<LawName> = Vec::new();
        for law in &self.laws {
            if !laws.contains(law) {
                laws.push(*law);
            }
        }
        let (held_out, cuts) = (fit.held_out, fit.cuts);
        Request { laws, options, bootstrap, held_out, cuts, budgets: self.predict.clone() }
    }

    /// Writes everything, or nothing.
    fn write(&self, output: &Path, report: &Report, points: &Points, request: &Request) -> Result<(), Failure> {
        let made = self.made();
        let title = self.points.file_stem().filter(|_| self.points.exists());
        let title = title.map_or_else(|| "Scaling".to_owned(), |name| name.to_string_lossy().into_owned());
        let page = scaling_page(&title, report, points, &request.options, &made)?;
        let mut files: Vec<(String, Vec<u8>)> = vec![("report.html".to_owned(), page.html.into_bytes())];
        files.extend(page.data.into_iter().map(|(name, csv)| (name, csv.into_bytes())));
        files.push(("scaling.json".to_owned(), in_json(output, report)?));
        if !request.budgets.is_empty() {
            let predicted = prediction::of(report, points, request, &made)?;
            files.push(("prediction.json".to_owned(), in_json(output, &predicted)?));
        }
        retrace_files::write_whole_directory(output, |directory| -> Result<(), Failure> {
            for (name, bytes) in &files {
                directory.write(&super::super::in_release(name)?, bytes)?;
            }
            Ok(())
        })
    }

    /// The arguments that make the report again, also where they are the defaults.
    fn made(&self) -> String {
        let path = |path: &Path| shell_word(&path.to_string_lossy());
        let laws: Vec<&str> = self.laws.iter().map(|law| law.name()).collect();
        let mut all = vec![format!("--points {}", path(&self.points)), format!("--law {}", laws.join(","))];
        if !self.tables.is_empty() {
            all.push(format!("--tables {}", self.tables.iter().map(|of| path(of)).collect::<Vec<_>>().join(" ")));
        }
        let columns = self.columns.to_string();
        let units = [("--columns", Some(&columns).filter(|names| !names.is_empty()))];
        let units = units
            .into_iter()
            .chain([("--params-unit", self.params_unit.as_ref()), ("--loss-unit", self.loss_unit.as_ref())]);
        all.extend(units.filter_map(|(name, value)| Some(format!("{name} {}", shell_word(value?)))));
        all.extend(self.finals.then(|| "--finals".to_owned()));
        all.extend(self.predict.iter().map(|budget| match budget {
            Budget::Compute(compute) => format!("--predict compute={compute:e}"),
            Budget::Model { params, tokens } => format!("--predict params={params:e},tokens={tokens:e}"),
        }));
        let FitOptions { delta, mean, tolerance, updates, isoflop, envelope, held_out, cuts } = &self.fit;
        all.push(format!("--delta {delta} --tolerance {tolerance:e} --updates {updates}"));
        all.extend(mean.then(|| "--mean".to_owned()));
        all.push(format!("--isoflop {isoflop} --envelope {envelope} --held-out {held_out} --cuts {cuts}"));
        let IntervalOptions { bootstrap, samples, level, seed } = &self.intervals;
        all.push(format!("--bootstrap {bootstrap} --samples {samples} --level {level} --seed {seed}"));
        format!("retrace report scaling {}", all.join(" "))
    }
}

fn in_json(path: &Path, value: &impl serde::Serialize) -> Result<Vec<u8>, Failure> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|e| FileError::Json {
        path: path.to_owned(),
        line: 0,
        what: e.to_string(),
    })?;
    text.push(b'\n');
    Ok(text)
}

/// The report's fields at the top of the document.
fn flat(result: serde_json::Value) -> serde_json::Value {
    let serde_json::Value::Object(mut result) = result else { return result };
    if let Some(serde_json::Value::Object(report)) = result.remove("report") {
        result.extend(report);
    }
    result.into()
}

fn number(value: f64) -> String {
    match value.abs() {
        size if size == 0.0 || (1e-3..1e5).contains(&size) => format!("{value:.4}"),
        _ => format!("{value:.4e}"),
    }
}

fn between(interval: Option<[f64; 2]>) -> String {
    interval.map_or_else(String::new, |[low, high]| format!("{} to {}", number(low), number(high)))
}

fn print(out: &mut dyn Write, report: &Report, terminal: &Terminal) -> io::Result<()> {
    for law in report.laws.iter().filter(|law| law.failed.is_none()) {
        print_law(out, law, terminal)?;
    }
    let tested: Vec<_> = report.compared.iter().filter_map(|of| Some((of.law, of.tested.as_ref()?))).collect();
    if !tested.is_empty() {
        writeln!(out, "error on held-out compute")?;
        for (law, test) in tested {
            let times = format!("{} points, up to {:.1} times the compute that was fitted", test.held, test.factor);
            writeln!(out, "  {:<20} {:>7.2} %  {times}", law.name(), 100.0 * test.error)?;
        }
    }
    Ok(())
}

fn print_law(out: &mut dyn Write, law: &LawReport, terminal: &Terminal) -> io::Result<()> {
    writeln!(out, "{}", terminal.tone(Tone::Good, law.law.name()))?;
    for name in law.law.parameters() {
        if let Some(value) = law.parameters.get(*name) {
            writeln!(out, "  {name:<8} {:>12}  {}", number(*value), between(law.intervals.get(*name).copied()))?;
        }
    }
    if let (Some(objective), Some(r2), Some(starts)) = (law.objective, law.r2, law.starts) {
        let searched = format!("{} of {} starts reached it", starts.reached, starts.tried);
        writeln!(out, "  objective {objective:.6e}, {searched}; R² {r2:.4} on the fitted points")?;
    }
    for predicted in law.predictions.iter().flatten() {
        let Prediction { params, tokens, loss, loss_interval, run_interval, warnings, .. } = predicted;
        let loss = loss.map_or_else(|| "no loss".to_owned(), |loss| format!("loss {}", number(loss)));
        writeln!(out, "  at {params:.3e} parameters and {tokens:.3e} tokens: {loss}")?;
        if let (Some(_), Some(_)) = (loss_interval, run_interval) {
            writeln!(out, "    the law: {}; a run: {}", between(*loss_interval), between(*run_interval))?;
        }
        warnings.iter().try_for_each(|warning| writeln!(out, "    {warning}"))?;
    }
    if law.predictions.iter().any(Option::is_none) {
        writeln!(out, "  it has no optimum for one of the computes")?;
    }
    Ok(())
}

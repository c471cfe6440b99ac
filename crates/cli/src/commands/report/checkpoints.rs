//! `retrace report checkpoints`

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use retrace_files::FileError;
use retrace_query::Session;
use retrace_report::{Choice, Figure, Figures, ReportError, figures_page, file_name, no_weights, shell_word, weights};
use serde_json::json;

use super::super::query::Asking;
use super::super::{Exit, in_release};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Draw metrics, training losses and weights of checkpoints, and compare runs
///
/// Draws what is there of three tables: `metrics` (each metric over tokens, with standard errors where they are
/// known), `train_log` (the training loss over tokens), and `tensors` (statistics of the weights by layer as heat maps;
/// `retrace stats -o DIR` makes this table). If there are several runs, the others are compared with the first, at the
/// same number of tokens.
///
/// DIR gets the page `report.html`, and in `data` the rows of each figure as CSV and the SQL that gave them:
/// `retrace query` gives the same rows. What is not drawn is said under each figure. Rows of `tensors` do not say
/// their release: two tables with a run of one name are refused.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace report checkpoints --tables release -o report
  retrace report checkpoints --tables release --metric 'arc*/acc*' --run base --run small -o report
  retrace stats runs/base/step-* -o weights && retrace report checkpoints --tables weights -o report
  retrace query --sql \"$(cat report/data/training-loss.sql)\" release --format csv

Exit codes: 0 every value is finite, 1 some are not, 2 an error. All values of the tables count, also those that
are not drawn.")]
pub(crate) struct Checkpoints {
    /// Releases, directories of tables, and files of tables
    #[arg(long, required = true, num_args = 1.., value_name = "PATH")]
    tables: Vec<PathBuf>,
    /// Draw only these metrics: TASK/METRIC, or one of the two; `*` matches any text
    #[arg(long, value_name = "PATTERN")]
    metric: Vec<String>,
    /// Draw only these runs; the others are compared with the first
    #[arg(long, value_name = "NAME")]
    run: Vec<String>,
    /// Compare runs also at numbers of tokens at which only one has a checkpoint: the first run is interpolated
    #[arg(long)]
    interpolate: bool,
    /// Write the page and its data into DIR, which must not exist
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    asking: Asking,
}

impl Checkpoints {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        if self.output.exists() {
            let exists = io::ErrorKind::AlreadyExists.into();
            return Err(FileError::io(&self.output, "make directory")(exists).into());
        }
        let session = Session::open_with(&self.tables, self.asking.options())?;
        let found = self.figures(&session)?;
        self.asking.tell(&session, &mut BTreeSet::new(), terminal);
        let title = self.tables.first().and_then(|path| path.file_stem());
        let title = title.map_or_else(|| "Checkpoints".to_owned(), |name| name.to_string_lossy().into_owned());
        let page = figures_page("Checkpoint report", &title, &found, &self.made())?;
        self.write(&page, &found)?;
        let figures = || found.iter().flat_map(|of| &of.figures);
        let non_finite: u64 = found.iter().map(|of| of.non_finite).sum();
        let result = json!({"holds": non_finite == 0, "output": self.output.display().to_string(), "sections": found});
        terminal.result("checkpoint-report/1", &result, |out| {
            for Figure { title, rows, left_out, .. } in figures() {
                writeln!(out, "{title}: {}", count(*rows as u64, "row"))?;
                left_out.iter().try_for_each(|what| writeln!(out, "  {what}"))?;
            }
            found.iter().flat_map(|of| &of.left_out).try_for_each(|what| writeln!(out, "{what}"))
        })?;
        let drawn = count(figures().count() as u64, "figure");
        let page = self.output.join("report.html");
        terminal.say(Tone::Good, "wrote", format_args!("{drawn} into {}", page.display()));
        if non_finite > 0 {
            terminal.say(Tone::Bad, "not finite", count(non_finite, "value"));
        }
        Ok(Exit::holds(non_finite == 0))
    }

    fn figures(&self, session: &Session) -> Result<Vec<Figures>, Failure> {
        let choice = Choice { metrics: self.metric.clone(), runs: self.run.clone(), interpolate: self.interpolate };
        let over_tokens = session.has("metrics") || session.has("train_log");
        let mut found = if over_tokens { choice.figures(session)? } else { Vec::new() };
        if session.has("tensors") {
            match weights(session, &self.run) {
                // The runs are those of the other tables.
                Err(ReportError::NoSuch { .. }) if over_tokens => found.extend(no_weights(session)?),
                weights => found.extend(weights?),
            }
        }
        match found.is_empty() {
            true => Err(ReportError::NoTables.into()),
            false => Ok(found),
        }
    }

    /// Writes everything, or nothing.
    fn write(&self, page: &str, found: &[Figures]) -> Result<(), Failure> {
        retrace_files::write_whole_directory(&self.output, |directory| -> Result<(), Failure> {
            directory.write(&in_release("report.html")?, page.as_bytes())?;
            for Figure { name, csv, sql, .. } in found.iter().flat_map(|of| &of.figures) {
                directory.write(&in_release(&format!("data/{name}.csv"))?, csv.as_bytes())?;
                directory.write(&in_release(&format!("data/{name}.sql"))?, format!("{sql}\n").as_bytes())?;
            }
            Ok(())
        })
    }

    /// The arguments that make the report again.
    fn made(&self) -> String {
        let tables = self.tables.iter().map(|path| shell_word(&file_name(&path.to_string_lossy())));
        let tables = tables.collect::<Vec<_>>().join(" ");
        let mut all = vec![format!("retrace report checkpoints --tables {tables}")];
        all.extend(self.metric.iter().map(|metric| format!("--metric {}", shell_word(metric))));
        all.extend(self.run.iter().map(|run| format!("--run {}", shell_word(run))));
        all.extend(self.interpolate.then(|| "--interpolate".to_owned()));
        all.push("-o DIR".to_owned());
        all.join(" ")
    }
}

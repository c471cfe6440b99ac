//! `retrace report`

mod checkpoints;
mod contamination;
mod release;
mod scaling;

use super::Exit;
use crate::errors::Failure;
use crate::terminal::Terminal;

/// Make a report: scaling laws, contamination, checkpoints, or the checks of a release
///
/// Each report is printed, and with `-o` also written as one HTML page with its data beside it. The same input gives the
/// same bytes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace report scaling --points runs.csv --law hoffmann-3 -o report
  retrace report contamination --benchmark gsm8k.jsonl --corpus corpus/*.jsonl.gz -o report
  retrace report checkpoints --tables release -o report
  retrace report release release/manifest.yaml -o report

`retrace help report scaling` shows the options of a report.")]
pub(crate) struct Report {
    #[command(subcommand)]
    about: About,
}

#[derive(Debug, clap::Subcommand)]
enum About {
    Scaling(Box<scaling::Scaling>),
    Contamination(contamination::Contamination),
    Checkpoints(checkpoints::Checkpoints),
    Release(release::Release),
}

impl Report {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        match &self.about {
            About::Scaling(report) => report.run(terminal),
            About::Contamination(report) => report.run(terminal),
            About::Checkpoints(report) => report.run(terminal),
            About::Release(report) => report.run(terminal),
        }
    }
}

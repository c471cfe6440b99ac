//! `retrace report`

mod contamination;
mod scaling;

use super::Exit;
use crate::errors::Failure;
use crate::terminal::Terminal;

/// Make a report: scaling laws, or the items of benchmarks in a corpus
///
/// Each report is printed, and with `-o` also written as one HTML page with the data of its charts and tables beside
/// it. The same input gives the same bytes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace report scaling --points runs.csv --law hoffmann-3 -o report
  retrace report contamination --benchmark gsm8k.jsonl --corpus corpus/*.jsonl.gz -o report")]
pub(crate) struct Report {
    #[command(subcommand)]
    about: About,
}

#[derive(Debug, clap::Subcommand)]
enum About {
    Scaling(scaling::Scaling),
    Contamination(contamination::Contamination),
}

impl Report {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        match &self.about {
            About::Scaling(report) => report.run(terminal),
            About::Contamination(report) => report.run(terminal),
        }
    }
}

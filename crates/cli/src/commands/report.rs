//! `retrace report`

use clap::Subcommand;

use super::Exit;
use crate::errors::Failure;
use crate::terminal::Terminal;

mod contamination;

/// Make a report: a page, its tables, and a summary
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace report contamination --benchmark gsm8k.jsonl --corpus corpus/*.jsonl.gz -o report

`retrace help report contamination` shows its options.")]
pub(crate) struct Report {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Debug, Subcommand)]
enum Kind {
    Contamination(contamination::Contamination),
}

impl Report {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        match &self.kind {
            Kind::Contamination(report) => report.run(terminal),
        }
    }
}

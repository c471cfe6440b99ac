//! `retrace report`

mod scaling;

use super::Exit;
use crate::errors::Failure;
use crate::terminal::Terminal;

/// Make a report: a scaling law
///
/// Each report is printed, and with `-o` also written as one HTML page with the data of its charts beside it.
/// The same input gives the same bytes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace report scaling --points runs.csv --law hoffmann-3 -o report")]
pub(crate) struct Report {
    #[command(subcommand)]
    about: About,
}

#[derive(Debug, clap::Subcommand)]
enum About {
    Scaling(scaling::Scaling),
}

impl Report {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        match &self.about {
            About::Scaling(report) => report.run(terminal),
        }
    }
}

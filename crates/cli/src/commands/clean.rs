//! `retrace clean`

use std::path::PathBuf;

use retrace_spec::CleanRecipe;
use retrace_steps::{Cleaned, Options, carry_out};

use super::{Exit, Opened, open};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Clean a corpus as a recipe says: apply rules, then deduplicate
///
/// Reads shards of documents as JSON lines and writes the documents that no rule drops. Also writes a
/// ledger with a line for each dropped document: where it was, which rule dropped it, and the value that
/// the rule measured. Paths in the recipe are relative to its directory. Prints the written shards.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace clean release/clean.yaml
  retrace clean --json release/clean.yaml

A recipe:
  retrace: clean/1
  name: clean
  input: [raw/*.jsonl]
  output: clean
  rules:
    - {rule: characters, at_least: 50, at_most: 100000}
    - {rule: repeated_lines, at_most: 0.3}
  deduplicate: exact")]
pub(crate) struct Clean {
    /// The recipe
    recipe: PathBuf,
}

impl Clean {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let Opened { document: recipe, root, path } = open::<CleanRecipe>(&self.recipe)?;
        let Cleaned(report) = carry_out(&root, &path, &recipe, &Options::default(), terminal.progress().as_ref())?;
        terminal.result("clean/1", &report, |out| {
            report.outputs.iter().try_for_each(|path| writeln!(out, "{}", path.under(root.path()).display()))
        })?;
        terminal.say(
            Tone::Good,
            "cleaned",
            format_args!("{}, kept {}", count(report.documents, "document"), report.kept),
        );
        for (rule, dropped) in &report.dropped {
            terminal.say(Tone::Faint, &format!("  {dropped:>9}"), format_args!("dropped by {rule}"));
        }
        terminal.say(Tone::Faint, "ledger", report.ledger.under(root.path()).display());
        Ok(Exit::Holds)
    }
}

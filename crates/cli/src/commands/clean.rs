//! `retrace clean`

use std::path::PathBuf;

use retrace_spec::CleanRecipe;
use retrace_steps::{Options, Step, carry_out};

use super::{Exit, Opened, open};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Clean a corpus as a recipe says: remove benchmark items, apply rules, then deduplicate
///
/// Reads shards of documents, JSON lines (plain, gzip or zstd), JSON lists or Parquet, and writes the
/// documents that no rule drops as plain JSON lines: `a.json.gz` becomes `a.json`, `a.parquet` becomes
/// `a.jsonl` with all its columns. Also writes a ledger with a line for each dropped document: where it
/// was, which rule dropped it, and the value that the rule measured. Paths in the recipe are relative to
/// its directory. Prints the written shards.
///
/// A document needs a text. Without an id, its id is its line. Its language is needed only by the rule
/// `script`. If a document cannot be read (its line is no JSON or not UTF-8, has half of a surrogate pair,
/// or has no text), nothing is written, unless the recipe has `unreadable: drop`: then it is dropped, and
/// the ledger says where it was and why.
///
/// With `contamination`, what a search for the items of benchmarks found (`contamination/1`) is removed
/// first: the documents, or only the stretches of their text that were found, which the ledger lists in
/// bytes. Only leaks are removed, unless `verdicts` names more.
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
  fields: {text: content}      # optional: columns with other names than id, text and lang
  lang: en                     # optional: the language of all documents, en or zh
  unreadable: drop             # optional: drop documents that cannot be read
  contamination: {table: search/contamination.parquet, remove: documents}   # or spans
  rules:
    - {rule: characters, at_least: 50, at_most: 100000}
    - {rule: repeated_lines, at_most: 0.3}
  deduplicate: exact

Exit codes: 0 cleaned, 1 cleaned, but the search counted more documents than its table has, 2 an error.")]
pub(crate) struct Clean {
    /// The recipe
    recipe: PathBuf,
}

impl Clean {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let Opened { document: recipe, root, path } = open::<CleanRecipe>(&self.recipe)?;
        let cleaned = carry_out(&root, &path, &recipe, &Options::default(), terminal.progress().as_ref())?;
        let report = &cleaned.report;
        terminal.result("clean/1", &cleaned, |out| {
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
        if report.cut > 0 {
            terminal.say(Tone::Faint, &format!("  {:>9}", report.cut), "kept and cut by contamination");
        }
        terminal.say(Tone::Faint, "ledger", report.ledger.under(root.path()).display());
        if !cleaned.not_removed.elsewhere.is_empty() {
            terminal.say(Tone::Faint, "not removed", cleaned.not_removed.elsewhere_in_words());
        }
        let incomplete = CleanRecipe::incomplete(&cleaned);
        if let Some(what) = &incomplete {
            terminal.say(Tone::Bad, "incomplete", what);
        }
        Ok(Exit::holds(incomplete.is_none()))
    }
}

//! `retrace make`

use std::path::PathBuf;

use retrace_files::Root;
use retrace_steps::{Event, Made, MakeOptions, Outcome, Summary, Why, make};
use serde_json::{Value, json};

use super::Exit;
use crate::errors::{Failure, advice_for_step};
use crate::terminal::{Terminal, Tone, count};

/// Run the steps of a release that are not up to date
///
/// Finds the documents at the top level of a release's directory, orders them by what they read and
/// make, and runs each step that is not up to date. A step is up to date if its document, every file that
/// it reads and every file that it made have the digests in its record. File times do not matter. If
/// `make` is interrupted, the next one continues there. If a step fails, the results of the others stay.
///
/// `make` overwrites a file only if a record says that a step made it. The records are in `.retrace/` of
/// the directory.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace make release
  retrace make --dry-run release
  retrace make && retrace seal . && retrace replay manifest.yaml --all

The first line of a document gives its kind:
  retrace: clean/1            cleans a corpus by rules            (retrace help clean)
  retrace: tokenize/1         makes token shards of a corpus      (retrace help tokenize)
  retrace: run/1              trains a model                      (retrace help train)
  retrace: eval/1             evaluates models on tasks           (retrace help eval)
  retrace: tables/1           makes tables of journals, results and imports
  retrace: contamination/1    searches a corpus for the items of tasks and benchmarks
  retrace: scaling/1          fits a scaling law to points from SQL
  retrace: page/1             writes a page
  retrace: synthetic/1        generates a corpus
manifests/tour in retrace's repository has an example of each.

Exit codes: 0 all steps are up to date (or would be), 1 the same, but the outputs of a step lack
something, which it says, 2 a step failed.")]
pub(crate) struct Make {
    /// The release's directory
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Only say which steps would run, and why
    #[arg(long)]
    dry_run: bool,
}

impl Make {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let root = Root::open(&self.dir)?;
        let progress = terminal.progress();
        let options = MakeOptions { dry_run: self.dry_run };
        let made = make(&root, &options, progress.as_ref(), &mut |event| say(terminal, event))?;
        if made.steps.is_empty() {
            let what = format!("{} has no document of a step at its top level", self.dir.display());
            return Err(Failure::usage(
                what,
                "a document is a YAML file that begins with, for example, `retrace: clean/1`; `retrace help make` lists the kinds",
            ));
        }
        let failed = failed(made.steps.iter());
        let steps: Vec<Value> = made.steps.iter().map(in_json).collect();
        let complete = made.steps.iter().all(|event| incomplete(event).is_none());
        let result =
            json!({"holds": failed == 0 && complete, "steps": steps, "without_document": made.without_document});
        terminal.result("make/1", &result, |_| Ok(()))?;
        conclude(terminal, &made, self.dry_run);
        Ok(if failed == 0 { Exit::holds(complete) } else { Exit::Failed })
    }
}

/// The number of steps that failed, or were not run because others failed.
pub(super) fn failed<'a>(steps: impl Iterator<Item = &'a Event>) -> usize {
    steps.filter(|event| matches!(event.outcome, Outcome::Failed { .. } | Outcome::NotDone { .. })).count()
}

/// What a step could not read of its inputs, now or when it was run.
fn incomplete(event: &Event) -> Option<&str> {
    match &event.outcome {
        Outcome::UpToDate { incomplete } | Outcome::Done { summary: Summary { incomplete, .. }, .. } => {
            incomplete.as_deref()
        }
        Outcome::Due { .. } | Outcome::Failed { .. } | Outcome::NotDone { .. } => None,
    }
}

/// Prints the result of a step.
pub(super) fn say(terminal: &Terminal, Event { id, document, outcome }: &Event) {
    match outcome {
        Outcome::UpToDate { incomplete: None } => terminal.say(Tone::Faint, "up to date", id),
        Outcome::UpToDate { incomplete: Some(what) } => {
            terminal.say(Tone::Bad, "up to date", format_args!("{id}, but it is incomplete: {what}"));
        }
        Outcome::Due { why } => terminal.say(Tone::Good, "to do", format_args!("{id}: {}", in_words(why))),
        Outcome::Done { why, summary: Summary { text, incomplete } } => {
            let why = if why.as_slice() == [Why::NotMade] { String::new() } else { format!(" ({})", in_words(why)) };
            let tone = if incomplete.is_none() { Tone::Good } else { Tone::Bad };
            // Some steps say it in their summary.
            let missing = incomplete.as_deref().filter(|what| !text.contains(what));
            let missing = missing.map_or_else(String::new, |what| format!("; incomplete: {what}"));
            terminal.say(tone, "made", format_args!("{id}: {text}{missing}{why}"));
        }
        Outcome::Failed { error, .. } => {
            terminal.say(Tone::Bad, "failed", format_args!("{id} ({document}): {error}"));
        }
        Outcome::NotDone { needs } => {
            terminal.say(Tone::Bad, "not done", format_args!("{id}: it needs {}", needs.join(", ")));
        }
    }
}

/// The reasons; only the first few are named.
fn in_words(why: &[Why]) -> String {
    const MOST: usize = 4;
    let named: Vec<String> = why.iter().take(MOST).map(ToString::to_string).collect();
    let more = why.len().saturating_sub(MOST);
    named.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

fn in_json(Event { id, document, outcome }: &Event) -> Value {
    let words = |why: &[Why]| why.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (what, why, said) = match outcome {
        Outcome::UpToDate { incomplete } => ("up to date", Vec::new(), incomplete.clone()),
        Outcome::Due { why } => ("to do", words(why), None),
        Outcome::Done { why, summary } => {
            (if summary.incomplete.is_none() { "made" } else { "made in part" }, words(why), Some(summary.text.clone()))
        }
        Outcome::Failed { why, error } => ("failed", words(why), Some(error.to_string())),
        Outcome::NotDone { needs } => ("not done", needs.clone(), None),
    };
    json!({"id": id, "document": document, "outcome": what, "why": why, "said": said})
}

fn conclude(terminal: &Terminal, made: &Made, dry_run: bool) {
    for id in &made.without_document {
        let said = format_args!("{id}: its document no longer exists; its record and files were not changed");
        terminal.say(Tone::Bad, "kept", said);
    }
    for Event { id, outcome, .. } in &made.steps {
        if let Outcome::Failed { error, .. } = outcome {
            let help = advice_for_step(error);
            terminal.say(Tone::Faint, "help", format_args!("{id}: {help}"));
        }
    }
    let counted = |wanted: fn(&Outcome) -> bool| made.steps.iter().filter(|event| wanted(&event.outcome)).count();
    let current = counted(|outcome| matches!(outcome, Outcome::UpToDate { .. }));
    let (all, left) = (count(made.steps.len(), "step"), failed(made.steps.iter()));
    match (made.steps.len() - current - left, left) {
        (0, 0) => terminal.say(Tone::Good, "nothing to do", format_args!("{all}, all up to date")),
        (due, 0) if dry_run => terminal.say(Tone::Good, "would do", format_args!("{due} of {all}")),
        (done, 0) => terminal.say(Tone::Good, "made", format_args!("{done} of {all}; {current} up to date")),
        (_, left) => terminal.say(Tone::Bad, "not made", format_args!("{left} of {all} failed or were not done")),
    }
}

//! `retrace audit`

use std::collections::BTreeSet;
use std::path::PathBuf;

use retrace_audit::{Audited, Finding, Outcome, Rule, Severity, audit};
use retrace_query::Session;
use retrace_spec::KnownRoots;
use serde_json::json;

use super::query::Asking;
use super::{Exit, open};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Check the claims of releases by rules
///
/// The rules are SQL queries over the tables of the releases, which `retrace import`, `stats`, `seal` and
/// `tour` make. Each finding says what is wrong, where the evidence is, how sure it is, and why. A clean
/// release has none. Your own rules are SQL files in a directory given with `--rules`. They can read the
/// tables of the releases, and no other file unless you pass --trust-queries.
///
/// A rule is not applied if the release has none of the tables that it reads; the last lines name it.
///
/// Before a table is read, it is checked against the release's manifest, or against its own checksums if
/// no manifest covers it. A mismatch is an error and not a finding, because the data cannot be trusted.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace import pythia-evals evals -o pythia && retrace audit pythia
  retrace audit release --rules my-rules --only same-content
  retrace audit release --known-roots known-roots.yaml
  retrace audit --list

The document of known roots lists the roots of each release in the order in which they were published:

  retrace: known-roots/1
  releases:
    - name: tour
      roots:
        - root: b3:…
          seen: 2026-01-02, on the project's page
        - root: b3:…

A rule is a file NAME.sql; its query returns the columns release, subject, finding, evidence and sure:

  -- title: A run ends with a higher loss
  -- severity: warning
  -- means: The last loss of a run is above its first.
  -- do: Look at the run.
  select release, run as subject, …

Exit codes: 0 no findings, 1 findings, 2 an error.")]
pub(crate) struct Audit {
    /// Releases, or directories of Parquet files
    #[arg(default_value = ".")]
    dirs: Vec<PathBuf>,
    /// Apply the rules in DIR too
    #[arg(long, value_name = "DIR")]
    rules: Vec<PathBuf>,
    /// Apply only this rule; can be repeated
    #[arg(long, value_name = "RULE")]
    only: Vec<String>,
    /// Report manifests that are not the latest of their release, or unknown, by the roots in FILE
    #[arg(long, value_name = "FILE")]
    known_roots: Option<PathBuf>,
    /// List the rules
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    asking: Asking,
}

impl Audit {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let rules = self.chosen()?;
        if self.list {
            let listed: Vec<_> = rules
                .iter()
                .map(|rule| json!({"id": rule.id, "severity": rule.severity, "title": rule.title, "means": rule.means, "do": rule.advice}))
                .collect();
            terminal.result("rules/1", &json!({"rules": listed}), |out| {
                rules
                    .iter()
                    .try_for_each(|rule| writeln!(out, "{:24} {:8} {}", rule.id, rule.severity.word(), rule.title))
            })?;
            return Ok(Exit::Holds);
        }
        let mut session = Session::open_whole(&self.dirs, self.asking.options())?;
        if let Some(file) = &self.known_roots {
            session.know(&open::<KnownRoots>(file)?.document, &file.display().to_string())?;
        }
        let progress = terminal.progress();
        progress.begin("applying the rules", rules.len() as u64, retrace_files::Unit::Items);
        let audited = audit(&session, &rules, |rule| {
            progress.note(&rule.id);
            progress.advance(1);
        })?;
        progress.end();
        let (held, unknown) = (session.held(), session.unknown());
        let document = json!({"rules": audited.rules, "findings": audited.findings, "held": held, "unknown": unknown});
        terminal.result("audit/1", &document, |out| {
            let mut rule = "";
            for finding in &audited.findings {
                if finding.rule != rule {
                    rule = &finding.rule;
                    let Some(about) = rules.iter().find(|known| known.id == rule) else { continue };
                    let tone = if finding.severity == Severity::Note { Tone::Faint } else { Tone::Bad };
                    writeln!(out, "{} {}: {}", terminal.tone(tone, finding.severity.word()), about.id, about.title)?;
                    writeln!(out, "  {}", terminal.tone(Tone::Faint, &about.means))?;
                    writeln!(out, "  {}", terminal.tone(Tone::Faint, &about.advice))?;
                }
                let Finding { release, subject, finding: found, evidence, sure, .. } = finding;
                writeln!(out, "  - {release} {subject}: {found}")?;
                writeln!(out, "    at {evidence}")?;
                writeln!(out, "    {sure}")?;
            }
            Ok(())
        })?;
        self.asking.tell(&session, &mut BTreeSet::new(), terminal);
        say(&audited, terminal);
        let not_applied =
            audited.rules.iter().filter(|asked| matches!(asked.outcome, Outcome::NothingToAsk(_))).count();
        // A rule that was requested by name could not be applied, or no rule at all.
        let unasked = not_applied > 0 && !self.only.is_empty() || not_applied == audited.rules.len();
        Ok(match (audited.findings.is_empty(), unasked || !unknown.is_empty()) {
            // Or not to all tables.
            (true, true) => Exit::Failed,
            (holds, _) => Exit::holds(holds),
        })
    }

    /// The requested rules.
    fn chosen(&self) -> Result<Vec<Rule>, Failure> {
        let mut rules = Rule::built_in()?;
        for directory in &self.rules {
            rules.extend(Rule::read_all(directory)?);
        }
        let names: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
        if let Some(unknown) = self.only.iter().find(|only| !names.contains(&only.as_str())) {
            return Err(Failure::usage(
                format!("there is no rule {unknown}"),
                &format!("give one of {}", names.join(", ")),
            ));
        }
        rules.retain(|rule| self.only.is_empty() || self.only.contains(&rule.id));
        Ok(rules)
    }
}

/// The rules that were not applied, and the tables that are missing.
pub(super) fn say_not_applied(rules: &[(&str, &[String])], terminal: &Terminal) {
    if !rules.is_empty() {
        let all: Vec<String> =
            rules.iter().map(|(rule, tables)| format!("{rule} (there is no {})", tables.join(", "))).collect();
        terminal.say(Tone::Faint, "not applied", all.join(", "));
    }
}

/// The last lines: the number of rules that were applied, and of findings.
fn say(audited: &Audited, terminal: &Terminal) {
    let silent: Vec<(&str, &[String])> = audited
        .rules
        .iter()
        .filter_map(|asked| match &asked.outcome {
            Outcome::NothingToAsk(tables) => Some((asked.rule.as_str(), tables.as_slice())),
            Outcome::Findings(_) => None,
        })
        .collect();
    say_not_applied(&silent, terminal);
    let of = |severity| audited.findings.iter().filter(|finding| finding.severity == severity).count();
    let asked = count(audited.rules.len() - silent.len(), "rule");
    match audited.findings.is_empty() {
        true if silent.len() == audited.rules.len() => {
            terminal.say(Tone::Bad, "not audited", "the release has no table that a rule reads".to_owned());
        }
        true => terminal.say(Tone::Good, "clean", format!("{asked} found nothing")),
        false => terminal.say(
            Tone::Bad,
            "found",
            format!(
                "{}, {}, {} by {asked}",
                count(of(Severity::Error), "error"),
                count(of(Severity::Warning), "warning"),
                count(of(Severity::Note), "note")
            ),
        ),
    }
}

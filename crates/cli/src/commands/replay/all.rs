//! Runs every step of a release again, each in a private directory.
//!
//! No file of the release is accepted as proof. The inputs of a step are copied out of the release, checked against
//! the manifest's digests, into a private directory, where the step makes its outputs again. Earlier work counts only
//! through the auditor's own notes ([`Notes`]).

use std::path::{Path, PathBuf};

use retrace_files::{FileError, Scratch, write_whole};
use retrace_manifest::{
    Again, Order, Outcome, ReplayStatement as Statement, Replayer, Unknown, attestation, circle_in_words, unfold,
};
use retrace_model::Engine;
use retrace_numerics::isa;
use retrace_spec::manifest::GraphStep;
use retrace_spec::{Manifest, RelPath, canonical_digest};
use serde_json::json;

use super::super::keys::signing_key;
use super::super::{Exit, Opened, seal};
use super::ReplayArguments;
use super::again::Release;
use super::notes::Notes;
use crate::environment;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Replays every step of the release, in the order of their dependencies.
pub(super) fn all(
    arguments: &ReplayArguments,
    opened: &Opened<Manifest>,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let Opened { document: manifest, root, .. } = opened;
    let key = arguments.key.as_deref().map(|key| signing_key(key, terminal)).transpose()?;
    let unfolded = unfold(manifest, root.path());
    let whole = unfolded.as_ref().map_or(manifest, |unfolded| &unfolded.manifest);
    let parts: &[Unknown] = unfolded.as_ref().map_or(&[], |unfolded| &unfolded.unknown);
    if whole.steps.is_empty() && parts.is_empty() {
        let what = format!("{} has no step to run again", manifest.name);
        return Err(Failure::usage(
            what,
            "steps are recorded when `retrace make`, `clean`, `tokenize`, `train` or `eval` runs; `retrace seal` puts them into the manifest",
        ));
    }
    let engine = arguments.engine.get();
    let replayer = Replayer {
        tool: seal::TOOL.to_owned(),
        numerics: retrace_numerics::VERSION,
        machine: format!("{} {}", std::env::consts::ARCH, isa::detect().name()),
        engine: (engine != Engine::default()).then(|| engine.name().to_owned()),
    };
    if let Some(output) = &arguments.output
        && let Some(path) = seal::inside(root.path(), output)
        && (whole.artifact(&path).is_some() || path == opened.path)
    {
        let what = format!("{path} would be written over, and it is a file of the release");
        return Err(Failure::usage(what, "give another file with --output"));
    }
    let scratch = scratch(arguments.scratch.as_deref(), root.path())?;
    let notes = arguments.notes.as_deref().map(|directory| {
        outside(root.path(), directory, "--notes")?;
        Notes::open(directory, manifest, &replayer, key.as_ref())
    });
    let notes = notes.transpose()?;
    let order = Order::of(&whole.steps);
    let mut circle_of = vec![None; whole.steps.len()];
    for circle in &order.circles {
        circle.iter().for_each(|at| circle_of[*at] = Some(circle));
    }
    let mut release = Release::new(root, whole, engine);
    let mut outcomes = Vec::new();
    for at in order.steps {
        let step = &whole.steps[at];
        let circle = circle_of[at].map(|circle: &Vec<usize>| match circle.len() {
            1 => "it reads what it makes, and would be lent its own answer".to_owned(),
            _ => format!("steps in a circle need what they make themselves: {}", circle_in_words(circle, &whole.steps)),
        });
        let digest = canonical_digest("step/1", step)?;
        let note = match &notes {
            Some(notes) if circle.is_none() && release.has_all_of(step) => notes.of(&step.id, digest, terminal)?,
            _ => None,
        };
        let again = match (note, circle) {
            (Some(_), _) => Again::SameBits,
            (None, Some(because)) => Again::Invalid { because },
            (None, None) => release.again(step, &scratch.path().join("step"), terminal)?,
        };
        let outcome = Outcome { step: step.id.clone(), digest, again, note };
        if let (Some(notes), Again::SameBits, None) = (&notes, &outcome.again, note) {
            notes.write(&outcome)?;
        }
        say(terminal, step, &outcome);
        outcomes.push(outcome);
    }
    scratch.close()?;
    let unknown = parts.iter().map(|part| part.at.clone()).collect();
    let statement = Statement { replayer, steps: outcomes, unknown };
    if let Some(output) = &arguments.output {
        write_whole(output, attestation(manifest, &statement, key.as_ref())?.as_bytes())?;
    }
    conclude(manifest, whole, &statement, engine, terminal)
}

/// Prints the summary of all steps, and which files of `whole`, the manifest with its parts, no step makes.
fn conclude(
    manifest: &Manifest,
    whole: &Manifest,
    statement: &Statement,
    engine: Engine,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let Statement { replayer, steps, unknown } = statement;
    let counted = |wanted: fn(&Again) -> bool| steps.iter().filter(|outcome| wanted(&outcome.again)).count();
    let same = counted(|again| matches!(again, Again::SameBits));
    let left = counted(|again| matches!(again, Again::NotReplayed { .. }));
    let noted = steps.iter().filter(|outcome| outcome.note.is_some()).count();
    let findings = steps.len() - same - left;
    let exit = match (findings, left + unknown.len()) {
        (0, 0) => Exit::Holds,
        (0, _) => Exit::Failed,
        _ => Exit::Finding,
    };
    let holds = exit == Exit::Holds;
    let result = json!({"holds": holds, "root": manifest.root, "replayer": replayer, "engine": engine.name(),
        "steps": steps, "unknown": unknown, "not_made": whole.not_made()});
    terminal.result("replay-all/2", &result, |out| {
        for Outcome { step, again, .. } in steps {
            match again {
                Again::SameBits => {}
                Again::NotReplayed { because } => writeln!(out, "not replayed  {step}: {because}")?,
                Again::Invalid { because } => {
                    writeln!(out, "{} {step}: {because}", terminal.tone(Tone::Bad, "invalid      "))?;
                }
                Again::Differs { outputs } => {
                    let word = terminal.tone(Tone::Bad, "differs      ");
                    outputs.iter().try_for_each(|output| writeln!(out, "{word} {step}: {output}"))?;
                }
            }
        }
        for part in unknown {
            writeln!(out, "not replayed  {part}: its manifest could not be used; `retrace verify` says why")?;
        }
        Ok(())
    })?;
    say_not_made(&whole.not_made(), terminal);
    let mut said = format!("{same} of {} give the same bits", count(steps.len() as u64, "step"));
    for (number, what) in [
        (noted, "of them by notes on earlier replays"),
        (left, "could not be replayed here"),
        (unknown.len(), "parts could not be read"),
    ] {
        if number > 0 {
            said += &format!("; {number} {what}");
        }
    }
    said += &format!(" (engine {engine})");
    let tone = if holds { Tone::Good } else { Tone::Bad };
    terminal.say(tone, "replayed", format_args!("{}: {said}", manifest.name));
    Ok(exit)
}

/// Names some of the files that no step makes.
fn say_not_made(paths: &[&RelPath], terminal: &Terminal) {
    const NAMED: usize = 6;
    if paths.is_empty() {
        return;
    }
    let mut names = paths.iter().take(NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if paths.len() > NAMED {
        names += &format!(" and {} more, all in --json", paths.len() - NAMED);
    }
    let files = count(paths.len() as u64, "file");
    terminal.say(Tone::Faint, "not made", format_args!("{files} by no step, so no replay checks them: {names}"));
}

fn say(terminal: &Terminal, step: &GraphStep, outcome: &Outcome) {
    let outputs = count(step.outputs.len() as u64, "output");
    match (&outcome.again, outcome.note) {
        (Again::SameBits, Some(note)) => {
            terminal.say(Tone::Good, "same bits", format_args!("{}: {outputs}, by the note {}", step.id, note.short()));
        }
        (Again::SameBits, None) => terminal.say(Tone::Good, "same bits", format_args!("{}: {outputs}", step.id)),
        (Again::Differs { outputs }, _) => {
            terminal.say(Tone::Bad, "differs", format_args!("{}: {}", step.id, count(outputs.len() as u64, "finding")));
        }
        (Again::Invalid { because }, _) => terminal.say(Tone::Bad, "invalid", format_args!("{}: {because}", step.id)),
        (Again::NotReplayed { because }, _) => {
            terminal.say(Tone::Faint, "not replayed", format_args!("{}: {because}", step.id));
        }
    }
}

/// A new directory that only its owner can enter, outside the release.
fn scratch(directory: Option<&Path>, release: &Path) -> Result<Scratch, Failure> {
    let directory = directory.map_or_else(environment::scratch_directory, Path::to_owned);
    outside(release, &directory, "--scratch")?;
    Ok(Scratch::new(&directory, "retrace-replay")?)
}

/// Refuses a directory that is the release's or is below it, also through links. Its last part need not exist yet.
fn outside(release: &Path, directory: &Path, flag: &str) -> Result<(), Failure> {
    let place = match (directory.symlink_metadata(), directory.parent()) {
        (Err(_), Some(parent)) if parent.as_os_str().is_empty() => PathBuf::from("."),
        (Err(_), Some(parent)) => parent.to_owned(),
        _ => directory.to_owned(),
    };
    if !canonical(&place)?.starts_with(canonical(release)?) {
        return Ok(());
    }
    let what = format!(
        "{} is inside the release's directory, where replay must not write and which it does not trust",
        directory.display()
    );
    Err(Failure::usage(what, &format!("give another directory with {flag} DIR")))
}

fn canonical(path: &Path) -> Result<PathBuf, FileError> {
    path.canonicalize().map_err(FileError::io(path, "open directory"))
}

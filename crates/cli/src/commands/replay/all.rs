//! Every step of a release done again, each in a directory of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use retrace_files::{FileError, Root, hash_file, write_whole};
use retrace_manifest::record::SCRATCH;
use retrace_manifest::{Again, Outcome, Replayer, attestation};
use retrace_numerics::isa;
use retrace_spec::manifest::{GraphStep, StepKind};
use retrace_spec::{Checksum, Manifest, RelPath, Run, Step, canonical_digest};
use retrace_train::replay;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::keys::signing_key;
use super::super::{Exit, Opened, eval, open_run, seal, tokenize, tour, train};
use super::{Replayed, in_words};
use crate::commands::clean;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// What is kept of a step that was done again, under its digest, so that it need not be once more.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// The program that did it.
    tool: String,
    again: Again,
}

/// Does every step of the release again, in the order in which they depend on each other.
pub(super) fn all(arguments: &Replayed, opened: &Opened<Manifest>, terminal: &Terminal) -> Result<Exit, Failure> {
    let Opened { document: manifest, root, .. } = opened;
    let root = root.path();
    let key = arguments.key.as_deref().map(|key| signing_key(key, terminal)).transpose()?;
    let own = own_directory(root)?;
    let mut outcomes = Vec::new();
    for step in in_order(&manifest.steps) {
        // Not by its id, which may be anything.
        let name = Checksum::from(canonical_digest("step/1", step)?).hex();
        let note = own.join(format!("{name}.json"));
        let (again, before) = match (missing(root, step), kept(&note).filter(|kept| kept.tool == seal::TOOL)) {
            (Some(because), _) => (Again::NotReplayed { because }, false),
            (None, Some(Kept { again: Again::SameBits, .. })) if outputs_differ(root, step)?.is_empty() => {
                (Again::SameBits, true)
            }
            _ => (again(root, &own.join(name), manifest, step, terminal)?, false),
        };
        let text = json!(Kept { tool: seal::TOOL.to_owned(), again: again.clone() });
        write_whole(&note, format!("{text:#}\n").as_bytes())?;
        say(terminal, step, &again, before);
        outcomes.push(Outcome { step: step.id.clone(), again });
    }
    let replayer = Replayer {
        tool: seal::TOOL.to_owned(),
        numerics: retrace_numerics::VERSION,
        machine: format!("{} {}", std::env::consts::ARCH, isa::detect().name()),
    };
    if let Some(output) = &arguments.output {
        write_whole(output, attestation(manifest, &replayer, &outcomes, key.as_ref())?.as_bytes())?;
    }
    let counted = |wanted: fn(&Again) -> bool| outcomes.iter().filter(|outcome| wanted(&outcome.again)).count();
    let same = counted(|again| matches!(again, Again::SameBits));
    let differ = counted(|again| matches!(again, Again::Differs { .. }));
    let result = json!({"holds": differ == 0, "root": manifest.root, "replayer": replayer, "steps": outcomes});
    terminal.result("replay-all/1", &result, |out| {
        for Outcome { step, again } in &outcomes {
            match again {
                Again::SameBits => {}
                Again::NotReplayed { because } => writeln!(out, "not replayed  {step}: {because}")?,
                Again::Differs { outputs } => {
                    let word = terminal.tone(Tone::Bad, "differs      ");
                    outputs.iter().try_for_each(|output| writeln!(out, "{word} {step}: {output}"))?;
                }
            }
        }
        Ok(())
    })?;
    let left = outcomes.len() - same - differ;
    let tone = if differ == 0 { Tone::Good } else { Tone::Bad };
    let all = count(outcomes.len() as u64, "step");
    let rest = if left > 0 { format!("; {left} could not be replayed here") } else { String::new() };
    terminal.say(tone, "replayed", format_args!("{}: {same} of {all} give the same bits{rest}", manifest.name));
    Ok(match (differ, left) {
        (0, 0) => Exit::Holds,
        (0, _) => Exit::Failed,
        _ => Exit::Finding,
    })
}

fn say(terminal: &Terminal, step: &GraphStep, again: &Again, before: bool) {
    let outputs = count(step.outputs.len() as u64, "output");
    match again {
        Again::SameBits if before => {
            terminal.say(Tone::Good, "same bits", format_args!("{}: {outputs}, done again earlier", step.id));
        }
        Again::SameBits => terminal.say(Tone::Good, "same bits", format_args!("{}: {outputs}", step.id)),
        Again::Differs { outputs } => {
            terminal.say(Tone::Bad, "differs", format_args!("{}: {}", step.id, count(outputs.len() as u64, "finding")));
        }
        Again::NotReplayed { because } => {
            terminal.say(Tone::Faint, "not replayed", format_args!("{}: {because}", step.id));
        }
    }
}

/// Where steps are done again: below the release's directory, and no link to elsewhere.
fn own_directory(root: &Path) -> Result<PathBuf, Failure> {
    let own = root.join(SCRATCH).join("replay");
    for path in [&root.join(SCRATCH), &own] {
        if path.is_symlink() {
            let what = format!("{} is a link, and nothing is written through it", path.display());
            return Err(Failure::usage(what, "remove the link"));
        }
    }
    fs::create_dir_all(&own).map_err(FileError::io(&own, "create"))?;
    Ok(own)
}

/// What an earlier replay left; nothing if it is not there or makes no sense.
fn kept(note: &Path) -> Option<Kept> {
    serde_json::from_slice(&fs::read(note).ok()?).ok()
}

/// The steps, each after those that make what it reads; those in a circle come last.
fn in_order(steps: &[GraphStep]) -> Vec<&GraphStep> {
    let mut left: Vec<&GraphStep> = steps.iter().collect();
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let made: BTreeSet<&RelPath> = left.iter().flat_map(|step| &step.outputs).map(|output| &output.path).collect();
        let ready = |step: &&GraphStep| !step.inputs.iter().any(|input| made.contains(&input.path));
        let at = left.iter().position(ready).unwrap_or(0);
        ordered.push(left.remove(at));
    }
    ordered
}

/// What is missing here for doing the step again, if anything is.
fn missing(root: &Path, step: &GraphStep) -> Option<String> {
    let here = retrace_numerics::VERSION;
    if let Some(numerics) = step.numerics.filter(|numerics| *numerics != here) {
        return Some(format!("it was made with numerics version {numerics}; here is {here}"));
    }
    step.inputs.iter().find_map(|input| match hash_file(&input.path.under(root)) {
        Ok((_, digest)) if digest == input.digest => None,
        Ok(_) => Some(format!("{} is not what the step read", input.path)),
        Err(error) => Some(error.to_string()),
    })
}

/// Does one step again.
fn again(
    root: &Path,
    scratch: &Path,
    manifest: &Manifest,
    step: &GraphStep,
    terminal: &Terminal,
) -> Result<Again, Failure> {
    let changed = outputs_differ(root, step)?;
    if scratch.exists() {
        fs::remove_dir_all(scratch).map_err(FileError::io(scratch, "remove"))?;
    }
    fs::create_dir_all(scratch).map_err(FileError::io(scratch, "create"))?;
    step.inputs.iter().try_for_each(|input| lend(root, scratch, &input.path))?;
    let done = carry_out(root, scratch, manifest, step, terminal);
    let because = done.unwrap_or_else(|failure| Some(failure.to_string()));
    let mut findings = outputs_differ(scratch, step)?;
    fs::remove_dir_all(scratch).map_err(FileError::io(scratch, "remove"))?;
    if let Some(because) = because {
        return Ok(Again::NotReplayed { because });
    }
    if step.kind == StepKind::Train && !(findings.is_empty() && changed.is_empty()) {
        findings.extend(diagnosed(root, step, terminal)?);
    }
    findings.extend(changed.into_iter().map(|path| format!("{path} here, which is not what the step made")));
    Ok(if findings.is_empty() { Again::SameBits } else { Again::Differs { outputs: findings } })
}

/// Has the file of the release in the scratch directory too: linked, or copied where that cannot be.
fn lend(root: &Path, scratch: &Path, path: &RelPath) -> Result<(), FileError> {
    let (from, to) = (path.under(root), path.under(scratch));
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(FileError::io(parent, "create"))?;
    }
    fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)).map_err(FileError::io(&to, "write"))
}

/// The outputs of `step` that are not below `directory` as the manifest says.
fn outputs_differ(directory: &Path, step: &GraphStep) -> Result<Vec<String>, FileError> {
    let mut differ = Vec::new();
    for output in &step.outputs {
        let path = output.path.under(directory);
        if !path.exists() || hash_file(&path)?.1 != output.digest {
            differ.push(output.path.to_string());
        }
    }
    Ok(differ)
}

/// Does the step below `scratch`, where its inputs lie; gives why not, if it cannot.
fn carry_out(
    root: &Path,
    scratch: &Path,
    manifest: &Manifest,
    step: &GraphStep,
    terminal: &Terminal,
) -> Result<Option<String>, Failure> {
    let config = step.config.as_ref().map(|config| config.under(scratch));
    match (step.kind, config) {
        (StepKind::Generate, Some(config)) => {
            tour::generate_corpus(&Root::open(scratch)?, &config, terminal).map(drop)?
        }
        (StepKind::Clean, Some(config)) => clean::carry_out(&config, terminal).map(drop)?,
        (StepKind::Tokenize, Some(config)) => tokenize::carry_out(&config, terminal).map(drop)?,
        (StepKind::Train, Some(config)) => train::carry_out(&config, false, terminal).map(drop)?,
        (StepKind::Eval, _) => return evaluate(scratch, step, terminal),
        (StepKind::Import, _) if tour::is_tours(manifest, step) => {
            let runs = runs(root, manifest, step)?;
            tour::write_tables(&Root::open(scratch)?, &runs, terminal)?;
        }
        (StepKind::Import, _) => return Ok(Some("what was imported leaves no recipe to do it again by".to_owned())),
        (_, None) => return Ok(Some("it has no document that says how it was done".to_owned())),
    }
    Ok(None)
}

/// The run files of the trainings whose results `step` reads.
fn runs(root: &Path, manifest: &Manifest, step: &GraphStep) -> Result<Vec<Run>, Failure> {
    let reads = |path: &RelPath| step.inputs.iter().any(|input| input.path == *path);
    let training = manifest.steps.iter().filter(|made| made.kind == StepKind::Train);
    let read = training.filter(|made| made.outputs.iter().any(|output| reads(&output.path)));
    read.filter_map(|made| made.config.as_ref()).map(|config| Ok(open_run(&config.under(root))?.0.document)).collect()
}

/// Evaluates each model that the step read on each task that it read, and writes the results where
/// the step has those that are called after the model.
fn evaluate(scratch: &Path, step: &GraphStep, terminal: &Terminal) -> Result<Option<String>, Failure> {
    let inputs = || step.inputs.iter().map(|input| &input.path);
    let mut tasks = Vec::new();
    for path in inputs().filter(|path| path.as_str().ends_with(".yaml")) {
        tasks.push(eval::load(&path.under(scratch))?);
    }
    for output in &step.outputs {
        let Some(name) = output.path.as_str().strip_suffix(".json") else { continue };
        let of_output = |model: &&str| {
            let mut parts = model.rsplit('/');
            let (last, parent) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            [format!("{parent}/{last}"), format!("{parent}-{last}")].iter().any(|model| name.ends_with(model.as_str()))
        };
        let models = inputs().filter_map(|path| path.as_str().strip_suffix("/config.json"));
        let Some(model) = models.into_iter().find(of_output) else {
            return Ok(Some(format!("which model {} is of cannot be told", output.path)));
        };
        let results = eval::evaluate(&scratch.join(model), &tasks, terminal.progress().as_ref())?;
        results.write(Root::open(scratch)?.create(&output.path)?)?;
    }
    Ok(None)
}

/// Where a training that was published does not follow, in words.
fn diagnosed(root: &Path, step: &GraphStep, terminal: &Terminal) -> Result<Vec<String>, Failure> {
    let Some(config) = &step.config else { return Ok(Vec::new()) };
    let (Opened { document: run, .. }, _) = open_run(&config.under(root))?;
    let stretch = (Step(0), run.steps());
    let replayed = replay(&Root::open(root)?, &run, stretch, true, terminal.progress().as_ref())?;
    Ok(replayed.findings.iter().map(in_words).collect())
}

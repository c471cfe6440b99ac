//! `retrace tour`

use std::path::{Path, PathBuf};
use std::time::Instant;

use retrace_files::{Root, Silent, WalkEntry, Wanted, hash, is_lock, is_partial, walk};
use retrace_manifest::{Comparison, Verification, compare, record, verify};
use retrace_model::Engine;
use retrace_report::{Checked, CheckedReplay, page};
use retrace_spec::{Document, Manifest, PageRecipe, RelPath, Run, Step};
use retrace_steps::{Made, MakeOptions, Outcome, StepError, make, sections};
use retrace_train::replay;
use serde_json::json;

use super::make::say as say_step;
use super::{Exit, in_release, open, replay as replaying, seal};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Make a small release from start to end, and compare it with the published one
///
/// Writes a synthetic corpus in English and Chinese, cleans and tokenizes it, trains three small models,
/// evaluates every checkpoint, seals everything into a manifest, verifies it, replays part of the
/// training, the first steps also with the second engine, and writes a report. Then compares every file with the release that was published with
/// this program. On every machine, every bit should be the same. Takes some minutes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace tour
  retrace tour /tmp/tour
  retrace query \"select step, task, value from metrics order by step\" retrace-tour

Exit codes: 0 identical to the published release, 1 something differs, 2 an error.")]
pub(crate) struct Tour {
    /// The directory to write; files of an earlier tour there are removed first, if it holds nothing else
    #[arg(default_value = "retrace-tour")]
    dir: PathBuf,
}

/// The tour's documents, by their paths in its directory.
const DOCUMENTS: [(&str, &str); 17] = [
    ("corpus.yaml", include_str!("../../../../manifests/tour/corpus.yaml")),
    ("clean.yaml", include_str!("../../../../manifests/tour/clean.yaml")),
    ("tokenize.yaml", include_str!("../../../../manifests/tour/tokenize.yaml")),
    ("tiny.yaml", include_str!("../../../../manifests/tour/tiny.yaml")),
    ("small.yaml", include_str!("../../../../manifests/tour/small.yaml")),
    ("base.yaml", include_str!("../../../../manifests/tour/base.yaml")),
    ("eval-tiny.yaml", include_str!("../../../../manifests/tour/eval-tiny.yaml")),
    ("eval-small.yaml", include_str!("../../../../manifests/tour/eval-small.yaml")),
    ("eval-base.yaml", include_str!("../../../../manifests/tour/eval-base.yaml")),
    ("tables.yaml", include_str!("../../../../manifests/tour/tables.yaml")),
    ("contamination.yaml", include_str!("../../../../manifests/tour/contamination.yaml")),
    ("scaling.yaml", include_str!("../../../../manifests/tour/scaling.yaml")),
    (PAGE, include_str!("../../../../manifests/tour/page.yaml")),
    ("tasks/heldout-en.yaml", include_str!("../../../../manifests/tour/tasks/heldout-en.yaml")),
    ("tasks/heldout-zh.yaml", include_str!("../../../../manifests/tour/tasks/heldout-zh.yaml")),
    ("tasks/facts-en.yaml", include_str!("../../../../manifests/tour/tasks/facts-en.yaml")),
    ("tasks/facts-zh.yaml", include_str!("../../../../manifests/tour/tasks/facts-zh.yaml")),
];
/// The document of the page.
const PAGE: &str = "page.yaml";
/// The manifest of the published release.
const PUBLISHED: &str = include_str!("../../../../manifests/tour/manifest.yaml");
/// The training step of which a part is replayed, and its run file.
const REPLAYED: (&str, &str) = ("train-base", "base.yaml");
/// The ranges, and their engines: all steps once, and the first ones by a second implementation.
const STRETCHES: [(Step, Step, Engine); 2] =
    [(Step(120), Step(180), Engine::Fused), (Step(120), Step(132), Engine::Candle)];
/// The release's name.
const NAME: &str = "tour";
const MANIFEST: &str = "manifest.yaml";
/// The page with the results of the checks at its top. It describes the manifest, so the manifest cannot cover it.
const CHECKED: &str = "checked.html";
/// The marker file with which a tour claims its directory.
const MARK: &str = ".retrace/tour";

impl Tour {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let began = Instant::now();
        let published = Manifest::parse(PUBLISHED, "the published manifest")?;
        let root = &begin(&self.dir, &published)?;
        let progress = terminal.progress();
        let made = make(root, &MakeOptions::default(), progress.as_ref(), &mut |event| say_step(terminal, event))?;
        if let Some(error) = first_error(made) {
            return Err(error.into());
        }
        let manifest = seal_release(root, terminal)?;
        let files = count(manifest.artifacts.len(), "file");
        terminal.say(
            Tone::Good,
            "sealed",
            format_args!("{files}, {}; root {}", count(manifest.steps.len(), "step"), manifest.root),
        );
        let manifest_path: RelPath = in_release(MANIFEST)?;
        let verification = verify(&manifest, root.path(), Some(&manifest_path), terminal.progress().as_ref())?;
        match verification.holds() {
            true => terminal.say(Tone::Good, "verified", format_args!("{files}: all as sealed")),
            false => terminal.say(Tone::Bad, "verified", count(verification.findings().count(), "finding")),
        }
        let (id, run) = REPLAYED;
        let run = open::<Run>(&root.path().join(run))?.document;
        let mut replays = Vec::new();
        for (from, to, engine) in STRETCHES {
            let network = engine.network(&run.model)?;
            let replay = replay(root, &run, network.as_ref(), (from, to), false, terminal.progress().as_ref())?;
            replaying::say(terminal, id, engine, &replay);
            replays.push(CheckedReplay { step: id.to_owned(), engine: engine.to_string(), replay });
        }
        let comparison = compare(&published, &manifest);
        let checked = Checked {
            manifest: &manifest,
            comparison: Some(&comparison),
            verification: Some(&verification),
            replays: &replays,
        };
        let recipe = open::<PageRecipe>(&root.path().join(PAGE))?.document;
        let text = page(&recipe.title, Some(&checked), &sections(root, &recipe)?)?;
        root.write(&in_release(CHECKED)?, text.as_bytes())?;
        self.conclude(terminal, &checked, &comparison, began)
    }

    fn conclude(
        &self,
        terminal: &Terminal,
        checked: &Checked<'_>,
        comparison: &Comparison,
        began: Instant,
    ) -> Result<Exit, Failure> {
        let manifest = checked.manifest;
        let (same, all) = (comparison.identical.len(), manifest.artifacts.len() + comparison.missing.len());
        let holds = comparison.holds()
            && checked.verification.is_some_and(Verification::holds)
            && checked.replays.iter().all(|checked| checked.replay.holds());
        let replays: Vec<_> = checked
            .replays
            .iter()
            .map(|CheckedReplay { step, engine, replay }| json!({"step": step, "engine": engine, "replay": replay}))
            .collect();
        let result = json!({
            "holds": holds,
            "root": manifest.root,
            "artifacts": all,
            "identical": same,
            "comparison": comparison,
            "replays": replays,
        });
        terminal.result("tour/2", &result, |out| {
            let lists =
                [("differs", &comparison.different), ("missing", &comparison.missing), ("extra", &comparison.extra)];
            for (word, paths) in lists {
                for path in paths {
                    writeln!(out, "{} {path}", terminal.tone(Tone::Bad, format!("{word:<9}")))?;
                }
            }
            let tone = if comparison.holds() { Tone::Good } else { Tone::Bad };
            writeln!(
                out,
                "{}",
                terminal.tone(tone, format!("{same} of {all} artifacts identical to the published release"))
            )
        })?;
        terminal.say(Tone::Faint, "took", format_args!("{} s", began.elapsed().as_secs()));
        terminal.say(Tone::Faint, "see", self.dir.join(CHECKED).display());
        Ok(Exit::holds(holds))
    }
}

/// Why a step failed, if one failed.
fn first_error(made: Made) -> Option<StepError> {
    made.steps.into_iter().find_map(|event| match event.outcome {
        Outcome::Failed { error, .. } => Some(*error),
        _ => None,
    })
}

/// Removes from the directory what an earlier tour made, and writes the tour's documents. Nothing is removed unless
/// all files there are known to be the tour's.
fn begin(directory: &Path, published: &Manifest) -> Result<Root, Failure> {
    let root = Root::make(directory)?;
    let mark = in_release(MARK)?;
    let entries = root.list()?;
    if !entries.is_empty() && !root.has(&mark) {
        let what = format!("{} is not empty and was not made by an earlier tour", directory.display());
        return Err(Failure::usage(what, "give an empty directory, or one that does not exist yet"));
    }
    for found in walk(directory, &|_| false)? {
        if !is_the_tours(&root, &found, published) {
            let what = format!(
                "{} holds {}, which differs from what the tour of this version makes; nothing was removed",
                directory.display(),
                found.path()
            );
            return Err(Failure::usage(what, "give another directory, or remove this one yourself"));
        }
    }
    for (name, _) in entries {
        root.remove(&in_release(&name)?)?;
    }
    root.write(&mark, b"made by retrace tour\n")?;
    for (path, text) in DOCUMENTS {
        root.write(&in_release(path)?, text.as_bytes())?;
    }
    Ok(root)
}

/// Whether the tour made this: a file whose bytes are those of the tour's documents or published artifacts, or one
/// with a name that only retrace uses.
fn is_the_tours(root: &Root, found: &WalkEntry, published: &Manifest) -> bool {
    let WalkEntry::File(path) = found else { return false };
    let name = path.file_name();
    let records = path.as_str().strip_prefix(record::SCRATCH).is_some_and(|rest| rest.starts_with('/'));
    if records || is_lock(name) || is_partial(name) || [MANIFEST, CHECKED].contains(&path.as_str()) {
        return true;
    }
    let document = DOCUMENTS.iter().find(|(document, _)| *document == path.as_str());
    let made = match document {
        Some((_, text)) => Some(retrace_spec::Digest::of(text.as_bytes())),
        None => published.artifact(path).map(|artifact| artifact.digest),
    };
    let there = root.file(path).and_then(|file| hash(&file, Wanted::default(), &Silent));
    made.is_some_and(|made| there.is_ok_and(|there| there.digest == made))
}

fn seal_release(root: &Root, terminal: &Terminal) -> Result<Manifest, Failure> {
    let options = retrace_manifest::SealOptions {
        name: NAME.to_owned(),
        tool: seal::TOOL.to_owned(),
        own: vec![in_release(MANIFEST)?],
        ignore: vec![in_release(CHECKED)?],
        sha256: false,
        nest: vec![],
    };
    let manifest = retrace_manifest::seal(root.path(), &options, terminal.progress().as_ref())?;
    root.write(&in_release(MANIFEST)?, manifest.to_yaml()?.as_bytes())?;
    Ok(manifest)
}

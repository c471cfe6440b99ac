//! `retrace tour`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use retrace_corpus::CleanReport;
use retrace_corpus::synthetic::{Generated, Plan, generate};
use retrace_files::{Found, Root, Silent, Unit, Wanted, hash, is_lock, is_partial, walk};
use retrace_manifest::record::{self, Done};
use retrace_manifest::{Comparison, Verdict, Verification, compare, verify};
use retrace_query::Session;
use retrace_report::{Checked, gather, release, release_page};
use retrace_spec::manifest::{GraphStep, Kind, StepKind};
use retrace_spec::{CleanRecipe, Document, Manifest, RelPath, Run, Step};
use retrace_train::{Replay, checkpoints, directory_of, replay};
use serde_json::json;

use super::{Exit, Opened, clean, eval, in_release, open, replay as replaying, seal, tokenize, train};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

mod tables;

/// Do the whole job on an embedded corpus, and compare it with the published release
///
/// Writes a raw corpus in English and Chinese, cleans and tokenizes it, trains three small models,
/// evaluates every checkpoint, seals everything into a manifest, verifies it, replays a stretch of
/// the training, and writes a report. Then it compares every file with the release that was
/// published with this program: on any machine, every bit should be the same. Takes some minutes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace tour
  retrace tour /tmp/tour
  retrace query \"select step, task, value from metrics order by step\" retrace-tour

Exit codes: 0 identical to the published release, 1 something differs, 2 could not do it.")]
pub(crate) struct Tour {
    /// Where it is made; what an earlier tour left there is removed first, if nothing else is there
    #[arg(default_value = "retrace-tour")]
    dir: PathBuf,
}

/// The tour's documents, by the path that they are given in its directory.
const DOCUMENTS: [(&str, &str); 10] = [
    ("corpus.yaml", include_str!("../../../../manifests/tour/corpus.yaml")),
    ("clean.yaml", include_str!("../../../../manifests/tour/clean.yaml")),
    ("tokenize.yaml", include_str!("../../../../manifests/tour/tokenize.yaml")),
    ("tiny.yaml", include_str!("../../../../manifests/tour/tiny.yaml")),
    ("small.yaml", include_str!("../../../../manifests/tour/small.yaml")),
    ("base.yaml", include_str!("../../../../manifests/tour/base.yaml")),
    ("tasks/heldout-en.yaml", include_str!("../../../../manifests/tour/tasks/heldout-en.yaml")),
    ("tasks/heldout-zh.yaml", include_str!("../../../../manifests/tour/tasks/heldout-zh.yaml")),
    ("tasks/facts-en.yaml", include_str!("../../../../manifests/tour/tasks/facts-en.yaml")),
    ("tasks/facts-zh.yaml", include_str!("../../../../manifests/tour/tasks/facts-zh.yaml")),
];
/// The manifest of the published release.
const PUBLISHED: &str = include_str!("../../../../manifests/tour/manifest.yaml");
const RUNS: [&str; 3] = ["tiny", "small", "base"];
const TASKS: [&str; 4] = ["heldout-en", "heldout-zh", "facts-en", "facts-zh"];
/// The run of which a stretch is replayed, and the stretch.
const REPLAYED: (&str, Step, Step) = ("base", Step(120), Step(180));
/// The release's name.
const NAME: &str = "tour";
const MANIFEST: &str = "manifest.yaml";
const REPORT: &str = "report.html";
/// Where a tour says that the directory is its.
const MARK: &str = ".retrace/tour";

impl Tour {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let began = Instant::now();
        let published = Manifest::parse(PUBLISHED, "the published manifest")?;
        let root = &begin(&self.dir, &published)?;
        let made = generate_corpus(root, &root.path().join("corpus.yaml"), terminal)?;
        terminal.say(
            Tone::Good,
            "wrote",
            format_args!("{} in {}", count(made.documents, "document"), count(made.shards.len(), "shard")),
        );
        let (cleaned, _) = clean::carry_out(&root.path().join("clean.yaml"), terminal)?;
        terminal.say(
            Tone::Good,
            "cleaned",
            format_args!("{}, kept {}", count(cleaned.documents, "document"), cleaned.kept),
        );
        let (tokenized, _) = tokenize::carry_out(&root.path().join("tokenize.yaml"), terminal)?;
        terminal.say(Tone::Good, "tokenized", count(tokenized.tokens, "token"));
        let mut runs = Vec::new();
        for name in RUNS {
            let (run, journal, _) = train::carry_out(&root.path().join(format!("{name}.yaml")), false, terminal)?;
            let loss = journal.lines().last().map_or(f64::NAN, |line| line.loss);
            terminal.say(
                Tone::Good,
                "trained",
                format_args!("{name}: {}, to a loss of {loss:.3}", count(run.steps().get(), "step")),
            );
            runs.push(run);
        }
        let evaluated = evaluate(root, &runs, terminal)?;
        terminal.say(
            Tone::Good,
            "evaluated",
            format_args!("{} on {}", count(evaluated, "checkpoint"), count(TASKS.len(), "task")),
        );
        let too_short = write_tables(root, &runs, terminal)?;

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
        let replayed = replay_stretch(root, terminal)?;
        replaying::say(terminal, &format!("train-{}", REPLAYED.0), &replayed);
        let comparison = compare(&published, &manifest);
        let cleaning = cleaning(root, &cleaned)?;
        let checked = checked(&manifest, &verification, &replayed, &comparison, cleaning, too_short);
        let report = report(root, checked)?;
        terminal.say(Tone::Good, "reported", report.display());
        self.conclude(terminal, &manifest, &verification, &replayed, &comparison, began)
    }

    fn conclude(
        &self,
        terminal: &Terminal,
        manifest: &Manifest,
        verification: &Verification,
        replayed: &Replay,
        comparison: &Comparison,
        began: Instant,
    ) -> Result<Exit, Failure> {
        let (same, all) = (comparison.identical.len(), manifest.artifacts.len() + comparison.missing.len());
        let holds = comparison.holds() && verification.holds() && replayed.holds();
        let result = json!({
            "holds": holds,
            "root": manifest.root,
            "artifacts": all,
            "identical": same,
            "comparison": comparison,
            "replay": replayed,
        });
        terminal.result("tour/1", &result, |out| {
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
        terminal.say(Tone::Faint, "look at", self.dir.join(REPORT).display());
        Ok(Exit::holds(holds))
    }
}

/// Empties the directory of what an earlier tour made, and writes the tour's documents. Nothing is
/// removed unless all that lies there is known to be the tour's.
fn begin(directory: &Path, published: &Manifest) -> Result<Root, Failure> {
    let root = Root::make(directory)?;
    let mark = in_release(MARK)?;
    let entries = root.list()?;
    if !entries.is_empty() && !root.has(&mark) {
        let what = format!("{} is not empty, and not of an earlier tour", directory.display());
        return Err(Failure::usage(what, "give a directory that is empty or not there yet"));
    }
    for found in walk(directory, &|_| false)? {
        if !is_the_tours(&root, &found, published) {
            let what = format!(
                "{} holds {}, which is not as this version's tour makes it; nothing was removed",
                directory.display(),
                found.path()
            );
            return Err(Failure::usage(what, "give another directory, or remove that one yourself"));
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

/// Whether the tour made this: a file whose bytes are those of the tour's documents or published
/// artifacts, or one of a name that only retrace gives.
fn is_the_tours(root: &Root, found: &Found, published: &Manifest) -> bool {
    let Found::File(path) = found else { return false };
    let name = path.file_name();
    let records = path.as_str().strip_prefix(record::SCRATCH).is_some_and(|rest| rest.starts_with('/'));
    if records || is_lock(name) || is_partial(name) || [MANIFEST, REPORT].contains(&path.as_str()) {
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

/// Writes the corpus of the plan at `config` below `root`, and records the step.
pub(super) fn generate_corpus(root: &Root, config: &Path, terminal: &Terminal) -> Result<Generated, Failure> {
    let Opened { document: plan, path, .. } = open::<Plan>(config)?;
    let made = generate(root, &plan, terminal.progress().as_ref())?;
    let shards = made.shards.iter().map(|shard| (shard.clone(), Kind::Shard));
    let benchmarks = made.benchmarks.iter().map(|benchmark| (benchmark.clone(), Kind::Benchmark));
    let done = Done {
        id: "generate".to_owned(),
        kind: StepKind::Generate,
        numerics: Some(retrace_numerics::VERSION),
        config: Some(path),
        inputs: Vec::new(),
        outputs: shards.chain(benchmarks).collect(),
    };
    record::save(root, done)?;
    Ok(made)
}

/// Whether `step` of `manifest` is how a tour makes its tables.
pub(super) fn is_tours(manifest: &Manifest, step: &GraphStep) -> bool {
    manifest.name == NAME && step.id == tables::STEP
}

/// Writes the tables of a tour's release below `root`, and records the step.
pub(super) fn write_tables(root: &Root, runs: &[Run], terminal: &Terminal) -> Result<BTreeMap<String, u64>, Failure> {
    tables::write(root, runs, &TASKS, terminal.progress().as_ref())
}

/// Evaluates every checkpoint of every run; gives how many.
fn evaluate(root: &Root, runs: &[Run], terminal: &Terminal) -> Result<usize, Failure> {
    let mut tasks = Vec::new();
    let mut read = Vec::new();
    for name in TASKS {
        let task = eval::load(&root.path().join("tasks").join(format!("{name}.yaml")))?;
        read.push(in_release(&format!("tasks/{name}.yaml"))?);
        read.push(in_release(&format!("tasks/{}", task.task.items))?);
        tasks.push(task);
    }
    let mut total = 0;
    let progress = terminal.progress();
    for run in runs {
        let output = root.directory(&run.output)?;
        let steps = checkpoints(&output)?;
        progress.begin(&format!("evaluating {}", run.name), (steps.len() * tasks.len()) as u64, Unit::Items);
        let (mut inputs, mut outputs) = (read.clone(), Vec::new());
        for step in &steps {
            let results = eval::evaluate(&directory_of(*step)?.under(output.path()), &tasks, progress.as_ref())?;
            let path = results_path(run, *step)?;
            results.write(root.create(&path)?)?;
            outputs.push((path, Kind::Log));
            for file in ["config.json", "model.safetensors", "tokenizer.json"] {
                inputs.push(in_release(&format!("{}/step-{:06}/{file}", run.output, step.get()))?);
            }
        }
        progress.end();
        total += steps.len();
        let numerics = Some(run.numerics);
        let done =
            Done { id: format!("eval-{}", run.name), kind: StepKind::Eval, numerics, config: None, inputs, outputs };
        record::save(root, done)?;
    }
    Ok(total)
}

/// Where the results of a checkpoint lie.
fn results_path(run: &Run, step: Step) -> Result<RelPath, Failure> {
    in_release(&format!("eval/{}/step-{:06}.json", run.name, step.get()))
}

fn seal_release(root: &Root, terminal: &Terminal) -> Result<Manifest, Failure> {
    let options = retrace_manifest::SealOptions {
        name: NAME.to_owned(),
        tool: seal::TOOL.to_owned(),
        own: vec![in_release(MANIFEST)?],
        // The report tells of the manifest, so the manifest cannot cover it.
        ignore: vec![in_release(REPORT)?],
        sha256: false,
        nest: vec![],
    };
    let manifest = retrace_manifest::seal(root.path(), &options, terminal.progress().as_ref())?;
    root.write(&in_release(MANIFEST)?, manifest.to_yaml()?.as_bytes())?;
    Ok(manifest)
}

fn replay_stretch(root: &Root, terminal: &Terminal) -> Result<Replay, Failure> {
    let (name, from, to) = REPLAYED;
    let Opened { document: run, .. } = open::<Run>(&root.path().join(format!("{name}.yaml")))?;
    Ok(replay(root, &run, (from, to), false, terminal.progress().as_ref())?)
}

/// What cleaning did, in the order of the recipe's rules.
fn cleaning(root: &Root, cleaned: &CleanReport) -> Result<release::Cleaning, Failure> {
    let Opened { document: recipe, .. } = open::<CleanRecipe>(&root.path().join("clean.yaml"))?;
    let place = |rule: &str| recipe.rules.iter().position(|known| known.name() == rule).unwrap_or(usize::MAX);
    let mut dropped: Vec<(String, u64)> = cleaned.dropped.clone().into_iter().collect();
    dropped.sort_by_key(|(rule, _)| place(rule));
    Ok(release::Cleaning { documents: cleaned.documents, kept: cleaned.kept, dropped })
}

/// What the report is told beside the tables.
fn checked(
    manifest: &Manifest,
    verification: &Verification,
    replayed: &Replay,
    comparison: &Comparison,
    cleaning: release::Cleaning,
    too_short: BTreeMap<String, u64>,
) -> Checked {
    let texts = |paths: &[RelPath]| paths.iter().map(RelPath::to_string).collect::<Vec<_>>();
    let counts = verification.counts();
    let counted = |verdict| counts.get(&verdict).copied().unwrap_or(0) as u64;
    Checked {
        name: manifest.name.clone(),
        root: Some(manifest.root.to_string()),
        comparison: Some(release::Comparison {
            identical: comparison.identical.len() as u64,
            different: texts(&comparison.different),
            missing: texts(&comparison.missing),
            extra: texts(&comparison.extra),
        }),
        verification: Some(release::Verification {
            verified: counted(Verdict::Verified),
            skipped: manifest.ignored.len() as u64,
            findings: verification
                .findings()
                .map(|entry| release::Finding {
                    path: entry.path.to_string(),
                    verdict: format!("{:?}", entry.verdict).to_lowercase(),
                    diagnosis: entry.diagnosis.clone(),
                })
                .collect(),
        }),
        replays: vec![release::Replayed {
            run: REPLAYED.0.to_owned(),
            from: replayed.from.get(),
            to: replayed.to.get(),
            checkpoints: replayed.checkpoints.len() as u64,
            differences: replayed.findings.iter().map(replaying::in_words).collect(),
        }],
        cleaning: Some(cleaning),
        // Four choices each.
        chance: ["facts-en", "facts-zh"].map(|task| (task.to_owned(), 0.25)).into(),
        too_short,
    }
}

fn report(root: &Root, checked: Checked) -> Result<PathBuf, Failure> {
    let session = Session::open(&[root.path().to_owned()])?;
    let path = in_release(REPORT)?;
    root.write(&path, release_page(&gather(&session, checked)?)?.as_bytes())?;
    Ok(path.under(root.path()))
}

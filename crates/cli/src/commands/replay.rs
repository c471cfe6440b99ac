//! `retrace replay`

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;

use retrace_files::Root;
use retrace_manifest::{Entry, Expected, Scope, Verdict, VerifyOptions, verify_expected, would_find};
use retrace_model::Engine;
use retrace_spec::manifest::{GraphStep, StepKind};
use retrace_spec::{Digest, Manifest, RelPath, Run, Step};
use retrace_steps::{Step as _, Training, files_below};
use retrace_train::{Journal, RECORDED_RUN, Replay, checkpoints, directory_of, replay};
use serde::Serialize;
use serde_json::json;

mod again;
mod all;
mod notes;

use super::{Exit, Opened, open, run_of, tolerance};
use crate::engine::EngineChoice;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Compute parts of a training run again and compare them bit for bit
///
/// Starts from a checkpoint of the release and computes the following steps from the run file and the
/// tokens. Every line of the journal and every checkpoint on the way must be the same. If one differs,
/// `replay` reports the kind of difference (record, config, checkpoint, data or arithmetic), the first
/// step that differs, and the fields, sequences or tensors. It stops there, because all later steps
/// depend on that step.
///
/// Another framework computes different bits. With --tolerance, MANIFEST is a run file that starts from
/// the other framework's checkpoint. `replay` compares the end of this run with their later checkpoint,
/// tensor by tensor: the distance between the two, and that distance relative to how far the run moved
/// the tensor.
///
/// `replay` also checks all inputs and outputs of the step against the manifest, and says which outputs
/// it did not compute again. It only reads the release's directory: it writes nothing there, uses only
/// files that the manifest lists, and follows no link out of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace replay release/manifest.yaml
  retrace replay release/manifest.yaml --step train-base --from 60 --to 120 --localise
  retrace replay release/manifest.yaml --sample 5
  retrace replay release/manifest.yaml --all --output replayed.json --key key.pem --notes notes
  retrace replay --json release/manifest.yaml
  retrace replay run.yaml --tolerance their/step-1000

Exit codes: 0 the same bits (with --tolerance: equal to rounding), 1 a difference, 2 an error.")]
pub(crate) struct ReplayArguments {
    /// The manifest in the release's directory; with --tolerance, the run file
    manifest: PathBuf,
    /// The id of the training step [default: the one with the largest outputs]
    #[arg(long, value_name = "ID")]
    step: Option<String>,
    /// The checkpoint to start from [default: one in the middle]
    #[arg(long, value_name = "STEP")]
    from: Option<u64>,
    /// The last step to compute [default: the next checkpoint]
    #[arg(long, value_name = "STEP")]
    to: Option<u64>,
    /// Replay K segments between neighbouring checkpoints, chosen at random, and say what that proves
    #[arg(long, value_name = "K", conflicts_with_all = ["from", "to"], value_parser = clap::value_parser!(u64).range(1..))]
    sample: Option<u64>,
    /// Choose the segments by this seed, to replay the same ones as someone else
    #[arg(long, value_name = "TEXT", requires = "sample")]
    seed: Option<String>,
    /// If the checkpoint to start from differs, compute the segment before it too, to find the tensor and
    /// the number that differ
    #[arg(long)]
    localise: bool,
    /// Run every step of the release again, each in a private directory, from copies of its inputs
    #[arg(long, conflicts_with_all = ["step", "from", "to", "sample", "localise"])]
    all: bool,
    /// With --all: the directory of your notes on earlier replays, outside the release. A step is skipped
    /// if its files are unchanged and a note says that it gave the same bits, for this release, version and
    /// kind of machine. With --key the notes are signed too
    #[arg(long, value_name = "DIR", requires = "all")]
    notes: Option<PathBuf>,
    /// With --all: the directory to run the steps in, outside the release; it needs space for the inputs
    /// and outputs of the largest step [default: the system's temporary directory]
    #[arg(long, value_name = "DIR", requires = "all")]
    scratch: Option<PathBuf>,
    /// With --all: write an in-toto statement of what was replayed, by which version, on what kind of
    /// machine
    #[arg(long, short, value_name = "FILE", requires = "all")]
    output: Option<PathBuf>,
    /// With --output: the private key to sign the statement with, as PEM
    #[arg(long, value_name = "FILE", requires = "output")]
    key: Option<PathBuf>,
    /// The last checkpoint of another framework's run: a Hugging Face directory
    #[arg(long, value_name = "THEIRS", conflicts_with_all = ["step", "from", "to", "sample", "localise", "all"])]
    tolerance: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineChoice,
}

impl ReplayArguments {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        if let Some(theirs) = &self.tolerance {
            return tolerance::follow(&self.manifest, theirs, self.engine.get(), terminal);
        }
        let opened = open::<Manifest>(&self.manifest)?;
        if self.all {
            return all::all(self, &opened, terminal);
        }
        let Opened { document: manifest, root, .. } = opened;
        let step = training_step(&manifest, self.step.as_deref())?;
        let here = retrace_numerics::VERSION;
        if let Some(numerics) = step.numerics.filter(|numerics| *numerics != here) {
            let what = format!(
                "step {} was made with numerics version {numerics}, and this retrace has version {here}",
                step.id
            );
            return Err(Failure::usage(what, "replay it with a retrace of that numerics version"));
        }
        let Some(config) = &step.config else {
            return Err(Failure::usage(format!("step {} has no run file", step.id), "replay a step that has one"));
        };
        let (Opened { document: run, .. }, model) = run_of(&root, config)?;
        let training = Training { run, config: model };
        let mut reads = training.inputs(&root)?;
        reads.push(config.clone());
        let run = training.run;
        let saved = checkpoints(&root.directory(&run.output)?)?;
        let mut changed = changed(&manifest, step, &root, &run, reads, terminal)?;
        let known: BTreeSet<RelPath> = changed.iter().map(|entry| entry.path.clone()).collect();
        let not_the_steps = not_the_steps(step, &run, &saved, &files_below(&root, &run.output)?);
        changed.extend(not_the_steps.into_iter().filter(|entry| !known.contains(&entry.path)));
        let sample = self.sample.map(|stretches| {
            let seed = self.seed.clone().unwrap_or_else(|| format!("{:016x}", RandomState::new().hash_one(())));
            SegmentSample::choose(&saved, stretches as usize, seed)
        });
        if sample.as_ref().is_some_and(|sample| sample.chosen.is_empty()) {
            let what = format!("{} has fewer than two checkpoints", run.output);
            return Err(Failure::usage(what, "a segment needs a checkpoint at each end; leave out --sample"));
        }
        let stretches = match &sample {
            Some(sample) => sample.chosen.clone(),
            None => vec![segment(&saved, self.from.map(Step), self.to.map(Step), run.steps())],
        };
        let engine = self.engine.get();
        let network = engine.network(&run.model)?;
        let mut replays = Vec::new();
        for stretch in stretches {
            replays.push(replay(&root, &run, network.as_ref(), stretch, self.localise, terminal.progress().as_ref())?);
        }
        let holds = replays.iter().all(Replay::holds) && changed.is_empty();

        let first = replays.iter().filter_map(Replay::first).min();
        let not_computed = not_computed(step, &run, &replays);
        let result = json!({"step": step.id, "engine": engine.name(), "holds": holds, "first_difference": first, "changed": changed,
            "sample": sample, "replays": replays, "outputs": step.outputs.len(), "not_computed": not_computed});
        terminal.result("replay/2", &result, |out| {
            let mut finding =
                |word: &str, rest: String| writeln!(out, "{} {rest}", terminal.tone(Tone::Bad, format!("{word:<8}")));
            for entry in &changed {
                let word = match entry.verdict {
                    Verdict::Missing => "missing",
                    Verdict::Extra => "extra",
                    _ => "changed",
                };
                finding(word, format!("{}: {}", entry.path, entry.diagnosis))?;
            }
            let mut told = replays.iter().flat_map(|replay| &replay.findings);
            told.try_for_each(|found| finding("differs", found.to_string()))
        })?;
        replays.iter().for_each(|replay| say(terminal, &step.id, engine, replay));
        if !not_computed.is_empty() {
            terminal.say(Tone::Faint, "not computed", not_computed_in_words(&not_computed, step.outputs.len()));
        }
        if let Some(sample) = &sample {
            terminal.say(Tone::Faint, "sample", sample.proves());
        }
        Ok(Exit::holds(holds))
    }
}

/// The differences from the manifest, among all files that the step read and made, and all files that the replay
/// `reads`: these must be the sealed ones, or the replay would be of something else.
fn changed(
    manifest: &Manifest,
    step: &GraphStep,
    root: &Root,
    run: &Run,
    reads: Vec<RelPath>,
    terminal: &Terminal,
) -> Result<Vec<Entry>, Failure> {
    let artifact = |path: &RelPath| manifest.artifact(path).map(Expected::from);
    let inputs = step.inputs.iter().map(|input| (&input.path, input.digest));
    let outputs = step.outputs.iter().map(|output| (&output.path, output.digest));
    let mut expected: BTreeMap<RelPath, Expected> = inputs
        .chain(outputs)
        .map(|(path, digest)| {
            let checksums = vec![digest.into()];
            let alone = Expected { path: path.clone(), size: None, checksums, slices: vec![], tensors: None };
            let sealed = artifact(path).filter(|sealed| sealed.checksums == alone.checksums);
            (path.clone(), sealed.unwrap_or(alone))
        })
        .collect();
    let mut unsealed = Vec::new();
    let mut others: BTreeSet<RelPath> = reads.into_iter().chain(files_below(root, &run.output)?).collect();
    others.retain(|path| !expected.contains_key(path));
    for path in others {
        if let Some(sealed) = artifact(&path) {
            expected.insert(path, sealed);
            continue;
        }
        unsealed.push(extra(path, "the run reads or makes it, and the manifest does not list it"));
    }
    let expected: Vec<Expected> = expected.into_values().collect();
    let only = expected.iter().map(|expected| expected.path.clone()).collect();
    let options = VerifyOptions { scope: Scope::Only(only), ..VerifyOptions::default() };
    let verification = verify_expected(&expected, root.path(), &options, terminal.progress().as_ref())?;
    Ok(verification.findings().cloned().chain(unsealed).collect())
}

/// The differences between the outputs in the run file and in the manifest: checkpoints and journal that the replay
/// considers the step's, and outputs that the manifest has elsewhere.
fn not_the_steps(step: &GraphStep, run: &Run, saved: &[Step], there: &[RelPath]) -> Vec<Entry> {
    let made: BTreeSet<&RelPath> = step.outputs.iter().map(|output| &output.path).collect();
    let own = |name: &str| run.output.join(name).ok();
    let directories = saved.iter().filter_map(|step| own(directory_of(*step).ok()?.as_str()));
    let runs: Vec<RelPath> = directories.chain(own(Journal::NAME)).chain(own(RECORDED_RUN)).collect();
    let runs: BTreeSet<&RelPath> = runs.iter().collect();
    let of_run = |path: &&RelPath| runs.contains(path) || path.parent().is_some_and(|parent| runs.contains(&parent));
    let unsaid = there.iter().filter(of_run).filter(|path| !made.contains(path));
    let unsaid = unsaid.map(|path| {
        extra(path.clone(), "it belongs to the run, and the manifest does not list it as an output of the step")
    });
    let elsewhere = made.iter().filter(|path| !path.is_within(&run.output));
    let elsewhere = elsewhere.map(|path| {
        extra((*path).clone(), "the manifest lists it as an output of the step, and the run file writes nothing there")
    });
    unsaid.chain(elsewhere).collect()
}

fn extra(path: RelPath, diagnosis: &str) -> Entry {
    let (was, size, tensors) = (None, None, Vec::new());
    Entry { path, verdict: Verdict::Extra, diagnosis: diagnosis.to_owned(), was, size, tensors }
}

/// Outputs of the step whose content these replays did not recompute, or not completely: they are only checked against
/// the manifest.
fn not_computed(step: &GraphStep, run: &Run, replays: &[Replay]) -> Vec<RelPath> {
    let below = |path: &RelPath| path.as_str().strip_prefix(run.output.as_str())?.strip_prefix('/').map(str::to_owned);
    let directories = replays.iter().flat_map(Replay::computed).filter_map(|step| directory_of(step).ok());
    let checkpoints: BTreeSet<String> = directories.map(|directory| directory.to_string()).collect();
    // The ranges do not overlap: each is between neighbouring checkpoints, or there is only one.
    let steps: u64 = replays.iter().map(|replay| replay.reached.get() - replay.from.get()).sum();
    let computed = |path: &RelPath| match below(path).as_deref().map(|name| name.split_once('/').ok_or(name)) {
        Some(Ok((directory, file))) => CHECKPOINT.contains(&file) && checkpoints.contains(directory),
        Some(Err(RECORDED_RUN)) => true,
        Some(Err(Journal::NAME)) => steps == run.steps().get(),
        _ => false,
    };
    step.outputs.iter().map(|output| &output.path).filter(|path| !computed(path)).cloned().collect()
}

/// The files of a checkpoint that a replay compares with its computation.
const CHECKPOINT: [&str; 5] =
    ["config.json", "model.safetensors", "optimizer.safetensors", "state.json", "tokenizer.json"];

/// For example `21 of 27 outputs, only checked against the manifest: runs/a/journal.jsonl (except these steps), …`.
fn not_computed_in_words(paths: &[RelPath], of: usize) -> String {
    const MOST: usize = 3;
    let named = paths.iter().take(MOST).map(|path| match path.file_name() {
        Journal::NAME => format!("{path} (except these steps)"),
        _ => path.to_string(),
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let more = paths.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} of {}, only checked against the manifest: {named}{more}", paths.len(), count(of as u64, "output"))
}

/// Ranges between neighbouring checkpoints, chosen at random.
#[derive(Debug, Serialize)]
struct SegmentSample {
    /// The pair of checkpoints of each range.
    chosen: Vec<(Step, Step)>,
    /// The total number of ranges.
    of: usize,
    /// If this many ranges were wrong, the sample would contain one of them with a probability of at least 95 %.
    would_find: usize,
    /// The seed of the choice: with it, anyone can reproduce the choice.
    seed: String,
}

impl SegmentSample {
    /// Those with the smallest BLAKE3 over seed and first step: without knowing the seed in advance the choice cannot
    /// be predicted.
    fn choose(saved: &[Step], stretches: usize, seed: String) -> Self {
        let all: Vec<(Step, Step)> = saved.windows(2).map(|pair| (pair[0], pair[1])).collect();
        let mut chosen = all.clone();
        chosen.sort_by_key(|(from, _)| Digest::of(format!("{seed}/{from}").as_bytes()));
        chosen.truncate(stretches);
        chosen.sort();
        Self { would_find: would_find(chosen.len(), all.len(), 0.95), of: all.len(), chosen, seed }
    }

    fn proves(&self) -> String {
        let (stretches, of) = (self.chosen.len(), self.of);
        let proves = match self.would_find {
            1 => "these are all".to_owned(),
            find if find <= of => format!("if {find} or more differed, this would find one with 95 % probability"),
            _ => "too few to prove anything with 95 % probability".to_owned(),
        };
        format!("{stretches} of {of} segments; {proves}; --seed {}", self.seed)
    }
}

/// Prints the result of a replay.
pub(super) fn say(terminal: &Terminal, id: &str, engine: Engine, replayed: &Replay) {
    let (from, to) = (replayed.from, replayed.to);
    let Some(first) = replayed.findings.iter().min_by_key(|found| found.step) else {
        let (steps, compared) = (count(to.get() - from.get(), "step"), count(replayed.checkpoints.len(), "checkpoint"));
        let said = format_args!("{id}: {steps} from {from} to {to}, {compared}: the same bits (engine {engine})");
        return terminal.say(Tone::Good, "replayed", said);
    };
    let said = format_args!(
        "{id} from {from} to {to} (engine {engine}): the first step that differs is {}: {}",
        first.step,
        first.kind.told()
    );
    terminal.say(Tone::Bad, "differs", said);
}

/// The training step called `id`, or the one with the most inputs and outputs.
pub(super) fn training_step<'a>(manifest: &'a Manifest, id: Option<&str>) -> Result<&'a GraphStep, Failure> {
    let training = || manifest.steps.iter().filter(|step| step.kind == StepKind::Train);
    let there = training().map(|step| step.id.as_str()).collect::<Vec<_>>().join(", ");
    let size = |step: &&GraphStep| -> u64 {
        step.outputs.iter().filter_map(|output| manifest.artifact(&output.path)).map(|artifact| artifact.size).sum()
    };
    let found = match id {
        Some(id) => training().find(|step| step.id == id),
        None => training().max_by_key(size),
    };
    found.ok_or_else(|| {
        let what = id.map_or_else(
            || "the manifest has no training step".to_owned(),
            |id| format!("the manifest has no training step {id:?}"),
        );
        match there.is_empty() {
            true => Failure::usage(what, "give the manifest of a release with a training run"),
            false => Failure::usage(what, &format!("its training steps are {there}")),
        }
    })
}

/// From a checkpoint in the middle to the next, by default.
fn segment(saved: &[Step], from: Option<Step>, to: Option<Step>, end: Step) -> (Step, Step) {
    let middle = || saved.get(saved.len().saturating_sub(1) / 2).copied().unwrap_or(Step(0));
    let from = from.unwrap_or_else(middle);
    let next = saved.iter().copied().find(|step| *step > from).unwrap_or(end);
    (from, to.unwrap_or(next))
}

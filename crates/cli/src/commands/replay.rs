//! `retrace replay`

use std::path::PathBuf;

use retrace_manifest::{Verdict, verify};
use retrace_spec::manifest::{GraphStep, StepKind};
use retrace_spec::{Manifest, Step};
use retrace_train::{Difference, Replay, What, checkpoints, replay};
use serde_json::json;

use super::seal::inside;
use super::{Exit, Opened, open, open_run, tolerance};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Compute a stretch of a training run again and compare it, bit for bit
///
/// Begins with a checkpoint of the release and computes the steps after it from the run file and the
/// tokens; every line of the journal and every checkpoint on the way must be the same. Prints what
/// differs, and ends with the first step that does, since all later ones follow from it.
///
/// Another framework's bits are not to be had. With --tolerance MANIFEST is a run file that starts
/// from their checkpoint, and the end of the run is held against their later one, tensor by tensor:
/// how far apart the two are, and how far that is of the way that the run went. Nothing is written.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace replay release/manifest.yaml
  retrace replay release/manifest.yaml --step train-base --from 60 --to 120
  retrace replay --json release/manifest.yaml
  retrace replay run.yaml --tolerance their/step-1000

Exit codes: 0 every bit is the same (follows to rounding), 1 something differs, 2 could not replay.")]
pub(crate) struct Replayed {
    /// The manifest, in the release's directory; with --tolerance, the run file
    manifest: PathBuf,
    /// The training step, by its id [default: the only one, or the largest]
    #[arg(long, value_name = "ID")]
    step: Option<String>,
    /// The checkpoint to begin with [default: one in the middle]
    #[arg(long, value_name = "STEP")]
    from: Option<u64>,
    /// The last step to compute [default: the next checkpoint]
    #[arg(long, value_name = "STEP")]
    to: Option<u64>,
    /// Where a run of another framework ended: a Hugging Face directory
    #[arg(long, value_name = "THEIRS", conflicts_with_all = ["step", "from", "to"])]
    tolerance: Option<PathBuf>,
}

impl Replayed {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        if let Some(theirs) = &self.tolerance {
            return tolerance::follow(&self.manifest, theirs, terminal);
        }
        let Opened { document: manifest, root, .. } = open::<Manifest>(&self.manifest)?;
        let step = training_step(&manifest, self.step.as_deref())?;
        let Some(config) = &step.config else {
            return Err(Failure::usage(format!("step {} has no run file", step.id), "replay a step that has one"));
        };
        // What the replay reads must be what was sealed, or it replays something else.
        let needed = |path| step.inputs.iter().any(|i| i.path == path) || step.outputs.iter().any(|o| o.path == path);
        let verification =
            verify(&manifest, &root, inside(&root, &self.manifest).as_ref(), terminal.progress().as_ref())?;
        let changed: Vec<_> = verification.findings().filter(|entry| needed(entry.path.clone())).collect();
        let (Opened { document: run, .. }, _) = open_run(&config.under(&root))?;
        let saved = checkpoints(&run.output.under(&root))?;
        let (from, to) = segment(&saved, self.from.map(Step), self.to.map(Step), run.steps());
        let replayed = replay(&root, &run, from, to, terminal.progress().as_ref())?;
        let holds = replayed.holds() && changed.is_empty();

        let result = json!({"step": step.id, "holds": holds, "first_difference": replayed.first(), "changed": changed, "replay": replayed});
        terminal.result("replay/1", &result, |out| {
            let mut finding =
                |word: &str, rest: String| writeln!(out, "{} {rest}", terminal.tone(Tone::Bad, format!("{word:<8}")));
            for entry in &changed {
                let word = if entry.verdict == Verdict::Missing { "missing" } else { "changed" };
                finding(word, format!("{}: {}", entry.path, entry.diagnosis))?;
            }
            replayed.differences.iter().try_for_each(|difference| finding("differs", in_words(difference)))
        })?;
        say(terminal, &step.id, &replayed);
        Ok(Exit::holds(holds))
    }
}

/// A difference, as in `step 61, batch: recorded b3:…, replayed b3:…`.
pub(super) fn in_words(difference: &Difference) -> String {
    let Difference { step, what, recorded, replayed } = difference;
    let at = match what {
        What::Run => "run file".to_owned(),
        _ => format!("step {step}, {}", name(*what)),
    };
    format!("{at}: recorded {recorded}, replayed {replayed}")
}

/// Says how a replay ended.
pub(super) fn say(terminal: &Terminal, id: &str, replayed: &Replay) {
    let (from, to) = (replayed.from, replayed.to);
    match replayed.first() {
        Some(first) => terminal.say(Tone::Bad, "differs", format_args!("{id}: the first step that differs is {first}")),
        None if replayed.holds() => {
            let (steps, compared) =
                (count(to.get() - from.get(), "step"), count(replayed.checkpoints.len(), "checkpoint"));
            terminal.say(
                Tone::Good,
                "replayed",
                format_args!("{id}: {steps} from {from} to {to}, {compared}: the same bits"),
            );
        }
        None => terminal.say(
            Tone::Bad,
            "differs",
            format_args!(
                "{id}: the run file is not the one that made the journal, but every bit of this stretch is the same"
            ),
        ),
    }
}

/// The training step called `id`, or the one that reads and makes most.
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
        Failure::usage(what, &format!("there are: {there}"))
    })
}

/// From a checkpoint in the middle to the next, unless told otherwise.
fn segment(saved: &[Step], from: Option<Step>, to: Option<Step>, end: Step) -> (Step, Step) {
    let middle = || saved.get(saved.len().saturating_sub(1) / 2).copied().unwrap_or(Step(0));
    let from = from.unwrap_or_else(middle);
    let next = saved.iter().copied().find(|step| *step > from).unwrap_or(end);
    (from, to.unwrap_or(next))
}

const fn name(what: What) -> &'static str {
    match what {
        What::Run => "run",
        What::Batch => "batch",
        What::LearningRate => "learning rate",
        What::Loss => "loss",
        What::GradNorm => "grad norm",
        What::Outlier => "outlier",
        What::ValidationLoss => "validation loss",
        What::Weights => "weights",
        What::Checkpoint => "checkpoint",
    }
}

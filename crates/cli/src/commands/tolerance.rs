//! `retrace replay --tolerance`

use std::path::Path;

use retrace_files::Root;
use retrace_model::Engine;
use retrace_train::{Followed, Follows, Tolerance, tolerance};
use serde_json::json;

use super::{Exit, Opened, open_run};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// The number of tensors that are shown: the least close.
const SHOWN: usize = 10;

/// Computes the run in the file at `path` and compares its final state with the checkpoint `theirs`.
pub(super) fn follow(path: &Path, theirs: &Path, engine: Engine, terminal: &Terminal) -> Result<Exit, Failure> {
    let (Opened { document: run, root, .. }, _) = open_run(path)?;
    let network = engine.network(&run.model)?;
    let theirs_opened = Root::open_snapshot(theirs)?;
    let found = tolerance(&root, &run, network.as_ref(), &theirs_opened, terminal.progress().as_ref())?;
    let holds = found.verdict == Follows::ToRounding;
    let findings = found.findings();
    let names: Vec<_> = findings.iter().map(|tensor| &tensor.name).collect();
    let theirs = theirs.display().to_string();
    let result = json!({"run": run.name, "theirs": theirs, "holds": holds, "findings": names, "tolerance": found});
    terminal.result("tolerance/1", &result, |out| {
        let mut shown: Vec<_> = found.tensors.iter().filter(|tensor| findings.is_empty() || !tensor.follows).collect();
        shown.sort_by(|a, b| b.excess().total_cmp(&a.excess()).then_with(|| a.name.cmp(&b.name)));
        for tensor in shown.iter().take(SHOWN) {
            let (tone, word) = if tensor.follows { (Tone::Good, "follows") } else { (Tone::Bad, "differs") };
            writeln!(out, "{} {}", terminal.tone(tone, format!("{word:<8}")), in_words(tensor))?;
        }
        match shown.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => writeln!(out, "{}", terminal.tone(Tone::Faint, format!("… and {more} more (--json shows all)"))),
        }
    })?;
    say(terminal, &found);
    Ok(match found.verdict {
        // If there is no result, it is neither a finding nor a passed check.
        Follows::Unclear => Exit::Failed,
        _ => Exit::holds(holds),
    })
}

/// A tensor, for example `model.norm.weight: distance 1.2e-8 (largest 3.0e-8), moved 1.0e-4: 1.2e-4 of the movement`.
fn in_words(tensor: &Followed) -> String {
    let Followed { name, distance, largest, moved, ratio, .. } = tensor;
    let of = ratio.map_or_else(|| "it did not move".to_owned(), |ratio| format!("{ratio:.1e} of the movement"));
    format!("{name}: distance {distance:.1e} (largest {largest:.1e}), moved {moved:.1e}: {of}")
}

fn say(terminal: &Terminal, found: &Tolerance) {
    let Tolerance { steps, verdict, median_ratio, moments, tensors, .. } = found;
    let of = if *moments { "weights and moments" } else { "weights alone" };
    let all = count(tensors.len() as u64, "tensor");
    let steps = count(steps.get(), "step");
    let apart = tensors.iter().filter(|tensor| !tensor.follows).count();
    let median = format!("the median distance is {median_ratio:.1e} of the movement");
    match verdict {
        Follows::ToRounding => terminal.say(
            Tone::Good,
            "follows",
            format_args!(
                "to rounding: {steps}, {all}, {of}; {median}. The bits differ, as expected of another framework"
            ),
        ),
        Follows::Unclear => terminal.say(
            Tone::Bad,
            "unclear",
            format_args!(
                "in {steps}, half of {all} ({of}) or more moved less than the rounding error; compare over more steps"
            ),
        ),
        Follows::OutOfLine => terminal.say(
            Tone::Bad,
            "differs",
            format_args!("{apart} of {all} ({of}) differ too much after {steps}, the others agree; {median}"),
        ),
        Follows::Apart => terminal.say(
            Tone::Bad,
            "differs",
            format_args!(
                "{apart} of {all} ({of}) differ too much after {steps}; {median}: their checkpoint was not made like this"
            ),
        ),
    }
}

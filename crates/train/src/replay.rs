//! Recomputes a part of a run.

use std::collections::BTreeMap;

use retrace_files::{Progress, RegularFile, Root, Silent, Unit, Wanted, hash};
use retrace_model::{Network, hub};
use retrace_spec::{Digest, Document, Run, Step, Tokens};
use serde::Serialize;

use crate::diagnosis::{Case, differing_run_fields};
use crate::finding::{DifferenceKind, Element, Finding};
use crate::state::{Stated, inside};
use crate::{Journal, RECORDED_RUN, State, TrainError, Trainer, checkpoints, directory_of, recorded_run};

/// The result of a replay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replay {
    /// The checkpoint with which it began.
    pub from: Step,
    /// The last step that was requested.
    pub to: Step,
    /// The last step that it computed.
    pub reached: Step,
    /// The checkpoints at the ends and between that were compared and are the same.
    pub checkpoints: Vec<Step>,
    /// The differences; empty if every bit is the same.
    pub findings: Vec<Finding>,
}

impl Replay {
    /// Whether every bit is the same.
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }

    /// The checkpoints whose content was recomputed and is the same: all that were compared, except the one with which
    /// the replay began, which was only compared with the journal. The checkpoint of step 0 follows from the run file.
    pub fn computed(&self) -> impl Iterator<Item = Step> {
        self.checkpoints.iter().copied().filter(|step| *step > self.from || *step == Step(0))
    }

    /// The first step with a visible difference.
    pub fn first(&self) -> Option<Step> {
        self.findings.iter().map(|finding| finding.step).min()
    }
}

/// Recomputes steps `from` + 1 to `to` of `run`, whose model is `network`, from the checkpoint of step `from`, and
/// compares every line of the journal and every checkpoint in this range. It ends at the first step whose weights
/// differ, because all later differences follow from it. With `localise`, if the checkpoint to begin with does not
/// match the journal, the steps before it are recomputed too, to find the number that differs.
///
/// # Errors
/// If the range is not valid, there is no checkpoint to begin with, or a file cannot be read.
pub fn replay(
    root: &Root,
    run: &Run,
    network: &dyn Network,
    (from, to): (Step, Step),
    localise: bool,
    progress: &dyn Progress,
) -> Result<Replay, TrainError> {
    let output = root.directory(&run.output)?;
    if from >= to || to > run.steps() {
        return Err(TrainError::Segment { from, to, steps: run.steps() });
    }
    let saved = checkpoints(&output)?;
    if !saved.contains(&from) {
        let there = saved.iter().map(Step::to_string).collect::<Vec<_>>().join(", ");
        return Err(TrainError::NoSuchCheckpoint { step: from, path: output.path().to_owned(), there });
    }
    let mut replay = Replay { from, to, reached: from, checkpoints: Vec::new(), findings: Vec::new() };
    let journal = match Journal::read(&output) {
        Ok(journal) => journal,
        Err(TrainError::Journal { line, what, .. }) => {
            // Nothing can be compared with a broken chain.
            replay.find(
                DifferenceKind::Record,
                Step(line as u64),
                format!("line {line} of the journal {what}"),
                &["journal"],
            );
            return Ok(replay);
        }
        Err(other) => return Err(other),
    };
    let config = replay.compare_runs(run, &journal, &output)?;
    let Some(start) = replay.start(root, (run, network), &journal, &output, localise, progress)? else {
        replay.blame(config);
        return Ok(replay);
    };
    let before = journal.lines().get(..from.get() as usize).unwrap_or_default();
    let mut trainer = Trainer::new(root, run, network, start, before)?;
    progress.begin(&format!("replaying {}", run.name), to.get() - from.get(), Unit::Steps);
    while trainer.state().step < to {
        let before = recorded_weights(&journal, trainer.state().step, trainer.state());
        let Some(line) = trainer.step()? else { break };
        replay.reached = line.step;
        progress.advance(1);
        let Some(recorded) = journal.line(line.step) else {
            let what = format!("the journal ends before it, at step {}", journal.lines().len());
            replay.find(DifferenceKind::Record, line.step, what, &["journal"]);
            break;
        };
        let case = Case { run, batches: trainer.batches(), state: trainer.state(), before: Some(before) };
        let found = case.compare(recorded, &line)?;
        let diverged = recorded.weights != line.weights;
        let checkpoint = saved.contains(&line.step).then(|| State::read(&output, line.step)).transpose()?;
        if let Some(mut found) = found {
            if let Some((state, _)) = &checkpoint {
                found.element = first_element(state, trainer.state(), &found.places);
                if found.places.is_empty() {
                    found.places = differing_tensors(state, trainer.state());
                }
            }
            // The next line distinguishes a different run from a changed line.
            let next =
                journal.line(Step(line.step.get() + 1)).filter(|_| diverged && found.kind != DifferenceKind::Record);
            if let Some(next) = next
                && trainer.step()?.is_some_and(|after| after.weights == next.weights)
            {
                found.kind = DifferenceKind::Record;
                found.what = "the line of the journal was changed: the step after it follows from the weights as \
                              replayed, not as recorded"
                    .to_owned();
            }
            if found.kind == DifferenceKind::Arithmetic && found.element.is_none() && localise {
                found.what += "; no checkpoint of this step has the recorded numbers";
            }
            replay.findings.push(found);
        } else if let Some((state, stated)) = &checkpoint {
            replay.compare_checkpoint(line.step, (state, stated), trainer.state(), (run, &journal));
        }
        if diverged || replay.findings.iter().any(|found| found.kind == DifferenceKind::Arithmetic) {
            break;
        }
    }
    progress.end();
    if config.is_none() {
        replay.compare_copies(root, run, &output)?;
    }
    replay.blame(config);
    Ok(replay)
}

impl Replay {
    fn find(&mut self, kind: DifferenceKind, step: Step, what: String, places: &[&str]) {
        let places = places.iter().map(|place| (*place).to_owned()).collect();
        self.findings.push(Finding { kind, step, what, places, element: None });
    }

    /// The fields of the run file that differ from the run that made the journal; the list of names is empty if they
    /// differ but it is unknown where.
    fn compare_runs(&mut self, run: &Run, journal: &Journal, output: &Root) -> Result<Option<Finding>, TrainError> {
        let recorded = recorded_run(output)?;
        let file = run.digest()?;
        let kept = recorded.as_ref().map(Document::digest).transpose()?;
        if journal.run() == file || journal.lines().is_empty() {
            if kept.is_some_and(|kept| kept != file) {
                let what = format!("{RECORDED_RUN} is not the run that made the journal, but the run file is");
                self.find(DifferenceKind::Record, self.from, what, &[RECORDED_RUN]);
            }
            return Ok(None);
        }
        let (what, places) = match recorded.filter(|_| kept == Some(journal.run())) {
            Some(recorded) => {
                let fields = differing_run_fields(&recorded, run)?;
                let told = fields.iter().map(|(field, then, now)| format!("{field} was {then} and is {now}"));
                (told.collect::<Vec<_>>().join(", "), fields.iter().map(|(field, ..)| field.clone()).collect())
            }
            None => (
                "the run file is not the one that made the journal, which cannot be told field by field: no \
                      run that did lies beside it"
                    .to_owned(),
                Vec::new(),
            ),
        };
        Ok(Some(Finding { kind: DifferenceKind::Config, step: self.from, what, places, element: None }))
    }

    /// If the run file differs, later differences are consequences of it.
    fn blame(&mut self, config: Option<Finding>) {
        let Some(mut config) = config else { return };
        let follows = |found: &Finding| match found.kind {
            DifferenceKind::Config | DifferenceKind::Data | DifferenceKind::Arithmetic => true,
            // The initial state follows from the seed.
            DifferenceKind::Checkpoint => found.step == Step(0),
            DifferenceKind::Record => false,
        };
        let (shown, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.findings).into_iter().partition(follows);
        match shown.first() {
            Some(first) => {
                config.step = first.step;
                config.what += &format!("; the first step with a difference is {}: {}", first.step, first.what);
            }
            None if others.is_empty() => config.what += "; every bit of this segment is the same",
            None => {}
        }
        self.findings.push(config);
        self.findings.extend(others);
    }

    /// The state to begin with; `None` if it is not the state that the run had.
    fn start(
        &mut self,
        root: &Root,
        (run, network): (&Run, &dyn Network),
        journal: &Journal,
        output: &Root,
        localise: bool,
        progress: &dyn Progress,
    ) -> Result<Option<State>, TrainError> {
        let from = self.from;
        let (mut state, stated) = State::read(output, from)?;
        if from == Step(0) {
            // The initial state of a run is a function of its file, so it is recomputed too.
            let initial = State::initial(root, run, network.layout())?;
            let changed = journal.run() != run.digest()?;
            if self.compare_checkpoint(from, (&state, &stated), &initial, (run, journal)) || changed {
                return Ok(Some(if changed { state } else { initial }));
            }
            return Ok(None);
        }
        let Some(line) = journal.line(from) else {
            let what = format!("the journal ends before it, at step {}", journal.lines().len());
            self.find(DifferenceKind::Record, from, what, &["journal"]);
            return Ok(None);
        };
        let digests = state.weight_digests();
        let names = line.tensors.differ(&digests.iter().map(|(_, digest)| digest).collect());
        let names: Vec<&str> = names.into_iter().filter_map(|at| digests.get(at).map(|(name, _)| *name)).collect();
        let (same_weights, same) = (names.is_empty(), line.state == Some(state.digest()));
        if same_weights && same {
            if self.compare_stated(from, &state, &stated, (run, journal)) {
                self.checkpoints.push(from);
            }
            (state.tokens, state.updates) = counts(run, journal, from);
            return Ok(Some(state));
        }
        let mut what = match same_weights {
            true => "its weights match the journal, but its moments do not".to_owned(),
            false => format!("{} of its {} weight tensors do not match the journal", names.len(), digests.len()),
        } + &whose(&stated, journal);
        let (mut places, mut element) = (names.into_iter().map(str::to_owned).collect::<Vec<_>>(), None);
        if localise {
            match self.truth(root, (run, network), output, from, progress)? {
                Some(truth) if truth.digest() == line.state.unwrap_or_else(|| state.digest()) => {
                    places = differing_tensors(&state, &truth);
                    element = first_element(&state, &truth, &places);
                }
                _ => what += "; the segment before it does not lead to the journal's state either",
            }
        } else if same_weights {
            what += "; --localise computes the segment before it, to find which";
        }
        self.findings.push(Finding { kind: DifferenceKind::Checkpoint, step: from, what, places, element });
        Ok(None)
    }

    /// The state after step `at`, recomputed from the checkpoint before.
    fn truth(
        &self,
        root: &Root,
        (run, network): (&Run, &dyn Network),
        output: &Root,
        at: Step,
        progress: &dyn Progress,
    ) -> Result<Option<State>, TrainError> {
        let Some(before) = checkpoints(output)?.into_iter().rfind(|step| *step < at) else { return Ok(None) };
        let journal = Journal::read(output)?;
        let lines = journal.lines().get(..before.get() as usize).unwrap_or_default();
        let mut trainer = Trainer::new(root, run, network, State::read(output, before)?.0, lines)?;
        progress.begin(&format!("computing step {at} of {}", run.name), at.get() - before.get(), Unit::Steps);
        while trainer.state().step < at && trainer.step()?.is_some() {
            progress.advance(1);
        }
        progress.end();
        Ok(Some(trainer.into_state()))
    }

    /// Compares a saved checkpoint with the expected state; returns whether its tensors are the same.
    fn compare_checkpoint(
        &mut self,
        step: Step,
        (saved, stated): (&State, &Stated),
        replayed: &State,
        (run, journal): (&Run, &Journal),
    ) -> bool {
        let places = differing_tensors(saved, replayed);
        if places.is_empty() {
            if self.compare_stated(step, saved, stated, (run, journal)) {
                self.checkpoints.push(step);
            }
            return true;
        }
        let whose = whose(stated, journal);
        let what = format!("{} of its tensors differ from the computed ones{whose}", places.len());
        let element = first_element(saved, replayed, &places);
        self.findings.push(Finding { kind: DifferenceKind::Checkpoint, step, what, places, element });
        false
    }

    /// Compares the other files of the checkpoints whose tensors are the same: the model's description and the
    /// tokenizer, which the weights and moments do not determine.
    fn compare_copies(&mut self, root: &Root, run: &Run, output: &Root) -> Result<(), TrainError> {
        let digest = |file: RegularFile| Ok::<_, TrainError>(hash(&file, Wanted::default(), &Silent)?.digest);
        let tokenizer = digest(root.file(&run.tokenizer)?)?;
        for step in std::mem::take(&mut self.checkpoints) {
            let directory = output.directory(&directory_of(step)?)?;
            let model = hub::read_config(directory.file(&inside("config.json")?)?)?;
            let copy = digest(directory.file(&inside("tokenizer.json")?)?)?;
            let wrong = [("config.json", model != run.model), ("tokenizer.json", copy != tokenizer)];
            let wrong: Vec<&str> = wrong.into_iter().filter_map(|(name, wrong)| wrong.then_some(name)).collect();
            if wrong.is_empty() {
                self.checkpoints.push(step);
            } else {
                let what =
                    format!("the checkpoint's tensors are correct, but {} differs from the run's", wrong.join(", "));
                self.find(DifferenceKind::Record, step, what, &wrong);
            }
        }
        Ok(())
    }

    /// Compares the state file of a checkpoint whose tensors are correct.
    fn compare_stated(&mut self, step: Step, state: &State, stated: &Stated, (run, journal): (&Run, &Journal)) -> bool {
        let (tokens, updates) = counts(run, journal, step);
        let wrong: Vec<&str> = [
            ("step", stated.step != step),
            ("tokens", stated.tokens != tokens),
            ("updates", stated.updates != updates),
            ("run", stated.run != journal.run()),
            ("state", stated.state != state.digest()),
            ("journal", journal.head_at(step).is_some_and(|head| head != stated.journal)),
        ]
        .into_iter()
        .filter_map(|(field, wrong)| wrong.then_some(field))
        .collect();
        if !wrong.is_empty() {
            let what =
                format!("the checkpoint's tensors are correct, but its state.json differs in {}", wrong.join(", "));
            self.find(DifferenceKind::Record, step, what, &wrong);
        }
        wrong.is_empty()
    }
}

/// The finding that a checkpoint states another run, if it does.
fn whose(stated: &Stated, journal: &Journal) -> String {
    match stated.run == journal.run() {
        true => String::new(),
        false => format!("; its state.json says that run {} made it, not {}", stated.run, journal.run()),
    }
}

/// Tokens trained on, and updates of the optimizer, after the step, according to the journal.
fn counts(run: &Run, journal: &Journal, step: Step) -> (Tokens, u64) {
    let lines = journal.lines().get(..step.get() as usize).unwrap_or_default();
    let before = run.start.as_ref().and_then(|start| start.optimizer_updates).unwrap_or(0);
    let updates = lines.iter().filter(|line| !line.outlier).count() as u64;
    (lines.last().map_or(Tokens(0), |line| line.tokens), before + updates)
}

/// The recorded root of the weights before a step; for the first step, that of the initial weights.
fn recorded_weights(journal: &Journal, step: Step, state: &State) -> Digest {
    journal.line(step).map_or_else(|| state.weights_root(), |line| line.weights)
}

/// The tensors in which two states of the same model differ, sorted by name, weights first.
fn differing_tensors(a: &State, b: &State) -> Vec<String> {
    let (a, b): (BTreeMap<String, Digest>, _) = (a.tensor_digests(), b.tensor_digests());
    let mut names: Vec<String> =
        a.keys().chain(b.keys()).filter(|name| a.get(*name) != b.get(*name)).cloned().collect();
    names.sort_by_key(|name| (name.starts_with("first_moment.") || name.starts_with("second_moment."), name.clone()));
    names.dedup();
    names
}

/// The first number that differs, in the first of these tensors that has one.
fn first_element(recorded: &State, replayed: &State, places: &[String]) -> Option<Element> {
    places.iter().find_map(|name| Element::first(name, recorded.tensor(name)?, replayed.tensor(name)?))
}

//! Computes one step after another.

use std::ops::Range;
use std::time::Instant;

use rayon::prelude::*;
use retrace_files::safetensors::tensor_root;
use retrace_files::{FileError, Lock, Progress, Root, Unit, sweep_all};
use retrace_model::{ModelError, Moments, Network};
use retrace_numerics::adamw::Hyperparameters;
use retrace_numerics::environment;
use retrace_numerics::sum::{sum_f64, sum_of_squares};
use retrace_spec::{Document, Run, Step, Tokens};

use crate::batch::{Sequences, held_out};
use crate::outliers::Recent;
use crate::recorded::record;
use crate::state::inside;
use crate::{
    Batches, Compute, Journal, Learner, Line, LocalCompute, State, TrainError, checkpoints, directory_of, learning_rate,
};

/// No `tokenizer.json` is longer than this.
const LONGEST_TOKENIZER: u64 = 256 << 20;

/// Computes the steps of a run.
#[derive(Debug)]
pub struct Trainer<'a> {
    run: &'a Run,
    batches: Batches,
    state: State,
    learner: Learner<'a>,
    compute: Box<dyn Compute + 'a>,
    recent: Option<Recent>,
    held_out: Option<Sequences>,
}

impl<'a> Trainer<'a> {
    /// A trainer of `run`, whose paths are relative to `root` and whose model is `network`, that continues from
    /// `state`; `before` are the journal's lines so far.
    ///
    /// # Errors
    /// If the processor does not compute as the numerics require, the tokens cannot be read, or the state does not fit
    /// this model.
    pub fn new(
        root: &Root,
        run: &'a Run,
        network: &'a dyn Network,
        state: State,
        before: &[Line],
    ) -> Result<Self, TrainError> {
        environment::check()?;
        if state.weights.layout() != network.layout() {
            return Err(ModelError::Input("the weights of the state belong to another model".to_owned()).into());
        }
        let (batches, learner) = (Batches::open(root, run)?, Learner::new(run, network));
        let held_out = run.validation.as_ref().map(|validation| held_out(root, run, validation)).transpose()?;
        let mut recent = run.outliers.map(Recent::new);
        if let Some(recent) = &mut recent {
            before.iter().for_each(|line| {
                recent.judge(line.loss, line.grad_norm);
            });
        }
        Ok(Self { run, batches, state, learner, compute: Box::new(LocalCompute), recent, held_out })
    }

    /// The same trainer, whose micro-batches are computed by `compute`.
    #[must_use]
    pub fn by(self, compute: impl Compute + 'a) -> Self {
        Self { compute: Box::new(compute), ..self }
    }

    /// The state after the steps so far.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The state after the steps so far.
    pub fn into_state(self) -> State {
        self.state
    }

    /// The batches of the steps.
    pub const fn batches(&self) -> &Batches {
        &self.batches
    }

    /// Computes the next step; `None` after the last. The line's `previous` is the run's digest until a journal sets
    /// it.
    ///
    /// The loss is the sum, over micro-batches in order, of the binary64 lane sum of their tokens' losses (without
    /// z-loss), divided by the number of the batch's targets that count, or by 1 if none does. Each micro-batch's
    /// gradient is that of its tokens' losses times 1/(that number), the factor rounded to binary32; the leaves of the
    /// contract's tree are these gradients. The norm is the square root of the sum, over tensors sorted by name, of
    /// the binary64 lane sums of squares. If it is more than `clip`, gradients are multiplied by clip/norm. An outlier
    /// does not change the weights.
    ///
    /// # Errors
    /// If the tokens cannot be read, the loss or a gradient is not finite, or a thread's rounding or
    /// flush mode was changed.
    pub fn step(&mut self) -> Result<Option<Line>, TrainError> {
        let step = Step(self.state.step.get() + 1);
        let Some((phase, before)) = self.run.phase_of(step) else { return Ok(None) };
        // At this point every thread of the pool has done its part of the step before.
        environment::check()?;
        let batch = self.batches.batch(step)?;
        let rate = learning_rate(&phase.learning_rate, step.get() - before.get(), phase.steps);

        let computed = self.compute.compute(&mut self.learner, &self.state.weights, step, &batch)?;
        let loss = computed.losses.iter().fold(0.0, |sum, loss| sum + loss) * batch.scale();
        if !loss.is_finite() {
            return Err(not_finite(step, "the loss".to_owned()));
        }
        let gradient = computed.gradient;
        let grad_norm = self.norm(step, &gradient)?;
        let outlier = self.recent.as_mut().is_some_and(|recent| recent.judge(loss, grad_norm));
        if !outlier {
            self.update(rate, grad_norm, &gradient)?;
        }
        self.compute.recycle(&mut self.learner, gradient);
        self.state.step = step;
        let validation_loss = self.run.validates(step).is_some().then(|| self.validation_loss()).transpose()?;
        self.state.tokens = Tokens(self.state.tokens.get() + batch.inputs.len() as u64);
        let weights = self.state.weight_digests();
        Ok(Some(Line {
            step,
            phase: phase.name.clone(),
            tokens: self.state.tokens,
            learning_rate: rate,
            loss,
            loss_bits: format!("{:016x}", loss.to_bits()),
            grad_norm,
            outlier,
            validation_loss,
            batch: batch.digest,
            sequences: batch.sequences.iter().collect(),
            weights: tensor_root(weights.iter().copied()),
            tensors: weights.iter().map(|(_, digest)| digest).collect(),
            state: self.run.saves(step).then(|| self.state.digest()),
            previous: self.run.digest()?,
        }))
    }

    /// The mean loss on the held-out tokens: as for a batch, over micro-batches of the same size.
    fn validation_loss(&self) -> Result<f64, TrainError> {
        let Some((inputs, targets)) = &self.held_out else { return Ok(0.0) };
        let micro = self.run.micro_batch_size * self.run.sequence_length;
        let mut loss = 0.0;
        for (inputs, targets) in inputs.chunks(micro).zip(targets.chunks(micro)) {
            loss += sum_f64(&self.learner.losses(&self.state.weights, inputs, targets)?);
        }
        match loss / targets.iter().flatten().count().max(1) as f64 {
            mean if mean.is_finite() => Ok(mean),
            _ => Err(not_finite(self.state.step, "the validation loss".to_owned())),
        }
    }

    /// The norm of `gradient`, all tensors' one after another, sorted by name.
    fn norm(&self, step: Step, gradient: &[f32]) -> Result<f64, TrainError> {
        let tensors: Vec<_> = self.learner.network().layout().iter().collect();
        let square = |(_, _, range): &(&str, &[usize], Range<usize>)| sum_of_squares(&gradient[range.clone()]);
        let squares: Vec<f64> = tensors.par_iter().map(square).collect();
        match squares.iter().position(|square| !square.is_finite()) {
            Some(at) => Err(not_finite(step, format!("the gradient of {}", tensors[at].0))),
            None => Ok(squares.iter().sum::<f64>().sqrt()),
        }
    }

    /// Updates the weights with `gradient`, which has that norm.
    fn update(&mut self, rate: f64, norm: f64, gradient: &[f32]) -> Result<(), TrainError> {
        let optimizer = &self.run.optimizer;
        let numbers = Hyperparameters {
            beta1: optimizer.beta1,
            beta2: optimizer.beta2,
            epsilon: optimizer.epsilon,
            learning_rate: rate,
            weight_decay: optimizer.weight_decay,
            gradient_scale: if norm > optimizer.clip { optimizer.clip / norm } else { 1.0 },
        };
        self.state.updates += 1;
        let State { updates, weights, first_moment, second_moment, .. } = &mut self.state;
        let moments = Moments { first: first_moment, second: second_moment };
        Ok(self.learner.network().update(weights, moments, gradient, numbers, *updates)?)
    }
}

fn not_finite(step: Step, what: String) -> TrainError {
    TrainError::NotFinite { step, what }
}

/// Trains `run`, whose paths are relative to `root` and whose model is `network`, to its end: from the start, or from
/// the last complete checkpoint. Returns the journal.
///
/// # Errors
/// If there is already a run where a new one should be written, or no run or a different one where a run should be
/// resumed; if a file cannot be read or written; if training diverges.
pub fn train(
    root: &Root,
    run: &Run,
    network: &dyn Network,
    resume: bool,
    progress: &dyn Progress,
) -> Result<Journal, TrainError> {
    train_by(root, run, network, resume, &mut LocalCompute, progress)
}

/// As [`train`], with micro-batches computed by `compute`.
///
/// # Errors
/// As [`train`].
pub fn train_by(
    root: &Root,
    run: &Run,
    network: &dyn Network,
    resume: bool,
    compute: &mut dyn Compute,
    progress: &dyn Progress,
) -> Result<Journal, TrainError> {
    let output = root.make_directory(&run.output)?;
    // Two processes that train the same run would each truncate the other's journal.
    let _lock = Lock::directory(root.make_directory(&run.output)?)?;
    let run_digest = run.digest()?;
    let tokenizer = root.file(&run.tokenizer)?.read(LONGEST_TOKENIZER)?;
    sweep_all(&output)?;
    let has_journal = output.has(&inside(Journal::NAME)?);
    let path_of = |step: Step| Ok::<_, FileError>(directory_of(step)?.under(output.path()));
    let last = checkpoints(&output)?.pop();
    let (mut trainer, mut journal) = match last {
        Some(last) if resume => {
            let path = path_of(last)?;
            let (state, made_by, head) = State::load(&output, last)?;
            if made_by != run_digest {
                return Err(TrainError::OtherRun { path, made_by, run: run_digest });
            }
            let journal = Journal::read(&output)?.cut_to(&output, last, run_digest, Some(head))?;
            (Trainer::new(root, run, network, state, journal.lines())?, journal)
        }
        None if resume && !has_journal => {
            return Err(TrainError::NoCheckpoint { path: output.path().to_owned() });
        }
        Some(last) => return Err(TrainError::Exists { path: path_of(last)? }),
        None => {
            let trainer = Trainer::new(root, run, network, State::initial(root, run, network.layout())?, &[])?;
            // A run that was killed before its first checkpoint has a journal without lines.
            let journal = match resume {
                true => Journal::read(&output)?.cut_to(&output, Step(0), run_digest, None)?,
                false => Journal::create(&output, run_digest)?,
            };
            let state = trainer.state().digest();
            trainer.state().save(run, &output, &tokenizer, run_digest, state, journal.head())?;
            (trainer, journal)
        }
    };
    trainer = trainer.by(compute);
    record(run, &output)?;
    retain(run, &output)?;
    let (began, before) = (Instant::now(), trainer.state().tokens);
    let to_do = run.steps().get() - trainer.state().step.get();
    progress.begin(&format!("training {}", run.name), to_do, Unit::Steps);
    while let Some(line) = trainer.step()? {
        let (loss, state) = (line.loss, line.state);
        journal.append(line)?;
        if let Some(state) = state {
            journal.sync()?;
            trainer.state().save(run, &output, &tokenizer, run_digest, state, journal.head())?;
            retain(run, &output)?;
        }
        let tokens_per_second = (trainer.state().tokens.get() - before.get()) as f64 / began.elapsed().as_secs_f64();
        progress.note(&format!("loss {loss:.4}, {tokens_per_second:.0} tokens/s"));
        progress.advance(1);
    }
    journal.sync()?;
    progress.end();
    Ok(journal)
}

/// Removes the checkpoints that are not kept.
fn retain(run: &Run, output: &Root) -> Result<(), TrainError> {
    let saved = checkpoints(output)?;
    for (newer, step) in saved.iter().rev().enumerate() {
        if !run.retains(*step, newer as u64) {
            output.remove_directory(&directory_of(*step)?)?;
        }
    }
    Ok(())
}

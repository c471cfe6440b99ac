//! `retrace train`

mod local;

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use retrace_files::{Progress, Root};
use retrace_spec::{Document, Run};
use retrace_steps::{Training, save};
use retrace_train::{Journal, checkpoints, directory_of, train, train_by};
use retrace_workers::{Event, Workers};
use serde_json::json;

use self::local::LocalWorkers;
use super::{Exit, Opened, open_run, work};
use crate::engine::EngineChoice;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Train a model as a run file says
///
/// Writes checkpoints, and a journal with one line per step. Every bit of them is a function of the run
/// file, the tokens and the numerics version. The number of threads and workers, the machine, and how
/// often the run was killed and resumed make no difference. Prints the checkpoints of the run.
#[derive(Debug, clap::Args)]
#[command(after_long_help = RUN_FILE)]
#[command(after_help = "\
Examples:
  retrace train release/small.yaml
  retrace train release/small.yaml --resume
  retrace train release/small.yaml --workers 4
  retrace train release/small.yaml --listen 10.0.0.1:7070 --token token    workers on other machines
  RETRACE_ISA=baseline retrace train release/small.yaml --threads 1     the same bits, slower")]
pub(crate) struct Train {
    /// The run file
    run: PathBuf,
    /// Continue from the last complete checkpoint
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    engine: EngineChoice,
    /// Compute micro-batches in N processes on this machine; the bits are the same for every N. The
    /// processes inherit their connections: no port is opened, and the data stays on this machine, unencrypted
    #[arg(long, value_name = "N", conflicts_with = "engine")]
    workers: Option<usize>,
    /// Listen at this address for workers on other machines; the connections are encrypted (see `retrace help work`)
    #[arg(long, value_name = "ADDRESS", requires = "token", conflicts_with = "engine")]
    listen: Option<String>,
    /// The file with the token that these workers must have
    #[arg(long, value_name = "FILE", requires = "listen")]
    token: Option<PathBuf>,
    /// Wait for a worker's task at least SECONDS [default: 30], and ten times as long as its earlier tasks
    /// took; then give the task to another worker and disconnect this one
    #[arg(long, value_name = "SECONDS")]
    deadline: Option<NonZeroU64>,
}

/// No worker is disconnected sooner: a machine may pause for that long, to write to a slow disk or to move to another
/// host, and a restarted worker needs some seconds before it computes.
const DEADLINE: u64 = 30;

/// The end of `retrace help train`.
const RUN_FILE: &str = "\
Examples:
  retrace train release/small.yaml
  retrace train release/small.yaml --resume
  retrace train release/small.yaml --workers 4
  retrace train release/small.yaml --listen 10.0.0.1:7070 --token token    workers on other machines
  RETRACE_ISA=baseline retrace train release/small.yaml --threads 1     the same bits, slower

A run file; its paths are relative to its directory:

  retrace: run/1
  name: small
  seed: 1                        # for initial weights, data order and dropout
  numerics: 1                    # the version of the rules that fix the bits
  model: {config: config.json}   # a Hugging Face config, or its fields: hidden_size and so on
  tokenizer: tokenizer.json      # copied into every checkpoint
  output: runs/small
  sequence_length: 2048
  batch_size: 1024               # sequences per step
  micro_batch_size: 8            # sequences whose gradient is computed together
  optimizer: {beta1: 0.9, beta2: 0.95, epsilon: 1.0e-8, weight_decay: 0.1, clip: 1.0}
  checkpoint_every: 1000
  phases:
    - name: main
      steps: 20000
      learning_rate: {schedule: cosine, warmup: 2000, peak: 2.0e-4, floor: 2.0e-5}
      mix:                       # 3 of every 4 sequences are English
        - {tokens: tokens/en.tokens, share: 3}
        - {tokens: tokens/zh.tokens, share: 1}
    - name: decay                # as in MAP-Neo
      steps: 2000
      learning_rate: {schedule: half_life, peak: 2.0e-4, half_life: 500, floor: 2.0e-5}
      mix: [{tokens: tokens/best.tokens, share: 1}]

Other schedules are linear {warmup, peak, floor}, inverse_sqrt {warmup, peak} and
warmup_stable_decay {warmup, peak, decay, floor}. Optional fields:

  start: {checkpoint: step42000, optimizer_updates: 42000}   # how many updates the moments have had
  z_loss: 1.0e-4
  dropout: 0.1
  order: shuffled                                 # or as_stored: one source, in file order
  mask_document_ends: true                        # like Megatron's --eod-mask-loss
  outliers: {window: 128, deviations: 6.0}        # as in OLMo: an outlier step does not update
  retention: {last: 2, every: 10000}              # which checkpoints to keep; default: all
  validation: {tokens: tokens/val.tokens, sequences: 64, every: 500}";

impl Train {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let (run, journal, root) = match self.workers.is_some() || self.listen.is_some() {
            true => self.with_workers(terminal)?,
            false => self.alone(terminal)?,
        };
        let output = root.directory(&run.output)?;
        let steps = checkpoints(&output)?;
        let saved = steps.iter().map(|step| directory_of(*step)).collect::<Result<Vec<_>, _>>()?;
        let result =
            json!({"name": run.name, "run": run.digest()?, "checkpoints": steps, "last": journal.lines().last()});
        terminal.result("train/1", &result, |out| {
            saved.iter().try_for_each(|path| writeln!(out, "{}", path.under(output.path()).display()))
        })?;
        if let Some(last) = journal.lines().last() {
            let (steps, tokens) = (count(last.step.get(), "step"), count(last.tokens.get(), "token"));
            let said =
                format!("{} for {steps}, {tokens}, to a loss of {:.4}; weights {}", run.name, last.loss, last.weights);
            terminal.say(Tone::Good, "trained", said);
        }
        Ok(Exit::Holds)
    }

    fn alone(&self, terminal: &Terminal) -> Result<(Run, Journal, Root), Failure> {
        let (Opened { document: run, root, path }, config) = open_run(&self.run)?;
        let network = self.engine.get().network(&run.model)?;
        let journal = train(&root, &run, network.as_ref(), self.resume, terminal.progress().as_ref())?;
        let training = Training { run, config };
        save(&root, &path, &training, training.outputs(&root)?, None)?;
        Ok((training.run, journal, root))
    }

    fn with_workers(&self, terminal: &Terminal) -> Result<(Run, Journal, Root), Failure> {
        let (Opened { document: run, root, path }, config) = open_run(&self.run)?;
        let network = self.engine.get().network(&run.model)?;
        let progress: Arc<dyn Progress> = Arc::from(terminal.progress());
        let told = Arc::clone(&progress);
        let deadline = Duration::from_secs(self.deadline.map_or(DEADLINE, NonZeroU64::get));
        let mut workers = Workers::new(&run, deadline, move |event| told.remark(&said(&event)))?;
        if let (Some(address), Some(token)) = (&self.listen, &self.token) {
            let address = workers.listen(address, &work::read_token(token, terminal)?)?;
            progress.remark(&format!("workers can join at {address}"));
        }
        let local = LocalWorkers::start(self.workers.unwrap_or(0), &self.run, &workers.local(), &progress);
        // So that the first step is not computed in this process while they start.
        workers.wait_for(self.workers.unwrap_or(0), || local.has_given_up());
        let journal = train_by(&root, &run, network.as_ref(), self.resume, &mut workers, progress.as_ref());
        drop(workers);
        local.stop();
        let journal = journal?;
        let training = Training { run, config };
        save(&root, &path, &training, training.outputs(&root)?, None)?;
        Ok((training.run, journal, root))
    }
}

/// An event among the workers as a sentence.
fn said(event: &Event) -> String {
    match event {
        Event::Joined { worker, from } => format!("worker {worker} joined from {from}"),
        Event::Left { worker, why } => format!("worker {worker} left ({why}); others compute its unfinished tasks"),
        Event::Slow { worker, task, waited, deadline } => {
            let (waited, left) = (waited.as_secs_f64(), deadline.saturating_sub(*waited).as_secs_f64());
            format!(
                "worker {worker} has worked on {task} for {waited:.0} s; in {left:.0} s others get them and it is disconnected"
            )
        }
        Event::Strangers { from, connections: 1 } => {
            format!("a connection from {from} did not prove that it has the token")
        }
        Event::Strangers { from, connections } => {
            format!("{connections} connections did not prove that they have the token, the last from {from}")
        }
        Event::Refused { from, why } => format!("a worker from {from} was refused: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use retrace_spec::{Run, SpecError};

    use super::RUN_FILE;

    /// The values in the help are the ones that are parsed.
    #[test]
    fn the_run_file_in_the_help_is_one() {
        let indented = RUN_FILE.lines().skip_while(|line| *line != "  retrace: run/1");
        let text: String =
            indented.filter_map(|line| line.strip_prefix("  ")).map(|line| format!("{line}\n")).collect();
        let model = serde_json::json!({
            "architecture": "olmo", "vocab_size": 9, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 4096, "rope_theta": 1.0e4,
            "initializer_range": 0.02,
        });
        let config = |_: &_| -> Result<_, SpecError> { Ok(serde_json::from_value(model).unwrap()) };
        let (run, config) = Run::parse_with(&text, "help", config).unwrap();
        assert_eq!((run.phases.len(), run.steps().get(), config.unwrap().as_str()), (2, 22_000, "config.json"));
        assert!(run.start.is_some() && run.outliers.is_some() && run.retention.is_some() && run.validation.is_some());
    }
}

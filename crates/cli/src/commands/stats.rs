//! `retrace stats`

use std::path::{Path, PathBuf};

use retrace_checkpoint::Checkpoint;
use retrace_spec::{CheckpointName, Step};
use retrace_tables::{Row, Tensor};
use retrace_weights::{TensorStats, stats};
use serde_json::json;

use super::{Exit, say_beside};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Compute statistics of the weights of checkpoints, tensor by tensor
///
/// Each CHECKPOINT is a directory with `model.safetensors` or `pytorch_model.bin` (one file or shards) or with a
/// distributed checkpoint of PyTorch, of nanotron or of Megatron, or one file of weights; give them in the order of the run. For every tensor: norm, mean, standard deviation, minimum, maximum,
/// kurtosis, the number of values that are not finite, the distance to the previous and to the first
/// checkpoint of the same run, and the digest. Also reports tensors without elements: their weights were not saved.
/// Checkpoints in one directory are of one run. Each file is read once. With `-o`, the statistics are written as the table
/// `tensors`, for `retrace query`; the step of a checkpoint is taken from its name (`step1000`), or from the name
/// of its directory if a file is given and its own name has no step.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace stats runs/base/step-000120
  retrace stats runs/base/step-* -o .
  retrace query \"select step, max(distance_to_previous) from tensors group by step order by step\"

Exit codes: 0 all values are finite, 1 some are not, or a tensor has no elements, 2 an error.")]
pub(crate) struct Stats {
    /// Checkpoints, in the order of the run
    #[arg(required = true, value_name = "CHECKPOINT")]
    checkpoints: Vec<PathBuf>,
    /// Compute the stable rank of every matrix too, which takes much longer
    #[arg(long)]
    stable_rank: bool,
    /// Write the table into DIR/tables
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The name of the run, of which all checkpoints are then [default: the name of the directory that holds them]
    #[arg(long, value_name = "NAME")]
    run: Option<String>,
}

impl Stats {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let runs = self.runs()?;
        for path in &self.checkpoints {
            say_beside(&Checkpoint::open(path)?, terminal);
        }
        let found = stats(&self.checkpoints, &runs, self.stable_rank, terminal.progress().as_ref())?;
        if let Some(output) = &self.output {
            let rows: Vec<Tensor> = found.iter().map(|tensor| self.row(tensor)).collect();
            retrace_tables::write(&output.join("tables"), &rows)?;
            let path = output.join("tables").join(format!("{}.parquet", Tensor::TABLE));
            terminal.say(Tone::Good, "wrote", format!("{}: {}", path.display(), count(rows.len(), "row")));
        }
        let of = |at: usize| -> Vec<&TensorStats> { found.iter().filter(|tensor| tensor.checkpoint == at).collect() };
        let checkpoints: Vec<_> = self
            .checkpoints
            .iter()
            .enumerate()
            .map(|(at, path)| json!({"checkpoint": path.display().to_string(), "step": step_of(path), "tensors": of(at)}))
            .collect();
        terminal.result("stats/1", &json!({"checkpoints": checkpoints}), |out| {
            if self.output.is_some() {
                return Ok(());
            }
            for (at, path) in self.checkpoints.iter().enumerate() {
                writeln!(out, "{}", path.display())?;
                writeln!(
                    out,
                    "{:>11} {:>11} {:>11} {:>11} {:>11} {:>9} {:>11}  tensor",
                    "norm", "mean", "std", "min", "max", "kurtosis", "moved"
                )?;
                for tensor in of(at) {
                    writeln!(
                        out,
                        "{} {} {} {} {} {:>9} {}  {}{}",
                        cell(Some(tensor.norm)),
                        cell(tensor.mean),
                        cell(tensor.std),
                        cell(tensor.min),
                        cell(tensor.max),
                        tensor.kurtosis.map_or_else(String::new, |kurtosis| format!("{kurtosis:.2}")),
                        cell(tensor.distance_to_previous),
                        tensor.tensor,
                        remark(tensor, terminal),
                    )?;
                }
            }
            Ok(())
        })?;
        let number = |of: fn(&TensorStats) -> bool| found.iter().filter(|tensor| of(tensor)).count();
        let (non_finite, without) = (number(|tensor| tensor.non_finite > 0), number(TensorStats::lacks_elements));
        let all = count(found.len(), "tensor");
        if non_finite > 0 {
            terminal.say(Tone::Bad, "not finite", format!("values in {non_finite} of {all}"));
        } else if without < found.len() {
            terminal.say(Tone::Good, "finite", format!("every value of {}", count(found.len() - without, "tensor")));
        }
        if let Some(first) = found.iter().find(|tensor| tensor.lacks_elements()) {
            let what = format!(
                "{without} of {all} have no elements, the first is {} of shape {:?}",
                first.tensor, first.shape
            );
            terminal.say(Tone::Bad, "empty", format!("{what}: their weights were not saved"));
        }
        Ok(Exit::holds(non_finite == 0 && without == 0))
    }

    /// The run of each checkpoint, as the place of the directory that holds it; with `--run` all are of one.
    fn runs(&self) -> Result<Vec<usize>, Failure> {
        let mut holders: Vec<PathBuf> = Vec::new();
        let mut runs = Vec::new();
        for checkpoint in &self.checkpoints {
            let holder = self.run.as_ref().map_or_else(|| holder(checkpoint), |_| PathBuf::new());
            let known = holders.iter().position(|known| *known == holder);
            runs.push(known.unwrap_or(holders.len()));
            if known.is_none() {
                holders.push(holder);
            }
        }
        for (at, one) in holders.iter().enumerate().filter(|_| self.output.is_some()) {
            let same = |other: &&PathBuf| other.file_name() == one.file_name();
            if let Some(other) = holders.iter().take(at).find(same) {
                let name = one.file_name().unwrap_or_default().display();
                let what = format!("{} and {} are two runs of the name {name}", other.display(), one.display());
                return Err(Failure::usage(
                    what,
                    "write the table of each alone, with --run NAME and an -o of its own",
                ));
            }
        }
        Ok(runs)
    }

    fn row(&self, found: &TensorStats) -> Tensor {
        let checkpoint = self.checkpoints.get(found.checkpoint).map(PathBuf::as_path).unwrap_or_else(|| Path::new(""));
        let holder = holder(checkpoint);
        let holder = holder.file_name().unwrap_or_default();
        Tensor {
            run: self.run.clone().unwrap_or_else(|| holder.to_string_lossy().into_owned()),
            checkpoint: checkpoint.display().to_string(),
            step: step_of(checkpoint),
            tensor: found.tensor.clone(),
            dtype: format!("{:?}", found.dtype),
            shape: format!("{:?}", found.shape),
            elements: found.elements,
            non_finite: found.non_finite,
            norm: found.norm,
            mean: found.mean,
            std: found.std,
            min: found.min,
            max: found.max,
            kurtosis: found.kurtosis,
            stable_rank: found.stable_rank,
            distance_to_previous: found.distance_to_previous,
            cosine_to_previous: found.cosine_to_previous,
            distance_to_first: found.distance_to_first,
            cosine_to_first: found.cosine_to_first,
            digest: found.digest,
        }
    }
}

/// What is wrong with a tensor, to be written after its name.
fn remark(tensor: &TensorStats, terminal: &Terminal) -> String {
    let what = if tensor.lacks_elements() {
        format!("no elements, shape {:?}", tensor.shape)
    } else if tensor.non_finite > 0 {
        format!("{} of {} not finite", tensor.non_finite, tensor.elements)
    } else {
        return String::new();
    };
    format!("  {}", terminal.tone(Tone::Bad, what))
}

/// The directory that holds a checkpoint.
fn holder(checkpoint: &Path) -> PathBuf {
    naming(checkpoint).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// A number with 11 characters.
fn cell(number: Option<f64>) -> String {
    number.map_or_else(|| " ".repeat(11), |number| format!("{number:>11.4e}"))
}

/// The step of the checkpoint at `path`, from its name.
fn step_of(path: &Path) -> Option<Step> {
    step_in(&naming(path))
}

/// The path whose last part names the checkpoint: `path` itself, or the directory of a file whose own name has no step
/// (`step-000120/model.safetensors`). It is absolute, because `.` and `step-1` do not name the directory that
/// contains them; links are not followed, because in a cache of downloads they lead to files that are named by digests.
fn naming(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match whole.parent() {
        Some(directory) if whole.is_file() && step_in(&whole).is_none() && step_in(directory).is_some() => {
            directory.to_owned()
        }
        _ => whole,
    }
}

fn step_in(path: &Path) -> Option<Step> {
    CheckpointName::of(path.file_name()?.to_str()?).step
}

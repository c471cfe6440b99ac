//! `retrace average`

use std::collections::BTreeMap;
use std::path::PathBuf;

use retrace_checkpoint::Checkpoint;
use retrace_files::{Root, safetensors, write_whole_directory};
use retrace_weights::{Closeness, Mean, average};
use serde_json::json;

use super::{Exit, MOST_BYTES, in_release, say_beside};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// The number of tensors that are shown: the worst.
const SHOWN: usize = 10;

/// Check whether a model is the average of other models
///
/// Each INGREDIENT and FINAL is a directory with `model.safetensors` or `pytorch_model.bin` (one file or
/// shards) or with a distributed checkpoint of PyTorch, of nanotron or of Megatron, or one file of weights. `average` sums the ingredients in binary64 in the given order and rounds the average to the
/// data type of FINAL. FINAL matches if it has the same bits, or if it differs only by rounding: by at
/// most one unit in the last place, or by the error of a sum in binary32. If FINAL has 16-bit numbers, it also
/// matches if its numbers are those of an average that was computed in that type, in one of the ways that
/// tools use: `average` says which. With --weights, the average is the weighted one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace average seed-1 seed-2 seed-3 --against final
  retrace average seed-1 seed-2 seed-3 --against final -o averaged
  retrace average seed-1 seed-2 seed-3 --against final --table tables; retrace audit tables

Exit codes: 0 FINAL is the average, 1 it is not, 2 an error.")]
pub(crate) struct Average {
    /// The models that FINAL is said to be the average of, in this order
    #[arg(required = true, value_name = "INGREDIENT")]
    ingredients: Vec<PathBuf>,
    /// The final model
    #[arg(long, value_name = "FINAL")]
    against: PathBuf,
    /// How much each ingredient counts, as 0.5,0.25,0.25; they are divided by their sum [default: all the same]
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    weights: Vec<f64>,
    /// Write the average into this new directory
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write the results into DIR as the table `averages`, for `retrace audit`
    #[arg(long, value_name = "DIR")]
    table: Option<PathBuf>,
}

impl Average {
    /// The ingredients, and how much each counts.
    fn weighed(&self) -> Result<Vec<(PathBuf, f64)>, Failure> {
        let advice = "give one positive number for each INGREDIENT, in their order, as --weights 0.5,0.25,0.25";
        if let Some(wrong) = self.weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0)) {
            return Err(Failure::usage(format!("{wrong} is no weight of an average"), advice));
        }
        let (weights, parts) = (self.weights.len(), self.ingredients.len());
        match weights {
            0 => Ok(self.ingredients.iter().map(|path| (path.clone(), 1.0)).collect()),
            _ if weights == parts => Ok(self.ingredients.iter().cloned().zip(self.weights.iter().copied()).collect()),
            _ => Err(Failure::usage(format!("there are {weights} weights for {parts} ingredients"), advice)),
        }
    }

    /// The results for each tensor, as rows.
    fn rows(&self, tensors: &[Mean]) -> Vec<retrace_tables::Average> {
        let subject = self.against.display().to_string();
        let mut of = self.ingredients.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        if !self.weights.is_empty() {
            let weights: Vec<_> = self.weights.iter().map(f64::to_string).collect();
            of = format!("{of} with weights {}", weights.join(", "));
        }
        let release = self.against.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let row = |mean: &Mean| retrace_tables::Average {
            release: release.clone(),
            subject: subject.clone(),
            tensor: mean.name.clone(),
            of: of.clone(),
            // It is the average, so the rule must not find it, however far arithmetic in 16 bits leads.
            distance: if mean.closeness == Closeness::SixteenBits { 0.0 } else { mean.distance },
            norm: mean.norm,
            unit: mean.rounding,
            source: subject.clone(),
            place: mean.name.clone(),
        };
        tensors.iter().map(row).collect()
    }

    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let mut made = BTreeMap::new();
        for path in self.ingredients.iter().chain([&self.against]) {
            say_beside(&Checkpoint::open(path)?, terminal);
        }
        let found = average(&self.weighed()?, &self.against, |name, tensor| {
            if self.output.is_some() {
                made.insert(name.to_owned(), tensor);
            }
        })?;
        if let Some(output) = &self.output {
            write_whole_directory(output, |directory| -> Result<(), Failure> {
                let views = made.iter().map(|(name, tensor)| (name.clone(), tensor.into())).collect();
                safetensors::write_views(directory.create(&in_release("model.safetensors")?)?, &views)?;
                let config = in_release("config.json")?;
                if self.against.is_dir()
                    && let against = Root::open_snapshot(&self.against)?
                    && against.has(&config)
                {
                    directory.write(&config, &against.file(&config)?.read(MOST_BYTES)?)?;
                }
                Ok(())
            })?;
        }
        if let Some(directory) = &self.table {
            retrace_tables::write(directory, &self.rows(&found.tensors))?;
        }
        let holds = found.closeness != Closeness::Apart;
        let ingredients: Vec<_> = self.ingredients.iter().map(|path| path.display().to_string()).collect();
        let against = self.against.display().to_string();
        let result = json!({"holds": holds, "against": against, "ingredients": ingredients, "average": found});
        let mut apart: Vec<_> = found.tensors.iter().filter(|tensor| tensor.closeness == Closeness::Apart).collect();
        apart.sort_by(|a, b| b.largest_units.total_cmp(&a.largest_units).then_with(|| a.name.cmp(&b.name)));
        terminal.result("average/1", &result, |out| {
            for Mean { name, differing, of, largest_units, largest, .. } in apart.iter().take(SHOWN) {
                let most = match *largest < f64::MAX {
                    true => format!("by at most {largest:.3e} or {largest_units:.1} units in the last place"),
                    false => "some of them not finite".to_owned(),
                };
                let numbers = format!("{differing} of {of} numbers, {most}");
                writeln!(out, "{} {name}: {numbers}", terminal.tone(Tone::Bad, "differs "))?;
            }
            match apart.len().saturating_sub(SHOWN) {
                0 => Ok(()),
                more => {
                    writeln!(out, "{}", terminal.tone(Tone::Faint, format!("… and {more} more (--json shows all)")))
                }
            }
        })?;
        let all = count(found.tensors.len() as u64, "tensor");
        let of = count(self.ingredients.len() as u64, "ingredient");
        let exact = found.tensors.iter().filter(|tensor| tensor.closeness == Closeness::Exact).count();
        match found.closeness {
            Closeness::Exact => terminal.say(Tone::Good, "average", format_args!("of {of}, the same bits: {all}")),
            Closeness::Rounding => {
                terminal.say(
                    Tone::Good,
                    "average",
                    format_args!("of {of}, equal to rounding: {exact} of {all} have the same bits"),
                );
            }
            Closeness::SixteenBits => {
                let narrow = || found.tensors.iter().filter(|tensor| tensor.closeness == Closeness::SixteenBits);
                let dtype = narrow().next().map_or_else(String::new, |tensor| format!("{:?}", tensor.dtype));
                let computed = narrow().map(|tensor| tensor.computed.clone()).reduce(|mut all, other| {
                    all.retain(|way| other.contains(way));
                    all
                });
                let way = computed.unwrap_or_default().first().map_or("in several ways", |way| way.words());
                let these = narrow().count();
                terminal.say(
                    Tone::Good,
                    "average",
                    format_args!("of {of}, computed in {dtype} ({way}): {these} of {all} have exactly these numbers"),
                );
            }
            Closeness::Apart => {
                terminal.say(
                    Tone::Bad,
                    "differs",
                    format_args!("{} of {all} are not the average of {of}", apart.len()),
                );
            }
        }
        Ok(Exit::holds(holds))
    }
}

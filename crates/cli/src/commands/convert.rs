//! `retrace convert`

use std::collections::BTreeMap;
use std::path::PathBuf;

use retrace_checkpoint::{Checkpoint, StoredTensor, write_safetensors};
use retrace_corpus::tokenizer::Tokenizer;
use retrace_files::torch::distributed::METADATA;
use retrace_files::{RegularFile, write_whole_directory};
use retrace_model::olmo_core::named_by_hugging_face;
use retrace_model::{ModelError, hub, llama2c};
use retrace_train::write_moments;
use serde_json::json;

use super::{Exit, MOST_BYTES, in_release, say_beside};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, bytes, count};

/// Convert a checkpoint of llama2.c, or a distributed one, to safetensors
///
/// From a directory, for example with a distributed checkpoint of PyTorch (DCP), of nanotron or of Megatron, whose tensors are in chunks,
/// writes all tensors into one `model.safetensors`, with their names and bits. With --config, OLMo-core's names
/// become those of Hugging Face, and `config.json` is written too. Other names, such as torchtitan's, are kept.
/// Values that are not tensors are left out and named.
///
/// A file is an export in llama2.c's first format, or llama2.c's PyTorch checkpoint (`ckpt.pt`); no code
/// in it is executed. From it, writes `config.json` and `model.safetensors`; `tokenizer.json` if a tokenizer is
/// given; and for a PyTorch checkpoint the optimizer's moments as `optimizer.safetensors`. Prints how many
/// updates the moments have had, so that a run file can continue from there with `start`. The weights
/// keep their bits. Only the rows of queries and keys are reordered, as Hugging Face's RoPE requires.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace convert stories260K.bin --tokenizer tok512.bin -o stories260K
  retrace generate stories260K --prefix '<s>'
  retrace convert out/ckpt.pt -o checkpoint
  retrace convert dcp -o tensors
  retrace convert step1000/model_and_optim --prefix model. --config OLMo-2-7B/config.json -o step1000-hf")]
pub(crate) struct Convert {
    /// The checkpoint: a file of llama2.c, or a directory
    #[arg(value_name = "CHECKPOINT")]
    model: PathBuf,
    /// Its tokenizer, in llama2.c's format
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// From a directory, write only the tensors whose names begin with this, and without it: `model.`
    #[arg(long, value_name = "TEXT", conflicts_with = "tokenizer")]
    prefix: Option<String>,
    /// From a directory of OLMo-core, give the tensors Hugging Face's names for the model that this `config.json` of
    /// Hugging Face describes: Llama, OLMo 2 or OLMo 3
    #[arg(long, value_name = "FILE", conflicts_with = "tokenizer")]
    config: Option<PathBuf>,
    /// The directory to create
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

impl Convert {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        match self.model.is_dir() || self.model.file_name().is_some_and(|name| name == METADATA) {
            true => self.of_directory(terminal),
            false => self.of_llama2c(terminal),
        }
    }

    fn of_directory(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        if self.tokenizer.is_some() {
            let help = "leave out --tokenizer; it is for checkpoints of llama2.c";
            return Err(Failure::usage(
                "the tensors of a directory are converted without a tokenizer".to_owned(),
                help,
            ));
        }
        let checkpoint = Checkpoint::open(&self.model)?;
        say_beside(&checkpoint, terminal);
        let prefix = self.prefix.as_deref().unwrap_or("");
        let chosen: BTreeMap<&str, &StoredTensor> = checkpoint
            .tensors()
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix(prefix).filter(|name| !name.is_empty())?, tensor)))
            .collect();
        if chosen.is_empty() {
            let first = checkpoint.tensors().keys().next().map_or("", String::as_str);
            let what = format!("no tensor has a name that begins with {prefix}; the first is {first}");
            return Err(Failure::usage(what, "give the --prefix that the names have, or none"));
        }
        let named;
        let mut written = chosen.clone();
        if let Some(config) = &self.config {
            let model = hub::read_config(RegularFile::open(config)?)?;
            named = named_by_hugging_face(&model, &chosen).map_err(|error| {
                let failure = Failure::from(error);
                let help = "give the --prefix and the configuration of the model; the names must be OLMo-core's or \
                            Hugging Face's. Those of torchtitan and lingua are not converted: their queries and keys \
                            are in another order. Without --config, the tensors keep their names";
                Failure::Helped { help: help.to_owned(), failure: Box::new(failure) }
            })?;
            written = named.iter().map(|(name, tensor)| (name.as_str(), *tensor)).collect();
        }
        let progress = terminal.progress();
        write_whole_directory(&self.output, |directory| -> Result<(), Failure> {
            if let Some(config) = &self.config {
                directory.write(&in_release("config.json")?, &RegularFile::open(config)?.read(MOST_BYTES)?)?;
            }
            let file = directory.create(&in_release("model.safetensors")?)?;
            write_safetensors(file, &written, progress.as_ref())?;
            Ok(())
        })?;
        let left_out = checkpoint.tensors().len() - chosen.len();
        let size: u64 = chosen.values().map(|tensor| tensor.length()).sum();
        let result = json!({
            "output": self.output.display().to_string(),
            "tensors": chosen.len(),
            "bytes": size,
            "left_out": left_out,
            "not_tensors": checkpoint.not_tensors(),
        });
        terminal.result("convert/1", &result, |out| writeln!(out, "{}", self.output.display()))?;
        terminal.say(
            Tone::Good,
            "converted",
            format_args!("{}, {}", count(chosen.len() as u64, "tensor"), bytes(size)),
        );
        if left_out > 0 {
            let told = format_args!("{} whose names do not begin with {prefix}", count(left_out as u64, "tensor"));
            terminal.say(Tone::Faint, "left out", told);
        }
        for name in checkpoint.not_tensors() {
            terminal.say(Tone::Faint, "left out", format_args!("{name}, which is not a tensor"));
        }
        Ok(Exit::Holds)
    }

    fn of_llama2c(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        if self.prefix.is_some() || self.config.is_some() {
            let help = "leave out --prefix and --config; they are for directories";
            return Err(Failure::usage("a checkpoint of llama2.c is converted as a whole".to_owned(), help));
        }
        let llama2c::Released { model, weights, iterations, optimizer } =
            llama2c::read(&self.model).map_err(unreadable)?;
        let tokenizer = match &self.tokenizer {
            None => None,
            Some(path) => {
                let bytes = RegularFile::open(path)?.read(MOST_BYTES)?;
                Some(Tokenizer::from_llama2c(path, &bytes)?)
            }
        };
        if let Some(tokens) = tokenizer.as_ref().map(Tokenizer::vocabulary)
            && tokens as usize != model.vocab_size
        {
            let what =
                format!("the tokenizer has {tokens} tokens, but the model has embeddings for {}", model.vocab_size);
            return Err(Failure::usage(what, "give the tokenizer that the model was trained with"));
        }
        write_whole_directory(&self.output, |directory| -> Result<(), Failure> {
            hub::write(directory, &model, &weights)?;
            if let Some(moments) = &optimizer {
                write_moments(directory, weights.layout(), moments.first.values(), moments.second.values())?;
            }
            if let Some(tokenizer) = &tokenizer {
                directory.write(&in_release("tokenizer.json")?, tokenizer.json())?;
            }
            Ok(())
        })?;
        let parameters = weights.values().len();
        let updates = optimizer.map(|moments| moments.updates);
        let result = json!({
            "output": self.output.display().to_string(),
            "model": model,
            "parameters": parameters,
            "iterations": iterations,
            "optimizer_updates": updates,
        });
        terminal.result("convert/1", &result, |out| writeln!(out, "{}", self.output.display()))?;
        terminal.say(Tone::Good, "converted", format_args!("a Llama of {}", count(parameters, "parameter")));
        if let Some(updates) = updates {
            let told = format_args!("moments after {updates} updates: write `optimizer_updates: {updates}` in `start`");
            terminal.say(Tone::Good, "converted", told);
        }
        Ok(Exit::Holds)
    }
}

fn unreadable(error: ModelError) -> Failure {
    let help = matches!(error, ModelError::Config { .. }).then(|| "give an export or a PyTorch checkpoint of llama2.c");
    let failure = Failure::from(error);
    Failure::Helped { help: help.map_or_else(|| failure.help(), str::to_owned), failure: Box::new(failure) }
}

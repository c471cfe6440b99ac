//! `retrace convert`

use std::path::PathBuf;

use retrace_corpus::tokenizer::Tokenizer;
use retrace_files::{RegularFile, write_whole_directory};
use retrace_model::{ModelError, hub, llama2c};
use retrace_train::write_moments;
use serde_json::json;

use super::{Exit, MOST_BYTES, in_release};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Convert a checkpoint of llama2.c to a Hugging Face directory
///
/// FILE is an export in llama2.c's first format, or llama2.c's PyTorch checkpoint (`ckpt.pt`); no code
/// in it is executed. Writes `config.json` and `model.safetensors`; `tokenizer.json` if a tokenizer is
/// given; and for a PyTorch checkpoint the optimizer's moments as `optimizer.safetensors`. Prints how many
/// updates the moments have had, so that a run file can continue from there with `start`. The weights
/// keep their bits. Only the rows of queries and keys are reordered, as Hugging Face's RoPE requires.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace convert stories260K.bin --tokenizer tok512.bin -o stories260K
  retrace generate stories260K --prefix '<s>'
  retrace convert out/ckpt.pt -o checkpoint")]
pub(crate) struct Convert {
    /// The checkpoint
    #[arg(value_name = "FILE")]
    model: PathBuf,
    /// Its tokenizer, in llama2.c's format
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// The directory to create
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

impl Convert {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
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

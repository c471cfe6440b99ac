//! `retrace convert`

use std::path::PathBuf;

use retrace_corpus::tokenizer::Tokenizer;
use retrace_files::{RegularFile, write_whole_directory};
use retrace_model::{hub, llama2c};
use retrace_train::write_moments;
use serde_json::json;

use super::{Exit, MOST_BYTES, in_release};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Turn a checkpoint of llama2.c into a Hugging Face directory
///
/// FILE is an export in llama2.c's first format, or the PyTorch checkpoint (`ckpt.pt`) that it trains
/// from, of which nothing is executed; the moments of its optimizer go to `optimizer.safetensors`. A
/// run file goes on from there with `start`; how many updates the moments have seen is said. Writes
/// `config.json` and `model.safetensors`, and `tokenizer.json` where the tokenizer is given. The weights
/// keep their bits; rows of queries and keys change their order, as Hugging Face's RoPE asks for.
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
    /// The directory to be made
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

impl Convert {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let llama2c::Released { model, weights, iterations, optimizer } = llama2c::read(&self.model)?;
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
            let what = format!("the tokenizer has {tokens} tokens, but the model embeds {}", model.vocab_size);
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
            let told =
                format_args!("moments that have seen {updates} updates: `optimizer_updates: {updates}` in `start`");
            terminal.say(Tone::Good, "converted", told);
        }
        Ok(Exit::Holds)
    }
}

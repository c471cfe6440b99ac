//! `retrace convert`

use std::path::PathBuf;

use retrace_corpus::tokenizer::Tokenizer;
use retrace_files::{FileError, write_whole, write_whole_directory};
use retrace_model::{hub, llama2c};
use serde_json::json;

use super::Exit;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Turn a checkpoint of llama2.c into a Hugging Face directory
///
/// Writes `config.json` and `model.safetensors`, and `tokenizer.json` where the tokenizer is given.
/// The weights keep their bits; rows of queries and keys change their order, as Hugging Face's RoPE
/// asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace convert stories260K.bin --tokenizer tok512.bin -o stories260K
  retrace generate stories260K --prefix '<s>'")]
pub(crate) struct Convert {
    /// The checkpoint, in llama2.c's first format
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
        let (model, weights) = llama2c::read(&self.model)?;
        let tokenizer = match &self.tokenizer {
            None => None,
            Some(path) => {
                let bytes = std::fs::read(path).map_err(FileError::io(path, "read"))?;
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
            if let Some(tokenizer) = &tokenizer {
                write_whole(&directory.join("tokenizer.json"), tokenizer.json())?;
            }
            Ok(())
        })?;
        let parameters = weights.values().len();
        let result = json!({"output": self.output, "model": model, "parameters": parameters});
        terminal.result("convert/1", &result, |out| writeln!(out, "{}", self.output.display()))?;
        terminal.say(Tone::Good, "converted", format_args!("a Llama of {}", count(parameters, "parameter")));
        Ok(Exit::Holds)
    }
}

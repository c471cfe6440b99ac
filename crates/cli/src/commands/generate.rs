//! `retrace generate`

use std::path::PathBuf;

use retrace_corpus::tokenizer::Tokenizer;
use retrace_files::{Root, Unit};
use retrace_model::{Inference, Sampler, hub};
use serde_json::json;

use super::{Exit, in_release};
use crate::engine::EngineChoice;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Generate text with a model
///
/// MODEL is a directory with `config.json`, `tokenizer.json`, and `model.safetensors` or
/// `pytorch_model.bin` (one file or shards). The text is a
/// function of the model, the prompt, the temperature and the seed; it is the same on every machine. It
/// ends after N tokens (--tokens), at the model's maximum length, or when the model generates the prefix.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace generate runs/base/step-000240 --prefix '<|endoftext|>'
  retrace generate stories260K --prefix '<s>' --prompt 'Lily saw a' --temperature 0.8 --seed 3")]
pub(crate) struct Generate {
    /// The model's directory
    model: PathBuf,
    /// The beginning of the text
    #[arg(long, default_value = "", value_name = "TEXT")]
    prompt: String,
    /// The token that precedes every text in training
    #[arg(long, value_name = "TOKEN")]
    prefix: Option<String>,
    /// Generate at most N tokens
    #[arg(long, default_value_t = 200, value_name = "N")]
    tokens: u64,
    /// 0 takes the most likely token; 1 samples from the model's distribution; between 0 and 1 it is sharper
    #[arg(long, default_value_t = 0.0, value_name = "T")]
    temperature: f32,
    /// The seed of the sampling
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    seed: u64,
    #[command(flatten)]
    engine: EngineChoice,
}

impl Generate {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        if !(0.0..=100.0).contains(&self.temperature) {
            return Err(Failure::usage(
                format!("the temperature {} is out of range", self.temperature),
                "give one from 0 to 100",
            ));
        }
        let model = Root::open_snapshot(&self.model)?;
        let tokenizer = Tokenizer::read(model.file(&in_release("tokenizer.json")?)?)?;
        let (description, weights) = hub::read(&model)?;
        let model = Inference::new(&description, weights, self.engine.get())?;
        let sampler = Sampler::new(self.temperature, self.seed);
        let prefix = self.prefix.as_deref().map(|token| tokenizer.id_of(token)).transpose()?;
        let mut ids: Vec<u32> = prefix.into_iter().collect();
        ids.extend(tokenizer.encode(&self.prompt)?);
        if ids.is_empty() {
            return Err(Failure::usage("there is no text to continue", "give --prefix, --prompt or both"));
        }
        let given = ids.len();
        let progress = terminal.progress();
        progress.begin("generating", self.tokens, Unit::Items);
        let longest = description.max_position_embeddings;
        for index in 0..self.tokens {
            if ids.len() >= longest {
                break;
            }
            // A model without a cache of keys and values reads the complete text again for each token.
            let logits = model.logits(&ids, ids.len())?;
            let last = &logits[logits.len() - description.vocab_size..];
            if last.iter().any(|logit| logit.is_nan()) {
                let what = format!("token {} cannot be chosen: the model gives logits that are NaN", index + 1);
                return Err(Failure::usage(
                    what,
                    "`retrace stats` says which of its tensors have values that are not finite",
                ));
            }
            let next = sampler.choose(last, index);
            if prefix == Some(next) {
                break;
            }
            ids.push(next);
            progress.advance(1);
        }
        progress.end();
        let text = tokenizer.decode(&ids[usize::from(prefix.is_some())..])?;
        terminal.result("generate/1", &json!({"text": text, "tokens": ids}), |out| {
            out.write_all(text.as_bytes())?;
            writeln!(out)
        })?;
        let made = count(ids.len() - given, "token");
        terminal.say(Tone::Good, "generated", format_args!("{made} after {given}"));
        Ok(Exit::Holds)
    }
}

//! `retrace logits`

use std::collections::BTreeMap;
use std::path::PathBuf;

use retrace_files::safetensors::{self, Dtype, Tensor};
use retrace_files::{FileError, RegularFile, Root};
use retrace_model::{Inference, hub};
use serde_json::json;

use super::{Exit, MOST_BYTES, refuse_input};
use crate::engine::EngineChoice;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone};

/// Compute a model's logits for given tokens
///
/// MODEL is a directory with `config.json` and `model.safetensors` or `pytorch_model.bin` (one file or
/// shards) of a Llama, GPT-NeoX, OLMo, Qwen3 or SmolLM3. Writes one F32 tensor, `logits`, of shape
/// [batch, sequence, vocabulary], with the same bits on every machine. A logit that is NaN or infinite is reported, and the exit code is 1.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  echo '[[1, 2, 3], [4, 5, 6]]' > ids.json
  retrace logits runs/base/step-000240 --tokens ids.json -o logits.safetensors")]
pub(crate) struct Logits {
    /// The model's directory
    model: PathBuf,
    /// A JSON file with sequences of token ids, all of the same length: [[1, 2, …], …]
    #[arg(long, value_name = "IDS.json")]
    tokens: PathBuf,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    engine: EngineChoice,
}

impl Logits {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let text = RegularFile::open(&self.tokens)?.read(MOST_BYTES)?;
        let sequences: Vec<Vec<u32>> = serde_json::from_slice(&text).map_err(|e| FileError::Json {
            path: self.tokens.clone(),
            line: e.line(),
            what: format!("{e}; it must hold sequences of token ids, as in [[1, 2], [3, 4]]"),
        })?;
        let positions = sequences.first().map_or(0, Vec::len);
        if positions == 0 || sequences.iter().any(|sequence| sequence.len() != positions) {
            let what = format!("the sequences in {} are not of one length above 0", self.tokens.display());
            return Err(Failure::usage(what, "give at least one sequence, and the same number of ids in each"));
        }
        refuse_input(&self.output, &[&self.model, &self.tokens])?;
        let (description, weights) = hub::read(&Root::open_snapshot(&self.model)?)?;
        let model = Inference::new(&description, weights, self.engine.get())?;
        let logits = model.logits(&sequences.concat(), positions)?;
        let shape = vec![sequences.len(), positions, description.vocab_size];
        let bytes = logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
        let tensor = Tensor { dtype: Dtype::F32, shape: shape.clone(), bytes };
        safetensors::write(&self.output, &BTreeMap::from([("logits".to_owned(), tensor)]))?;
        let (_, digest) = retrace_files::hash_file(&self.output)?;
        let not_finite = logits.iter().filter(|logit| !logit.is_finite()).count();
        let result = json!({"output": self.output.display().to_string(), "shape": shape, "digest": digest,
            "not_finite": not_finite});
        terminal.result("logits/1", &result, |out| writeln!(out, "{}", self.output.display()))?;
        let shape = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
        terminal.say(Tone::Good, "computed", format_args!("logits {shape}; file {digest}"));
        if not_finite > 0 {
            let what = format_args!("{not_finite} of {} logits: NaN or infinite", logits.len());
            terminal.say(Tone::Bad, "not finite", what);
        }
        Ok(Exit::holds(not_finite == 0))
    }
}

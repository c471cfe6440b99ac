//! `retrace tokenize`

use std::path::PathBuf;

use retrace_spec::TokenizeRecipe;
use retrace_steps::{Options, Tokenized, carry_out};

use super::{Exit, Opened, open};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, bytes, count};

/// Tokenize a corpus into token shards as a recipe says
///
/// Trains the tokenizer first if the recipe says so. Paths in the recipe are relative to its directory.
/// Prints the written token shards.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace tokenize release/tokenize.yaml
  retrace tokenize --json release/tokenize.yaml

A recipe:
  retrace: tokenize/1
  name: tokenize
  tokenizer: {from: train, path: tokenizer/tokenizer.json, vocab_size: 512, end_of_text: <|end|>}
  shards:
    - {input: [clean/en-*.jsonl], output: tokens/en.tokens}
    - {input: [clean/zh-*.jsonl], output: tokens/zh.tokens}")]
pub(crate) struct Tokenize {
    /// The recipe
    recipe: PathBuf,
}

impl Tokenize {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let Opened { document: recipe, root, path } = open::<TokenizeRecipe>(&self.recipe)?;
        let Tokenized(report) = carry_out(&root, &path, &recipe, &Options::default(), terminal.progress().as_ref())?;
        terminal.result("tokenize/1", &report, |out| {
            report.outputs.iter().try_for_each(|path| writeln!(out, "{}", path.under(root.path()).display()))
        })?;
        let (documents, text) = (count(report.documents, "document"), bytes(report.bytes));
        terminal.say(
            Tone::Good,
            "tokenized",
            format_args!("{documents}, {text}, to {}", count(report.tokens, "token")),
        );
        if let Some(tokenizer) = &report.trained {
            terminal.say(Tone::Faint, "trained", tokenizer.under(root.path()).display());
        }
        Ok(Exit::Holds)
    }
}

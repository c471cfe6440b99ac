//! `retrace tokenize`

use std::path::{Path, PathBuf};

use retrace_corpus::TokenizeReport;
use retrace_files::Root;
use retrace_manifest::record::{self, Done};
use retrace_spec::TokenizeRecipe;
use retrace_spec::manifest::{Kind, StepKind};

use super::{Exit, Opened, open};
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, bytes, count};

/// Turn documents into token shards as a recipe says
///
/// Trains the tokenizer first, if the recipe asks for that. Paths in the recipe begin at the directory that it lies in. Prints the token shards that were
/// written.
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
        let (report, root) = carry_out(&self.recipe, terminal)?;
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

/// Tokenizes and records the step; gives the report and the release's directory.
pub(super) fn carry_out(recipe: &Path, terminal: &Terminal) -> Result<(TokenizeReport, Root), Failure> {
    let Opened { document: recipe, root, path } = open::<TokenizeRecipe>(recipe)?;
    let report = retrace_corpus::tokenize(&root, &recipe, terminal.progress().as_ref())?;
    let mut inputs = report.inputs.clone();
    let mut outputs: Vec<_> = report.outputs.iter().map(|shard| (shard.clone(), Kind::Tokens)).collect();
    match &report.trained {
        Some(tokenizer) => outputs.push((tokenizer.clone(), Kind::Tokenizer)),
        None => inputs.push(recipe.tokenizer.path().clone()),
    }
    let done = Done { id: recipe.name, kind: StepKind::Tokenize, numerics: None, config: Some(path), inputs, outputs };
    record::save(&root, done)?;
    Ok((report, root))
}

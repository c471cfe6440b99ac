//! Makes token shards from documents.

use std::collections::BTreeSet;

use rayon::prelude::*;
use retrace_files::{FileError, Progress, Root, Unit, expand, sweep_all};
use retrace_spec::recipe::TokenizerSource;
use retrace_spec::{RelPath, TokenizeRecipe};
use serde::Serialize;
use serde_json::Value;

use crate::CorpusError;
use crate::records::Records;
use crate::tokenizer::Tokenizer;
use crate::tokens::Writer;

/// The inputs and outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenizeReport {
    /// Documents that were read.
    pub documents: u64,
    /// Bytes of their text.
    pub bytes: u64,
    /// Tokens that were written.
    pub tokens: u64,
    /// The shards that were read.
    pub inputs: Vec<RelPath>,
    /// The token shards that were written.
    pub outputs: Vec<RelPath>,
    /// The tokenizer, if it was trained by this step.
    pub trained: Option<RelPath>,
}

/// Runs `recipe`, whose paths are relative to `root`. Each document's tokens are followed by the end-of-text token.
///
/// # Errors
/// If a file cannot be read or written, or a document or the tokenizer is not valid.
pub fn tokenize(root: &Root, recipe: &TokenizeRecipe, progress: &dyn Progress) -> Result<TokenizeReport, CorpusError> {
    let inputs: Vec<Vec<RelPath>> =
        recipe.shards.iter().map(|shard| expand(root, &shard.input)).collect::<Result<_, _>>()?;
    let path = recipe.tokenizer.path();
    // Files that an interrupted tokenization left.
    let written = recipe.shards.iter().map(|shard| &shard.output).chain([path]);
    for directory in written.filter_map(RelPath::parent).collect::<BTreeSet<_>>() {
        if root.has(&directory) {
            sweep_all(&root.directory(&directory)?)?;
        }
    }
    let tokenizer = match &recipe.tokenizer {
        TokenizerSource::File { .. } => Tokenizer::read(root.file(path)?)?,
        TokenizerSource::Train { vocab_size, end_of_text, .. } => {
            let mut texts = Vec::new();
            for shard in inputs.iter().flatten() {
                texts.extend(read(root, shard, &recipe.text)?.into_iter().map(|(_, text)| text));
            }
            progress.begin("training the tokenizer", 0, Unit::Documents);
            let tokenizer =
                Tokenizer::train(&path.under(root.path()), texts.iter().map(String::as_str), *vocab_size, end_of_text)?;
            progress.end();
            root.write(path, tokenizer.json())?;
            tokenizer
        }
    };
    let end = tokenizer.id_of(recipe.tokenizer.end_of_text())?;
    let trained = matches!(recipe.tokenizer, TokenizerSource::Train { .. }).then(|| path.clone());
    let mut report =
        TokenizeReport { documents: 0, bytes: 0, tokens: 0, inputs: Vec::new(), outputs: Vec::new(), trained };
    progress.begin("tokenizing", inputs.iter().flatten().count() as u64, Unit::Files);
    for (shard, inputs) in recipe.shards.iter().zip(inputs) {
        let mut writer = Writer::create(root.create(&shard.output)?, tokenizer.vocabulary(), tokenizer.digest())?;
        for input in inputs {
            let documents = read(root, &input, &recipe.text)?;
            let tokens: Vec<Vec<u32>> =
                documents.par_iter().map(|(_, text)| tokenizer.encode(text)).collect::<Result<_, _>>()?;
            writer.begin_shard(input.clone());
            for ((line, text), mut tokens) in documents.iter().zip(tokens) {
                tokens.push(end);
                writer.add(*line, &tokens)?;
                report.documents += 1;
                report.bytes += text.len() as u64;
            }
            report.inputs.push(input);
            progress.advance(1);
        }
        report.tokens += writer.finish()?;
        report.outputs.push(shard.output.clone());
    }
    progress.end();
    report.inputs.sort();
    report.inputs.dedup();
    Ok(report)
}

/// The texts of a shard in its column `column`, each with its line.
fn read(root: &Root, shard: &RelPath, column: &str) -> Result<Vec<(usize, String)>, CorpusError> {
    let mut records = Records::open(root.file(shard)?, &[column.to_owned()])?;
    let mut texts = Vec::new();
    while let Some(record) = records.next() {
        let text = record.and_then(|(line, values)| match values.into_iter().next() {
            Some(Value::String(text)) => Ok((line as usize, text)),
            _ => {
                let path = shard.under(root.path());
                Err(FileError::Json {
                    path,
                    line: line as usize,
                    what: format!("has no text in the column {column:?}"),
                })
            }
        });
        match text {
            Ok(text) => texts.push(text),
            Err(error) => {
                records.check_rest()?;
                return Err(error.into());
            }
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::TokenShard;
    use retrace_files::{RegularFile, Silent};
    use retrace_spec::Document as _;

    #[test]
    fn every_token_goes_back_to_its_document() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let texts = ["the cat sat", "on the mat", "猫坐在垫子上"];
        let lines: String = texts
            .iter()
            .enumerate()
            .map(|(i, t)| format!("{{\"id\":\"{i}\",\"text\":\"{t}\",\"lang\":\"en\"}}\n"))
            .collect();
        std::fs::create_dir(root.join("clean")).unwrap();
        std::fs::write(root.join("clean/a.jsonl"), lines).unwrap();
        let recipe = "retrace: tokenize/1
name: tokenize
tokenizer: {from: train, path: tokenizer/tokenizer.json, vocab_size: 270, end_of_text: <|end|>}
shards: [{input: [clean/*.jsonl], output: tokens/a.tokens}]
";
        let recipe = TokenizeRecipe::parse(recipe, "tokenize.yaml").unwrap();
        let report = tokenize(&Root::open(root).unwrap(), &recipe, &Silent).unwrap();
        let shard = TokenShard::open(RegularFile::open(&root.join("tokens/a.tokens")).unwrap()).unwrap();
        assert_eq!((report.documents, report.tokens), (3, shard.tokens()));
        let tokenizer = Tokenizer::read(RegularFile::open(&root.join("tokenizer/tokenizer.json")).unwrap()).unwrap();
        assert_eq!(shard.tokenizer(), tokenizer.digest());
        let all = shard.sequence(0, shard.tokens() as usize - 1).unwrap();
        let joined: String = texts.iter().map(|text| format!("{text}<|end|>")).collect();
        assert_eq!(tokenizer.decode(&all).unwrap(), joined);
        assert_eq!(shard.documents().iter().map(|d| d.line).collect::<Vec<_>>(), [1, 2, 3]);
    }
}

//! Cleaning: rules in order, then exact deduplication, with a ledger of all dropped documents.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Write};

use rayon::prelude::*;
use retrace_files::{FileError, Progress, Root, Unit, WholeFile, expand, json_lines, sweep_all};
use retrace_spec::recipe::Deduplicate;
use retrace_spec::{CleanRecipe, Digest, RelPath};
use serde::{Deserialize, Serialize};

use crate::rules::{broken, folded};
use crate::{CorpusDocument, CorpusError};

/// The name of the rule for documents that deduplication drops.
const DUPLICATE: &str = "duplicate";

/// A document that was dropped: a line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerEntry {
    /// The document's id.
    pub id: String,
    /// Its shard.
    pub shard: RelPath,
    /// Its line in the shard, from 1.
    pub line: usize,
    /// The rule that dropped it, or `duplicate`.
    pub rule: String,
    /// The value that the rule measured.
    pub detail: String,
}

/// The results for the documents: `documents` = `kept` + the sum of `dropped`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CleanReport {
    /// Documents that were read.
    pub documents: u64,
    /// Documents that were kept.
    pub kept: u64,
    /// The number that each rule dropped.
    pub dropped: BTreeMap<String, u64>,
    /// The shards that were read.
    pub inputs: Vec<RelPath>,
    /// The shards that were written.
    pub outputs: Vec<RelPath>,
    /// The ledger of all dropped documents, JSON lines of [`LedgerEntry`].
    pub ledger: RelPath,
}

/// The result of the first reading of a document.
struct Judged {
    id: String,
    line: usize,
    verdict: Result<Digest, (String, String)>,
}

/// Runs `recipe`, whose paths are relative to `root`. Kept documents keep their bytes. Of equal documents the first,
/// by shard and line, is kept. Everything is read before anything is written.
///
/// # Errors
/// If a file cannot be read or written, or a line is not a document.
pub fn clean(root: &Root, recipe: &CleanRecipe, progress: &dyn Progress) -> Result<CleanReport, CorpusError> {
    let inputs = expand(root, &recipe.input)?;
    let ledger = recipe.output.join("ledger.jsonl")?;
    let mut outputs: BTreeMap<RelPath, &RelPath> = BTreeMap::new();
    for input in &inputs {
        let output = recipe.output.join(input.file_name())?;
        let first = match outputs.insert(output.clone(), input) {
            Some(first) => format!("cleaned {first}"),
            None if output == ledger => "the ledger".to_owned(),
            None if inputs.contains(&output) => "a shard that is read".to_owned(),
            None => continue,
        };
        return Err(CorpusError::Clash { first, second: format!("cleaned {input}"), output: output.to_string() });
    }
    // Files that an interrupted clean left.
    if root.has(&recipe.output) {
        sweep_all(&root.directory(&recipe.output)?)?;
    }
    progress.begin("cleaning", inputs.len() as u64, Unit::Files);
    let judged: Vec<Vec<Judged>> = inputs
        .par_iter()
        .map(|shard| {
            let judged = judge(root, shard, recipe);
            progress.advance(1);
            judged
        })
        .collect::<Result<_, _>>()?;
    let mut seen = HashSet::new();
    let mut drops: Vec<Vec<LedgerEntry>> = Vec::new();
    let mut documents = 0;
    for (shard, judged) in inputs.iter().zip(judged) {
        documents += judged.len() as u64;
        let dropped = judged.into_iter().filter_map(|Judged { id, line, verdict }| {
            let (rule, detail) = match verdict {
                Err(broken) => broken,
                Ok(text) if recipe.deduplicate == Deduplicate::Exact && !seen.insert(text) => {
                    (DUPLICATE.to_owned(), format!("text {}", text.short()))
                }
                Ok(_) => return None,
            };
            Some(LedgerEntry { id, shard: shard.clone(), line, rule, detail })
        });
        drops.push(dropped.collect());
    }
    inputs.par_iter().zip(&drops).try_for_each(|(shard, drops)| write_kept(root, shard, &recipe.output, drops))?;
    write_ledger(root.create(&ledger)?, drops.iter().flatten())?;
    progress.end();
    let mut dropped = BTreeMap::new();
    for drop in drops.iter().flatten() {
        *dropped.entry(drop.rule.clone()).or_insert(0) += 1;
    }
    let kept = documents - dropped.values().sum::<u64>();
    let outputs = outputs.into_keys().collect();
    Ok(CleanReport { documents, kept, dropped, inputs, outputs, ledger })
}

fn judge(root: &Root, shard: &RelPath, recipe: &CleanRecipe) -> Result<Vec<Judged>, CorpusError> {
    json_lines::<CorpusDocument>(root.file(shard)?)
        .map(|line| {
            let (line, document) = line?;
            let first = recipe.rules.iter().find_map(|rule| Some((rule.name().to_owned(), broken(rule, &document)?)));
            let verdict = first.map_or_else(|| Ok(Digest::of(folded(&document.text).as_bytes())), Err);
            Ok(Judged { id: document.id, line, verdict })
        })
        .collect()
}

fn write_kept(root: &Root, shard: &RelPath, output: &RelPath, drops: &[LedgerEntry]) -> Result<(), CorpusError> {
    let dropped: HashSet<usize> = drops.iter().map(|drop| drop.line).collect();
    let file = root.file(shard)?;
    let from = file.path().to_owned();
    let mut reader = BufReader::new(file.into_file());
    let mut writer = root.create(&output.join(shard.file_name())?)?;
    let to = writer.path();
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes).map_err(FileError::io(&from, "read"))? == 0 {
            break;
        }
        if !dropped.contains(&line) {
            writer.write_all(&bytes).map_err(FileError::io(&to, "write"))?;
        }
    }
    writer.commit()?;
    Ok(())
}

fn write_ledger<'a>(mut writer: WholeFile, drops: impl Iterator<Item = &'a LedgerEntry>) -> Result<(), CorpusError> {
    let path = &writer.path();
    for drop in drops {
        let mut line = serde_json::to_vec(drop).map_err(|e| FileError::Json {
            path: path.to_owned(),
            line: drop.line,
            what: e.to_string(),
        })?;
        line.push(b'\n');
        writer.write_all(&line).map_err(FileError::io(path, "write"))?;
    }
    writer.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use retrace_files::{RegularFile, Silent};
    use retrace_spec::Document as _;

    const RECIPE: &str = "retrace: clean/1
name: clean
input: [raw/*.jsonl]
output: clean
rules: [{rule: characters, at_least: 3, at_most: 100}]
deduplicate: exact
";

    fn shard(texts: &[&str]) -> String {
        let line = |(i, text): (usize, &&str)| {
            format!("{{\"lang\": \"en\", \"id\": \"{i}\",  \"text\": \"{text}\", \"more\": 1}}\n")
        };
        texts.iter().enumerate().map(line).collect()
    }

    #[test]
    fn every_document_is_kept_or_accounted_for() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir(root.join("raw")).unwrap();
        std::fs::write(root.join("raw/a.jsonl"), shard(&["one two", "x", "three"])).unwrap();
        std::fs::write(root.join("raw/b.jsonl"), shard(&["One  Ｔwo", "four", "three", "three"])).unwrap();
        let recipe = CleanRecipe::parse(RECIPE, "clean.yaml").unwrap();
        let report = clean(&Root::open(root).unwrap(), &recipe, &Silent).unwrap();
        assert_eq!((report.documents, report.kept), (7, 3));
        assert_eq!(report.dropped, [("characters".to_owned(), 1), ("duplicate".to_owned(), 3)].into());
        // Kept lines have exactly the same bytes.
        let a = shard(&["one two", "x", "three"]);
        let kept: String = a.split_inclusive('\n').enumerate().filter(|(i, _)| *i != 1).map(|(_, line)| line).collect();
        assert_eq!(std::fs::read_to_string(root.join("clean/a.jsonl")).unwrap(), kept);
        let ledger: Vec<(usize, LedgerEntry)> =
            json_lines(RegularFile::open(&root.join("clean/ledger.jsonl")).unwrap()).collect::<Result<_, _>>().unwrap();
        let places: Vec<_> = ledger.iter().map(|(_, d)| (d.shard.as_str(), d.line, d.rule.as_str())).collect();
        assert_eq!(
            places,
            [
                ("raw/a.jsonl", 2, "characters"),
                ("raw/b.jsonl", 1, "duplicate"),
                ("raw/b.jsonl", 3, "duplicate"),
                ("raw/b.jsonl", 4, "duplicate")
            ]
        );
    }

    #[test]
    fn nothing_that_is_read_is_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for (files, from, to) in [
            (&["raw/a.jsonl"][..], "output: clean", "output: raw"),
            (&["raw/ledger.jsonl"], "", ""),
            (&["raw/a.jsonl", "more/a.jsonl"], "raw/*.jsonl", "raw/*.jsonl, more/*.jsonl"),
        ] {
            for directory in ["raw", "more"] {
                let _ = std::fs::remove_dir_all(root.join(directory));
                std::fs::create_dir(root.join(directory)).unwrap();
            }
            for file in files {
                std::fs::write(root.join(file), shard(&["one two"])).unwrap();
            }
            let recipe = CleanRecipe::parse(&RECIPE.replace(from, to), "clean.yaml").unwrap();
            let error = clean(&Root::open(root).unwrap(), &recipe, &Silent).unwrap_err().to_string();
            assert!(error.contains("have the same output"), "{error}");
            assert!(!root.join("clean").exists());
            assert!(files.iter().all(|file| std::fs::read_to_string(root.join(file)).unwrap() == shard(&["one two"])));
        }
    }

    #[test]
    fn bad_input_writes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir(root.join("raw")).unwrap();
        std::fs::write(root.join("raw/a.jsonl"), shard(&["one two"])).unwrap();
        let recipe = CleanRecipe::parse(RECIPE, "clean.yaml").unwrap();
        for (bad, expected) in [
            ("{\"id\": \"1\", \"te", "truncated"),
            ("{\"id\": \"1\"}\n", "missing field"),
            ("{\"id\":1,\"text\":\"a\",\"lang\":\"en\"}\n", "invalid type"),
            ("{\"id\":\"1\",\"text\":\"a\",\"lang\":\"xx\"}\n", "unknown variant"),
        ] {
            std::fs::write(root.join("raw/b.jsonl"), bad).unwrap();
            let error = clean(&Root::open(root).unwrap(), &recipe, &Silent).unwrap_err().to_string();
            assert!(error.contains("b.jsonl:1") && error.contains(expected), "{error}");
            assert!(!root.join("clean").exists());
        }
    }
}

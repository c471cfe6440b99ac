//! Cleaning: what a search found is removed, then rules in order, then exact deduplication, with a ledger of all
//! documents that were dropped or cut.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use rayon::prelude::*;
use retrace_files::{FileError, Progress, Root, Unit, WholeFile, expand, json_lines, sweep_all};
use retrace_spec::recipe::{Deduplicate, Remove};
use retrace_spec::{CleanRecipe, Digest, RelPath};
use serde::{Deserialize, Serialize};

use crate::contamination::{Found, FoundIn, text_in, without};
use crate::rules::{broken, folded};
use crate::{CorpusDocument, CorpusError};

/// The name of the rule for documents that deduplication drops.
const DUPLICATE: &str = "duplicate";

/// The name of the rule for what a search for benchmark items found.
pub const CONTAMINATION: &str = "contamination";

/// A document that was dropped, or of which something was cut: a line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerEntry {
    /// The document's id.
    pub id: String,
    /// Its shard.
    pub shard: RelPath,
    /// Its line in the shard, from 1.
    pub line: usize,
    /// The rule that dropped it, `duplicate`, or `contamination`, which may have cut it.
    pub rule: String,
    /// The value that the rule measured; for `contamination`, the items and how each was found.
    pub detail: String,
    /// The bytes of its text that were cut: first byte and end. Of a document that another rule then dropped, what that
    /// rule did not see.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<(u64, u64)>,
}

impl LedgerEntry {
    /// Whether the document was kept, without what was cut.
    pub fn is_kept(&self) -> bool {
        self.rule == CONTAMINATION && !self.cut.is_empty()
    }
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
    /// Of the kept documents, how many had something cut from their text.
    pub cut: u64,
    /// The shards that were read.
    pub inputs: Vec<RelPath>,
    /// The shards that were written.
    pub outputs: Vec<RelPath>,
    /// The ledger of all documents that were dropped or cut, JSON lines of [`LedgerEntry`].
    pub ledger: RelPath,
}

/// The result of the first reading of a document.
struct Judged {
    id: String,
    line: usize,
    /// What was cut of its text, and the items that this had.
    cut: Vec<(u64, u64)>,
    items: String,
    /// The digest of what is left, or the rule that drops it and why.
    verdict: Result<Digest, (String, String)>,
}

/// Runs `recipe`, whose paths are relative to `root`; `found` is what a search found in its shards, if it names one.
/// Kept documents keep their bytes, and cut ones those of their other fields. Of equal documents the first, by shard and
/// line, is kept. Everything is read before anything is written.
///
/// # Errors
/// If a file cannot be read or written, a line is not a document, or not the one in which something was found.
pub fn clean(
    root: &Root,
    recipe: &CleanRecipe,
    found: &Found,
    progress: &dyn Progress,
) -> Result<CleanReport, CorpusError> {
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
            let judged = judge(root, shard, recipe, found.get(shard));
            progress.advance(1);
            judged
        })
        .collect::<Result<_, _>>()?;
    let mut seen = HashSet::new();
    let mut entries: Vec<Vec<LedgerEntry>> = Vec::new();
    let mut documents = 0;
    for (shard, judged) in inputs.iter().zip(judged) {
        documents += judged.len() as u64;
        let changed = judged.into_iter().filter_map(|Judged { id, line, cut, items, verdict }| {
            let (rule, detail) = match verdict {
                Err(broken) => broken,
                Ok(text) if recipe.deduplicate == Deduplicate::Exact && !seen.insert(text) => {
                    (DUPLICATE.to_owned(), format!("text {}", text.short()))
                }
                Ok(_) if cut.is_empty() => return None,
                Ok(_) => (CONTAMINATION.to_owned(), items),
            };
            Some(LedgerEntry { id, shard: shard.clone(), line, rule, detail, cut })
        });
        entries.push(changed.collect());
    }
    inputs
        .par_iter()
        .zip(&entries)
        .try_for_each(|(shard, entries)| write_kept(root, shard, &recipe.output, entries))?;
    write_ledger(root.create(&ledger)?, entries.iter().flatten())?;
    progress.end();
    let (mut dropped, mut cut) = (BTreeMap::new(), 0);
    for entry in entries.iter().flatten() {
        match entry.is_kept() {
            true => cut += 1,
            false => *dropped.entry(entry.rule.clone()).or_insert(0) += 1,
        }
    }
    let kept = documents - dropped.values().sum::<u64>();
    let outputs = outputs.into_keys().collect();
    Ok(CleanReport { documents, kept, dropped, cut, inputs, outputs, ledger })
}

fn judge(
    root: &Root,
    shard: &RelPath,
    recipe: &CleanRecipe,
    found: Option<&BTreeMap<usize, FoundIn>>,
) -> Result<Vec<Judged>, CorpusError> {
    let file = root.file(shard)?;
    let path = file.path().to_owned();
    let remove = recipe.contamination.as_ref().map(|contaminated| contaminated.remove);
    let mut all = Vec::new();
    for line in json_lines::<CorpusDocument>(file) {
        let (line, document) = line?;
        let found = found.and_then(|found| found.get(&line)).zip(remove);
        all.push(judge_one(recipe, &path, line, document, found)?);
    }
    let last = all.last().map_or(0, |judged: &Judged| judged.line);
    if let Some((&line, found)) = found.and_then(|found| found.range(last + 1..).next()) {
        let what = format!("items were found in {:?}, and there is no such line", found.document);
        return Err(CorpusError::Searched { path, line, what });
    }
    Ok(all)
}

fn judge_one(
    recipe: &CleanRecipe,
    path: &Path,
    line: usize,
    mut document: CorpusDocument,
    found: Option<(&FoundIn, Remove)>,
) -> Result<Judged, CorpusError> {
    let mut judged =
        Judged { id: document.id.clone(), line, cut: Vec::new(), items: String::new(), verdict: Ok(Digest::of(b"")) };
    if let Some((found, remove)) = found {
        let other = |what: String| CorpusError::Searched { path: path.to_owned(), line, what };
        let spans = found.check(&document.id, &document.text).map_err(other)?;
        judged.items = found.items.join(", ");
        if remove == Remove::Documents {
            judged.verdict = Err((CONTAMINATION.to_owned(), judged.items.clone()));
            return Ok(judged);
        }
        document.text = without(&document.text, &spans);
        if document.text.trim().is_empty() {
            judged.verdict = Err((CONTAMINATION.to_owned(), format!("{}; nothing else", judged.items)));
            return Ok(judged);
        }
        judged.cut = spans;
    }
    let first = recipe.rules.iter().find_map(|rule| Some((rule.name().to_owned(), broken(rule, &document)?)));
    judged.verdict = first.map_or_else(|| Ok(Digest::of(folded(&document.text).as_bytes())), Err);
    Ok(judged)
}

/// The line without what was cut of its document's text. All other bytes are the same.
fn shortened(line: &[u8], cut: &[(u64, u64)]) -> Result<Vec<u8>, String> {
    let none = || "no longer has the text that was read first".to_owned();
    let place = text_in(line).ok_or_else(none)?;
    let text: String =
        serde_json::from_slice(line.get(place.clone()).unwrap_or_default()).map_err(|e| e.to_string())?;
    let text = serde_json::to_vec(&without(&text, cut)).map_err(|e| e.to_string())?;
    let (before, after) = (line.get(..place.start).unwrap_or_default(), line.get(place.end..).unwrap_or_default());
    Ok([before, &text, after].concat())
}

fn write_kept(root: &Root, shard: &RelPath, output: &RelPath, entries: &[LedgerEntry]) -> Result<(), CorpusError> {
    let entries: HashMap<usize, &LedgerEntry> = entries.iter().map(|entry| (entry.line, entry)).collect();
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
        match entries.get(&line) {
            Some(entry) if entry.is_kept() => {
                let json = |what: String| FileError::Json { path: from.clone(), line, what };
                bytes = shortened(&bytes, &entry.cut).map_err(json)?;
            }
            Some(_) => continue,
            None => {}
        }
        writer.write_all(&bytes).map_err(FileError::io(&to, "write"))?;
    }
    writer.commit()?;
    Ok(())
}

fn write_ledger<'a>(mut writer: WholeFile, entries: impl Iterator<Item = &'a LedgerEntry>) -> Result<(), CorpusError> {
    let path = &writer.path();
    for entry in entries {
        let mut line = serde_json::to_vec(entry).map_err(|e| FileError::Json {
            path: path.to_owned(),
            line: entry.line,
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
        let report = clean(&Root::open(root).unwrap(), &recipe, &Found::new(), &Silent).unwrap();
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

    /// A line, its document, and the stretches of bytes that were found.
    type Stretches<'a> = (usize, &'a str, &'a [(u64, u64)]);

    /// The documents of `raw/a.jsonl` after `remove`, and the ledger; an error as text.
    fn cleaned(lines: &str, remove: &str, found: &[Stretches<'_>]) -> Result<(String, Vec<LedgerEntry>), String> {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir(root.join("raw")).unwrap();
        std::fs::write(root.join("raw/a.jsonl"), lines).unwrap();
        let recipe = format!("{RECIPE}contamination: {{table: t.parquet, remove: {remove}}}\n");
        let recipe = CleanRecipe::parse(&recipe, "clean.yaml").unwrap();
        let of_line = |(line, id, spans): &(usize, &str, &[(u64, u64)])| {
            let items = vec!["facts 7 by spans".to_owned()];
            (*line, FoundIn { document: (*id).to_owned(), items, spans: spans.to_vec(), excerpts: Vec::new() })
        };
        let found = [("raw/a.jsonl".parse().unwrap(), found.iter().map(of_line).collect())].into();
        let report = clean(&Root::open(root).unwrap(), &recipe, &found, &Silent).map_err(|error| {
            assert!(!root.join("clean").exists());
            error.to_string()
        })?;
        let ledger: Vec<LedgerEntry> = json_lines(RegularFile::open(&root.join("clean/ledger.jsonl")).unwrap())
            .map(|line| line.unwrap().1)
            .collect();
        assert_eq!(report.cut, ledger.iter().filter(|entry| entry.is_kept()).count() as u64);
        assert_eq!(report.documents, report.kept + report.dropped.values().sum::<u64>());
        let kept = std::fs::read_to_string(root.join("clean/a.jsonl")).unwrap();
        assert_eq!(report.kept, kept.lines().count() as u64);
        Ok((kept, ledger))
    }

    #[test]
    fn what_a_search_found_is_dropped_or_cut() {
        let lines = [
            r#"{"id": "0", "meta": {"text": "一"}, "text": "前一二三後", "lang": "zh", "n": 1.50}"#,
            r#"{"te\u0078t":"a \"b\" \u4e00\n\ud83d\ude42 d", "id":"1","lang":"en"}"#,
            r#"{"id":"2","text":"abc def","lang":"en"}"#,
            r#"{"id":"3","text":"abcdef","lang":"en"}"#,
            r#"{"id":"4","text":"not touched","lang":"en"}"#,
        ];
        let all: String = lines.map(|line| format!("{line}\r\n")).concat();
        // By hand: 前 and 後 are three bytes each, `a "b" ` six, 一 three, the line break one, 🙂 four.
        let found: &[Stretches<'_>] =
            &[(1, "0", &[(3, 6), (6, 12)]), (2, "1", &[(10, 14), (2, 5)]), (3, "2", &[(0, 7)]), (4, "3", &[(2, 6)])];
        let (kept, ledger) = cleaned(&all, "spans", found).unwrap();
        let expected = [
            r#"{"id": "0", "meta": {"text": "一"}, "text": "前後", "lang": "zh", "n": 1.50}"#,
            r#"{"te\u0078t":"a  一\n d", "id":"1","lang":"en"}"#,
            lines[4],
        ];
        // What is left of the first is shorter than the rule allows.
        assert_eq!(kept, expected[1..].iter().map(|line| format!("{line}\r\n")).collect::<String>());
        let entries: Vec<_> =
            ledger.iter().map(|entry| (entry.line, entry.rule.as_str(), entry.cut.as_slice())).collect();
        assert_eq!(
            entries,
            [
                (1, "characters", &[(3, 12)][..]),
                (2, "contamination", &[(2, 5), (10, 14)]),
                (3, "contamination", &[]),
                (4, "characters", &[(2, 6)])
            ]
        );
        assert_eq!(ledger[1].detail, "facts 7 by spans");
        let (kept, ledger) = cleaned(&all, "documents", found).unwrap();
        assert_eq!(kept, format!("{}\r\n", lines[4]));
        assert!(ledger.iter().all(|entry| entry.rule == "contamination" && !entry.is_kept()));
        // Cut to the same text, they are duplicates.
        let twins = shard(&["one two", "one two!", "xone two"]);
        let (kept, ledger) = cleaned(&twins, "spans", &[(3, "2", &[(0, 1)]), (2, "1", &[(7, 8)])]).unwrap();
        assert_eq!(kept, shard(&["one two"]));
        assert_eq!(ledger.iter().map(|entry| entry.rule.as_str()).collect::<Vec<_>>(), ["duplicate"; 2]);
    }

    #[test]
    fn findings_of_another_corpus_are_refused() {
        let lines = shard(&["one two", "三四五"]);
        for remove in ["spans", "documents"] {
            for (found, expected) in [
                ((1, "other", &[][..]), "a.jsonl:1: the document is \"0\", and items were found in \"other\""),
                ((3, "2", &[]), "a.jsonl:3: items were found in \"2\", and there is no such line"),
                ((2, "1", &[(0, 4)]), "a.jsonl:2: the text of \"1\" has no bytes 0 to 4"),
                ((1, "0", &[(0, 800)]), "a.jsonl:1: the text of \"0\" has no bytes 0 to 800"),
            ] {
                let error = cleaned(&lines, remove, &[found]).unwrap_err();
                assert!(error.contains(expected) && error.contains("the search was of another corpus"), "{error}");
            }
        }
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
            let error = clean(&Root::open(root).unwrap(), &recipe, &Found::new(), &Silent).unwrap_err().to_string();
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
            let error = clean(&Root::open(root).unwrap(), &recipe, &Found::new(), &Silent).unwrap_err().to_string();
            assert!(error.contains("b.jsonl:1") && error.contains(expected), "{error}");
            assert!(!root.join("clean").exists());
        }
    }
}

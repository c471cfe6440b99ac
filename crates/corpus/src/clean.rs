//! Cleaning: what a search found is removed, then rules in order, then exact deduplication, with a ledger of all
//! documents that were dropped or cut.

mod documents;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;
use std::path::Path;

use rayon::prelude::*;
use retrace_files::{FileError, Progress, Root, TextLines, Unit, WholeFile, expand, sweep_all};
use retrace_spec::recipe::{Deduplicate, Remove, Unreadable, cleaned_name};
use retrace_spec::{CleanRecipe, Digest, RelPath};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::CorpusError;
use crate::contamination::{Found, FoundIn, without};
use crate::records::{columns, said};
use crate::rules::{broken, folded};
use documents::{Document, document, has_surrogate, open, row, shortened, wanted};

/// The name of the rule for documents that deduplication drops.
const DUPLICATE: &str = "duplicate";

/// The name of the rule for what a search for benchmark items found.
pub const CONTAMINATION: &str = "contamination";

/// The name of the rule for documents that cannot be read.
const UNREADABLE: &str = "unreadable";

/// A document that was dropped, or of which something was cut: a line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerEntry {
    /// The document's id: its line if it has none, empty if it could not be read.
    pub id: String,
    /// Its shard.
    pub shard: RelPath,
    /// Its line or row in the shard, from 1.
    pub line: usize,
    /// The rule that dropped it, `unreadable`, `duplicate`, or `contamination`, which may have cut it.
    pub rule: String,
    /// The value that the rule measured; for `unreadable`, what is wrong with its line; for `contamination`, the items and how each was found.
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
/// Kept lines keep their bytes, and cut ones those of their other fields. A kept row of Parquet or record of a JSON list
/// becomes a line with all its columns. Of equal documents the first, by shard and
/// line, is kept. Everything is read before anything is written.
///
/// # Errors
/// If a file cannot be read or written, a line is not a document and the recipe does not drop it, or not the one in which something was found.
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
        let output = output(input, recipe)?;
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
    let judged: Vec<Shard> = inputs
        .par_iter()
        .map(|shard| {
            let judged = judge(root, shard, recipe, found.get(shard));
            progress.advance(1);
            judged
        })
        .collect::<Result<_, _>>()?;
    let judged = accepted(root, recipe, inputs.iter().zip(judged).collect())?;
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
    inputs.par_iter().zip(&entries).try_for_each(|(shard, entries)| write_kept(root, shard, recipe, entries))?;
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

/// Where the cleaned shard is.
fn output(shard: &RelPath, recipe: &CleanRecipe) -> Result<RelPath, CorpusError> {
    Ok(recipe.output.join(&cleaned_name(shard.file_name()))?)
}

/// A record that is no document, or a document that cannot be judged.
struct Bad {
    line: usize,
    what: String,
    /// Whether it cannot be read, and so may be dropped.
    unreadable: bool,
}

/// The first reading of a shard.
struct Shard {
    judged: Vec<Judged>,
    bad: Vec<Bad>,
    /// Fields that no record has, and what is there instead.
    missing: Option<String>,
}

fn judge(
    root: &Root,
    shard: &RelPath,
    recipe: &CleanRecipe,
    found: Option<&BTreeMap<usize, FoundIn>>,
) -> Result<Shard, CorpusError> {
    let path = shard.under(root.path());
    let remove = recipe.contamination.as_ref().map(|contaminated| contaminated.remove);
    let (mut judged, mut bad, mut last) = (Vec::new(), Vec::new(), 0);
    // Whether a record could be read, and of `text` and `lang` whether some record has it.
    let (mut read, mut there) = (false, [false, !recipe.reads_language()]);
    let (mut records, _) = open(root, shard, recipe)?;
    while let Some(record) = records.next() {
        let (line, values) = match record {
            Ok((line, values)) => (line as usize, values),
            Err(FileError::Json { line, what, .. }) => {
                last = line;
                bad.push(Bad { line, what, unreadable: true });
                continue;
            }
            Err(other) => return Err(other.into()),
        };
        (last, read) = (line, true);
        for (there, value) in there.iter_mut().zip(values.iter().skip(1)) {
            *there |= !value.is_null();
        }
        // The fields that are not read are kept too.
        let half = records.line().filter(|bytes| has_surrogate(bytes));
        if let Some(Err(error)) = half.map(serde_json::from_slice::<Value>) {
            bad.push(Bad { line, what: said(&error), unreadable: true });
            continue;
        }
        match document(recipe, line, values) {
            Ok(document) => {
                let found = found.and_then(|found| found.get(&line)).zip(remove);
                judged.push(judge_one(recipe, &path, line, document, found)?);
            }
            Err((what, unreadable)) => bad.push(Bad { line, what, unreadable }),
        }
    }
    if let Some((&line, found)) = found.and_then(|found| found.range(last + 1..).next()) {
        let what = format!("items were found in {:?}, and there is no such line", found.document);
        return Err(CorpusError::Searched { path, line, what });
    }
    let mut missing = None;
    if read && there.contains(&false) {
        let names = columns(root.file(shard)?, &wanted(recipe))?;
        let absent = ["text", "lang"].into_iter().zip(there).filter(|(_, there)| !there);
        let absent: Vec<String> = absent.map(|(field, _)| format!("{:?}", recipe.column(field))).collect();
        let script = if there[1] { "" } else { " (the rule `script` needs the language)" };
        missing = Some(format!("no record has {}{script}; the columns are {}", absent.join(" or "), names.join(", ")));
    }
    Ok(Shard { judged, bad, missing })
}

/// At most so many bad documents of a shard are told, and of all shards.
const TOLD: (usize, usize) = (3, 9);

/// What every document of the shards is. Those that cannot be read are dropped if the recipe says so; else all of them
/// are told at once.
fn accepted(
    root: &Root,
    recipe: &CleanRecipe,
    shards: Vec<(&RelPath, Shard)>,
) -> Result<Vec<Vec<Judged>>, CorpusError> {
    let (mut all, mut first, mut more) = (Vec::new(), Vec::new(), 0);
    for (shard, Shard { mut judged, bad, missing }) in shards {
        let path = shard.under(root.path());
        let path = path.display();
        let drop = recipe.unreadable == Unreadable::Drop && !judged.is_empty() && missing.is_none();
        let (dropped, bad): (Vec<Bad>, Vec<Bad>) = bad.into_iter().partition(|bad| drop && bad.unreadable);
        if let Some(missing) = missing {
            first.push(format!("{path}: {missing}"));
        } else {
            let told = TOLD.0.min(TOLD.1.saturating_sub(first.len()));
            first.extend(bad.iter().take(told).map(|Bad { line, what, .. }| format!("{path}:{line}: {what}")));
            more += bad.len().saturating_sub(told) as u64;
        }
        judged.extend(dropped.into_iter().map(|Bad { line, what, .. }| Judged {
            id: String::new(),
            line,
            cut: Vec::new(),
            items: String::new(),
            verdict: Err((UNREADABLE.to_owned(), what)),
        }));
        judged.sort_by_key(|judged| judged.line);
        all.push(judged);
    }
    match first.is_empty() {
        true => Ok(all),
        false => Err(CorpusError::Documents { first, more }),
    }
}

fn judge_one(
    recipe: &CleanRecipe,
    path: &Path,
    line: usize,
    mut document: Document,
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
    let first = recipe
        .rules
        .iter()
        .find_map(|rule| Some((rule.name().to_owned(), broken(rule, &document.text, document.lang)?)));
    judged.verdict = first.map_or_else(|| Ok(Digest::of(folded(&document.text).as_bytes())), Err);
    Ok(judged)
}

fn write_kept(root: &Root, shard: &RelPath, recipe: &CleanRecipe, entries: &[LedgerEntry]) -> Result<(), CorpusError> {
    let entries: HashMap<usize, &LedgerEntry> = entries.iter().map(|entry| (entry.line, entry)).collect();
    let from = shard.under(root.path());
    let mut writer = root.create(&output(shard, recipe)?)?;
    let to = writer.path();
    let mut write = |line: usize, mut bytes: Vec<u8>| {
        match entries.get(&line) {
            Some(entry) if entry.is_kept() => {
                let json = |what: String| FileError::Json { path: from.clone(), line, what };
                bytes = shortened(&bytes, recipe.column("text"), &entry.cut).map_err(json)?;
            }
            Some(_) => return Ok(()),
            None => {}
        }
        bytes.push(b'\n');
        writer.write_all(&bytes).map_err(FileError::io(&to, "write"))
    };
    let (records, names) = open(root, shard, recipe)?;
    if records.line().is_some() {
        let (mut lines, mut bytes) = (TextLines::open(root.file(shard)?)?, Vec::new());
        while let Some(line) = lines.next_line(&mut bytes)? {
            if !bytes.iter().all(u8::is_ascii_whitespace) {
                write(line as usize, bytes.clone())?;
            }
        }
    } else {
        let before = wanted(recipe).len();
        for record in records {
            match record {
                Ok((line, values)) => {
                    write(line as usize, row(&names, values.get(before..).unwrap_or_default()).into())?
                }
                // It is in the ledger.
                Err(FileError::Json { .. }) => {}
                Err(other) => return Err(other.into()),
            }
        }
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
    use retrace_files::{RegularFile, Silent, json_lines};
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
            ("{\"id\": \"1\", \"te", ":1: is truncated"),
            ("{\"id\": \"1\", \"body\": 2}\n", ": no record has \"text\"; the columns are body, id"),
            ("{\"text\": \"a\"}\n{\"text\": 5}\n", ":2: text is a number, not a text"),
            ("{\"id\": [], \"text\": \"a\"}\n", ":1: id is a list"),
            ("{\"text\": \"a\", \"text\": \"b\"}\n", ":1: duplicate field `text`"),
        ] {
            std::fs::write(root.join("raw/b.jsonl"), bad).unwrap();
            let error = clean(&Root::open(root).unwrap(), &recipe, &Found::new(), &Silent).unwrap_err().to_string();
            assert!(error.contains(&format!("raw/b.jsonl{expected}")), "{error}");
            assert!(!root.join("clean").exists());
        }
    }

    /// A directory with these shards in `raw`, and what cleaning them by `recipe` says.
    fn run(shards: &[(&str, &[u8])], recipe: &str) -> (tempfile::TempDir, Result<CleanReport, String>) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("raw")).unwrap();
        for (name, bytes) in shards {
            std::fs::write(directory.path().join("raw").join(name), bytes).unwrap();
        }
        let recipe = CleanRecipe::parse(recipe, "clean.yaml").unwrap();
        let root = Root::open(directory.path()).unwrap();
        let report = clean(&root, &recipe, &Found::new(), &Silent).map_err(|error| error.to_string());
        (directory, report)
    }

    fn ledger(directory: &tempfile::TempDir) -> Vec<(String, usize, String, String)> {
        let file = RegularFile::open(&directory.path().join("clean/ledger.jsonl")).unwrap();
        let entries = json_lines::<LedgerEntry>(file).map(|line| line.unwrap().1);
        entries.map(|entry| (entry.id, entry.line, entry.rule, entry.detail)).collect()
    }

    fn parquet(texts: &[Option<&str>]) -> Vec<u8> {
        use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
        let ids: ArrayRef = std::sync::Arc::new(Int64Array::from_iter_values(0..texts.len() as i64));
        let scores = arrow::array::Float64Array::from_iter_values(texts.iter().map(|_| 0.5));
        let columns: [(&str, ArrayRef); 3] = [
            ("content", std::sync::Arc::new(StringArray::from(texts.to_vec()))),
            ("n", ids),
            ("score", std::sync::Arc::new(scores)),
        ];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap();
        let mut bytes = Vec::new();
        let mut writer = parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes
    }

    /// Shards as others publish them: other names, numbers as ids or none, no language, no line end at the end.
    #[test]
    fn published_forms_are_cleaned() {
        let recipe = format!("{RECIPE}fields: {{text: content, id: n}}\n").replace("*.jsonl", "*");
        let lines = b"{\"content\": \"one two\", \"n\": 1.50}\r\n\n{\"url\": \"u\", \"content\": \"three\"}\n{\"content\": \"x\"}\n{\"n\": 7, \"content\": \"One two\"}";
        let list = b"[{\"content\": \"four\", \"n\": \"a\"}, {\"content\": \"three\", \"url\": 1}, {\"content\": \"five\", \"url\": [2]}]";
        let rows = parquet(&[Some("six"), Some("y"), Some("one two")]);
        let (directory, report) = run(&[("a.jsonl", lines), ("b.json", list), ("c.parquet", &rows)], &recipe);
        let report = report.unwrap();
        assert_eq!((report.documents, report.kept), (10, 5));
        let kept = |name: &str| std::fs::read_to_string(directory.path().join("clean").join(name)).unwrap();
        let first = "{\"content\": \"one two\", \"n\": 1.50}\r\n{\"url\": \"u\", \"content\": \"three\"}\n";
        assert_eq!(kept("a.jsonl"), first);
        let list = "{\"content\":\"four\",\"n\":\"a\",\"url\":null}\n{\"content\":\"five\",\"n\":null,\"url\":[2]}\n";
        assert_eq!(kept("b.json"), list);
        assert_eq!(kept("c.jsonl"), "{\"content\":\"six\",\"n\":0,\"score\":0.5}\n");
        let places: Vec<_> = ledger(&directory).into_iter().map(|(id, line, rule, _)| (id, line, rule)).collect();
        let expected = [
            ("4", 4, "characters"),
            ("7", 5, "duplicate"),
            ("2", 2, "duplicate"),
            ("1", 2, "characters"),
            ("2", 3, "duplicate"),
        ];
        assert_eq!(places, expected.map(|(id, line, rule)| (id.to_owned(), line, rule.to_owned())));
    }

    const BAD: &[u8] = b"{\"text\": \"one two\"}
{\"text\": \"half \\ud83d\"}
{\"text\": \"byte \xff\"}
{\"text\": \"three\", \"url\": \"half \\ude42\"}
{\"text\": null}
{\"text\": \"whole \\ud83d\\ude42\"}
{\"text\": \"cut
";

    #[test]
    fn documents_that_cannot_be_read_are_all_told_or_all_in_the_ledger() {
        let shards: [(&str, &[u8]); 2] = [("a.jsonl", BAD), ("b.jsonl", b"{\"text\": \"four\"}\n[1]\n")];
        let (directory, refused) = run(&shards, RECIPE);
        let error = refused.unwrap_err();
        for place in
            ["a.jsonl:2: has half of a surrogate pair", "a.jsonl:3: is not UTF-8", "a.jsonl:4: has half", "b.jsonl:2: "]
        {
            assert!(error.contains(place), "{error}");
        }
        assert!(error.ends_with("; and 2 more"), "{error}");
        assert!(!directory.path().join("clean").exists());

        let (directory, report) = run(&shards, &format!("{RECIPE}unreadable: drop\n"));
        let report = report.unwrap();
        assert_eq!((report.documents, report.kept, report.dropped["unreadable"]), (9, 3, 6));
        let kept = std::fs::read_to_string(directory.path().join("clean/a.jsonl")).unwrap();
        assert_eq!(kept, "{\"text\": \"one two\"}\n{\"text\": \"whole \\ud83d\\ude42\"}\n");
        let ledger = ledger(&directory);
        assert_eq!(ledger.iter().map(|(_, line, ..)| *line).collect::<Vec<_>>(), [2, 3, 4, 5, 7, 2]);
        assert!(ledger.iter().all(|(id, _, rule, detail)| id.is_empty() && rule == "unreadable" && !detail.is_empty()));

        // A text in another column, or a file of something else, is no reason to drop every document.
        for bytes in [&b"{\"body\": \"one\"}\n{\"body\": \"two\"}\n"[..], b"no\nJSON\n"] {
            let (directory, report) = run(&[("a.jsonl", bytes)], &format!("{RECIPE}unreadable: drop\n"));
            assert!(report.is_err() && !directory.path().join("clean").exists(), "{report:?}");
        }
    }

    #[test]
    fn a_language_is_needed_only_by_the_rule_that_reads_it() {
        let shard: &[u8] = b"{\"text\": \"three\"}\n{\"text\": \"four\", \"lang\": \"de\"}\n";
        let shards = [("a.jsonl", shard), ("b.jsonl", b"{\"text\": \"five\"}\n")];
        assert_eq!(run(&shards, RECIPE).1.unwrap().kept, 3);
        let script = RECIPE.replace("100}]", "100}, {rule: script, at_least: 0.5}]");
        let error = run(&shards, &script).1.unwrap_err();
        for part in ["a.jsonl:1: lang is missing", "a.jsonl:2: lang is \"de\"", "b.jsonl: no record has \"lang\""] {
            assert!(error.contains(part), "{error}");
        }
        // A language that the rule does not know is not an unreadable document.
        assert!(run(&shards, &format!("{script}unreadable: drop\n")).1.is_err());
        assert_eq!(run(&shards, &format!("{script}lang: en\n")).1.unwrap().kept, 3);
        assert_eq!(run(&shards, &format!("{script}lang: zh\n")).1.unwrap().kept, 0);
    }
}

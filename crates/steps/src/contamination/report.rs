//! A search of a corpus for the items of benchmarks, as a report and a table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use retrace_analysis::contamination::{BenchmarkItem, Finding, Impossible, ItemSpan, Method, Part, Verdict};
use retrace_files::{FileError, Progress, write_whole};
use retrace_report::contamination::{
    Band, ContaminationReport, FalseAlarms, Group, Hit, InputFile, LeftOut, Marked, Rate, SeenPart, Share,
    contamination_page, data_tables,
};
use retrace_tables::{Contamination, Row, write};

use super::scan::{Counts, Read, Scan, Scanned};
use crate::StepError;

impl Scan {
    /// Searches the corpus. Whatever the number of threads and the order of the files, the report is the same.
    ///
    /// # Errors
    /// If a file or one of its records cannot be read, or the benchmarks cannot be searched for.
    pub fn report(&self, progress: &dyn Progress) -> Result<ContaminationReport, StepError> {
        let scanned = self.carry_out(progress)?;
        let mut methods = self.methods.clone();
        methods.sort_unstable();
        methods.dedup();
        Ok(report(methods, self.most, scanned))
    }
}

/// The page of a report.
const PAGE: &str = "report.html";

/// The files of a report that one without sources, languages or impossible items does not have.
const OPTIONAL: [&str; 3] = ["csv/sources.csv", "csv/languages.csv", "csv/false-alarms.csv"];

/// Writes the table of findings, the page's tables as CSV, and last the page into `directory`, and says which files. The
/// page of an earlier report is removed first: a page that is there is of the tables beside it.
///
/// # Errors
/// If a file cannot be written.
pub fn write_contamination(directory: &Path, report: &ContaminationReport) -> Result<Vec<String>, StepError> {
    remove_page(directory)?;
    write_findings(&directory.join("tables"), report)?;
    let table = format!("tables/{}.parquet", Contamination::TABLE);
    Ok([table].into_iter().chain(write_page(directory, report)?).collect())
}

/// Removes the page of an earlier report.
pub(super) fn remove_page(directory: &Path) -> Result<(), StepError> {
    let page = directory.join(PAGE);
    match std::fs::remove_file(&page) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FileError::io(&page, "remove")(error).into()),
        _ => Ok(()),
    }
}

/// Writes the table of findings into the directory of tables `tables`.
pub(super) fn write_findings(tables: &Path, report: &ContaminationReport) -> Result<(), StepError> {
    let left_out: BTreeMap<(Method, &str, &str), u64> = report
        .left_out
        .iter()
        .map(|left| ((left.method, left.benchmark.as_str(), left.item.as_str()), left.leaks))
        .collect();
    let of = |hit: &Hit| left_out.get(&(hit.method, hit.benchmark.as_str(), hit.item.as_str())).copied();
    let rows: Vec<Contamination> = report.findings.iter().map(|hit| row(hit, of(hit).unwrap_or(0))).collect();
    write(tables, &rows)?;
    Ok(())
}

/// Writes the page and its tables as CSV into `directory`, and says which files.
pub(super) fn write_page(directory: &Path, report: &ContaminationReport) -> Result<Vec<String>, StepError> {
    let mut written = Vec::new();
    for table in data_tables(report) {
        let name = format!("csv/{}.csv", table.name);
        write_whole(&directory.join(&name), table.csv().as_bytes())?;
        written.push(name);
    }
    // Tables that an earlier report here had and this one has not.
    for name in OPTIONAL {
        let path = directory.join(name);
        if !written.iter().any(|there| there == name) && path.is_file() {
            std::fs::remove_file(&path).map_err(FileError::io(&path, "remove"))?;
        }
    }
    write_whole(&directory.join(PAGE), contamination_page(report).as_bytes())?;
    written.push(PAGE.to_owned());
    Ok(written)
}

/// An item and its worst verdict by a method.
struct Worst {
    verdict: Verdict,
    with_answer: bool,
}

fn report(methods: Vec<Method>, kept: usize, scanned: Scanned) -> ContaminationReport {
    let Scanned { items, searchable, benchmarks, shards, outcome, sources, languages, impossible } = scanned;
    let searched = |item: u32| searchable.get(item as usize).copied().unwrap_or(false);
    let worst = worst(outcome.findings.iter());
    let mut rates = Vec::new();
    for method in &methods {
        let mut groups: BTreeMap<(&str, Option<&str>), Vec<u32>> = BTreeMap::new();
        for (number, item) in (0..).zip(&items) {
            groups.entry((&item.benchmark, None)).or_default().push(number);
            if let Some(subset) = &item.subset {
                groups.entry((&item.benchmark, Some(subset))).or_default().push(number);
            }
        }
        for ((benchmark, subset), items) in groups {
            rates.push(rate(*method, (benchmark, subset), &items, &searched, &worst));
        }
    }
    rates.sort_by(|one, two| (&one.benchmark, &one.subset, one.method).cmp(&(&two.benchmark, &two.subset, two.method)));
    let uncounted = |method: Method| outcome.left_out.iter().any(|left| left.method == method && left.leaks > 0);
    let leaks = || outcome.findings.iter().filter(|finding| finding.verdict == Verdict::Leak);
    let group = |counts: &Counts, of: &dyn Fn(&Finding) -> Option<&String>| {
        let mut groups = Vec::new();
        for (name, documents) in counts.counts.iter().filter(|_| !counts.too_many) {
            for method in &methods {
                let here = leaks().filter(|finding| {
                    finding.method == *method && of(finding).map_or("", String::as_str) == name.as_str()
                });
                let (mut places, mut items) = (BTreeSet::new(), BTreeSet::new());
                for finding in here {
                    places.insert((&finding.shard, finding.line));
                    items.insert(finding.item);
                }
                // Where documents with a leak were not kept, nobody knows whose they are.
                let share = match (places.len() as u64, *documents) {
                    (count, of) if count < of && uncounted(*method) => Share::at_least(count, of),
                    (count, of) => Share::new(count, of),
                };
                groups.push(Group { method: *method, name: name.clone(), documents: share, items: items.len() as u64 });
            }
        }
        (!counts.too_many).then_some(groups)
    };
    let left_out = outcome.left_out.iter().filter_map(|left| {
        let item = items.get(left.item as usize)?;
        let (benchmark, item) = (item.benchmark.clone(), item.id.clone());
        Some(LeftOut { method: left.method, benchmark, item, findings: left.findings, leaks: left.leaks })
    });
    ContaminationReport {
        rates,
        sources: group(&sources, &|finding| finding.source.as_ref()),
        languages: group(&languages, &|finding| finding.lang.as_ref()),
        false_alarms: impossible.map(|(made, found)| {
            // A document with a real question has half of each spliced one that was made of it.
            let leaked: BTreeSet<(&str, u64)> = leaks().map(|leak| (leak.shard.as_str(), leak.line)).collect();
            let elsewhere = |finding: &&Finding| !leaked.contains(&(finding.shard.as_str(), finding.line));
            false_alarms(&methods, &made, found.findings.iter().filter(elsewhere))
        }),
        scores: bands(&outcome.findings),
        findings: outcome.findings.iter().filter_map(|finding| hit(&items, finding)).collect(),
        left_out: left_out.collect(),
        kept,
        documents: outcome.documents,
        bytes: outcome.bytes,
        benchmarks: benchmarks.into_iter().map(input).collect(),
        shards: shards.into_iter().map(input).collect(),
        methods,
    }
}

fn worst<'a>(findings: impl Iterator<Item = &'a Finding>) -> BTreeMap<(Method, u32), Worst> {
    let mut worst: BTreeMap<(Method, u32), Worst> = BTreeMap::new();
    for finding in findings {
        let with_answer = finding.with_answer && finding.verdict == Verdict::Leak;
        let of_item = worst
            .entry((finding.method, finding.item))
            .or_insert(Worst { verdict: finding.verdict, with_answer: false });
        of_item.verdict = of_item.verdict.min(finding.verdict);
        of_item.with_answer |= with_answer;
    }
    worst
}

/// The items of a benchmark or subset. One that has nothing to search for is counted apart: it could not have leaked.
fn rate(
    method: Method,
    (benchmark, subset): (&str, Option<&str>),
    items: &[u32],
    searched: &dyn Fn(u32) -> bool,
    worst: &BTreeMap<(Method, u32), Worst>,
) -> Rate {
    let worst = |item: &u32| worst.get(&(method, *item));
    let leaked = |item: &u32| worst(item).is_some_and(|worst| worst.verdict == Verdict::Leak);
    let all = items.len() as u64;
    let items: Vec<u32> = items.iter().filter(|item| searched(**item) || leaked(item)).copied().collect();
    let mut verdicts: BTreeMap<Verdict, u64> = BTreeMap::new();
    let (mut with_answer, mut found) = (0, 0);
    for of_item in items.iter().filter_map(worst) {
        *verdicts.entry(of_item.verdict).or_default() += 1;
        with_answer += u64::from(of_item.with_answer);
        found += 1;
    }
    Rate {
        method,
        benchmark: benchmark.to_owned(),
        subset: subset.map(str::to_owned),
        leaked: Share::new(verdicts.get(&Verdict::Leak).copied().unwrap_or(0), items.len() as u64),
        with_answer,
        verdicts: verdicts.into_iter().collect(),
        nothing: items.len() as u64 - found,
        not_searched: all - items.len() as u64,
    }
}

fn false_alarms<'a>(
    methods: &[Method],
    made: &[(Impossible, BenchmarkItem)],
    findings: impl Iterator<Item = &'a Finding>,
) -> Vec<FalseAlarms> {
    let worst = worst(findings);
    let mut alarms = Vec::new();
    for (kind, name) in [(Impossible::Shuffled, "shuffled"), (Impossible::Spliced, "spliced")] {
        let mut of_benchmark: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for (number, (_, item)) in (0..).zip(made).filter(|(_, (how, _))| *how == kind) {
            let benchmark = item.benchmark.rsplit_once(" (").map_or(item.benchmark.as_str(), |(name, _)| name);
            of_benchmark.entry(benchmark).or_default().push(number);
        }
        for (benchmark, items) in of_benchmark {
            for method in methods {
                let flagged = items
                    .iter()
                    .filter(|item| worst.get(&(*method, **item)).is_some_and(|worst| worst.verdict == Verdict::Leak));
                let flagged = Share::new(flagged.count() as u64, items.len() as u64);
                let (made, benchmark) = (name.to_owned(), benchmark.to_owned());
                alarms.push(FalseAlarms { method: *method, made, benchmark, flagged });
            }
        }
    }
    alarms.sort_by(|one, two| (&one.benchmark, &one.made, one.method).cmp(&(&two.benchmark, &two.made, two.method)));
    alarms
}

fn bands(findings: &[Finding]) -> Vec<Band> {
    let mut bands: BTreeMap<(Method, u8), BTreeMap<Verdict, u64>> = BTreeMap::new();
    for finding in findings {
        let tenth = (finding.score.clamp(0.0, 1.0) * 10.0) as u8;
        let verdicts = bands.entry((finding.method, tenth.min(9))).or_default();
        *verdicts.entry(finding.verdict).or_default() += 1;
    }
    let band = |((method, tenth), verdicts): ((Method, u8), BTreeMap<Verdict, u64>)| Band {
        method,
        tenth,
        verdicts: verdicts.into_iter().collect(),
    };
    bands.into_iter().map(band).collect()
}

fn input(read: Read) -> InputFile {
    let Read { name, size, digest, records, skipped, remark } = read;
    InputFile {
        name,
        bytes: size,
        digest: digest.to_string(),
        records,
        skipped: skipped.count,
        skipped_first: skipped.first,
        remark,
    }
}

fn hit(items: &[BenchmarkItem], finding: &Finding) -> Option<Hit> {
    let item = items.get(finding.item as usize)?;
    let spans: Vec<(u64, u64)> = finding.seen.iter().flat_map(|seen| seen.document.iter().copied()).collect();
    let parts = finding.seen.iter().map(|seen| SeenPart {
        part: seen.part,
        // The methods of papers do not count units, and do not tell the form.
        form: (seen.units > 0).then_some(seen.form),
        score: seen.score,
        units: seen.units,
        found: seen.found,
    });
    let excerpt = finding.excerpt.as_ref();
    Some(Hit {
        method: finding.method,
        benchmark: item.benchmark.clone(),
        subset: item.subset.clone(),
        item: item.id.clone(),
        verdict: finding.verdict,
        score: finding.score,
        with_answer: finding.with_answer,
        parts: parts.collect(),
        texts: texts(item, finding),
        document: finding.document.clone(),
        shard: finding.shard.clone(),
        line: finding.line,
        language: finding.lang.clone(),
        source: finding.source.clone(),
        excerpt: excerpt.map(|found| Marked::new("document", &found.text, found.start, found.ends, &spans)),
        spans,
    })
}

/// The texts of an item of which something was found, and its question.
fn texts(item: &BenchmarkItem, finding: &Finding) -> Vec<Marked> {
    let all: Vec<&ItemSpan> = finding.seen.iter().flat_map(|seen| &seen.item).collect();
    let of = |field: Part, choice: u32| -> Vec<(u64, u64)> {
        let here = all.iter().filter(|span| span.field == field && span.choice == choice);
        here.map(|span| (u64::from(span.start), u64::from(span.end))).collect()
    };
    let mut texts = Vec::new();
    let mut add = |field: Part, name: &str, text: Option<&String>| {
        if let Some(text) = text {
            let spans = of(field, 0);
            if !spans.is_empty() || field == Part::Question || item.question.is_none() {
                texts.push(Marked::new(name, text, 0, true, &spans));
            }
        }
    };
    add(Part::Question, "question", item.question.as_ref());
    add(Part::Passage, "passage", item.passage.as_ref());
    add(Part::Answer, "answer", item.answer.as_ref());
    add(Part::Solution, "solution", item.solution.as_ref());
    let seen = all.iter().any(|span| span.field == Part::Choices);
    let choices = (0..).zip(&item.choices).filter(|(_, choice)| seen && !choice.is_empty());
    for (number, choice) in choices {
        texts.push(Marked::new(&format!("choice {}", number + 1), choice, 0, true, &of(Part::Choices, number)));
    }
    texts
}

fn row(hit: &Hit, left_out: u64) -> Contamination {
    let place = |marks: &mut dyn Iterator<Item = (u64, u64)>| {
        marks.map(|(from, to)| format!("{from}-{to}")).collect::<Vec<_>>().join(" ")
    };
    let word = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let name = |value: &dyn Fn() -> Result<serde_json::Value, serde_json::Error>| word(value().unwrap_or_default());
    let first = hit.parts.first();
    let spans_in_item = hit.texts.iter().filter(|text| !text.marks.is_empty()).map(|text| {
        let marks = text.marks.iter().map(|(from, to)| (*from as u64, *to as u64));
        format!("{}: {}", text.name, place(&mut marks.into_iter()))
    });
    Contamination {
        benchmark: hit.benchmark.clone(),
        subset: hit.subset.clone(),
        item: hit.item.clone(),
        method: hit.method.name().to_owned(),
        verdict: hit.verdict.name().to_owned(),
        score: hit.score,
        part: first.map(|seen| name(&|| serde_json::to_value(seen.part))).unwrap_or_default(),
        parts: hit.parts.iter().map(|seen| name(&|| serde_json::to_value(seen.part))).collect::<Vec<_>>().join(" "),
        form: first.and_then(|seen| seen.form).map(|form| name(&|| serde_json::to_value(form))).unwrap_or_default(),
        with_answer: hit.with_answer,
        document: hit.document.clone(),
        shard: hit.shard.clone(),
        line: hit.line,
        language: hit.language.clone(),
        origin: hit.source.clone(),
        item_text: hit.texts.iter().map(|text| text.text.as_str()).collect::<Vec<_>>().join("\n"),
        item_spans: spans_in_item.collect::<Vec<_>>().join("; "),
        excerpt: hit.excerpt.as_ref().map(|excerpt| excerpt.text.clone()),
        excerpt_start: hit.excerpt.as_ref().map(|excerpt| excerpt.start),
        document_spans: place(&mut hit.spans.iter().copied()),
        left_out,
    }
}

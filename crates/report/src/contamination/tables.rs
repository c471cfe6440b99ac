//! The tables of the report as CSV and Markdown.

use std::collections::BTreeMap;

use retrace_analysis::contamination::Verdict;

use super::{ContaminationReport, Group, InputFile, Rate, Share, form_name, part_name, verdict_name};
use crate::numbers::{counted, percent, size};

/// A table of the report: the name of its file, its columns and rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataTable {
    /// The file's name without its ending.
    pub name: &'static str,
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl DataTable {
    /// As CSV (RFC 4180, with line feeds).
    pub fn csv(&self) -> String {
        let cell = |text: &str| match text.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text.to_owned(),
        };
        let line = |cells: &mut dyn Iterator<Item = &str>| cells.map(cell).collect::<Vec<_>>().join(",") + "\n";
        let mut csv = line(&mut self.columns.iter().copied());
        self.rows.iter().for_each(|row| csv += &line(&mut row.iter().map(String::as_str)));
        csv
    }
}

/// The tables of the report, each the data of one on the page.
pub fn data_tables(report: &ContaminationReport) -> Vec<DataTable> {
    let all = [rates(report), verdicts(report), scores(report), findings(report), left_out(report)];
    let groups = [("sources", "source", &report.sources), ("languages", "language", &report.languages)];
    let groups = groups.into_iter().filter_map(|(name, column, groups)| Some(group(name, column, groups.as_ref()?)));
    let inputs = [("benchmarks", &report.benchmarks), ("shards", &report.shards)];
    let inputs = inputs.into_iter().map(|(name, files)| input(name, files));
    all.into_iter().chain(groups).chain(false_alarms(report)).chain(inputs).collect()
}

const SHARE: [&str; 5] = ["count", "of", "share", "low", "high"];

/// Without an interval, the count and the share are lower bounds.
fn share(share: &Share) -> [String; 5] {
    let [low, high] = share.interval.map_or_else(Default::default, |(low, high)| [low, high].map(fraction));
    [share.count.to_string(), share.of.to_string(), fraction(share.value()), low, high]
}

/// From 0 to 1, with six digits.
fn fraction(value: f64) -> String {
    format!("{value:.6}")
}

fn rates(report: &ContaminationReport) -> DataTable {
    let rows = report.rates.iter().map(|rate| {
        let first = [rate.method.name(), &rate.benchmark, rate.subset.as_deref().unwrap_or_default()];
        let first = first.map(str::to_owned).into_iter();
        first
            .chain(share(&rate.leaked))
            .chain([rate.with_answer, rate.nothing, rate.not_searched].map(|items| items.to_string()))
            .collect()
    });
    let columns = ["method", "benchmark", "subset"].into_iter().chain(SHARE).chain([
        "with_answer",
        "nothing_found",
        "not_searched",
    ]);
    DataTable { name: "rates", columns: columns.collect(), rows: rows.collect() }
}

fn verdicts(report: &ContaminationReport) -> DataTable {
    let whole = report.rates.iter().filter(|rate| rate.subset.is_none());
    let rows = whole.flat_map(|rate| {
        rate.verdicts.iter().map(|(verdict, items)| {
            vec![
                rate.method.name().to_owned(),
                rate.benchmark.clone(),
                verdict_name(*verdict).to_owned(),
                items.to_string(),
            ]
        })
    });
    DataTable { name: "verdicts", columns: vec!["method", "benchmark", "verdict", "items"], rows: rows.collect() }
}

fn scores(report: &ContaminationReport) -> DataTable {
    let rows = report.scores.iter().flat_map(|band| {
        band.verdicts.iter().map(|(verdict, findings)| {
            let (from, to) = (f64::from(band.tenth) / 10.0, f64::from(band.tenth + 1) / 10.0);
            let cells = [band.method.name(), &format!("{from:.1}"), &format!("{to:.1}"), verdict_name(*verdict)];
            cells.map(str::to_owned).into_iter().chain([findings.to_string()]).collect()
        })
    });
    let columns = vec!["method", "from", "to", "verdict", "findings"];
    DataTable { name: "scores", columns, rows: rows.collect() }
}

fn findings(report: &ContaminationReport) -> DataTable {
    let rows = report.findings.iter().map(|hit| {
        let parts = hit.parts.iter().map(|seen| match seen.form {
            Some(form) => format!("{}: {}", part_name(seen.part), form_name(form)),
            None => part_name(seen.part).to_owned(),
        });
        vec![
            hit.method.name().to_owned(),
            hit.benchmark.clone(),
            hit.subset.clone().unwrap_or_default(),
            hit.item.clone(),
            verdict_name(hit.verdict).to_owned(),
            fraction(hit.score),
            hit.with_answer.to_string(),
            parts.collect::<Vec<_>>().join("; "),
            hit.shard.clone(),
            hit.line.to_string(),
            hit.document.clone(),
            hit.source.clone().unwrap_or_default(),
            hit.language.clone().unwrap_or_default(),
        ]
    });
    let columns = vec![
        "method",
        "benchmark",
        "subset",
        "item",
        "verdict",
        "score",
        "with_answer",
        "parts",
        "shard",
        "line",
        "document",
        "source",
        "language",
    ];
    DataTable { name: "findings", columns, rows: rows.collect() }
}

fn left_out(report: &ContaminationReport) -> DataTable {
    let rows = report.left_out.iter().map(|left| {
        let counts = [left.findings, left.leaks].map(|count| count.to_string());
        let first = [left.method.name().to_owned(), left.benchmark.clone(), left.item.clone()];
        first.into_iter().chain(counts).collect()
    });
    DataTable {
        name: "not-kept",
        columns: vec!["method", "benchmark", "item", "findings", "leaks"],
        rows: rows.collect(),
    }
}

fn group(name: &'static str, column: &'static str, groups: &[Group]) -> DataTable {
    let rows = groups.iter().map(|group| {
        let first = [group.method.name().to_owned(), group.name.clone()].into_iter();
        first.chain(share(&group.documents)).chain([group.items.to_string()]).collect()
    });
    let columns = ["method", column].into_iter().chain(SHARE).chain(["items"]).collect();
    DataTable { name, columns, rows: rows.collect() }
}

fn false_alarms(report: &ContaminationReport) -> Option<DataTable> {
    let rows = report.false_alarms.as_ref()?.iter().map(|alarms| {
        let first = [alarms.method.name(), &alarms.made, &alarms.benchmark].map(str::to_owned).into_iter();
        first.chain(share(&alarms.flagged)).collect()
    });
    let columns = ["method", "made", "benchmark"].into_iter().chain(SHARE).collect();
    Some(DataTable { name: "false-alarms", columns, rows: rows.collect() })
}

fn input(name: &'static str, files: &[InputFile]) -> DataTable {
    let rows = files.iter().map(|file| {
        let numbers = [file.bytes, file.records, file.skipped].map(|number| number.to_string());
        [file.name.clone(), file.digest.clone()].into_iter().chain(numbers).collect()
    });
    let columns = vec!["file", "digest", "bytes", "records", "skipped"];
    DataTable { name, columns, rows: rows.collect() }
}

/// Of each benchmark the items that have nothing to search for, in words.
pub fn not_searched<'a>(rates: impl Iterator<Item = &'a Rate>) -> Vec<String> {
    let mut most: BTreeMap<&str, u64> = BTreeMap::new();
    for rate in rates.filter(|rate| rate.subset.is_none() && rate.not_searched > 0) {
        let items = most.entry(&rate.benchmark).or_default();
        *items = rate.not_searched.max(*items);
    }
    let in_words = |(benchmark, items): (&str, u64)| {
        let have = if items == 1 { "has" } else { "have" };
        format!("{} of {benchmark} {have} nothing to search for", counted(items, "item"))
    };
    most.into_iter().map(in_words).collect()
}

/// A share in words: `3.2 % (2.1 % to 4.8 %)`.
pub(crate) fn in_words(share: &Share) -> String {
    match share.interval {
        _ if share.of == 0 => "–".to_owned(),
        Some((low, high)) => format!("{} ({} to {})", percent(share.value()), percent(low), percent(high)),
        None => format!("at least {}", percent(share.value())),
    }
}

/// The report as Markdown: the rates, what is not a leak, the false alarms, and each leak in a line.
pub fn markdown(report: &ContaminationReport) -> String {
    let mut text = format!(
        "# Contamination report\n\n{} ({}) in {} searched for {} of {}.\n",
        counted(report.documents, "document"),
        size(report.bytes).replace('\u{a0}', " "),
        counted(report.shards.len() as u64, "shard"),
        counted(report.benchmarks.iter().map(|file| file.records).sum(), "item"),
        counted(report.benchmarks.len() as u64, "benchmark"),
    );
    for what in not_searched(report.rates.iter()) {
        text += &format!("\nNot searched: {}.\n", markdown_cell(&what));
    }
    for file in report.benchmarks.iter().chain(&report.shards) {
        if file.skipped > 0 {
            text += &format!("\nNot read: {} of {}.\n", counted(file.skipped, "line"), markdown_cell(&file.name));
        }
        if let Some(remark) = &file.remark {
            text += &format!("\n{}: {}.\n", markdown_cell(&file.name), markdown_cell(remark));
        }
    }
    let mut table = |title: &str, columns: &[&str], rows: &mut dyn Iterator<Item = Vec<String>>| {
        let rows: Vec<Vec<String>> = rows.collect();
        if rows.is_empty() {
            return;
        }
        text += &format!("\n## {title}\n\n| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
        for row in rows {
            let cells: Vec<String> = row.iter().map(|cell| markdown_cell(cell)).collect();
            text += &format!("| {} |\n", cells.join(" | "));
        }
    };
    let columns = ["method", "benchmark", "subset", "items", "leaked", "share (95 %)", "with answer"];
    let rows = report.rates.iter().map(|rate| {
        vec![
            rate.method.name().to_owned(),
            rate.benchmark.clone(),
            rate.subset.clone().unwrap_or_else(|| "all".to_owned()),
            rate.leaked.of.to_string(),
            rate.leaked.count.to_string(),
            in_words(&rate.leaked),
            rate.with_answer.to_string(),
        ]
    });
    table("Items with a leak", &columns, &mut rows.into_iter());
    let whole = report.rates.iter().filter(|rate| rate.subset.is_none());
    let rows = whole.flat_map(|rate| {
        let others = rate.verdicts.iter().filter(|(verdict, _)| *verdict != Verdict::Leak);
        others.map(|(verdict, items)| {
            let cells = [rate.method.name(), &rate.benchmark, verdict_name(*verdict)];
            cells.map(str::to_owned).into_iter().chain([items.to_string()]).collect()
        })
    });
    table("Not a leak", &["method", "benchmark", "verdict", "items"], &mut rows.into_iter());
    let rows = report.false_alarms.iter().flatten().map(|alarms| {
        vec![
            alarms.method.name().to_owned(),
            format!("{} ({})", alarms.benchmark, alarms.made),
            format!("{} of {}", alarms.flagged.count, alarms.flagged.of),
            in_words(&alarms.flagged),
        ]
    });
    table("Impossible items", &["method", "items", "flagged", "share (95 %)"], &mut rows.into_iter());
    let leaks = report.findings.iter().filter(|hit| hit.verdict == Verdict::Leak);
    let rows = leaks.map(|hit| {
        vec![
            hit.method.name().to_owned(),
            format!("{} {}", hit.benchmark, hit.item),
            format!("{:.2}", hit.score),
            hit.parts.first().and_then(|seen| seen.form).map_or_else(String::new, |form| form_name(form).to_owned()),
            format!("{}:{}", hit.shard, hit.line),
            hit.document.clone(),
        ]
    });
    table("Leaks", &["method", "item", "score", "form", "shard and line", "document"], &mut rows.into_iter());
    text
}

/// Text in a cell of a table: neither its markup nor its line breaks count.
fn markdown_cell(text: &str) -> String {
    let mut cell = String::new();
    for c in text.replace('\u{a0}', " ").chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' => {
                cell.push('\\');
                cell.push(c);
            }
            '\n' | '\r' => cell.push(' '),
            _ => cell.push(c),
        }
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cells by RFC 4180, section 2, 5 to 7.
    #[test]
    fn cells_with_commas_quotes_and_line_breaks() {
        let rows = vec![vec!["a,b".to_owned(), "say \"x\"".to_owned()], vec!["two\nlines".to_owned(), String::new()]];
        let table = DataTable { name: "t", columns: vec!["one", "two"], rows };
        assert_eq!(table.csv(), "one,two\n\"a,b\",\"say \"\"x\"\"\"\n\"two\nlines\",\n");
        assert_eq!(markdown_cell("a|b\n*c*"), "a\\|b \\*c\\*");
    }
}

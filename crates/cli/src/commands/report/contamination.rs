//! `retrace report contamination`

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use clap::ValueEnum;
use clap::builder::PossibleValuesParser;
use retrace_analysis::contamination::{Method, Verdict};
use retrace_report::contamination::{ContaminationReport, Hit, Rate, markdown, not_searched, verdict_name};
use retrace_steps::{Columns, Scan, named, write_contamination};

use crate::commands::Exit;
use crate::errors::Failure;
use crate::terminal::{Terminal, Tone, count};

/// Search a corpus for the items of benchmarks
///
/// A benchmark is a file of JSON lines (plain, gzip or zstd), a JSON list, or Parquet, with the columns `question`, and `id`,
/// `choices`, `answer`, `passage`, `solution` and `subset` as far as there; other names by --fields. Choices are a list
/// of texts, an object with the lists `text` and `label`, or several columns (`choices=A+B+C+D`). An answer is a text,
/// a letter or label of a choice, or its index from 0. An integer where choices are numbers is an index if all such answers
/// of the benchmark can be one and some is no choice; else it is a text. The benchmark's name is that of the file. The corpus is files of
/// the same formats with the column `text`, and `id`, `lang` and `source` if there.
///
/// Each document is judged: it leaks an item, or has something of it that is no leak (a near miss, the passage alone, a
/// stock phrase and so on). With -o, the page `report.html` shows each hit beside its item, and the table
/// `contamination` has all of them. Memory depends on the benchmarks, not on the corpus. Shards are searched
/// in parallel; the result is the same with any number of threads.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  retrace report contamination --benchmark gsm8k.jsonl --corpus corpus/*.jsonl.gz -o report
  retrace report contamination --benchmark HumanEval.jsonl.gz --fields question=prompt,id=task_id \\
      --corpus code/*.parquet --corpus-fields text=content --method spans,gpt3
  retrace query \"select verdict, count(*) from contamination group by 1\" report

Exit codes: 0 no leak, 1 leaks, lines that were not read (--skip-unreadable) or items that have
nothing to search for, 2 an error.")]
pub(crate) struct Contamination {
    /// Files of benchmarks
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    benchmark: Vec<PathBuf>,
    /// Shards of the corpus
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    corpus: Vec<PathBuf>,
    /// The methods: ours, or those of papers with their parameters
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "spans",
        value_parser = PossibleValuesParser::new(Method::ALL.map(Method::name)))]
    method: Vec<String>,
    /// Columns of benchmarks that have other names: `question=prompt`; `passage=` reads no passage. Files without such a
    /// column keep the field's own name
    #[arg(long, value_name = "FIELD=COLUMN", value_delimiter = ',')]
    fields: Vec<String>,
    /// Columns of the corpus that have other names: `text=content`. A field that is named is read from no other column
    #[arg(long, value_name = "FIELD=COLUMN", value_delimiter = ',')]
    corpus_fields: Vec<String>,
    /// Write the page, its tables as CSV, and the table of findings into DIR
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Keep the results of each shard in DIR until the report is written; a search that was stopped goes on from them
    #[arg(long, requires = "output")]
    resume: bool,
    /// Count lines and rows that cannot be read, and go on
    #[arg(long)]
    skip_unreadable: bool,
    /// Do not search for impossible items, which estimates false alarms and takes as long as the search itself
    #[arg(long)]
    no_impossible: bool,
    /// The format of the report on standard output [default: text]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
}

/// The formats on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A summary
    Text,
    /// All data, as one JSON document; as --json
    Json,
    /// The report as Markdown
    Md,
}

/// Where the results of shards are kept, below the report's directory.
const KEPT: &str = ".retrace-scan";

/// The table of a report, which an earlier one in the same directory left too.
const TABLE: &str = "tables/contamination.parquet";

/// So many leaks are listed in the summary.
const LISTED: usize = 20;

impl Contamination {
    pub(crate) fn run(&self, terminal: &Terminal) -> Result<Exit, Failure> {
        let fields =
            |what: String| Failure::usage(format!("--fields: {what}"), "see `retrace help report contamination`");
        let corpus_fields = |what: String| {
            Failure::usage(format!("--corpus-fields: {what}"), "see `retrace help report contamination`")
        };
        let kept = self.output.as_ref().filter(|_| self.resume).map(|directory| directory.join(KEPT));
        let scan = Scan {
            tasks: Vec::new(),
            benchmarks: named(&self.benchmark)?,
            fields: Columns::of_benchmarks(&self.fields).map_err(fields)?,
            corpus: named(&self.corpus)?,
            corpus_fields: Columns::of_documents(&self.corpus_fields).map_err(corpus_fields)?,
            methods: self.method.iter().filter_map(|name| Method::named(name)).collect(),
            skip_unreadable: self.skip_unreadable,
            impossible: !self.no_impossible,
            most: retrace_analysis::contamination::KEPT,
            kept: kept.clone(),
        };
        if let Some(directory) = &self.output {
            let (page, table) = (directory.join("report.html"), directory.join(TABLE));
            if page.exists() && !table.exists() {
                let what = format!("{} exists, and is not a report of this verb", page.display());
                return Err(Failure::usage(what, "give another directory with -o"));
            }
        }
        let report = scan.report(terminal.progress().as_ref())?;
        if let Some(directory) = &self.output {
            let written = write_contamination(directory, &report)?;
            if let Some(kept) = kept.filter(|kept| kept.exists()) {
                std::fs::remove_dir_all(&kept).map_err(retrace_files::FileError::io(&kept, "remove"))?;
            }
            let last = written.last().map_or("", String::as_str);
            let more = count(written.len().saturating_sub(1), "table");
            terminal.say(Tone::Good, "wrote", format!("{} and {more}", directory.join(last).display()));
        }
        match self.format {
            Some(Format::Md) => terminal.data("contamination-report/1", &report, markdown(&report).as_bytes())?,
            format => terminal.document("contamination-report/1", &report, format == Some(Format::Json), |out| {
                self.summary(terminal, &report, out)
            })?,
        }
        for file in report.benchmarks.iter().chain(&report.shards).filter(|file| file.skipped > 0) {
            let what = format!("{} of {}", count(file.skipped, "line"), file.name);
            terminal.say(Tone::Bad, "not read", what);
        }
        let not_searched = not_searched(report.rates.iter());
        for what in &not_searched {
            terminal.say(Tone::Bad, "not searched", what);
        }
        let leaks = report.findings.iter().any(|hit| hit.verdict == Verdict::Leak);
        let skipped = report.benchmarks.iter().chain(&report.shards).any(|file| file.skipped > 0);
        Ok(Exit::holds(!leaks && !skipped && not_searched.is_empty()))
    }

    fn summary(&self, terminal: &Terminal, report: &ContaminationReport, out: &mut dyn io::Write) -> io::Result<()> {
        let several = report.methods.len() > 1;
        let told = |rate: &&Rate| rate.subset.is_none() || rate.leaked.count > 0;
        for rate in report.rates.iter().filter(told) {
            let subset = rate.subset.as_ref().map_or_else(String::new, |subset| format!(" / {subset}"));
            let method = if several { format!("  {}", rate.method.name()) } else { String::new() };
            let tone = if rate.leaked.count > 0 || rate.not_searched > 0 { Tone::Bad } else { Tone::Good };
            let leaked =
                terminal.tone(tone, format_args!("{} of {}", rate.leaked.count, count(rate.leaked.of, "item")));
            let share = 100.0 * rate.leaked.value();
            write!(out, "{}{subset}{method}: leaked {leaked}", rate.benchmark)?;
            if let Some((low, high)) = rate.leaked.interval.filter(|_| rate.leaked.of > 0) {
                write!(out, " ({share:.1} %, 95 % interval {:.1} to {:.1})", 100.0 * low, 100.0 * high)?;
            }
            let others = rate.verdicts.iter().filter(|(verdict, _)| *verdict != Verdict::Leak);
            for (verdict, items) in others {
                write!(out, ", {} {items}", verdict_name(*verdict))?;
            }
            if rate.not_searched > 0 {
                write!(out, ", not searched {}", rate.not_searched)?;
            }
            writeln!(out)?;
        }
        let subsets = |rates: &dyn Fn(&&Rate) -> bool| {
            let of = report.rates.iter().filter(|rate| rate.subset.is_some()).filter(rates);
            of.map(|rate| (&rate.benchmark, &rate.subset)).collect::<BTreeSet<_>>().len()
        };
        let subsets = subsets(&|_| true) - subsets(&|rate| rate.leaked.count > 0);
        if subsets > 0 {
            writeln!(out, "no leak in {}", count(subsets, "other subset"))?;
        }
        if let Some(alarms) = &report.false_alarms {
            if alarms.is_empty() {
                writeln!(out, "false alarms: not estimated, because no item has a question")?;
            }
            for method in report.methods.iter().filter(|_| !alarms.is_empty()) {
                let (flagged, of) = alarms
                    .iter()
                    .filter(|alarms| alarms.method == *method)
                    .fold((0, 0), |sum, alarms| (sum.0 + alarms.flagged.count, sum.1 + alarms.flagged.of));
                let method = if several { format!(" by {}", method.name()) } else { String::new() };
                writeln!(out, "false alarms{method}: {flagged} of {} flagged", count(of, "impossible item"))?;
            }
        }
        let leaks = || report.findings.iter().filter(|hit| hit.verdict == Verdict::Leak);
        for hit in leaks().take(LISTED) {
            let Hit { benchmark, item, shard, line, document, score, .. } = hit;
            let method = if several { format!("  {}", hit.method.name()) } else { String::new() };
            writeln!(out, "  {benchmark} {item}  {score:.2}{method}  {shard}:{line}  {document}")?;
        }
        let more = leaks().count().saturating_sub(LISTED);
        if more > 0 {
            writeln!(out, "  and {}, which the report lists (-o DIR)", count(more, "more leak"))?;
        }
        let left_out: u64 = report.left_out.iter().map(|left| left.leaks).sum();
        if left_out > 0 {
            let kept = format_args!("of each item {} are kept", report.kept);
            writeln!(out, "  and up to {} that no list has; {kept}", count(left_out, "more leak"))?;
        }
        Ok(())
    }
}

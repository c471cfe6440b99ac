//! The page of a report of scaling laws, and what the page of a release shows of it.

mod block;
mod charts;
mod tables;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use maud::{Markup, html};
use retrace_analysis::scaling::{Point, Points, Report};
use retrace_spec::recipe::scaling::{LossUnit, ParamsUnit};

use crate::ReportError;
use crate::numbers::grouped;
use crate::page::document;
use block::{Block, Section};
use charts::by_run;
use tables::number;

/// The links to the data have the colour of the text around them.
const STYLE: &str = "a { color: inherit; }\n";

/// The files of a report: a page, the same as Markdown, and CSV files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalingPage {
    /// The page, one HTML file.
    pub html: String,
    /// What the page says, as Markdown.
    pub markdown: String,
    /// The points, and the data of each chart, as CSV, by the name of the file.
    pub data: BTreeMap<String, String>,
}

/// The page of a report; `made` is the command that makes it.
///
/// # Errors
/// If a chart cannot be drawn.
pub fn scaling_page(title: &str, report: &Report, made: &str) -> Result<ScalingPage, ReportError> {
    let sections: Vec<Section> = [
        Some(tables::laws(report)),
        Some(charts::points(report)),
        charts::fit(report),
        charts::isoflop(report),
        tables::frontier(report),
        tables::predictions(report),
        Some(charts::tests(report)),
        Some(again(made)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let figures = sections.iter().flat_map(Section::figures);
    let mut data: BTreeMap<String, String> = figures.map(|figure| (figure.file(), figure.csv.clone())).collect();
    data.insert("points.csv".to_owned(), points_csv(&report.points));
    let lead = lead(report);
    let drawn = sections.iter().map(|section| section.html(true)).collect::<Result<Vec<_>, _>>()?;
    let head = html! { p.lead { (lead) } };
    let main = html! { @for section in &drawn { (section) } };
    let footer = html! { "Made by retrace. The same points and arguments give the same page. The points: " a href="points.csv" { "points.csv" } "." };
    // Its title and its lead are a section's.
    let first = Section { id: "", title: "Scaling report", lead: format!("{title}. {lead}"), blocks: Vec::new() };
    let markdown: String = std::iter::once(&first).chain(&sections).map(Section::markdown).collect();
    let html = document("Scaling report", title, STYLE, &head, &main, &footer);
    Ok(ScalingPage { html, markdown: markdown.replacen("## ", "# ", 1).trim_end().to_owned() + "\n", data })
}

/// The section of a release's page; `colour` gives each run its colour.
///
/// # Errors
/// If a chart cannot be drawn.
pub(crate) fn scaling_section(report: &Report, colour: impl Fn(&str) -> usize) -> Result<Markup, ReportError> {
    let mut laws = report.laws.iter().map(|law| tables::law(law, report));
    let beside = Block::Beside(by_run(report, colour), laws.next().unwrap_or_default());
    let others: Vec<Block> = laws.flatten().collect();
    let section = Section { id: "scaling", title: "Scaling", lead: lead(report), blocks: vec![beside] };
    let more = [tables::frontier(report), tables::predictions(report)];
    let more: Vec<Block> = more.into_iter().flatten().flat_map(Section::under_its_title).collect();
    Section { blocks: section.blocks.into_iter().chain(others).chain(more).collect(), ..section }.html(false)
}

/// What was fitted, in sentences.
fn lead(report: &Report) -> String {
    let points = &report.points;
    let mut lead = match &report.loss {
        Some(words) => format!("Loss: {words}. "),
        None => String::new(),
    };
    let (rows, runs) = (grouped(points.rows().len() as u64), grouped(points.runs() as u64));
    let (params, loss) = (params_unit(points.params_unit()), points.loss_unit().map_or("an unknown unit", loss_unit));
    let _ = write!(lead, "{rows} points of {runs} runs. N counts {params}; the loss is in {loss}.");
    if report.along_runs() > 0 {
        let _ = write!(lead, " {} points are not the last of their run.", grouped(report.along_runs() as u64));
    }
    lead
}

const fn params_unit(unit: Option<ParamsUnit>) -> &'static str {
    match unit {
        Some(ParamsUnit::Total) => "all parameters, embeddings too",
        Some(ParamsUnit::NonEmbedding) => "the parameters without embeddings",
        None => "parameters of an unknown unit",
    }
}

const fn loss_unit(unit: LossUnit) -> &'static str {
    match unit {
        LossUnit::NatsPerToken => "nats a token",
        LossUnit::BitsPerByte => "bits per byte",
    }
}

fn again(made: &str) -> Section {
    let lead = "The points and these arguments made this page, on any machine:".to_owned();
    Section { id: "again", title: "Make it yourself", lead, blocks: vec![Block::Code(made.to_owned())] }
}

/// A column of [`points_csv`]: its value for a point that has one.
type Value = fn(&Point) -> Option<String>;

/// The points, in columns whose names say the units, as `report scaling --points` takes them.
fn points_csv(points: &Points) -> String {
    let params = match points.params_unit() {
        Some(ParamsUnit::Total) => "params_total",
        Some(ParamsUnit::NonEmbedding) => "params_nonembedding",
        None => "params",
    };
    let loss = match points.loss_unit() {
        Some(LossUnit::NatsPerToken) => "loss_nats_per_token",
        Some(LossUnit::BitsPerByte) => "loss_bits_per_byte",
        None => "loss",
    };
    let columns: [(&str, Value); 8] = [
        ("run", |p| p.run.as_deref().map(quoted)),
        ("seed", |p| p.seed.map(|seed| seed.to_string())),
        (params, |p| Some(plain(p.params))),
        ("tokens", |p| Some(plain(p.tokens))),
        (loss, |p| Some(plain(p.loss))),
        ("flops", |p| p.flops.map(plain)),
        ("unique_tokens", |p| p.unique_tokens.map(plain)),
        ("accuracy", |p| p.accuracy.map(plain)),
    ];
    let there: Vec<&(&str, Value)> =
        columns.iter().filter(|(_, value)| points.rows().iter().any(|point| value(point).is_some())).collect();
    let mut out = there.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(",") + "\n";
    for point in points.rows() {
        let cells: Vec<String> = there.iter().map(|(_, value)| value(point).unwrap_or_default()).collect();
        out += &(cells.join(",") + "\n");
    }
    out
}

/// A number that is read back to the bit, also by readers that take many digits for an integer of 64 bits.
fn plain(value: f64) -> String {
    if value.abs() < 1e15 { value.to_string() } else { format!("{value:e}") }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

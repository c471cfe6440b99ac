//! Figures of query results: each with the query that gave its rows, and the rows as CSV.

use std::collections::BTreeSet;

use maud::{Markup, PreEscaped, html};
use retrace_query::{Answer, Format, Session};
use serde::Serialize;

use crate::ReportError;
use crate::numbers::grouped;
use crate::page::document;
use crate::plot::{Axis, Chart, HeatMap, Mark, SERIES, Scale, Series, Style};
use crate::release::{MetricOfRun, Part};
use crate::sections::{Colours, section};

/// The style of pages with figures.
pub(crate) const STYLE: &str = include_str!("figure.css");

/// Figures below one title.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// The title.
    pub title: String,
    /// What they show, in a sentence.
    pub about: String,
    /// The figures.
    pub figures: Vec<Figure>,
    /// What is not shown in any figure, as sentences.
    pub left_out: Vec<String>,
    /// The values of their table that are not finite: those of all runs and metrics, also if no figure has them. Figures
    /// that compare values count none.
    pub non_finite: u64,
}

impl Figures {
    /// The runs that have a line, in their order.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &String> {
        self.figures
            .iter()
            .flat_map(|figure| match &figure.drawing {
                Some(Drawing::Lines { lines, .. }) => lines.as_slice(),
                _ => &[],
            })
            .map(|line| &line.run)
    }
}

/// A figure of the answer to a query.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// The name of the files with its rows and its query, without their endings.
    pub name: String,
    /// The title.
    pub title: String,
    /// What else a reader has to know, as sentences.
    pub caption: String,
    /// What of the rows is not drawn, as sentences.
    pub left_out: Vec<String>,
    /// Values that are not finite.
    pub non_finite: u64,
    /// The query.
    pub sql: String,
    /// Number of rows.
    pub rows: usize,
    /// The rows as CSV.
    #[serde(skip)]
    pub csv: String,
    /// How they are drawn; none if no value can be.
    #[serde(skip)]
    pub(crate) drawing: Option<Drawing>,
}

/// How rows are drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Drawing {
    /// A line for each run.
    Lines {
        /// The label of the vertical axis.
        label: String,
        /// Its scale.
        scale: Scale,
        /// A marked value, and its name.
        mark: Option<(f64, &'static str)>,
        /// The lines.
        lines: Vec<MetricOfRun>,
    },
    /// A heat map.
    Heat(HeatMap),
}

/// With more lines than this, neither colours nor labels can be distinguished.
pub(crate) const LINES: usize = 2 * SERIES.len();

/// With more points than this, a line has no markers.
const MARKED: usize = 60;

/// The rows of a query, with the query.
pub(crate) struct Asked {
    pub(crate) sql: String,
    pub(crate) answer: Answer,
}

impl Asked {
    pub(crate) fn of(session: &Session, sql: String) -> Result<Self, ReportError> {
        Ok(Self { answer: session.run(&sql)?, sql })
    }

    /// The figure of these rows.
    pub(crate) fn figure(
        self,
        name: String,
        title: String,
        drawing: Option<Drawing>,
        told: Told,
    ) -> Result<Figure, ReportError> {
        let csv = String::from_utf8_lossy(&self.answer.write(Format::Csv)?).into_owned();
        let Told { caption, left_out, non_finite } = told;
        Ok(Figure { name, title, caption, left_out, non_finite, rows: self.answer.rows(), sql: self.sql, csv, drawing })
    }
}

/// What a figure says beside its drawing.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) caption: String,
    pub(crate) left_out: Vec<String>,
    pub(crate) non_finite: u64,
}

/// A text as a literal of SQL.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `1 row`, `1,234 rows`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// Names of files: what a text has of letters and digits of ASCII, each name once.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeSet<String>);

impl Names {
    pub(crate) fn of(&mut self, text: &str) -> String {
        const LONGEST: usize = 60;
        let mut name = String::new();
        for c in text.chars() {
            match c.is_ascii_alphanumeric() || c == '_' {
                true => name.push(c.to_ascii_lowercase()),
                false if name.ends_with('-') || name.is_empty() => {}
                false => name.push('-'),
            }
        }
        name.truncate(LONGEST);
        let name = match name.trim_end_matches('-') {
            "" => "figure",
            name => name,
        };
        let mut free = name.to_owned();
        let mut number = 1;
        while !self.0.insert(free.clone()) {
            number += 1;
            free = format!("{name}-{number}");
        }
        free
    }
}

/// A page of figures, beside which there is a directory `data` with the rows and queries. `made` is the command that
/// made it.
///
/// # Errors
/// If a figure cannot be drawn.
pub fn figures_page(kind: &str, title: &str, all: &[Figures], made: &str) -> Result<String, ReportError> {
    let colours = Colours::new(&[Part::Figures(all.to_vec())]);
    let sections = shown(all, &colours, true)?;
    let again = html! {
        p { "The rows and the query of each figure are in " code { "data" } " beside this page." }
        pre { code { (made) "\nretrace query --sql \"$(cat data/NAME.sql)\" TABLES --format csv" } }
    };
    let lead = html! { "The same tables and arguments give the same page, on any machine:" };
    let main = html! { (sections) (section("again", "Make it yourself", &lead, &again)) };
    let footer = html! { "Made by retrace from the tables; it checks nothing that they say." };
    Ok(document(kind, title, STYLE, &html! {}, &main, &footer))
}

/// The figures as sections. With `beside`, the rows of each are in a file `data/NAME.csv` beside the page.
pub(crate) fn shown(all: &[Figures], colours: &Colours, beside: bool) -> Result<Markup, ReportError> {
    let mut sections = Vec::new();
    for of in all {
        let figures = of.figures.iter().map(|figure| one(figure, colours, beside)).collect::<Result<Vec<_>, _>>()?;
        let body = html! {
            @if !of.left_out.is_empty() { ul.left-out { @for what in &of.left_out { li { (what) } } } }
            div.figures { @for figure in &figures { (figure) } }
        };
        let id: String = of.title.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        sections.push(section(&id, &of.title, &html! { (of.about) }, &body));
    }
    Ok(html! { @for section in &sections { (section) } })
}

fn one(figure: &Figure, colours: &Colours, beside: bool) -> Result<Markup, ReportError> {
    let svg = match &figure.drawing {
        Some(Drawing::Heat(map)) => map.svg()?,
        Some(Drawing::Lines { label, scale, mark, lines }) => {
            chart(&figure.title, label, *scale, *mark, lines, colours).svg()?
        }
        None => String::new(),
    };
    let wide = matches!(figure.drawing, Some(Drawing::Heat(_)));
    Ok(html! {
        figure.wide[wide] {
            figcaption { strong { (figure.title) } @if !figure.caption.is_empty() { " " (figure.caption) } }
            @if svg.is_empty() { p.left-out { "There is nothing to draw." } } @else { (PreEscaped(svg)) }
            @for what in &figure.left_out { p.left-out { (what) } }
            @if beside {
                p.left-out { "Data: " a href=(format!("data/{}.csv", figure.name)) { (figure.name) ".csv" } }
            }
            details {
                summary { "Query of " (count(figure.rows as u64, "row")) }
                pre { code { (figure.sql) } }
            }
        }
    })
}

fn chart(
    title: &str,
    label: &str,
    scale: Scale,
    mark: Option<(f64, &'static str)>,
    lines: &[MetricOfRun],
    colours: &Colours,
) -> Chart {
    let series = lines.iter().map(|line| {
        let known = line.errors.iter().any(|error| error.is_finite());
        Series {
            label: if lines.len() > 1 { line.run.clone() } else { String::new() },
            points: line.points.clone(),
            errors: if known { line.errors.clone() } else { Vec::new() },
            style: match line.points.len() {
                1 => Style::Points,
                points if points <= MARKED => Style::Both,
                _ => Style::Line,
            },
            colour: colours.of(&line.run),
        }
    });
    Chart {
        title: title.to_owned(),
        x: Axis { label: "tokens".to_owned(), scale: x_scale(lines), whole: true },
        y: Axis { label: label.to_owned(), scale, whole: false },
        series: series.collect(),
        marks: mark.map(|(at, name)| Mark::Y(at, name.to_owned())).into_iter().collect(),
    }
}

/// Logarithmic if most points are crowded at the beginning, and no point is at 0.
fn x_scale(lines: &[MetricOfRun]) -> Scale {
    let mut tokens: Vec<f64> = lines.iter().flat_map(|line| &line.points).map(|point| point.0).collect();
    tokens.sort_by(f64::total_cmp);
    let (Some(first), Some(middle), Some(last)) = (tokens.first(), tokens.get(tokens.len() / 2), tokens.last()) else {
        return Scale::Linear;
    };
    if *first > 0.0 && *middle < last / 20.0 { Scale::Log } else { Scale::Linear }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_plain_and_each_is_given_once() {
        let mut names = Names::default();
        let given = ["arc_easy acc", "../../etc/passwd", "中文", "\u{202e}a<b&c", "中文", "ARC_easy/acc", ""];
        let expected = ["arc_easy-acc", "etc-passwd", "figure", "a-b-c", "figure-2", "arc_easy-acc-2", "figure-3"];
        assert_eq!(given.map(|text| names.of(text)), expected);
        let long = "x".repeat(500);
        assert_eq!([names.of(&long), names.of(&long)].map(|name| name.len()), [60, 62]);
    }

    #[test]
    fn a_literal_cannot_be_left() {
        assert_eq!(quoted("a' or 'b"), "'a'' or ''b'");
    }

    #[test]
    fn crowded_points_are_spread() {
        let line = |tokens: &[f64]| {
            let points = tokens.iter().map(|tokens| (*tokens, 1.0)).collect();
            [MetricOfRun { run: "r".to_owned(), points, errors: Vec::new() }]
        };
        let equal: Vec<f64> = (1..=200).map(f64::from).collect();
        let doubled: Vec<f64> = (0..20).map(|at| f64::from(1 << at)).collect();
        assert_eq!(x_scale(&line(&equal)), Scale::Linear);
        assert_eq!(x_scale(&line(&doubled)), Scale::Log);
        assert_eq!(x_scale(&line(&[&[0.0], &doubled[..]].concat())), Scale::Linear);
        assert_eq!(x_scale(&[]), Scale::Linear);
    }
}

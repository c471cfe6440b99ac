//! What a report says, once for both of its forms: the page and its Markdown.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};
use retrace_spec::foreign::shown_lines;

use crate::ReportError;
use crate::plot::{Bars, Chart};

/// A section.
pub(super) struct Section {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) lead: String,
    pub(super) blocks: Vec<Block>,
}

/// A part of a section.
pub(super) enum Block {
    Heading(String),
    Text(String),
    List(Vec<String>),
    Table(Table),
    Code(String),
    Figures(Vec<Figure>),
    /// A figure with what is said beside it.
    Beside(Figure, Vec<Self>),
}

/// A table.
#[derive(Default)]
pub(super) struct Table {
    /// The names of the columns, and whether each has numbers.
    columns: Vec<(&'static str, bool)>,
    rows: Vec<Vec<String>>,
}

/// A figure and the name of the CSV file that has its data, without its ending.
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) drawing: Drawing,
    pub(super) caption: &'static str,
    pub(super) csv: String,
}

/// What a figure shows.
pub(super) enum Drawing {
    Chart(Chart),
    Bars(Bars),
}

impl Drawing {
    fn title(&self) -> &str {
        match self {
            Self::Chart(chart) => &chart.title,
            Self::Bars(bars) => &bars.title,
        }
    }

    fn svg(&self) -> Result<String, ReportError> {
        match self {
            Self::Chart(chart) => chart.svg(),
            Self::Bars(bars) => bars.svg(),
        }
    }
}

impl Table {
    /// A table whose columns named in `texts` have texts, and those named in `numbers`, which follow, numbers.
    pub(super) fn new(texts: &[&'static str], numbers: &[&'static str]) -> Self {
        let columns = texts.iter().map(|name| (*name, false)).chain(numbers.iter().map(|name| (*name, true)));
        Self { columns: columns.collect(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each column.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Section {
    /// The section as a part of a page; with `data`, the CSV files of figures are beside it.
    pub(super) fn html(&self, data: bool) -> Result<Markup, ReportError> {
        let blocks = self.blocks.iter().map(|block| block.html(data)).collect::<Result<Vec<_>, _>>()?;
        let body = html! { @for block in &blocks { (block) } };
        Ok(crate::sections::section(self.id, self.title, &html! { (self.lead) }, &body))
    }

    /// The section as Markdown, with the names of the figures' CSV files instead of the drawings.
    pub(super) fn markdown(&self) -> String {
        let mut out = format!("## {}\n\n{}\n\n", self.title, inline(&self.lead));
        self.blocks.iter().for_each(|block| block.markdown(&mut out));
        out
    }

    /// Its blocks, below its title, as a part of another section.
    pub(super) fn under_its_title(self) -> Vec<Block> {
        let mut blocks = vec![Block::Heading(self.title.to_owned()), Block::Text(self.lead)];
        blocks.extend(self.blocks);
        blocks
    }

    /// Its figures.
    pub(super) fn figures(&self) -> impl Iterator<Item = &Figure> {
        self.blocks.iter().flat_map(|block| match block {
            Block::Figures(figures) => figures.as_slice(),
            Block::Beside(figure, _) => std::slice::from_ref(figure),
            _ => &[],
        })
    }
}

impl Block {
    fn html(&self, data: bool) -> Result<Markup, ReportError> {
        Ok(match self {
            Self::Heading(text) => html! { div.benchmark { h3 { (text) } } },
            Self::Text(text) => html! { p { (text) } },
            Self::List(items) => html! { ul.findings { @for item in items { li { (item) } } } },
            Self::Code(text) => html! { pre { code { (text) } } },
            Self::Table(table) => html! {
                div.scroll {
                    table {
                        thead { tr { @for (name, number) in &table.columns { th.num[*number] { (name) } } } }
                        tbody {
                            @for row in &table.rows {
                                tr {
                                    @for (cell, (_, number)) in row.iter().zip(&table.columns) { td.num[*number] { (cell) } }
                                }
                            }
                        }
                    }
                }
            },
            Self::Figures(figures) => {
                let figures = figures.iter().map(|figure| figure.html(data)).collect::<Result<Vec<_>, _>>()?;
                html! { div.figures { @for figure in &figures { (figure) } } }
            }
            Self::Beside(figure, blocks) => {
                let blocks = blocks.iter().map(|block| block.html(data)).collect::<Result<Vec<_>, _>>()?;
                html! { div.figures.beside { (figure.html(data)?) div.words { @for block in &blocks { (block) } } } }
            }
        })
    }

    fn markdown(&self, out: &mut String) {
        let written = match self {
            Self::Heading(text) => writeln!(out, "### {}\n", inline(text)),
            Self::Text(text) => writeln!(out, "{}\n", inline(text)),
            Self::List(items) => {
                items.iter().for_each(|item| *out += &format!("- {}\n", inline(item)));
                writeln!(out)
            }
            Self::Code(text) => {
                // A fence is longer than any in the text.
                let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
                let fence = "`".repeat(longest.max(2) + 1);
                writeln!(out, "{fence}\n{}\n{fence}\n", shown_lines(text))
            }
            Self::Table(table) => {
                let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
                *out += &line(table.columns.iter().map(|(name, _)| inline(name)).collect());
                *out +=
                    &line(table.columns.iter().map(|(_, number)| if *number { "--:" } else { "---" }.into()).collect());
                table.rows.iter().for_each(|row| *out += &line(row.iter().map(|cell| inline(cell)).collect()));
                writeln!(out)
            }
            Self::Figures(figures) => {
                figures.iter().for_each(|figure| *out += &format!("- {}\n", figure.named()));
                writeln!(out)
            }
            Self::Beside(figure, blocks) => {
                let written = writeln!(out, "- {}\n", figure.named());
                blocks.iter().for_each(|block| block.markdown(out));
                written
            }
        };
        // Writing into a text does not fail.
        debug_assert!(written.is_ok(), "written");
    }
}

impl Figure {
    /// The name of its CSV file.
    pub(super) fn file(&self) -> String {
        format!("{}.csv", self.name)
    }

    fn html(&self, data: bool) -> Result<Markup, ReportError> {
        let file = self.file();
        Ok(html! {
            figure {
                figcaption {
                    strong { (self.drawing.title()) } " " (self.caption)
                    @if data { br; small { "Data: " a href=(file) { (file) } } }
                }
                (PreEscaped(self.drawing.svg()?))
            }
        })
    }

    fn named(&self) -> String {
        format!("{}: {} Data: {}", inline(self.drawing.title()), inline(self.caption), inline(&self.file()))
    }
}

/// A text in one line of Markdown that shows each of its characters.
fn inline(text: &str) -> String {
    let mut out = String::new();
    for c in shown_lines(text).chars() {
        match c {
            '\n' => out.push(' '),
            '\\' | '`' | '*' | '<' | '|' | '[' | '~' | '#' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_no_cell_and_begins_no_markup() {
        assert_eq!(inline("a|b\n<i> [x] `c`\u{202e}"), "a\\|b \\<i> \\[x] \\`c\\`\\\\u{202e}");
        let mut table = Table::new(&["Law"], &["Value"]);
        table.row(["a|b".to_owned(), "1".to_owned()]);
        let mut out = String::new();
        Block::Table(table).markdown(&mut out);
        assert_eq!(out, "| Law | Value |\n| --- | --: |\n| a\\|b | 1 |\n\n");
        out.clear();
        Block::Code("select ```x```".to_owned()).markdown(&mut out);
        assert_eq!(out, "````\nselect ```x```\n````\n\n");
    }
}

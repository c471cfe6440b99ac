//! The chart for an answer's columns.
//!
//! - A column called `tokens` or `step`, the first of them, is the x axis: tokens on a logarithmic scale, if they span
//!   a factor of ten. Each combination of the texts (and of `shots`) is a line, named by the texts that are not the
//!   same in all rows. The first other column of numbers is the y axis; if nothing names a line, every other column of
//!   numbers is a separate line.
//! - Without such a column, if the texts are different in each row, each row is a bar.
//! - Otherwise the first two columns of numbers are points; a single one is drawn by row number.
//!
//! `stderr` is never an axis: it gives the error bars. At most twelve lines and thirty bars are drawn, and the number
//! of those left out is stated, also on the chart.

use std::collections::BTreeMap;

use retrace_query::Answer;

use super::pen::shortened;
use super::{Axis, Bar, Bars, Chart, MARK, SERIES, Scale, Series, Style, escaped};
use crate::ReportError;

/// The maximum number of lines: with more, neither colours nor labels can be distinguished.
const LINES: usize = 2 * SERIES.len();

/// The maximum number of bars.
const BARS: usize = 30;

/// The maximum length of the name of a line, and of a bar.
const LINE_NAME: usize = 24;
const BAR_NAME: usize = 30;

/// With more points than this, a line has no markers.
const MARKED: usize = 40;

/// A chart of an answer.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// The chart, a complete SVG document.
    pub svg: String,
    /// The part of the answer that is not drawn.
    pub notes: Vec<String>,
}

/// Draws an answer according to its columns; `title` is read aloud to readers who cannot see the chart.
///
/// # Errors
/// If it has no rows, or no column of numbers.
pub fn of_answer(answer: &Answer, title: &str) -> Result<Drawn, ReportError> {
    let columns = Columns::of(answer)?;
    let mut notes = Vec::new();
    let names = columns.names(answer)?;
    let distinct = names.iter().collect::<std::collections::BTreeSet<_>>().len();
    let named = names.iter().any(|name| !name.is_empty());
    let (svg, size) = match (&columns.x, columns.ys.as_slice()) {
        (None, [y, ..]) if named && distinct == names.len() => bars(answer, y, &columns, &names, title, &mut notes)?,
        _ => lines(answer, &columns, &names, title, &mut notes)?,
    };
    Ok(Drawn { svg: standing_alone(&svg, size, &notes), notes })
}

/// The use of each column.
struct Columns {
    x: Option<String>,
    ys: Vec<String>,
    stderr: Option<String>,
    /// The columns that name a line or bar.
    naming: Vec<String>,
}

impl Columns {
    fn of(answer: &Answer) -> Result<Self, ReportError> {
        let mut found = Self { x: None, ys: Vec::new(), stderr: None, naming: Vec::new() };
        for column in answer.columns() {
            match column.name.as_str() {
                "tokens" | "step" if column.numeric => found.x = found.x.or(Some(column.name)),
                "stderr" if column.numeric => found.stderr = Some(column.name),
                "shots" => found.naming.push(column.name),
                _ if column.numeric => found.ys.push(column.name),
                _ if column.kind.starts_with("Utf8") || column.kind == "LargeUtf8" => found.naming.push(column.name),
                _ => {}
            }
        }
        if answer.rows() == 0 {
            return Err(ReportError::NotDrawn("it has no rows".to_owned()));
        }
        if found.ys.is_empty() {
            // A single x alone is all that can be drawn.
            found.ys.extend(found.x.take().or(found.stderr.take()));
        }
        if found.ys.is_empty() {
            return Err(ReportError::NotDrawn("it has no column of numbers".to_owned()));
        }
        Ok(found)
    }

    /// The name of each row: the values of its naming columns, except those that are the same in all rows.
    fn names(&self, answer: &Answer) -> Result<Vec<String>, ReportError> {
        let mut parts: Vec<Vec<String>> = Vec::new();
        for name in &self.naming {
            let texts = answer.texts(name)?;
            if texts.windows(2).any(|pair| pair[0] != pair[1]) {
                let shown =
                    |text: String| if name == "shots" && !text.is_empty() { format!("{text}-shot") } else { text };
                parts.push(texts.into_iter().map(shown).collect());
            } else if self.naming.len() == 1 && answer.rows() == 1 {
                parts.push(texts);
            }
        }
        let name = |row: usize| {
            let texts = parts.iter().filter_map(|texts| texts.get(row)).filter(|text| !text.is_empty());
            texts.map(String::as_str).collect::<Vec<_>>().join(" ")
        };
        Ok((0..answer.rows()).map(name).collect())
    }
}

fn bars(
    answer: &Answer,
    y: &str,
    columns: &Columns,
    names: &[String],
    title: &str,
    notes: &mut Vec<String>,
) -> Result<(String, (i32, i32)), ReportError> {
    let errors = columns.stderr.as_ref().map(|stderr| answer.floats(stderr)).transpose()?;
    let values = answer.floats(y)?;
    let bar = |(row, (name, value)): (usize, (&String, &f64))| Bar {
        label: shortened(name, BAR_NAME),
        value: *value,
        error: errors.as_ref().and_then(|errors| errors.get(row)).copied(),
    };
    let bars: Vec<Bar> = names.iter().zip(&values).enumerate().take(BARS).map(bar).collect();
    if names.len() > BARS {
        notes.push(format!("the first {BARS} of {} rows", names.len()));
    }
    let chart = Bars { title: title.to_owned(), label: label(y), bars };
    let svg = chart.svg()?;
    let size = size_of(&svg);
    Ok((svg, size))
}

fn lines(
    answer: &Answer,
    columns: &Columns,
    names: &[String],
    title: &str,
    notes: &mut Vec<String>,
) -> Result<(String, (i32, i32)), ReportError> {
    let named = names.iter().any(|name| !name.is_empty());
    let mut ys = columns.ys.as_slice();
    let (x, x_label, along) = match &columns.x {
        Some(x) => (answer.floats(x)?, label(x), true),
        None if ys.len() > 1 => {
            let x = &columns.ys[0];
            ys = &columns.ys[1..];
            (answer.floats(x)?, label(x), false)
        }
        None => ((1..=answer.rows()).map(|row| row as f64).collect(), "row".to_owned(), true),
    };
    // Names already distinguish the lines: then there is one y. Points have only one too.
    if named || !along {
        ys = ys.get(..1).unwrap_or_default();
    }
    let errors = columns.stderr.as_ref().filter(|_| ys.len() == 1).map(|stderr| answer.floats(stderr)).transpose()?;
    let mut groups: BTreeMap<(usize, &str), Group> = BTreeMap::new();
    let mut order: Vec<(usize, &str)> = Vec::new();
    let mut odd = 0;
    for (at, y) in ys.iter().enumerate() {
        let name_of_all = if ys.len() > 1 { Some(y.as_str()) } else { None };
        for (row, value) in answer.floats(y)?.into_iter().enumerate() {
            let Some(x) = x.get(row) else { continue };
            if !(x.is_finite() && value.is_finite()) {
                odd += 1;
                continue;
            }
            let key = (at, name_of_all.or_else(|| names.get(row).map(String::as_str)).unwrap_or_default());
            let group = groups.entry(key).or_insert_with(|| {
                order.push(key);
                Group::default()
            });
            group.push((*x, value, errors.as_ref().and_then(|errors| errors.get(row)).copied()));
        }
    }
    if odd > 0 {
        notes.push(format!("{} without a finite number left out", points(odd)));
    }
    if order.len() > LINES {
        notes.push(format!("the first {LINES} of {} lines", order.len()));
    }
    let drawn: Vec<(&str, &Group)> =
        order.iter().take(LINES).filter_map(|key| Some((key.1, groups.get(key)?))).collect();
    let scale = x_scale(columns.x.as_deref(), &drawn);
    if scale == Scale::Log {
        let zeros = drawn.iter().flat_map(|(_, group)| group.iter()).filter(|point| point.0 <= 0.0).count();
        if zeros > 0 {
            notes.push(format!("{} at 0 {x_label} left out", points(zeros)));
        }
    }
    let few = drawn.iter().all(|(_, group)| group.len() <= MARKED);
    let series = drawn.iter().enumerate().map(|(at, (name, group))| {
        let mut points = (*group).clone();
        if along {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        let style = match (along, points.len()) {
            (false, _) | (true, 1) => Style::Points,
            // The colours are used up: the same again, dashed.
            _ if at >= SERIES.len() => Style::Dashed,
            _ if few && drawn.len() <= SERIES.len() => Style::Both,
            _ => Style::Line,
        };
        let with_errors = points.iter().any(|point| point.2.is_some()) && few && drawn.len() <= 3;
        Series {
            label: if drawn.len() > 1 { shortened(name, LINE_NAME) } else { String::new() },
            errors: if with_errors { points.iter().map(|p| p.2.unwrap_or(f64::NAN)).collect() } else { Vec::new() },
            points: points.into_iter().map(|(x, y, _)| (x, y)).collect(),
            style,
            colour: at,
        }
    });
    let y_label = match ys {
        [y] => label(y),
        several => shortened(&several.iter().map(|y| label(y)).collect::<Vec<_>>().join(", "), 2 * BAR_NAME),
    };
    let whole = drawn.iter().flat_map(|(_, group)| group.iter()).all(|point| point.0.fract() == 0.0);
    let chart = Chart {
        title: title.to_owned(),
        x: Axis { label: x_label, scale, whole },
        y: Axis { label: y_label, scale: Scale::Linear, whole: false },
        series: series.collect(),
        marks: Vec::new(),
    };
    let svg = chart.svg()?;
    let size = size_of(&svg);
    Ok((svg, size))
}

fn points(number: usize) -> String {
    format!("{number} point{}", if number == 1 { "" } else { "s" })
}

/// Points with their errors.
type Group = Vec<(f64, f64, Option<f64>)>;

/// Tokens are on a logarithmic scale if they span a factor of ten; all other axes are linear.
fn x_scale(x: Option<&str>, drawn: &[(&str, &Group)]) -> Scale {
    let above = drawn.iter().flat_map(|(_, group)| group.iter()).map(|point| point.0).filter(|x| *x > 0.0);
    let (low, high) = above.fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), x| (low.min(x), high.max(x)));
    if x == Some("tokens") && high >= 10.0 * low { Scale::Log } else { Scale::Linear }
}

/// The label of an axis: the column's name as words, with the unit of our own tables' columns.
fn label(column: &str) -> String {
    match column {
        "loss" | "smooth_loss" => format!("{} (nats a token)", column.replace('_', " ")),
        "log_likelihood" => "log-likelihood (nats)".to_owned(),
        "size" => "size (bytes)".to_owned(),
        _ => shortened(&column.replace('_', " "), 2 * BAR_NAME),
    }
}

/// The display size of one of our documents.
fn size_of(svg: &str) -> (i32, i32) {
    let view = svg.split("viewBox=\"0 0 ").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let mut sizes = view.split(' ').filter_map(|size| size.parse().ok());
    (sizes.next().unwrap_or(0), sizes.next().unwrap_or(0))
}

/// A chart that is not on a page: on white, with a margin, and a note in a corner about what was left out.
fn standing_alone(svg: &str, (width, height): (i32, i32), notes: &[String]) -> String {
    const MARGIN: i32 = 24;
    let (tag, body) = svg.split_once(">\n").unwrap_or(("", svg));
    let (wide, high) = (width + 2 * MARGIN, height + 2 * MARGIN);
    let tag = tag
        .replace(&format!("width=\"{}\"", width / 2), &format!("width=\"{}\"", wide / 2))
        .replace(&format!("height=\"{}\"", height / 2), &format!("height=\"{}\"", high / 2))
        .replace(&format!("0 0 {width} {height}"), &format!("{} {} {wide} {high}", -MARGIN, -MARGIN));
    let body = body.trim_end().strip_suffix("</svg>").unwrap_or(body);
    let note = match notes {
        [] => String::new(),
        notes => format!(
            "<text x=\"{width}\" y=\"{}\" text-anchor=\"end\" font-size=\"22\" fill=\"{MARK}\">{}</text>\n",
            height - 10,
            escaped(&notes.join("; "))
        ),
    };
    let ground = format!("<rect x=\"-{MARGIN}\" y=\"-{MARGIN}\" width=\"{wide}\" height=\"{high}\" fill=\"#FFFFFF\"/>");
    format!("{tag}>\n{ground}\n{body}{note}</svg>\n")
}

#[cfg(test)]
mod tests {
    use retrace_query::Session;

    use super::*;

    /// The chart of a query's answer, without tables.
    fn draw(sql: &str) -> Result<Drawn, ReportError> {
        of_answer(&Session::open(&[])?.run(sql)?, "T")
    }

    fn words(svg: &str) -> Vec<&str> {
        svg.split("<text ")
            .skip(1)
            .filter_map(|text| text.split_once('>')?.1.split("</text>").next())
            .map(str::trim)
            .collect()
    }

    #[test]
    fn columns_say_what_is_drawn() {
        // The x axis is chosen by name, shots and the text that differs name the lines, stderr is not an axis.
        let sql = "select * from (values ('r', 0, 10, 'a', 0.5, 0.1), ('r', 5, 10, 'a', 0.6, 0.1), ('r', 0, 2000, 'a', 0.7, 0.1), \
                   ('r', 5, 2000, 'a', 0.8, 0.1)) as t (release, shots, tokens, run, value, stderr)";
        let drawn = draw(sql).unwrap();
        let said = words(&drawn.svg);
        for word in ["tokens", "value", "0-shot", "5-shot", "100", "1k"] {
            assert!(said.contains(&word), "{word} is not in {said:?}");
        }
        assert!(!said.contains(&"r") && drawn.notes.is_empty(), "{said:?} {:?}", drawn.notes);
        // Nothing names a line: every other column of numbers is one.
        let said = draw("select * from (values (1, 2.0, 3.0), (2, 3.0, 1.0)) as t (step, a, b)").unwrap().svg;
        assert!(["step", "a", "b", "a, b"].iter().all(|word| words(&said).contains(word)), "{:?}", words(&said));
        // Each row has a unique name: bars, even if a value cannot be drawn.
        let drawn = draw("select * from (values ('x', 'p', 1.5), ('x', 'q', null)) as t (run, task, lost)").unwrap();
        let said = words(&drawn.svg);
        assert!(["p", "q", "1.50", "none", "lost"].iter().all(|word| said.contains(word)), "{said:?}");
        assert!(drawn.svg.contains("<rect "));
        // Two columns of numbers and no name: points.
        let drawn = draw("select * from (values (1.0, 2.0), (0.5, 3.0)) as t (params, loss)").unwrap();
        assert_eq!(drawn.svg.matches("<circle ").count(), 2);
    }

    #[test]
    fn what_is_left_out_is_said() {
        let many = "select i % 40 as step, cast(i / 40 as varchar) as run, cast(i as double) as value from \
                    (select unnest(range(0, 1600)) as i)";
        let drawn = draw(many).unwrap();
        assert_eq!(drawn.notes, ["the first 12 of 40 lines"]);
        assert!(words(&drawn.svg).contains(&"the first 12 of 40 lines"));
        let bars =
            "select cast(i as varchar) as task, cast(i as double) as value from (select unnest(range(0, 31)) as i)";
        assert_eq!(draw(bars).unwrap().notes, ["the first 30 of 31 rows"]);
        let odd = "select * from (values (0, 1.0), (10, 'NaN'::double), (10, 2.0), (100, null), (1000, 3.0)) as t (tokens, value)";
        assert_eq!(
            draw(odd).unwrap().notes,
            ["2 points without a finite number left out", "1 point at 0 tokens left out"]
        );
        assert!(draw("select 'a' as b").is_err() && draw("select 1 as n where false").is_err());
        assert!(draw("select 1 as step, 'NaN'::double as value").is_err());
        assert!(draw("select 1 as step").is_ok() && draw("select 1 as n").is_ok());
    }

    #[test]
    fn a_long_name_keeps_both_ends() {
        assert_eq!(shortened("abcdefghij", 10), "abcdefghij");
        assert_eq!(shortened("pythia-160m-deduped-step143000", 11), "pythi…43000");
    }

    #[test]
    fn a_picture_is_the_same_each_time() {
        let svg = draw("select * from (values (1, 2.0), (2, 3.0)) as t (step, \"a<&\")").unwrap().svg;
        let png = |svg: &str| super::super::png(svg, &|_| None);
        assert!(png(&svg).unwrap().bytes.starts_with(b"\x89PNG") && png(&svg).unwrap() == png(&svg).unwrap());
        for bad in ["", "<svg", "<html/>", "<svg xmlns='http://www.w3.org/2000/svg' width='1e9' height='1e9'/>"] {
            assert!(png(bad).is_err(), "{bad}");
        }
    }
}

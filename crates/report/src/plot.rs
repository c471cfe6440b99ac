//! Charts as SVG: lines and points on linear or logarithmic axes, labelled at their ends.
//!
//! A chart is drawn at twice its size, so that plotters' whole pixels become half pixels. The axes are our own,
//! because plotters' logarithms are the platform's. [`of_answer`] chooses the chart for an answer's columns. There are
//! only a few fixed colours, which a page may override by attribute (`svg [stroke="#0072B2"]`) for a dark theme.

mod answer;
mod bars;
mod heat;
mod pen;
mod png;
mod ruler;

use plotters::style::RGBColor;
use plotters::style::text_anchor::{HPos, VPos};
use retrace_spec::foreign::shown;
use retrace_spec::guard;

use crate::ReportError;

pub use answer::{Drawn, of_answer};
pub use bars::{Bar, Bars};
pub use heat::{HEAT, HeatMap};
pub use png::{Fonts, Png, png};

pub(crate) use pen::shortened;
use pen::{Pen, TEXT, colour, wide};
use ruler::{Ruler, on};

/// Colours of series that people with colour blindness can distinguish (after Okabe and Ito, 2008, darkened where thin
/// lines on white would be faint).
pub const SERIES: [&str; 6] = ["#0072B2", "#D55E00", "#007A5E", "#9B4F96", "#A87B00", "#56687A"];

/// Their colours as text: darker where small text on white would be faint.
pub const SERIES_TEXT: [&str; 6] = ["#0072B2", "#B84F00", "#007A5E", "#9B4F96", "#8A6500", "#56687A"];

/// The colour of text.
pub const INK: &str = "#3B434C";

/// The colour of the grid.
pub const GRID: &str = "#E4E7EB";

/// The colour of marks.
pub const MARK: &str = "#7A838E";

/// The same as text.
pub const MARK_TEXT: &str = "#66707B";

/// Width and height in drawn pixels: twice the displayed size.
const SIZE: (i32, i32) = (960, 620);

/// The scale of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Linear.
    Linear,
    /// Logarithmic.
    Log,
}

/// An axis.
#[derive(Debug, Clone)]
pub struct Axis {
    /// The quantity and its unit.
    pub label: String,
    /// The scale.
    pub scale: Scale,
    /// Whether it counts something: then only integers are labelled.
    pub whole: bool,
}

/// The style of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A line.
    Line,
    /// A dashed line.
    Dashed,
    /// Points.
    Points,
    /// A line with points.
    Both,
}

/// Points that belong together.
#[derive(Debug, Clone)]
pub struct Series {
    /// The label at its end, or for points in the order of the series; none, if empty.
    pub label: String,
    /// (x, y), in the order of the line.
    pub points: Vec<(f64, f64)>,
    /// The length of the error bars above and below each point; none, if empty.
    pub errors: Vec<f64>,
    /// Its style.
    pub style: Style,
    /// The index of its colour in [`SERIES`], modulo the number of colours.
    pub colour: usize,
}

/// A marked value.
#[derive(Debug, Clone)]
pub enum Mark {
    /// A dashed line across the chart, at a value of x.
    X(f64, String),
    /// The same at a value of y.
    Y(f64, String),
    /// A short line on the horizontal axis, at a value of x.
    Tick(f64),
}

/// A chart.
#[derive(Debug, Clone)]
pub struct Chart {
    /// Its description; read aloud to readers who cannot see it.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The series.
    pub series: Vec<Series>,
    /// The marked values.
    pub marks: Vec<Mark>,
}

impl Chart {
    /// The chart as an SVG document. Values outside the domain of an axis are left out.
    ///
    /// # Errors
    /// If no point is left.
    pub fn svg(&self) -> Result<String, ReportError> {
        let shown = |(x, y): &(f64, f64)| on(self.x.scale, *x) && on(self.y.scale, *y);
        let all = || self.series.iter().flat_map(|series| series.points.iter().copied()).filter(shown);
        let bars = self.series.iter().flat_map(|series| {
            let ends = |((_, y), e): (&(f64, f64), &f64)| [y - e, y + e];
            series.points.iter().filter(|point| shown(point)).zip(&series.errors).flat_map(ends)
        });
        let (mut xs, mut ys): (Vec<f64>, Vec<f64>) = all().unzip();
        for mark in &self.marks {
            match mark {
                Mark::X(at, _) | Mark::Tick(at) => xs.push(*at),
                Mark::Y(at, _) => ys.push(*at),
            }
        }
        ys.extend(bars);
        if all().next().is_none() {
            return Err(ReportError::Empty(self.title.clone()));
        }
        let x = Ruler::of(&self.x, xs, 0.02);
        let y = Ruler::of(&self.y, ys, 0.06);
        let mut svg = String::new();
        drawn(&self.title, || self.draw(&mut svg, x, y))?;
        Ok(document(&svg, &self.described(), SIZE))
    }

    /// The title, the axes and the series, for those who cannot see the chart.
    fn described(&self) -> String {
        const NAMED: usize = 12;
        let mut names: Vec<&str> = Vec::new();
        for series in self.series.iter().filter(|series| !series.label.is_empty()) {
            if !names.contains(&series.label.as_str()) {
                names.push(&series.label);
            }
        }
        let named = names.get(..NAMED).unwrap_or(&names).join(", ");
        let more = if names.len() > NAMED { format!(" and {} more", names.len() - NAMED) } else { String::new() };
        let of = if names.is_empty() { String::new() } else { format!(": {named}{more}") };
        let (title, x, y) = (self.title.trim_end_matches('.'), &self.x.label, &self.y.label);
        format!("{title}. Vertical: {y}. Horizontal: {x}. {} series{of}.", names.len().max(1))
    }

    fn draw(&self, svg: &mut String, x: Ruler, y: Ruler) -> Result<(), String> {
        let left = y.ticks.iter().map(|tick| wide(&y.label(*tick))).max().unwrap_or(0) + 22;
        let beside =
            self.series.iter().map(|series| &series.label).chain(self.marks.iter().filter_map(|mark| match mark {
                Mark::Y(_, label) => Some(label),
                Mark::X(..) | Mark::Tick(_) => None,
            }));
        let right = beside.map(|label| wide(label)).max().unwrap_or(0) + 28;
        let (area_x, area_y) = ((left, SIZE.0 - right), (52, SIZE.1 - 86));
        let pen = Pen::new(svg, SIZE);
        let ink = colour(INK);
        for tick in &y.ticks {
            let at = y.map(*tick, (area_y.1, area_y.0));
            pen.line((area_x.0, at), (area_x.1, at), colour(GRID), 2)?;
            pen.text(&y.label(*tick), (area_x.0 - 12, at), HPos::Right, VPos::Center, ink)?;
        }
        pen.line((area_x.0, area_y.1), (area_x.1, area_y.1), colour(MARK), 2)?;
        for tick in &x.ticks {
            let at = x.map(*tick, area_x);
            pen.line((at, area_y.1), (at, area_y.1 + 8), colour(MARK), 2)?;
            pen.text(&x.label(*tick), (at, area_y.1 + 14), HPos::Center, VPos::Top, ink)?;
        }
        pen.text(&self.y.label, (0, 4), HPos::Left, VPos::Top, ink)?;
        pen.text(&self.x.label, (area_x.0, SIZE.1 - 34), HPos::Left, VPos::Top, ink)?;
        let mut labels: Vec<Label<'_>> = Vec::new();
        let mut of_points: Vec<Label<'_>> = Vec::new();
        for mark in &self.marks {
            match mark {
                Mark::X(value, label) => {
                    let at = x.map(*value, area_x);
                    pen.dashed([(at, area_y.0), (at, area_y.1)], colour(MARK), 2)?;
                    pen.text(label, (at + 8, area_y.0), HPos::Left, VPos::Top, colour(MARK_TEXT))?;
                }
                Mark::Y(value, label) => {
                    let at = y.map(*value, (area_y.1, area_y.0));
                    pen.dashed([(area_x.0, at), (area_x.1, at)], colour(MARK), 2)?;
                    labels.push((at, label, colour(MARK_TEXT)));
                }
                Mark::Tick(value) => {
                    let at = x.map(*value, area_x);
                    pen.line((at, area_y.1 - 16), (at, area_y.1), colour(MARK), 2)?;
                }
            }
        }
        for series in &self.series {
            let text = colour(SERIES_TEXT[series.colour % SERIES_TEXT.len()]);
            let colour = colour(SERIES[series.colour % SERIES.len()]);
            let place = |(a, b): (f64, f64)| (x.map(a, area_x), y.map(b, (area_y.1, area_y.0)));
            let shown = |point: &&(f64, f64)| on(x.scale, point.0) && on(y.scale, point.1);
            let places: Vec<(i32, i32)> = series.points.iter().filter(shown).map(|point| place(*point)).collect();
            for ((a, b), error) in series.points.iter().zip(&series.errors) {
                if shown(&&(*a, *b)) && error.is_finite() {
                    let lowest = if y.scale == Scale::Log { (b - error).max(b / 1e3) } else { b - error };
                    pen.line(place((*a, lowest)), place((*a, b + error)), colour, 2)?;
                }
            }
            match series.style {
                Style::Line | Style::Both => {
                    pen.path(thinned(&places), colour, 4)?;
                }
                Style::Dashed => pen.dashed(places.iter().copied(), colour, 3)?,
                Style::Points => {}
            }
            if matches!(series.style, Style::Points | Style::Both) {
                for at in &places {
                    pen.dot(*at, 7, colour)?;
                }
            }
            if let Some((_, last)) = places.last().filter(|_| !series.label.is_empty()) {
                match series.style {
                    Style::Points => of_points.push((*last, &series.label, text)),
                    _ => labels.push((*last, &series.label, text)),
                }
            }
        }
        labels.extend(in_order(&of_points));
        let heights: Vec<i32> = labels.iter().map(|(at, ..)| *at).collect();
        for ((_, label, colour), at) in labels.iter().zip(apart(&heights, TEXT + 5, area_y)) {
            pen.text(label, (area_x.1 + 14, at), HPos::Left, VPos::Center, *colour)?;
        }
        pen.end()
    }
}

/// The height at which a series is labelled, its label and its colour.
type Label<'a> = (i32, &'a str, RGBColor);

/// Points have no end: their labels are a list in the order of the series, at the same heights.
fn in_order<'a>(labels: &[Label<'a>]) -> Vec<Label<'a>> {
    let mut heights: Vec<i32> = labels.iter().map(|(at, ..)| *at).collect();
    heights.sort_unstable();
    heights.into_iter().zip(labels).map(|(at, (_, label, colour))| (at, *label, *colour)).collect()
}

/// Draws, with text that may be untrusted.
fn drawn(title: &str, draw: impl FnOnce() -> Result<(), String>) -> Result<(), ReportError> {
    let drawn = guard(draw).unwrap_or_else(|gave_up| Err(gave_up.to_string()));
    drawn.map_err(|what| ReportError::Plot { title: title.to_owned(), what })
}

/// The drawing as a separate SVG document: displayed at half its size, with a text description, which plotters'
/// opening tag does not have.
fn document(svg: &str, title: &str, (width, height): (i32, i32)) -> String {
    let body = svg.split_once(">\n").map_or("", |(_, body)| body);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {width} {height}\" \
         role=\"img\" aria-label=\"{}\" font-family=\"sans-serif\">\n{body}",
        width / 2,
        height / 2,
        escaped(title)
    )
}

/// A line reduced to at most four points per pixel column: its first, lowest, highest and last, which looks the same.
fn thinned(places: &[(i32, i32)]) -> Vec<(i32, i32)> {
    let mut line = Vec::new();
    for column in places.chunk_by(|a, b| a.0 == b.0) {
        let (Some(first), Some(last)) = (column.first(), column.last()) else { continue };
        let heights = column.iter().map(|place| place.1);
        let (low, high) = (heights.clone().min().unwrap_or(first.1), heights.max().unwrap_or(first.1));
        for place in [*first, (first.0, low), (first.0, high), *last] {
            if line.last() != Some(&place) {
                line.push(place);
            }
        }
    }
    line
}

/// Positions near `wanted`, in the same order, at least `gap` apart and, if there is space, in `area`.
fn apart(wanted: &[i32], gap: i32, area: (i32, i32)) -> Vec<i32> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|at| wanted[*at]);
    let mut places = wanted.to_vec();
    // From the top down, then from the bottom up: the second pass keeps the gaps of the first.
    let mut free = area.0;
    for at in &order {
        places[*at] = places[*at].max(free);
        free = places[*at] + gap;
    }
    let mut free = area.1;
    for at in order.iter().rev() {
        places[*at] = places[*at].min(free);
        free = places[*at] - gap;
    }
    places
}

/// A text in SVG. XML cannot represent most control characters.
fn escaped(text: &str) -> String {
    shown(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>, scale: Scale) -> Chart {
        let axis = || Axis { label: "a < b".to_owned(), scale, whole: false };
        let style = if points.len() > 9 { Style::Line } else { Style::Both };
        let series = Series { label: "one".to_owned(), points, errors: Vec::new(), style, colour: 0 };
        Chart { title: "\"T\"".to_owned(), x: axis(), y: axis(), series: vec![series], marks: Vec::new() }
    }

    #[test]
    fn the_page_overrides_every_colour() {
        let css = include_str!("style.css");
        for colour in SERIES.iter().chain([&MARK]) {
            assert!(
                css.contains(&format!("svg [stroke=\"{colour}\"]"))
                    && css.contains(&format!("svg [fill=\"{colour}\"]"))
            );
        }
        assert!(css.contains(&format!("svg [fill=\"{INK}\"]")) && css.contains(&format!("svg [stroke=\"{GRID}\"]")));
    }

    #[test]
    fn any_points_make_a_chart_or_a_clear_error() {
        for scale in [Scale::Linear, Scale::Log] {
            for points in [
                vec![(1.0, 1.0)],
                vec![(1e-300, 1e300), (1.0, 2.0)],
                vec![(1.0, 5.0), (2.0, 5.0)],
                vec![(f64::NAN, 1.0), (1.0, f64::INFINITY), (3.0, 4.0), (-1.0, 0.5)],
                (1..100_000).map(|n| (f64::from(n), f64::from(n % 7) + 1.0)).collect(),
            ] {
                let svg = chart(points, scale).svg().unwrap();
                assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>") && svg.len() < 200_000);
                assert!(svg.contains("&quot;T&quot;") && svg.contains("a &lt; b") && !svg.contains("NaN"));
            }
            for points in [vec![], vec![(f64::NAN, 1.0)]] {
                assert!(matches!(chart(points, scale).svg(), Err(ReportError::Empty(_))));
            }
        }
        assert!(chart(vec![(0.0, 1.0)], Scale::Log).svg().is_err());
    }

    #[test]
    fn labels_part_and_stay_in_order() {
        assert_eq!(apart(&[100, 300], 30, (0, 600)), [100, 300]);
        let places = apart(&[590, 100, 595, 105, 592], 30, (0, 600));
        assert_eq!(places, [540, 100, 600, 130, 570]);
    }

    #[test]
    fn labels_of_points_are_in_the_order_of_the_series() {
        let colour = colour(INK);
        let labels = in_order(&[(300, "1M", colour), (100, "2M", colour), (200, "4M", colour)]);
        let found: Vec<(i32, &str)> = labels.iter().map(|(at, label, _)| (*at, *label)).collect();
        assert_eq!(found, [(100, "1M"), (200, "2M"), (300, "4M")]);
    }

    #[test]
    fn a_thinned_line_covers_the_same_pixels() {
        let dense: Vec<(i32, i32)> = (0..1000).map(|n| (n / 100, (n * 37) % 211)).collect();
        let line = thinned(&dense);
        assert!(line.len() <= 40);
        for column in 0..10 {
            let extent = |line: &[(i32, i32)]| {
                let heights: Vec<i32> = line.iter().filter(|p| p.0 == column).map(|p| p.1).collect();
                (
                    heights.first().copied(),
                    heights.iter().min().copied(),
                    heights.iter().max().copied(),
                    heights.last().copied(),
                )
            };
            assert_eq!(extent(&line), extent(&dense));
        }
    }
}

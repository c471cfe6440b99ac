//! Charts as SVG: lines and points on linear or logarithmic axes, labelled where they end.
//!
//! A chart is drawn at twice its size, so that plotters' whole pixels are half ones. Its axes are our
//! own: plotters' logarithms are the platform's. Its colours are
//! a fixed few, which a page may override by attribute (`svg [stroke="#0072B2"]`) for a dark theme.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::ReportError;
use crate::numbers::short;

/// Colours of series that people who see few colours can tell apart (after Okabe and Ito, 2008,
/// darkened where thin lines on white would be faint).
pub const SERIES: [&str; 6] = ["#0072B2", "#D55E00", "#007A5E", "#9B4F96", "#A87B00", "#56687A"];

/// The colour of words and numbers.
pub const INK: &str = "#3B434C";

/// The colour of the grid.
pub const GRID: &str = "#E4E7EB";

/// The colour of marks.
pub const MARK: &str = "#7A838E";

/// Width and height in drawn pixels: twice what they are shown at.
const SIZE: (i32, i32) = (960, 620);

/// Size of the words.
const TEXT: i32 = 27;

/// How values lie along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By their logarithm.
    Log,
}

/// An axis.
#[derive(Debug, Clone)]
pub struct Axis {
    /// What is measured, and in what.
    pub label: String,
    /// How values lie on it.
    pub scale: Scale,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A line.
    Line,
    /// A dashed line.
    Dashed,
    /// Points.
    Points,
    /// A line with points on it.
    Both,
}

/// Points that belong together.
#[derive(Debug, Clone)]
pub struct Series {
    /// What stands where it ends; nothing, if empty.
    pub label: String,
    /// (x, y), in the order of the line.
    pub points: Vec<(f64, f64)>,
    /// How far a bar reaches above and below each point; none, if empty.
    pub errors: Vec<f64>,
    /// How it is drawn.
    pub style: Style,
    /// Which of [`SERIES`] it has, counted round.
    pub colour: usize,
}

/// A dashed line across the chart.
#[derive(Debug, Clone)]
pub enum Mark {
    /// At a value of x.
    X(f64, String),
    /// At a value of y.
    Y(f64, String),
}

/// A chart.
#[derive(Debug, Clone)]
pub struct Chart {
    /// What it shows; read aloud where it cannot be seen.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is drawn.
    pub series: Vec<Series>,
    /// What is pointed out.
    pub marks: Vec<Mark>,
}

impl Chart {
    /// The chart as an SVG document. Values that an axis does not have are left out.
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
                Mark::X(at, _) => xs.push(*at),
                Mark::Y(at, _) => ys.push(*at),
            }
        }
        ys.extend(bars);
        if all().next().is_none() {
            return Err(ReportError::Empty(self.title.clone()));
        }
        let x = Ruler::new(self.x.scale, xs, 0.02);
        let y = Ruler::new(self.y.scale, ys, 0.06);
        let mut svg = String::new();
        self.draw(&mut svg, x, y).map_err(|what| ReportError::Plot { title: self.title.clone(), what })?;
        // plotters' opening tag has the drawn size, and no words for those who cannot see it.
        let body = svg.split_once(">\n").map_or("", |(_, body)| body);
        let (width, height) = SIZE;
        let title = escaped(&self.title);
        Ok(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {width} {height}\" \
             role=\"img\" aria-label=\"{title}\" font-family=\"sans-serif\">\n{body}",
            width / 2,
            height / 2
        ))
    }

    fn draw(&self, svg: &mut String, x: Ruler, y: Ruler) -> Result<(), String> {
        fn say(error: impl std::fmt::Display) -> String {
            error.to_string()
        }
        let wide = |text: &str| (text.chars().count() as f64 * f64::from(TEXT) * 0.56) as i32;
        let left = y.ticks.iter().map(|tick| wide(&y.label(*tick))).max().unwrap_or(0) + 22;
        let beside =
            self.series.iter().map(|series| &series.label).chain(self.marks.iter().filter_map(|mark| match mark {
                Mark::Y(_, label) => Some(label),
                Mark::X(..) => None,
            }));
        let right = beside.map(|label| wide(label)).max().unwrap_or(0) + 28;
        let (area_x, area_y) = ((left, SIZE.0 - right), (52, SIZE.1 - 86));
        let root = SVGBackend::with_string(svg, (SIZE.0 as u32, SIZE.1 as u32)).into_drawing_area();
        let ink = colour(INK);
        let text = |text: &str, at: (i32, i32), h: HPos, v: VPos, colour: RGBColor| {
            let style =
                TextStyle::from(("sans-serif", f64::from(TEXT) * 1.24).into_font()).color(&colour).pos(Pos::new(h, v));
            root.draw(&Text::new(text.to_owned(), at, style)).map_err(say)
        };
        let line = |from: (i32, i32), to: (i32, i32), colour: RGBColor, width: u32| {
            root.draw(&PathElement::new(vec![from, to], colour.stroke_width(width))).map_err(say)
        };
        for tick in &y.ticks {
            let at = y.map(*tick, (area_y.1, area_y.0));
            line((area_x.0, at), (area_x.1, at), colour(GRID), 2)?;
            text(&y.label(*tick), (area_x.0 - 12, at), HPos::Right, VPos::Center, ink)?;
        }
        line((area_x.0, area_y.1), (area_x.1, area_y.1), colour(MARK), 2)?;
        for tick in &x.ticks {
            let at = x.map(*tick, area_x);
            line((at, area_y.1), (at, area_y.1 + 8), colour(MARK), 2)?;
            text(&x.label(*tick), (at, area_y.1 + 14), HPos::Center, VPos::Top, ink)?;
        }
        text(&self.y.label, (0, 4), HPos::Left, VPos::Top, ink)?;
        text(&self.x.label, (area_x.0, SIZE.1 - 34), HPos::Left, VPos::Top, ink)?;
        let mut labels: Vec<(i32, &str, RGBColor)> = Vec::new();
        for mark in &self.marks {
            match mark {
                Mark::X(value, label) => {
                    let at = x.map(*value, area_x);
                    dashed(&root, [(at, area_y.0), (at, area_y.1)], colour(MARK), 2).map_err(say)?;
                    text(label, (at + 8, area_y.0), HPos::Left, VPos::Top, colour(MARK))?;
                }
                Mark::Y(value, label) => {
                    let at = y.map(*value, (area_y.1, area_y.0));
                    dashed(&root, [(area_x.0, at), (area_x.1, at)], colour(MARK), 2).map_err(say)?;
                    labels.push((at, label, colour(MARK)));
                }
            }
        }
        for series in &self.series {
            let colour = colour(SERIES[series.colour % SERIES.len()]);
            let place = |(a, b): (f64, f64)| (x.map(a, area_x), y.map(b, (area_y.1, area_y.0)));
            let shown = |point: &&(f64, f64)| on(x.scale, point.0) && on(y.scale, point.1);
            let places: Vec<(i32, i32)> = series.points.iter().filter(shown).map(|point| place(*point)).collect();
            for ((a, b), error) in series.points.iter().zip(&series.errors) {
                if shown(&&(*a, *b)) && error.is_finite() {
                    let lowest = if y.scale == Scale::Log { (b - error).max(b / 1e3) } else { b - error };
                    line(place((*a, lowest)), place((*a, b + error)), colour, 2)?;
                }
            }
            match series.style {
                Style::Line | Style::Both => {
                    root.draw(&PathElement::new(thinned(&places), colour.stroke_width(4))).map_err(say)?;
                }
                Style::Dashed => dashed(&root, places.iter().copied(), colour, 3).map_err(say)?,
                Style::Points => {}
            }
            if matches!(series.style, Style::Points | Style::Both) {
                for at in &places {
                    root.draw(&Circle::new(*at, 7, colour.filled())).map_err(say)?;
                }
            }
            if let Some((_, last)) = places.last().filter(|_| !series.label.is_empty()) {
                labels.push((*last, &series.label, colour));
            }
        }
        let heights: Vec<i32> = labels.iter().map(|(at, ..)| *at).collect();
        for ((_, label, colour), at) in labels.iter().zip(apart(&heights, TEXT + 5, area_y)) {
            text(label, (area_x.1 + 14, at), HPos::Left, VPos::Center, *colour)?;
        }
        root.present().map_err(say)
    }
}

/// Draws a dashed line; plotters' own begins each dash anew at every point.
fn dashed<'a>(
    root: &DrawingArea<SVGBackend<'a>, plotters::coord::Shift>,
    points: impl IntoIterator<Item = (i32, i32)>,
    colour: RGBColor,
    width: u32,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    const DASH: f64 = 14.0;
    let mut points = points.into_iter();
    let Some(mut at) = points.next().map(|(x, y)| (f64::from(x), f64::from(y))) else { return Ok(()) };
    let whole = |(x, y): (f64, f64)| (x.round() as i32, y.round() as i32);
    let (mut drawing, mut left, mut dash) = (true, DASH, vec![whole(at)]);
    for (x, y) in points {
        let to = (f64::from(x), f64::from(y));
        loop {
            let (dx, dy) = (to.0 - at.0, to.1 - at.1);
            let length = (dx * dx + dy * dy).sqrt();
            if length <= left {
                left -= length;
                at = to;
                dash.push(whole(at));
                break;
            }
            at = (at.0 + dx * left / length, at.1 + dy * left / length);
            dash.push(whole(at));
            if drawing {
                root.draw(&PathElement::new(std::mem::take(&mut dash), colour.stroke_width(width)))?;
            }
            (drawing, left, dash) = (!drawing, if drawing { DASH * 0.7 } else { DASH }, vec![whole(at)]);
        }
    }
    if drawing && dash.len() > 1 {
        root.draw(&PathElement::new(dash, colour.stroke_width(width)))?;
    }
    Ok(())
}

/// A line of at most four points a pixel column: its first, lowest, highest and last there, which is
/// all that shows.
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

/// Places near `wanted`, in the same order, at least `gap` apart and, if there is room, in `area`.
fn apart(wanted: &[i32], gap: i32, area: (i32, i32)) -> Vec<i32> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|at| wanted[*at]);
    let mut places = wanted.to_vec();
    // Down from the top, then up from the bottom: the second pass keeps what the first has parted.
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

fn colour(hex: &str) -> RGBColor {
    let part = |at: usize| hex.get(at..at + 2).and_then(|part| u8::from_str_radix(part, 16).ok()).unwrap_or(0);
    RGBColor(part(1), part(3), part(5))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Whether an axis has such a value.
fn on(scale: Scale, value: f64) -> bool {
    value.is_finite() && (scale == Scale::Linear || value > 0.0)
}

/// An axis with its range and ticks.
#[derive(Debug, Clone)]
struct Ruler {
    scale: Scale,
    /// The ends, as they lie on the axis.
    ends: (f64, f64),
    /// The values that are named.
    ticks: Vec<f64>,
}

impl Ruler {
    /// An axis that has all `values`, and `margin` of its length at each end.
    fn new(scale: Scale, values: Vec<f64>, margin: f64) -> Self {
        let along: Vec<f64> = values.into_iter().filter(|v| on(scale, *v)).map(|v| along(scale, v)).collect();
        let low = along.iter().copied().fold(f64::INFINITY, f64::min);
        let high = along.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let length = if high > low { high - low } else { (low.abs() * 0.2).max(1e-6) };
        let ends = match high > low {
            true => (low - margin * length, high + margin * length),
            false => (low - length, low + length),
        };
        let ticks = match scale {
            Scale::Linear => linear_ticks(ends),
            Scale::Log => log_ticks(ends),
        };
        Self { scale, ends, ticks }
    }

    /// Where a value lies between two pixels.
    fn map(&self, value: f64, pixels: (i32, i32)) -> i32 {
        let share = (along(self.scale, value) - self.ends.0) / (self.ends.1 - self.ends.0);
        pixels.0 + (share * f64::from(pixels.1 - pixels.0)).round() as i32
    }

    fn label(&self, tick: f64) -> String {
        let step = self.ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(tick.abs(), f64::min);
        short(tick, step)
    }
}

fn along(scale: Scale, value: f64) -> f64 {
    match scale {
        Scale::Linear => value,
        Scale::Log => libm::log10(value),
    }
}

/// Three to six round values.
fn linear_ticks((low, high): (f64, f64)) -> Vec<f64> {
    let power = libm::pow(10.0, libm::floor(libm::log10((high - low) / 4.0)));
    let fits = |step: &f64| (high - low) / step <= 5.5;
    let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(fits).unwrap_or(20.0 * power);
    let (first, last) = (libm::ceil(low / step) as i64, libm::floor(high / step) as i64);
    (first..=last).map(|n| n as f64 * step).collect()
}

/// Powers of ten, with their double and fivefold if there are few.
fn log_ticks((low, high): (f64, f64)) -> Vec<f64> {
    let (first, last) = (libm::floor(low) as i32, libm::ceil(high) as i32);
    let ticks = |times: &[f64]| -> Vec<f64> {
        let all = (first..=last).flat_map(|n| times.iter().map(move |t| t * libm::pow(10.0, f64::from(n))));
        all.filter(|tick| (low..=high).contains(&libm::log10(*tick))).collect()
    };
    let mut found = ticks(&[1.0]);
    if found.len() < 3 {
        found = ticks(&[1.0, 2.0, 5.0]);
    }
    if found.len() < 3 {
        let ends = (libm::pow(10.0, low), libm::pow(10.0, high));
        found = linear_ticks(ends).into_iter().filter(|tick| *tick > 0.0).collect();
    }
    let every = found.len().div_ceil(7);
    found.into_iter().step_by(every.max(1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>, scale: Scale) -> Chart {
        let axis = || Axis { label: "a < b".to_owned(), scale };
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
    fn ticks_are_round_few_and_within() {
        // By hand.
        assert_eq!(linear_ticks((0.0, 10.0)), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(linear_ticks((2.1, 4.4)), [2.5, 3.0, 3.5, 4.0]);
        assert_eq!(log_ticks((-0.5, 3.5)), [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(log_ticks((0.0, 1.0)), [1.0, 2.0, 5.0, 10.0]);
        for (low, high) in [(0.0, 1e-9), (-3.7, 12.2), (1e8, 1.1e8), (0.123, 0.124)] {
            let ticks = linear_ticks((low, high));
            assert!((2..=7).contains(&ticks.len()), "{low} {high}: {ticks:?}");
            assert!(ticks.iter().all(|tick| (low - 1e-9..=high + 1e-9).contains(tick)));
        }
    }

    #[test]
    fn labels_part_and_stay_in_order() {
        assert_eq!(apart(&[100, 300], 30, (0, 600)), [100, 300]);
        let places = apart(&[590, 100, 595, 105, 592], 30, (0, 600));
        assert_eq!(places, [540, 100, 600, 130, 570]);
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

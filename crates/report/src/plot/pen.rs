//! Text, lines and marks in a drawing.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use retrace_spec::foreign::shown;

/// Text size.
pub(super) const TEXT: i32 = 27;
/// The maximum number of characters of a text.
const LONGEST: usize = 60;

/// A drawing surface for an SVG document.
pub(super) struct Pen<'a> {
    root: DrawingArea<SVGBackend<'a>, Shift>,
}

fn say(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl<'a> Pen<'a> {
    /// A drawing with this width and height in pixels.
    pub(super) fn new(svg: &'a mut String, size: (i32, i32)) -> Self {
        Self { root: SVGBackend::with_string(svg, (size.0 as u32, size.1 as u32)).into_drawing_area() }
    }

    pub(super) fn text(&self, text: &str, at: (i32, i32), h: HPos, v: VPos, colour: RGBColor) -> Result<(), String> {
        let style =
            TextStyle::from(("sans-serif", f64::from(TEXT) * 1.24).into_font()).color(&colour).pos(Pos::new(h, v));
        self.root.draw(&Text::new(word(text), at, style)).map_err(say)
    }

    pub(super) fn line(&self, from: (i32, i32), to: (i32, i32), colour: RGBColor, width: u32) -> Result<(), String> {
        self.path(vec![from, to], colour, width)
    }

    pub(super) fn path(&self, points: Vec<(i32, i32)>, colour: RGBColor, width: u32) -> Result<(), String> {
        self.root.draw(&PathElement::new(points, colour.stroke_width(width))).map_err(say)
    }

    pub(super) fn dot(&self, at: (i32, i32), radius: i32, colour: RGBColor) -> Result<(), String> {
        self.root.draw(&Circle::new(at, radius, colour.filled())).map_err(say)
    }

    pub(super) fn bar(&self, from: (i32, i32), to: (i32, i32), colour: RGBColor) -> Result<(), String> {
        self.root.draw(&Rectangle::new([from, to], colour.filled())).map_err(say)
    }

    /// A dashed line; plotters' own starts the dashes again at every point.
    pub(super) fn dashed(
        &self,
        points: impl IntoIterator<Item = (i32, i32)>,
        colour: RGBColor,
        width: u32,
    ) -> Result<(), String> {
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
                    self.path(std::mem::take(&mut dash), colour, width)?;
                }
                (drawing, left, dash) = (!drawing, if drawing { DASH * 0.7 } else { DASH }, vec![whole(at)]);
            }
        }
        if drawing && dash.len() > 1 {
            self.path(dash, colour, width)?;
        }
        Ok(())
    }

    /// Ends the drawing.
    pub(super) fn end(self) -> Result<(), String> {
        self.root.present().map_err(say)
    }
}

/// Approximate width of a text in pixels.
pub(super) fn wide(text: &str) -> i32 {
    (word(text).chars().count() as f64 * f64::from(TEXT) * 0.56) as i32
}

/// A text prepared for drawing; it may be untrusted.
fn word(text: &str) -> String {
    shown(&shortened(text, LONGEST)).into_owned()
}

/// A name with at most this many characters: its beginning and end, which distinguish most names.
pub(crate) fn shortened(name: &str, most: usize) -> String {
    let length = name.chars().count();
    if length <= most {
        return name.to_owned();
    }
    let head: String = name.chars().take(most / 2).collect();
    let tail: String = name.chars().skip(length - (most - most / 2 - 1)).collect();
    format!("{head}…{tail}")
}

pub(super) fn colour(hex: &str) -> RGBColor {
    let part = |at: usize| hex.get(at..at + 2).and_then(|part| u8::from_str_radix(part, 16).ok()).unwrap_or(0);
    RGBColor(part(1), part(3), part(5))
}

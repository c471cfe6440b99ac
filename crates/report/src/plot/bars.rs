//! Bars: a number for each name.

use plotters::style::text_anchor::{HPos, VPos};

use super::pen::{Pen, colour, wide};
use super::ruler::Ruler;
use super::{GRID, INK, MARK, SERIES, Scale, document, drawn};
use crate::ReportError;
use crate::numbers::{counted, three_digits};

/// Width in drawn pixels, and the height of a bar with its gap.
const WIDTH: i32 = 960;
const ROW: i32 = 44;

/// A bar.
#[derive(Debug, Clone)]
pub struct Bar {
    /// Its name.
    pub label: String,
    /// Its length; nothing is drawn if that is not finite.
    pub value: f64,
    /// The error of the value, to each side.
    pub error: Option<f64>,
}

/// A chart of bars, one below the other.
#[derive(Debug, Clone)]
pub struct Bars {
    /// Its description; read aloud to readers who cannot see it.
    pub title: String,
    /// The quantity and its unit.
    pub label: String,
    /// The bars, from the top.
    pub bars: Vec<Bar>,
}

impl Bars {
    /// The chart as an SVG document.
    ///
    /// # Errors
    /// If no bar has a finite value.
    pub fn svg(&self) -> Result<String, ReportError> {
        let finite = self.bars.iter().filter(|bar| bar.value.is_finite());
        let mut values: Vec<f64> = finite
            .flat_map(|bar| {
                let error = bar.error.filter(|error| error.is_finite()).unwrap_or(0.0);
                [bar.value - error, bar.value + error]
            })
            .collect();
        if values.is_empty() {
            return Err(ReportError::Empty(self.title.clone()));
        }
        values.push(0.0);
        let mut svg = String::new();
        let height = 52 + self.bars.len() as i32 * ROW + 92;
        drawn(&self.title, || self.draw(&mut svg, &Ruler::new(Scale::Linear, values, 0.03), height))?;
        let bars = counted(self.bars.len() as u64, "bar");
        let described = format!("{}. Horizontal: {}. {bars}.", self.title.trim_end_matches('.'), self.label);
        Ok(document(&svg, &described, (WIDTH, height)))
    }

    fn draw(&self, svg: &mut String, x: &Ruler, height: i32) -> Result<(), String> {
        let left = self.bars.iter().map(|bar| wide(&bar.label)).max().unwrap_or(0) + 24;
        let said = |bar: &Bar| if bar.value.is_finite() { three_digits(bar.value) } else { "none".to_owned() };
        let right = self.bars.iter().map(|bar| wide(&said(bar))).max().unwrap_or(0) + 24;
        let (across, down) = ((left, WIDTH - right), (52, height - 92));
        let pen = Pen::new(svg, (WIDTH, height));
        let ink = colour(INK);
        pen.text(&self.label, (0, 4), HPos::Left, VPos::Top, ink)?;
        for tick in &x.ticks {
            let at = x.map(*tick, across);
            pen.line((at, down.0), (at, down.1), colour(GRID), 2)?;
            pen.text(&x.label(*tick), (at, down.1 + 14), HPos::Center, VPos::Top, ink)?;
        }
        let zero = x.map(0.0, across);
        for (at, bar) in self.bars.iter().enumerate() {
            let middle = down.0 + at as i32 * ROW + ROW / 2;
            pen.text(&bar.label, (left - 14, middle), HPos::Right, VPos::Center, ink)?;
            let mut end = zero;
            if bar.value.is_finite() {
                let value = x.map(bar.value, across);
                pen.bar((zero.min(value), middle - 13), (zero.max(value), middle + 13), colour(SERIES[0]))?;
                end = zero.max(value);
                if let Some(error) = bar.error.filter(|error| error.is_finite() && *error > 0.0) {
                    let ends = [bar.value - error, bar.value + error].map(|value| x.map(value, across));
                    pen.line((ends[0], middle), (ends[1], middle), ink, 3)?;
                    for at in ends {
                        pen.line((at, middle - 7), (at, middle + 7), ink, 3)?;
                    }
                    end = end.max(ends[1]);
                }
            }
            pen.text(&said(bar), (end + 10, middle), HPos::Left, VPos::Center, ink)?;
        }
        pen.line((zero, down.0), (zero, down.1), colour(MARK), 2)?;
        pen.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bars_make_a_chart_or_a_clear_error() {
        let bars = |values: &[f64]| Bars {
            title: "T".to_owned(),
            label: "a < b".to_owned(),
            bars: values.iter().map(|value| Bar { label: "x".to_owned(), value: *value, error: Some(1.0) }).collect(),
        };
        for values in [&[1.0][..], &[0.0], &[-1.0, 2.0, f64::NAN], &[1e300, -1e-300]] {
            let svg = bars(values).svg().unwrap();
            assert!(svg.starts_with("<svg ") && svg.contains("a &lt; b") && !svg.contains("NaN"));
        }
        assert!(bars(&[]).svg().is_err() && bars(&[f64::INFINITY]).svg().is_err());
    }
}

//! Heat maps: a number for each row and column, as a colour.

use plotters::style::text_anchor::{HPos, VPos};

use super::pen::{Pen, colour, shortened, wide};
use super::{GRID, INK, MARK, Scale, document, drawn};
use crate::ReportError;
use crate::numbers::three_digits;

/// The colours, from the lowest to the highest value: evenly spaced on cividis, which people with and without colour
/// blindness see alike (Nuñez, Anderton and Renslow, 2018), from light to dark. A page turns the order round on dark.
pub const HEAT: [&str; 10] =
    ["#FEE838", "#E1CC55", "#C3B369", "#A59C74", "#8A8678", "#707173", "#575D6D", "#3B496C", "#123570", "#00224E"];

/// Width in drawn pixels, and what stands above and below the cells.
const WIDTH: i32 = 1600;
const ABOVE: i32 = 52;
const BELOW: i32 = 176;

/// The height of a row, at least and at most, and the height that the rows share.
const ROW: (i32, i32) = (6, 34);
const HIGH: i32 = 1700;

/// The maximum length of a row's label.
const LABEL: usize = 44;

/// Numbers by row and column.
#[derive(Debug, Clone, PartialEq)]
pub struct HeatMap {
    /// Its description; read aloud to readers who cannot see it, with the range of the values and where the ends are.
    pub title: String,
    /// What the columns are.
    pub x: String,
    /// The quantity and its unit.
    pub label: String,
    /// The scale of the colours. On a logarithmic one, 0 has a colour of its own, and numbers below 0 are not drawn.
    pub scale: Scale,
    /// The names of the rows, from the top.
    pub rows: Vec<String>,
    /// The names of the columns, from the left.
    pub columns: Vec<String>,
    /// The values of each row, one for each column; a cell that is not finite stays empty.
    pub values: Vec<Vec<f64>>,
}

/// The colours of values: [`HEAT`] in equal parts of the range.
struct Levels {
    scale: Scale,
    ends: (f64, f64),
}

impl Levels {
    fn of(scale: Scale, values: impl Iterator<Item = f64>) -> Option<Self> {
        let values = values.map(|value| along(scale, value)).filter(|value| value.is_finite());
        let ends = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        (ends.0 <= ends.1).then_some(Self { scale, ends })
    }

    /// The number of the value's colour; none if it has none.
    fn at(&self, value: f64) -> Option<usize> {
        let value = along(self.scale, value);
        if !value.is_finite() {
            return None;
        }
        let (low, high) = self.ends;
        // Halves first: the difference of two large numbers can be infinite.
        let share = if high > low { (value / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0) } else { 0.5 };
        Some(((share * HEAT.len() as f64) as usize).min(HEAT.len() - 1))
    }

    /// The value at which the colour of this number begins.
    fn begin(&self, level: usize) -> f64 {
        let (low, high) = self.ends;
        let part = level as f64 / HEAT.len() as f64;
        let at = low * (1.0 - part) + high * part;
        if self.scale == Scale::Log { libm::pow(10.0, at) } else { at }
    }
}

fn along(scale: Scale, value: f64) -> f64 {
    if scale == Scale::Log { libm::log10(value) } else { value }
}

/// The colour of a cell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cell {
    Empty,
    Zero,
    Level(usize),
}

impl HeatMap {
    /// The map as an SVG document.
    ///
    /// # Errors
    /// If no cell can be drawn.
    pub fn svg(&self) -> Result<String, ReportError> {
        let all = || self.values.iter().flatten().copied();
        let finite = || all().filter(|value| value.is_finite());
        let zeros = self.scale == Scale::Log && all().any(|value| value == 0.0);
        let levels = Levels::of(self.scale, all());
        if (levels.is_none() && !zeros) || finite().next().is_none() {
            return Err(ReportError::Empty(self.title.clone()));
        }
        let levels = levels.unwrap_or(Levels { scale: self.scale, ends: (0.0, 0.0) });
        let row = (HIGH / self.rows.len().max(1) as i32).clamp(ROW.0, ROW.1);
        let height = ABOVE + row * self.rows.len() as i32 + BELOW;
        let mut svg = String::new();
        drawn(&self.title, || self.draw(&mut svg, &levels, zeros, row, height))?;
        Ok(document(&svg, &self.described(), (WIDTH, height)))
    }

    /// The title, with the ends of the values and where they are.
    fn described(&self) -> String {
        let mut cells: Vec<(f64, &str, &str)> = Vec::new();
        for (row, values) in self.rows.iter().zip(&self.values) {
            for (column, value) in self.columns.iter().zip(values).filter(|(_, value)| value.is_finite()) {
                cells.push((*value, row, column));
            }
        }
        let least = cells.iter().min_by(|a, b| a.0.total_cmp(&b.0));
        let most = cells.iter().max_by(|a, b| a.0.total_cmp(&b.0));
        let (Some(least), Some(most)) = (least, most) else { return self.title.clone() };
        let place = |(value, row, column): &(f64, &str, &str)| format!("{} ({row}, {column})", three_digits(*value));
        format!(
            "{}: {} for {} rows and {} columns ({}), from {} to {}",
            self.title,
            self.label,
            self.rows.len(),
            self.columns.len(),
            self.x,
            place(least),
            place(most)
        )
    }

    fn cell(&self, levels: &Levels, value: f64) -> Cell {
        match levels.at(value) {
            Some(level) => Cell::Level(level),
            None if self.scale == Scale::Log && value == 0.0 => Cell::Zero,
            None => Cell::Empty,
        }
    }

    fn draw(&self, svg: &mut String, levels: &Levels, zeros: bool, row: i32, height: i32) -> Result<(), String> {
        let labels: Vec<String> = self.rows.iter().map(|name| shortened(name, LABEL)).collect();
        let left = labels.iter().map(|label| wide(label)).max().unwrap_or(0).min(WIDTH / 2) + 20;
        let (right, bottom) = (WIDTH - 20, height - BELOW);
        let columns = self.columns.len().max(1) as i32;
        let x = |column: usize| left + ((right - left) as i64 * column as i64 / i64::from(columns)) as i32;
        let y = |at: usize| ABOVE + row * at as i32;
        let pen = Pen::new(svg, (WIDTH, height));
        let ink = colour(INK);
        pen.text(&self.label, (0, 4), HPos::Left, VPos::Top, ink)?;
        let every = (34 / row).max(1) as usize;
        for (at, (label, values)) in labels.iter().zip(&self.values).enumerate() {
            if at % every == 0 {
                pen.text(label, (left - 12, y(at) + row / 2), HPos::Right, VPos::Center, ink)?;
            }
            let cells: Vec<Cell> = values.iter().map(|value| self.cell(levels, *value)).collect();
            let mut column = 0;
            // Neighbours of one colour are one rectangle.
            for same in cells.chunk_by(|a, b| a == b) {
                let place = ((x(column), y(at)), (x(column + same.len()), y(at) + row));
                match same.first() {
                    Some(Cell::Level(level)) => pen.bar(place.0, place.1, colour(HEAT[*level]))?,
                    Some(Cell::Zero) => pen.bar(place.0, place.1, colour(GRID))?,
                    Some(Cell::Empty) | None => {}
                }
                column += same.len();
            }
        }
        pen.path(vec![(left, ABOVE), (right, ABOVE), (right, bottom), (left, bottom), (left, ABOVE)], colour(MARK), 2)?;
        let widest = self.columns.iter().map(|name| wide(name)).max().unwrap_or(0) + 24;
        let every = (widest * columns).div_euclid((right - left).max(1)) as usize + 1;
        for (at, name) in self.columns.iter().enumerate().step_by(every) {
            pen.text(name, ((x(at) + x(at + 1)) / 2, bottom + 10), HPos::Center, VPos::Top, ink)?;
        }
        pen.text(&self.x, (left, bottom + 46), HPos::Left, VPos::Top, ink)?;
        // The legend: each colour, and the value at which it begins.
        let (top, step) = (bottom + 96, right / (HEAT.len() as i32 + 2));
        for (level, hex) in HEAT.iter().enumerate() {
            let at = step * level as i32;
            pen.bar((at, top), (at + step, top + 24), colour(hex))?;
            let value = three_digits(levels.begin(level));
            pen.text(&value, (at, top + 34), HPos::Left, VPos::Top, ink)?;
        }
        if zeros {
            let at = step * (HEAT.len() as i32 + 1);
            pen.bar((at, top), (at + step, top + 24), colour(GRID))?;
            pen.text("0", (at, top + 34), HPos::Left, VPos::Top, ink)?;
        }
        pen.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(scale: Scale, values: Vec<Vec<f64>>) -> HeatMap {
        let names = |number: usize, of: &str| (0..number).map(|at| format!("{of} {at}")).collect();
        HeatMap {
            title: "a < \"b\"".to_owned(),
            x: "step".to_owned(),
            label: "norm".to_owned(),
            scale,
            rows: names(values.len(), "row"),
            columns: names(values.first().map_or(0, Vec::len), "column"),
            values,
        }
    }

    #[test]
    fn levels_divide_the_range() {
        // By hand: ten parts of 0 to 10, and of ten powers of ten.
        let linear = Levels::of(Scale::Linear, [0.0, 10.0, f64::NAN, f64::INFINITY].into_iter()).unwrap();
        assert_eq!([0.0, 0.9, 1.1, 9.1, 10.0].map(|value| linear.at(value)), [0, 0, 1, 9, 9].map(Some));
        assert_eq!((linear.at(f64::NAN), linear.begin(3)), (None, 3.0));
        let log = Levels::of(Scale::Log, [1.0, 1e10, 0.0, -3.0].into_iter()).unwrap();
        assert_eq!([1.0, 9.0, 11.0, 1e10].map(|value| log.at(value)), [0, 0, 1, 9].map(Some));
        assert_eq!([0.0, -3.0].map(|value| log.at(value)), [None, None]);
        // One value has a colour in the middle.
        assert_eq!(Levels::of(Scale::Linear, [5.0].into_iter()).unwrap().at(5.0), Some(5));
        assert!(Levels::of(Scale::Linear, [f64::NAN].into_iter()).is_none());
        let wide = Levels::of(Scale::Linear, [-1e308, 1e308].into_iter()).unwrap();
        assert_eq!([-1e308, 0.0, 1e308].map(|value| wide.at(value)), [0, 5, 9].map(Some));
    }

    #[test]
    fn any_cells_make_a_map_or_a_clear_error() {
        for scale in [Scale::Linear, Scale::Log] {
            for values in [
                vec![vec![1.0]],
                vec![vec![1.0, f64::NAN], vec![f64::INFINITY, 2.0]],
                vec![vec![0.0, 0.0], vec![0.0, 0.0]],
                vec![vec![1e-300, 1e300]],
                (0..300).map(|row| (0..200).map(|column| f64::from(row * column % 17) + 0.5).collect()).collect(),
            ] {
                let svg = map(scale, values).svg().unwrap();
                assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>") && !svg.contains("NaN"));
                assert!(svg.contains("a &lt; &quot;b&quot;: norm for"));
            }
            for values in [vec![], vec![vec![]], vec![vec![f64::NAN]]] {
                assert!(matches!(map(scale, values).svg(), Err(ReportError::Empty(_))));
            }
        }
    }

    /// The cells of the drawing, read back from the SVG, have the colours of the values.
    #[test]
    fn each_cell_has_the_colour_of_its_value() {
        let values = vec![vec![0.0, 10.0, 10.0], vec![4.5, f64::NAN, 0.0]];
        let svg = map(Scale::Linear, values).svg().unwrap();
        let fills: Vec<&str> =
            svg.split("<rect ").skip(1).filter_map(|rect| rect.split("fill=\"").nth(1)?.split('"').next()).collect();
        // The two cells of 10 are one; then the legend.
        assert_eq!(fills[..4], [HEAT[0], HEAT[9], HEAT[4], HEAT[0]]);
        assert_eq!(fills[4..], HEAT);
        assert!(svg.contains("from 0 (row 0, column 0) to 10 (row 0, column 2)"));
    }

    #[test]
    fn the_page_has_both_orders_of_the_colours() {
        let css = include_str!("../figure.css");
        for (at, hex) in HEAT.iter().enumerate() {
            let (light, dark) = (hex.to_lowercase(), HEAT[HEAT.len() - 1 - at].to_lowercase());
            let name = format!("--h{}", at + 1);
            assert!(css.contains(&format!("svg [fill=\"{hex}\"] {{ fill: var({name}); }}")), "{hex}");
            // On light and in print; and on dark, by the system's setting and by the page's own.
            assert_eq!(css.matches(&format!("{name}: {light};")).count(), 2, "{hex}");
            assert_eq!(css.matches(&format!("{name}: {dark};")).count(), 2, "{hex}");
        }
    }
}

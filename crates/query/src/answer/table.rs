//! Answers as aligned columns: complete, or fitted to a terminal.

use std::fmt::Write as _;

use retrace_spec::foreign::shown;

use super::Answer;
use crate::QueryError;

/// The minimum width of a column.
const NARROWEST: usize = 8;

/// An answer prepared for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted {
    /// The lines.
    pub text: String,
    /// The number of cells that were cut and end with `…`.
    pub cut: usize,
    /// The number of rows that are not shown.
    pub more_rows: usize,
    /// The columns that are not shown because of the width.
    pub more_columns: Vec<String>,
}

impl Answer {
    /// The answer as columns, in lines of at most `width` characters and with at most `rows` rows, if those are given.
    /// If the width is too small, texts are cut first, then digits of fractions; integers are never cut, because the
    /// result would be another number: columns at the right are left out instead.
    ///
    /// # Errors
    /// If a value cannot be written.
    pub fn table(&self, width: Option<usize>, rows: Option<usize>) -> Result<Fitted, QueryError> {
        let columns = self.columns();
        let all = self.cells(rows.unwrap_or(usize::MAX))?;
        let more_rows = self.rows() - all.len();
        let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|column| shown(&column.name).into_owned()).collect()];
        let cell = |cell: Option<String>| shown(&cell.unwrap_or_default()).into_owned();
        lines.extend(all.into_iter().map(|row| row.into_iter().map(cell).collect()));
        let full: Vec<usize> = (0..columns.len())
            .map(|at| lines.iter().filter_map(|row| row.get(at)).map(|cell| columns_of(cell)).max().unwrap_or(0))
            .collect();
        let least: Vec<usize> = columns
            .iter()
            .zip(&full)
            .enumerate()
            .map(|(at, (column, full))| match (column.numeric, column.kind.contains("Float")) {
                (false, _) => NARROWEST.min(*full),
                (true, false) => *full,
                (true, true) => lines
                    .iter()
                    .skip(1)
                    .filter_map(|row| row.get(at))
                    .map(|cell| if cell.contains('e') { columns_of(cell) } else { whole_digits(cell) + 5 })
                    .chain([NARROWEST])
                    .max()
                    .unwrap_or(NARROWEST)
                    .min(*full),
            })
            .collect();
        let widths = width.map_or_else(|| full.clone(), |width| fit(&full, &least, width));
        let mut fitted = Fitted {
            text: String::new(),
            cut: 0,
            more_rows,
            more_columns: columns.iter().skip(widths.len()).map(|column| column.name.clone()).collect(),
        };
        for (number, row) in lines.iter().enumerate() {
            let mut line = String::new();
            for ((cell, width), column) in row.iter().zip(&widths).zip(&columns) {
                let cell = if columns_of(cell) > *width {
                    fitted.cut += 1;
                    cut(cell, *width)
                } else {
                    cell.clone()
                };
                let gap = " ".repeat(width.saturating_sub(columns_of(&cell)));
                let _ = if column.numeric { write!(line, "{gap}{cell}  ") } else { write!(line, "{cell}{gap}  ") };
            }
            let _ = writeln!(fitted.text, "{}", line.trim_end());
            if number == 0 {
                let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                let _ = writeln!(fitted.text, "{}", rule.join("  "));
            }
        }
        Ok(fitted)
    }
}

/// The widths of as many columns as fit, with two spaces between them: each has its full width if it is no wider than
/// a common limit, the greatest that fits, and is never narrower than its minimum.
fn fit(full: &[usize], least: &[usize], width: usize) -> Vec<usize> {
    let gaps = |columns: usize| 2 * columns.saturating_sub(1);
    let mut columns = full.len();
    while columns > 1 && least.iter().take(columns).sum::<usize>() + gaps(columns) > width {
        columns -= 1;
    }
    let at = |limit: usize| -> Vec<usize> {
        full.iter().zip(least).take(columns).map(|(full, least)| (*full).min(limit.max(*least))).collect()
    };
    let mut limit = full.iter().copied().max().unwrap_or(0);
    while limit > 0 && at(limit).iter().sum::<usize>() + gaps(columns) > width {
        limit -= 1;
    }
    at(limit)
}

/// The beginning of a text, with `…` in place of the rest.
fn cut(text: &str, width: usize) -> String {
    let mut left = width.saturating_sub(1);
    let mut out = String::new();
    for c in text.chars() {
        let takes = columns_of_char(c);
        if takes > left {
            break;
        }
        left -= takes;
        out.push(c);
    }
    out.push('…');
    out
}

/// Number of digits before a fraction's point, and its sign.
fn whole_digits(number: &str) -> usize {
    number.split('.').next().map_or(0, str::len)
}

/// The number of terminal columns of a text.
fn columns_of(text: &str) -> usize {
    text.chars().map(columns_of_char).sum()
}

/// Two for a Chinese character or full-width form, none for a combining accent.
fn columns_of_char(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3ffff}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_share_what_room_there_is() {
        // By hand: the limit of 9 gives 9 + 2 + 4 + 2 + 9 = 26.
        assert_eq!(fit(&[30, 4, 12], &[8, 4, 8], 26), [9, 4, 9]);
        // Nothing is cut if everything fits.
        assert_eq!(fit(&[30, 4, 12], &[8, 4, 8], 50), [30, 4, 12]);
        // An integer keeps its digits, and the last column does not fit.
        assert_eq!(fit(&[10, 20, 30], &[8, 20, 8], 34), [10, 20]);
        assert_eq!(fit(&[], &[], 80), [0; 0]);
    }

    #[test]
    fn a_text_is_cut_by_what_it_takes() {
        assert_eq!(cut("abcdefgh", 5), "abcd…");
        assert_eq!(cut("事实事实", 6), "事实…");
        assert_eq!(cut("事实事实", 5), "事实…");
    }
}

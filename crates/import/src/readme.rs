//! The tables of READMEs, in Markdown, as claims: each cell is a claim about the first cell of its line, with its
//! column's name as the property. An empty first cell means the one above it.

use crate::rows::{Input, Problem, Rows};

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let text = std::str::from_utf8(input.bytes)
        .map_err(|e| Problem::at(format_args!("byte {}", e.valid_up_to()), "not UTF-8"))?;
    let lines: Vec<&str> = text.lines().collect();
    let mut names: Option<Vec<&str>> = None;
    let mut subject = "";
    for (at, line) in lines.iter().enumerate() {
        let Some(row) = cells(line) else {
            names = None;
            continue;
        };
        let Some(of) = &names else {
            // A table begins with a line of names followed by a separator line.
            let ruled = lines
                .get(at + 1)
                .and_then(|next| cells(next))
                .is_some_and(|next| next.iter().all(|cell| is_rule(cell)));
            if ruled {
                names = Some(row);
            }
            subject = "";
            continue;
        };
        if row.iter().all(|cell| is_rule(cell)) {
            continue;
        }
        subject = row.first().copied().filter(|cell| !cell.is_empty()).unwrap_or(subject);
        for (name, cell) in of.iter().zip(&row).skip(1).filter(|(_, cell)| !cell.is_empty()) {
            rows.claim(input, subject, name, cell, number(cell), &format!("line {}", at + 1));
        }
    }
    Ok(())
}

/// The cells of a line of a table; `None` if it is not one.
fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?;
    Some(inner.strip_suffix('|').unwrap_or(inner).split('|').map(str::trim).collect())
}

/// Whether it is the separator below a column's name: `---`, `:--:`.
fn is_rule(cell: &str) -> bool {
    cell.contains('-') && cell.chars().all(|c| matches!(c, '-' | ':'))
}

/// The number at the start of a cell, which may have commas between its digits: `5.50 Trillion`.
fn number(cell: &str) -> Option<f64> {
    let end = cell.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',' | '-' | '+'))).unwrap_or(cell.len());
    cell[..end].replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{read_as, survives};

    const TEXT: &str = "# Title\n\n| Model | Tokens | List |\n|:--|---:|---|\n| [One](a) | 5.50 Trillion | [x](y.csv) |\n|  | 1,000 |\n\nno | table | here\n| not | either |\n";

    #[test]
    fn tables_are_claims_and_anything_is_survived() {
        let rows = read_as("README.md", TEXT.as_bytes(), read);
        let told: Vec<_> =
            rows.claims.iter().map(|c| (&c.subject[..], &c.name[..], &c.value[..], c.number, &c.place[..])).collect();
        assert_eq!(
            told,
            [
                ("[One](a)", "Tokens", "5.50 Trillion", Some(5.5), "line 5"),
                ("[One](a)", "List", "[x](y.csv)", None, "line 5"),
                ("[One](a)", "Tokens", "1,000", Some(1000.0), "line 6"),
            ]
        );
        assert_eq!(rows.problems(), None);
        survives("README.md", TEXT.as_bytes(), read);
        assert!(read_as("README.md", b"| a |\xff", read).problems().unwrap().contains("not UTF-8"));
    }
}

//! The tables of READMEs, in Markdown, as claims: each cell is a claim about the first cell of its line, with its
//! column's name as the property. An empty first cell means the one above it.
//!
//! Of a report of nanochat (`nanochat/report.py`) and its sections, each line `- name: value` is a claim about the file,
//! with the section before the name.

use crate::rows::{Input, Problem, Rows};

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let text = std::str::from_utf8(input.bytes)
        .map_err(|e| Problem::at(format_args!("byte {}", e.valid_up_to()), "not UTF-8"))?;
    let lines: Vec<&str> = text.lines().collect();
    let mut names: Option<Vec<&str>> = None;
    let mut subject = "";
    let is_report = is_report(&lines);
    let mut section = "";
    for (at, line) in lines.iter().enumerate() {
        if let Some(heading) = line.strip_prefix('#') {
            section = heading.trim_start_matches('#').trim();
        }
        if let Some((name, value)) = said(line).filter(|_| is_report) {
            let name = format!("{section}.{name}");
            rows.claim(
                input,
                input.stem(),
                &name,
                value,
                value.replace(',', "").parse().ok(),
                &format!("line {}", at + 1),
            );
            continue;
        }
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

/// Whether this is a report of nanochat, or a section of one.
fn is_report(lines: &[&str]) -> bool {
    let mut lines = lines.iter().filter(|line| !line.trim().is_empty());
    match (lines.next(), lines.next()) {
        (Some(first), _) if first.trim() == "# nanochat training report" => true,
        (Some(first), Some(second)) => first.starts_with("## ") && second.starts_with("timestamp: "),
        _ => false,
    }
}

/// What a line of a report says: `- name: value`, `timestamp: value`.
fn said(line: &str) -> Option<(&str, &str)> {
    let (name, value) =
        line.strip_prefix("- ").or_else(|| line.starts_with("timestamp: ").then_some(line))?.split_once(':')?;
    Some((name.trim(), value.trim())).filter(|(name, value)| !name.is_empty() && !value.is_empty())
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

    /// As nanochat writes a section, and the report of all of them.
    #[test]
    fn reports_of_nanochat() {
        let section = "## Base model training\ntimestamp: 2026-05-01 12:00:00\n\n- run: d20\n- Number of iterations: 21,400\n- Minimum validation bpb: 0.8125\n- not said\n\n";
        let report = format!(
            "# nanochat training report\n\nGenerated: now\n\n{section}## Summary\n\n| Metric | BASE |\n|---|---|\n| CORE | 0.2500 |\n"
        );
        let of = |source: &str, text: &str| {
            let rows = read_as(source, text.as_bytes(), read);
            assert_eq!(rows.problems(), None);
            rows.claims.into_iter().map(|c| (c.subject, c.name, c.value, c.number)).collect::<Vec<_>>()
        };
        let claim = |subject: &str, name: &str, value: &str, number| {
            (subject.to_owned(), name.to_owned(), value.to_owned(), number)
        };
        let expected = |subject: &str| {
            vec![
                claim(subject, "Base model training.timestamp", "2026-05-01 12:00:00", None),
                claim(subject, "Base model training.run", "d20", None),
                claim(subject, "Base model training.Number of iterations", "21,400", Some(21_400.0)),
                claim(subject, "Base model training.Minimum validation bpb", "0.8125", Some(0.8125)),
            ]
        };
        assert_eq!(of("r/base-model-training.md", section), expected("base-model-training"));
        let table = claim("CORE", "BASE", "0.2500", Some(0.25));
        assert_eq!(of("r/report.md", &report), [&expected("report")[..], &[table]].concat());
        // Any other list is text.
        assert!(of("r/README.md", &format!("# Title\n{section}")).is_empty());
        survives("r/report.md", report.as_bytes(), read);
    }

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

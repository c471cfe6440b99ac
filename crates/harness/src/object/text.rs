//! Python's `str` and `repr`, and numpy's `str` of an array.

use std::fmt::Write as _;
use std::sync::LazyLock;

use fancy_regex::Regex;

use super::Object;

impl Object {
    /// Python's `str`.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            other => other.repr(),
        }
    }

    /// Python's `repr`; numbers in lists are Python's own, not numpy's.
    #[must_use]
    pub fn repr(&self) -> String {
        match self {
            Self::None => "None".to_owned(),
            Self::Bool(true) => "True".to_owned(),
            Self::Bool(false) => "False".to_owned(),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => float(*value),
            Self::Text(text) => quoted(text),
            Self::List(items) => format!("[{}]", joined(items)),
            Self::Tuple(items) if items.len() == 1 => format!("({},)", joined(items)),
            Self::Tuple(items) => format!("({})", joined(items)),
            Self::Map(entries) => {
                let entries: Vec<String> =
                    entries.iter().map(|(key, value)| format!("{}: {}", quoted(key), value.repr())).collect();
                format!("{{{}}}", entries.join(", "))
            }
            Self::Array(values) => array(values),
        }
    }
}

fn joined(items: &[Object]) -> String {
    items.iter().map(Object::repr).collect::<Vec<_>>().join(", ")
}

/// Python's `repr` of a float: the fewest digits that mean the same number.
pub(crate) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let shortest = format!("{value:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{value}");
        if plain.contains('.') { plain } else { plain + ".0" }
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{digits}e{sign}{:02}", exponent.abs())
    }
}

/// What `str.isprintable` does not count as printable, besides the space. The version of Unicode is that of the regex
/// crate; Python has one of its own.
static UNPRINTABLE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"[\p{C}\p{Z}]").ok());

fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            ' '..='~' if character == quote => {
                out.push('\\');
                out.push(character);
            }
            ' '..='~' => out.push(character),
            other if unprintable(other) => {
                let code = u32::from(other);
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
            other => out.push(other),
        }
    }
    out.push(quote);
    out
}

fn unprintable(character: char) -> bool {
    if character.is_ascii_control() {
        return true;
    }
    let mut bytes = [0; 4];
    UNPRINTABLE.as_ref().is_some_and(|class| class.is_match(character.encode_utf8(&mut bytes)).unwrap_or(true))
}

/// numpy's `str` of a one-dimensional array of floats: 8 digits, one width for all, lines of 75 characters.
pub(super) fn array(values: &[f64]) -> String {
    if values.is_empty() {
        return "[]".to_owned();
    }
    let words = words(values);
    let mut lines = String::new();
    let mut line = String::from(" ");
    for (place, word) in words.iter().enumerate() {
        if line.len() + word.len() > 74 && line.len() > 1 {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line = String::from(" ");
        }
        line.push_str(word);
        if place + 1 < words.len() {
            line.push(' ');
        }
    }
    lines.push_str(&line);
    format!("[{}]", &lines[1..])
}

/// The elements of an array as numpy writes them, padded to one width.
fn words(values: &[f64]) -> Vec<String> {
    let sizes = || values.iter().filter(|value| value.is_finite() && **value != 0.0).map(|value| value.abs());
    let largest = sizes().fold(0.0, f64::max);
    let smallest = sizes().fold(f64::INFINITY, f64::min);
    let scientific = largest > 0.0 && (largest >= 1e8 || smallest < 1e-4 || largest / smallest > 1000.0);
    let finite: Vec<Option<String>> = values
        .iter()
        .map(|&value| {
            value.is_finite().then(|| if scientific { scientific_digits(value) } else { plain_digits(value) })
        })
        .collect();
    // The widths before and after the point.
    let parts = || finite.iter().flatten().filter_map(|text| text.split_once('.'));
    let fraction = |text: &str| text.split('e').next().map_or(0, str::len);
    let mut left = parts().map(|(whole, _)| whole.len()).max().unwrap_or(0);
    let digits = parts().map(|(_, rest)| fraction(rest)).max().unwrap_or(0);
    let exponent = parts().filter_map(|(_, rest)| rest.split_once('e')).map(|(_, e)| e.len() - 1).max().unwrap_or(0);
    let right = if scientific { exponent + 2 + digits } else { digits };
    for value in values.iter().filter(|value| !value.is_finite()) {
        let length = float(*value).len();
        left = left.max(length.saturating_sub(right + 1));
    }
    values
        .iter()
        .zip(&finite)
        .map(|(value, text)| match text {
            None => format!("{:>width$}", float(*value), width = left + right + 1),
            Some(text) => {
                let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
                match rest.split_once('e') {
                    Some((rest, e)) => {
                        let (sign, e) = e.split_at(1);
                        format!("{whole:>left$}.{rest:0<digits$}e{sign}{e:0>exponent$}")
                    }
                    None => format!("{whole:>left$}.{rest:<digits$}"),
                }
            }
        })
        .collect()
}

/// At most 8 digits after the point, none that the number does not need.
fn plain_digits(value: f64) -> String {
    let shortest = format!("{value}");
    let text = match shortest.split_once('.') {
        None => return shortest + ".",
        Some((_, digits)) if digits.len() <= 8 => return shortest,
        Some(_) => format!("{value:.8}"),
    };
    text.trim_end_matches('0').to_owned()
}

fn scientific_digits(value: f64) -> String {
    let shortest = format!("{value:e}");
    let (digits, _) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let long = digits.split_once('.').is_some_and(|(_, digits)| digits.len() > 8);
    let text = if long { format!("{value:.8e}") } else { shortest };
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = if digits.contains('.') { digits.trim_end_matches('0').to_owned() } else { format!("{digits}.") };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

//! JSON as Python's `json.dumps` writes it with `ensure_ascii=False`.

use std::fmt::Write as _;

use super::Object;
use super::text;

impl Object {
    /// On one line: `, ` and `: ` as separators.
    #[must_use]
    pub fn json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out, None, 0);
        out
    }

    /// With line breaks, each level indented by so many spaces.
    #[must_use]
    pub fn json_indented(&self, indent: usize) -> String {
        let mut out = String::new();
        self.write_json(&mut out, Some(indent), 0);
        out
    }

    fn write_json(&self, out: &mut String, indent: Option<usize>, level: usize) {
        match self {
            Self::None => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Integer(value) => {
                let _ = write!(out, "{value}");
            }
            Self::Float(value) if value.is_nan() => out.push_str("NaN"),
            Self::Float(value) if value.is_infinite() => {
                out.push_str(if *value > 0.0 { "Infinity" } else { "-Infinity" });
            }
            Self::Float(value) => out.push_str(&text::float(*value)),
            Self::Text(value) => quote(out, value),
            Self::List(items) | Self::Tuple(items) => {
                if items.is_empty() {
                    out.push_str("[]");
                    return;
                }
                out.push('[');
                for (place, item) in items.iter().enumerate() {
                    separate(out, place, indent, level + 1);
                    item.write_json(out, indent, level + 1);
                }
                end(out, indent, level);
                out.push(']');
            }
            Self::Map(entries) => {
                if entries.is_empty() {
                    out.push_str("{}");
                    return;
                }
                out.push('{');
                for (place, (key, value)) in entries.iter().enumerate() {
                    separate(out, place, indent, level + 1);
                    quote(out, key);
                    out.push_str(": ");
                    value.write_json(out, indent, level + 1);
                }
                end(out, indent, level);
                out.push('}');
            }
            // The harness gives what JSON does not know to `str`.
            Self::Array(values) => quote(out, &text::array(values)),
        }
    }
}

fn separate(out: &mut String, place: usize, indent: Option<usize>, level: usize) {
    match indent {
        None if place > 0 => out.push_str(", "),
        None => {}
        Some(_) => {
            if place > 0 {
                out.push(',');
            }
            end(out, indent, level);
        }
    }
}

fn end(out: &mut String, indent: Option<usize>, level: usize) {
    if let Some(width) = indent {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', width * level));
    }
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            control if control < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

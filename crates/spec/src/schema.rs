//! What a text says that it is, without reading all of it.

/// The value of the field `retrace` of a document, such as `run/1`, wherever in the document it is. `None`, if there
/// is no such field, or it has another form: other tools may use a field of that name.
pub fn schema_of(text: &str) -> Option<&str> {
    let text = text.trim_start_matches('\u{feff}');
    let value = match text.trim_start().strip_prefix('{') {
        Some(inside) => in_braces(inside)?,
        // At the beginning of a line, so not a nested field and not in a text.
        None => text.lines().find_map(|line| field(line))?.split(" #").next()?,
    };
    let value = value.trim().trim_matches(['"', '\'']);
    let (kind, version) = value.split_once('/')?;
    let is_kind = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    (is_kind && !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit())).then_some(value)
}

/// The text after `retrace` and a colon, if `text` begins with them.
fn field(text: &str) -> Option<&str> {
    let key = ["retrace", "\"retrace\"", "'retrace'"].into_iter().find_map(|key| text.strip_prefix(key))?;
    key.trim_start().strip_prefix(':')
}

/// The value of the field `retrace` of a JSON object, or of a YAML mapping in braces, after the opening brace. Fields
/// of nested objects and text in quotes are passed over.
fn in_braces(text: &str) -> Option<&str> {
    let (mut depth, mut quote, mut key) = (1usize, None, true);
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        if depth == 1 && key && quote.is_none() && !letter.is_whitespace() {
            if let Some(value) = field(&text[at..]) {
                return value.split([',', '}', '\n']).find(|part| !part.trim().is_empty());
            }
            key = false;
        }
        match (quote, letter) {
            (Some('"'), '\\') => drop(letters.next()),
            (Some(open), close) if open == close => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(letter),
            (None, '{' | '[') => depth += 1,
            (None, '}' | ']') => depth = depth.saturating_sub(1),
            (None, ',') => key = true,
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_says_what_a_document_is() {
        for (text, expected) in [
            ("# about\n\nretrace: run/1\nname: a", Some("run/1")),
            ("---\nretrace: 'run/1' # kind\n", Some("run/1")),
            ("{\"retrace\": \"run/1\"}", Some("run/1")),
            ("name: a\nretrace: run/1\n", Some("run/1")),
            ("\"retrace\": run/1\n", Some("run/1")),
            ("'retrace' : \"run/1\"\n", Some("run/1")),
            ("retrace\t: run/1 # a run\n", Some("run/1")),
            ("{retrace: run/1, name: a}\n", Some("run/1")),
            ("{name: a, 'retrace' : run/1}", Some("run/1")),
            ("{\"retrace\" :\n  'run/1'}", Some("run/1")),
            ("{\"name\": \"retrace: run/1\"}", None),
            ("{\"text\": \"a, \\\" retrace: run/1\", \"retrace\":\"eval/1\"}", Some("eval/1")),
            ("{\"a\": [{\"retrace\": \"run/1\"}], \"b\": {\"retrace\": \"run/1\"}}", None),
            ("retraced: run/1\n", None),
            ("name: a\nnested:\n  retrace: run/1\n", None),
            ("{\"dependencies\": {\"retrace\": \"^1.0\"}}", None),
            ("site_name: docs\n", None),
            ("", None),
        ] {
            assert_eq!(schema_of(text), expected, "{text:?}");
        }
    }
}

//! JSON as Python writes it: strict, except for `NaN`, `Infinity` and `-Infinity`.
//!
//! Our own reader, because no well-maintained one accepts these three and nothing else beyond JSON, keeps numbers as
//! they are written, and refuses a repeated key.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::rows::{Problem, Rows};
use crate::value::Value;

/// Deeper nesting is refused: it is an attack on the stack, not a result.
const DEEPEST: usize = 128;
/// More values in one document are refused: two bytes can be a value, which takes some fifty bytes in memory.
const MOST_VALUES: usize = 1 << 24;

/// Reads one value; the bytes must contain nothing else.
pub(crate) fn read(bytes: &[u8]) -> Result<Value<'_>, Problem> {
    read_from(bytes, 1)
}

/// As [`read`], for bytes that begin at this line of their file.
pub(crate) fn read_from(bytes: &[u8], line: usize) -> Result<Value<'_>, Problem> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let refuse = |(at, what): Refused| {
        let before = &bytes[..at.min(bytes.len())];
        let line = line + before.iter().filter(|byte| **byte == b'\n').count();
        let column = at - before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1) + 1;
        Problem::at(format_args!("line {line}, column {column}"), what)
    };
    let text = std::str::from_utf8(bytes).map_err(|e| refuse((e.valid_up_to(), "not UTF-8".to_owned())))?;
    let mut reader = Reader { text, bytes, at: 0, depth: 0, values: 0 };
    reader.document().map_err(refuse)
}

/// Calls `each` for every line's value, with its line number from 1. A line that is not JSON is a problem, and reading
/// continues with the next; empty lines are skipped.
pub(crate) fn lines(bytes: &[u8], rows: &mut Rows, mut each: impl FnMut(usize, &Value<'_>, &mut Rows)) {
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match read_from(line, index + 1) {
            Ok(value) => each(index + 1, &value, rows),
            Err(problem) => rows.problem(problem),
        }
    }
}

/// The position in bytes, and what is wrong there.
type Refused = (usize, String);

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Value<'a>, Refused> {
        let value = self.value()?;
        self.space();
        if self.at < self.bytes.len() { Err(self.unexpected("the end")) } else { Ok(value) }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn unexpected(&self, wanted: &str) -> Refused {
        let what = match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(c) => format!("{c:?} where {wanted} is expected"),
            None => format!("the file ends where {wanted} is expected"),
        };
        (self.at, what)
    }

    /// Consumes the byte, after any white space.
    fn take(&mut self, byte: u8) -> bool {
        self.space();
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn word(&mut self, word: &'static str) -> bool {
        let there = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word));
        self.at += if there { word.len() } else { 0 };
        there
    }

    fn value(&mut self) -> Result<Value<'a>, Refused> {
        self.space();
        self.values += 1;
        if self.values > MOST_VALUES {
            return Err((self.at, format!("more than {MOST_VALUES} values")));
        }
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.word("null") => Ok(Value::Null),
            _ if self.word("true") => Ok(Value::Bool(true)),
            _ if self.word("false") => Ok(Value::Bool(false)),
            _ if self.word("NaN") => Ok(Value::Number("NaN".into())),
            _ if self.word("Infinity") => Ok(Value::Number("Infinity".into())),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value<'a>, Refused>) -> Result<Value<'a>, Refused> {
        if self.depth == DEEPEST {
            return Err((self.at, format!("more than {DEEPEST} levels of nesting")));
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Result<Value<'a>, Refused> {
        let mut entries: Vec<(Cow<'a, str>, Value<'a>)> = Vec::new();
        let mut keys = HashSet::new();
        if self.take(b'}') {
            return Ok(Value::Object(entries));
        }
        loop {
            self.space();
            let at = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a key"));
            }
            let key = self.string()?;
            // A few keys are searched faster than they are hashed.
            let doubled = if entries.len() < 8 {
                entries.iter().any(|(other, _)| *other == key)
            } else {
                if keys.is_empty() {
                    keys.extend(entries.iter().map(|(key, _)| key.clone()));
                }
                !keys.insert(key.clone())
            };
            if doubled {
                return Err((at, format!("duplicate key {key:?}")));
            }
            if !self.take(b':') {
                return Err(self.unexpected("':'"));
            }
            let value = self.value()?;
            entries.push((key, value));
            if self.take(b'}') {
                return Ok(Value::Object(entries));
            }
            if !self.take(b',') {
                return Err(self.unexpected("',' or '}'"));
            }
        }
    }

    fn array(&mut self) -> Result<Value<'a>, Refused> {
        let mut items = Vec::new();
        if self.take(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value()?);
            if self.take(b']') {
                return Ok(Value::Array(items));
            }
            if !self.take(b',') {
                return Err(self.unexpected("',' or ']'"));
            }
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Refused> {
        self.at += 1;
        let mut owned: Option<String> = None;
        loop {
            let from = self.at;
            let rest = self.bytes.get(from..).unwrap_or_default();
            let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).unwrap_or(rest.len());
            self.at += length;
            let plain = self.text.get(from..self.at).unwrap_or_default();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(match owned {
                        Some(text) => (text + plain).into(),
                        None => plain.into(),
                    });
                }
                Some(b'\\') => {
                    let text = owned.get_or_insert_default();
                    text.push_str(plain);
                    let c = self.escape()?;
                    text.push(c);
                }
                _ => return Err(self.unexpected("the end of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Refused> {
        let at = self.at;
        self.at += 2;
        Ok(match self.bytes.get(at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.hex().ok_or((at, "unknown escape sequence".to_owned()))?;
                let code = if (0xd800..0xdc00).contains(&first) && self.word("\\u") {
                    let second = self.hex().filter(|code| (0xdc00..0xe000).contains(code));
                    second.map(|second| 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
                } else {
                    Some(first)
                };
                // Python writes a lone surrogate unchanged; it is not a character.
                code.and_then(char::from_u32).ok_or((at, "half of a surrogate pair".to_owned()))?
            }
            _ => return Err((at, "unknown escape sequence".to_owned())),
        })
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        self.at += 4;
        digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    }

    fn number(&mut self) -> Result<Value<'a>, Refused> {
        let from = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.word("Infinity") {
            return Ok(Value::Number("-Infinity".into()));
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Value::Number(self.text.get(from..self.at).unwrap_or_default().into()))
    }

    fn digits(&mut self) -> Result<(), Refused> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if from == self.at { Err(self.unexpected("a digit")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_hand() {
        let value = read(br#" {"a": [1, -2.5e-3, NaN, -Infinity, true, null], "b\u00e9\ud83d\ude00\n": "x\"y"} "#);
        let number = |text: &'static str| Value::Number(text.into());
        let list = vec![number("1"), number("-2.5e-3"), number("NaN"), number("-Infinity"), Value::Bool(true)];
        let list = Value::Array(list.into_iter().chain([Value::Null]).collect());
        let object = vec![("a".into(), list), ("b\u{e9}\u{1f600}\n".into(), Value::String("x\"y".into()))];
        assert_eq!(value.unwrap(), Value::Object(object));
        assert!(read(b"NaN").unwrap().number().unwrap().is_nan());
        assert_eq!(read(b"-Infinity").unwrap().number(), Some(f64::NEG_INFINITY));
        assert_eq!(read(b"0.1").unwrap().number(), Some(0.1));
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        let deep = "[".repeat(100_000);
        let many: Vec<String> = (0..9).chain([8]).map(|key| format!("\"{key}\":0")).collect();
        let many = format!("{{{}}}", many.join(","));
        for (text, expected) in [
            (&b""[..], "line 1, column 1: the file ends"),
            (b"{\"a\": 1,\n \"a\": 2}", "line 2, column 2: duplicate key \"a\""),
            (many.as_bytes(), "duplicate key \"8\""),
            (b"{\"a\": 1", "the file ends where ',' or '}' is expected"),
            (b"[1,]", "column 4: ']' where a value"),
            (b"{a: 1}", "'a' where a key"),
            (b"01", "'1' where the end"),
            (b"1.", "a digit"),
            (b"+1", "'+' where a value"),
            (b"nan", "'n' where a value"),
            (b"'x'", "where a value"),
            (b"\"\x01\"", "the end of a string"),
            (b"\"abc", "the file ends where the end of a string"),
            (b"\"\\x\"", "unknown escape sequence"),
            (b"\"\\ud800\"", "half of a surrogate pair"),
            (b"\"\\u12", "unknown escape sequence"),
            (b"\"\\", "unknown escape sequence"),
            (b"[\"\xff\"]", "line 1, column 3: not UTF-8"),
            (b"1 2", "'2' where the end"),
            (deep.as_bytes(), "more than 128 levels of nesting"),
        ] {
            let problem = read(text).unwrap_err().to_string();
            assert!(problem.contains(expected), "{problem:?} lacks {expected:?}");
        }
        let deep = "[".repeat(128) + &"]".repeat(128);
        assert!(read(deep.as_bytes()).is_ok());
    }

    /// Every prefix of a document is refused, and none causes a panic.
    #[test]
    fn no_beginning_of_a_document_is_one() {
        let whole = "{\"k\\u00e9\": [1.5e+3, \"\u{1f600}\\\\\", {\"x\": -Infinity}], \"t\": true}".as_bytes();
        assert!(read(whole).is_ok());
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length} bytes");
        }
    }
}

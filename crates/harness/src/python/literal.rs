//! `ast.literal_eval`: texts that are values of Python.

use super::{Dict, Value};

/// Values inside each other to this depth are read.
const DEEPEST: usize = 32;

/// The value that a text writes, as `ast.literal_eval`: numbers, texts, lists, tuples, dicts with texts as keys,
/// `True`, `False` and `None`.
///
/// # Errors
/// If the text is something else.
pub fn literal(text: &str) -> Result<Value, String> {
    // Python ignores blanks and tabs before an expression, and line ends after it.
    let mut reader = Reader { rest: text.trim_start_matches([' ', '\t']) };
    let value = reader.value(0).and_then(|value| match reader.skip() {
        "" => Ok(value),
        rest => Err(format!("something follows the value: {}", retrace_spec::foreign::excerpt(rest))),
    });
    value.map_err(|what| format!("{:?} is no value of Python: {what}", retrace_spec::foreign::excerpt(text)))
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn skip(&mut self) -> &'a str {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
        self.rest
    }

    fn take(&mut self, token: &str) -> bool {
        let rest = self.skip().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEEPEST {
            return Err(format!("it has more than {DEEPEST} levels"));
        }
        match self.skip().chars().next() {
            None => Err("a value is missing".to_owned()),
            Some('[') => self.items(depth, '[', ']').map(|(items, _)| Value::List(items)),
            Some('(') => {
                let (mut items, comma) = self.items(depth, '(', ')')?;
                match items.len() {
                    // Brackets around one value mean nothing.
                    1 if !comma => Ok(items.remove(0)),
                    _ => Ok(Value::List(items)),
                }
            }
            Some('{') => self.dict(depth),
            Some('\'' | '"') => {
                let mut text = self.text()?;
                // Texts beside each other are one.
                while matches!(self.skip().chars().next(), Some('\'' | '"')) {
                    text += &self.text()?;
                }
                Ok(Value::Text(text))
            }
            Some('-' | '+' | '.' | '0'..='9') => self.number(),
            Some(_) => {
                for (name, value) in [("True", Value::Bool(true)), ("False", Value::Bool(false)), ("None", Value::None)]
                {
                    if let Some(rest) = self.rest.strip_prefix(name)
                        && !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
                    {
                        self.rest = rest;
                        return Ok(value);
                    }
                }
                Err(format!("at {:?}", retrace_spec::foreign::excerpt(self.rest)))
            }
        }
    }

    fn items(&mut self, depth: usize, open: char, close: char) -> Result<(Vec<Value>, bool), String> {
        self.take(open.encode_utf8(&mut [0; 4]));
        let (mut items, mut comma) = (Vec::new(), false);
        loop {
            if self.take(close.encode_utf8(&mut [0; 4])) {
                return Ok((items, comma));
            }
            if !items.is_empty() && !comma {
                return Err(format!("`,` or `{close}` is missing"));
            }
            items.push(self.value(depth + 1)?);
            comma = self.take(",");
        }
    }

    fn dict(&mut self, depth: usize) -> Result<Value, String> {
        self.take("{");
        let (mut dict, mut comma) = (Dict::default(), true);
        loop {
            if self.take("}") {
                return Ok(Value::Dict(dict));
            }
            if !comma {
                return Err("`,` or `}` is missing".to_owned());
            }
            let Value::Text(key) = self.value(depth + 1)? else { return Err("a key is no text".to_owned()) };
            if !self.take(":") {
                return Err("`:` is missing".to_owned());
            }
            dict.insert(key, self.value(depth + 1)?);
            comma = self.take(",");
        }
    }

    fn number(&mut self) -> Result<Value, String> {
        let sign = self.rest.len() - self.rest.trim_start_matches(['-', '+']).len();
        let mut exponent = false;
        let end = self.rest[sign..].find(|c: char| {
            let within = c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || exponent && matches!(c, '+' | '-');
            exponent = matches!(c, 'e' | 'E');
            !within
        });
        let (text, rest) = self.rest.split_at(end.map_or(self.rest.len(), |end| sign + end));
        let wrong = || format!("{text:?} is no number");
        let digits = &text[sign..];
        if sign > 1 || digits.contains('_') {
            return Err(wrong());
        }
        self.rest = rest;
        let negative = text.starts_with('-');
        if digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.is_empty() {
            if digits.starts_with('0') && digits.bytes().any(|byte| byte != b'0') {
                return Err(wrong());
            }
            let number: i128 = digits.parse().map_err(|_| wrong())?;
            return Ok(Value::Int(if negative { -number } else { number }));
        }
        if digits.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(wrong());
        }
        let number: f64 = digits.parse().map_err(|_| wrong())?;
        Ok(Value::Float(if negative { -number } else { number }))
    }

    fn text(&mut self) -> Result<String, String> {
        let quote = if self.rest.starts_with('"') { "\"" } else { "'" };
        let triple = quote.repeat(3);
        let end = if self.rest.starts_with(&triple) { triple.as_str() } else { quote };
        self.rest = &self.rest[end.len()..];
        let mut out = String::new();
        loop {
            if let Some(rest) = self.rest.strip_prefix(end) {
                self.rest = rest;
                return Ok(out);
            }
            let mut characters = self.rest.chars();
            match characters.next() {
                None => return Err("a text does not end".to_owned()),
                Some('\n') if end.len() == 1 => return Err("a line ends inside a text".to_owned()),
                Some('\\') => {
                    let Some(escape) = characters.next() else { return Err("a text does not end".to_owned()) };
                    self.rest = characters.as_str();
                    self.escape(escape, &mut out)?;
                }
                Some(c) => {
                    out.push(c);
                    self.rest = characters.as_str();
                }
            }
        }
    }

    fn escape(&mut self, escape: char, out: &mut String) -> Result<(), String> {
        let mut code = |digits: usize, radix: u32| -> Result<(), String> {
            let text = self.rest.get(..digits).filter(|text| text.chars().all(|c| c.is_digit(radix)));
            let number = text.and_then(|text| u32::from_str_radix(text, radix).ok()).and_then(char::from_u32);
            out.push(number.ok_or_else(|| format!("`\\{escape}` names no character"))?);
            self.rest = &self.rest[digits..];
            Ok(())
        };
        match escape {
            'x' => return code(2, 16),
            'u' => return code(4, 16),
            'U' => return code(8, 16),
            '0'..='7' => {
                let more = self.rest.chars().take(2).take_while(|c| c.is_digit(8)).count();
                let digits = format!("{escape}{}", &self.rest[..more]);
                self.rest = &self.rest[more..];
                out.extend(u32::from_str_radix(&digits, 8).ok().and_then(char::from_u32));
            }
            'N' => return Err("names of characters (`\\N`) are not read".to_owned()),
            '\n' => {}
            '\\' | '\'' | '"' => out.push(escape),
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'a' => out.push('\u{7}'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'v' => out.push('\u{b}'),
            // Python keeps what is no escape.
            other => out.extend(['\\', other]),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_python_does() {
        for (text, repr) in [
            ("  [1, -2.5, 'a\\'b', \"c\" 'd', None, True,]\n", "[1, -2.5, \"a'b\", 'cd', None, True]"),
            ("('a')", "'a'"),
            ("('a',)", "['a']"),
            ("{'a': {'b': []}, 'a': 1}", "{'a': 1}"),
            ("'\\x41\\u4e2d\\101\\q'", "'A中A\\\\q'"),
            ("'''a\nb'''", "'a\\nb'"),
            ("1e-3", "0.001"),
            ("0", "0"),
            ("00", "0"),
        ] {
            assert_eq!(literal(text).unwrap().repr(), repr, "{text}");
        }
        for text in [
            "",
            "[1",
            "a",
            "01",
            "1 2",
            "'a\nb'",
            "{1: 2}",
            "Truely",
            "[1 2]",
            "--1",
            "'\\ud800'",
            "f()",
            "1_0",
            "infinity",
        ] {
            literal(text).unwrap_err();
        }
        literal(&"[".repeat(1_000_000)).unwrap_err();
    }
}

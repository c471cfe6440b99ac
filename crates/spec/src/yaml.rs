//! Checks YAML before its parser, serde_yaml's libyaml, reads it.
//!
//! The parser reads the complete text first, and is quadratic in several things: nesting of brackets, `%TAG`
//! lines, blanks inside a scalar. Anchors, aliases and tags let a short text expand to a huge one, or hide
//! its meaning. This module detects all of these in one pass that stores only the indents. It decides what
//! begins a token in the same way as libyaml; otherwise a character that only looks like a quote could hide
//! what follows. If the text is malformed, the parser reports it, and the result of this module after that
//! position does not matter.

/// Deeper nesting is refused; documents of retrace have less than ten levels.
const DEEPEST: usize = 64;
/// More lines that begin with `%` are refused; a text has at most one, for its version.
const MOST_DIRECTIVES: usize = 8;
/// More blanks or empty lines in a row within a scalar are refused.
const MOST_BLANKS: usize = 1024;

/// Whether a text may have anchors, aliases and tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Indirection {
    Allowed,
    Refused,
}

/// The line and column, from 1, and what is wrong there.
pub(crate) type Refused = (usize, usize, String);

/// Whether the text may be given to the parser.
pub(crate) fn look(text: &str, indirection: Indirection) -> Result<(), Refused> {
    let bytes = text.as_bytes();
    // The parser counts a byte order mark as a column.
    let (at, line_begins) = if bytes.starts_with(BYTE_ORDER_MARK) { (3, 2) } else { (0, 0) };
    let mut scan = Scan {
        bytes,
        at,
        line: 0,
        line_begins,
        indents: Vec::new(),
        flow: 0,
        may_be_key: true,
        key: None,
        directives: 0,
        indirection,
    };
    while let Some(byte) = scan.next_token()? {
        scan.token(byte)?;
    }
    Ok(())
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
    line_begins: usize,
    /// The columns of the block collections that are open.
    indents: Vec<usize>,
    /// How many brackets are open.
    flow: usize,
    /// Whether the next token may be the key of a mapping without `?`, if a `:` follows it.
    may_be_key: bool,
    /// Line and column of a possible key, outside of brackets.
    key: Option<(usize, usize)>,
    directives: usize,
    indirection: Indirection,
}

impl Scan<'_> {
    fn byte(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    const fn column(&self) -> usize {
        self.at - self.line_begins
    }

    fn refuse(&self, what: impl Into<String>) -> Refused {
        (self.line + 1, self.column() + 1, what.into())
    }

    /// The length of the line break `ahead`: YAML 1.1 includes those of Unicode.
    fn line_break(&self, ahead: usize) -> Option<usize> {
        match self.byte(ahead)? {
            b'\r' if self.byte(ahead + 1) == Some(b'\n') => Some(2),
            b'\r' | b'\n' => Some(1),
            0xc2 if self.byte(ahead + 1) == Some(0x85) => Some(2),
            0xe2 if self.byte(ahead + 1) == Some(0x80) && matches!(self.byte(ahead + 2), Some(0xa8 | 0xa9)) => Some(3),
            _ => None,
        }
    }

    fn take_line_break(&mut self) -> bool {
        let length = self.line_break(0);
        if let Some(length) = length {
            self.at += length;
            self.line += 1;
            self.line_begins = self.at;
        }
        length.is_some()
    }

    /// Whether a blank, a line break or the end is `ahead`.
    fn is_blank(&self, ahead: usize) -> bool {
        matches!(self.byte(ahead), None | Some(b' ' | b'\t')) || self.line_break(ahead).is_some()
    }

    fn skip_line(&mut self) {
        while self.at < self.bytes.len() && self.line_break(0).is_none() {
            self.at += 1;
        }
    }

    /// The first byte of the next token.
    fn next_token(&mut self) -> Result<Option<u8>, Refused> {
        loop {
            if self.column() == 0 && self.bytes[self.at..].starts_with(BYTE_ORDER_MARK) {
                return Err(self.refuse("a byte order mark inside the text"));
            }
            while let Some(b' ' | b'\t') = self.byte(0) {
                self.at += 1;
            }
            if self.byte(0) == Some(b'#') {
                self.skip_line();
            }
            if !self.take_line_break() {
                return Ok(self.byte(0));
            }
            if self.flow == 0 {
                self.may_be_key = true;
            }
        }
    }

    fn token(&mut self, byte: u8) -> Result<(), Refused> {
        let column = self.column();
        self.key = self.key.filter(|(line, _)| *line == self.line);
        if self.flow == 0 {
            self.close_deeper_than(column);
        }
        if column == 0 && (byte == b'%' || self.is_document_mark()) {
            self.directives += usize::from(byte == b'%');
            if self.directives > MOST_DIRECTIVES {
                return Err(self.refuse(format!("more than {MOST_DIRECTIVES} lines that begin with `%`")));
            }
            if self.flow == 0 {
                self.indents.clear();
            }
            (self.key, self.may_be_key) = (None, false);
            match byte {
                b'%' => self.skip_line(),
                _ => self.at += 3,
            }
            return Ok(());
        }
        let begins_value = self.flow > 0 || self.is_blank(1);
        match byte {
            b'[' | b'{' => {
                self.note_key();
                self.flow += 1;
                self.check_depth()?;
                self.may_be_key = true;
            }
            b']' | b'}' => {
                self.forget_key();
                self.flow = self.flow.saturating_sub(1);
                self.may_be_key = false;
            }
            b',' => {
                self.forget_key();
                self.may_be_key = true;
            }
            b'-' if self.is_blank(1) => {
                self.open(column)?;
                self.forget_key();
                self.may_be_key = true;
            }
            b'?' if begins_value => {
                self.open(column)?;
                self.forget_key();
                self.may_be_key = self.flow == 0;
            }
            b':' if begins_value => {
                let key = if self.flow == 0 { self.key.take() } else { None };
                self.open(key.map_or(column, |(_, column)| column))?;
                self.may_be_key = self.flow == 0 && key.is_none();
            }
            b'&' | b'*' | b'!' => return self.indirection(byte),
            b'|' | b'>' if self.flow == 0 => {
                (self.key, self.may_be_key) = (None, true);
                return self.block_scalar();
            }
            b'\'' | b'"' => {
                self.note_key();
                return self.quoted(byte);
            }
            _ => {
                self.note_key();
                return self.plain();
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Whether `---` or `...` is here, with nothing after it.
    fn is_document_mark(&self) -> bool {
        let rest = &self.bytes[self.at..];
        (rest.starts_with(b"---") || rest.starts_with(b"...")) && self.is_blank(3)
    }

    /// The token that begins here may be a key.
    fn note_key(&mut self) {
        if self.flow == 0 && self.may_be_key {
            self.key = Some((self.line, self.column()));
        }
        self.may_be_key = false;
    }

    fn forget_key(&mut self) {
        if self.flow == 0 {
            self.key = None;
        }
    }

    /// The entries or keys of a block collection are at this column.
    fn open(&mut self, column: usize) -> Result<(), Refused> {
        if self.flow > 0 || self.indents.last().is_some_and(|indent| *indent >= column) {
            return Ok(());
        }
        self.indents.push(column);
        self.check_depth()
    }

    fn close_deeper_than(&mut self, column: usize) {
        while self.indents.last().is_some_and(|indent| *indent > column) {
            self.indents.pop();
        }
    }

    fn check_depth(&self) -> Result<(), Refused> {
        match self.indents.len() + self.flow > DEEPEST {
            true => Err(self.refuse(format!("more than {DEEPEST} levels of nesting"))),
            false => Ok(()),
        }
    }

    fn check_blanks(&self, blanks: usize) -> Result<(), Refused> {
        match blanks > MOST_BLANKS {
            true => Err(self.refuse(format!("more than {MOST_BLANKS} blanks or empty lines in a row"))),
            false => Ok(()),
        }
    }

    fn indirection(&mut self, byte: u8) -> Result<(), Refused> {
        if self.indirection == Indirection::Refused {
            return Err(self.refuse(format!(
                "`{}` begins a YAML anchor, alias or tag, which are not allowed; write the value itself, or put it in quotes",
                char::from(byte)
            )));
        }
        self.note_key();
        self.at += 1;
        // Only these characters can end a tag, and none of them can be in an anchor.
        let within = |scan: &Self| match byte {
            b'!' => !(scan.is_blank(0) || scan.flow > 0 && scan.byte(0) == Some(b',')),
            _ => scan.byte(0).is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-')),
        };
        while within(self) {
            self.at += 1;
        }
        Ok(())
    }

    fn quoted(&mut self, quote: u8) -> Result<(), Refused> {
        self.at += 1;
        let mut blanks = 0;
        while let Some(byte) = self.byte(0) {
            if matches!(byte, b' ' | b'\t') {
                self.at += 1;
                blanks += 1;
                self.check_blanks(blanks)?;
            } else if self.take_line_break() {
                blanks += 1;
                self.check_blanks(blanks)?;
            } else {
                blanks = 0;
                self.at += 1;
                if byte == quote {
                    if quote == b'"' || self.byte(0) != Some(quote) {
                        return Ok(());
                    }
                    self.at += 1;
                } else if quote == b'"' && byte == b'\\' && !self.take_line_break() {
                    self.at += 1;
                }
            }
        }
        Ok(())
    }

    fn plain(&mut self) -> Result<(), Refused> {
        let least = self.indents.last().map_or(0, |indent| indent + 1);
        loop {
            if self.byte(0) == Some(b'#') || self.column() == 0 && self.is_document_mark() {
                return Ok(());
            }
            while !self.is_blank(0) {
                let ends = match self.byte(0) {
                    Some(b':') => self.is_blank(1),
                    Some(b',' | b'[' | b']' | b'{' | b'}') => self.flow > 0,
                    _ => false,
                };
                if ends {
                    return Ok(());
                }
                self.at += 1;
            }
            let (mut blanks, mut lines) = (0, 0);
            while self.at < self.bytes.len() {
                if self.take_line_break() {
                    lines += 1;
                } else if self.is_blank(0) {
                    self.at += 1;
                } else {
                    break;
                }
                blanks += 1;
                self.check_blanks(blanks)?;
            }
            let ended = self.at >= self.bytes.len() || self.flow == 0 && self.column() < least;
            if lines > 0 && (ended || self.byte(0) == Some(b'#')) {
                self.may_be_key = true;
            }
            if ended {
                return Ok(());
            }
        }
    }

    fn block_scalar(&mut self) -> Result<(), Refused> {
        self.at += 1;
        let mut indent = None;
        while let Some(byte @ (b'+' | b'-' | b'0'..=b'9')) = self.byte(0) {
            if byte.is_ascii_digit() {
                indent = Some(self.indents.last().copied().unwrap_or(0) + usize::from(byte - b'0'));
            }
            self.at += 1;
        }
        self.skip_line();
        self.take_line_break();
        let mut deepest = 0;
        loop {
            // Empty lines, and the indent of the next one.
            let mut lines = 0;
            loop {
                while self.byte(0) == Some(b' ') && indent.is_none_or(|indent| self.column() < indent) {
                    self.at += 1;
                }
                deepest = deepest.max(self.column());
                if !self.take_line_break() {
                    break;
                }
                lines += 1;
                self.check_blanks(lines)?;
            }
            let least = self.indents.last().map_or(1, |indent| indent + 1);
            let indent = *indent.get_or_insert(deepest.max(least));
            if self.column() != indent || self.at >= self.bytes.len() {
                return Ok(());
            }
            self.skip_line();
            self.take_line_break();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn told(text: &str) -> Result<(), String> {
        look(text, Indirection::Refused).map_err(|(line, column, what)| format!("{line}:{column}: {what}"))
    }

    /// Texts that the parser reads, each ending in a sequence whose only entry is an anchored `x`: whatever precedes
    /// it, the anchor is found at its position. The parser itself confirms that there is an anchor.
    #[test]
    fn nothing_hides_what_follows() {
        for text in [
            "a: |\n  'x\n",
            "a: >-\n  \"x\n\n   [[[\n",
            "a: |2\n     ' x\n  '\n",
            "- |\n '\n- b: |\n   \"\n  c: '\n\n\n    '\n",
            "a: b\n  'c\n  - [ \"\n",
            "a:\n  - b\n   'c\n",
            "a: 'b''c'\nd: \"\\\"\\\\\"\n",
            "a: \"x\\\n  ' y\"\n",
            "a: 'x\n\n  # no comment '\n",
            "a: [b, 'c', {d: \"e\"}, f'g]\nh: i]'\n",
            "a: {b: c#d, # e '\n  f: 'g'}\n",
            "? a\n: 'b'\n? |\n  '\n: c\n",
            "? [a, b]\n: - c\n  - 'd\n    e'\n",
            "a: b # '\nc: d#'\n",
            "a: b\u{2028}c: '\u{2028}\n  '\n",
            "a: \"\u{85}\"\n",
            "a b': c\nd'e: \"f\"\n",
            "a:\n- b: |+\n    '\n\n\n  c: d\n- 'e'\n",
            "a: -'\nb: ?'\nc: :'\n",
            "a: https://x:1/'\nb: ::c\n",
            "a: |\n\n\n    '\n   \nb: c\n",
            "a: ''\nb: \"\"\nc: ''''\n",
            "a: 1\r\nb: |\r\n  '\r\n",
        ] {
            let list = text.starts_with('-') || text.starts_with("\n-");
            let last = if list { "- &z x\n- *z\n" } else { "zz: &z x\nyy: *z\n" };
            let whole = format!("{text}{last}");
            let parsed: Result<serde_yaml::Value, _> = serde_yaml::from_str(&whole);
            let parsed = parsed.unwrap_or_else(|e| panic!("{whole:?}: {e}"));
            let expanded = serde_yaml::to_string(&parsed).expect("YAML");
            assert!(expanded.trim_end().ends_with('x'), "{whole:?} is read as {expanded:?}");
            let place = whole.find("&z").expect("is there");
            let line = whole[..place].split(['\n', '\u{2028}', '\u{85}']).count();
            assert!(told(&whole).is_err_and(|e| e.starts_with(&format!("{line}:"))), "{whole:?}: {:?}", told(&whole));
            assert_eq!(told(text), Ok(()), "{text:?}");
        }
    }

    /// The parser is the reference: it refuses an undefined alias, so it must find none in a text that passes. Texts
    /// are random combinations of what has a special meaning in YAML.
    #[test]
    fn what_the_parser_sees_is_seen() {
        let parts = [
            "*z", " ", "  ", "\n", "\n  ", "\n ", ": ", "- ", "? ", "'", "\"", "|", ">", "|2", "|-\n", ">+\n  ", "#",
            " #", "[", "]", "{", "}", ",", "a", "b: ", "\\", "-", ":", "?", "\t", "---", "\n---\n", "%", "\r\n",
            "\u{2028}", "\u{85}", "é", "\n\n", "- |\n", "'x'", "\"y\"", "&", "!", "!t ", "\n- ", "\nc: ", "\n   d: ",
            "c: |\n", "\n     ", "a b", "\u{feff}", "@", "...", "*z\n",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) as usize) % below
        };
        let mut found = 0;
        for _ in 0..20_000 {
            let text: String = (0..1 + random(14)).map(|_| parts[random(parts.len())]).collect();
            let error = serde_yaml::from_str::<serde::de::IgnoredAny>(&text).err().map(|e| e.to_string());
            if error.is_some_and(|e| e.contains("unknown anchor")) {
                found += 1;
                assert!(told(&text).is_err(), "an alias in {text:?} is passed over");
            }
        }
        assert!(found > 200, "{found} aliases were found");
    }

    #[test]
    fn depth_and_runs_are_bounded() {
        let nested = |open: &str, close: &str, deep: usize| open.repeat(deep) + "x" + &close.repeat(deep);
        assert_eq!(told(&nested("[", "]", 64)), Ok(()));
        assert_eq!(told(&nested("[", "]", 65)).unwrap_err(), "1:65: more than 64 levels of nesting");
        assert!(told(&nested("- ", "", 64)).is_ok() && told(&nested("- ", "", 65)).is_err());
        assert!(told(&nested("{a: ", "}", 65)).is_err());
        assert!(told(&nested("? ", "", 65)).is_err());
        let steps: String = (0..65).map(|depth| " ".repeat(depth) + "a:\n").collect();
        assert!(told(&steps).unwrap_err().starts_with("65:66"));
        // Brackets side by side are not nested.
        assert_eq!(told(&"- [a, {b: c}]\n- - d\n  - e: [f]\n".repeat(1000)), Ok(()));
        for (text, expected) in [
            (format!("a: 'b{}c'", " ".repeat(1025)), "1:"),
            (format!("a: b{}c", " ".repeat(1025)), "1:"),
            (format!("a: \"b{}c\"", "\n".repeat(1025)), "1026:"),
            (format!("a: |\n b{}c", "\n".repeat(1027)), "1028:"),
            ("%TAG ! x\n".repeat(9), "9:1"),
        ] {
            assert!(told(&text).unwrap_err().starts_with(expected), "{:?}", told(&text));
        }
    }

    /// Any text is checked in time proportional to its length, and the parser is fast on what passes.
    #[test]
    fn hostile_megabytes_are_quick() {
        let fill = |part: &str| part.repeat((1 << 20) / part.len());
        let texts = [
            fill("["),
            fill("[a,"),
            fill("{a: "),
            fill("- "),
            fill("? "),
            fill("'"),
            fill("a: [\"]\", "),
            fill("[\"]\",\n"),
            fill("- |\n '\n- [[[\n"),
            fill("%TAG !a! b\n"),
            format!("a: 'x{}{}'", fill(" "), fill("y ")),
            format!("a: |\n  x{}{}", fill("\n"), fill("  y\n")),
            fill(&("[".repeat(60) + "x" + &"]:".repeat(60) + ",\n")),
            fill(&("- ".to_owned() + &"[".repeat(60) + &"a,".repeat(400) + &"]: b".repeat(60) + "\n")),
            fill("- &a x\n"),
            fill("- !a x\n"),
            fill("a"),
            fill("#"),
            fill("\n"),
            fill("\t"),
        ];
        for text in texts {
            let started = Instant::now();
            let looked = look(&text, Indirection::Allowed);
            let after = started.elapsed();
            if looked.is_ok() {
                let _ = serde_yaml::from_str::<serde::de::IgnoredAny>(&text);
            }
            let whole = started.elapsed();
            // Allows for slow machines and builds without optimisation; a quadratic algorithm takes minutes.
            assert!(
                after < Duration::from_secs(1) && whole < Duration::from_secs(10),
                "{:.40}: {after:?}, {whole:?}",
                text
            );
        }
    }
}

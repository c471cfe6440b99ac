//! A pattern of Python's `re`, written so that `fancy_regex` reads the same meaning.
//!
//! Different are: `\Z` (the end, not before a last line break), `$` (also before a last line break), `\d`, `\w`, `\s`
//! and `\b` (other characters of Unicode), `[` and `&&` in classes (plain characters), `{` where no count follows (a
//! plain character), and escapes.

use super::PatternError;

const WORD: &str = r"\p{L}\p{N}_";
const SPACE: &str = r"\s\x1c-\x1f";

pub(super) fn translate(pattern: &str) -> Result<String, PatternError> {
    let mut translation = Translation {
        pattern,
        characters: pattern.chars().collect(),
        at: 0,
        out: String::new(),
        open: vec![Open::default()],
    };
    translation.all()?;
    Ok(translation.out)
}

struct Translation<'a> {
    pattern: &'a str,
    characters: Vec<char>,
    at: usize,
    out: String,
    /// The whole pattern, and each group that is open.
    open: Vec<Open>,
}

/// A group that is open.
#[derive(Default, Clone, Copy)]
struct Open {
    /// Whether `$` means the end of a line.
    lines: bool,
    /// Where it begins in what was written.
    start: usize,
    /// Whether it, or a group in it, is captured.
    captures: bool,
}

impl Translation<'_> {
    fn refused(&self, what: impl Into<String>) -> PatternError {
        PatternError::Refused { pattern: self.pattern.to_owned(), what: what.into() }
    }

    fn wrong(&self, problem: &str) -> PatternError {
        PatternError::Wrong { pattern: self.pattern.to_owned(), problem: problem.to_owned() }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.characters.get(self.at + ahead).copied()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek(0);
        self.at += usize::from(character.is_some());
        character
    }

    /// The text up to a character, which is passed.
    fn until(&mut self, end: char) -> Result<String, PatternError> {
        let mut text = String::new();
        loop {
            match self.next() {
                Some(character) if character == end => return Ok(text),
                Some(character) => text.push(character),
                None => return Err(self.wrong(&format!("a '{end}' is missing"))),
            }
        }
    }

    fn all(&mut self) -> Result<(), PatternError> {
        while let Some(character) = self.next() {
            match character {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '(' => self.open()?,
                ')' => {
                    self.close()?;
                }
                '$' if self.lines() => self.out.push_str(r"(?m:$)"),
                '$' => self.out.push_str(r"(?=\n?\z)"),
                '{' => self.count(),
                '}' | ']' => {
                    self.out.push('\\');
                    self.out.push(character);
                }
                '#' | '&' | '~' | '-' | ' ' => self.literal(character),
                other => self.out.push(other),
            }
        }
        if self.open.len() > 1 {
            return Err(self.wrong("a ')' is missing"));
        }
        Ok(())
    }

    fn lines(&self) -> bool {
        self.open.last().is_some_and(|open| open.lines)
    }

    fn begin(&mut self, written: &str, lines: bool, captures: bool) {
        self.open.push(Open { lines, start: self.out.len(), captures });
        self.out.push_str(written);
    }

    fn close(&mut self) -> Result<(), PatternError> {
        if self.open.len() == 1 {
            return Err(self.wrong("a ')' closes nothing"));
        }
        self.out.push(')');
        let Some(closed) = self.open.pop() else { return Ok(()) };
        if let Some(outer) = self.open.last_mut() {
            outer.captures |= closed.captures;
        }
        // Python repeats an empty group once more and captures that; other engines do not.
        if closed.captures && matches!(self.peek(0), Some('*' | '+' | '{')) {
            let alone = fancy_regex::Regex::new(&format!(r"\A{}\z", &self.out[closed.start..]));
            if alone.is_ok_and(|alone| alone.is_match("").unwrap_or(true)) {
                return Err(self.refused("a repeated group that can be empty"));
            }
        }
        Ok(())
    }

    /// A plain character, outside of classes.
    fn literal(&mut self, character: char) {
        if matches!(character, '\\' | '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$') {
            self.out.push('\\');
        }
        self.out.push(character);
    }

    /// A count such as `{2,3}`, or a plain brace.
    fn count(&mut self) {
        let rest: String = self.characters[self.at..].iter().take_while(|&&character| character != '}').collect();
        let closed = self.at + rest.chars().count() < self.characters.len();
        let (least, most) = rest.split_once(',').unwrap_or((&rest, &rest));
        let digits = |text: &str| text.chars().all(|character| character.is_ascii_digit());
        if !closed || rest.is_empty() || !digits(least) || !digits(most) {
            self.out.push_str(r"\{");
            return;
        }
        let least = if least.is_empty() { "0" } else { least };
        if rest.contains(',') {
            self.out.push_str(&format!("{{{least},{most}}}"));
        } else {
            self.out.push_str(&format!("{{{least}}}"));
        }
        self.at += rest.chars().count() + 1;
    }

    fn open(&mut self) -> Result<(), PatternError> {
        let inherited = self.lines();
        if self.peek(0) != Some('?') {
            self.begin("(", inherited, true);
            return Ok(());
        }
        self.at += 1;
        match self.next() {
            Some('#') => {
                self.until(')')?;
                return Ok(());
            }
            Some('P') => match self.next() {
                Some('<') => {
                    let name = self.until('>')?;
                    self.begin(&format!("(?P<{name}>"), inherited, true);
                }
                Some('=') => {
                    let name = self.until(')')?;
                    self.out.push_str(&format!("(?P={name})"));
                    return Ok(());
                }
                _ => return Err(self.wrong("'(?P' is followed by neither '<' nor '='")),
            },
            Some('<') => match self.next() {
                Some(kind @ ('=' | '!')) => {
                    self.begin(&format!("(?<{kind}"), inherited, false);
                }
                _ => return Err(self.wrong("'(?<' is followed by neither '=' nor '!'")),
            },
            Some(kind @ (':' | '=' | '!' | '>')) => {
                self.begin(&format!("(?{kind}"), inherited, false);
            }
            Some('(') => return Err(self.refused("a conditional group")),
            Some(_) => {
                self.at -= 1;
                return self.flags(inherited);
            }
            None => return Err(self.wrong("it ends in a group")),
        }
        Ok(())
    }

    /// `(?im)` or `(?i-s:`.
    fn flags(&mut self, inherited: bool) -> Result<(), PatternError> {
        let first = self.at == 2;
        let mut lines = inherited;
        let (mut on, mut off) = (String::new(), String::new());
        let mut negative = false;
        loop {
            match self.next() {
                Some('-') if !negative => negative = true,
                Some('u') => {}
                Some(flag @ ('i' | 's' | 'm')) => {
                    if flag == 'm' {
                        lines = !negative;
                    }
                    if negative { off.push(flag) } else { on.push(flag) }
                }
                Some(flag @ ('a' | 'L' | 'x')) => return Err(self.refused(format!("the flag '{flag}'"))),
                Some(end @ (')' | ':')) => {
                    if end == ')' && !first {
                        return Err(self.wrong("flags for the whole pattern are not at its start"));
                    }
                    let off = if off.is_empty() { off } else { format!("-{off}") };
                    let written = format!("(?{on}{off}{end}");
                    if end == ':' {
                        self.begin(&written, lines, false);
                        return Ok(());
                    }
                    if let Some(whole) = self.open.last_mut() {
                        whole.lines = lines;
                    }
                    if written != "(?)" {
                        self.out.push_str(&written);
                    }
                    return Ok(());
                }
                _ => return Err(self.wrong("'(?' is followed by something unknown")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), PatternError> {
        let Some(character) = self.next() else { return Err(self.wrong("it ends in a backslash")) };
        match character {
            'd' => self.out.push_str(r"\p{Nd}"),
            'D' => self.out.push_str(r"\P{Nd}"),
            'w' => self.out.push_str(&format!("[{WORD}]")),
            'W' => self.out.push_str(&format!("[^{WORD}]")),
            's' => self.out.push_str(&format!("[{SPACE}]")),
            'S' => self.out.push_str(&format!("[^{SPACE}]")),
            'b' => self.out.push_str(&format!("(?:(?<=[{WORD}])(?![{WORD}])|(?<![{WORD}])(?=[{WORD}]))")),
            // Up to Python 3.13, an empty text has no place without a border of words.
            'B' => self.out.push_str(&format!(
                r"(?:(?<=[{WORD}])(?=[{WORD}])|(?<![{WORD}])(?![{WORD}])(?:(?=[\s\S])|(?<=[\s\S])))"
            )),
            'A' => self.out.push_str(r"\A"),
            'Z' => self.out.push_str(r"\z"),
            '1'..='9' => {
                let mut number = String::from(character);
                if let Some(digit) = self.peek(0).filter(char::is_ascii_digit) {
                    let octal = |character: Option<char>| character.is_some_and(|digit| ('0'..='7').contains(&digit));
                    if character <= '3' && octal(Some(digit)) && octal(self.peek(1)) {
                        return Err(self.refused("an octal escape"));
                    }
                    number.push(digit);
                    self.at += 1;
                }
                // A group that took part in no match fails to match again in both.
                self.out.push_str(&format!("(?:\\{number})"));
            }
            other => {
                let character = self.character(other, false)?;
                self.literal(character);
            }
        }
        Ok(())
    }

    /// The one character that an escape means.
    fn character(&mut self, after: char, class: bool) -> Result<char, PatternError> {
        Ok(match after {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'f' => '\u{c}',
            'v' => '\u{b}',
            'a' => '\u{7}',
            'b' if class => '\u{8}',
            'x' => self.code(2)?,
            'u' => self.code(4)?,
            'U' => self.code(8)?,
            '0'..='9' => return Err(self.refused("an octal escape")),
            'N' => return Err(self.refused("a character by its name")),
            other if other.is_ascii_alphabetic() => {
                return Err(self.wrong(&format!("the escape '\\{other}' is unknown")));
            }
            other => other,
        })
    }

    fn code(&mut self, digits: usize) -> Result<char, PatternError> {
        let text: String = (0..digits).filter_map(|_| self.next()).collect();
        u32::from_str_radix(&text, 16)
            .ok()
            .filter(|_| text.len() == digits)
            .and_then(char::from_u32)
            .ok_or_else(|| self.wrong("an escape needs hexadecimal digits of a character"))
    }

    /// A class in brackets.
    fn class(&mut self) -> Result<(), PatternError> {
        self.out.push('[');
        if self.peek(0) == Some('^') {
            self.at += 1;
            self.out.push('^');
        }
        let start = self.at;
        loop {
            let Some(character) = self.next() else { return Err(self.wrong("a ']' is missing")) };
            if character == ']' && self.at - 1 > start {
                self.out.push(']');
                return Ok(());
            }
            let Some(low) = self.member(character)? else { continue };
            if self.peek(0) == Some('-') && self.peek(1).is_some_and(|next| next != ']') {
                self.at += 1;
                let Some(next) = self.next() else { return Err(self.wrong("a ']' is missing")) };
                let Some(high) = self.member(next)? else { return Err(self.wrong("a range ends in a class")) };
                if high < low {
                    return Err(self.wrong("a range ends before it begins"));
                }
                self.out.push_str(&format!(r"\x{{{:x}}}-\x{{{:x}}}", u32::from(low), u32::from(high)));
            } else {
                self.out.push_str(&format!(r"\x{{{:x}}}", u32::from(low)));
            }
        }
    }

    /// One character of a class, or nothing if it was a class of its own, which is written.
    fn member(&mut self, character: char) -> Result<Option<char>, PatternError> {
        if character != '\\' {
            return Ok(Some(character));
        }
        let Some(after) = self.next() else { return Err(self.wrong("it ends in a backslash")) };
        let class = match after {
            'd' => r"\p{Nd}".to_owned(),
            'D' => r"\P{Nd}".to_owned(),
            'w' => WORD.to_owned(),
            'W' => format!("[^{WORD}]"),
            's' => SPACE.to_owned(),
            'S' => format!("[^{SPACE}]"),
            other => return self.character(other, true).map(Some),
        };
        self.out.push_str(&class);
        Ok(None)
    }
}

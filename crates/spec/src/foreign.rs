//! Untrusted text for display: invisible characters and characters that move the cursor are escaped, and long text is
//! cut. So a name or message can neither be hidden nor look like a line of retrace.

use std::borrow::Cow;
use std::fmt::Write as _;

/// An error quotes at most this many characters of a text from others.
const QUOTED: usize = 120;
/// A longer word, such as a path, is cut in its middle.
const WORD: usize = 200;
/// A longer message is cut in its middle, whatever it contains.
const MESSAGE: usize = 1000;
/// If a line is longer than this, it is shown without the lines around it.
const LINE: usize = 200;
/// This many characters of a long line are shown before the position, and this many from the position on.
const AROUND: usize = 40;

/// Whether a character is invisible, or changes how others are displayed: a control character (C0, DEL, C1), a
/// separator of lines or paragraphs, or one of Unicode's `Default_Ignorable_Code_Point`, which are marks of direction,
/// joiners, fillers, variation selectors and tags.
pub const fn hides(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// The text on one line, with every character that [`hides`] escaped, as `\n` or `\u{1b}`.
pub fn shown(text: &str) -> Cow<'_, str> {
    escaped(text, hides, |c, out| out.extend(c.escape_default()))
}

/// As [`shown`], for a text that already has its layout: its line breaks and tabs are kept.
pub fn shown_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| hides(c) && !matches!(c, '\n' | '\t'), |c, out| out.extend(c.escape_default()))
}

/// A JSON text of the same value, with every character that [`hides`] in its strings written as `\u202e`.
pub fn shown_json(text: &str) -> Cow<'_, str> {
    // Control characters below the space occur only between values: in strings, JSON escapes them.
    escaped(
        text,
        |c| hides(c) && c >= ' ',
        |c, out| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a `String` does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        },
    )
}

fn escaped(text: &str, which: impl Fn(char) -> bool, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    let Some(first) = text.find(&which) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        if which(c) { escape(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// The beginning of the text: the part that an error quotes.
pub fn excerpt(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(QUOTED) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}… ({} bytes more)", &text[..end], text.len() - end)),
    }
}

/// The message of an error, in which each text in backticks or double quotes is cut to an [`excerpt`], and long words
/// and a long message are cut.
pub fn concise(message: &str) -> String {
    let mut out = String::new();
    let mut rest = message;
    while let Some(at) = rest.find(['`', '"']) {
        let quote = if rest[at..].starts_with('`') { '`' } else { '"' };
        let (before, after) = rest.split_at(at + 1);
        let Some(end) = after.find(quote) else { break };
        out.push_str(before);
        out.push_str(&excerpt(&after[..end]));
        out.push(quote);
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    // Text from others may also be without quotes, or contain quotes itself.
    let words = out.split_inclusive(char::is_whitespace).map(|word| shortened(word, WORD));
    shortened(&words.collect::<String>(), MESSAGE)
}

/// The text without its middle, if it is longer than `most` characters.
pub fn shortened(text: &str, most: usize) -> String {
    let last = most / 4;
    if text.char_indices().nth(most).is_none() {
        return text.to_owned();
    }
    let head = text.char_indices().nth(most - last).map_or(text.len(), |(at, _)| at);
    let tail = text.char_indices().nth_back(last.saturating_sub(1)).map_or(text.len(), |(at, _)| at);
    format!("{} … ({} bytes more) … {}", &text[..head], tail - head, &text[tail..])
}

/// The lines around a position in a text, ready for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// The lines, escaped, and cut if they are long.
    pub lines: String,
    /// How many lines of the text come before them.
    pub before: usize,
    /// The column of the position in the text, from 1, in characters.
    pub column: usize,
    /// The position in `lines`, in bytes.
    pub at: usize,
    /// Its length there, in bytes.
    pub length: usize,
}

impl Snippet {
    /// As [`Self::of`] for a line and column, from 1, of the text.
    pub fn at(text: &str, line: usize, column: usize) -> Option<Self> {
        let begin = match line.checked_sub(1)? {
            0 => 0,
            before => text.match_indices('\n').nth(before - 1)?.0 + 1,
        };
        let line = text[begin..].split('\n').next()?;
        let last = line.chars().next_back().map_or(0, |c| line.len() - c.len_utf8());
        let at = line.char_indices().nth(column.saturating_sub(1)).map_or(last, |(at, _)| at);
        Self::of(text, begin + at, 0)
    }

    /// The line of the `length` bytes at `at`, with the lines before and after it unless one is long; `None` if the
    /// text has no such position.
    pub fn of(text: &str, at: usize, length: usize) -> Option<Self> {
        let (before, after) = text.split_at_checked(at).filter(|(_, after)| !after.is_empty())?;
        let begin = before.rfind('\n').map_or(0, |end| end + 1);
        let (head, mut below) = (&before[begin..], after.split('\n'));
        let rest = below.next().unwrap_or(after).trim_end_matches('\r');
        let above = (begin > 0).then(|| before[..begin - 1].rsplit('\n').next()).flatten();
        let below = below.next().filter(|line| !line.is_empty());

        let most = |text: &str, most: usize| text.char_indices().nth(most).map_or(text.len(), |(at, _)| at);
        let is_long = |line: &str| most(line, LINE) < line.len();
        let long = is_long(head) || is_long(rest) || above.is_some_and(is_long) || below.is_some_and(is_long);
        let (from, to) = match long {
            true => (head.char_indices().nth_back(AROUND - 1).map_or(0, |(at, _)| at), most(rest, AROUND)),
            false => (0, rest.len()),
        };
        let place = &rest[..rest.floor_char_boundary(length.min(to))];

        let mut lines = above.filter(|_| !long).map_or_else(String::new, |line| format!("{}\n", shown_lines(line)));
        let mut number = before.matches('\n').count();
        number -= usize::from(!lines.is_empty());
        lines += if from > 0 { "…" } else { "" };
        lines += &shown_lines(&head[from..]);
        let at = lines.len();
        lines += &shown_lines(place);
        let length = lines.len() - at;
        lines += &shown_lines(&rest[place.len()..to]);
        lines += if to < rest.len() { "…" } else { "" };
        if let Some(below) = below.filter(|_| !long) {
            lines += "\n";
            lines += &shown_lines(below);
        }
        Some(Self { lines, before: number, column: head.chars().count() + 1, at, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Unicode's `DerivedCoreProperties` lists as `Default_Ignorable_Code_Point`, some of each range; the marks
    /// of direction of its annex 9; controls; and characters that must not be escaped.
    #[test]
    fn what_hides_is_escaped_and_nothing_else() {
        for c in [
            '\0',
            '\u{7}',
            '\u{1b}',
            '\r',
            '\u{7f}',
            '\u{80}',
            '\u{9b}',
            '\u{9f}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{17b4}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{206f}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e0100}',
        ] {
            let text = format!("a{c}b");
            assert_eq!(shown(&text), format!("a{}b", c.escape_default()), "{c:?}");
            assert_eq!(shown_lines(&text), shown(&text), "{c:?}");
        }
        let text = "a b~é 语料　日本 한글 العربية עברית 🙂 e\u{301} \\ \" '";
        assert_eq!((shown(text), shown_lines(text), shown_json(text)), (text.into(), text.into(), text.into()));
        assert_eq!((shown("a\n\tb"), shown_lines("a\n\tb")), ("a\\n\\tb".into(), "a\n\tb".into()));
    }

    #[test]
    fn json_keeps_its_values() {
        let value = serde_json::json!({"a\u{202e}": "\u{1b}\u{9b}\u{7f}\n\u{e0041}\u{feff}x", "b": ["\u{2028}"]});
        let text = format!("{value:#}");
        let safe = shown_json(&text);
        assert!(safe.contains("\\u009b\\u007f\\n\\udb40\\udc41\\ufeffx"), "{safe}");
        assert!(!safe.chars().any(|c| hides(c) && c != '\n'), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).expect("reads"), value);
    }

    #[test]
    fn errors_are_never_long() {
        let long = "x".repeat(18_000_000);
        let said = concise(&format!("m.yaml:2:1: unknown field `{long}`, expected one of `a`, `b`"));
        let expected =
            format!("m.yaml:2:1: unknown field `{}… (17999880 bytes more)`, expected one of `a`, `b`", "x".repeat(120));
        assert_eq!(said, expected);
        for hostile in [long.clone(), format!("`{long}"), "`a".repeat(9_000_000), "é".repeat(9_000_000)] {
            let said = concise(&hostile);
            assert!(said.chars().count() < 250 && said.contains("bytes more"), "{said}");
        }
        let said = concise(&"é é ".repeat(9_000_000));
        assert!(said.chars().count() < 1100 && said.contains("bytes more"), "{said}");
        assert_eq!(concise("it's `a` and \"b\""), "it's `a` and \"b\"");
        assert_eq!(shortened("abcdefgh", 8), "abcdefgh");
        assert_eq!(shortened("abcdefghi", 8), "abcdef … (1 bytes more) … hi");
    }

    #[test]
    fn snippets_show_the_place() {
        let found = |text: &str, place: &str| {
            let snippet = Snippet::of(text, text.find(place).expect("is there"), place.len()).expect("a place");
            assert_eq!(snippet.lines[snippet.at..][..snippet.length], *shown_lines(place));
            (snippet.lines, snippet.before, snippet.column)
        };
        assert_eq!(found("one\ntwo x\r\nthree\nfour", "x"), ("one\ntwo x\nthree".into(), 0, 5));
        assert_eq!(found("a\nb\né\u{1b}x", "x"), ("b\né\\u{1b}x".into(), 1, 3));
        assert_eq!(found("x", "x"), ("x".into(), 0, 1));
        let text = format!("a\n{}X{}\nb", "é".repeat(9_000_000), "z".repeat(9_000_000));
        let lines = format!("…{}X{}…", "é".repeat(40), "z".repeat(39));
        assert_eq!(found(&text, "X"), (lines, 1, 9_000_001));
        let at = |line, column| Snippet::at("a\néb\n", line, column).map(|snippet| (snippet.lines, snippet.column));
        assert_eq!((at(2, 2), at(2, 9)), (Some(("a\néb".into(), 2)), Some(("a\néb".into(), 2))));
        assert_eq!((at(0, 1), at(4, 1), at(3, 1)), (None, None, None));
        assert_eq!((Snippet::of("a", 1, 0), Snippet::of("é", 1, 0), Snippet::of("", 0, 0)), (None, None, None));
    }
}

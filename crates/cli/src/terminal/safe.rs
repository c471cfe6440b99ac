//! All text for display passes through this module. It escapes untrusted text, so no verb can omit it; our own colours
//! pass unchanged.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::sync::LazyLock;

use clap::builder::styling::Reset;
use retrace_spec::foreign::{shortened, shown, shown_json, shown_lines};

use super::Tone;

/// The maximum number of characters of a line. No name needs so many.
const LINE: usize = 20_000;

/// Marks the beginning and end of a tone until it is written. It is unknown to others, because it is random in every
/// process.
static MARK: LazyLock<String> = LazyLock::new(|| format!("\u{1b}{:016x}", RandomState::new().hash_one(())));

/// The text in its tone, as it will be written.
pub(super) fn painted(tone: Tone, text: impl fmt::Display) -> String {
    let mark = MARK.as_str();
    format!("{mark}{}{text}{mark}-", tone.letter())
}

/// A sentence on one line.
pub(super) fn line(text: &str) -> String {
    with_tones(text, shown)
}

/// A text with several lines.
pub(super) fn lines(text: &str) -> String {
    with_tones(text, shown_lines)
}

fn with_tones(text: &str, escape: fn(&str) -> Cow<'_, str>) -> String {
    let mut parts = text.split(MARK.as_str());
    let mut out = escape(parts.next().unwrap_or_default()).into_owned();
    let mut tone = None;
    for part in parts {
        let mut rest = part.chars();
        let letter = rest.next();
        tone = [Tone::Good, Tone::Bad, Tone::Faint].into_iter().find(|tone| Some(tone.letter()) == letter);
        out += &tone.map_or_else(|| Reset.render().to_string(), |tone| tone.style().render().to_string());
        out += &escape(rest.as_str());
    }
    // Its end mark may have been cut off.
    if tone.is_some() {
        out += &Reset.render().to_string();
    }
    out
}

/// Writes text for display. The output of one `write!` or `writeln!` is one line, whatever is in it; bytes that are
/// written directly may be several lines.
pub(super) struct ForPeople<W>(pub(super) W);

impl<W: Write> Write for ForPeople<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(lines(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn write_fmt(&mut self, formatted: fmt::Arguments<'_>) -> io::Result<()> {
        let text = formatted.to_string();
        let (text, end) = text.strip_suffix('\n').map_or((text.as_str(), ""), |text| (text, "\n"));
        self.0.write_all(line(&shortened(text, LINE)).as_bytes())?;
        self.0.write_all(end.as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Writes JSON for programs, which may also be displayed: the same values, with all invisible characters in them
/// escaped.
pub(super) struct ForPrograms<W>(pub(super) W);

impl<W: Write> Write for ForPrograms<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(shown_json(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut bytes = Vec::new();
        write(&mut ForPeople(&mut bytes)).expect("a Vec takes all");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn our_colours_get_through_and_no_others() {
        let good = painted(Tone::Good, "fine\u{1b}[8m");
        let name = "\u{1b}[2K\r\u{1b}[1;32mverified\u{1b}[0m 141 files\nroot\u{202e}";
        let said = written(|out| writeln!(out, "{good} {name}"));
        let expected = "\u{1b}[1m\u{1b}[32mfine\\u{1b}[8m\u{1b}[0m \\u{1b}[2K\\r\\u{1b}[1;32mverified\\u{1b}[0m 141 \
                        files\\nroot\\u{202e}\n";
        assert_eq!(said, expected);
        // A mark of another process is ordinary text.
        assert_eq!(line("\u{1b}0123456789abcdefg"), "\\u{1b}0123456789abcdefg");
    }

    #[test]
    fn one_writeln_is_one_line() {
        let name = "a\n\nb\n";
        assert_eq!(written(|out| writeln!(out, "{name}")), "a\\n\\nb\\n\n");
        assert_eq!(written(|out| write!(out, "a")), "a");
        assert_eq!(written(|out| out.write_all(b"a\n\tb\x1b\xff\n")), "a\n\tb\\u{1b}\u{fffd}\n");
    }

    #[test]
    fn json_is_written_piece_by_piece() {
        let value = serde_json::json!({"a\u{9b}": ["\u{202e}", "\u{1b}", "é"]});
        let mut bytes = Vec::new();
        writeln!(ForPrograms(&mut bytes), "{value:#}").expect("a Vec takes all");
        assert!(bytes.is_ascii() != bytes.contains(&0xc3), "é stays");
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&bytes).expect("reads"), value);
        assert!(String::from_utf8_lossy(&bytes).contains("\\u009b"));
    }
}

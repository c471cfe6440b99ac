//! Standard output for results, standard error for messages.
//!
//! The exit code depends on the result, not on the reader: a closed pipe is neither a failure nor a success.
//! Untrusted text is escaped before it is written, in [`safe`].

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::ColorChoice;
use clap::builder::styling::{AnsiColor, Style};
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use retrace_files::{Progress, Silent, Unit};
use retrace_spec::foreign::{concise, excerpt, shortened, shown};
use serde::Serialize;
use serde_json::Value;

use crate::arguments::Global;
use crate::commands::Exit;
use crate::environment::Environment;
use crate::errors::{self, Failure};
use safe::{ForPeople, ForPrograms};

mod safe;

/// The output of a verb.
#[derive(Debug)]
pub(crate) struct Terminal {
    json: bool,
    quiet: bool,
    /// Standard error is a terminal that can move its cursor.
    live: bool,
    /// Standard output is a terminal.
    shows_results: bool,
    colour_out: bool,
    colour_err: bool,
}

/// The tone of a word, which determines its colour.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tone {
    Good,
    Bad,
    Faint,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Good => AnsiColor::Green.on_default().bold(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Faint => Style::new().dimmed(),
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Good => 'g',
            Self::Bad => 'b',
            Self::Faint => 'f',
        }
    }
}

impl Terminal {
    /// The settings of arguments and environment; arguments have priority.
    pub(crate) fn new(global: &Global, environment: &Environment) -> Self {
        let colour = |is_terminal: bool| match global.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => is_terminal && !environment.no_color && !environment.dumb_terminal,
        };
        let (stdout, stderr) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            json: global.json,
            quiet: global.quiet,
            live: stderr && !environment.dumb_terminal,
            shows_results: stdout && !global.json,
            colour_out: colour(stdout),
            colour_err: colour(stderr),
        }
    }

    /// The result of a verb on standard output: with `--json` the document `retrace.SCHEMA`, which is `value` with
    /// that name added; otherwise the output of `human`, in which each `writeln!` is one line, whatever it formats.
    pub(crate) fn result(
        &self,
        schema: &str,
        value: &impl Serialize,
        human: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        self.document(schema, value, self.json, human)
    }

    /// As [`Self::result`], also as JSON if the verb's own `--format` says so.
    pub(crate) fn document(
        &self,
        schema: &str,
        value: &impl Serialize,
        json: bool,
        human: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Failure> {
        stream(|out| {
            if json || self.json {
                let mut value = serde_json::to_value(value)?;
                if let Value::Object(fields) = &mut value {
                    fields.insert("schema".to_owned(), format!("retrace.{schema}").into());
                }
                value.sort_all_objects();
                writeln!(ForPrograms(out), "{value:#}")
            } else {
                human(&mut ForPeople(out))
            }
        })
    }

    /// As [`Self::result`], for data that programs read also without `--json`: the exact bytes, unless standard output
    /// is a terminal.
    pub(crate) fn data(&self, schema: &str, value: &impl Serialize, bytes: &[u8]) -> Result<(), Failure> {
        if self.json || self.shows_results {
            return self.result(schema, value, |out| out.write_all(bytes));
        }
        stream(|out| out.write_all(bytes))
    }

    /// Whether the result is shown on a terminal, where only text should be written.
    pub(crate) const fn shows_results(&self) -> bool {
        self.shows_results
    }

    /// The number of columns of the terminal for results; `None` if there is no terminal.
    pub(crate) fn width(&self) -> Option<usize> {
        let size = self.shows_results.then(|| terminal_size::terminal_size_of(io::stdout())).flatten();
        size.map(|(width, _)| usize::from(width.0))
    }

    /// A word in a result, with its tone.
    pub(crate) fn tone(&self, tone: Tone, text: impl Display) -> String {
        paint(self.colour_out, tone, text)
    }

    /// A sentence about what was done: a verb in its tone, and the rest.
    pub(crate) fn say(&self, tone: Tone, verb: &str, rest: impl Display) {
        if !self.quiet && !self.json {
            let said = format!("{} {}", paint(self.colour_err, tone, verb), shortened(&rest.to_string(), SENTENCE));
            tell(said.trim_end());
        }
    }

    /// A receiver for the progress of long work: a bar on a terminal, otherwise a line every few seconds, and nothing
    /// with `--quiet`.
    pub(crate) fn progress(&self) -> Box<dyn Progress> {
        if self.quiet {
            return Box::new(Silent);
        }
        Box::new(Listener { bars: self.live && !self.json, work: Mutex::new(None) })
    }

    /// Reports a failure, with `--json` on standard output too, and returns its exit code.
    pub(crate) fn fail(&self, failure: &Failure) -> Exit {
        // If standard error is closed, the message cannot be shown.
        let _ = io::stderr().write_all(errors::render(failure, self.colour_err, self.live).as_bytes());
        if self.json {
            let value = serde_json::json!({"error": concise(&failure.to_string()), "help": failure.help()});
            let _ = self.result("error/1", &value, |_| Ok(()));
        }
        Exit::Failed
    }
}

fn paint(colour: bool, tone: Tone, text: impl Display) -> String {
    if colour { safe::painted(tone, text) } else { text.to_string() }
}

/// The maximum number of characters of a sentence.
const SENTENCE: usize = 4000;

/// A line on standard error.
fn tell(sentence: &str) {
    // If standard error is closed, the message cannot be shown.
    let _ = writeln!(ForPeople(io::stderr()), "{sentence}");
}

/// Writes to standard output with `write`, buffered. If its reader has closed it, that does not change the result.
pub(crate) fn stream(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Failure::Output),
    }
}

/// Shorter work has no bar.
const BAR_AFTER: Duration = Duration::from_millis(400);
/// The interval of lines if there is no bar.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Reports progress, with a bar or a line at intervals.
struct Listener {
    bars: bool,
    work: Mutex<Option<Work>>,
}

struct Work {
    what: String,
    unit: Unit,
    began: Instant,
    told: Instant,
    bar: ProgressBar,
}

impl Listener {
    fn with(&self, then: impl FnOnce(&mut Work)) {
        if let Ok(mut work) = self.work.lock()
            && let Some(work) = work.as_mut()
        {
            then(work);
        }
    }

    fn tell(&self, work: &mut Work) {
        if self.bars {
            if work.bar.is_hidden() && work.began.elapsed() > BAR_AFTER {
                work.bar.set_draw_target(ProgressDrawTarget::stderr());
            }
        } else if work.told.elapsed() > LINE_EVERY {
            work.told = Instant::now();
            let (done, total) = (work.bar.position(), work.bar.length().unwrap_or_default());
            let (note, left) = (work.bar.message(), HumanDuration(work.bar.eta()));
            tell(&format!("{}: {}, {left} left{note}", work.what, amount(done, total, work.unit)));
        }
    }
}

impl Progress for Listener {
    fn begin(&self, what: &str, total: u64, unit: Unit) {
        self.end();
        let now = Instant::now();
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        bar.set_style(style(total, unit));
        bar.set_prefix(named(what));
        if self.bars && total == 0 {
            // Work of unknown length gives no information in between, so its name must be shown immediately.
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.tick();
        }
        if let Ok(mut work) = self.work.lock() {
            *work = Some(Work { what: what.to_owned(), unit, began: now, told: now, bar });
        }
    }

    fn advance(&self, by: u64) {
        self.with(|work| {
            work.bar.inc(by);
            self.tell(work);
        });
    }

    fn note(&self, text: &str) {
        self.with(|work| work.bar.set_message(format!(", {}", named(text))));
    }

    fn remark(&self, text: &str) {
        let say = || tell(&concise(text));
        match self.work.lock().as_deref() {
            Ok(Some(work)) => work.bar.suspend(say),
            _ => say(),
        }
    }

    fn end(&self) {
        if let Ok(mut work) = self.work.lock()
            && let Some(work) = work.take()
        {
            work.bar.finish_and_clear();
        }
    }
}

/// A name beside a bar, which is not written through [`safe`].
fn named(text: &str) -> String {
    shown(&excerpt(text)).into_owned()
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.end();
    }
}

fn style(total: u64, unit: Unit) -> ProgressStyle {
    if total == 0 {
        return ProgressStyle::with_template("{prefix} ...").unwrap_or_else(|_| ProgressStyle::default_spinner());
    }
    let count = match unit {
        Unit::Bytes => "{decimal_bytes}/{decimal_total_bytes}, {decimal_bytes_per_sec}",
        Unit::Files | Unit::Documents | Unit::Steps | Unit::Items => "{human_pos}/{human_len}",
    };
    // On a narrow terminal the end is cut off: the note, then the time left.
    let template = format!("{{prefix}} {{bar:16}} {count}, {{eta}} left{{wide_msg}}");
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// The completed part, such as `3 of 7 files`.
fn amount(done: u64, total: u64, unit: Unit) -> String {
    let unit = match unit {
        Unit::Bytes => return format!("{} of {}", bytes(done), bytes(total)),
        Unit::Files => "files",
        Unit::Documents => "documents",
        Unit::Steps => "steps",
        Unit::Items => "items",
    };
    format!("{done} of {total} {unit}")
}

/// A number of bytes for display, in powers of ten.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut value, mut at) = (count as f64, 0);
    while value >= 999.5 && at + 1 < units.len() {
        value /= 1000.0;
        at += 1;
    }
    let decimals = usize::from(at > 0 && value < 9.95);
    format!("{value:.decimals$} {}", units[at])
}

/// A number of items for display: `1 file`, `38 files`.
pub(crate) fn count(number: impl TryInto<u64>, thing: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_well() {
        for (number, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (9_949, "9.9 kB"),
            (9_950, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (9_000_000_000_000, "9.0 TB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(bytes(number), text);
        }
        assert_eq!(count(1u64, "file"), "1 file");
        assert_eq!(count(0u64, "file"), "0 files");
        assert_eq!(amount(3, 7, Unit::Steps), "3 of 7 steps");
    }
}

//! Errors for display: what, where, why, and what to do.

use std::fmt;
use std::io::{self, Write};
use std::panic;

use miette::{
    Diagnostic, GraphicalTheme, LabeledSpan, MietteError, MietteHandlerOpts, MietteSpanContents, ReportHandler,
    SourceCode, SourceSpan, SpanContents, ThemeStyles,
};
use retrace_audit::{AuditError, RuleError};
use retrace_checkpoint::CheckpointError;
use retrace_corpus::CorpusError;
use retrace_eval::EvalError;
use retrace_files::FileError;
use retrace_import::ImportError;
use retrace_manifest::{ExportError, ListError, SealError};
use retrace_model::ModelError;
use retrace_query::QueryError;
use retrace_report::ReportError;
use retrace_sign::TokenError;
use retrace_spec::foreign::{Snippet, concise, shortened, shown};
use retrace_spec::{SpecError, guard};
use retrace_steps::StepError;
use retrace_tables::TablesError;
use retrace_train::TrainError;
use retrace_weights::{AverageError, StatsError};
use retrace_workers::WorkersError;
use thiserror::Error;

mod advice;
#[cfg(test)]
mod wording;

pub(crate) use advice::of_step as advice_for_step;

/// Why a verb failed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Average(#[from] AverageError),
    #[error(transparent)]
    Stats(#[from] StatsError),
    #[error(transparent)]
    List(#[from] ListError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    #[error(transparent)]
    Train(#[from] TrainError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Rule(#[from] RuleError),
    #[error(transparent)]
    Workers(#[from] WorkersError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error(transparent)]
    Eval(#[from] EvalError),
    #[error(transparent)]
    Tables(#[from] TablesError),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    Step(Box<StepError>),
    /// The arguments are not valid.
    #[error("{what}")]
    Usage { what: String, help: String },
    /// Another failure, with more specific help.
    #[error("{failure}")]
    Helped { failure: Box<Self>, help: String },
    /// The result could not be written.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        Self::Step(Box::new(error))
    }
}

impl Failure {
    /// The arguments are not valid.
    pub(crate) fn usage(what: impl Into<String>, help: &str) -> Self {
        Self::Usage { what: what.into(), help: help.to_owned() }
    }

    /// The advice.
    pub(crate) fn help(&self) -> String {
        advice::of(self)
    }
}

/// Adds more specific help to an error.
pub(crate) trait OrHelp<T> {
    fn or_help(self, help: &str) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> OrHelp<T> for Result<T, E> {
    fn or_help(self, help: &str) -> Result<T, Failure> {
        self.map_err(|e| Failure::Helped { failure: Box::new(e.into()), help: help.to_owned() })
    }
}

/// The failure as text for display: framed and wrapped for a terminal, otherwise plain lines without wrapping.
pub(crate) fn render(failure: &Failure, colour: bool, live: bool) -> String {
    let mut theme = if live { GraphicalTheme::unicode() } else { GraphicalTheme::ascii() };
    theme.characters.error = "error:".to_owned();
    if !colour {
        theme.styles = ThemeStyles::none();
    }
    let handler = MietteHandlerOpts::new()
        .force_graphical(true)
        .graphical_theme(theme)
        .color(colour)
        .wrap_lines(live)
        .break_words(false)
        .terminal_links(false)
        .build();
    let shown =
        Shown { what: sentence(&failure.to_string()), help: sentence(&failure.help()), source: Source::of(failure) };
    guard(|| fmt::from_fn(|f| handler.debug(&shown, f)).to_string())
        .unwrap_or_else(|_| format!("  error: {}\n  help: {}\n", shown.what, shown.help))
}

/// The maximum number of characters of an error's message, and of its help, whatever they contain.
const SENTENCE: usize = 2000;

/// A text that may quote untrusted content, escaped and on one line.
fn sentence(text: &str) -> String {
    shortened(&shown(&concise(text)), SENTENCE)
}

/// A failure in the form that miette displays. Everything in it is escaped already.
#[derive(Debug)]
struct Shown {
    what: String,
    help: String,
    source: Option<Source>,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Shown {}

impl Diagnostic for Shown {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let Source { snippet, .. } = self.source.as_ref()?;
        Some(Box::new(std::iter::once(LabeledSpan::new(None, snippet.at, snippet.length))))
    }
}

/// The lines of a document or query around its error.
#[derive(Debug)]
struct Source {
    name: String,
    snippet: Snippet,
}

impl Source {
    /// If the failure is in a query, or has a position in a document.
    fn of(failure: &Failure) -> Option<Self> {
        match failure {
            Failure::Helped { failure, .. } => Self::of(failure),
            Failure::Spec(error) => Self::of_document(error),
            Failure::Query(error) => Self::of_query(error),
            Failure::Step(error) => match error.as_ref() {
                StepError::Spec(error) => Self::of_document(error),
                StepError::Query(error) => Self::of_query(error),
                _ => None,
            },
            _ => None,
        }
    }

    /// The lines of a document around its error.
    fn of_document(error: &SpecError) -> Option<Self> {
        match error {
            SpecError::Parse { origin, snippet: Some(snippet), .. } => {
                Some(Self { name: sentence(origin), snippet: (**snippet).clone() })
            }
            _ => None,
        }
    }

    /// The lines of a query around its error.
    fn of_query(error: &QueryError) -> Option<Self> {
        match error {
            QueryError::Sql { sql, place: Some(place), .. } => {
                Some(Self { name: "query".to_owned(), snippet: Snippet::of(sql, place.start, place.len())? })
            }
            _ => None,
        }
    }
}

impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let found = self.snippet.lines.read_span(span, before, after)?;
        let line = self.snippet.before + found.line();
        // If no context around the position is requested, only the position itself is read.
        let column = if before == 0 { self.snippet.column - 1 } else { found.column() };
        let (data, span, lines) = (found.data(), *found.span(), found.line_count());
        Ok(Box::new(MietteSpanContents::new_named(self.name.clone(), data, span, line, column, lines)))
    }
}

/// Installs a panic hook that prints that it is a bug. A panic of a guarded library becomes an error instead, and
/// prints nothing.
pub(crate) fn report_panics() {
    panic::set_hook(Box::new(|info| {
        let ours = info.location().is_some_and(|place| place.file().starts_with("crates/"));
        if retrace_spec::guarded() && !ours {
            return;
        }
        let what = sentence(info.payload_as_str().unwrap_or("no message"));
        let place = info.location().map_or_else(String::new, |place| format!(" ({place})"));
        let backtrace = std::backtrace::Backtrace::capture();
        let mut stderr = io::stderr().lock();
        // If standard error is closed, the message cannot be shown.
        let _ = writeln!(stderr, "retrace: internal error: {what}{place}");
        let _ = writeln!(stderr, "This is a bug in retrace. Please report it, with the command that you ran;");
        let _ = match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => writeln!(stderr, "and this backtrace:\n{backtrace}"),
            _ => writeln!(stderr, "RUST_BACKTRACE=1 in the environment prints more."),
        };
    }));
}

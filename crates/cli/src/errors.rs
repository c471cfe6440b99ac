//! Errors for people: what, where, why, and what to do.

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
use retrace_manifest::{BundlingError, ExportError, ListError, SealError};
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

/// Why a verb could not do what it was asked.
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
    /// The arguments cannot be meant.
    #[error("{what}")]
    Usage { what: String, help: String },
    /// Another failure, with help that fits what was tried.
    #[error("{failure}")]
    Helped { failure: Box<Self>, help: String },
    /// The result could not be handed over.
    #[error("cannot write to standard output: {0}")]
    Output(#[source] io::Error),
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        Self::Step(Box::new(error))
    }
}

impl Failure {
    /// The arguments cannot be meant.
    pub(crate) fn usage(what: impl Into<String>, help: &str) -> Self {
        Self::Usage { what: what.into(), help: help.to_owned() }
    }

    /// What to do about it.
    pub(crate) fn help(&self) -> String {
        match self {
            Self::Usage { help, .. } | Self::Helped { help, .. } => help.clone(),
            Self::Output(_) => "free some space, or send the output elsewhere".to_owned(),
            Self::Spec(error) => help_for_document(error),
            Self::File(error) => help_for_file(error),
            Self::Seal(error) => help_for_sealing(error),
            Self::Checkpoint(error)
            | Self::Average(AverageError::Checkpoint(error))
            | Self::Stats(StatsError::Checkpoint(error)) => help_for_checkpoint(error),
            Self::Average(AverageError::File(error)) | Self::Stats(StatsError::File(error)) => help_for_file(error),
            Self::Average(_) => "give checkpoints of one model, each a directory or a file with its weights".to_owned(),
            Self::List(_) => "fetch the list anew, or make a manifest with `retrace seal DIR`".to_owned(),
            Self::Export(error) => help_for_export(error),
            Self::Corpus(error) => help_for_corpus(error),
            Self::Train(error) => help_for_training(error),
            Self::Token(_) => "make one with `(umask 077; head -c 32 /dev/urandom | base64 > token)`".to_owned(),
            Self::Audit(AuditError::Rule { source, .. }) => help_for_query(source),
            Self::Rule(RuleError::File(error)) => help_for_file(error),
            Self::Rule(_) => "a rule is a SQL file that begins with lines `-- title: …`, `-- severity: …`, `-- means: …` and `-- do: …`".to_owned(),
            Self::Workers(error) => help_for_workers(error),
            Self::Model(error) => help_for_model(error),
            Self::Eval(error) => help_for_evaluation(error),
            Self::Tables(error) => help_for_tables(error),
            Self::Step(error) => help_for_step(error),
            Self::Query(error) => help_for_query(error),
            Self::Import(error) => help_for_import(error),
            Self::Report(ReportError::Query(error)) => help_for_query(error),
            Self::Report(ReportError::NotDrawn(_)) => {
                "ask for a column of numbers; `retrace help query` says which columns make which chart".to_owned()
            }
            Self::Report(_) => "see whether the tables hold what the report draws".to_owned(),
        }
    }
}

/// What to do about a step that could not be done.
pub(crate) fn help_for_step(error: &StepError) -> String {
    match error {
        StepError::File(error) => return help_for_file(error),
        StepError::Spec(error) => return help_for_document(error),
        StepError::Corpus(error) => return help_for_corpus(error),
        StepError::Train(error) => return help_for_training(error),
        StepError::Eval(error) => return help_for_evaluation(error),
        StepError::Model(error) => return help_for_model(error),
        StepError::Query(error) | StepError::Report(ReportError::Query(error)) => return help_for_query(error),
        StepError::Tables(error) => return help_for_tables(error),
        StepError::Import(error) => return help_for_import(error),
        StepError::Items { .. } => "correct the task's items, or `ngram` in the document",
        StepError::Field { .. } => "correct that field of the document; nothing was written",
        StepError::NoStep { .. } => "a step is a document that begins with `retrace: clean/1`, `run/1`, `eval/1` and so on; `retrace help make` lists the kinds",
        StepError::SameStep { .. } => "give one of the two another `name`",
        StepError::SameFiles { .. } => "give one of the two another output, or remove one of the documents",
        StepError::Circle(_) => "give one of them an output that the others do not read",
        StepError::NobodyMakes { .. } => "put the file there, correct the path, or add the document of the step that makes it",
        StepError::NotOurs { .. } => "move it away, or give the document another output; `retrace make` writes over nothing that it has not made",
        StepError::Meanwhile { .. } => "make again when nothing writes to it any more; the step is done anew then",
        StepError::Changed { .. } => "move the file away, or remove it, and make again",
        StepError::Report(_) => "see whether the tables hold what the report draws",
    }
    .to_owned()
}

fn help_for_export(error: &ExportError) -> String {
    match error {
        ExportError::NoSha256 { .. } => "seal it again with `retrace seal --sha256`",
        ExportError::NoStep { .. } => {
            "steps are recorded by `retrace clean`, `tokenize`, `train` and `eval`, and sealed with what they made"
        }
        ExportError::Bundling(BundlingError::Kind { .. }) => {
            "make one with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem`"
        }
        ExportError::Bundling(BundlingError::Certificate { .. }) => "put the certificate of the key first in the file",
        ExportError::Bundling(_) | ExportError::Form { .. } => "see whether the manifest is what you meant",
    }
    .to_owned()
}

fn help_for_document(error: &SpecError) -> String {
    match error {
        SpecError::Parse { .. } => "correct the text there; nothing was written",
        SpecError::Invalid { .. } => "correct that field; nothing was written",
        SpecError::Canonical(_) => "use only numbers that are finite, and texts as keys",
    }
    .to_owned()
}

fn help_for_file(error: &FileError) -> String {
    match error {
        FileError::Io { source, .. } => match source.kind() {
            io::ErrorKind::NotFound => {
                "check the name; paths on the command line begin at the current directory, paths in a document where that lies"
            }
            io::ErrorKind::PermissionDenied => "change its permissions, or those of its directory",
            io::ErrorKind::StorageFull => "free some space, then do it again; what was half written is gone",
            io::ErrorKind::AlreadyExists => "move it away first; nothing is overwritten",
            _ => "see what the system says of the disk and the file",
        },
        FileError::NotRegular { .. } => "put a file there: of directories, pipes and devices nothing is read",
        FileError::Link { .. } => {
            "put the file itself in its place; below a release no link is followed, as it could lead anywhere"
        }
        FileError::TooLarge { .. } => "see whether this is the file that is meant",
        FileError::Locked { .. } => "wait until it has ended, or write to another place; what reads need not wait",
        FileError::Changed { .. } => "do it again when nothing writes to the file any more",
        FileError::Json { .. } => "correct that line, or fetch the file anew; `retrace verify` finds every file that is not as released",
        FileError::Safetensors { .. } => "fetch the file anew; `retrace verify` finds every file that is not as released",
        FileError::NoMatch { .. } => "correct the pattern, or make the files first (`retrace clean`, `retrace tokenize`)",
        FileError::Name { .. } => "rename, move or remove it; `retrace seal --ignore PATH` leaves it out",
    }
    .to_owned()
}

fn help_for_sealing(error: &SealError) -> String {
    match error {
        SealError::File(error) => return help_for_file(error),
        SealError::Spec(_) => "move what should not be part of the release away, or `--ignore` it",
        SealError::Special { .. } => "put the file itself there, or leave it out with `--ignore`",
        SealError::Nest { .. } => "seal that directory first, as a release of its own",
        SealError::Stale { .. } => "do that step again, so that the manifest tells what was really done",
    }
    .to_owned()
}

fn help_for_corpus(error: &CorpusError) -> String {
    match error {
        CorpusError::File(error) => return help_for_file(error),
        CorpusError::Path(_) => "paths in a document begin where it lies, and cannot leave that directory",
        CorpusError::Tokens { .. } => "make the token shard anew with `retrace tokenize`, or fetch it anew",
        CorpusError::Tokenizer { .. } => "give a `tokenizer.json` as Hugging Face's tokenizers write it",
        CorpusError::Clash { .. } => "rename one of the two, or give them recipes of their own",
        CorpusError::Order { .. } => "give a step and a sequence that the run has",
    }
    .to_owned()
}

fn help_for_checkpoint(error: &CheckpointError) -> String {
    match error {
        CheckpointError::File(error) => return help_for_file(error),
        CheckpointError::Empty { .. } => {
            "give a directory with `model.safetensors` or `pytorch_model.bin`, whole or in shards, or one file of weights"
        }
        CheckpointError::Unreadable { .. } => {
            "give weights as safetensors, as PyTorch has saved them since version 1.6, or as llama2.c exports them"
        }
        CheckpointError::Contradiction(_) => {
            "see which of the two is meant, and put the files of one checkpoint there; `retrace verify` says which files are not as released"
        }
    }
    .to_owned()
}

fn help_for_model(error: &ModelError) -> String {
    match error {
        ModelError::File(error) => return help_for_file(error),
        ModelError::Checkpoint(error) => return help_for_checkpoint(error),
        ModelError::Config { .. } => "give a directory with a model that can be computed here: a Llama",
        ModelError::Missing { .. } | ModelError::Mismatch { .. } | ModelError::Unknown { .. } => {
            "config.json and the weights are not of one model; fetch both anew"
        }
        ModelError::Memory { .. } => {
            "use a machine with more memory, or smaller sizes; is the description the weights'?"
        }
        ModelError::Own => "compute it by the library, with that code: crates/train/examples/own.rs shows how",
        ModelError::Candle(_) | ModelError::ZeroSign { .. } => "leave out --engine candle",
        ModelError::Input(_) => "give tokens of the model's own tokenizer, in sequences that it has positions for",
    }
    .to_owned()
}

fn help_for_evaluation(error: &EvalError) -> String {
    match error {
        EvalError::File(error) => help_for_file(error),
        EvalError::Model(error) => help_for_model(error),
        EvalError::Corpus(error) => help_for_corpus(error),
        EvalError::Item { .. } => "correct that line of the task's items".to_owned(),
        EvalError::Results { .. } => "give a results file that `retrace eval -o` wrote".to_owned(),
        EvalError::NotFinite { .. } => "the checkpoint's weights are likely broken; `retrace verify` it".to_owned(),
    }
}

fn help_for_tables(error: &TablesError) -> String {
    match error {
        TablesError::File(error) => help_for_file(error),
        TablesError::Checksum { .. } => "fetch or import it anew".to_owned(),
        TablesError::Damaged { .. } => {
            "fetch or import it anew; if it is whole, this is a bug: please report it with the command that led to it"
                .to_owned()
        }
        TablesError::Arrow(_) | TablesError::Parquet(_) => {
            "this is a bug, if the disk has room: please report it with the command that led to it".to_owned()
        }
    }
}

fn help_for_query(error: &QueryError) -> String {
    match error {
        QueryError::Sql { help, .. } | QueryError::NoSuchQuery { help, .. } | QueryError::Parameter { help, .. }
            if !help.is_empty() =>
        {
            return help.clone();
        }
        QueryError::File(error) => return help_for_file(error),
        QueryError::Spec(error) => return help_for_document(error),
        QueryError::NoTables { .. } => "give the directory of a release, such as one that `retrace tour` made",
        QueryError::Form { .. } | QueryError::Table { .. } => {
            "give a Parquet, CSV, TSV or JSON lines file under the name that says so, or fetch it anew"
        }
        QueryError::NotAsSealed { .. } => {
            "fetch it anew, or seal the release again if you changed it; `retrace verify` finds every other file that is not as sealed, and --unchecked asks it as it is"
        }
        QueryError::UnknownPart { .. } => {
            "`retrace verify` tells what is wrong with the part; --unchecked asks its tables as they are"
        }
        QueryError::MissingTable { .. } => {
            "put it back, or seal the release again if it should not be there; --unchecked asks what is left"
        }
        QueryError::Tables(TablesError::Checksum { .. }) => "fetch or import it anew; --unchecked asks it as it is",
        QueryError::Tables(error) => return help_for_tables(error),
        QueryError::Reach { .. } => {
            "see what the SQL reads; --trust-queries lets SQL from files read any file and URL that you can read"
        }
        QueryError::Scheme { .. } => "give an https:// URL, or fetch it and give the file",
        QueryError::TooLong { .. } => "ask for less, or give it longer with --timeout SECONDS; 0 is no limit",
        QueryError::TooLarge { .. } | QueryError::Exhausted { .. } => "ask for less, or give it more with --memory SIZE",
        QueryError::Damaged { .. } => {
            "verify the files, or fetch them anew; if they are whole, this is a bug: please report it with the command that led to it"
        }
        QueryError::Unreachable { .. } => {
            "check the URL; credentials are read from AWS_… and GOOGLE_… variables, and AWS_SKIP_SIGNATURE=true asks a public bucket without any"
        }
        QueryError::Clash { .. } => "rename one of the two, or ask it by its path in SQL: from 'PATH'",
        QueryError::Columns { .. } => "ask the files one by one, by their paths in SQL, with a cast where they differ",
        QueryError::Header { .. } => "`retrace help query` and reports/queries show how a named query begins",
        _ => "see `retrace query \"show tables\" DIR` for what there is",
    }
    .to_owned()
}

fn help_for_import(error: &ImportError) -> String {
    match error {
        ImportError::File(error) => help_for_file(error),
        ImportError::Tables(error) => help_for_tables(error),
        ImportError::Nothing { .. } => "name the files themselves: those are read whatever they are called".to_owned(),
        ImportError::Clash { .. } => {
            "import them one after the other, each with a --release of its own, or their common directory".to_owned()
        }
        ImportError::Name { .. } => "rename it, or give a directory above it".to_owned(),
    }
}

fn help_for_training(error: &TrainError) -> String {
    match error {
        TrainError::File(error) => return help_for_file(error),
        TrainError::Corpus(error) => return help_for_corpus(error),
        TrainError::Spec(error) => return help_for_document(error),
        TrainError::Model(ModelError::Checkpoint(error)) => return help_for_checkpoint(error),
        TrainError::Model(_) => "the checkpoint is not of the run's model; fetch it anew, or correct the run file",
        TrainError::Environment(_) => "unset whatever is preloaded into this process, then do it again",
        TrainError::Exists { .. } => {
            "`retrace train RUN --resume` goes on from the last checkpoint; to begin anew, move the run's output away"
        }
        TrainError::NoCheckpoint { .. } => "leave out --resume to begin the run",
        TrainError::NoSuchCheckpoint { .. } => "begin at a step that has a checkpoint",
        TrainError::OtherRun { .. } => {
            "restore the run file that made it, or give the changed run an output of its own"
        }
        TrainError::Damaged { .. } => "fetch the checkpoint anew, or remove it: the run resumes from the one before",
        TrainError::Journal { .. } => "fetch the journal anew; its lines are chained, so it cannot be mended by hand",
        TrainError::Tokens { .. } => "make the tokens with the tokenizer that the run names, or correct the run file",
        TrainError::NotFinite { .. } => "lower the learning rate or lengthen the warm-up in the run file",
        TrainError::Start { .. } => {
            "give in `start` a checkpoint of the run's model, and in `model` what its config.json says"
        }
        TrainError::Segment { .. } => "give --from below --to, within the run",
    }
    .to_owned()
}

fn help_for_workers(error: &WorkersError) -> String {
    match error {
        WorkersError::Train(error) => return help_for_training(error),
        WorkersError::Listen { .. } => "give an address of this machine and a free port, such as 127.0.0.1:7070",
        WorkersError::NotProven { .. } | WorkersError::Tls(_) => {
            "give the address at which `retrace train RUN --listen ADDRESS` says it listens, and the token that it was given; the version of retrace must be the same"
        }
        WorkersError::Unreachable { .. } => {
            "give the address at which `retrace train RUN --listen ADDRESS` says it listens"
        }
        WorkersError::Refused { .. } => {
            "give the run file and the version of retrace that the coordinator has"
        }
        WorkersError::Lost { .. } => {
            "work again, if training goes on there; else resume it there first; no bit depends on it"
        }
        WorkersError::OtherTokens { .. } => {
            "fetch the token shards anew; `retrace verify` says which are not as released"
        }
        WorkersError::Damaged { .. } => "work again; see whether the machine or its network is faulty if it comes back",
        WorkersError::Start(_) => "see how many threads and open files the system allows",
    }
    .to_owned()
}

/// Adds help that fits what was tried.
pub(crate) trait OrHelp<T> {
    fn or_help(self, help: &str) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> OrHelp<T> for Result<T, E> {
    fn or_help(self, help: &str) -> Result<T, Failure> {
        self.map_err(|e| Failure::Helped { failure: Box::new(e.into()), help: help.to_owned() })
    }
}

/// The failure as a text for people: framed and wrapped for a terminal, else plain lines that
/// nothing breaks.
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

/// The most characters of what an error says, and of its help, whatever they consist of.
const SENTENCE: usize = 2000;

/// A text that may quote others, on one line that can be shown.
fn sentence(text: &str) -> String {
    shortened(&shown(&concise(text)), SENTENCE)
}

/// A failure as miette shows one. Nothing in it needs to be escaped any more.
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

/// The lines of a document or query around what is wrong with it.
#[derive(Debug)]
struct Source {
    name: String,
    snippet: Snippet,
}

impl Source {
    /// If the failure is in a query, or at a place of a document.
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
        // Where nothing around the place is asked for, what is wanted is the place itself.
        let column = if before == 0 { self.snippet.column - 1 } else { found.column() };
        let (data, span, lines) = (found.data(), *found.span(), found.line_count());
        Ok(Box::new(MietteSpanContents::new_named(self.name.clone(), data, span, line, column, lines)))
    }
}

/// From now on a panic, which is a bug, says so in plain words; but not one in a library that is told
/// as an error.
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
        // If standard error is gone, there is nobody to tell.
        let _ = writeln!(stderr, "retrace: internal error: {what}{place}");
        let _ = writeln!(stderr, "This is a bug in retrace. Please report it with the command that led to it;");
        let _ = match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => writeln!(stderr, "this is where it was:\n{backtrace}"),
            _ => writeln!(stderr, "with RUST_BACKTRACE=1 in the environment it says more."),
        };
    }));
}

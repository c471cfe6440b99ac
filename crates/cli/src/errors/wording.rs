//! The text of every kind of error, as files in `tests/it/wording/errors`: one file per kind.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use retrace_analysis::contamination::SearchError;
use retrace_analysis::scaling::{FitError, PointError};
use retrace_audit::{AuditError, RuleError};
use retrace_checkpoint::{CheckpointError, Contradiction};
use retrace_corpus::CorpusError;
use retrace_eval::EvalError;
use retrace_files::FileError;
use retrace_files::safetensors::Dtype;
use retrace_harness::{HarnessError, ScoreError};
use retrace_import::ImportError;
use retrace_manifest::{BundlingError, ExportError, ListError, SealError, Unknown};
use retrace_model::ModelError;
use retrace_numerics::environment::EnvironmentError;
use retrace_query::QueryError;
use retrace_report::ReportError;
use retrace_sign::TokenError;
use retrace_spec::recipe::scaling::Quantity;
use retrace_spec::{Digest, GaveUp, PathError, RelPath, SpecError, Step};
use retrace_steps::{PointsError, StepError};
use retrace_tables::TablesError;
use retrace_train::TrainError;
use retrace_weights::{AverageError, StatsError};
use retrace_workers::WorkersError;

use super::{Failure, render};

#[path = "../../../../tests/it/wording/snapshot.rs"]
mod snapshot;

/// The errors of one type: its name, the text of the file that declares it, and an error of each kind.
struct Errors {
    name: &'static str,
    source: &'static str,
    all: Vec<(String, Failure)>,
}

fn errors<E: std::fmt::Debug + Into<Failure>>(
    name: &'static str,
    source: &'static str,
    all: impl IntoIterator<Item = E>,
) -> Errors {
    errors_as(name, source, all, Into::into)
}

/// As [`errors`], for a type that is only shown inside another.
fn errors_as<E: std::fmt::Debug>(
    name: &'static str,
    source: &'static str,
    all: impl IntoIterator<Item = E>,
    failure: impl Fn(E) -> Failure,
) -> Errors {
    let kind = |error: &E| {
        let shown = format!("{error:?}");
        shown.split([' ', '(']).next().unwrap_or_default().to_owned()
    };
    Errors { name, source, all: all.into_iter().map(|error| (kind(&error), failure(error))).collect() }
}

fn path() -> PathBuf {
    "some/file".into()
}

fn rel(text: &str) -> RelPath {
    text.parse().unwrap()
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn files() -> Vec<FileError> {
    let kinds = [
        io::ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::StorageFull,
        io::ErrorKind::NotADirectory,
        io::ErrorKind::AlreadyExists,
        io::ErrorKind::TimedOut,
    ];
    let io = kinds.map(|kind| FileError::Io { path: path(), doing: "read", source: kind.into() });
    let others = [
        FileError::NotRegular { path: path() },
        FileError::Link { path: path() },
        FileError::TooLarge { path: path(), most: 4096 },
        FileError::Locked { path: path(), holder: text("process 7") },
        FileError::Changed { path: path(), what: text("WHAT") },
        FileError::Json { path: path(), line: 3, what: text("WHAT") },
        FileError::Damaged { path: path(), place: text("after line 7"), what: text("WHAT") },
        FileError::Safetensors { path: path(), place: text("byte 8"), what: text("WHAT") },
        FileError::NoMatch { root: path(), pattern: text("raw/*.jsonl") },
        FileError::Name { path: path(), what: text("WHAT") },
    ];
    io.into_iter().chain(others).collect()
}

fn queries() -> Vec<QueryError> {
    let files = || [text("a.csv"), text("b.csv")];
    vec![
        QueryError::NoTables { path: path() },
        QueryError::Form { name: text("a.txt") },
        QueryError::Table { place: text("a.csv"), form: "CSV", what: text("WHAT") },
        QueryError::UnknownPart { manifest: path(), part: Unknown { at: rel("part"), why: text("WHY") } },
        QueryError::MissingTable { path: path(), manifest: "manifest.yaml".into() },
        QueryError::NotAsSealed {
            path: path(),
            manifest: "manifest.yaml".into(),
            sealed: Digest::of(b"a"),
            found: Digest::of(b"b"),
        },
        QueryError::Tables(TablesError::Checksum { path: path() }),
        QueryError::Reach { place: text("/etc/passwd") },
        QueryError::Scheme { url: text("ftp://example.org/a.csv") },
        QueryError::TooLong { after: Duration::from_secs(10) },
        QueryError::Exhausted { what: text("WHAT") },
        QueryError::TooLarge { most: 1 << 30, what: text("WHAT") },
        QueryError::Damaged(GaveUp { what: text("WHAT") }),
        QueryError::Unreachable { url: text("https://example.org/a.csv"), what: text("WHAT") },
        QueryError::Clash { table: text("a"), files: files() },
        QueryError::Columns { column: text("loss"), files: files(), types: [text("Utf8"), text("Float64")] },
        QueryError::Sql { message: text("WHAT"), help: String::new(), sql: text("select"), place: None },
        QueryError::Header { origin: text("a.sql"), line: 1, what: text("WHAT") },
        QueryError::NoSuchQuery { name: text("a"), help: text("HELP") },
        QueryError::Parameter { query: text("a"), what: text("WHAT"), help: text("HELP") },
        QueryError::Column { name: text("loss"), kind: "numbers" },
        QueryError::Runtime(io::ErrorKind::OutOfMemory.into()),
    ]
}

fn training() -> Vec<TrainError> {
    vec![
        TrainError::Model(ModelError::Missing { name: text("model.norm.weight") }),
        TrainError::Environment(EnvironmentError::Rounding),
        TrainError::Exists { path: path() },
        TrainError::Start { path: path(), what: text("WHAT") },
        TrainError::NoCheckpoint { path: path() },
        TrainError::NoSuchCheckpoint { step: Step(70), path: path(), there: text("0, 60, 120") },
        TrainError::OtherRun { path: path(), made_by: Digest::of(b"a"), run: Digest::of(b"b") },
        TrainError::Damaged { path: path(), stated: Digest::of(b"a"), found: Digest::of(b"b") },
        TrainError::Journal { path: path(), line: 3, what: text("WHAT") },
        TrainError::Tokens { path: path(), what: text("WHAT") },
        TrainError::NotFinite { step: Step(7), what: text("the loss") },
        TrainError::Segment { from: Step(7), to: Step(5), steps: Step(10) },
    ]
}

fn workers() -> Vec<WorkersError> {
    let address = || text("10.0.0.1:7070");
    vec![
        WorkersError::Listen { address: address(), source: io::ErrorKind::AddrInUse.into() },
        WorkersError::NotProven { address: address(), what: "WHAT" },
        WorkersError::Unreachable { address: address(), what: text("WHAT") },
        WorkersError::Refused { address: address(), what: text("WHAT") },
        WorkersError::Lost { address: address(), what: text("WHAT") },
        WorkersError::OtherTokens { step: 7 },
        WorkersError::Damaged { what: "WHAT" },
        WorkersError::Start(io::ErrorKind::OutOfMemory.into()),
    ]
}

fn of_points(error: PointsError) -> Failure {
    StepError::from(error).into()
}

fn points() -> Vec<PointsError> {
    let column = || text("N");
    [
        PointsError::Missing { quantity: Quantity::Params, columns: text("D, L, N") },
        PointsError::Unknown { column: text("P"), columns: text("D, L, N") },
        PointsError::Ambiguous {
            quantity: Quantity::Params,
            one: text("params_total"),
            other: text("params_nonembedding"),
        },
        PointsError::Unit { quantity: Quantity::Params, column: column() },
        PointsError::OtherUnit { column: column() },
        PointsError::Value {
            row: text("params 1, tokens 2, loss -1"),
            column: "loss",
            expected: "a finite number above 0",
        },
        PointsError::NoNumber { row: text("ROW"), column: text("flops"), value: text("1e20 or so") },
        PointsError::NoRuns,
        PointsError::None,
    ]
    .into()
}

fn units() -> Vec<PointError> {
    [
        PointError::Value { row: 3, column: "loss", value: -1.0, expected: "a finite number above 0" },
        PointError::Units { what: "unit of loss", first: "nats/token", second: "bits/byte" },
    ]
    .into()
}

fn steps() -> Vec<StepError> {
    let (one, other) = (|| rel("one.yaml"), || rel("other.yaml"));
    let no_data = || HarnessError::NoData {
        dataset: text("OWNER/NAME"),
        name: None,
        split: text("test"),
        looked: vec![text("data/OWNER/NAME/test.{jsonl,parquet}")],
    };
    vec![
        StepError::Harness(HarnessError::TaskFile { path: path(), what: text("WHAT") }),
        StepError::Harness(HarnessError::Unknown {
            name: text("hellaswg"),
            looked: vec![path()],
            similar: Some(text("hellaswag")),
        }),
        StepError::Harness(HarnessError::Twice { name: text("piqa"), first: text("piqa"), second: text("pythia") }),
        StepError::Harness(HarnessError::Function {
            task: text("hellaswag"),
            function: text("process_docs"),
            path: path(),
            digest: text("b3:0123"),
        }),
        StepError::Harness(HarnessError::Task { task: text("piqa"), what: text("WHAT") }),
        StepError::Harness(HarnessError::Document {
            task: text("piqa"),
            split: text("test"),
            document: 7,
            what: text("WHAT"),
        }),
        StepError::Harness(no_data()),
        StepError::HarnessTasks { stopped: 2, of: 9, first: no_data() },
        StepError::HarnessRequest { task: text("piqa"), document: 7, what: text("WHAT") },
        StepError::HarnessScore {
            task: text("piqa"),
            error: ScoreError::Document { document: 7, problem: text("WHAT") },
        },
        StepError::Searched { table: rel("tables/contamination.parquet"), what: text("WHAT") },
        StepError::Fit(FitError::Single("number of tokens")),
        StepError::Search(SearchError::NoItems),
        StepError::Search(SearchError::Empty { benchmark: text("gsm8k"), id: text("7") }),
        StepError::NoColumn { path: path(), wanted: text("question"), there: text("prompt, answer") },
        StepError::NobodyHas { records: "document", column: text("sauce"), given: text("source=sauce") },
        StepError::NoRecords { what: text("WHAT") },
        StepError::Record { path: path(), line: 7, what: text("WHAT") },
        StepError::Ledger { path: path() },
        StepError::Inputs { what: text("WHAT") },
        StepError::Field { field: text("points"), what: text("WHAT") },
        StepError::NoStep { document: one(), schema: text("task/1") },
        StepError::SameStep { one: one(), other: other(), id: text("clean") },
        StepError::SameFiles { one: one(), other: other(), files: text("clean/a.jsonl") },
        StepError::Circle(text("one -> other -> one")),
        StepError::NobodyMakes { document: one(), files: text("raw/*.jsonl") },
        StepError::NotOurs { path: rel("clean/a.jsonl"), id: text("clean") },
        StepError::Meanwhile { path: rel("raw/a.jsonl"), id: text("clean") },
        StepError::Changed { path: rel("clean/a.jsonl"), id: text("clean") },
        StepError::Report(ReportError::Empty(text("loss"))),
    ]
}

fn models() -> Vec<ModelError> {
    vec![
        ModelError::Config { path: path(), what: text("WHAT") },
        ModelError::NotComputed { path: path(), architecture: text("OlmoeForCausalLM (model_type \"olmoe\")") },
        ModelError::Missing { name: text("model.norm.weight") },
        ModelError::Mismatch { name: text("model.norm.weight"), found: text("F32 [8]"), needed: text("F32 [16]") },
        ModelError::Unknown { name: text("model.bias") },
        ModelError::Memory { parameters: 7_000_000_000, bytes: 28_000_000_000 },
        ModelError::Input(text("WHAT")),
        ModelError::Own,
        ModelError::Candle(candle_core::Error::Msg(text("WHAT"))),
        ModelError::ZeroSign { name: text("model.norm.weight") },
    ]
}

fn all() -> Vec<Errors> {
    let gave_up = || GaveUp { what: text("WHAT") };
    let parse = SpecError::Parse { origin: text("run.yaml"), line: 3, column: 5, what: text("WHAT"), snippet: None };
    vec![
        errors("FileError", include_str!("../../../files/src/error.rs"), files()),
        errors(
            "SpecError",
            include_str!("../../../spec/src/document.rs"),
            [
                parse,
                SpecError::Invalid { origin: text("run.yaml"), field: text("model.hidden_size"), what: text("WHAT") },
                SpecError::Invalid { origin: text("run.yaml"), field: text("retrace"), what: text("WHAT") },
                SpecError::Canonical(text("WHAT")),
            ],
        ),
        errors_as("PointsError", include_str!("../../../steps/src/points.rs"), points(), of_points),
        errors_as("PointError", include_str!("../../../analysis/src/scaling/point.rs"), units(), |e| {
            of_points(PointsError::Point(e))
        }),
        errors(
            "SealError",
            include_str!("../../../manifest/src/seal.rs"),
            [
                SealError::Spec(SpecError::Canonical(text("WHAT"))),
                SealError::Special { path: path() },
                SealError::Nest { directory: rel("part"), what: text("WHAT") },
                SealError::Stale {
                    path: rel("clean/a.jsonl"),
                    step: text("clean"),
                    did: "made",
                    recorded: Digest::of(b"a"),
                    found: text("FOUND"),
                },
            ],
        ),
        errors(
            "AverageError",
            include_str!("../../../weights/src/average.rs"),
            [AverageError::Unlike { path: path(), name: text("model.norm.weight"), what: text("WHAT") }],
        ),
        errors(
            "CheckpointError",
            include_str!("../../../checkpoint/src/error.rs"),
            [
                CheckpointError::Empty { path: path() },
                CheckpointError::Unreadable { path: path(), why: None },
                CheckpointError::Unreadable { path: path(), why: Some(text("WHAT")) },
                CheckpointError::Contradiction(Contradiction {
                    directory: path(),
                    file: text("model.safetensors.index.json"),
                    what: text("WHAT"),
                }),
            ],
        ),
        errors(
            "ListError",
            "",
            [
                ListError { origin: text("SHA256SUMS"), line: 3, what: text("WHAT") },
                ListError { origin: text("tree.json"), line: 0, what: text("WHAT") },
            ],
        ),
        errors(
            "ExportError",
            include_str!("../../../manifest/src/export.rs"),
            [
                ExportError::NoSha256 { path: rel("a.txt") },
                ExportError::NoStep { id: None },
                ExportError::NoStep { id: Some(text("train")) },
                ExportError::Bundling(BundlingError::Kind { kind: "Ed25519" }),
                ExportError::Bundling(BundlingError::Certificate { signer: text("CN=alice") }),
                ExportError::Bundling(BundlingError::Empty),
                ExportError::Form { what: text("WHAT") },
            ],
        ),
        errors(
            "CorpusError",
            include_str!("../../../corpus/src/error.rs"),
            [
                CorpusError::Path("../a".parse::<RelPath>().err().unwrap_or(PathError { path: text("a"), why: "" })),
                CorpusError::Tokens { path: path(), at: 8, what: text("WHAT") },
                CorpusError::Tokenizer { path: path(), what: text("WHAT") },
                CorpusError::Documents { first: vec![text("raw/a.jsonl:3: WHAT"), text("raw/b.jsonl: WHAT")], more: 7 },
                CorpusError::Clash { first: text("a.jsonl"), second: text("b/a.jsonl"), output: text("clean/a.jsonl") },
                CorpusError::Searched { path: path(), line: 3, what: text("WHAT") },
                CorpusError::Order { step: Step(7), slot: 3 },
            ],
        ),
        errors("TrainError", include_str!("../../../train/src/error.rs"), training()),
        errors("TokenError", "", [TokenError { least: 16, most: 1024 }]),
        errors(
            "AuditError",
            include_str!("../../../audit/src/audit.rs"),
            [AuditError::Rule { rule: text("mine"), source: Box::new(QueryError::Form { name: text("a.txt") }) }],
        ),
        errors(
            "RuleError",
            include_str!("../../../audit/src/rule.rs"),
            [RuleError::Header { path: path(), what: text("WHAT") }],
        ),
        errors("WorkersError", include_str!("../../../workers/src/error.rs"), workers()),
        errors("ModelError", include_str!("../../../model/src/error.rs"), models()),
        errors(
            "EvalError",
            include_str!("../../../eval/src/error.rs"),
            [
                EvalError::Item { path: path(), line: 3, what: text("WHAT") },
                EvalError::NotFinite { task: text("heldout"), item: text("item-1") },
                EvalError::Request { request: 7, what: text("WHAT") },
                EvalError::NotFiniteAnswer { request: 7 },
                EvalError::Cache { path: path(), offset: 64, what: text("WHAT") },
                EvalError::Prompts { path: path(), what: text("WHAT") },
                EvalError::Results { path: path(), place: text("results"), what: text("WHAT") },
            ],
        ),
        errors(
            "TablesError",
            include_str!("../../../tables/src/error.rs"),
            [TablesError::Checksum { path: path() }, TablesError::Damaged(gave_up())],
        ),
        errors("QueryError", include_str!("../../../query/src/error.rs"), queries()),
        errors(
            "ImportError",
            include_str!("../../../import/src/error.rs"),
            [
                ImportError::Nothing { paths: vec![path()], kind: "csv", names: "*.csv" },
                ImportError::Nothing { paths: vec![path()], kind: "mlflow", names: "mlruns" },
                ImportError::Clash {
                    one: "a/x.csv".into(),
                    other: "b/x.csv".into(),
                    source_name: text("x.csv"),
                    release: text("mine"),
                },
                ImportError::Name { path: path() },
            ],
        ),
        errors(
            "ReportError",
            include_str!("../../../report/src/error.rs"),
            [
                ReportError::Empty(text("loss")),
                ReportError::NoSuch { what: "run", name: text("NAME"), known: vec![text("base"), text("small")] },
                ReportError::SameRun { run: text("base"), what: text("WHAT") },
                ReportError::NoTables,
                ReportError::NotDrawn(text("WHAT")),
                ReportError::OtherSearch { benchmark: text("gsm8k"), method: text("spans"), table: 5, counts: 4 },
                ReportError::Twin { run: text("leaked"), twin: text("twin"), what: text("WHAT") },
                ReportError::Plot { title: text("loss"), what: text("WHAT") },
            ],
        ),
        errors("StepError", include_str!("../../../steps/src/error.rs"), steps()),
        errors(
            "Failure",
            "",
            [
                Failure::Stats(StatsError::Checkpoint(CheckpointError::Empty { path: path() })),
                Failure::Stats(StatsError::Numbers { path: path(), tensor: text("w"), dtype: Dtype::F6_E2M3 }),
                Failure::usage("WHAT", "HELP"),
                Failure::Output(io::ErrorKind::StorageFull.into()),
            ],
        ),
    ]
}

#[test]
fn every_kind_of_error_is_as_written_down() {
    let texts = all().into_iter().map(|Errors { name, all, .. }| {
        let shown = all.iter().map(|(kind, failure)| format!("{kind}\n{}\n", render(failure, false, false)));
        (format!("{name}.txt"), shown.collect())
    });
    snapshot::compare("errors", &texts.collect::<Vec<(String, String)>>());
}

/// The kinds that the source of an enum declares, except those that only contain another error.
fn declared(name: &str, source: &str) -> BTreeSet<String> {
    let begin = format!("pub enum {name} {{");
    let lines = source.lines().skip_while(|line| *line != begin).skip(1).take_while(|line| *line != "}");
    let mut kinds = BTreeSet::new();
    let mut transparent = false;
    for line in lines.filter_map(|line| line.strip_prefix("    ")) {
        match line {
            "#[error(transparent)]" => transparent = true,
            _ if line.starts_with(|first: char| first.is_ascii_uppercase()) => {
                let kind = line.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
                if !std::mem::take(&mut transparent) {
                    kinds.insert(kind.to_owned());
                }
            }
            _ => {}
        }
    }
    kinds
}

/// Errors of libraries that cannot be made here: their text is the library's.
const OF_LIBRARIES: [&str; 4] = ["DataFusion", "Arrow", "Parquet", "Query"];

#[test]
fn no_kind_of_error_is_left_out() {
    for Errors { name, source, all } in all() {
        if source.is_empty() {
            continue;
        }
        let mut left = declared(name, source);
        assert!(!left.is_empty(), "{name} is not declared where this test looks");
        left.retain(|kind| !all.iter().any(|(known, _)| known == kind));
        left.retain(|kind| !OF_LIBRARIES.contains(&kind.as_str()));
        assert!(left.is_empty(), "{name}: {left:?} are not among the errors here");
    }
}

/// Advice for errors of libraries, which cannot be made here.
const ADVICE_ON_LIBRARIES: [&str; 2] = [
    "if the disk has space left, please report this as a bug, with the command",
    "use the version of retrace of the scheduler",
];

/// Each text in `advice.rs` is the help of one of the errors here.
#[test]
fn no_advice_is_left_out() {
    let said: String = all().iter().flat_map(|errors| &errors.all).map(|(_, failure)| failure.help() + "\n").collect();
    let advice = include_str!("advice.rs").split('"').skip(1).step_by(2);
    let left: Vec<&str> = advice.filter(|text| !said.contains(text) && !ADVICE_ON_LIBRARIES.contains(text)).collect();
    assert!(left.is_empty(), "{left:#?}");
}

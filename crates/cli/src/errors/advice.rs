//! The advice for an error: the line `help` below it.

use std::io;

use retrace_analysis::scaling::PointError;
use retrace_audit::{AuditError, RuleError};
use retrace_checkpoint::CheckpointError;
use retrace_corpus::CorpusError;
use retrace_eval::EvalError;
use retrace_files::FileError;
use retrace_harness::HarnessError;
use retrace_import::ImportError;
use retrace_manifest::{BundlingError, ExportError, SealError};
use retrace_model::ModelError;
use retrace_query::QueryError;
use retrace_report::ReportError;
use retrace_spec::SpecError;
use retrace_spec::model::Architecture;
use retrace_steps::{PointsError, StepError};
use retrace_tables::TablesError;
use retrace_train::TrainError;
use retrace_weights::{AverageError, StatsError};
use retrace_workers::WorkersError;

use super::Failure;

/// The advice for a failure.
pub(super) fn of(failure: &Failure) -> String {
    match failure {
        Failure::Usage { help, .. } | Failure::Helped { help, .. } => help.clone(),
        Failure::Output(_) => "free some space, or redirect the output".to_owned(),
        Failure::Spec(error) => of_document(error),
        Failure::File(error) => of_file(error),
        Failure::Seal(error) => of_sealing(error),
        Failure::Checkpoint(error)
        | Failure::Average(AverageError::Checkpoint(error))
        | Failure::Stats(StatsError::Checkpoint(error)) => of_checkpoint(error),
        Failure::Average(AverageError::File(error)) | Failure::Stats(StatsError::File(error)) => of_file(error),
        Failure::Stats(StatsError::Numbers { .. }) => {
            "`retrace diff` and manifests compare such tensors by their bytes".to_owned()
        }
        Failure::Average(_) => "give checkpoints of one model, each a directory or a file with its weights".to_owned(),
        Failure::List(_) => {
            "give a list whose lines have digests of files; `retrace seal DIR` makes a manifest".to_owned()
        }
        Failure::Export(error) => of_export(error),
        Failure::Corpus(error) => of_corpus(error),
        Failure::Train(error) => of_training(error),
        Failure::Token(_) => "make a token with `(umask 077; head -c 32 /dev/urandom | base64 > token)`".to_owned(),
        Failure::Audit(AuditError::Rule { source, .. }) => of_query(source),
        Failure::Rule(RuleError::File(error)) => of_file(error),
        Failure::Rule(_) => {
            "begin the SQL file with the lines `-- title: …`, `-- severity: …`, `-- means: …` and `-- do: …`".to_owned()
        }
        Failure::Workers(error) => of_workers(error),
        Failure::Model(error) => of_model(error),
        Failure::Eval(error) => of_evaluation(error),
        Failure::Tables(error) => of_tables(error),
        Failure::Step(error) => of_step(error),
        Failure::Query(error) => of_query(error),
        Failure::Import(error) => of_import(error),
        Failure::Report(ReportError::Query(error)) => of_query(error),
        Failure::Report(ReportError::NotDrawn(_)) => {
            "add a numeric column to the query; `retrace help query` says which columns give which chart".to_owned()
        }
        Failure::Report(ReportError::NoSuch { .. }) => {
            "give one of these names, or none: then all are shown".to_owned()
        }
        Failure::Report(ReportError::NoTables) => {
            "`retrace import`, `make` and `stats -o DIR` make such tables; give their directory with --tables"
                .to_owned()
        }
        Failure::Report(ReportError::Twin { .. }) => TWIN.to_owned(),
        Failure::Report(ReportError::SameRun { .. }) => SAME_RUN.to_owned(),
        Failure::Report(ReportError::OtherSearch { .. }) => OTHER_SEARCH.to_owned(),
        Failure::Report(_) => "check that the tables have the rows that the report draws".to_owned(),
    }
}

const TWIN: &str = "correct `twins` in the document of the page: a twin has scores of the same benchmarks and was trained without the documents that leak them";

const SAME_RUN: &str =
    "give one of the two, or make the table of one again with another name: `retrace stats --run NAME -o DIR`";
const OTHER_SEARCH: &str =
    "give `tables` and `counts` of one `contamination/1` document: its `output` and its `counts`; nothing was written";

/// The advice for a step that failed.
pub(crate) fn of_step(error: &StepError) -> String {
    match error {
        StepError::File(error) => return of_file(error),
        StepError::Spec(error) => return of_document(error),
        StepError::Corpus(error) => return of_corpus(error),
        StepError::Train(error) => return of_training(error),
        StepError::Eval(error) => return of_evaluation(error),
        StepError::Model(error) => return of_model(error),
        StepError::Harness(error) | StepError::HarnessTasks { first: error, .. } => return of_harness(error),
        StepError::HarnessRequest { .. } => "check the document and the task's template; nothing was written for this model",
        StepError::HarnessScore { .. } | StepError::Groups(_) => "correct the task file, or leave the task out; answers that were computed are kept",
        StepError::Query(error) | StepError::Report(ReportError::Query(error)) => return of_query(error),
        StepError::Tables(error) => return of_tables(error),
        StepError::Import(error) => return of_import(error),
        StepError::Points(error) => return of_points(error),
        StepError::Searched { .. } => "search the shards of `input` again with a `contamination/1` document, and give the table that it writes; nothing was written",
        StepError::Fit(_) => "give more points, or another --law; `retrace report scaling --help` lists the laws",
        StepError::Search(_) | StepError::OtherSearch(_) => "correct the benchmark; nothing was written",
        StepError::NoColumn { .. } => {
            "say which column it is: --fields question=COLUMN for a benchmark, --corpus-fields text=COLUMN for a corpus; in a document `fields: {question: COLUMN}`, `corpus_fields: {text: COLUMN}`"
        }
        StepError::NobodyHas { .. } => "correct the name of the column in --fields or --corpus-fields, in a document `fields` or `corpus_fields`; upper and lower case differ",
        StepError::NoRecords { .. } => "check that the files are the right ones, and that they are not empty",
        StepError::Record { .. } => "correct it, or give `retrace report contamination` --skip-unreadable, which counts such lines and rows and goes on; nothing was written",
        StepError::Ledger { .. } => "leave it out: give the shards alone",
        StepError::Inputs { .. } => "give each file once, and benchmarks with different names",
        StepError::Field { .. } => "correct that field of the document; nothing was written",
        StepError::NoStep { .. } => "give a document of a step; it begins with `retrace: clean/1`, `run/1`, `eval/1` and so on, see `retrace help make`",
        StepError::SameStep { .. } => "change the `name` of one of the two",
        StepError::SameFiles { .. } => "change the output of one of the two, or remove one document",
        StepError::Circle(_) => "change the output of one of them to files that the others do not read",
        StepError::NobodyMakes { .. } => "add the file, correct the path, or add the document of the step that makes it",
        StepError::NotOurs { .. } => "move the file away, or change the output in the document; `retrace make` overwrites only files that it made",
        StepError::Meanwhile { .. } => "run `retrace make` again when no other program writes to the file; the step is then run again",
        StepError::Changed { .. } => "move the file away or remove it, then run `retrace make` again",
        StepError::Report(ReportError::NoSuch { .. }) => "give one of these names, or none: then all are shown",
        StepError::Report(ReportError::Twin { .. }) => TWIN,
        StepError::Report(ReportError::SameRun { .. }) => SAME_RUN,
        StepError::Report(ReportError::OtherSearch { .. }) => OTHER_SEARCH,
        StepError::Report(_) => "check that the tables have the rows that the report draws",
    }
    .to_owned()
}

fn of_export(error: &ExportError) -> String {
    match error {
        ExportError::NoSha256 { .. } => "seal the release again with `retrace seal --sha256`",
        ExportError::NoStep { .. } => {
            "steps are recorded when `retrace make`, `clean`, `tokenize`, `train` or `eval` runs; seal the release after that"
        }
        ExportError::Bundling(BundlingError::Kind { .. }) => {
            "make a key with `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem`"
        }
        ExportError::Bundling(BundlingError::Certificate { .. }) => "put the certificate of the key first in the file",
        ExportError::Bundling(_) | ExportError::Form { .. } => "check that this is the right manifest",
    }
    .to_owned()
}

fn of_document(error: &SpecError) -> String {
    match error {
        SpecError::Parse { .. } => "correct the text at this place; nothing was written",
        SpecError::Invalid { field, .. } if field == "retrace" => "give a document of that kind and version",
        SpecError::Invalid { .. } => "correct this field; nothing was written",
        SpecError::Canonical(_) => "use only finite numbers, and only text as keys",
    }
    .to_owned()
}

fn of_points(error: &PointsError) -> String {
    match error {
        PointsError::Query(error) => return of_query(error),
        PointsError::Value { .. } | PointsError::NoNumber { .. } | PointsError::Point(PointError::Value { .. }) => "correct this value, or leave the row out, for example with SQL",
        PointsError::NoRuns => "give a column `run`, or name it with --columns run=COLUMN; or leave out --finals, in a document `finals`",
        PointsError::Point(PointError::Units { .. }) => "fit the two separately",
        PointsError::Missing { .. } => {
            "name the column: --columns params=N,tokens=D,loss=L; a quantity that must be computed, such as tokens from compute, is computed with SQL"
        }
        PointsError::Unknown { .. } => "name one of these columns; upper and lower case differ",
        PointsError::Ambiguous { .. } => "choose one: --columns params=COLUMN, or loss=COLUMN",
        PointsError::Unit { .. } => {
            "state it: --params-unit total or non-embedding, --loss-unit nats/token or bits/byte; a fit to another unit is another law"
        }
        PointsError::OtherUnit { .. } => "give the unit that the name says, or another column",
        PointsError::None => "give a file with rows, or SQL that returns some",
    }
    .to_owned()
}

fn of_file(error: &FileError) -> String {
    match error {
        FileError::Io { source, .. } => match source.kind() {
            io::ErrorKind::NotFound => {
                "check the name; paths on the command line are relative to the current directory, paths in a document to its directory"
            }
            io::ErrorKind::PermissionDenied => "change the permissions of the file or of its directory",
            io::ErrorKind::StorageFull => "free some space and try again; no partial file is left",
            io::ErrorKind::NotADirectory => "give a directory; for a file, give the directory that contains it",
            io::ErrorKind::AlreadyExists => "move it away first; it is not overwritten",
            _ => "check the file and the disk with the tools of your system",
        },
        FileError::NotRegular { .. } => "give a regular file; directories, pipes and devices are not read",
        FileError::Link { .. } => {
            "replace the link by the file itself; links inside a release are not followed, because they can lead out of it"
        }
        FileError::TooLarge { .. } => "check that this is the right file",
        FileError::Locked { .. } => "wait until that process ends, or write to another place; reading is possible meanwhile",
        FileError::Changed { .. } => "try again when no other program writes to the file",
        FileError::Json { .. } => "correct this line; if the file is from a release, `retrace verify` says whether it is the released file",
        FileError::Damaged { .. } => "get the file again, or leave it out; nothing was written",
        FileError::Safetensors { .. } => "give a complete safetensors file; if it is from a release, `retrace verify` says whether it is the released file",
        FileError::NoMatch { .. } => "correct the pattern, or make the files first (`retrace clean`, `retrace tokenize`)",
        FileError::Name { .. } => "rename, move or remove it; `retrace seal --ignore PATH` leaves it out",
    }
    .to_owned()
}

fn of_sealing(error: &SealError) -> String {
    match error {
        SealError::File(error) => return of_file(error),
        SealError::Spec(_) => "move away what does not belong to the release, or leave it out with `--ignore`",
        SealError::Special { .. } => "replace it by a regular file, or leave it out with `--ignore`",
        SealError::Nest { .. } => "a nested release needs a manifest of its own that can be read; `retrace seal` makes one",
        SealError::Stale { .. } => "run that step again, so that its record and the files agree; if the step no longer belongs to the release, remove its record in .retrace/steps",
    }
    .to_owned()
}

fn of_corpus(error: &CorpusError) -> String {
    match error {
        CorpusError::File(error) => return of_file(error),
        CorpusError::Path(_) => "give a path relative to the directory of the document, and inside it",
        CorpusError::Tokens { .. } => "check that this is a token shard; `retrace tokenize` makes one, and `retrace verify` says whether a file is as released",
        CorpusError::Tokenizer { .. } => "give a `tokenizer.json` in the format of Hugging Face's tokenizers library",
        CorpusError::Documents { .. } => "say in the recipe which columns the shards have (`fields: {text: COLUMN, id: COLUMN, lang: COLUMN}`) and the language of all documents (`lang: en`); `unreadable: drop` drops documents that cannot be read and lists them in the ledger; nothing was written",
        CorpusError::Clash { .. } => "rename one of the two files, or use a recipe for each",
        CorpusError::Searched { .. } => "search these shards again with a `contamination/1` document, and clean by the table that it writes; nothing was written",
        CorpusError::Order { .. } => "give a step and a sequence within the run",
    }
    .to_owned()
}

fn of_checkpoint(error: &CheckpointError) -> String {
    match error {
        CheckpointError::File(error) => return of_file(error),
        CheckpointError::Empty { .. } => {
            "give a directory with `model.safetensors` or `pytorch_model.bin` (one file or shards), a distributed checkpoint of PyTorch (`.metadata`), or one file of weights"
        }
        CheckpointError::Unreadable { .. } => {
            "give weights as safetensors, in PyTorch's format (dense tensors of a type that safetensors has), or as llama2.c exports them"
        }
        CheckpointError::Contradiction(_) => {
            "check which of the two is right; `retrace verify` says which files are not as released"
        }
    }
    .to_owned()
}

/// The values of `model_type` of the models that are computed.
fn supported() -> String {
    let families = Architecture::ALL.into_iter().filter(|family| *family != Architecture::Own);
    families.map(Architecture::name).collect::<Vec<_>>().join(", ")
}

fn of_model(error: &ModelError) -> String {
    match error {
        ModelError::File(error) => return of_file(error),
        ModelError::Checkpoint(error) => return of_checkpoint(error),
        ModelError::Config { .. } => return "give a directory with a supported model: ".to_owned() + &supported(),
        ModelError::NotComputed { .. } => {
            let others = "; `retrace seal`, `verify`, `diff` and `stats` read the tensors of any model";
            return "retrace computes ".to_owned() + &supported() + others;
        }
        ModelError::Missing { .. } | ModelError::Mismatch { .. } | ModelError::Unknown { .. } => {
            "check that config.json and the weights belong to the same model"
        }
        ModelError::Memory { .. } => {
            "use a machine with more memory or a smaller model; check that config.json belongs to the weights"
        }
        ModelError::Own => "compute it with the library and that code; crates/train/examples/own.rs is an example",
        ModelError::Candle(_) | ModelError::ZeroSign { .. } => "leave out --engine candle",
        ModelError::Input(_) => {
            "give token ids of the model's own tokenizer, in sequences no longer than the model's positions"
        }
    }
    .to_owned()
}

fn of_harness(error: &HarnessError) -> String {
    match error {
        HarnessError::File(error) => return of_file(error),
        HarnessError::Yaml(error) => return of_document(error),
        HarnessError::Unknown { .. } => "give the directory of the harness's task files with --include-path, and names as `lm_eval ls tasks` lists them",
        HarnessError::Twice { .. } => "leave one of the two out",
        HarnessError::Function { .. } => "leave the task out: functions in Python are not executed, and this one, or this version of it, is not ported",
        HarnessError::NoData { .. } => "put the data of the task there, or give another directory with --data",
        _ => "correct the task file or its data, or leave the task out",
    }
    .to_owned()
}

fn of_evaluation(error: &EvalError) -> String {
    match error {
        EvalError::File(error) => of_file(error),
        EvalError::Model(error) => of_model(error),
        EvalError::Corpus(error) => of_corpus(error),
        EvalError::Item { .. } => "correct this line of the task's items".to_owned(),
        EvalError::Results { .. } => "give a results file of `retrace eval -o`".to_owned(),
        EvalError::Request { .. } => "check the text that is asked about".to_owned(),
        EvalError::Cache { .. } => "remove this file of answers, which are then computed again".to_owned(),
        EvalError::Prompts { .. } => "correct this file of the model; it decides how texts become tokens".to_owned(),
        EvalError::NotFinite { .. } | EvalError::NotFiniteAnswer { .. } => "check the weights: `retrace stats` finds values that are not finite, and `retrace verify` finds changed files".to_owned(),
    }
}

fn of_tables(error: &TablesError) -> String {
    match error {
        TablesError::File(error) => of_file(error),
        TablesError::Checksum { .. } => "download the file or import the data again".to_owned(),
        TablesError::Damaged { .. } => {
            "check the file with `retrace verify`, or import the data again; if the file is intact, please report this as a bug, with the command"
                .to_owned()
        }
        TablesError::Arrow(_) | TablesError::Parquet(_) => {
            "if the disk has space left, please report this as a bug, with the command".to_owned()
        }
    }
}

fn of_query(error: &QueryError) -> String {
    match error {
        QueryError::Sql { help, .. } | QueryError::NoSuchQuery { help, .. } | QueryError::Parameter { help, .. }
            if !help.is_empty() =>
        {
            return help.clone();
        }
        QueryError::File(error) => return of_file(error),
        QueryError::Spec(error) => return of_document(error),
        QueryError::NoTables { .. } => "give the directory of a release, such as `retrace tour` makes",
        QueryError::Form { .. } | QueryError::Table { .. } => {
            "give a Parquet, CSV, TSV or JSON lines file whose name ends accordingly"
        }
        QueryError::NotAsSealed { .. } => {
            "download the file again, or seal the release again if you changed it; `retrace verify` checks all files, and --unchecked reads this one as it is"
        }
        QueryError::UnknownPart { .. } => {
            "`retrace verify` says what is wrong with the part; --unchecked reads its tables as they are"
        }
        QueryError::MissingTable { .. } => {
            "put the file back, or seal the release again without it; --unchecked queries the other files"
        }
        QueryError::Tables(TablesError::Checksum { .. }) => "download the file or import the data again; --unchecked reads it as it is",
        QueryError::Tables(error) => return of_tables(error),
        QueryError::Reach { .. } => {
            "check what the SQL reads; --trust-queries lets SQL from files read every file and URL that you can read"
        }
        QueryError::Scheme { .. } => "give an s3://, gs:// or https:// URL, or download the file and give its path",
        QueryError::TooLong { .. } => "make the query smaller, or set a longer --timeout SECONDS; 0 means no limit",
        QueryError::TooLarge { .. } | QueryError::Exhausted { .. } => "make the query smaller, or allow more memory with --memory SIZE",
        QueryError::Damaged { .. } => {
            "check the files with `retrace verify`; if they are intact, please report this as a bug, with the command"
        }
        QueryError::Unreachable { .. } => {
            "check the URL and the credentials in the AWS_… or GOOGLE_… variables; AWS_SKIP_SIGNATURE=true reads a public bucket without credentials"
        }
        QueryError::Runtime(_) => "check how many threads and open files the system allows",
        QueryError::Clash { .. } => "rename one of the two, or name it by its path in SQL: from 'PATH'",
        QueryError::Columns { .. } => "name the files by their paths in SQL, and cast the column to one type",
        QueryError::Header { .. } => "see `retrace help query` and the files in reports/queries for the header of a named query",
        _ => "`retrace query 'show tables' DIR` lists the tables and their columns",
    }
    .to_owned()
}

fn of_import(error: &ImportError) -> String {
    match error {
        ImportError::File(error) => of_file(error),
        ImportError::Tables(error) => of_tables(error),
        ImportError::Nothing { kind: "mlflow", .. } => {
            "give the database (`mlflow.db`), or the directory `mlruns` of a file store".to_owned()
        }
        ImportError::Nothing { .. } => "give the files themselves; those are read whatever their names are".to_owned(),
        ImportError::Clash { .. } => {
            "import them one by one with different --release names, or give their common directory".to_owned()
        }
        ImportError::Name { .. } => "rename it, or give its parent directory".to_owned(),
    }
}

fn of_training(error: &TrainError) -> String {
    match error {
        TrainError::File(error) => return of_file(error),
        TrainError::Corpus(error) => return of_corpus(error),
        TrainError::Spec(error) => return of_document(error),
        TrainError::Model(ModelError::Missing { .. } | ModelError::Mismatch { .. } | ModelError::Unknown { .. }) => {
            "check that the checkpoint and the run file describe the same model"
        }
        TrainError::Model(error) => return of_model(error),
        TrainError::Environment(_) => "find what changes the floating-point mode, such as a library in LD_PRELOAD, and try again without it",
        TrainError::Exists { .. } => {
            "`retrace train RUN --resume` continues from the last checkpoint; to start from the beginning, move the run's output away"
        }
        TrainError::NoCheckpoint { .. } => "leave out --resume to start the run",
        TrainError::NoSuchCheckpoint { .. } => "start from a step that has a checkpoint",
        TrainError::OtherRun { .. } => {
            "restore the original run file, or set another `output` in the changed one"
        }
        TrainError::Damaged { .. } => "if the checkpoint was downloaded, download it again; otherwise remove it, and `--resume` continues from the one before",
        TrainError::Journal { .. } => "restore the original journal; it cannot be edited, because each line has the digest of the line before",
        TrainError::Tokens { .. } => "tokenize with the tokenizer that the run file names, or correct the run file",
        TrainError::NotFinite { .. } => "set a lower learning rate or a longer warm-up in the run file",
        TrainError::Start { .. } => {
            "give a checkpoint of the run's model in `start`, and the fields of its config.json in `model`"
        }
        TrainError::Segment { .. } => "give --from and --to within the run, with --from before --to",
    }
    .to_owned()
}

fn of_workers(error: &WorkersError) -> String {
    match error {
        WorkersError::Train(error) => return of_training(error),
        WorkersError::Listen { .. } => "give an address of this machine and a free port, such as 127.0.0.1:7070",
        WorkersError::NotProven { .. } | WorkersError::Tls(_) => {
            "give the address that `retrace train RUN --listen ADDRESS` prints, its token, and use the same version of retrace"
        }
        WorkersError::Unreachable { .. } => {
            "start `retrace train RUN --listen ADDRESS`, and give the address that it prints"
        }
        WorkersError::Refused { .. } => {
            "use the run file and the version of retrace of the coordinator"
        }
        WorkersError::Lost { .. } => {
            "if the training still runs, start the worker again; otherwise resume the training first. No bit depends on this"
        }
        WorkersError::OtherTokens { .. } => {
            "copy the coordinator's token shards; `retrace verify` says which are not as released"
        }
        WorkersError::Damaged { .. } => "start the worker again; if this repeats, check the machine and its network",
        WorkersError::Start(_) => "check how many threads and open files the system allows",
    }
    .to_owned()
}

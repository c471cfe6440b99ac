//! Finds files, reads them in parallel, and writes their rows into the tables.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use retrace_files::{FileError, Progress, RegularFile, Unit, WalkEntry, walk};
use retrace_spec::Digest;
use retrace_spec::guard;
use retrace_tables::TablesError;
use retrace_tables::{Batch, Checkpoint, Claim, Metric, Repeated, Row, Sample, Source, Tables, TrainLog};

use crate::beside::{self, Beside};
use crate::mapping::{Mapping, Plan};
use crate::rows::{Input, LONGEST_NAME, Problem, Rows};
use crate::{ImportError, ImportKind};
use crate::{
    checkpoints, configs, csv, evaluated, lm_eval, mlflow, pythia, readme, tensorboard, text_log, trackio,
    trainer_state, wandb,
};

/// The status of a file in `sources` while its rows are written; it remains if the import is interrupted.
const NOT_ENDED: &str = "its import has not ended: its rows may be old, new or missing; import it again";

/// The options of an import.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The release; by default the name of the directory given, or of the one that contains the file given.
    pub release: Option<String>,
    /// The meaning of the columns of tables.
    pub mapping: Mapping,
    /// Tokens per step, if the files do not state the number of tokens.
    pub tokens_per_step: Option<u64>,
}

/// The result of an import.
#[derive(Debug)]
pub struct Imported {
    /// Every file that was read, or should have been read.
    pub sources: Vec<Source>,
    /// The number of rows from the files, by table.
    pub rows: BTreeMap<&'static str, usize>,
    /// By source, what is not wrong but should be known: how the file was understood.
    pub notes: Vec<(String, String)>,
    /// The sources, as release and name, under which the tables had rows of another content, which are replaced.
    pub replaced: Vec<(String, String)>,
}

/// A file that was found.
struct Candidate {
    release: String,
    source: String,
    path: PathBuf,
    /// Why it cannot be read, if that is known already.
    refused: Option<String>,
}

/// Imports the files at `paths`, and below those that are directories, into the tables in `directory`.
///
/// The name of a source is the last part of the given path and the path below it, wherever the directory is. The rows
/// of a file that was imported before, identified by release and source, are replaced; all others are kept. The same
/// files give the same bytes. No other process writes to the tables meanwhile; if this process is killed while it
/// writes, `sources` marks every file whose rows may be incomplete.
///
/// # Errors
/// If a path cannot be read or has no file of this kind, two files have the same name, another process writes to the
/// tables, or they cannot be written. Problems of a single file are in its row of `sources`.
pub fn import(
    kind: ImportKind,
    paths: &[PathBuf],
    options: &Options,
    directory: &Path,
    progress: &dyn Progress,
) -> Result<Imported, ImportError> {
    let mut candidates = Vec::new();
    for path in paths {
        find(kind, path, options, &mut candidates)?;
    }
    if candidates.is_empty() {
        return Err(ImportError::Nothing { paths: paths.to_vec(), kind: kind.name(), names: kind.names() });
    }
    let mut named: BTreeMap<(&str, &str), &Path> = BTreeMap::new();
    for Candidate { release, source, path, .. } in &candidates {
        if let Some(one) = named.insert((release, source), path) {
            let (source_name, release) = (source.clone(), release.clone());
            return Err(ImportError::Clash { one: one.to_owned(), other: path.clone(), source_name, release });
        }
    }
    let tables = Tables::lock(directory)?;
    progress.begin("importing", candidates.len() as u64, Unit::Files);
    let reader = Reader::new(kind, options, &candidates);
    let read = candidates.into_par_iter().map(|candidate| {
        let (source, rows) = reader.read(candidate);
        progress.advance(1);
        let models = rows.claims.iter().filter(|claim| kind == ImportKind::LmEval && claim.name == evaluated::MODEL);
        let models = models.cloned().collect();
        Ok(Read { source, columns: Columns::of(&rows)?, notes: rows.notes(), models })
    });
    let read: Result<Vec<Read>, TablesError> = read.collect();
    progress.end();
    let mut all = AllColumns::default();
    let (mut sources, mut notes, mut models): (Vec<Source>, _, _) = (Vec::new(), Vec::new(), Vec::new());
    for Read { source, columns, notes: of_source, models: of_models } in read? {
        models.extend(of_models);
        notes.extend(of_source.into_iter().map(|note| (source.source.clone(), note)));
        sources.push(source);
        all.append(columns);
    }
    let replaced: BTreeSet<_> = sources.iter().map(|source| (source.release.clone(), source.source.clone())).collect();
    if !models.is_empty() {
        add_problems(&mut sources, evaluated::mixed(&models, &tables.claims(&replaced, evaluated::MODEL)?));
    }
    let before = tables.digests()?;
    let other = |source: &Source| {
        let name = (source.release.clone(), source.source.clone());
        let digest = source.digest?.to_string();
        before.get(&name).is_some_and(|before| *before != digest).then_some(name)
    };
    let other_content = sources.iter().filter_map(other).collect();
    notes.extend(again(&tables.repeated(&replaced, &all.train_log)?));
    let target = Target { tables, replaced };
    target.put(vec![Batch::of(&sources.iter().map(not_ended).collect::<Vec<_>>())?])?;
    let (metrics, (claims, rest)) = rayon::join(
        || target.put(all.metrics),
        || {
            let rest = || [target.put(all.train_log), target.put(all.samples), target.put(all.checkpoints)];
            rayon::join(|| target.put(all.claims), rest)
        },
    );
    let mut rows = [metrics, claims].into_iter().chain(rest).collect::<Result<BTreeMap<_, _>, _>>()?;
    // The sources last, so that the rows that they describe exist.
    rows.extend([target.put(vec![Batch::of(&sources)?])?]);
    Ok(Imported { sources, rows, notes, replaced: other_content })
}

/// What a file gave.
struct Read {
    source: Source,
    columns: Columns,
    notes: Vec<String>,
    /// For results of an evaluation, the claims that name the model.
    models: Vec<Claim>,
}

/// Adds problems to those of their sources.
fn add_problems(sources: &mut [Source], problems: Vec<((String, String), Problem)>) {
    let problems: HashMap<_, _> = problems.into_iter().collect();
    for source in sources {
        if let Some(problem) = problems.get(&(source.release.clone(), source.source.clone())) {
            let all = source.problem.iter().cloned().chain([problem.to_string()]);
            source.problem = Some(all.collect::<Vec<_>>().join("; "));
        }
    }
}

/// For each source with rows of the training log that other imports gave too, a note.
fn again(repeated: &Repeated) -> Vec<(String, String)> {
    let note = |(((_, source), (release, other)), rows): (&_, &usize)| {
        let (source, other): (&String, &String) = (source, other);
        let what = format!(
            "steps that the tables have already, of {other} in {release}, and that queries count twice: {rows}; import the \
             files of a run at once"
        );
        (source.clone(), what)
    };
    repeated.iter().map(note).collect()
}

/// The rows of a file by column, for the tables in which it has rows: less than half of the memory, and built by the
/// thread that read the file.
struct Columns {
    metrics: Option<Batch<Metric>>,
    train_log: Option<Batch<TrainLog>>,
    samples: Option<Batch<Sample>>,
    checkpoints: Option<Batch<Checkpoint>>,
    claims: Option<Batch<Claim>>,
}

impl Columns {
    fn of(rows: &Rows) -> Result<Self, TablesError> {
        fn some<R: Row>(rows: &[R]) -> Result<Option<Batch<R>>, TablesError> {
            (!rows.is_empty()).then(|| Batch::of(rows)).transpose()
        }
        Ok(Self {
            metrics: some(&rows.metrics)?,
            train_log: some(&rows.train_log)?,
            samples: some(&rows.samples)?,
            checkpoints: some(&rows.checkpoints)?,
            claims: some(&rows.claims)?,
        })
    }
}

/// The rows of all files.
#[derive(Default)]
struct AllColumns {
    metrics: Vec<Batch<Metric>>,
    train_log: Vec<Batch<TrainLog>>,
    samples: Vec<Batch<Sample>>,
    checkpoints: Vec<Batch<Checkpoint>>,
    claims: Vec<Batch<Claim>>,
}

impl AllColumns {
    fn append(&mut self, columns: Columns) {
        self.metrics.extend(columns.metrics);
        self.train_log.extend(columns.train_log);
        self.samples.extend(columns.samples);
        self.checkpoints.extend(columns.checkpoints);
        self.claims.extend(columns.claims);
    }
}

fn not_ended(source: &Source) -> Source {
    Source { rows: 0, problem: Some(NOT_ENDED.to_owned()), ..source.clone() }
}

/// The tables, and the sources whose rows are replaced.
struct Target {
    tables: Tables,
    replaced: BTreeSet<(String, String)>,
}

impl Target {
    fn put<R: Row>(&self, batches: Vec<Batch<R>>) -> Result<(&'static str, usize), TablesError> {
        let rows = batches.iter().map(Batch::len).sum();
        self.tables.merge(&self.replaced, batches)?;
        Ok((R::TABLE, rows))
    }
}

/// The files of this kind below a path.
fn find(kind: ImportKind, path: &Path, options: &Options, candidates: &mut Vec<Candidate>) -> Result<(), ImportError> {
    let unnamed = || ImportError::Name { path: path.to_owned() };
    let metadata = path.metadata().map_err(FileError::io(path, "open"))?;
    // The directories `.` and `..` have names too.
    let absolute = if path.file_name().is_some() {
        std::path::absolute(path).map_err(FileError::io(path, "read the metadata of"))?
    } else {
        path.canonicalize().map_err(FileError::io(path, "read the metadata of"))?
    };
    let name = |path: Option<&Path>| path?.file_name()?.to_str().map(str::to_owned);
    let own = name(Some(&absolute)).ok_or_else(unnamed)?;
    let release = match &options.release {
        Some(release) => release.clone(),
        None if metadata.is_dir() => own.clone(),
        None => name(absolute.parent()).unwrap_or_else(|| own.clone()),
    };
    if !metadata.is_dir() {
        candidates.push(Candidate { release, source: own, path: path.to_owned(), refused: None });
        return Ok(());
    }
    let hidden = |path: &retrace_spec::RelPath| path.file_name().starts_with('.');
    for found in walk(path, &hidden)? {
        let (below, refused) = match found {
            WalkEntry::File(below) => (below, None),
            WalkEntry::Special(below) => (below, Some("a link or special file, which is not followed".to_owned())),
            WalkEntry::Refused { path, what } => (path, Some(what)),
        };
        // An entry whose type cannot be determined may be a directory with any content.
        let at = below.under(path);
        let is_directory = refused.is_some() && (at.is_dir() || at.symlink_metadata().is_err());
        if is_directory && is_walked(path, &at) {
            continue;
        }
        if kind.takes(below.as_str()) || is_directory {
            let source = format!("{own}/{below}");
            let long = source.len() > LONGEST_NAME;
            let refused = refused.or_else(|| long.then(|| format!("its name is longer than {LONGEST_NAME} bytes")));
            candidates.push(Candidate { release: release.clone(), source, path: below.under(path), refused });
        }
    }
    Ok(())
}

/// Whether a link is to a directory below this one, whose files are found at their own place: wandb's `latest-run`.
fn is_walked(root: &Path, link: &Path) -> bool {
    let (Ok(root), Ok(target)) = (root.canonicalize(), link.canonicalize()) else { return false };
    let is_hidden = |part: &OsStr| part.as_encoded_bytes().starts_with(b".");
    target.strip_prefix(root).is_ok_and(|below| !below.iter().any(is_hidden))
}

/// Reads files of a kind.
struct Reader<'a> {
    kind: ImportKind,
    options: &'a Options,
    plan: Plan,
    beside: HashMap<PathBuf, Beside>,
}

impl<'a> Reader<'a> {
    fn new(kind: ImportKind, options: &'a Options, candidates: &[Candidate]) -> Self {
        let plan =
            if kind == ImportKind::PythiaEvals { pythia::term_frequencies() } else { Plan::new(&options.mapping) };
        let readable = candidates.iter().filter(|candidate| candidate.refused.is_none());
        let files: Vec<&Path> = readable.map(|candidate| candidate.path.as_path()).collect();
        let beside = beside::of(kind, &files, &|path| read_file(path, kind.largest(path)).ok());
        Self { kind, options, plan, beside }
    }

    fn read(&self, candidate: Candidate) -> (Source, Rows) {
        let Candidate { release, source, path, refused } = candidate;
        let mut rows = Rows::default();
        let bytes = match refused {
            Some(what) => Err(Problem::whole(what)),
            None => read_file(&path, self.kind.largest(&path)),
        };
        let (mut digest, mut size) = (None, 0);
        let problem = bytes.and_then(|bytes| {
            (digest, size) = (Some(Digest::of(&bytes)), bytes.len() as u64);
            let beside = self.beside.get(&path).unwrap_or(&Beside::Nothing);
            let input = Input { release: &release, source: &source, path: &path, bytes: &bytes, beside };
            guard(|| self.rows(&input, &mut rows)).unwrap_or_else(|gave_up| Err(Problem::whole(gave_up.to_string())))
        });
        if let Err(problem) = problem {
            rows.problem(problem);
        }
        if digest.is_some() && rows.len() == 0 && rows.problems().is_none() && rows.notes().is_empty() {
            rows.note(Problem::whole("no row was read from it"));
        }
        if let Some(per_step) = self.options.tokens_per_step {
            rows.fill_tokens(per_step);
        }
        let (kind, problem) = (self.kind.name().to_owned(), rows.problems());
        (Source { release, source, digest, size, kind, rows: rows.len() as u64, problem }, rows)
    }

    /// The rows of a file. A problem with the complete file is an error; a problem with a part of it is a problem of
    /// the rows.
    fn rows(&self, input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
        match self.kind {
            ImportKind::LmEval => lm_eval::read(input, rows),
            ImportKind::PythiaEvals => pythia::read(input, &self.plan, rows),
            ImportKind::CheckpointList => checkpoints::read(input, rows),
            ImportKind::Csv => csv::read(input, &self.plan, rows),
            ImportKind::Wandb => wandb::read(input, &self.plan, rows),
            ImportKind::TensorBoard => {
                tensorboard::read(input, rows);
                Ok(())
            }
            ImportKind::MlFlow => mlflow::read(input, rows),
            ImportKind::Trackio => trackio::read(input, &self.plan, rows),
            ImportKind::TrainerState => trainer_state::read(input, rows),
            ImportKind::TextLog => text_log::read(input, rows),
            ImportKind::Configs => configs::read(input, rows),
            ImportKind::Readme => readme::read(input, rows),
        }
    }
}

fn read_file(path: &Path, largest: u64) -> Result<Vec<u8>, Problem> {
    let read = RegularFile::open(path).and_then(|file| file.read(largest));
    // The problem's message has the file's name already.
    read.map_err(|error| {
        Problem::whole(match error {
            FileError::TooLarge { most, .. } => format!("larger than {most} bytes, the limit for its kind"),
            FileError::Io { doing, source, .. } => format!("cannot {doing}: {source}"),
            FileError::NotRegular { .. } => "it is not a regular file".to_owned(),
            error => error.to_string(),
        })
    })
}

//! The files of a search: their names, and which of their columns are what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use retrace_corpus::records::Records;
use retrace_files::Root;
use retrace_spec::RelPath;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::benchmarks::FIELDS;
use crate::StepError;

/// What a document has, by the names of its columns.
const OF_DOCUMENTS: &[&str] = &["id", "text", "lang", "source"];

/// Which columns of files may be which field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// For each field, the columns that may be it, in order: those that were given, and then its own name, which a
    /// document's field that was given does not have. Several columns are one choice each; none says that the field is
    /// not read.
    fields: Vec<(&'static str, Vec<Vec<String>>)>,
    /// Fields and columns as they were given.
    given: Vec<(&'static str, Vec<String>)>,
}

/// Which column of one file is which field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    fields: Vec<(&'static str, Vec<String>)>,
    all: Vec<String>,
}

impl Columns {
    /// Of benchmarks: `id`, `question`, `choices`, `answer`, `passage`, `solution` and `subset`, or as `given` says for
    /// files that have such a column: `question=prompt`, `choices=A+B+C+D`, `id=` for a field that is not read.
    ///
    /// # Errors
    /// What is wrong with `given`.
    pub fn of_benchmarks(given: &[String]) -> Result<Self, String> {
        Self::new(FIELDS, given, true)
    }

    /// Of documents: `id`, `text`, `lang` and `source`. A field that `given` names is read from the columns given there,
    /// and from no other.
    ///
    /// # Errors
    /// What is wrong with `given`.
    pub fn of_documents(given: &[String]) -> Result<Self, String> {
        let columns = Self::new(OF_DOCUMENTS, given, false)?;
        match columns.given.iter().any(|(name, columns)| *name == "text" && columns.is_empty()) {
            true => Err("the name of the column in `text=` is empty; a document needs a text".to_owned()),
            false => Ok(columns),
        }
    }

    /// `own`: whether a field that is given keeps its own name in files without the given columns.
    fn new(names: &[&'static str], given: &[String], own: bool) -> Result<Self, String> {
        let mut all_given = Vec::new();
        let mut fields: Vec<(&'static str, Vec<Vec<String>>)> = names.iter().map(|name| (*name, Vec::new())).collect();
        for given in given {
            let Some((field, columns)) = given.split_once('=') else {
                return Err(format!("{given:?} is not FIELD=COLUMN"));
            };
            let Some((name, of_field)) = fields.iter_mut().find(|(name, _)| *name == field) else {
                return Err(format!("there is no field {field:?}; the fields are {}", names.join(", ")));
            };
            let columns: Vec<String> = columns.split('+').filter(|name| !name.is_empty()).map(str::to_owned).collect();
            if columns.len() > 1 && *name != "choices" {
                return Err(format!("{given:?} names several columns; only choices can have several"));
            }
            all_given.push((*name, columns.clone()));
            of_field.push(columns);
        }
        for (name, candidates) in fields.iter_mut().filter(|(_, candidates)| own || candidates.is_empty()) {
            candidates.push(vec![(*name).to_owned()]);
        }
        Ok(Self { fields, given: all_given })
    }

    /// All columns that may be a field.
    pub(super) fn every(&self) -> Vec<String> {
        self.fields.iter().flat_map(|(_, candidates)| candidates.iter().flatten().cloned()).collect()
    }

    /// The columns of a file that has the columns `there`: for each field the first that it has, else its own name.
    pub(super) fn of_file(&self, there: &[String]) -> Layout {
        let has = |columns: &&Vec<String>| columns.first().is_none_or(|column| has(there, column));
        let chosen = |candidates: &Vec<Vec<String>>| {
            candidates.iter().find(has).or_else(|| candidates.last()).cloned().unwrap_or_default()
        };
        let fields: Vec<_> = self.fields.iter().map(|(name, candidates)| (*name, chosen(candidates))).collect();
        let all = fields.iter().flat_map(|(_, columns)| columns.clone()).collect();
        Layout { fields, all }
    }

    /// Fails if a column was given that is not among `had`, the columns that a record has: a misspelt one.
    pub(super) fn check_given(&self, had: &BTreeSet<String>, records: &'static str) -> Result<(), StepError> {
        for (name, columns) in &self.given {
            if let Some(column) = columns.iter().find(|column| !had.contains(*column)) {
                let (column, given) = (column.clone(), format!("{name}={}", columns.join("+")));
                return Err(StepError::NobodyHas { records, column, given });
            }
        }
        Ok(())
    }
}

impl Layout {
    /// The columns to read.
    pub(super) fn all(&self) -> &[String] {
        &self.all
    }

    /// The values of a field in a record of these columns.
    pub(super) fn of<'a>(&self, field: &str, values: &'a [Value]) -> impl Iterator<Item = &'a Value> + use<'a> {
        let before = self.fields.iter().take_while(|(name, _)| *name != field).map(|(_, columns)| columns.len()).sum();
        let count = self.fields.iter().find(|(name, _)| *name == field).map_or(0, |(_, columns)| columns.len());
        values.iter().skip(before).take(count)
    }

    /// Fails if the file at `path`, which has the columns `there`, has none of `fields`.
    pub(super) fn check(&self, path: &Path, there: &[String], fields: &[&'static str]) -> Result<(), StepError> {
        let columns = |field: &&'static str| self.fields.iter().find(|(name, _)| name == field).map(|(_, of)| of);
        let mut wanted = fields.iter().filter_map(columns).filter_map(|columns| columns.first());
        if wanted.clone().any(|column| has(there, column)) {
            return Ok(());
        }
        let wanted = wanted.next().cloned().unwrap_or_else(|| fields.join(" or "));
        Err(StepError::NoColumn { path: path.to_owned(), wanted, there: there.join(", ") })
    }

    /// Adds to `had` the columns of which a record has these values.
    pub(super) fn note(&self, values: &[Value], had: &mut BTreeSet<String>) {
        for (column, _) in self.all.iter().zip(values).filter(|(_, value)| !value.is_null()) {
            if !had.contains(column) {
                had.insert(column.clone());
            }
        }
    }

    /// The column that is the field, if it has another name.
    pub(super) fn other_name(&self, field: &str) -> Option<&str> {
        let columns = self.fields.iter().find(|(name, _)| *name == field).map(|(_, columns)| columns)?;
        columns.first().map(String::as_str).filter(|column| *column != field)
    }

    /// Whether the field is read at all.
    pub(super) fn reads(&self, field: &str) -> bool {
        self.fields.iter().any(|(name, columns)| *name == field && !columns.is_empty())
    }
}

/// Whether one of the columns `there` is `column`, or has it.
fn has(there: &[String], column: &str) -> bool {
    let root = column.split('.').next().unwrap_or(column);
    there.iter().any(|name| name == column || name == root)
}

/// Lines and rows that could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Skipped {
    pub(super) count: u64,
    /// The first few, and why.
    pub(super) first: Vec<(u64, String)>,
}

impl Skipped {
    /// How many are described.
    const DESCRIBED: usize = 5;

    /// Counts a record that cannot be read, or fails.
    pub(super) fn or_fail(
        &mut self,
        skip: bool,
        records: &mut Records,
        path: &Path,
        line: u64,
        what: String,
    ) -> Result<(), StepError> {
        if !skip {
            records.check_rest()?;
            return Err(StepError::Record { path: path.to_owned(), line, what });
        }
        self.count += 1;
        if self.first.len() < Self::DESCRIBED {
            self.first.push((line, what));
        }
        Ok(())
    }
}

/// A file of a search, and its name in the report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Its name, unique among the files of its kind, and no path of the machine.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

impl Named {
    /// Files of a release, each with its path there as its name, sorted by name.
    pub(super) fn of_release(root: &Root, paths: &[RelPath]) -> Result<Vec<Self>, StepError> {
        let named = |path: &RelPath| Ok(Self { name: path.to_string(), path: root.file(path)?.path().to_owned() });
        let mut all = paths.iter().map(named).collect::<Result<Vec<_>, StepError>>()?;
        all.sort();
        all.dedup();
        Ok(all)
    }
}

/// The files with their names, sorted by these: the last part of each path, or as many parts as tell all files apart.
///
/// # Errors
/// If a file cannot be found, or is there twice.
pub fn named(paths: &[PathBuf]) -> Result<Vec<Named>, StepError> {
    let mut seen = BTreeSet::new();
    let mut whole = Vec::new();
    for path in paths {
        let canonical = path.canonicalize().map_err(retrace_files::FileError::io(path, "open"))?;
        if !seen.insert(canonical) {
            return Err(StepError::Inputs { what: format!("{} is given twice", path.display()) });
        }
        let absolute = std::path::absolute(path).map_err(retrace_files::FileError::io(path, "open"))?;
        let parts: Vec<String> = absolute
            .components()
            .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
            .map(|part| part.as_os_str().to_string_lossy().into_owned())
            .collect();
        whole.push(parts);
    }
    let last = |parts: &Vec<String>, count: usize| {
        parts.get(parts.len().saturating_sub(count)..).unwrap_or_default().join("/")
    };
    let most = whole.iter().map(Vec::len).max().unwrap_or(1);
    let apart =
        |count: &usize| whole.iter().map(|parts| last(parts, *count)).collect::<BTreeSet<_>>().len() == whole.len();
    let count = (1..most).find(apart).unwrap_or(most);
    let mut named: Vec<Named> =
        whole.iter().zip(paths).map(|(parts, path)| Named { name: last(parts, count), path: path.clone() }).collect();
    named.sort();
    Ok(named)
}

/// Files of benchmarks with the benchmarks' names: the file's stem, and with its directories where two have the same.
pub(super) fn benchmarks(files: &[Named]) -> Result<Vec<(String, &Named)>, StepError> {
    let stem = |name: &str| {
        let file = name.rsplit('/').next().unwrap_or(name).len();
        let (directory, file) = name.split_at(name.len() - file);
        let file = file.strip_suffix(".gz").or_else(|| file.strip_suffix(".zst")).unwrap_or(file);
        let file = [".jsonl", ".json", ".parquet"].iter().find_map(|end| file.strip_suffix(end)).unwrap_or(file);
        (directory.to_owned(), file.to_owned())
    };
    let mut stems: BTreeMap<String, usize> = BTreeMap::new();
    for file in files {
        *stems.entry(stem(&file.name).1).or_default() += 1;
    }
    let mut benchmarks: Vec<(String, &Named)> = files
        .iter()
        .map(|file| {
            let (directory, stem) = stem(&file.name);
            let unique = stems.get(&stem).copied().unwrap_or(1) == 1;
            (if unique { stem } else { format!("{directory}{stem}") }, file)
        })
        .collect();
    benchmarks.sort();
    for two in benchmarks.windows(2) {
        if let [one, other] = two
            && one.0 == other.0
        {
            let what = format!("{} and {} would both be the benchmark {:?}", one.1.name, other.1.name, one.0);
            return Err(StepError::Inputs { what });
        }
    }
    Ok(benchmarks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_given_where_a_file_has_them() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
        let given = |given: &[&str]| Columns::of_benchmarks(&texts(given));
        let columns = given(&["question=doc.query", "choices=A+B", "id="]).unwrap();
        let layout = columns.of_file(&texts(&["doc", "A", "B"]));
        assert_eq!(layout.all(), ["doc.query", "A", "B", "answer", "passage", "solution", "subset"]);
        let values: Vec<Value> = (0..7).map(Value::from).collect();
        assert_eq!(layout.of("choices", &values).collect::<Vec<_>>(), [&Value::from(1), &Value::from(2)]);
        assert_eq!(layout.of("id", &values).count(), 0);
        assert!(!layout.reads("id") && layout.reads("passage"));
        assert_eq!(layout.of("answer", &values).collect::<Vec<_>>(), [&Value::from(3)]);
        let other = columns.of_file(&texts(&["question", "choices"]));
        assert_eq!(other.all(), ["question", "choices", "answer", "passage", "solution", "subset"]);
        let had = |layouts: &[&Layout], null: &[usize]| {
            let mut had = BTreeSet::new();
            let value = |at| if null.contains(&at) { Value::Null } else { Value::from(at) };
            let values: Vec<Value> = (0..7).map(value).collect();
            layouts.iter().for_each(|layout| layout.note(&values, &mut had));
            had
        };
        let check = |had: &BTreeSet<String>| columns.check_given(had, "item").map_err(|error| error.to_string());
        assert_eq!(check(&had(&[&other, &layout], &[])), Ok(()));
        let missing = check(&had(&[&other], &[])).unwrap_err();
        assert!(missing.contains("no item has the column \"doc.query\" of `question=doc.query`"), "{missing}");
        let missing = check(&had(&[&layout], &[2])).unwrap_err();
        assert!(missing.contains("no item has the column \"B\" of `choices=A+B`"), "{missing}");
        assert!(given(&["prompt=question"]).unwrap_err().contains("no field \"prompt\""));
        assert!(given(&["question"]).unwrap_err().contains("FIELD=COLUMN"));
        assert!(given(&["question=a+b"]).unwrap_err().contains("several"));
        let there = texts(&["doc", "A"]);
        let layout = columns.of_file(&there);
        assert!(layout.check(Path::new("x"), &there, &["question"]).is_ok());
        let error = layout.check(Path::new("x"), &there, &["answer"]).unwrap_err().to_string();
        assert!(error.contains("\"answer\"") && error.contains("doc, A"), "{error}");
    }

    #[test]
    fn a_field_of_documents_that_is_given_is_read_from_no_other_column() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
        let columns = Columns::of_documents(&texts(&["text=raw", "text=body", "id="])).unwrap();
        assert_eq!(columns.of_file(&texts(&["text", "body"])).all(), ["body", "lang", "source"]);
        let there = texts(&["text"]);
        let error = columns.of_file(&there).check(Path::new("x"), &there, &["text"]).unwrap_err().to_string();
        assert!(error.contains("no column \"body\""), "{error}");
        assert!(Columns::of_documents(&texts(&["text="])).unwrap_err().contains("is empty"));
    }

    #[test]
    fn names_have_no_path_of_the_machine() {
        let directory = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = ["b/test.jsonl", "a/test.jsonl", "a/other.parquet", "a/c/d.jsonl"]
            .iter()
            .map(|name| {
                let path = directory.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, "").unwrap();
                path
            })
            .collect();
        let names: Vec<String> = named(&paths).unwrap().into_iter().map(|file| file.name).collect();
        assert_eq!(names, ["a/other.parquet", "a/test.jsonl", "b/test.jsonl", "c/d.jsonl"]);
        let names: Vec<String> = named(&paths[1..]).unwrap().into_iter().map(|file| file.name).collect();
        assert_eq!(names, ["d.jsonl", "other.parquet", "test.jsonl"]);
        let names: Vec<String> =
            benchmarks(&named(&paths).unwrap()).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a/test", "b/test", "d", "other"]);
        let twice = [paths[0].clone(), directory.path().join("a/../b/test.jsonl")];
        assert!(named(&twice).unwrap_err().to_string().contains("given twice"));
    }
}

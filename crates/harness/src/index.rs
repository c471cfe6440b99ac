//! The tasks, groups and tags of directories, found as the harness finds them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use retrace_files::{WalkEntry, walk};

use crate::python::{Dict, Value};
use crate::{HarnessError, TaskConfig, yaml};

/// Directories whose files are no tasks.
const IGNORED: [&str; 2] = ["__pycache__", ".ipynb_checkpoints"];
/// Groups inside each other to this depth are built.
const DEEPEST: usize = 32;
/// The fields of a group; all others override those of its tasks.
const OF_GROUPS: [&str; 5] = ["group", "group_alias", "task", "aggregate_metric_list", "metadata"];

/// What directories of task files have.
#[derive(Debug, Clone)]
pub struct Index {
    entries: HashMap<String, Entry>,
    directories: Vec<PathBuf>,
    /// Files that are no task, with the reason; the harness passes them over.
    pub skipped: Vec<(PathBuf, String)>,
    /// Names that two files have, with the file that does not count.
    pub duplicates: Vec<(String, PathBuf)>,
}

#[derive(Debug, Clone)]
struct Entry {
    kind: Kind,
    path: PathBuf,
    tasks: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Task,
    Class,
    Group,
    Tag,
}

/// A group with its members, in the order of the harness.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name; one that is written inside another has `outer::inner`.
    pub name: String,
    /// The name for tables.
    pub alias: Option<String>,
    /// `aggregate_metric_list`, as written.
    pub aggregate_metric_list: Option<Value>,
    /// `metadata`.
    pub metadata: Dict,
    /// The tasks and groups in it.
    pub members: Vec<Member>,
}

/// A task or a group.
#[derive(Debug, Clone)]
pub enum Member {
    /// A task.
    Task(Box<TaskConfig>),
    /// A group.
    Group(Group),
}

impl Member {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Task(task) => task.name(),
            Self::Group(group) => &group.name,
        }
    }

    /// Its tasks, of all levels.
    pub fn tasks(&self) -> Vec<&TaskConfig> {
        match self {
            Self::Task(task) => vec![task],
            Self::Group(group) => group.members.iter().flat_map(Self::tasks).collect(),
        }
    }
}

impl Index {
    /// Reads the task files below these directories. A name in a later directory counts more than in an earlier one;
    /// within one directory, the first file in the order of paths counts. Links are not followed.
    ///
    /// # Errors
    /// If a directory cannot be listed.
    pub fn read(directories: &[PathBuf]) -> Result<Self, HarnessError> {
        let mut index = Self {
            entries: HashMap::new(),
            directories: directories.to_vec(),
            skipped: Vec::new(),
            duplicates: Vec::new(),
        };
        for directory in directories {
            let found = walk(directory, &|path| path.as_str().split('/').any(|part| IGNORED.contains(&part)))?;
            let mut paths: Vec<String> = found
                .into_iter()
                .filter_map(|entry| match entry {
                    WalkEntry::File(path) if path.as_str().ends_with(".yaml") => Some(path.as_str().to_owned()),
                    _ => None,
                })
                .collect();
            paths.sort();
            let files: Vec<(PathBuf, Result<Dict, HarnessError>)> = paths
                .par_iter()
                .map(|path| {
                    let path = directory.join(path);
                    let file = yaml::read(&path);
                    (path, file)
                })
                .collect();
            let mut here = HashMap::new();
            for (path, file) in files {
                let noted =
                    file.map_err(|error| error.to_string()).and_then(|file| index.note(&file, &path, &mut here));
                if let Err(what) = noted {
                    index.skipped.push((path, what));
                }
            }
            index.entries.extend(here);
        }
        Ok(index)
    }

    fn note(&mut self, file: &Dict, path: &Path, here: &mut HashMap<String, Entry>) -> Result<(), String> {
        let (kind, field) = match file {
            file if file.get("class").is_some() => (Kind::Class, "task"),
            file if file.get("group").is_some() => (Kind::Group, "group"),
            file if file.get("task").is_some() => (Kind::Task, "task"),
            _ => return Err("it has neither `task` nor `group`".to_owned()),
        };
        let Some(Value::Text(name)) = file.get(field) else { return Err(format!("`{field}` is no text")) };
        if here.contains_key(name) {
            self.duplicates.push((name.clone(), path.to_owned()));
            return Ok(());
        }
        here.insert(name.clone(), Entry { kind, path: path.to_owned(), tasks: BTreeSet::new() });
        if kind == Kind::Group {
            return Ok(());
        }
        let tags = match file.get("tag") {
            Some(Value::List(tags)) => tags.iter().filter_map(Value::text).collect(),
            Some(Value::Text(tag)) => vec![tag.as_str()],
            _ => Vec::new(),
        };
        for tag in tags.into_iter().filter(|tag| !tag.is_empty()) {
            let empty = || Entry { kind: Kind::Tag, path: PathBuf::new(), tasks: BTreeSet::new() };
            here.entry(tag.to_owned()).or_insert_with(empty).tasks.insert(name.clone());
        }
        Ok(())
    }

    /// The names of all tasks that files define, sorted.
    pub fn tasks(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry.kind, Kind::Task | Kind::Class))
            .map(|(name, _)| name.as_str())
            .collect();
        names.sort_unstable();
        names
    }

    /// The tasks and groups of these names, in the order of the harness: names of tasks, groups and tags, patterns with
    /// `*` and `?`, and paths of task files.
    ///
    /// # Errors
    /// If a name is unknown, a file is malformed, or a task is in two of what was asked for.
    pub fn load(&self, names: &[String]) -> Result<Vec<Member>, HarnessError> {
        let mut members = Vec::new();
        let mut loaded = BTreeSet::new();
        for name in names {
            let path = Path::new(name);
            if path.extension().is_some_and(|end| end == "yaml") {
                let file = yaml::read(path)?;
                let member = match file.get("group") {
                    Some(Value::Text(group)) => {
                        Member::Group(self.group(group, file.clone(), &Dict::default(), path, 0)?)
                    }
                    _ => Member::Task(Box::new(TaskConfig::new(file, path)?)),
                };
                members.push(member);
                continue;
            }
            let mut matching: Vec<&String> =
                self.entries.keys().filter(|entry| matches(name.as_bytes(), entry.as_bytes())).collect();
            matching.sort();
            if matching.is_empty() {
                return Err(self.unknown(name));
            }
            for name in matching {
                if loaded.insert(name) {
                    members.extend(self.member(name, &Dict::default(), 0)?);
                }
            }
        }
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for member in &members {
            for task in member.tasks() {
                match seen.insert(task.name(), member.name()) {
                    Some(first) if first != member.name() => {
                        return Err(HarnessError::Twice {
                            name: task.name().to_owned(),
                            first: first.to_owned(),
                            second: member.name().to_owned(),
                        });
                    }
                    _ => {}
                }
            }
        }
        Ok(members)
    }

    fn unknown(&self, name: &str) -> HarnessError {
        // Its file may be there, and be no task for a reason.
        let named = |(path, _): &&(PathBuf, String)| path.file_stem().is_some_and(|stem| stem == name);
        if let Some((path, what)) = self.skipped.iter().find(named) {
            let place = path.display().to_string();
            let what = what.strip_prefix(&place).map_or(what.as_str(), |rest| rest.trim_start_matches([':', ' ']));
            return HarnessError::TaskFile { path: path.clone(), what: what.to_owned() };
        }
        let near = |other: &&String| {
            let (a, b) = (other.to_lowercase().replace('-', "_"), name.to_lowercase().replace('-', "_"));
            a == b || a.starts_with(&b) || b.starts_with(&a)
        };
        let similar = self.entries.keys().filter(near).min().cloned();
        HarnessError::Unknown { name: name.to_owned(), looked: self.directories.clone(), similar }
    }

    /// What a name of the index stands for: a tag for several tasks.
    fn member(&self, name: &str, overrides: &Dict, depth: usize) -> Result<Vec<Member>, HarnessError> {
        let entry = self.entries.get(name).ok_or_else(|| self.unknown(name))?;
        match entry.kind {
            Kind::Tag => {
                let tasks = entry.tasks.iter().filter_map(|task| self.entries.get(task).map(|entry| (task, entry)));
                tasks.map(|(_, entry)| self.task(entry, overrides)).collect()
            }
            Kind::Group => {
                let file = yaml::read(&entry.path)?;
                Ok(vec![Member::Group(self.group(name, file, overrides, &entry.path, depth)?)])
            }
            Kind::Task | Kind::Class => Ok(vec![self.task(entry, overrides)?]),
        }
    }

    fn task(&self, entry: &Entry, overrides: &Dict) -> Result<Member, HarnessError> {
        let mut file = yaml::read(&entry.path)?;
        file.update(overrides.clone());
        Ok(Member::Task(Box::new(TaskConfig::new(file, &entry.path)?)))
    }

    fn group(&self, name: &str, file: Dict, over: &Dict, path: &Path, depth: usize) -> Result<Group, HarnessError> {
        let refuse = |what: String| HarnessError::TaskFile { path: path.to_owned(), what };
        if depth > DEEPEST {
            return Err(refuse(format!("more than {DEEPEST} groups are inside each other")));
        }
        let (own, mut overrides): (Vec<_>, Dict) = {
            let (own, rest): (Vec<_>, Vec<_>) = file
                .iter()
                .map(|(key, value)| (key.to_owned(), value.clone()))
                .partition(|(key, _)| OF_GROUPS.contains(&key.as_str()));
            (own, rest.into_iter().collect())
        };
        let own: Dict = own.into_iter().collect();
        overrides.update(over.clone());
        let mut members: Vec<Member> = Vec::new();
        let items = match own.get("task") {
            Some(Value::List(items)) => items.as_slice(),
            _ => &[],
        };
        for item in items {
            let built = match item {
                Value::Text(task) => self.reference(name, task, overrides.clone(), path, depth)?,
                Value::Dict(item) => match (item.get("group"), item.get("task")) {
                    (Some(Value::Text(group)), _) if self.entries.contains_key(group) => {
                        let mut merged = overrides.clone();
                        let inline = item.iter().filter(|(key, _)| *key != "group");
                        merged.update(inline.map(|(key, value)| (key.to_owned(), value.clone())).collect());
                        self.member(group, &merged, depth + 1)?
                    }
                    (Some(Value::Text(group)), _) => {
                        let inner = format!("{name}::{group}");
                        vec![Member::Group(self.group(&inner, item.clone(), &overrides, path, depth + 1)?)]
                    }
                    (None, Some(Value::Text(task))) => {
                        let mut merged = overrides.clone();
                        merged.update(item.clone());
                        self.reference(name, task, merged, path, depth)?
                    }
                    _ => return Err(refuse(format!("an entry of the group {name:?} has neither `task` nor `group`"))),
                },
                other => return Err(refuse(format!("an entry of the group {name:?} is a {}", other.kind()))),
            };
            for member in built {
                match members.iter_mut().find(|there| there.name() == member.name()) {
                    Some(there) => *there = member,
                    None => members.push(member),
                }
            }
        }
        let metadata = own.get("metadata").and_then(Value::dict).cloned().unwrap_or_default();
        Ok(Group {
            name: name.to_owned(),
            alias: own.get("group_alias").and_then(Value::text).map(str::to_owned),
            aggregate_metric_list: own.get("aggregate_metric_list").filter(|list| !list.is_none()).cloned(),
            metadata,
            members,
        })
    }

    /// What an entry of a group stands for; a task that no file defines is defined by the entry.
    fn reference(
        &self,
        group: &str,
        task: &str,
        over: Dict,
        path: &Path,
        depth: usize,
    ) -> Result<Vec<Member>, HarnessError> {
        match self.entries.get(task).map(|entry| entry.kind) {
            None => {
                let mut own = over;
                own.insert("task", format!("{group}::{task}"));
                if own.get("dataset_path").is_none() {
                    return Err(self.unknown(task));
                }
                Ok(vec![Member::Task(Box::new(TaskConfig::new(own, path)?))])
            }
            Some(Kind::Tag) => {
                let names = self.entries.get(task).map(|entry| entry.tasks.clone()).unwrap_or_default();
                names
                    .iter()
                    .map(|name| {
                        let entry = self.entries.get(name).ok_or_else(|| self.unknown(name))?;
                        let mut overrides: Dict =
                            [("task".to_owned(), Value::from(name.as_str()))].into_iter().collect();
                        overrides.update(over.clone());
                        self.task(entry, &overrides)
                    })
                    .collect()
            }
            Some(_) => self.member(task, &over, depth + 1),
        }
    }
}

/// `fnmatch`, of `*` and `?`.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from, mut star) = (0, 0, None);
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[from] => (at, from) = (at + 1, from + 1),
            _ => match star {
                Some((back, begun)) => {
                    star = Some((back, begun + 1));
                    (at, from) = (back + 1, begun + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

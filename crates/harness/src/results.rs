//! The files of the harness: `results.json`, `samples_TASK.jsonl`, and the table that it prints.

mod sample;
mod table;

use std::collections::BTreeMap;

use crate::error::ScoreError;
use crate::group::{AggregateMetric, GroupScores, Missing, TaskScores, group_entry, group_scores};
use crate::object::{Object, map};

pub use sample::{Hashes, sample_hashes, sample_line, task_hash};
pub use table::{Row, table};

/// What is known of one task when it is scored.
#[derive(Debug, Clone)]
pub struct TaskResult {
    /// Its name.
    pub name: String,
    /// What tables call it.
    pub alias: String,
    /// Its version (`metadata.version`), or the text `Yaml` without one.
    pub version: Object,
    /// How many examples its prompts have.
    pub shots: usize,
    /// Its configuration, as the harness writes it.
    pub config: Object,
    /// For each metric, whether a higher value is better.
    pub higher_is_better: Vec<(String, Object)>,
    /// How many documents its split has.
    pub documents: usize,
    /// How many were evaluated.
    pub evaluated: usize,
    /// Its results by their keys.
    pub results: Vec<(String, Object)>,
}

/// What a group's document says.
#[derive(Debug, Clone)]
pub struct GroupRules {
    /// Its name.
    pub name: String,
    /// What tables call it.
    pub alias: Option<String>,
    /// `metadata.version` as a text, or `N/A`.
    pub version: String,
    /// The names of the tasks and groups in it.
    pub children: Vec<String>,
    /// What is put together.
    pub metrics: Vec<AggregateMetric>,
}

/// The results of tasks and groups, as the harness orders them.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The entries that the evaluation itself gives to `results.json`.
    pub entries: Vec<(String, Object)>,
    /// For each group, the metrics that some of its tasks have not: the key and those tasks.
    pub missing: Vec<(String, Vec<Missing>)>,
}

impl Evaluation {
    /// Of tasks and groups, each in the order in which they were asked for.
    ///
    /// # Errors
    ///
    /// If a group contains itself, or what its tasks scored cannot be put together.
    pub fn new(tasks: &[TaskResult], groups: &[GroupRules]) -> Result<Self, ScoreError> {
        let by_name: BTreeMap<&str, &GroupRules> = groups.iter().map(|group| (group.name.as_str(), group)).collect();
        let mut results: Vec<(String, Object)> = tasks.iter().map(|task| (task.name.clone(), task.entry())).collect();
        let mut of_groups = Vec::new();
        let mut missing = Vec::new();
        for group in bottom_up(groups, &by_name)? {
            let mut leaves = Vec::new();
            leaves_of(group, &by_name, tasks, &mut leaves);
            let scores = group_scores(&group.metrics, &leaves)?;
            let entry = group_entry(&group.name, group.alias.as_deref(), &scores);
            results.push((group.name.clone(), entry.clone()));
            if !group.metrics.is_empty() {
                of_groups.push((group.name.clone(), entry));
            }
            let GroupScores { missing: without, .. } = scores;
            if !without.is_empty() {
                missing.push((group.name.clone(), without));
            }
        }
        let texts = |texts: &[String]| Object::List(texts.iter().cloned().map(Object::Text).collect());
        let mut entries = vec![("results".to_owned(), Object::Map(results))];
        if !of_groups.is_empty() {
            entries.push(("groups".to_owned(), Object::Map(of_groups)));
        }
        let subtasks = groups.iter().map(|group| (group.name.clone(), texts(&group.children))).collect();
        entries.push(("group_subtasks".to_owned(), Object::Map(subtasks)));
        entries.push(("configs".to_owned(), sorted(tasks.iter().map(|task| (&task.name, task.config.clone())))));
        let versions = tasks.iter().map(|task| (&task.name, task.version.clone()));
        let of_group = groups.iter().map(|group| (&group.name, Object::Text(group.version.clone())));
        entries.push(("versions".to_owned(), sorted(versions.chain(of_group))));
        entries.push(("n-shot".to_owned(), shots(tasks, groups)));
        entries.push(("higher_is_better".to_owned(), directions(tasks, groups)));
        let counts = tasks.iter().map(|task| {
            let count = |count: usize| Object::Integer(count as i128);
            let counts = map([("original", count(task.documents)), ("effective", count(task.evaluated))]);
            (task.name.clone(), counts)
        });
        entries.push(("n-samples".to_owned(), Object::Map(counts.collect())));
        Ok(Self { entries, missing })
    }
}

impl TaskResult {
    fn entry(&self) -> Object {
        let mut entry = vec![
            ("name".to_owned(), Object::Text(self.name.clone())),
            ("alias".to_owned(), Object::Text(self.alias.clone())),
            ("sample_len".to_owned(), Object::Integer(self.evaluated as i128)),
        ];
        entry.extend(self.results.iter().cloned());
        Object::Map(entry)
    }
}

fn sorted<'a>(entries: impl Iterator<Item = (&'a String, Object)>) -> Object {
    let sorted: BTreeMap<&String, Object> = entries.collect();
    Object::Map(sorted.into_iter().map(|(key, value)| (key.clone(), value)).collect())
}

/// Groups after the groups in them, from those that are in no other.
fn bottom_up<'a>(
    groups: &'a [GroupRules],
    by_name: &BTreeMap<&str, &'a GroupRules>,
) -> Result<Vec<&'a GroupRules>, ScoreError> {
    fn visit<'a>(
        group: &'a GroupRules,
        by_name: &BTreeMap<&str, &'a GroupRules>,
        open: &mut Vec<&'a str>,
        done: &mut Vec<&'a GroupRules>,
    ) -> Result<(), ScoreError> {
        if open.contains(&group.name.as_str()) {
            return Err(ScoreError::wrong(format!("group {}", group.name), "it contains itself"));
        }
        if done.iter().any(|other| other.name == group.name) {
            return Ok(());
        }
        open.push(&group.name);
        for child in group.children.iter().filter_map(|child| by_name.get(child.as_str())) {
            visit(child, by_name, open, done)?;
        }
        open.pop();
        done.push(group);
        Ok(())
    }
    let mut done = Vec::with_capacity(groups.len());
    let inside = |name: &String| groups.iter().any(|group| group.children.contains(name));
    for group in groups.iter().filter(|group| !inside(&group.name)) {
        visit(group, by_name, &mut Vec::new(), &mut done)?;
    }
    match groups.iter().find(|group| !done.iter().any(|other| other.name == group.name)) {
        Some(group) => Err(ScoreError::wrong(format!("group {}", group.name), "it contains itself")),
        None => Ok(done),
    }
}

/// All tasks below a group, in order; the groups were checked not to contain themselves.
fn leaves_of<'a>(
    group: &GroupRules,
    by_name: &BTreeMap<&str, &GroupRules>,
    tasks: &'a [TaskResult],
    leaves: &mut Vec<TaskScores<'a>>,
) {
    for child in &group.children {
        if let Some(inner) = by_name.get(child.as_str()) {
            leaves_of(inner, by_name, tasks, leaves);
        } else if let Some(task) = tasks.iter().find(|task| task.name == *child) {
            leaves.push(TaskScores { task: &task.name, results: &task.results, evaluated: task.evaluated });
        }
    }
}

/// The examples of each task, and of each group whose members that came before all have the same.
fn shots(tasks: &[TaskResult], groups: &[GroupRules]) -> Object {
    let mut shots: BTreeMap<&String, usize> = tasks.iter().map(|task| (&task.name, task.shots)).collect();
    for group in groups {
        let mut known = group.children.iter().filter_map(|child| shots.get(child).copied());
        if let Some(first) = known.next()
            && known.all(|other| other == first)
        {
            shots.insert(&group.name, first);
        }
    }
    sorted(shots.into_iter().map(|(name, shots)| (name, Object::Integer(shots as i128))))
}

/// The directions of each task's metrics, and of each group's; a direction on which its members disagree is null.
fn directions(tasks: &[TaskResult], groups: &[GroupRules]) -> Object {
    let mut all: BTreeMap<&String, Vec<(String, Object)>> =
        tasks.iter().map(|task| (&task.name, task.higher_is_better.clone())).collect();
    for group in groups {
        let mut of_group: Vec<(String, Object)> = Vec::new();
        for (metric, higher) in group.children.iter().filter_map(|child| all.get(child)).flatten() {
            match of_group.iter_mut().find(|(name, _)| name == metric) {
                None => of_group.push((metric.clone(), higher.clone())),
                Some((_, known)) if known != higher => *known = Object::None,
                Some(_) => {}
            }
        }
        if !of_group.is_empty() {
            all.insert(&group.name, of_group);
        }
    }
    sorted(all.into_iter().map(|(name, directions)| (name, Object::Map(directions))))
}

/// What is known of a run besides its scores.
#[derive(Debug, Clone)]
pub struct Run {
    /// What answered (`config.model`, `model_source`).
    pub model: String,
    /// Its arguments.
    pub model_args: Object,
    /// The name of the model.
    pub model_name: String,
    /// What is known of it (`model_num_parameters`, `model_dtype`, …).
    pub model_info: Vec<(String, Object)>,
    /// How many requests at once.
    pub batch_size: Object,
    /// Where it ran.
    pub device: Object,
    /// How many documents at most.
    pub limit: Object,
    /// How many samples are drawn for a standard error.
    pub bootstraps: usize,
    /// Settings of generation that were given besides those of tasks.
    pub gen_kwargs: Object,
    /// The seed of few-shot examples.
    pub fewshot_seed: u64,
    /// When it began, in seconds since 1970; nothing where files must be the same each time.
    pub date: Option<f64>,
    /// How long it took, in seconds; nothing where files must be the same each time.
    pub seconds: Option<f64>,
    /// What is known of the tokenizer (`tokenizer_eos_token`, `max_length`, …).
    pub tokenizer: Vec<(String, Object)>,
    /// Whether examples are turns of a conversation.
    pub fewshot_as_multiturn: bool,
    /// For each task, the hash of its samples ([`task_hash`]).
    pub task_hashes: Vec<(String, String)>,
    /// What the harness does not write: digests of the checkpoint, tasks, data and prompts.
    pub retrace: Object,
}

/// The content of `results.json`: the entries of the harness in its order, then `retrace`. What only a run of the
/// harness itself could know (`git_hash`, the environment of torch, the version of transformers) says so.
#[must_use]
pub fn results_json(evaluation: &Evaluation, run: &Run) -> String {
    let text = |text: &str| Object::from(text);
    let mut entries = evaluation.entries.clone();
    let mut config = vec![("model".to_owned(), text(&run.model)), ("model_args".to_owned(), run.model_args.clone())];
    config.extend(run.model_info.iter().cloned());
    let count = |count: u128| Object::Integer(i128::try_from(count).unwrap_or(i128::MAX));
    let rest = [
        ("batch_size", run.batch_size.clone()),
        ("batch_sizes", Object::List(Vec::new())),
        ("device", run.device.clone()),
        ("use_cache", Object::None),
        ("limit", run.limit.clone()),
        ("bootstrap_iters", count(run.bootstraps as u128)),
        ("gen_kwargs", run.gen_kwargs.clone()),
        // Nothing is drawn by these.
        ("random_seed", Object::None),
        ("numpy_seed", Object::None),
        ("torch_seed", Object::None),
        ("fewshot_seed", count(u128::from(run.fewshot_seed))),
    ];
    config.extend(rest.map(|(key, value)| (key.to_owned(), value)));
    let mut add = |key: &str, value: Object| entries.push((key.to_owned(), value));
    add("config", Object::Map(config));
    add("git_hash", Object::None);
    if let Some(date) = run.date {
        add("date", Object::Float(date));
    }
    add("pretty_env_info", text("N/A (torch not installed)"));
    add("transformers_version", text("N/A"));
    add("lm_eval_version", text(crate::VERSION));
    add("upper_git_hash", Object::None);
    for (key, value) in &run.tokenizer {
        add(key, value.clone());
    }
    let hashes = run.task_hashes.iter().map(|(task, hash)| (task.clone(), text(hash)));
    add("task_hashes", Object::Map(hashes.collect()));
    add("model_source", text(&run.model));
    add("model_name", text(&run.model_name));
    add("model_name_sanitized", Object::Text(sanitized(&run.model_name)));
    add("system_instruction", Object::None);
    add("system_instruction_sha", Object::None);
    add("fewshot_as_multiturn", Object::Bool(run.fewshot_as_multiturn));
    add("chat_template", Object::None);
    add("chat_template_sha", Object::None);
    if let Some(seconds) = run.seconds {
        add("total_evaluation_time_seconds", Object::Text(Object::Float(seconds).text()));
    }
    add("retrace", run.retrace.clone());
    Object::Map(entries).json_indented(2)
}

/// A name as the harness makes it fit for a path: runs of what a file name cannot have become two underscores.
#[must_use]
pub fn sanitized(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut inside = false;
    for character in name.chars() {
        let bad = "\"<>:/|\\?*[]".contains(character);
        if bad && !inside {
            out.push_str("__");
        } else if !bad {
            out.push(character);
        }
        inside = bad;
    }
    out
}

//! Files of lm-evaluation-harness: `results*.json`, in its old form (`"acc": 0.5`) and its new one
//! (`"acc,none": 0.5`), and `samples_TASK_TIME.jsonl`.
//!
//! Samples name neither the model's revision nor its path. The results file of the same time in the same directory
//! does, if it is imported with them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use retrace_spec::guard;
use retrace_spec::{ResultKey, Step};
use retrace_tables::{Metric, Sample};

use crate::beside::{Beside, ReadFile};
use crate::evaluated::{Evaluated, evaluated, parts_that_differ};
use crate::json;
use crate::rows::{Input, Problem, Rows, folder};
use crate::value::{Value, pointer};

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    if input.name().ends_with(".jsonl") {
        return samples(input, rows);
    }
    let value = json::read(input.bytes)?;
    results(input, &value, &apart(evaluated(&value), input, rows), rows)
}

/// The model, whose run may have a longer name because of other models in the import.
fn apart(evaluated: Evaluated, input: &Input<'_>, rows: &mut Rows) -> Evaluated {
    let Beside::Run(run) = input.beside else { return evaluated };
    let what = format!("another model is named `{}` too: the run of this one is `{run}`", evaluated.run);
    rows.note(Problem::whole(what));
    Evaluated { run: run.clone(), ..evaluated }
}

/// For files of samples, the model and the shots that the results file of the same directory and time names; for others, the longer name
/// of their run, if several models of the import have names that end alike.
pub(crate) fn models(files: &[&Path], read: &ReadFile<'_>) -> HashMap<PathBuf, Beside> {
    let stem_and_time = |path: &Path, ending: &str| {
        let stem = path.file_name()?.to_str()?.strip_suffix(ending)?;
        Some((path.parent()?.to_owned(), time(stem)?.to_owned()))
    };
    let results = files.par_iter().filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    let mut tasks: HashMap<(PathBuf, String), Vec<&str>> = HashMap::new();
    for path in files {
        if let Some((of, task)) = stem_and_time(path, ".jsonl").zip(task_of(path)) {
            tasks.entry(of).or_default().push(task);
        }
    }
    let results = results.filter_map(|path| {
        let bytes = read(path)?;
        // A file that cannot be read is a problem of its own.
        let value = guard(|| json::read(&bytes)).ok()?.ok()?;
        value.get("results")?.object()?;
        let shots = Shots::of(&value);
        let tasks = stem_and_time(path, ".json").and_then(|of| tasks.get(&of));
        let of_task = |task: &&str| Some(((*task).to_owned(), shots.of_task(task)?));
        let shots: HashMap<String, u64> = tasks.into_iter().flatten().filter_map(of_task).collect();
        Some((*path, evaluated(&value), shots))
    });
    let results: Vec<(&Path, Evaluated, HashMap<String, u64>)> = results.collect();
    let of_time: HashMap<_, _> = results
        .iter()
        .filter_map(|(path, model, shots)| Some((stem_and_time(path, ".json")?, (model, shots))))
        .collect();
    let samples = files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    let samples = samples.map(|path| match stem_and_time(path, ".jsonl").and_then(|of| of_time.get(&of)) {
        Some((model, shots)) => {
            (*path, (*model).clone(), Some(task_of(path).and_then(|task| shots.get(task)).copied()))
        }
        None => (*path, by_directory(&folder(path, 0)), None),
    });
    let samples: Vec<(&Path, Evaluated, Option<Option<u64>>)> = samples.collect();
    let mut names: BTreeMap<&str, BTreeSet<&[String]>> = BTreeMap::new();
    for model in results.iter().map(|(_, model, _)| model).chain(samples.iter().map(|(_, model, _)| model)) {
        names.entry(&model.run).or_default().insert(&model.of);
    }
    let parts: HashMap<&str, usize> =
        names.iter().map(|(run, of)| (*run, parts_that_differ(of))).filter(|(_, parts)| *parts > 0).collect();
    let longer = |model: &Evaluated| {
        let parts = *parts.get(model.run.as_str())?;
        let of = model.of.get(model.of.len().saturating_sub(parts)..).unwrap_or_default();
        (!of.is_empty()).then(|| format!("{}/{}", of.join("/"), model.run))
    };
    let mut beside = HashMap::new();
    for (path, model, _) in &results {
        beside.extend(longer(model).map(|run| ((*path).to_owned(), Beside::Run(run))));
    }
    for (path, model, of_results) in &samples {
        let run = longer(model);
        let said = match (*of_results, run) {
            (Some(shots), Some(run)) => Beside::Model(Evaluated { run, ..model.clone() }, shots),
            (Some(shots), None) => Beside::Model(model.clone(), shots),
            (None, Some(run)) => Beside::Run(run),
            (None, None) => continue,
        };
        beside.insert((*path).to_owned(), said);
    }
    beside
}

/// The model of samples without a results file: the harness names their directory by it.
fn by_directory(folder: &str) -> Evaluated {
    Evaluated::new(&folder.replace("__", "/"), None)
}

/// The task of a file of samples.
fn task_of(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?.strip_suffix(".jsonl")?.strip_prefix("samples_")?;
    Some(time(name).map_or(name, |time| &name[..name.len() - time.len() - 1]))
}

/// The time at the end of a file's name, which has the form `2024-05-01T12-30-00.123456`.
fn time(stem: &str) -> Option<&str> {
    let is_time = |text: &str| text.len() >= 10 && text.as_bytes()[4..].starts_with(b"-") && text.contains('T');
    stem.rsplit_once('_').map(|(_, time)| time).filter(|time| is_time(time))
}

/// The metrics of `results`, and everything else as claims.
pub(crate) fn results(
    input: &Input<'_>,
    value: &Value<'_>,
    evaluated: &Evaluated,
    rows: &mut Rows,
) -> Result<(), Problem> {
    let Some(tasks) = value.get("results").and_then(Value::object) else {
        return Err(Problem::whole("not results of an evaluation: it has no object `results`"));
    };
    if !rows.accept("the model's name", &[&evaluated.run]) {
        return Ok(());
    }
    let all_shots = Shots::of(value);
    let groups = groups(value);
    // When the evaluation began.
    let time = value.get("date").and_then(Value::number);
    for (task, metrics) in tasks {
        if !rows.accept("results", &[task]) {
            continue;
        }
        let Some(entries) = metrics.object() else {
            rows.problem(Problem::at(pointer(["results", task]), "not an object of metrics"));
            continue;
        };
        let shots = all_shots.of_task(task);
        let is_group = groups.as_ref().map(|groups| groups.contains(task.as_ref()));
        let left = measures(entries, |key, metric, found| match found {
            Some(_) if !rows.accept("results", &[key]) => {}
            Some((value, stderr)) => {
                let place = pointer(["results", task, key]);
                let row = input.metric(&evaluated.run, evaluated.step, task, metric, value, place);
                rows.metrics.push(Metric { shots, stderr, is_group, time, ..row });
            }
            None => rows.problem(Problem::at(pointer(["results", task, key]), "not a number")),
        });
        for (key, value) in left {
            value.leaves(
                &format!("results.{task}.{key}"),
                &pointer(["results", task, key]),
                &mut |name, place, text, number| {
                    rows.claim(input, &evaluated.subject(), name, text, number, place);
                },
            );
        }
    }
    claims(input, value, evaluated, rows);
    Ok(())
}

/// Where a results file says how many examples the prompts of its tasks had.
struct Shots<'a> {
    all: Option<&'a Value<'a>>,
    own: HashMap<&'a str, &'a Value<'a>>,
    configs: HashMap<&'a str, &'a Value<'a>>,
}

impl<'a> Shots<'a> {
    fn of(value: &'a Value<'a>) -> Self {
        Self {
            all: value.get("config").and_then(|config| config.get("num_fewshot")),
            own: value.get("n-shot").map(Value::by_key).unwrap_or_default(),
            configs: value.get("configs").map(Value::by_key).unwrap_or_default(),
        }
    }

    fn of_task(&self, task: &str) -> Option<u64> {
        let own = self.own.get(task).copied().or_else(|| self.configs.get(task)?.get("num_fewshot"));
        own.or(self.all).and_then(Value::whole)
    }
}

/// The tasks that are groups of tasks; `None`, if the file does not tell them apart.
fn groups<'a>(value: &'a Value<'_>) -> Option<HashSet<&'a str>> {
    let (groups, parts) = (value.get("groups"), value.get("group_subtasks"));
    let groups = groups.and_then(Value::object);
    let parts = parts.and_then(Value::object);
    (groups.is_some() || parts.is_some()).then(|| {
        let grouped =
            parts.unwrap_or_default().iter().filter(|(_, parts)| parts.array().is_some_and(|of| !of.is_empty()));
        groups.unwrap_or_default().iter().chain(grouped).map(|(name, _)| name.as_ref()).collect()
    })
}

/// Numbers of a task that are no metrics: of how many documents the metrics are.
const COUNTS: [&str; 2] = ["sample_len", "sample_count"];

/// Calls `each` for every metric of a task: its key, its name, and its value and standard error, or `None` if it is
/// not a number. Returns the other numbers: where names have filters, a name without one is no metric.
pub(crate) fn measures<'a>(
    entries: &'a [(std::borrow::Cow<'_, str>, Value<'_>)],
    mut each: impl FnMut(&str, &str, Option<(f64, Option<f64>)>),
) -> Vec<(&'a str, &'a Value<'a>)> {
    let mut left = Vec::new();
    let filtered = entries.iter().any(|(name, _)| ResultKey::parse(name).filter.is_some());
    let mut stderrs = HashMap::new();
    for (name, value) in entries {
        let key = ResultKey::parse(name);
        if key.stderr {
            stderrs.entry(key).or_insert_with(|| value.figure());
        }
    }
    for (name, value) in entries {
        let key = ResultKey::parse(name);
        let figure = value.figure();
        if key.stderr || figure.is_none() && matches!(value, Value::Null | Value::String(_) | Value::Bool(_)) {
            continue;
        }
        if COUNTS.contains(&name.as_ref()) || filtered && key.filter.is_none() {
            left.push((name.as_ref(), value));
            continue;
        }
        let stderr = stderrs.get(&key.stderr()).copied().flatten();
        each(name, &key.label(), figure.map(|value| (value, stderr)));
    }
    left
}

/// The other content of the file: settings, versions, the tasks of groups, the harness's own commit.
pub(crate) fn claims(input: &Input<'_>, value: &Value<'_>, evaluated: &Evaluated, rows: &mut Rows) {
    let subject = evaluated.subject();
    let mut claim = |name: &str, place: &str, text: &str, number: Option<f64>| {
        rows.claim(input, &subject, name, text, number, place);
    };
    for (key, value) in value.object().unwrap_or_default() {
        match (key.as_ref(), value.object()) {
            ("results" | "table_results" | "groups" | "samples", _) => {}
            // A task that is no group has an empty list.
            ("group_subtasks", Some(groups)) => {
                for (group, parts) in groups.iter().filter(|(_, parts)| parts.array().is_none_or(|of| !of.is_empty())) {
                    parts.leaves(&format!("{key}.{group}"), &pointer([key.as_ref(), group.as_ref()]), &mut claim);
                }
            }
            _ => value.leaves(key, &pointer([key.as_ref()]), &mut claim),
        }
    }
}

/// The result for each item: one line for each document and filter, of the task in the file's name. The model is that of
/// the results file of the same time; without one, the directory's name.
fn samples(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let Some(name) = input.stem().strip_prefix("samples_") else {
        return Err(Problem::whole("not the samples of a task: such a file is named samples_TASK_TIME.jsonl"));
    };
    let task = time(name).map_or(name, |time| &name[..name.len() - time.len() - 1]);
    let (Evaluated { run, step, .. }, shots) = match input.beside {
        Beside::Model(model, shots) => (model.clone(), *shots),
        _ => {
            let what =
                "no results file of this time is imported with it: the run is the directory's name, without a step";
            rows.note(Problem::whole(what));
            (apart(by_directory(&input.folder(0)), input, rows), None)
        }
    };
    let mut seen = HashSet::new();
    json::lines(input.bytes, rows, |number, line, rows| {
        let Some(item) = line.get("doc_id") else {
            rows.problem(Problem::at(format_args!("line {number}"), "no `doc_id`"));
            return;
        };
        let item = match item {
            Value::Number(text) | Value::String(text) => text.to_string(),
            _ => {
                return rows
                    .problem(Problem::at(format_args!("line {number}"), "`doc_id` is neither a number nor a string"));
            }
        };
        let filter = line.get("filter").and_then(Value::text).map(str::to_owned);
        if !rows.accept(format_args!("line {number}"), &[&run, task, filter.as_deref().unwrap_or_default()]) {
            return;
        }
        if !seen.insert((item.clone(), filter.clone())) {
            let what = format_args!("document {item} stands again, with the same filter or none");
            rows.note(Problem::at(format_args!("line {number}"), what));
        }
        let correct = ["acc", "exact_match", "pass@1"].iter().find_map(|metric| match line.get(metric)? {
            Value::Bool(truth) => Some(*truth),
            value => value.number().filter(|value| *value == 0.0 || *value == 1.0).map(|value| value == 1.0),
        });
        rows.samples.push(Sample {
            release: input.release.to_owned(),
            run: run.clone(),
            step: step.map(Step),
            task: task.to_owned(),
            item,
            correct,
            log_likelihood: likeliest(line),
            source: input.source.to_owned(),
            place: format!("line {number}"),
            filter,
            shots,
        });
    });
    Ok(())
}

/// The greatest log-likelihood among the answers: `[[-1.5, false], [-0.5, true]]`, or `[-12.25]` for a text. Newer
/// versions of the harness write each number and each boolean as a text.
fn likeliest(line: &Value<'_>) -> Option<f64> {
    let mut answers = line.get("filtered_resps")?.array()?;
    let asked = asked(line);
    if asked == Some(Asked::Generated) {
        return None;
    }
    // For this metric the choices are scored a second time, without the question.
    if line.get("acc_mutual_info").is_some() && answers.len().is_multiple_of(2) {
        answers = &answers[..answers.len() / 2];
    }
    let written = |value: &Value<'_>| match value {
        Value::String(text) => text.parse().ok(),
        value => value.number(),
    };
    let number = |answer: &Value<'_>| match answer {
        // A text and whether it is what the model would write.
        Value::Array(pair) => match pair.as_slice() {
            [value, Value::Bool(_)] => written(value),
            [value, Value::String(greedy)] if matches!(greedy.as_ref(), "True" | "False") => written(value),
            _ => None,
        },
        // A generated answer may be a number too.
        Value::String(_) if asked != Some(Asked::Text) => None,
        value => written(value),
    };
    let all: Option<Vec<f64>> = answers.iter().map(number).collect();
    all?.into_iter().max_by(f64::total_cmp)
}

/// What the model was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The likelihood of a whole text.
    Text,
    /// The likelihood of a continuation.
    Continuation,
    /// An answer.
    Generated,
}

/// What the model was asked for, by the arguments of the first request: `{"gen_args_0": {"arg_0": …}}`, or `[[…]]` in
/// older files. A text has one argument; to generate, the second is an object of settings.
fn asked(line: &Value<'_>) -> Option<Asked> {
    let first = match line.get("arguments")? {
        Value::Array(requests) => requests.first()?,
        requests => requests.object()?.first().map(|(_, first)| first)?,
    };
    let second = match first {
        Value::Array(arguments) => arguments.get(1),
        arguments => arguments.get("arg_1"),
    };
    Some(match second {
        None => Asked::Text,
        // In older files the settings are an object written as a text.
        Some(Value::String(text)) if text.starts_with("{'") => Asked::Generated,
        Some(Value::Object(_)) => Asked::Generated,
        Some(_) => Asked::Continuation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{read_as, read_beside, survives};

    /// Old and new form, as the harness writes them (0.3 and 0.4).
    const OLD: &[u8] = br#"{"results": {"piqa": {"acc": 0.75, "acc_stderr": 0.01, "ppl": NaN}},
        "versions": {"piqa": 0}, "config": {"model": "hf-causal", "num_fewshot": 5,
        "model_args": "pretrained=EleutherAI/pythia-160m,revision=step3000"}}"#;
    const NEW: &[u8] = br#"{"results": {"gsm8k": {"alias": "gsm8k", "exact_match,strict-match": 0.5,
        "exact_match_stderr,strict-match": 0.125, "exact_match,flexible-extract": 0.25,
        "exact_match_stderr,flexible-extract": "N/A"}, "a/b~c": {"acc,none": 1, "acc_stderr,none": 0}},
        "groups": {"g": {"acc,none": 0.5}}, "n-shot": {"gsm8k": 8}, "configs": {"a/b~c": {"num_fewshot": 2}},
        "model_name": "allenai/OLMo-2-1124-7B",
        "config": {"model": "hf", "model_args": {"revision": "stage2-ingredient1-step1000-tokens5B"}}}"#;

    #[test]
    fn many_tasks_and_metrics_take_no_longer_for_each() {
        let started = std::time::Instant::now();
        let list = |item: &dyn Fn(usize) -> String| (0..100_000).map(item).collect::<Vec<_>>().join(",");
        let tasks = list(&|at| format!("\"t{at}\":{{\"acc\":1}}"));
        let shots = list(&|at| format!("\"t{at}\":{at}"));
        let metrics = list(&|at| format!("\"m{at}\":1,\"m{at}_stderr\":{at}"));
        let text = format!("{{\"results\":{{{tasks},\"t\":{{{metrics}}}}},\"n-shot\":{{{shots}}}}}");
        let rows = read_as("results.json", text.as_bytes(), read);
        assert_eq!((rows.metrics.len(), rows.metrics[7].shots), (200_000, Some(7)));
        assert_eq!(rows.metrics[100_009].stderr, Some(9.0));
        assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
    }

    #[test]
    fn the_old_form() {
        let rows = read_as("results.json", OLD, read);
        assert_eq!(rows.problems(), None);
        let [acc, ppl] = rows.metrics.as_slice() else { panic!("{:?}", rows.metrics) };
        assert_eq!(
            (acc.run.as_str(), acc.step, acc.task.as_str(), acc.shots),
            ("pythia-160m", Some(Step(3000)), "piqa", Some(5))
        );
        assert_eq!(
            (acc.metric.as_str(), acc.value, acc.stderr, acc.place.as_str()),
            ("acc", 0.75, Some(0.01), "/results/piqa/acc")
        );
        assert!(ppl.value.is_nan() && ppl.stderr.is_none());
        let claims: Vec<_> =
            rows.claims.iter().map(|claim| (claim.name.as_str(), claim.value.as_str(), claim.place.as_str())).collect();
        assert_eq!(claims[0], ("versions.piqa", "0", "/versions/piqa"));
        assert_eq!(claims[2], ("config.num_fewshot", "5", "/config/num_fewshot"));
        assert_eq!(rows.claims[2].subject, "pythia-160m/step3000");
    }

    #[test]
    fn the_new_form() {
        let rows = read_as("results_1.json", NEW, read);
        assert_eq!(rows.problems(), None);
        let found: Vec<_> =
            rows.metrics.iter().map(|row| (row.metric.as_str(), row.shots, row.value, row.stderr)).collect();
        assert_eq!(
            found,
            [
                ("exact_match,strict-match", Some(8), 0.5, Some(0.125)),
                ("exact_match,flexible-extract", Some(8), 0.25, None),
                ("acc", Some(2), 1.0, Some(0.0)),
            ]
        );
        assert_eq!(rows.metrics[2].place, "/results/a~1b~0c/acc,none");
        assert_eq!(
            (rows.metrics[0].run.as_str(), rows.metrics[0].step),
            ("OLMo-2-1124-7B/stage2-ingredient1", Some(Step(1000)))
        );
    }

    #[test]
    fn samples_of_a_task() {
        let lines = concat!(
            r#"{"doc_id": 0, "filtered_resps": [[-1.5, false], [-0.5, true]], "acc": 1.0}"#,
            "\n",
            r#"{"doc_id": 1, "filtered_resps": [[-1.5, false], [-2.5, true]], "acc": 0.0}"#,
            "\n",
            r#"{"doc_id": 2, "filtered_resps": ["42"], "exact_match": 0.5}"#,
            "\n",
            "{\"doc_id\": 3\n",
            r#"{"other": 1}"#,
            "\n",
            r#"{"doc_id": "x", "filtered_resps": [-12.25]}"#,
        );
        let source = "out/EleutherAI__pythia-160m/samples_arc_easy_2024-05-01T12-30-00.123456.jsonl";
        let rows = read_as(source, lines.as_bytes(), read);
        let found: Vec<_> =
            rows.samples.iter().map(|row| (row.item.as_str(), row.correct, row.log_likelihood)).collect();
        assert_eq!(
            found,
            [
                ("0", Some(true), Some(-0.5)),
                ("1", Some(false), Some(-1.5)),
                ("2", None, None),
                ("x", None, Some(-12.25))
            ]
        );
        assert_eq!((rows.samples[0].task.as_str(), rows.samples[0].run.as_str()), ("arc_easy", "pythia-160m"));
        assert_eq!(rows.samples[3].place, "line 6");
        let problems = rows.problems().unwrap();
        assert!(problems.contains("line 4") && problems.contains("line 5: no `doc_id`"), "{problems}");
    }

    /// Lines as version 0.4.13 writes them, shortened.
    #[test]
    fn samples_of_two_filters_and_numbers_as_texts() {
        let generated = |item: u32, filter: &str, right: u32| {
            format!(
                "{{\"doc_id\": {item}, \"arguments\": {{\"gen_args_0\": {{\"arg_0\": \"Q\", \"arg_1\": {{\"until\": [\"Q\"]}}}}}}, \
                 \"resps\": [[\"-7\"]], \"filtered_resps\": [\"-7\"], \"filter\": \"{filter}\", \"metrics\": [\"exact_match\"], \
                 \"exact_match\": {right}.0}}\n"
            )
        };
        let lines: String = [("strict", 0), ("strict", 1), ("flexible", 1), ("flexible", 1)]
            .iter()
            .enumerate()
            .map(|(at, (filter, right))| generated(at as u32 % 2, filter, *right))
            .collect();
        let model = Beside::Model(Evaluated { run: "m".to_owned(), step: Some(40), of: Vec::new() }, Some(8));
        let rows =
            read_beside("out/o__m/samples_gsm8k_2026-05-18T08-19-01.585882.jsonl", lines.as_bytes(), &model, read);
        assert_eq!((rows.problems(), rows.notes()), (None, Vec::new()));
        let told: Vec<_> = rows.samples.iter().map(|row| (&row.item[..], row.filter.as_deref(), row.correct)).collect();
        let (strict, flexible) = (Some("strict"), Some("flexible"));
        assert_eq!(
            told,
            [
                ("0", strict, Some(false)),
                ("1", strict, Some(true)),
                ("0", flexible, Some(true)),
                ("1", flexible, Some(true))
            ]
        );
        let row = &rows.samples[0];
        // A generated number is no likelihood.
        assert_eq!((&row.run[..], row.step, &row.task[..], row.log_likelihood), ("m", Some(Step(40)), "gsm8k", None));
        assert_eq!(row.shots, Some(8));

        let scored = |arguments: &str, answers: &str, more: &str| {
            let line = format!("{{\"doc_id\": 7, \"arguments\": {arguments}, \"filtered_resps\": {answers}{more}}}\n");
            read_beside("o__m/samples_t.jsonl", line.as_bytes(), &model, read).samples[0].log_likelihood
        };
        let choices = r#"{"gen_args_0": {"arg_0": "Q", "arg_1": " a"}, "gen_args_1": {"arg_0": "Q", "arg_1": " b"}}"#;
        let pairs = r#"[["-6.5", "False"], ["-5.25", "True"]]"#;
        assert_eq!(scored(choices, pairs, ""), Some(-5.25));
        assert_eq!(scored("{}", pairs, ""), Some(-5.25));
        // Without the question the choices are more likely.
        let twice = r#"[["-6.5", "False"], ["-5.25", "False"], ["-0.5", "False"], ["-0.25", "False"]]"#;
        assert_eq!(scored(choices, twice, r#", "acc": 1.0, "acc_mutual_info": 0.0"#), Some(-5.25));
        assert_eq!(scored(choices, twice, r#", "acc": 1.0"#), Some(-0.25));
        assert_eq!(scored(r#"{"gen_args_0": {"arg_0": "a whole text"}}"#, r#"["-12.25"]"#, ""), Some(-12.25));
        assert_eq!(scored(r#"[["a whole text"]]"#, r#"["-12.25"]"#, ""), Some(-12.25));
        assert_eq!(scored(r#"[["Q", {"until": []}]]"#, r#"["42"]"#, ""), None);
        assert_eq!(scored(r#"[["Q", "{'until': []}"]]"#, r#"[["42", "True"]]"#, ""), None);
        assert_eq!(scored(choices, r#"[["nan", "False"], ["x", "False"]]"#, ""), None);
    }

    #[test]
    fn samples_have_the_model_of_the_results_of_their_time() {
        let results = |step: u32| {
            format!(
                "{{\"results\": {{}}, \"model_name\": \"o/m\", \"n-shot\": {{\"a_b\": {step}}}, \"configs\": {{\"c\": \
                 {{\"num_fewshot\": 5}}}}, \"config\": {{\"model_args\": {{\"pretrained\": \"o/m\", \"revision\": \"stage1-step{step}-tokens5B\"}}}}}}"
            )
        };
        let (one, other) = ("2026-05-18T08-19-01.585882", "2026-05-19T08-19-01.585882");
        let files = HashMap::from([
            (format!("out/o__m/results_{one}.json"), results(1000)),
            (format!("out/o__m/results_{other}.json"), results(2000)),
            (format!("out/o__m/samples_a_b_{one}.jsonl"), String::new()),
            (format!("out/o__m/samples_a_b_{other}.jsonl"), String::new()),
            (format!("out/o__m/samples_c_{other}.jsonl"), String::new()),
            // `--output_path x/y.json`.
            (format!("out/x/y_{one}.json"), results(3000)),
            (format!("out/x/samples_a_{one}.jsonl"), String::new()),
            // No results, and results that do not parse.
            (format!("out/alone/samples_a_{one}.jsonl"), String::new()),
            (format!("out/broken/samples_a_{one}.jsonl"), String::new()),
            (format!("out/broken/results_{one}.json"), "{\"results\": {".to_owned()),
        ]);
        let paths: Vec<&Path> = files.keys().map(Path::new).collect();
        let read = |path: &Path| Some(files.get(path.to_str()?)?.clone().into_bytes());
        let mut told: Vec<_> = models(&paths, &read)
            .into_iter()
            .map(|(path, beside)| match beside {
                Beside::Model(Evaluated { run, step, .. }, shots) => (path.display().to_string(), run, step, shots),
                _ => panic!("{path:?}"),
            })
            .collect();
        told.sort();
        let run = "m/stage1".to_owned();
        assert_eq!(
            told,
            [
                (format!("out/o__m/samples_a_b_{one}.jsonl"), run.clone(), Some(1000), Some(1000)),
                (format!("out/o__m/samples_a_b_{other}.jsonl"), run.clone(), Some(2000), Some(2000)),
                (format!("out/o__m/samples_c_{other}.jsonl"), run.clone(), Some(2000), Some(5)),
                (format!("out/x/samples_a_{one}.jsonl"), run, Some(3000), None),
            ]
        );
    }

    /// As version 0.4.13 writes them, shortened.
    #[test]
    fn groups_and_counts_are_no_metrics_of_tasks() {
        let text = br#"{"results": {
            "a": {"name": "a", "alias": " - a", "sample_len": 3, "acc,none": 0.5, "acc_stderr,none": 0.25, "f1,none": "NaN"},
            "g": {"alias": "g", "sample_len": 7, "acc,none": 0.5, "acc_stderr,none": "N/A", "sample_count": {"acc,none": 3}},
            "h": {"alias": "h", "sample_count": {"acc,none": 3}}},
            "groups": {"g": {"acc,none": 0.5}}, "group_subtasks": {"g": ["a", "b"], "h": ["c"], "a": []},
            "config": {"model_args": "pretrained=o/m", "model_revision": "step40"}, "date": 1779092341.5}"#;
        let rows = read_as("results_1.json", text, read);
        assert_eq!(rows.problems(), None);
        let told: Vec<_> = rows.metrics.iter().map(|row| (&row.task[..], &row.metric[..], row.is_group)).collect();
        assert_eq!(told, [("a", "acc", Some(false)), ("a", "f1", Some(false)), ("g", "acc", Some(true))]);
        assert!(rows.metrics[1].value.is_nan() && rows.metrics[0].step == Some(Step(40)));
        assert_eq!(rows.metrics[0].time, Some(1_779_092_341.5));
        let claim = |name: &str| rows.claims.iter().find(|claim| claim.name == name).map(|claim| &claim.value[..]);
        assert_eq!(claim("group_subtasks.g.1"), Some("b"));
        assert_eq!((claim("group_subtasks.h.0"), claim("group_subtasks.a")), (Some("c"), None));
        assert_eq!((claim("results.a.sample_len"), claim("results.g.sample_count.acc,none")), (Some("3"), Some("3")));
        survives("results_1.json", text, read);
    }

    #[test]
    fn a_document_twice_is_noted() {
        let lines = b"{\"doc_id\": 0, \"exact_match\": 0.0}\n{\"doc_id\": 0, \"exact_match\": 1.0}\n";
        let rows = read_as("o__m/samples_a.jsonl", lines, read);
        let notes = rows.notes().join("; ");
        assert!(notes.contains("line 2: document 0 stands again") && notes.contains("no results file"), "{notes}");
        assert_eq!((rows.samples.len(), &rows.samples[0].run[..], rows.problems()), (2, "m", None));
    }

    #[test]
    fn what_is_no_result_is_told_and_anything_is_survived() {
        for (bytes, expected) in [
            (&b"[]"[..], "no object `results`"),
            (br#"{"results": []}"#, "no object `results`"),
            (br#"{"results": {"a": 1}}"#, "/results/a: not an object"),
            (br#"{"results": {"a": {"acc": [1]}}}"#, "/results/a/acc: not a number"),
            (br#"{"results": {"a": {"acc": 1}, "a": {"acc": 2}}}"#, "duplicate key \"a\""),
            (b"\xff\xfe", "not UTF-8"),
        ] {
            let problems = read_as("results.json", bytes, read).problems().unwrap();
            assert!(problems.contains(expected), "{problems}");
        }
        survives("results.json", OLD, read);
        survives("results.json", NEW, read);
        assert!(read_as("s.jsonl", b"", read).problems().is_some());
    }

    #[test]
    fn models_whose_names_end_alike_are_told_apart() {
        let results = |model: &str| format!("{{\"results\": {{}}, \"model_name\": \"{model}\"}}");
        let runs = |models: &[(&str, &str)]| {
            let files: HashMap<PathBuf, String> =
                models.iter().map(|(path, model)| (PathBuf::from(path), results(model))).collect();
            let paths: Vec<&Path> = files.keys().map(PathBuf::as_path).collect();
            let beside = models_of(&paths, &files);
            let mut told: Vec<(String, String)> = files
                .iter()
                .map(|(path, text)| {
                    let mut rows = Rows::default();
                    let source = path.to_str().unwrap();
                    let beside = beside.get(path).unwrap_or(&Beside::Nothing);
                    let input = Input { release: "r", source, path, bytes: b"", beside };
                    let own = match (source.ends_with("jsonl"), beside) {
                        (true, Beside::Model(model, _)) => model.clone(),
                        (true, _) => apart(by_directory(&folder(path, 0)), &input, &mut rows),
                        (false, _) => apart(evaluated(&json::read(text.as_bytes()).unwrap()), &input, &mut rows),
                    };
                    (source.to_owned(), own.run)
                })
                .collect();
            told.sort();
            told.into_iter().map(|(_, run)| run).collect::<Vec<_>>()
        };
        let (one, two) = ("2026-05-18T08-19-01.5", "2026-05-18T08-19-02.5");
        let file = |name: &str, time: &str, ending: &str| format!("out/{name}_{time}.{ending}");
        let (a, b) = (file("a/results", one, "json"), file("b/results", two, "json"));
        let with = file("b/samples_t", two, "jsonl");
        let alone = file("org3__x/samples_t", one, "jsonl");
        assert_eq!(runs(&[(&a, "org1/x"), (&b, "org1/x"), (&with, "")]), ["x", "x", "x"]);
        assert_eq!(runs(&[(&a, "org1/x"), (&b, "x"), (&with, "")]), ["x", "x", "x"]);
        let apart = ["org1/x", "org2/x", "org2/x", "org3/x"];
        assert_eq!(runs(&[(&a, "org1/x"), (&b, "org2/x"), (&with, ""), (&alone, "")]), apart);
        assert_eq!(runs(&[(&a, "/r/1/hf/x"), (&b, "/r/2/hf/x")]), ["1/hf/x", "2/hf/x"]);
        assert_eq!(runs(&[(&a, "./r/x/checkpoint-1"), (&b, "/home/r/x/checkpoint-2")]), ["x", "x"]);
    }

    fn models_of(paths: &[&Path], files: &HashMap<PathBuf, String>) -> HashMap<PathBuf, Beside> {
        models(paths, &|path| files.get(path).cloned().map(String::into_bytes))
    }
}

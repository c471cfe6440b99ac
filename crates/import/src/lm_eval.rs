//! What lm-evaluation-harness writes: `results*.json`, in its old form (`"acc": 0.5`) and its new one
//! (`"acc,none": 0.5`), and `samples_TASK_TIME.jsonl`.

use retrace_query::tables::{Metric, Sample};
use retrace_spec::Step;

use crate::json;
use crate::label::Label;
use crate::rows::{Input, Problem, Rows};
use crate::value::{Value, pointer};

/// What was evaluated.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Evaluated {
    pub(crate) run: String,
    pub(crate) step: Option<u64>,
}

impl Evaluated {
    /// A model by its name or path, and its revision. The last part of the name is the run; if that
    /// names a step, the part before it. What a revision says before its step, such as a stage, is
    /// another run.
    pub(crate) fn new(model: &str, revision: Option<&str>) -> Self {
        let mut parts: Vec<&str> = model.split('/').filter(|part| !part.is_empty()).collect();
        let mut step = None;
        if let [.., _, last] = parts.as_slice()
            && let Some(at) = label_begins(last)
        {
            step = at;
            parts.pop();
        }
        let mut run = parts.last().copied().unwrap_or_default().to_owned();
        if let Some(revision) = revision {
            let label = Label::of(revision).step;
            step = label.or(step);
            let before = revision.split("step").next().unwrap_or_default().trim_end_matches(['-', '_']);
            if label.is_some() && !before.is_empty() && before != revision {
                run = format!("{run}/{before}");
            }
        }
        Self { run, step }
    }

    /// What claims are said of.
    pub(crate) fn subject(&self) -> String {
        self.step.map_or_else(|| self.run.clone(), |step| format!("{}/step{step}", self.run))
    }
}

/// The step that a directory is named after, if it is.
fn label_begins(name: &str) -> Option<Option<u64>> {
    let begins = ["step", "checkpoint-", "iter_", "global_step"].iter().any(|word| name.starts_with(word));
    begins.then(|| Label::of(name).step).filter(Option::is_some)
}

pub(crate) fn read(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    if input.name().ends_with(".jsonl") {
        return samples(input, rows);
    }
    let value = json::read(input.bytes)?;
    let config = value.get("config");
    let arguments = config.and_then(|config| config.get("model_args"));
    let argument = |name| argument(arguments?, name);
    let model = value.get("model_name").and_then(Value::text).or_else(|| argument("pretrained"));
    let model = model.or_else(|| config?.get("model")?.text()).unwrap_or_default();
    results(input, &value, &Evaluated::new(model, argument("revision")), rows)
}

/// One of the arguments of a model: `pretrained=NAME,revision=NAME`, or an object of them.
pub(crate) fn argument<'a>(arguments: &'a Value<'_>, name: &str) -> Option<&'a str> {
    match arguments {
        Value::Object(_) => arguments.get(name)?.text(),
        Value::String(text) => {
            text.split(',').find_map(|argument| argument.trim().strip_prefix(name)?.strip_prefix('='))
        }
        _ => None,
    }
}

/// The metrics of `results`, and everything else as claims.
pub(crate) fn results(
    input: &Input<'_>,
    value: &Value<'_>,
    evaluated: &Evaluated,
    rows: &mut Rows,
) -> Result<(), Problem> {
    let Some(tasks) = value.get("results").and_then(Value::object) else {
        return Err(Problem::whole("no results of an evaluation: it has no object `results`"));
    };
    let all_shots = value.get("config").and_then(|config| config.get("num_fewshot"));
    for (task, metrics) in tasks {
        let Some(entries) = metrics.object() else {
            rows.problem(Problem::at(pointer(["results", task]), "not an object of metrics"));
            continue;
        };
        let own_shots = value.get("n-shot").and_then(|shots| shots.get(task));
        let own_shots = own_shots.or_else(|| value.get("configs")?.get(task)?.get("num_fewshot"));
        let shots = own_shots.or(all_shots).and_then(Value::whole);
        measures(entries, |key, metric, found| match found {
            Some((value, stderr)) => {
                let place = pointer(["results", task, key]);
                let row = input.metric(&evaluated.run, evaluated.step, task, metric, value, place);
                rows.metrics.push(Metric { shots, stderr, ..row });
            }
            None => rows.problem(Problem::at(pointer(["results", task, key]), "not a number")),
        });
    }
    claims(input, value, evaluated, rows);
    Ok(())
}

/// Tells `each` of every metric of a task: its key, its name, and its value and standard error, or
/// nothing if it is no number.
pub(crate) fn measures(
    entries: &[(std::borrow::Cow<'_, str>, Value<'_>)],
    mut each: impl FnMut(&str, &str, Option<(f64, Option<f64>)>),
) {
    for (key, value) in entries {
        // `none` is the name of no filter.
        let (metric, filter) =
            key.split_once(',').map_or((key.as_ref(), None), |(metric, filter)| (metric, Some(filter)));
        let name = if filter == Some("none") { metric } else { key.as_ref() };
        if metric.ends_with("_stderr") || matches!(value, Value::Null | Value::String(_) | Value::Bool(_)) {
            continue;
        }
        let is_stderr = |other: &str| {
            let (other, of) = other.split_once(',').map_or((other, None), |(other, of)| (other, Some(of)));
            of == filter && other.strip_suffix("_stderr") == Some(metric)
        };
        let stderr = entries.iter().find(|(other, _)| is_stderr(other)).and_then(|(_, stderr)| stderr.number());
        each(key, name, value.number().map(|value| (value, stderr)));
    }
}

/// What the file says besides its results: settings, versions, the harness's own commit.
pub(crate) fn claims(input: &Input<'_>, value: &Value<'_>, evaluated: &Evaluated, rows: &mut Rows) {
    let subject = evaluated.subject();
    for (key, value) in value.object().unwrap_or_default() {
        if !matches!(key.as_ref(), "results" | "table_results" | "groups" | "group_subtasks" | "samples") {
            value.leaves(key, &pointer([key.as_ref()]), &mut |name, place, text, number| {
                rows.claims.push(input.claim(&subject, name, text, number, place));
            });
        }
    }
}

/// What became of each item: a line each, of the task in the file's name and the model that the
/// directory is named after.
fn samples(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let Some(name) = input.stem().strip_prefix("samples_") else {
        return Err(Problem::whole("not the samples of a task: they are called samples_TASK_TIME.jsonl"));
    };
    // The time is 2024-05-01T12-30-00.123456.
    let is_time = |text: &str| text.len() >= 10 && text.as_bytes()[4..].starts_with(b"-") && text.contains('T');
    let task = name.rsplit_once('_').filter(|(_, time)| is_time(time)).map_or(name, |(task, _)| task);
    let Evaluated { run, step } = Evaluated::new(&input.folder(0).replace("__", "/"), None);
    json::lines(input.bytes, rows, |number, line, rows| {
        let Some(item) = line.get("doc_id") else {
            rows.problem(Problem::at(format_args!("line {number}"), "no `doc_id`"));
            return;
        };
        let item = match item {
            Value::Number(text) | Value::String(text) => text.to_string(),
            _ => return rows.problem(Problem::at(format_args!("line {number}"), "`doc_id` is no number or text")),
        };
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
        });
    });
    Ok(())
}

/// The greatest log-likelihood among the answers: `[[-1.5, false], [-0.5, true]]`, or `[-12.25]` of a
/// text.
fn likeliest(line: &Value<'_>) -> Option<f64> {
    let answers = line.get("filtered_resps")?.array()?;
    let number = |answer: &Value<'_>| answer.number().or_else(|| answer.array()?.first()?.number());
    let all: Option<Vec<f64>> = answers.iter().map(number).collect();
    all?.into_iter().max_by(f64::total_cmp)
}

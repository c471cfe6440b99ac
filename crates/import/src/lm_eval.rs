//! Files of lm-evaluation-harness: `results*.json`, in its old form (`"acc": 0.5`) and its new one
//! (`"acc,none": 0.5`), and `samples_TASK_TIME.jsonl`.

use std::collections::HashMap;

use retrace_spec::{CheckpointName, ResultKey, Step};
use retrace_tables::{Metric, Sample};

use crate::json;
use crate::rows::{Input, Problem, Rows};
use crate::value::{Value, pointer};

/// The evaluated model.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Evaluated {
    pub(crate) run: String,
    pub(crate) step: Option<u64>,
}

impl Evaluated {
    /// A model by its name or path, and its revision. The last part of the name is the run; if that contains a step,
    /// the part before it. If a revision has text before its step, such as a stage, it is a separate run.
    pub(crate) fn new(model: &str, revision: Option<&str>) -> Self {
        let mut parts: Vec<&str> = model.split('/').filter(|part| !part.is_empty()).collect();
        let mut step = None;
        if let [.., _, last] = parts.as_slice()
            && let CheckpointName { step: Some(at), before: "", .. } = CheckpointName::of(last)
        {
            step = Some(at.get());
            parts.pop();
        }
        let mut run = parts.last().copied().unwrap_or_default().to_owned();
        if let Some(revision) = revision {
            let said = CheckpointName::of(revision);
            step = said.step.map(Step::get).or(step);
            if !said.before.is_empty() {
                run = format!("{run}/{}", said.before);
            }
        }
        Self { run, step }
    }

    /// The subject of the claims.
    pub(crate) fn subject(&self) -> String {
        self.step.map_or_else(|| self.run.clone(), |step| format!("{}/step{step}", self.run))
    }
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
        return Err(Problem::whole("not results of an evaluation: it has no object `results`"));
    };
    if !rows.accept("the model's name", &[&evaluated.run]) {
        return Ok(());
    }
    let all_shots = value.get("config").and_then(|config| config.get("num_fewshot"));
    let own_shots = value.get("n-shot").map(Value::by_key).unwrap_or_default();
    let configs = value.get("configs").map(Value::by_key).unwrap_or_default();
    for (task, metrics) in tasks {
        if !rows.accept("results", &[task]) {
            continue;
        }
        let Some(entries) = metrics.object() else {
            rows.problem(Problem::at(pointer(["results", task]), "not an object of metrics"));
            continue;
        };
        let own = own_shots.get(task.as_ref()).copied();
        let own = own.or_else(|| configs.get(task.as_ref())?.get("num_fewshot"));
        let shots = own.or(all_shots).and_then(Value::whole);
        measures(entries, |key, metric, found| match found {
            Some(_) if !rows.accept("results", &[key]) => {}
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

/// Calls `each` for every metric of a task: its key, its name, and its value and standard error, or `None` if it is
/// not a number.
pub(crate) fn measures(
    entries: &[(std::borrow::Cow<'_, str>, Value<'_>)],
    mut each: impl FnMut(&str, &str, Option<(f64, Option<f64>)>),
) {
    let mut stderrs = HashMap::new();
    for (name, value) in entries {
        let key = ResultKey::parse(name);
        if key.stderr {
            stderrs.entry(key).or_insert_with(|| value.number());
        }
    }
    for (name, value) in entries {
        let key = ResultKey::parse(name);
        if key.stderr || matches!(value, Value::Null | Value::String(_) | Value::Bool(_)) {
            continue;
        }
        let stderr = stderrs.get(&key.stderr()).copied().flatten();
        each(name, &key.label(), value.number().map(|value| (value, stderr)));
    }
}

/// The other content of the file: settings, versions, the harness's own commit.
pub(crate) fn claims(input: &Input<'_>, value: &Value<'_>, evaluated: &Evaluated, rows: &mut Rows) {
    let subject = evaluated.subject();
    for (key, value) in value.object().unwrap_or_default() {
        if !matches!(key.as_ref(), "results" | "table_results" | "groups" | "group_subtasks" | "samples") {
            value.leaves(key, &pointer([key.as_ref()]), &mut |name, place, text, number| {
                rows.claim(input, &subject, name, text, number, place);
            });
        }
    }
}

/// The result for each item: one line per item, of the task in the file's name and the model after which the directory
/// is named.
fn samples(input: &Input<'_>, rows: &mut Rows) -> Result<(), Problem> {
    let Some(name) = input.stem().strip_prefix("samples_") else {
        return Err(Problem::whole("not the samples of a task: such a file is named samples_TASK_TIME.jsonl"));
    };
    // The time has the form 2024-05-01T12-30-00.123456.
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
            _ => {
                return rows
                    .problem(Problem::at(format_args!("line {number}"), "`doc_id` is neither a number nor a string"));
            }
        };
        if !rows.accept(format_args!("line {number}"), &[&run, task]) {
            return;
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
        });
    });
    Ok(())
}

/// The greatest log-likelihood among the answers: `[[-1.5, false], [-0.5, true]]`, or `[-12.25]` for a text.
fn likeliest(line: &Value<'_>) -> Option<f64> {
    let answers = line.get("filtered_resps")?.array()?;
    let number = |answer: &Value<'_>| answer.number().or_else(|| answer.array()?.first()?.number());
    let all: Option<Vec<f64>> = answers.iter().map(number).collect();
    all?.into_iter().max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{read_as, survives};

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
    fn models_and_their_revisions() {
        for (model, revision, run, step) in [
            ("EleutherAI/pythia-70m", Some("step512"), "pythia-70m", Some(512)),
            ("allenai/OLMo-1B", Some("main"), "OLMo-1B", None),
            ("/ckpts/mine/checkpoint-500", None, "mine", Some(500)),
            ("stepfun", None, "stepfun", None),
            ("step100", None, "step100", None),
            ("", None, "", None),
        ] {
            assert_eq!(Evaluated::new(model, revision), Evaluated { run: run.to_owned(), step }, "{model}");
        }
    }
}

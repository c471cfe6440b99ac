//! EleutherAI's tree of evaluations of Pythia: `pythia-v1/MODEL/zero-shot/…_stepN.json` and all that
//! lies beside it.
//!
//! A file that names the model on the hub is of that model: `EleutherAI/pythia-v1.1-70m` is the run
//! `pythia-70m`, as it is called there now. The others were made from checkpoints on EleutherAI's own
//! machines under names that changed; their run is the folder that they lie in, from the suite on
//! (`pythia-v0/pythia-70m-deduped`), with the model in the file's name where the folder has many.

use retrace_query::tables::Metric;

use crate::csv;
use crate::json;
use crate::label::Label;
use crate::lm_eval::{self, Evaluated, argument, measures};
use crate::mapping::{Mapping, Plan};
use crate::rows::{Input, Problem, Rows};
use crate::value::{Value, pointer};

/// The columns of `term_frquency_all_shots.csv`.
pub(crate) fn term_frequencies() -> Plan {
    Plan::new(&Mapping {
        run: "model".into(),
        step: "checkpoint".into(),
        task: "task".into(),
        shots: "fewshot".into(),
        ..Mapping::default()
    })
}

pub(crate) fn read(input: &Input<'_>, terms: &Plan, rows: &mut Rows) -> Result<(), Problem> {
    if input.name().ends_with(".csv") {
        return csv::read(input, terms, rows);
    }
    let value = json::read(input.bytes)?;
    let config = value.get("config").unwrap_or(&value);
    let Some(arguments) = config.get("model_args") else {
        return Err(Problem::whole("not of this tree: it has no `model_args`"));
    };
    let evaluated = match argument(arguments, "pretrained") {
        Some(model) => {
            let Evaluated { run, step } = Evaluated::new(model, argument(arguments, "revision"));
            Evaluated { run: run.replace("pythia-v1.1-", "pythia-"), step }
        }
        None => {
            let step = arguments.get("iteration").and_then(Value::whole);
            Evaluated { run: folder(input), step: step.or_else(|| Label::of(input.name()).step) }
        }
    };
    match (value.get("results"), value.get("table_results")) {
        (Some(Value::Array(prompts)), _) => prompts.iter().enumerate().for_each(|(index, prompt)| {
            by_prompt(input, ["results", &index.to_string()], prompt, &evaluated, rows);
        }),
        (None, Some(Value::Object(prompts))) => prompts.iter().for_each(|(key, prompt)| {
            by_prompt(input, ["table_results", key], prompt, &evaluated, rows);
        }),
        _ => return lm_eval::results(input, &value, &evaluated, rows),
    }
    lm_eval::claims(input, &value, &evaluated, rows);
    Ok(())
}

/// The metrics of a task under one of its prompts, as the task `TASK+PROMPT`.
fn by_prompt(input: &Input<'_>, at: [&str; 2], prompt: &Value<'_>, evaluated: &Evaluated, rows: &mut Rows) {
    let name = |key| prompt.get(key).and_then(Value::text);
    let (Some(entries), Some(task), Some(words)) = (prompt.object(), name("task_name"), name("prompt_name")) else {
        return rows.problem(Problem::at(pointer(at), "no result of a prompt: no `task_name` or `prompt_name`"));
    };
    let task = format!("{task}+{words}");
    measures(entries, |key, metric, found| {
        let place = pointer(at.into_iter().chain([key]));
        match found {
            Some((value, stderr)) => {
                let row = input.metric(&evaluated.run, evaluated.step, &task, metric, value, place);
                rows.metrics.push(Metric { stderr, ..row });
            }
            None => rows.problem(Problem::at(place, "not a number")),
        }
    });
}

/// The run of a file that names no model.
fn folder(input: &Input<'_>) -> String {
    let mut folders: Vec<&str> = input.source.split('/').collect();
    let name = folders.pop().unwrap_or_default();
    let suite = folders.iter().rposition(|folder| matches!(*folder, "pythia-v0" | "pythia-v1" | "bias-evals"));
    let mut run = folders.split_off(suite.unwrap_or(0));
    run.retain(|folder| !matches!(*folder, "zero-shot" | "five-shot" | "baseline" | "intervention"));
    let mut run = run.join("/");
    if let Some((model, _)) = name.split_once("-step") {
        run = format!("{run}/{model}");
    }
    run
}

//! EleutherAI's tree of evaluations of Pythia: `pythia-v1/MODEL/zero-shot/…_stepN.json` and all files beside it.
//!
//! A file that names a model on the hub belongs to that model: `EleutherAI/pythia-v1.1-70m` is the run `pythia-70m`,
//! its current name there. The others were made from checkpoints on EleutherAI's own machines with names that changed;
//! their run is the folder that contains them, from the suite on (`pythia-v0/pythia-70m-deduped`), with the model from
//! the file's name if the folder has several.

use retrace_spec::{CheckpointName, Step};
use retrace_tables::Metric;

use crate::csv;
use crate::evaluated::{Evaluated, argument};
use crate::json;
use crate::lm_eval::{self, measures};
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
        csv::read(input, terms, rows)?;
        rows.metrics.iter_mut().for_each(|row| row.run = Evaluated::new(&row.run, None).run);
        return Ok(());
    }
    let value = json::read(input.bytes)?;
    let config = value.get("config").unwrap_or(&value);
    let Some(arguments) = config.get("model_args") else {
        return Err(Problem::whole("not an evaluation of Pythia: it has no `model_args`"));
    };
    let evaluated = match argument(arguments, "pretrained") {
        Some(model) => {
            let evaluated = Evaluated::new(model, argument(arguments, "revision"));
            Evaluated { run: evaluated.run.replace("pythia-v1.1-", "pythia-"), ..evaluated }
        }
        None => {
            let step = arguments.get("iteration").and_then(Value::whole);
            let named = || CheckpointName::of(input.name()).step.map(Step::get);
            Evaluated { run: folder(input), step: step.or_else(named), of: Vec::new() }
        }
    };
    let before = rows.metrics.len();
    match (value.get("results"), value.get("table_results")) {
        (Some(Value::Array(prompts)), _) => prompts.iter().enumerate().for_each(|(index, prompt)| {
            by_prompt(input, ["results", &index.to_string()], prompt, &evaluated, rows);
        }),
        (None, Some(Value::Object(prompts))) => prompts.iter().for_each(|(key, prompt)| {
            by_prompt(input, ["table_results", key], prompt, &evaluated, rows);
        }),
        _ => return lm_eval::results(input, &value, &evaluated, rows),
    }
    let shots = config.get("num_fewshot").and_then(Value::whole);
    rows.metrics.iter_mut().skip(before).for_each(|row| row.shots = shots);
    lm_eval::claims(input, &value, &evaluated, rows);
    Ok(())
}

/// The metrics of a task with one of its prompts, as the task `TASK+PROMPT`.
fn by_prompt(input: &Input<'_>, at: [&str; 2], prompt: &Value<'_>, evaluated: &Evaluated, rows: &mut Rows) {
    let name = |key| prompt.get(key).and_then(Value::text);
    let (Some(entries), Some(task), Some(words)) = (prompt.object(), name("task_name"), name("prompt_name")) else {
        return rows
            .problem(Problem::at(pointer(at), "not a result of a prompt: it has no `task_name` or `prompt_name`"));
    };
    if !rows.accept(pointer(at), &[&evaluated.run, task, words]) {
        return;
    }
    let task = format!("{task}+{words}");
    let _ = measures(entries, |key, metric, found| {
        let place = pointer(at.into_iter().chain([key]));
        match found {
            Some(_) if !rows.accept(pointer(at), &[key]) => {}
            Some((value, stderr)) => {
                let row = input.metric(&evaluated.run, evaluated.step, &task, metric, value, place);
                rows.metrics.push(Metric { stderr, ..row });
            }
            None => rows.problem(Problem::at(place, "not a number")),
        }
    });
}

/// The run of a file that does not name a model.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{read_as, survives};

    fn rows(source: &str, bytes: &[u8]) -> Rows {
        read_as(source, bytes, |input, rows| read(input, &term_frequencies(), rows))
    }

    /// The four formats in the tree, shortened.
    #[test]
    fn every_shape_says_its_run_and_step_and_anything_is_survived() {
        let prompts = br#"{"results": [{"task_name": "wino", "prompt_name": "refers_to", "em": 0.25, "em_stderr": 0.5, "prompt_jinja": "x"}],
            "table_results": {"wino+refers_to": {"em": 0.25}}, "config": {"num_fewshot": 0, "model_args": {"iteration": 93000}}}"#;
        let table = br#"{"table_results": {"wino+refers_to": {"task_name": "wino", "prompt_name": "refers_to", "em": 0.25, "em_stderr": 0.5}},
            "model_args": {"iteration": 127000}}"#;
        let hub = br#"{"results": {"wsc": {"acc": 0.25, "acc_stderr": 0.5}},
            "config": {"num_fewshot": 0, "model_args": "use_accelerate=True,pretrained=EleutherAI/pythia-v1.1-70m-deduped,revision=step32"}}"#;
        let old = br#"{"results": {"wsc": {"acc": 0.25, "acc_stderr": 0.5}}, "config": {"num_fewshot": 5, "model_args": {"iteration": 63000}}}"#;
        let csv =
            b"model,checkpoint,task,fewshot,acc,acc_stderr\nEleutherAI/pythia-13b-deduped,13000,num_0,16,0.25,0.5\n";
        for (source, bytes, run, step, task, shots, place) in [
            (
                "p/evals/bias-evals/winobias/1.4B/eval_results_02.json",
                &prompts[..],
                "bias-evals/winobias/1.4B",
                93_000,
                "wino+refers_to",
                Some(0),
                "/results/0/em",
            ),
            (
                "bias-evals/winobias/intervene_21/1.4B/eval_results_1.4b_127000.json",
                table,
                "bias-evals/winobias/intervene_21/1.4B",
                127_000,
                "wino+refers_to",
                None,
                "/table_results/wino+refers_to/em",
            ),
            (
                "pythia-v1/pythia-70m-deduped/zero-shot/70m-deduped_step32.json",
                hub,
                "pythia-70m-deduped",
                32,
                "wsc",
                Some(0),
                "/results/wsc/acc",
            ),
            (
                "evals/pythia-v0/pythia-70m/five-shot/pythia-70m-5shot-global_step63000_eval_results_11.json",
                old,
                "pythia-v0/pythia-70m",
                63_000,
                "wsc",
                Some(5),
                "/results/wsc/acc",
            ),
            (
                "bias-evals/long-intervention-1.3b-deduped-step63000_eval_results_01.json",
                old,
                "bias-evals/long-intervention-1.3b-deduped",
                63_000,
                "wsc",
                Some(5),
                "/results/wsc/acc",
            ),
            (
                "csv/pythia-13b-deduped/term_frquency_all_shots.csv",
                csv,
                "pythia-13b-deduped",
                13_000,
                "num_0",
                Some(16),
                "line 2",
            ),
        ] {
            let rows = rows(source, bytes);
            assert_eq!(rows.problems(), None, "{source}");
            let [row] = rows.metrics.as_slice() else { panic!("{source}: {:?}", rows.metrics) };
            assert_eq!((row.run.as_str(), row.step.map(|step| step.0), row.task.as_str()), (run, Some(step), task));
            assert_eq!(
                (row.shots, row.value, row.stderr, row.place.as_str()),
                (shots, 0.25, Some(0.5), place),
                "{source}"
            );
            survives(source, bytes, |input, rows| read(input, &term_frequencies(), rows));
        }
        assert!(rows("a.json", b"{\"results\": {}}").problems().unwrap().contains("model_args"));
    }
}

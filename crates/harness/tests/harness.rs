//! The files of an installed harness, if the variable RETRACE_TEST_HARNESS names its directory `lm_eval/tasks`.
//! `tests/harness/prompts.py` makes what these tests compare with.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use retrace_harness::python::Value;
use retrace_harness::{Data, HarnessError, Index, Member, Options, Request, Task, Template, port};

fn installed() -> Option<PathBuf> {
    let directory = std::env::var_os("RETRACE_TEST_HARNESS").map(PathBuf::from);
    if directory.is_none() {
        println!("skipped: RETRACE_TEST_HARNESS does not name the directory of an installed harness");
    }
    directory
}

fn functions(value: &Value, found: &mut Vec<retrace_harness::python::FunctionName>) {
    match value {
        Value::Function(function) => found.push(function.clone()),
        Value::List(list) => list.iter().for_each(|value| functions(value, found)),
        Value::Dict(dict) => dict.iter().for_each(|(_, value)| functions(value, found)),
        _ => {}
    }
}

/// Prints how many tasks of the installed harness have only known functions and templates that are read, and why the
/// others are refused.
#[test]
fn coverage() {
    let Some(directory) = installed() else { return };
    let index = Index::read(&[directory]).unwrap();
    let names = index.tasks();
    let (mut ready, mut reasons, mut missing) = (0, BTreeMap::<String, usize>::new(), BTreeMap::<String, usize>::new());
    for name in &names {
        match index.load(&[(*name).to_owned()]) {
            Ok(members) => {
                let mut found = Vec::new();
                let mut stopped = None;
                for task in members.iter().flat_map(|member| member.tasks()) {
                    task.fields().iter().for_each(|(_, value)| functions(value, &mut found));
                    for field in ["doc_to_text", "doc_to_target", "doc_to_choice", "description"] {
                        if let Some(Err(what)) = task.text(field).map(Template::new) {
                            stopped = Some(format!("template: {what}"));
                        }
                    }
                }
                for function in found {
                    match port(&function, name) {
                        Ok(_) => {}
                        Err(HarnessError::Function { path, function, digest, .. }) => {
                            stopped = Some("function".to_owned());
                            let path = path.to_string_lossy();
                            let path = path.rsplit_once("tasks/").map_or(&*path, |(_, path)| path);
                            *missing.entry(format!("{path} {function} {digest}")).or_default() += 1;
                        }
                        Err(error) => stopped = Some(error.to_string()),
                    }
                }
                match stopped {
                    None => ready += 1,
                    Some(what) => *reasons.entry(what).or_default() += 1,
                }
            }
            Err(error) => {
                *reasons.entry(error.to_string().rsplit(": ").next().unwrap_or_default().to_owned()).or_default() += 1
            }
        }
    }
    println!("{ready} of {} tasks are ready; {} files skipped", names.len(), index.skipped.len());
    for (path, what) in &index.skipped {
        println!("skipped {}: {what}", path.display());
    }
    let sorted = |counts: BTreeMap<String, usize>| {
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    };
    for (what, count) in sorted(reasons) {
        println!("{count} {what}");
    }
    for (what, count) in sorted(missing) {
        println!("function {count} {what}");
    }
    assert!(ready > 0);
}

/// The requests of the installed harness's own tasks are those that the harness makes, to the byte.
#[test]
fn prompts() {
    let Some(directory) = installed() else { return };
    let Some(made) = std::env::var_os("RETRACE_TEST_PROMPTS").map(PathBuf::from) else {
        println!("skipped: RETRACE_TEST_PROMPTS does not name what tests/harness/prompts.py made");
        return;
    };
    let index = Index::read(&[directory]).unwrap();
    let data = Data { directories: vec![made.join("data")] };
    let (mut same, mut wrong, mut not_ported) = (0, Vec::new(), Vec::new());
    for line in std::fs::read_to_string(made.join("expected.jsonl")).unwrap().lines() {
        let expected: serde_json::Value = serde_json::from_str(line).unwrap();
        let (name, shots) = (expected["task"].as_str().unwrap(), expected["shots"].as_u64());
        let options = Options { shots: shots.map(|shots| shots as usize), ..Options::default() };
        match compare(&index, &data, name, &options, &expected) {
            Ok(()) => same += 1,
            Err(what) if what.contains("which is not ported") => not_ported.push(name.to_owned()),
            Err(what) => wrong.push(format!("{name} with {shots:?} shots: {what}")),
        }
    }
    not_ported.dedup();
    println!("{same} times, the same requests; not ported: {}", not_ported.join(", "));
    assert!(wrong.is_empty() && same >= 120, "{same} are the same, but:\n{}", wrong.join("\n"));
}

fn compare(
    index: &Index,
    data: &Data,
    name: &str,
    options: &Options,
    expected: &serde_json::Value,
) -> Result<(), String> {
    let members = index.load(&[name.to_owned()]).map_err(|error| error.to_string())?;
    let [Member::Task(config)] = &members[..] else { return Err("is no single task".to_owned()) };
    let task = Task::prepare((**config).clone(), data, options).map_err(|error| error.to_string())?;
    let requests: Vec<serde_json::Value> = task
        .instances
        .iter()
        .map(|instance| {
            let arguments = match &instance.request {
                Request::Continuation { context, continuation } => serde_json::json!([context, continuation]),
                Request::Text { text } => serde_json::json!([text]),
                Request::Generation { context, settings } => serde_json::json!([context, settings.written.to_json()]),
            };
            serde_json::json!([instance.document, instance.index, arguments])
        })
        .collect();
    let all = expected["requests"].as_array().unwrap();
    if requests.len() != all.len() {
        return Err(format!("{} requests, not {}", requests.len(), all.len()));
    }
    for (ours, theirs) in requests.iter().zip(all) {
        if ours != theirs {
            return Err(format!("\n  ours   {ours}\n  theirs {theirs}"));
        }
    }
    let targets: Vec<_> = task.documents.iter().map(|document| document.target.clone()).collect();
    let choices: Vec<_> = task.documents.iter().map(|document| serde_json::json!(document.choices)).collect();
    if serde_json::json!(targets) != expected["targets"] {
        return Err(format!("targets\n  ours   {targets:?}\n  theirs {}", expected["targets"]));
    }
    if serde_json::json!(choices) != expected["choices"] {
        return Err(format!("choices\n  ours   {choices:?}\n  theirs {}", expected["choices"]));
    }
    let inputs: Vec<_> = task.documents.iter().map(|document| document.input).collect();
    if serde_json::json!(inputs) != expected["inputs"] {
        return Err(format!("inputs\n  ours   {inputs:?}\n  theirs {}", expected["inputs"]));
    }
    let scores = expected["scores"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (at, score) in scores.iter().enumerate() {
        let document = &task.documents[at * task.documents.len() / scores.len()];
        let process = task.process_results.ok_or("it has no function that scores")?;
        let ours = process(&document.columns, score[0].as_array().unwrap())?;
        let theirs = score[1].as_object().unwrap();
        let close = |(name, value): &(String, serde_json::Value)| match (value.as_f64(), theirs[name].as_f64()) {
            (Some(ours), Some(theirs)) => (ours - theirs).abs() <= 1e-15,
            _ => *value == theirs[name],
        };
        if ours.len() != theirs.len() || !ours.iter().all(close) {
            return Err(format!("scores of {score}, ours {ours:?}, of {:?}", document.columns));
        }
    }
    Ok(())
}

/// All task files of the installed harness are read as the harness reads them: fields, defaults, groups and tags.
#[test]
fn configs() {
    let Some(directory) = installed() else { return };
    let Some(made) = std::env::var_os("RETRACE_TEST_PROMPTS").map(PathBuf::from) else { return };
    let expected = std::fs::read_to_string(made.join("configs.jsonl")).unwrap();
    let expected: Vec<serde_json::Value> = expected.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let index = Index::read(&[directory]).unwrap();
    let (mut same, mut refused, mut wrong) = (0, BTreeMap::<String, usize>::new(), Vec::new());
    for line in &expected {
        let name = line["name"].as_str().unwrap();
        let ours = match index.load(&[name.to_owned()]) {
            Ok(members) => members,
            Err(_) if line.get("error").is_some() => continue,
            Err(error) => {
                let what = error.to_string();
                *refused.entry(what.rsplit(": ").next().unwrap_or_default().to_owned()).or_default() += 1;
                continue;
            }
        };
        let (ours, theirs): (serde_json::Value, serde_json::Value) = match (&ours[..], line.get("members")) {
            // The script does not have the functions, which the harness wants here.
            _ if line["error"].as_str().is_some_and(|error| error.contains("!function")) => continue,
            ([Member::Task(task)], None) => (task.fields().to_json().into(), line["config"].clone()),
            ([Member::Group(group)], Some(members)) => (group.members.iter().map(tree).collect(), members.clone()),
            (members, Some(theirs)) => (members.iter().map(tree).collect(), theirs.clone()),
            (members, None) => (members.iter().map(tree).collect(), line.clone()),
        };
        match ours == theirs {
            true => same += 1,
            false => wrong.push(format!("{name}:\n  ours   {ours}\n  theirs {theirs}")),
        }
    }
    println!("{same} tasks, groups and tags are the same; refused: {refused:?}");
    let shown: Vec<&str> = wrong.iter().take(10).map(String::as_str).collect();
    assert!(wrong.is_empty() && same > 10_000, "{} differ:\n{}", wrong.len(), shown.join("\n"));
}

fn tree(member: &Member) -> serde_json::Value {
    match member {
        Member::Task(task) => task.name().into(),
        Member::Group(group) => {
            let members: Vec<_> = group.members.iter().map(tree).collect();
            serde_json::json!({"group": group.name, "alias": group.alias, "members": members})
        }
    }
}

/// All templates of the installed harness render invented documents as Jinja2 does, or are refused.
#[test]
fn templates() {
    let Some(made) = std::env::var_os("RETRACE_TEST_PROMPTS").map(PathBuf::from) else { return };
    let text = std::fs::read_to_string(made.join("templates.jsonl")).unwrap();
    let (mut same, mut refused, mut wrong) = (0, BTreeMap::<String, usize>::new(), Vec::new());
    for line in text.lines() {
        let Value::Dict(fields) = serde_json::from_str(line).unwrap() else { panic!("{line}") };
        let text = |name| fields.get(name).and_then(Value::text).unwrap();
        let document = fields.get("document").and_then(Value::dict).unwrap();
        let template = text("template");
        let rendered = Template::new(template).and_then(|template| template.render(document));
        match rendered {
            Ok(rendered) if rendered == text("rendered") => same += 1,
            Ok(rendered) => wrong.push(format!("{line}\n  ours {rendered:?}")),
            Err(what) => *refused.entry(format!("{what}: {template}")).or_default() += 1,
        }
    }
    println!("{same} times, the same text");
    refused.iter().for_each(|(what, count)| println!("refused {count}: {what}"));
    let shown: Vec<&str> = wrong.iter().take(12).map(String::as_str).collect();
    assert!(wrong.is_empty() && same > 1000, "{} differ:\n{}", wrong.len(), shown.join("\n"));
}

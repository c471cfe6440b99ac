//! Tasks of our own over invented documents: the requests are those of lm-eval 0.4.13 (`tests/harness/kept.py`), and
//! what cannot be prepared is refused with its place.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use retrace_harness::{Data, HarnessError, Index, Limit, Member, Options, Request, Task};

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn prepared(name: &str, options: &Options) -> Result<Task, HarnessError> {
    let index = Index::read(&[here("tasks")])?;
    let members = index.load(&[name.to_owned()])?;
    let task = members[0].tasks()[0].clone();
    Task::prepare(task, &Data { directories: vec![here("data")] }, options)
}

fn arguments(task: &Task) -> serde_json::Value {
    let of = |request: &Request| match request {
        Request::Continuation { context, continuation } => serde_json::json!([context, continuation]),
        Request::Text { text } => serde_json::json!([text]),
        Request::Generation { context, settings } => serde_json::json!([context, settings.written.to_json()]),
    };
    task.instances
        .iter()
        .map(|instance| serde_json::json!([instance.document, instance.index, of(&instance.request)]))
        .collect()
}

#[test]
fn the_requests_are_those_of_the_harness() {
    let index = Index::read(&[here("tasks")]).unwrap();
    let names = ["all_of_them", "fruit_itself", "fruit_written"].map(str::to_owned);
    let members = index.load(&names).unwrap();
    let expected = std::fs::read_to_string(here("expected.jsonl")).unwrap();
    let mut lines = expected.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut groups = serde_json::Map::new();
    members.iter().for_each(|member| note(member, &mut groups));
    assert_eq!(lines.next().unwrap(), serde_json::json!({"groups": groups}));
    let tasks: Vec<_> = members.iter().flat_map(Member::tasks).cloned().collect();
    let lines: Vec<_> = lines.collect();
    assert_eq!((tasks.len(), lines.len()), (7, 7));
    let data = Data { directories: vec![here("nowhere"), here("data")] };
    for (config, expected) in tasks.into_iter().zip(lines) {
        let task = Task::prepare(config, &data, &Options::default()).unwrap();
        let name = task.config.name();
        assert_eq!(expected["task"], name);
        let requests = arguments(&task);
        for (ours, theirs) in requests.as_array().unwrap().iter().zip(expected["requests"].as_array().unwrap()) {
            assert_eq!(ours, theirs, "{name}");
        }
        assert_eq!(requests, expected["requests"], "{name}");
        assert_eq!(serde_json::Value::Object(task.config.fields().to_json()), expected["config"], "{name}");
        let of = |value: fn(&retrace_harness::Document) -> serde_json::Value| -> serde_json::Value {
            task.documents.iter().map(value).collect()
        };
        assert_eq!(of(|document| document.target.clone()), expected["targets"], "{name}");
        assert_eq!(of(|document| document.choices.clone().into()), expected["choices"], "{name}");
        assert_eq!(of(|document| document.input.into()), expected["inputs"], "{name}");
    }
}

fn note(member: &Member, groups: &mut serde_json::Map<String, serde_json::Value>) {
    if let Member::Group(group) = member {
        let names: Vec<&str> = group.members.iter().map(Member::name).collect();
        groups.insert(group.name.clone(), serde_json::json!({"alias": group.alias, "members": names}));
        group.members.iter().for_each(|member| note(member, groups));
    }
}

#[test]
fn a_limit_chooses_documents() {
    let all = prepared("town_text", &Options::default()).unwrap();
    let of = |limit| {
        let task = prepared("town_text", &Options { limit: Some(limit), ..Options::default() }).unwrap();
        let texts: Vec<Request> = task.instances.iter().map(|instance| instance.request.clone()).collect();
        let places: Vec<usize> =
            texts.iter().map(|text| all.instances.iter().position(|other| other.request == *text).unwrap()).collect();
        assert_eq!(task.original, 3);
        (places, task.numbers)
    };
    assert_eq!(of(Limit::First(2)), (vec![0, 1], vec![0, 1]));
    assert_eq!(of(Limit::Part(0.4)), (vec![0, 1], vec![0, 1]));
    assert_eq!(of(Limit::First(0)).0.len(), 3);
    // The harness gives the numbers in the order of the user, and evaluates in that of the data.
    assert_eq!(of(Limit::These(vec![2, 0])), (vec![0, 2], vec![2, 0]));
    let options = Options { limit: Some(Limit::These(vec![3])), ..Options::default() };
    let said = prepared("town_text", &options).unwrap_err().to_string();
    assert_eq!(said, "the task \"town_text\": document 3 was asked for, and it has 3");
}

#[test]
fn the_users_shots_and_seed_count() {
    let of = |shots, seed| {
        let options = Options { shots: Some(shots), seed, ..Options::default() };
        arguments(&prepared("fruit", &options).unwrap())
    };
    assert_eq!(of(2, 1234), of(2, 1234));
    assert_ne!(of(2, 1234), of(2, 1));
    assert_ne!(of(2, 1234), of(0, 1234));
    let options = Options { shots: Some(6), ..Options::default() };
    let said = prepared("fruit", &options).unwrap_err().to_string();
    assert!(said.contains("it needs 6 examples, and there are 5 to choose from"), "{said}");
}

/// Writes one task file, and says why it is refused.
fn refused(file: &str, module: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("t.yaml"), file).unwrap();
    std::fs::write(directory.path().join("pieces.py"), module).unwrap();
    let path = directory.path().join("t.yaml").display().to_string();
    let index = Index::read(&[directory.path().to_owned()]).unwrap();
    let data = Data { directories: vec![here("data")] };
    let prepared = index.load(&[path]).and_then(|members| {
        let tasks: Vec<_> = members.iter().flat_map(Member::tasks).collect();
        Task::prepare(tasks[0].clone(), &data, &Options::default())
    });
    prepared.unwrap_err().to_string().replace(&directory.path().display().to_string(), "DIR")
}

#[test]
fn what_is_not_supported_is_refused_with_its_place() {
    let fruit = "task: t\ndataset_path: invented/fruit\ntest_split: test\n";
    let with = |more: &str| refused(&format!("{fruit}{more}"), "def f(doc):\n    return doc\n");
    for (more, said) in [
        ("doc_to_texts: x\n", "DIR/t.yaml: the harness has no field `doc_to_texts`"),
        ("output_type: chat\n", "DIR/t.yaml: the `output_type` \"chat\" is none of the harness"),
        ("class: !function pieces.f\n", "DIR/t.yaml: the task is a class in Python, which is not ported"),
        (
            "doc_to_text: !function pieces.f\n",
            "the task \"t\" needs the function `f` of DIR/pieces.py, which is not ported",
        ),
        ("doc_to_text: !function pieces.g\n", "DIR/pieces.py: it does not define `g`"),
        ("doc_to_text: !function absent.g\n", "absent.py"),
        ("doc_to_text: !sum x\n", "the tag"),
        ("doc_to_text: '{{missing}}'\n", "document 0 of the split \"test\": `doc_to_text`: undefined value"),
        ("doc_to_text: '{{'\n", "the task \"t\": syntax error"),
        ("doc_to_text: colour\n", "`doc_to_target`: a field of the task is missing"),
        ("doc_to_text: colour\ndoc_to_choice: '{{f(}}'\n", "the task \"t\": syntax error"),
        ("include: t.yaml\n", "DIR/t.yaml: it includes itself"),
        ("include: absent.yaml\n", "absent.yaml"),
        ("fewshot_config: {sampler: balanced}\n", "the sampler 'balanced' is not supported"),
        ("description: [x]\ndoc_to_text: x\n", "`description` is a list"),
        ("unsafe_code: yes\n", "line 4: `yes` means different things in YAML 1.1 and 1.2"),
        ("num_fewshot: -1\n", "`num_fewshot` is no whole number"),
        ("test_split: null\n", "it has neither `test_split` nor `validation_split`"),
        ("validation_split: 'test[:2]'\ntest_split: null\n", "the split \"test[:2]\" is a part of one"),
        ("dataset_name: sour\n", "no data of the split \"test\" of \"invented/fruit\" (sour); looked for "),
        ("generation_kwargs: {temperature: hot}\n", "the `temperature` is no number"),
        (
            "generation_kwargs: {until: [1]}\ndoc_to_text: x\ndoc_to_target: y\n",
            "`until` has something that is no text",
        ),
        (
            "output_type: multiple_choice\ndoc_to_text: x\ndoc_to_target: y\n",
            "it is `multiple_choice` without `doc_to_choice`",
        ),
        ("a: &a [1, 1]\n", "the harness has no field `a`"),
    ] {
        let got = with(more);
        assert!(got.contains(said), "{more:?}: {got}");
    }
    assert!(refused("- task\n", "").contains("it is a list, not a mapping"));
    let aliases: String = (1..40).map(|n| format!("a{n}: &a{n} [{}]\n", format!("*a{},", n - 1).repeat(9))).collect();
    assert!(!refused(&format!("task: t\na0: &a0 [1]\n{aliases}"), "").is_empty());
    let index = Index::read(&[here("tasks")]).unwrap();
    let said = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        index.load(&names).unwrap_err().to_string()
    };
    assert!(said(&["fruits"]).contains("there is no task, group or tag \"fruits\""), "{}", said(&["fruits"]));
    assert!(said(&["Fruit-Mutual"]).contains("did you mean \"fruit"));
    assert_eq!(
        said(&["fruit", "all_of_them"]),
        "the task \"fruit\" is in \"fruit\" and in \"all_of_them\"; the harness refuses this"
    );
}

#[test]
fn names_and_patterns_find_tasks() {
    let index = Index::read(&[here("tasks")]).unwrap();
    let found = |name: &str| -> Vec<String> {
        let members = index.load(&[name.to_owned()]).unwrap();
        members.iter().map(|member| member.name().to_owned()).collect()
    };
    assert_eq!(
        index.tasks(),
        ["fruit", "fruit_itself", "fruit_mutual", "fruit_written", "town_last", "town_text", "town_which"]
    );
    assert_eq!(found("kitchen"), ["fruit", "fruit_mutual"]);
    assert_eq!(found("town_*t"), ["town_last", "town_text"]);
    assert_eq!(found("fruit_?ri*"), ["fruit_written"]);
}

#[test]
fn a_task_whose_file_is_malformed_is_told_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("torn.yaml"), "task: torn\ndescription: [\n").unwrap();
    std::fs::write(directory.path().join("empty.yaml"), "dataset_path: invented/fruit\n").unwrap();
    let index = Index::read(&[directory.path().to_owned()]).unwrap();
    let said = |name: &str| {
        let error = index.load(&[name.to_owned()]).unwrap_err().to_string();
        error.replace(&directory.path().display().to_string(), "DIR")
    };
    let torn = said("torn");
    assert!(torn.starts_with("DIR/torn.yaml: ") && torn.matches("torn.yaml").count() == 1, "{torn}");
    assert_eq!(said("empty"), "DIR/empty.yaml: it has neither `task` nor `group`");
    assert!(said("other").contains("there is no task, group or tag"), "{}", said("other"));
}

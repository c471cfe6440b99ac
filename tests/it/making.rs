//! `retrace make`: what it runs, why, and what it leaves unchanged.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::runs::RUN;
use crate::support::{Release, retrace};

const TASK: &str = "retrace: task/1\nname: facts\nmeasure: multiple_choice\nitems: facts.jsonl\nprefix: <|end|>\n";
const EVAL: &str =
    "retrace: eval/1\nname: eval\nmodels: [runs/small/step-*]\ntasks: [tasks/facts.yaml]\noutput: eval/small\n";
const TABLES: &str =
    "retrace: tables/1\nname: tables\nrelease: r\noutput: tables\nruns: [{run: runs/small, results: eval/small}]\n";
const CONTAMINATION: &str = "retrace: contamination/1\nname: contamination\ntasks: [tasks/facts.yaml]\ncorpus: [clean/*-*.jsonl]\nruns: [runs/small]\noutput: tables\ncounts: counts.json\n";
const SCALING: &str = "retrace: scaling/1\nname: scaling\ntables: [tables/train_log.parquet]\npoints: select run, 1.0 as params, cast(tokens as double) as tokens, loss from train_log\nparams_unit: total\nloss_unit: nats/token\nloss: training loss\noutput: law.json\n";
const PAGE: &str = "retrace: page/1\nname: page\ntitle: r\noutput: page.html\nsections:\n  - {section: training, tables: tables}\n  - {section: evaluation, tables: tables, tasks: [tasks/facts.yaml]}\n  - {section: scaling, law: law.json}\n  - {section: cleaning, recipe: clean.yaml}\n  - {section: contamination, tables: tables, counts: counts.json}\n";

/// A release with a document of every kind except a synthetic corpus, in which nothing is made yet.
fn release() -> Release {
    let release = Release::new();
    release.write("run.yaml", RUN);
    release.write("tasks/facts.yaml", TASK);
    // Items with two choices and with four: a guess is correct 3 times of 8.
    release.write(
        "tasks/facts.jsonl",
        "{\"id\":\"a\",\"question\":\"Document 4 tells of 2\",\"choices\":[\"rivers and 9 hills.\",\"x\"],\"answer\":0}\n\
         {\"id\":\"b\",\"question\":\"Which\",\"choices\":[\"a\",\"b\",\"c\",\"d\"],\"answer\":3}\n",
    );
    for (name, text) in [
        ("eval.yaml", EVAL),
        ("tables.yaml", TABLES),
        ("contamination.yaml", CONTAMINATION),
        ("scaling.yaml", SCALING),
        ("page.yaml", PAGE),
    ] {
        release.write(name, text);
    }
    release
}

/// The result of each step: id and outcome.
fn outcomes(release: &Release, more: &[&str]) -> Vec<(String, String, Vec<String>)> {
    let ran = release.run(&[&["make", "--json", "."], more].concat());
    let steps = ran.json("make/1")["steps"].as_array().unwrap().clone();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    steps
        .iter()
        .map(|step| {
            (text(&step["id"]), text(&step["outcome"]), step["why"].as_array().unwrap().iter().map(text).collect())
        })
        .collect()
}

fn those(outcomes: &[(String, String, Vec<String>)], wanted: &str) -> Vec<String> {
    let mut ids: Vec<String> =
        outcomes.iter().filter(|(_, outcome, _)| outcome == wanted).map(|(id, _, _)| id.clone()).collect();
    ids.sort();
    ids
}

const ALL: [&str; 8] = ["clean", "contamination", "eval", "page", "scaling", "tables", "tokenize", "train-small"];

#[test]
fn what_is_made_is_not_made_again_and_what_depends_on_a_change_is() {
    let release = release();
    let dry = outcomes(&release, &["--dry-run"]);
    assert_eq!(those(&dry, "to do"), ALL);
    assert!(!release.path("clean").exists(), "a dry run writes nothing");
    let made = outcomes(&release, &[]);
    assert_eq!(those(&made, "made"), ALL);
    // A step that depends on another comes after it.
    let place = |id: &str| made.iter().position(|(other, _, _)| other == id).unwrap();
    for (first, second) in [
        ("clean", "tokenize"),
        ("tokenize", "train-small"),
        ("train-small", "eval"),
        ("eval", "tables"),
        ("tables", "scaling"),
        ("scaling", "page"),
        ("contamination", "page"),
    ] {
        assert!(place(first) < place(second), "{first} {second}");
    }
    let before = release.content();
    assert_eq!(those(&outcomes(&release, &[]), "up to date"), ALL);
    assert_eq!(release.content(), before);
    let page = String::from_utf8(release.read("page.html")).unwrap();
    assert!(page.contains("0.375"), "a guess is right 3 times of 8");
    assert!(page.contains("38 of 40 documents were kept"), "one is too short, one is there twice");

    // Times do not matter, only contents.
    release.write("raw/en-00.jsonl", release.read("raw/en-00.jsonl"));
    assert_eq!(those(&outcomes(&release, &[]), "up to date"), ALL);

    // A comment changes no output: the steps that read the outputs are not run.
    release.write("clean.yaml", [b"# why\n".as_slice(), &release.read("clean.yaml")].concat());
    let changed = outcomes(&release, &[]);
    // The page shows the recipe, so it reads it too.
    assert_eq!(those(&changed, "made"), ["clean", "page"]);
    assert!(changed.iter().any(|(id, _, why)| id == "clean" && why == &["clean.yaml changed"]), "{changed:?}");

    // A deleted output is made again, with the same bytes.
    std::fs::remove_file(release.path("tokens/en.tokens")).unwrap();
    let gone = outcomes(&release, &[]);
    assert_eq!(those(&gone, "made"), ["tokenize"]);
    assert!(gone.iter().any(|(_, _, why)| why == &["tokens/en.tokens is missing"]), "{gone:?}");

    // A new shard affects everything that depends on it; the dry run says so too.
    release.write(
        "raw/en-02.jsonl",
        "{\"id\":\"new\",\"text\":\"Another document of enough letters.\",\"lang\":\"en\"}\n",
    );
    let dry = outcomes(&release, &["--dry-run"]);
    assert!(dry.iter().any(|(id, _, why)| id == "clean" && why == &["raw/en-02.jsonl is new"]), "{dry:?}");
    assert!(dry.iter().any(|(id, _, why)| id == "tokenize" && why == &["after clean"]), "{dry:?}");
    assert_eq!(those(&outcomes(&release, &[]), "made"), ALL);

    // An output that is no longer made is removed, so that nothing reads it.
    std::fs::remove_file(release.path("raw/en-02.jsonl")).unwrap();
    assert_eq!(those(&outcomes(&release, &[]), "made"), ALL);
    assert!(!release.path("clean/en-02.jsonl").exists());
    let same = |path: &str| before.iter().any(|(name, bytes)| name.ends_with(path) && *bytes == release.read(path));
    for path in ["page.html", "law.json", "counts.json", "runs/small/journal.jsonl", "tables/contamination.parquet"] {
        assert!(same(path), "{path}");
    }
}

#[test]
fn every_step_can_be_replayed_whatever_the_release_is_called() {
    let release = release();
    release.run(&["make", "."]).code(0);
    release.run(&["seal", ".", "--name", "another"]).code(0);
    release.run(&["verify", "manifest.yaml"]).code(0);
    let replayed = release.run(&["replay", "manifest.yaml", "--all", "--json"]).code(0).json("replay-all/2");
    let steps = replayed["steps"].as_array().unwrap();
    assert_eq!(steps.len(), ALL.len());
    assert!(
        steps.iter().all(|step| step["again"]["verdict"] == "same_bits" || step["verdict"] == "same_bits"),
        "{replayed:#}"
    );
}

#[test]
fn what_cannot_be_meant_is_told_before_anything_is_done() {
    let cases: [(&str, &str, &[&str]); 5] = [
        (
            "second.yaml",
            "retrace: clean/1\nname: second\ninput: [raw/*.jsonl]\noutput: clean\nrules: []\n",
            &["both make"],
        ),
        (
            "second.yaml",
            "retrace: clean/1\nname: clean\ninput: [raw/*.jsonl]\noutput: other\nrules: []\n",
            &["both have the step name"],
        ),
        (
            "second.yaml",
            "retrace: clean/1\nname: second\ninput: [nowhere/*.jsonl]\noutput: other\nrules: []\n",
            &["nowhere/*.jsonl", "no document makes it"],
        ),
        (
            "second.yaml",
            "retrace: clean/1\nname: second\ninput: [other/*.jsonl]\noutput: other\nrules: []\n",
            &["circle", "second"],
        ),
        ("second.yaml", "retrace: cleanse/1\nname: second\n", &["cleanse/1", "not a step"]),
    ];
    for (name, text, says) in cases {
        let release = release();
        release.write(name, text);
        release.run(&["make", "."]).code(2).says(says);
        assert!(!release.path("clean").exists());
    }
}

#[test]
fn a_step_that_fails_leaves_the_others_in_place() {
    let release = release();
    release.write("tasks/facts.jsonl", "{}\n");
    let ran = release.run(&["make", "--json", "."]);
    assert_eq!(ran.code, 2);
    let made = outcomes(&release, &[]);
    assert_eq!(those(&made, "up to date"), ["clean", "tokenize", "train-small"]);
    assert_eq!(those(&made, "failed"), ["contamination", "eval"]);
    assert_eq!(those(&made, "not done"), ["page", "scaling", "tables"]);
}

#[test]
fn nothing_is_written_over_that_was_not_made_here() {
    let release = release();
    release.write("clean/en-00.jsonl", "mine\n");
    release.run(&["make", "."]).code(2).says(&["clean/en-00.jsonl exists", "no record"]);
    assert_eq!(release.read("clean/en-00.jsonl"), b"mine\n");
}

/// Killed at ten times, it resumes, and its outputs are the same as without interruption.
#[test]
fn a_make_that_is_killed_goes_on_to_the_same_bytes() {
    let whole = release();
    whole.run(&["make", "."]).code(0);
    let killed = release();
    for wait in 1..=10_u64 {
        let mut child = retrace()
            .args(["make", "."])
            .current_dir(killed.root())
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        sleep(Duration::from_millis(wait * 37 % 230));
        let _ = child.kill();
        child.wait().unwrap();
    }
    killed.run(&["make", "."]).code(0);
    let of = |release: &Release| -> Vec<(std::path::PathBuf, Vec<u8>)> {
        release.content().into_iter().filter(|(path, _)| !path.starts_with(".retrace")).collect()
    };
    let (one, other) = (of(&whole), of(&killed));
    let names = |all: &[(std::path::PathBuf, Vec<u8>)]| all.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other));
    assert!(one == other, "the same names, and other bytes");
}

/// A field of that name in a file of another tool does not make it a document; the position of the field does not
/// matter.
#[test]
fn what_is_a_document_does_not_hang_on_its_place() {
    let release = Release::new();
    release.write("package.json", "{\"dependencies\": {\"retrace\": \"^1.0\"}}");
    release.write("clean.yaml", "name: clean\ninput: [raw/*.jsonl]\noutput: clean\nrules: []\nretrace: clean/1\n");
    assert_eq!(those(&outcomes(&release, &[]), "made"), ["clean", "tokenize"]);
}

#[test]
fn results_without_a_checkpoint_are_said_to_be_left_out() {
    let release = release();
    release.run(&["make", "."]).code(0);
    let results = release.read("eval/small/step-000040.json");
    release.write("eval/small/step-000999.json", results);
    std::fs::remove_file(release.path("eval.yaml")).unwrap();
    std::fs::remove_file(release.path("tables/metrics.parquet")).unwrap();
    release
        .run(&["make", "."])
        .code(1)
        .says(&["left out results without a checkpoint: 1", "eval: its document no longer exists"]);
}

const IMPORTED: &str = "\
retrace: tables/1
name: imported
release: small
output: imported
imports:
  - {kind: lm-eval, files: [logs/*.json]}
";

/// The second would replace the rows of the first.
#[test]
fn two_imports_with_files_of_one_name_are_refused() {
    let release = Release::new();
    release.write("imported.yaml", format!("{IMPORTED}  - {{kind: lm-eval, files: [other/*.json]}}\n"));
    release.write("logs/a.json", "{\"results\": {\"facts\": {\"acc,none\": 0.5}}}");
    release.write("other/a.json", "{\"results\": {\"facts\": {\"acc,none\": 0.75}}}");
    release.run(&["make", "."]).code(2).says(&["imports.files", "two files have the same source name \"a.json\""]);
    // The same file twice is the same rows.
    release.write("other/a.json", "{\"results\": {\"facts\": {\"acc,none\": 0.5}}}");
    release.run(&["make", "."]).code(0);
}

/// A truncated file of another tool: the tables contain what could be read, and the exit code shows it.
#[test]
fn what_could_not_be_imported_is_said_and_shows_in_the_exit_code() {
    let release = Release::new();
    release.write("imported.yaml", IMPORTED);
    release.write("logs/a.json", "{\"results\": {\"facts\": {\"acc,none\": 0.5}}}");
    release.write("logs/b.json", "{\"results\": {\"facts\":");
    let ran = release.run(&["make", "--json", "."]).code(1);
    let made = ran.json("make/1");
    assert_eq!(made["holds"], false, "{made}");
    let step = made["steps"].as_array().unwrap().iter().find(|step| step["id"] == "imported").unwrap().clone();
    assert_eq!(step["outcome"], "made in part", "{step}");
    assert!(step["said"].as_str().unwrap().contains("problems, listed in the table `sources`: 1 of 2"), "{step}");
    // It is not forgotten: neither by the next `make`, nor by the manifest.
    for arguments in [&["make", "."][..], &["make", "--dry-run", "."], &["seal", "."]] {
        release.run(arguments).code(1).says(&["imported", "incomplete", "1 of 2"]);
    }
    assert!(String::from_utf8(release.read("manifest.yaml")).unwrap().contains("incomplete:"));
    release.run(&["verify", "manifest.yaml"]).code(0);
    release.run(&["replay", "manifest.yaml", "--all"]).code(0);
    release.write("logs/b.json", "{\"results\": {\"facts\": {\"acc,none\": 0.5}}}");
    release.run(&["make", "."]).code(0);
    release.run(&["make", "."]).code(0);
    release.run(&["seal", "."]).code(0);
}

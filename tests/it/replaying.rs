//! Replays of an untrusted release: nothing in it is accepted as proof, and nothing in it is written.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use retrace_spec::{Checksum, Digest, Document, Manifest, canonical_digest};
use serde_json::{Value, json};

use crate::runs::trained;
use crate::support::{Ran, Release};

/// A release of raw documents and a cleaning step.
fn cleaned() -> Release {
    let release = Release::new();
    release.run(&["clean", "clean.yaml"]).code(0);
    release
}

/// Seals the release after its record of `step` was edited by hand.
fn recorded(release: &Release, step: &str, change: impl FnOnce(&mut Value)) {
    let path = format!(".retrace/steps/{step}.json");
    let mut record = serde_json::from_slice(&fs::read(release.path(&path)).unwrap_or_default()).unwrap_or_default();
    change(&mut record);
    for end in ["inputs", "outputs"] {
        record[end].as_array_mut().unwrap().sort_by_key(|of| of["path"].as_str().unwrap().to_owned());
    }
    release.write(&path, record.to_string());
    release.run(&["seal", "."]).code(0);
}

/// A file in the form of a record.
fn file(release: &Release, path: &str) -> Value {
    json!({"path": path, "digest": Digest::of(&release.read(path))})
}

fn made(release: &Release, path: &str) -> Value {
    json!({"path": path, "kind": "shard", "digest": Digest::of(&release.read(path))})
}

/// A record of `clean.yaml`, whose content may be false.
fn clean_record(id: &str, inputs: &[Value], outputs: &[Value]) -> Value {
    json!({"id": id, "kind": "clean", "config": "clean.yaml", "inputs": inputs, "outputs": outputs})
}

/// Inserts another line into an output of cleaning, and updates the record.
fn forged(release: &Release) {
    let path = "clean/en-00.jsonl";
    release.write(path, [&release.read(path)[..], b"{\"id\":\"x\",\"text\":\"planted\",\"lang\":\"en\"}\n"].concat());
    recorded(release, "clean", |record| {
        let digest = json!(Digest::of(&release.read(path)));
        record["outputs"].as_array_mut().unwrap().iter_mut().filter(|of| of["path"] == path).for_each(|of| {
            of["digest"] = digest.clone();
        });
    });
}

fn all(release: &Release, more: &[&str]) -> Ran {
    release.run(&[&["replay", "manifest.yaml", "--all"], more].concat())
}

/// The result of each step: its verdict, and whether it is based on a note.
fn verdicts(ran: &Ran) -> BTreeMap<String, (String, bool)> {
    let result = ran.json("replay-all/2");
    let told = |step: &Value| {
        let text = |field: &str| step[field].as_str().unwrap().to_owned();
        (text("step"), (text("verdict"), !step["note"].is_null()))
    };
    result["steps"].as_array().unwrap().iter().map(told).collect()
}

fn key(directory: &Path, name: &str) -> String {
    let path = directory.join(name);
    let arguments = ["genpkey", "-algorithm", "ed25519", "-out"];
    let made = std::process::Command::new("openssl").args(arguments).arg(&path).output();
    assert!(made.unwrap().status.success());
    path.to_str().unwrap().to_owned()
}

/// Every file, directory and link below `root`, with all metadata except the access time.
#[cfg(unix)]
fn everything(root: &Path) -> Vec<(PathBuf, String)> {
    use std::os::unix::fs::MetadataExt;
    let (mut found, mut directories) = (Vec::new(), vec![root.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let at = path.symlink_metadata().unwrap();
            let told = format!("{:?} {} {} {}.{}", at.file_type(), at.len(), at.nlink(), at.ctime(), at.ctime_nsec());
            if at.is_dir() {
                directories.push(path.clone());
            }
            found.push((path, told));
        }
    }
    found.sort();
    found
}

#[test]
fn notes_in_a_release_do_not_vouch_for_it() {
    let release = cleaned();
    forged(&release);
    release.run(&["verify", "manifest.yaml"]).code(0);
    // As earlier versions wrote the note, and as this version would elsewhere.
    let manifest = Manifest::parse(&String::from_utf8(release.read("manifest.yaml")).unwrap(), "manifest").unwrap();
    let name = Checksum::from(canonical_digest("step/1", &manifest.steps[0]).unwrap()).hex();
    let tool = concat!("retrace ", env!("CARGO_PKG_VERSION"));
    let note = json!({"tool": tool, "again": {"verdict": "same_bits"}});
    release.write(&format!(".retrace/replay/{name}.json"), note.to_string());
    let ran = all(&release, &[]).code(1);
    assert!(ran.out.contains("clean: clean/en-00.jsonl"), "{}", ran.out);
    all(&release, &["--notes", ".retrace/replay"]).code(2).says(&["is inside the release's directory"]);
    all(&release, &["--notes", "new"]).code(2).says(&["is inside the release's directory"]);
    all(&release, &["--scratch", "."]).code(2).says(&["is inside the release's directory", "--scratch"]);
    #[cfg(unix)]
    {
        let elsewhere = tempfile::tempdir().unwrap();
        let link = elsewhere.path().join("notes");
        std::os::unix::fs::symlink(release.path(".retrace/replay"), &link).unwrap();
        all(&release, &["--notes", link.to_str().unwrap()]).code(2).says(&["is inside the release's directory"]);
    }
}

#[test]
fn the_auditors_own_notes_are_of_one_release_and_say_so() {
    let release = cleaned();
    release.run(&["seal", "."]).code(0);
    let own = tempfile::tempdir().unwrap();
    let notes = own.path().join("notes");
    let with = ["--notes", notes.to_str().unwrap()];
    let same = |noted| BTreeMap::from([("clean".to_owned(), ("same_bits".to_owned(), noted))]);
    let told = |more: &[&str]| verdicts(&all(&release, &[&with, more, &["--json"]].concat()).code(0));
    assert_eq!(told(&[]), same(false));
    assert_eq!(told(&["-o", own.path().join("said.json").to_str().unwrap()]), same(true));
    let statement: Value = serde_json::from_slice(&fs::read(own.path().join("said.json")).unwrap()).unwrap();
    let note = fs::read_dir(&notes).unwrap().next().unwrap().unwrap().path();
    let text = fs::read(&note).unwrap();
    assert_eq!(statement["predicate"]["steps"][0]["note"], json!(Digest::of(&text)));
    // A note counts for its content, not for its existence.
    let edited = String::from_utf8(text.clone()).unwrap().replace("same_bits", "not_replayed\", \"because\": \"x");
    fs::write(&note, edited).unwrap();
    assert_eq!(told(&[]), same(false));
    assert_eq!(fs::read(&note).unwrap(), text);
    // With a signing key, only signed notes are included in the signed statement.
    let (mine, other) = (key(own.path(), "mine.pem"), key(own.path(), "other.pem"));
    let output = own.path().join("signed.json");
    let signed = |key: &str| told(&["-o", output.to_str().unwrap(), "--key", key]);
    assert_eq!(signed(&mine), same(false));
    assert_eq!(signed(&mine), same(true));
    assert_eq!(signed(&other), same(false));

    // Its inputs are still checked.
    let raw = release.read("raw/en-00.jsonl");
    release.write("raw/en-00.jsonl", b"{}\n");
    let ran = all(&release, &with).code(2);
    assert!(ran.out.contains("not replayed  clean: raw/en-00.jsonl is not what the step read"), "{}", ran.out);
    release.write("raw/en-00.jsonl", raw);
    let ledger = release.read("clean/ledger.jsonl");
    release.write("clean/ledger.jsonl", b"{}\n");
    all(&release, &with).code(1);
    release.write("clean/ledger.jsonl", ledger);
    assert_eq!(told(&[]), same(true));
    // Another release with exactly the same step.
    release.run(&["seal", ".", "--name", "another"]).code(0);
    assert_eq!(told(&[]), same(true), "its name is under no root");
    release.write("more", "one more file");
    release.run(&["seal", "."]).code(0);
    assert_eq!(told(&[]), same(false));
}

#[cfg(unix)]
#[test]
fn notes_that_others_can_write_do_not_count() {
    use std::os::unix::fs::PermissionsExt;
    let release = cleaned();
    release.run(&["seal", "."]).code(0);
    let own = tempfile::tempdir().unwrap();
    let notes = own.path().join("notes");
    let with = ["--notes", notes.to_str().unwrap(), "--json"];
    let noted = || verdicts(&all(&release, &with).code(0))["clean"].1;
    assert!(!noted() && noted());
    let note = fs::read_dir(&notes).unwrap().next().unwrap().unwrap().path();
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    allow(&note, 0o620);
    assert!(!noted() && noted());
    let moved = own.path().join("moved");
    fs::rename(&note, &moved).unwrap();
    std::os::unix::fs::symlink(&moved, &note).unwrap();
    assert!(!noted() && noted());
    for mode in [0o702, 0o720] {
        allow(&notes, mode);
        all(&release, &with).code(2).says(&["can be written by others"]);
    }
}

#[test]
fn a_step_that_is_lent_its_own_answer_is_a_finding() {
    let release = cleaned();
    forged(&release);
    recorded(&release, "clean", |record| {
        record["inputs"].as_array_mut().unwrap().push(file(&release, "clean/en-00.jsonl"));
    });
    let ran = all(&release, &[]).code(1);
    assert!(ran.out.contains("invalid       clean: it reads what it makes"), "{}", ran.out);
    assert_eq!(verdicts(&all(&release, &["--json"]).code(1))["clean"].0, "invalid");
}

#[test]
fn steps_in_a_circle_are_named_and_the_others_are_done() {
    let release = cleaned();
    for name in ["a", "b"] {
        release.write(name, name);
    }
    let config = file(&release, "clean.yaml");
    let (a, b) = (file(&release, "a"), file(&release, "b"));
    let one = clean_record("one", &[config.clone(), b], &[made(&release, "a")]);
    let two = clean_record("two", &[config, a], &[made(&release, "b")]);
    release.write(".retrace/steps/one.json", one.to_string());
    recorded(&release, "two", |record| *record = two);
    let ran = all(&release, &["--json"]).code(1);
    let said = verdicts(&ran);
    assert_eq!(said["clean"].0, "same_bits");
    for name in ["one", "two"] {
        assert_eq!(said[name].0, "invalid");
    }
    assert!(ran.out.contains("need what they make themselves: one, two"), "{}", ran.out);
    // Two steps that make the same file.
    let rival = clean_record("rival", &[], &[made(&release, "a")]);
    release.write(".retrace/steps/rival.json", rival.to_string());
    release.run(&["seal", "."]).code(2).says(&["two steps list a"]);
}

#[test]
fn a_record_that_is_not_what_the_step_does_is_a_finding() {
    let told = |change: &dyn Fn(&Release), expected: &str| {
        let release = cleaned();
        change(&release);
        let ran = all(&release, &[]).code(1);
        assert!(ran.out.contains(expected), "{expected}: {}", ran.out);
    };
    let remove = |record: &mut Value, path: &str| {
        record["outputs"].as_array_mut().unwrap().retain(|output| output["path"] != path);
    };
    // The document has other output paths.
    told(
        &|release| {
            release.write(
                "clean.yaml",
                String::from_utf8(release.read("clean.yaml")).unwrap().replace("output: clean", "output: other"),
            );
            recorded(release, "clean", |record| {
                let config = file(release, "clean.yaml");
                record["inputs"]
                    .as_array_mut()
                    .unwrap()
                    .iter_mut()
                    .filter(|of| of["path"] == "clean.yaml")
                    .for_each(|of| *of = config.clone());
            });
        },
        "clean/en-01.jsonl, which the step does not make",
    );
    // A changed file is removed from the record of the step that made it.
    told(
        &|release| {
            release.write("clean/en-01.jsonl", "{\"id\":\"x\",\"text\":\"planted\",\"lang\":\"en\"}\n");
            recorded(release, "clean", |record| remove(record, "clean/en-01.jsonl"));
        },
        "clean/en-01.jsonl, of which the manifest does not say that the step makes it",
    );
    // The record lists more inputs than the step read.
    told(
        &|release| {
            release.write("raw/more.txt", "books");
            recorded(release, "clean", |record| {
                record["inputs"].as_array_mut().unwrap().push(file(release, "raw/more.txt"));
            });
        },
        "raw/more.txt is said to be read, and the step does not read it",
    );
    // The document of the step is not among its inputs, and so it is not covered by the digest of the step.
    told(
        &|release| {
            recorded(release, "clean", |record| {
                record["inputs"].as_array_mut().unwrap().retain(|input| input["path"] != "clean.yaml");
            });
        },
        "invalid       clean: clean.yaml, which says how it was done, is not among what it read",
    );
}

#[test]
fn nothing_done_is_no_success() {
    let release = Release::new();
    release.run(&["seal", "."]).code(0);
    all(&release, &[]).code(2).says(&["no step to run again"]);
    let release = cleaned();
    recorded(&release, "clean", |record| record["outputs"] = json!([]));
    let ran = all(&release, &["--json"]).code(2);
    assert_eq!(verdicts(&ran)["clean"].0, "not_replayed");
    assert_eq!(ran.json("replay-all/2")["holds"], false);
}

#[test]
fn a_result_that_no_step_made_is_named() {
    let release = cleaned();
    release.write("eval/by-hand.json", "{\"acc\": 0.99}");
    release.run(&["seal", "."]).code(0);
    let ran = all(&release, &["--json"]).code(0);
    let not_made = ran.json("replay-all/2")["not_made"].clone();
    let not_made: Vec<&str> = not_made.as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    assert!(not_made.contains(&"eval/by-hand.json"), "{not_made:?}");
    // What the step made is not named.
    assert!(not_made.contains(&"clean.yaml") && !not_made.contains(&"clean/en-00.jsonl"), "{not_made:?}");
    all(&release, &[]).code(0).says(&["not made", "eval/by-hand.json"]);
}

/// Not even its number of links changes.
#[cfg(unix)]
#[test]
fn a_replay_leaves_a_release_as_it_is() {
    let (release, elsewhere) = (trained(), tempfile::tempdir().unwrap());
    release.run(&["seal", "."]).code(0);
    fs::remove_dir_all(release.path(".retrace")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), release.path(".retrace")).unwrap();
    let before = everything(release.root());
    let own = tempfile::tempdir().unwrap();
    let (scratch, output) = (own.path().join("scratch"), own.path().join("said.json"));
    fs::create_dir(&scratch).unwrap();
    let more = ["--scratch", scratch.to_str().unwrap(), "-o", output.to_str().unwrap()];
    all(&release, &more).code(0).says(&["3 of 3 steps give the same bits"]);
    release.run(&["replay", "manifest.yaml"]).code(0);
    assert_eq!(everything(release.root()), before);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "the scratch directory is left");
    // Nothing about this machine is in the publishable statement.
    let text = fs::read_to_string(&output).unwrap();
    assert!(!text.contains(own.path().to_str().unwrap()) && !text.contains(release.root().to_str().unwrap()));

    // Damaged so that it cannot be replayed: the statement says so, without this machine's paths.
    let record = release.read("tokens/en.tokens");
    fs::remove_file(release.path("tokens/en.tokens")).unwrap();
    let root = release.root().to_str().unwrap();
    let manifest = format!("{root}/manifest.yaml");
    release.run(&[&["replay", &manifest, "--all"], &more[..]].concat()).code(1);
    let text = fs::read_to_string(&output).unwrap();
    assert!(text.contains("not_replayed") && !text.contains(root), "{text}");
    release.write("tokens/en.tokens", record);
}

#[test]
fn a_replay_tells_what_it_did_not_compute() {
    let release = trained();
    release.run(&["seal", "."]).code(0);
    let stretch = |from: &str, to: &str| {
        release.run(&["replay", "manifest.yaml", "--from", from, "--to", to, "--json"]).code(0).json("replay/2")
    };
    // Five checkpoints of five files, the journal and the run.
    let some = stretch("20", "30");
    assert_eq!(some["outputs"], 27);
    let paths: Vec<&str> = some["not_computed"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    assert_eq!(paths.len(), 21);
    assert!(paths.contains(&"runs/small/journal.jsonl") && paths.contains(&"runs/small/step-000020/state.json"));
    assert!(!paths.iter().any(|path| path.contains("step-000030") || path.ends_with("run.json")));
    assert_eq!(stretch("0", "40")["not_computed"], json!([]));
    release.run(&["replay", "manifest.yaml"]).code(0).says(&["not computed 21 of 27 outputs", "(except these steps)"]);

    // It is still checked against the manifest.
    let path = "runs/small/step-000000/config.json";
    let config = release.read(path);
    release.write(path, [&config[..], b"\n"].concat());
    let ran = release.run(&["replay", "manifest.yaml", "--from", "20", "--to", "30"]).code(1);
    assert!(ran.out.contains(&format!("changed  {path}")), "{}", ran.out);
    release.write(path, config);
    // The outputs of the step in the manifest are those in its run file.
    let record = release.read(".retrace/steps/train-small.json");
    release.write("runs/bad/journal.jsonl", "{}");
    recorded(&release, "train-small", |record| {
        record["outputs"].as_array_mut().unwrap().retain(|output| output["path"] != "runs/small/journal.jsonl");
        record["outputs"].as_array_mut().unwrap().push(made(&release, "runs/bad/journal.jsonl"));
    });
    let ran = release.run(&["replay", "manifest.yaml", "--from", "20", "--to", "30"]).code(1);
    for said in [
        "runs/bad/journal.jsonl: the manifest lists it as an output of the step",
        "runs/small/journal.jsonl: it belongs to the run",
    ] {
        assert!(ran.out.contains(said), "{said}: {}", ran.out);
    }
    fs::remove_dir_all(release.path("runs/bad")).unwrap();
    release.write(".retrace/steps/train-small.json", record);
    release.run(&["seal", "."]).code(0);
    // A checkpoint that was not sealed is not a part of the run.
    for file in ["config.json", "model.safetensors", "optimizer.safetensors", "state.json", "tokenizer.json"] {
        let bytes = release.read(&format!("runs/small/step-000020/{file}"));
        release.write(&format!("runs/small/step-000025/{file}"), bytes);
    }
    let ran = release.run(&["replay", "manifest.yaml", "--from", "10", "--to", "20"]).code(1);
    assert!(ran.out.contains("extra    runs/small/step-000025/state.json"), "{}", ran.out);
}

#[test]
fn the_steps_of_parts_are_done_too() {
    let release = Release::new();
    for path in ["raw/en-00.jsonl", "raw/en-01.jsonl", "clean.yaml"] {
        release.write(&format!("corpus/{path}"), release.read(path));
        fs::remove_file(release.path(path)).unwrap();
    }
    release.run(&["clean", "corpus/clean.yaml"]).code(0);
    release.run(&["seal", "corpus"]).code(0);
    release.run(&["seal", ".", "--nest", "corpus"]).code(0);
    assert_eq!(verdicts(&all(&release, &["--json"]).code(0))["corpus/clean"].0, "same_bits");
    // A part that is not the sealed one may contain anything.
    release.write("corpus/more", "");
    release.run(&["seal", "corpus"]).code(0);
    let ran = all(&release, &["--json"]).code(2);
    assert_eq!(ran.json("replay-all/2")["unknown"], json!(["corpus"]));
}

/// A step without a document, for example by a verb of an earlier version, cannot be replayed.
#[test]
fn a_step_without_a_document_is_not_replayed() {
    let release = trained();
    release.write("eval/small/x.json", "{}");
    let inputs = [file(&release, "runs/small/step-000040/config.json")];
    let outputs = [made(&release, "eval/small/x.json")];
    recorded(&release, "eval", |record| {
        *record = json!({"id": "eval", "kind": "eval", "inputs": inputs, "outputs": outputs})
    });
    let ran = all(&release, &[]).code(2);
    assert!(ran.out.contains("eval: it has no document that says how it was done"), "{}", ran.out);
}

/// The name of a release does not matter.
#[cfg(unix)]
#[test]
fn a_strangers_release_that_is_called_as_the_tour_is_no_other() {
    let release = cleaned();
    release.write("tables/metrics.parquet", "no table");
    let step = json!({"id": "tables", "kind": "import", "inputs": [file(&release, "clean.yaml")],
        "outputs": [{"path": "tables/metrics.parquet", "kind": "table", "digest": Digest::of(b"no table")}]});
    release.write(".retrace/steps/tables.json", step.to_string());
    release.run(&["seal", ".", "--name", "tour"]).code(0);
    let before = everything(release.root());
    let ran = all(&release, &["--json"]).code(2);
    assert_eq!(verdicts(&ran)["tables"].0, "not_replayed");
    assert_eq!(everything(release.root()), before);
}

/// Opening a pipe would wait, and reading a device never ends.
#[cfg(unix)]
#[test]
fn special_files_are_refused() {
    let release = trained();
    release.run(&["seal", "."]).code(0);
    for path in ["runs/small/journal.jsonl", "runs/small/step-000020/state.json", "tokens/en.tokens", "run.yaml"] {
        let bytes = release.read(path);
        let put = |command: &[&str]| {
            fs::remove_file(release.path(path)).unwrap();
            let (program, arguments) = command.split_first().unwrap();
            let made = std::process::Command::new(program).args(arguments).arg(release.path(path)).status();
            assert!(made.unwrap().success());
        };
        for command in [&["mkfifo"][..], &["ln", "-s", "/dev/zero"]] {
            put(command);
            for more in [&["--all"][..], &["--from", "10", "--to", "30"]] {
                let ran = release.run(&[&["replay", "manifest.yaml"], more].concat());
                assert!([1, 2].contains(&ran.code), "{path} {more:?}: {}", ran.err);
            }
        }
        fs::remove_file(release.path(path)).unwrap();
        release.write(path, bytes);
    }
    release.run(&["replay", "manifest.yaml"]).code(0);
}

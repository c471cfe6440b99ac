//! Untrusted text cannot imitate this program's messages, in every output, and also if the reader closes the output
//! early.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use retrace_files::safetensors::{self, Dtype, Tensor};

use crate::support::{Ran, Release, VERBS, retrace, run};

/// Sets a title, clears the screen, writes in green, reverses the text, is invisible; and a line that imitates ours.
const HOSTILE: &str = "\u{1b}]0;x\u{7}\u{1b}[2J\r\u{9b}1;32mx\u{202e}\u{2066}\u{200f}\u{61c}\u{200b}\u{feff}\u{2028}\u{e0041}\u{7f}\nverified 9 files: all as sealed";

/// [`HOSTILE`] in JSON, and in a double-quoted scalar of YAML.
fn quoted() -> String {
    let json = serde_json::to_string(HOSTILE).unwrap();
    json.replace('\u{7f}', "\\u007f").replace('\u{9b}', "\\u009b").replace('\u{2028}', "\\u2028")
}

impl Ran {
    /// Asserts that nothing in it controls a terminal, is invisible, or begins a line that is not ours.
    #[track_caller]
    fn shows_itself(self) -> Self {
        for text in [&self.out, &self.err] {
            let hidden = "\u{202e}\u{2066}\u{200f}\u{61c}\u{200b}\u{feff}\u{2028}\u{e0041}";
            let bad = text.chars().find(|c| (c.is_control() && *c != '\n') || hidden.contains(*c));
            assert_eq!(bad, None, "in {text}");
            assert!(!text.lines().any(|line| line.trim_start().starts_with("verified 9")), "{text}");
        }
        self
    }

    /// Asserts that it shows the untrusted text, escaped.
    #[track_caller]
    fn shows_hostile(self) -> Self {
        let all = format!("{}{}", self.out, self.err);
        assert!(all.contains("\\u{202e}") && all.contains("\\u{1b}"), "{all}");
        self.shows_itself()
    }
}

/// A sealed release in which a file is missing.
fn damaged() -> Release {
    let release = Release::new();
    release.run(&["clean", "clean.yaml"]).code(0);
    release.run(&["seal", "."]).code(0);
    fs::remove_file(release.path("raw/en-00.jsonl")).unwrap();
    release
}

/// The exit code with readers of standard output and error, or without.
fn code(release: &Release, arguments: &[&str], [out, err]: [bool; 2]) -> i32 {
    let mut command = retrace();
    command.args(arguments).current_dir(release.root());
    // The pipe's other end is closed before anything is written.
    if !out {
        command.stdout(std::io::pipe().unwrap().1);
    }
    if !err {
        command.stderr(std::io::pipe().unwrap().1);
    }
    command.output().unwrap().status.code().unwrap()
}

#[test]
fn who_reads_it_decides_nothing() {
    let release = damaged();
    release.write(
        "lists/model.csv",
        "Step,Checkpoint Directory\n1000,https://example.org/a/step1/\n2000,https://example.org/a/step1/\n",
    );
    release.run(&["import", "checkpoint-list", "lists", "-o", "tables"]).code(0);
    let weights = |value: f32| {
        let tensor = Tensor { dtype: Dtype::F32, shape: vec![1], bytes: value.to_le_bytes().to_vec() };
        [("w".to_owned(), tensor)].into()
    };
    for (name, value) in [("a", 1.0), ("b", 2.0), ("nan", f32::NAN)] {
        safetensors::write(&release.path(&format!("{name}.safetensors")), &weights(value)).unwrap();
    }
    release.write("bad/results.json", "{");
    for (arguments, expected) in [
        (&["verify", "manifest.yaml"][..], 1),
        (&["verify", "manifest.yaml", "--only", "clean"], 0),
        (&["verify", "no-such.yaml"], 2),
        (&["diff", "raw", "clean"], 1),
        (&["diff", "raw", "raw"], 0),
        (&["audit", "tables"], 1),
        (&["audit", "--list"], 0),
        (&["stats", "nan.safetensors"], 1),
        (&["stats", "a.safetensors"], 0),
        (&["average", "a.safetensors", "--against", "b.safetensors"], 1),
        (&["import", "lm-eval", "bad", "-o", "imported"], 1),
        (&["openness", "manifest.yaml"], 0),
        (&["query", "select path from artifacts", "."], 0),
        (&["query", "select nothing"], 2),
        (&["export", "b3sums", "manifest.yaml"], 0),
        (&["verify", "--help"], 0),
        (&["verfy"], 2),
    ] {
        for (more, readers) in [(&[][..], [false, false]), (&["--json"], [false, true])] {
            let arguments = [arguments, more].concat();
            assert_eq!(code(&release, &arguments, readers), expected, "{arguments:?} {readers:?}");
        }
    }
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let release = damaged();
    let Ok(full) = File::options().write(true).open("/dev/full") else { return };
    for arguments in [
        &["verify", "manifest.yaml"][..],
        &["verify", "manifest.yaml", "--json"],
        &["audit", "--list"],
        &["query", "select 1"],
        &["export", "b3sums", "manifest.yaml"],
        &["help", "verify"],
    ] {
        let mut command = retrace();
        command.args(arguments).current_dir(release.root()).stdout(full.try_clone().unwrap());
        let ran = Ran::from(command.output().unwrap());
        assert!(
            ran.err.contains("standard output") && ran.err.contains("free some space"),
            "{arguments:?}: {}",
            ran.err
        );
        ran.code(2);
    }
}

#[test]
fn errors_show_what_others_wrote_as_text() {
    let release = Release::new();
    let quoted = quoted();
    // A field that no document has.
    for (verb, name, text) in [
        ("verify", "m.yaml", format!("retrace: manifest/1\n{quoted}: 1\n")),
        ("verify", "m.json", format!("{{\"retrace\": \"manifest/1\", {quoted}: 1}}")),
        ("clean", "c.yaml", format!("retrace: clean/1\n{quoted}: 1\n")),
        ("clean", "c2.yaml", format!("retrace: {quoted}\nname: a\ninput: [a]\noutput: b\nrules: []\n")),
        ("tokenize", "t.yaml", format!("retrace: tokenize/1\n{quoted}: 1\n")),
        ("train", "r.yaml", format!("retrace: run/1\n{quoted}: 1\n")),
        ("diff", "d.yaml", format!("retrace: manifest/1\n{quoted}: 1\n")),
    ] {
        release.write(name, text);
        let arguments = if verb == "diff" { vec![verb, name, name] } else { vec![verb, name] };
        release.run(&arguments).code(2).shows_hostile().says(&[name]);
        let told = release.run(&[&arguments[..], &["--json"]].concat()).code(2).shows_itself();
        let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
        assert!(told["error"].as_str().unwrap().contains("verified 9"), "{told}");
    }
    // With colour too, where only our colours are on the screen.
    let coloured = release.run(&["verify", "m.yaml", "--color", "always"]).code(2);
    assert!(coloured.err.contains("\u{1b}[31m") && !coloured.err.contains("\u{1b}[2J"), "{}", coloured.err);
    // Names in files of weights, in a list, in a bundle; columns of tables.
    let tensor = Tensor { dtype: Dtype::F32, shape: vec![1], bytes: f32::NAN.to_le_bytes().to_vec() };
    safetensors::write(&release.path("w.safetensors"), &[(HOSTILE.to_owned(), tensor)].into()).unwrap();
    release.run(&["stats", "w.safetensors"]).code(1).shows_hostile();
    let tensor = Tensor { dtype: Dtype::F32, shape: vec![1], bytes: vec![0; 4] };
    safetensors::write(&release.path("v.safetensors"), &[(HOSTILE.to_owned(), tensor)].into()).unwrap();
    release.run(&["diff", "v.safetensors", "w.safetensors"]).code(1).shows_hostile();
    release.run(&["average", "v.safetensors", "--against", "w.safetensors"]).shows_itself();
    let header = format!("{{{quoted}: {{\"dtype\": {quoted}, \"shape\": [1], \"data_offsets\": [0, 4]}}}}");
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    release.write("broken.safetensors", [bytes, vec![0; 4]].concat());
    release.run(&["stats", "broken.safetensors"]).code(2).shows_hostile();
    release.write("SHA256SUMS", format!("{}  a\u{202e}b\u{1b}[2J\n", "0".repeat(64)));
    release.run(&["verify", "SHA256SUMS"]).shows_itself();
    release.write("table.csv", "a\u{202e}\u{1b}[2Jb,c\n1,\u{9b}2J\u{202e}\n");
    release.run(&["query", "show tables", "table.csv"]).code(0).shows_hostile();
    release.run(&["query", "select nothing from \"table\"", "table.csv"]).code(2).shows_hostile();
    release.run(&["query", "select * from \"table\"", "table.csv"]).code(0).shows_hostile();
    release.run(&["query", "select * from \"table\"", "table.csv", "--format", "json"]).code(0).shows_itself();
    // Data for programs are written unchanged.
    let csv = release.run(&["query", "select c from \"table\"", "table.csv", "--format", "csv"]).code(0);
    assert_eq!(csv.out, "c\n\u{9b}2J\u{202e}\n");
    // Queries and rules from others.
    release.write("queries/odd.sql", "-- Is \u{1b}[2J\u{202e} odd?\nselect 1 as \"\u{202e}\u{1b}[2J\"\n");
    release.run(&["query", "--list", "--queries", "queries"]).shows_itself();
    release.run(&["query", "@odd", "--queries", "queries"]).shows_itself();
    release.write(
        "rules/odd.sql",
        "-- title: \u{1b}[2J\u{202e}\n-- severity: note\n-- means: \u{1b}[2J\n-- do: \u{9b}\nselect 'r\u{1b}[2J' as release, e'\\n\u{202e}' as subject, 'x' as finding, 'y' as evidence, 'z' as sure\n",
    );
    release.write("tables/.keep", "");
    release.run(&["audit", "table.csv", "--rules", "rules", "--only", "odd"]).shows_itself();
    // The typed text is repeated.
    for arguments in [
        &["verify", "m.yaml", HOSTILE][..],
        &["verify", HOSTILE],
        &["query", HOSTILE],
        &["audit", "--only", HOSTILE],
        &[HOSTILE],
        &["verify", "m.yaml", "--sample", HOSTILE],
        &["export", HOSTILE, "m.yaml"],
    ] {
        release.run(arguments).code(2).shows_hostile();
    }
}

#[test]
fn names_in_a_release_are_shown_as_text() {
    let release = Release::new();
    release.write("plain/a\u{202e}b\u{200b}\u{feff}", "x");
    release.write("plain/b", "x");
    release.run(&["seal", "plain", "--name", HOSTILE]).code(0).shows_itself();
    release.run(&["verify", "plain/manifest.yaml"]).code(0).shows_itself();
    let told = release.run(&["seal", "plain", "--name", HOSTILE, "--json"]).code(0).shows_itself();
    let told: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(told["name"], HOSTILE);
    release.run(&["openness", "plain/manifest.yaml"]).code(0).shows_itself();
    let key = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sign/tests/data/ed25519.key.pem");
    release.run(&["sign", "plain/manifest.yaml", "--key", key.to_str().unwrap()]).code(0).shows_hostile();
    let list = release.run(&["export", "b3sums", "plain/manifest.yaml"]).code(0);
    assert!(list.out.contains("a\u{202e}b\u{200b}\u{feff}\n"), "data are as they are: {}", list.out);
    fs::remove_file(release.path("plain/a\u{202e}b\u{200b}\u{feff}")).unwrap();
    let ran = release.run(&["verify", "plain/manifest.yaml"]).code(1).shows_itself();
    assert!(ran.out.contains("a\\u{202e}b\\u{200b}\\u{feff}"), "{}", ran.out);
    release.run(&["verify", "plain/manifest.yaml", "--json"]).code(1).shows_itself();
    release.write("other/a\u{2066}", "y");
    release.run(&["diff", "plain", "other"]).code(1).shows_itself();
    // Names that are not possible in a release.
    release.write("odd/a\nverified 9 files\u{1b}[2J", "x");
    release.run(&["seal", "odd"]).code(2).shows_itself();
    release.run(&["diff", "odd", "other"]).shows_itself();
    release.run(&["import", "configs", "odd", "-o", "imported"]).shows_itself();
}

#[test]
fn errors_are_short() {
    let release = Release::new();
    let long = "x".repeat(2 << 20);
    for (arguments, name, text) in [
        (&["verify", "f"][..], "f", long.clone()),
        (&["verify", "m.yaml"], "m.yaml", format!("retrace: manifest/1\n\"{long}\": 1\n")),
        (&["verify", "m.json"], "m.json", format!("{{\"retrace\": \"manifest/1\", \"{long}\": 1}}")),
        (&["verify", "SHA256SUMS"], "SHA256SUMS", format!("{long}  a\n")),
        (&["verify", "model.sig"], "model.sig", format!("{{\"mediaType\": \"{long}\"}}")),
        (&["verify", "f", "--public-key", "k.pem"], "k.pem", format!("-----BEGIN {long}-----\n")),
        (&["clean", "c.yaml"], "c.yaml", format!("retrace: clean/1\nname: {long}\ninput: {long}\n")),
        (&["tokenize", "t.yaml"], "t.yaml", format!("retrace: tokenize/1\nname: t\ntokenizer: {{from: {long}}}\n")),
        (&["train", "r.yaml"], "r.yaml", format!("retrace: run/1\nname: \"{long}\"\nseed: {long}\n")),
        (&["logits", ".", "--tokens", "i.json", "-o", "o"], "i.json", format!("[[\"{long}\"]]")),
        (&["logits", "model", "--tokens", "i2.json", "-o", "o"], "i2.json", "[[1]]".to_owned()),
        (&["eval", "model", "--tasks", "t.yaml"], "model/config.json", format!("{{\"architectures\": [\"{long}\"]}}")),
        (&["query", "select 1", "q.yaml"], "q.yaml", format!("retrace: manifest/1\n\"{long}\": 1\n")),
        (&["query", "@a", "--queries", "queries"], "queries/a.sql", format!("-- Q\nselect {long} '\n")),
        (&["audit", "--rules", "rules"], "rules/a.sql", format!("-- {long}: \nselect {long}\n")),
        (
            &["import", "csv", "a.csv", "--mapping", "mapping.yaml"],
            "mapping.yaml",
            format!("retrace: mapping/1\n{long}: 1"),
        ),
        (&["import", "lm-eval", "results.json", "-o", "n"], "results.json", format!("{{\"{long}\": {long}}}")),
        (&["replay", "m2.yaml"], "m2.yaml", format!("retrace: {long}\n")),
        (&["work", "r.yaml", "--coordinator", "127.0.0.1:1", "--token", "token"], "token", long.clone()),
        (&["query", "select 1", &long], "unused", String::new()),
        (&["seal", &long], "unused", String::new()),
        (&[&long], "unused", String::new()),
        (&["query", &format!("select {long}")], "unused", String::new()),
        (&["query", &format!("select '{long}")], "unused", String::new()),
    ] {
        if arguments.iter().any(|argument| argument.len() > 100_000) {
            continue; // more than the system lets an argument have
        }
        release.write(name, text);
        let ran = release.run(arguments);
        assert!(ran.code > 0 && ran.err.len() < 4096, "{arguments:?}: {} bytes", ran.err.len());
        assert!(ran.err.matches('x').count() < 300, "{arguments:?}: {}", ran.err);
        assert!(ran.out.len() < 4096, "{arguments:?}: {} bytes", ran.out.len());
    }
}

/// A path that is not UTF-8.
fn odd(release: &Release, name: &str) -> PathBuf {
    release.root().join(OsStr::from_bytes(&[b"odd\xff".as_slice(), name.as_bytes()].concat()))
}

#[test]
fn paths_need_not_be_utf8() {
    let release = damaged();
    let directory = odd(&release, "");
    fs::create_dir(&directory).unwrap();
    fs::copy(release.path("raw/en-01.jsonl"), directory.join("a.jsonl")).unwrap();
    fs::write(directory.join("clean.yaml"), "retrace: clean/1\nname: c\ninput: [a.jsonl]\noutput: out\nrules: []\n")
        .unwrap();
    let tensor = Tensor { dtype: Dtype::F32, shape: vec![1], bytes: vec![0; 4] };
    safetensors::write(&directory.join("w.safetensors"), &[("w".to_owned(), tensor)].into()).unwrap();
    let ran = |arguments: &[&str]| {
        let mut command = retrace();
        for argument in arguments {
            match argument.strip_prefix('%') {
                Some(name) => command.arg(directory.join(name)),
                None => command.arg(argument),
            };
        }
        Ran::from(command.current_dir(release.root()).output().unwrap())
    };
    for json in [false, true] {
        let works = |arguments: &[&str]| {
            let more: &[&str] = if json { &["--json"] } else { &[] };
            ran(&[arguments, more].concat()).code(0)
        };
        works(&["clean", "%clean.yaml"]);
        works(&["seal", "%"]);
        works(&["verify", "%manifest.yaml"]);
        works(&["verify", "%manifest.yaml", "%"]);
        works(&["diff", "%", "%"]);
        works(&["export", "b3sums", "%manifest.yaml", "-o", "%sums"]);
        works(&["openness", "%manifest.yaml"]);
        works(&["stats", "%w.safetensors"]);
        works(&["stats", "%w.safetensors", "-o", "stats"]);
        works(&["average", "%w.safetensors", "--against", "%w.safetensors"]);
        fs::remove_file(directory.join("sums")).unwrap();
    }
    // In a directory whose own name cannot be written as text.
    let here = Ran::from(retrace().args(["verify", "manifest.yaml"]).current_dir(&directory).output().unwrap());
    here.code(0);
    // No verb reports it as a bug, or as a different text, whatever else it reports.
    for verb in VERBS {
        for extension in ["", ".yaml", ".csv"] {
            let mut command = retrace();
            command.arg(verb).args(match *verb {
                "export" => &["b3sums"][..],
                "import" => &["csv"],
                "generate" => &["--prompt", "a"],
                "cluster" => &["scheduler", "--token"],
                "report" => &["contamination", "--benchmark"],
                _ => &[],
            });
            command.arg(odd(&release, extension)).current_dir(release.root());
            match *verb {
                "diff" => command.arg("raw"),
                "average" => command.arg("--against").arg(odd(&release, extension)),
                "eval" => command.arg("--tasks").arg(odd(&release, ".yaml")),
                "logits" => command.args(["-o", "o", "--tokens"]).arg(odd(&release, ".json")),
                "convert" => command.arg("-o").arg(odd(&release, "made")),
                "work" => command.args(["--coordinator", "127.0.0.1:1", "--token"]).arg(odd(&release, "token")),
                "report" => command.arg("--corpus").arg(odd(&release, ".jsonl")),
                "sign" => command.arg("--key").arg(odd(&release, ".pem")),
                "tour" => continue,
                _ => &mut command,
            };
            let ran = Ran::from(command.output().unwrap());
            assert!(ran.code <= 2, "{verb} {extension}: {}", ran.err);
            assert!(!ran.err.contains("invalid UTF-8 was detected"), "{verb} {extension}: {}", ran.err);
        }
    }
    let mut environment = retrace();
    for name in ["HOME", "XDG_STATE_HOME", "TERM", "RETRACE_ISA", "AWS_REGION", "HTTPS_PROXY", "TMPDIR"] {
        environment.env(name, OsStr::from_bytes(b"/odd\xff"));
    }
    Ran::from(environment.args(["query", "select 1"]).output().unwrap()).code(2).says(&["RETRACE_ISA"]);
    environment.env_remove("RETRACE_ISA");
    Ran::from(environment.output().unwrap()).code(0);
    run(&["verify", "--colour", "always"]).code(2);
}

//! Common behaviour of all verbs: help, exit codes, colour, progress, JSON.

use std::io::Read;
use std::process::Stdio;

use crate::support::{Release, VERBS, retrace, run};

#[test]
fn help_names_every_verb_and_each_has_examples() {
    let all = run(&["--help"]).code(0);
    for code in ["0 success", "1 a finding", "2 an error"] {
        assert!(all.out.contains(code), "{}", all.out);
    }
    // The verbs in the help are those tested here: a new verb must be added to `VERBS`.
    let commands = all.out.split("Verbs:").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let listed = commands.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let listed: Vec<&str> = listed.filter(|verb| !["", "help"].contains(verb)).collect();
    assert_eq!(listed, VERBS, "{commands}");
    for verb in VERBS {
        let help = run(&[verb, "--help"]).code(0);
        assert!(help.err.is_empty());
        for part in ["Examples:", &format!("retrace {verb} "), "Usage:", "--json", "--quiet", "--threads"] {
            assert!(help.out.contains(part), "{verb}: no {part:?} in\n{}", help.out);
        }
        for line in help.out.lines() {
            assert!(line.chars().count() <= 100, "{verb}: a line of help is over 100 wide: {line}");
        }
        assert_eq!(run(&["help", verb]).code(0).out, help.out);
    }
}

#[test]
fn the_version_names_the_numerics() {
    let version = run(&["--version"]).code(0).out;
    assert!(version.starts_with("retrace ") && version.contains("numerics version 1"), "{version}");
}

#[test]
fn what_cannot_be_done_is_2() {
    run(&[]).code(2).says(&["Usage:"]);
    run(&["verfy"]).code(2).says(&["unrecognized subcommand"]);
    run(&["clean"]).code(2).says(&["<RECIPE>"]);
    run(&["clean", "a", "--no-such-flag"]).code(2).says(&["--no-such-flag"]);
    run(&["clean", "a", "--threads", "0"]).code(2).says(&["--threads"]);
    let nowhere = run(&["clean", "no-such-recipe.yaml"]).code(2).says(&["no-such-recipe.yaml", "help:"]);
    assert!(nowhere.out.is_empty());
}

#[test]
fn an_unknown_instruction_set_is_refused_with_those_there_are() {
    let release = Release::new();
    let refused =
        retrace().args(["clean", "clean.yaml"]).env("RETRACE_ISA", "mmx").current_dir(release.root()).output();
    crate::support::Ran::from(refused.unwrap()).code(2).says(&["RETRACE_ISA", "\"mmx\"", "baseline"]);
}

#[test]
fn an_error_is_a_document_too_with_json() {
    let error = run(&["clean", "--json", "no-such-recipe.yaml"]).code(2);
    let document = error.json("error/1");
    assert!(document["error"].as_str().unwrap().contains("no-such-recipe.yaml"));
    assert!(!document["help"].as_str().unwrap().is_empty());
}

#[test]
fn nothing_moves_or_shines_where_there_is_no_terminal() {
    for arguments in [&["clean", "clean.yaml"][..], &["clean", "no-such.yaml"], &["--help"]] {
        let ran = Release::new().run(arguments);
        for text in [&ran.out, &ran.err] {
            assert!(!text.contains(['\x1b', '\r']), "{arguments:?}: {text:?}");
        }
    }
}

#[test]
fn colour_is_used_when_asked_for_and_the_flag_goes_before_the_environment() {
    for (colour, no_color, expected) in
        [("always", "", true), ("always", "1", true), ("never", "", false), ("auto", "1", false)]
    {
        let release = Release::new();
        let ran = retrace()
            .args(["clean", "clean.yaml", "--color", colour])
            .env("NO_COLOR", no_color)
            .current_dir(release.root())
            .output();
        let err = String::from_utf8(ran.unwrap().stderr).unwrap();
        assert_eq!(err.contains('\x1b'), expected, "--color {colour}, NO_COLOR={no_color}: {err:?}");
        let help = retrace().args(["--color", colour, "--help"]).env("NO_COLOR", no_color).output().unwrap();
        assert_eq!(help.stdout.contains(&0x1b), expected, "help with --color {colour}, NO_COLOR={no_color}");
    }
}

#[test]
fn quiet_leaves_the_result_alone() {
    let (loud, quiet) = (Release::new(), Release::new());
    let loud = loud.run(&["clean", "clean.yaml"]).code(0);
    let quiet = quiet.run(&["clean", "clean.yaml", "--quiet"]).code(0);
    assert!(!loud.err.is_empty());
    assert!(quiet.err.is_empty(), "{}", quiet.err);
    assert_eq!(loud.out, quiet.out);
}

#[cfg(unix)]
#[test]
fn whoever_stops_reading_is_no_failure() {
    let release = Release::new();
    // More shards than a pipe's buffer can hold names of.
    for index in 2..3000 {
        release.write(&format!("raw/{}-{index:05}.jsonl", "en".repeat(30)), b"");
    }
    let mut child = retrace()
        .args(["clean", "clean.yaml"])
        .current_dir(release.root())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{err}");
    assert!(!err.contains("internal error") && !err.contains("Broken"), "{err}");
}

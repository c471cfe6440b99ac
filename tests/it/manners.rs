//! Output for a shell and for `man`: completions and manual pages.

use std::fs;
use std::process::{Command, Stdio};

use tempfile::tempdir;

use crate::support::{VERBS, retrace, run};

#[test]
fn completions_know_every_verb() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]).code(0).out;
        for verb in VERBS {
            assert!(script.contains(verb), "{shell}: {verb} is not in it");
        }
    }
    run(&["completions", "tcl"]).code(2).says(&["bash", "zsh"]);
}

/// Each installed shell reads its script.
#[test]
fn shells_read_their_completions() {
    let directory = tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = directory.path().join(shell);
        fs::write(&script, run(&["completions", shell]).code(0).out).unwrap();
        match Command::new(shell).arg("-n").arg(&script).stderr(Stdio::piped()).output() {
            Ok(read) => assert!(read.status.success(), "{shell}: {}", String::from_utf8_lossy(&read.stderr)),
            Err(_) => println!("skipped: {shell} is not installed"),
        }
    }
}

/// bash itself is asked for its completions of a line, as when the tab key is pressed.
#[test]
fn bash_completes_verbs_options_and_file_names() {
    if Command::new("bash").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: bash is not installed");
        return;
    }
    let directory = tempdir().unwrap();
    for name in ["manifest.v1.yaml", "my key.pem", ".hidden.pem"] {
        fs::write(directory.path().join(name), "").unwrap();
    }
    fs::write(directory.path().join("script"), run(&["completions", "bash"]).code(0).out).unwrap();
    let offers = |words: &[&str]| -> Vec<String> {
        // `compopt` works only during a completion.
        let ask = "compopt() { :; }; source ./script; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1))
            _retrace retrace \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"
            for offer in \"${COMPREPLY[@]}\"; do echo \"$offer\"; done";
        let mut bash = Command::new("bash");
        let output =
            bash.args(["--norc", "-c", ask, "bash"]).args(words).current_dir(directory.path()).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    assert_eq!(offers(&["retrace", "ver"]), ["verify"]);
    assert_eq!(offers(&["retrace", "verify", "--public"]), ["--public-key"]);
    assert_eq!(offers(&["retrace", "sign", "--key", "my"]), ["my key.pem"]);
    assert_eq!(offers(&["retrace", "sign", "--key", "manifest.v"]), ["manifest.v1.yaml"]);
    assert_eq!(offers(&["retrace", "sign", "--key", ".h"]), [".hidden.pem"]);
    assert!(offers(&["retrace", "completions", ""]).contains(&"fish".to_owned()));
    // No completion is offered, so bash itself completes the name of a file.
    assert!(offers(&["retrace", "sign", "x", "manifest.v"]).is_empty());
    assert!(fs::read_to_string(directory.path().join("script")).unwrap().contains("-o default retrace"));
}

#[test]
fn manual_pages_are_for_every_verb() {
    let directory = tempdir().unwrap();
    let path = directory.path();
    let written = retrace().arg("man").arg(path).output().unwrap();
    assert!(written.status.success());
    let main = fs::read_to_string(path.join("retrace.1")).unwrap();
    assert!(main.contains("Exit codes"));
    for verb in VERBS {
        assert!(main.contains(&format!("retrace\\-{verb}(1)")), "retrace.1 does not name {verb}");
        let page = fs::read_to_string(path.join(format!("retrace-{verb}.1"))).unwrap();
        for part in [format!(".TH retrace-{verb} 1"), ".SH SYNOPSIS".to_owned(), "Examples".to_owned()] {
            assert!(page.contains(&part), "{part:?} is not in the page of {verb}");
        }
    }
    let listed: Vec<_> = String::from_utf8(written.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(listed.len(), fs::read_dir(path).unwrap().count());
    let in_the_way = path.join("retrace.1");
    assert_eq!(retrace().arg("man").arg(in_the_way).output().unwrap().status.code(), Some(2));
}

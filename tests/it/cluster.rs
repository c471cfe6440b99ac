//! What `retrace` does with a verb that only `retrace-cluster` supports.
//!
//! The work of a cluster itself is tested in `crates/cluster/tests/processes.rs`.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::tempdir_in;

use crate::support::Ran;

/// The binary under another name, as the only program in `PATH`.
fn alone(directory: &Path, name: &str) -> Command {
    let place = directory.join(name);
    if !place.exists() {
        fs::hard_link(env!("CARGO_BIN_EXE_retrace"), &place).unwrap();
    }
    let mut command = Command::new(place);
    command.current_dir(directory).env("PATH", directory.join("programs"));
    command
}

/// Written by a separate process: a file that another test's child process still holds open cannot be run.
fn script(place: &Path, text: &str) {
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"printf %s "$2" >"$1" && chmod +x "$1""#, "sh"]).arg(place).arg(text);
    assert!(shell.status().unwrap().success());
}

#[test]
fn a_cluster_is_handed_over() {
    let directory = tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let root = directory.path();
    let worker = ["cluster", "worker", "--scheduler", "a:1", "--token", "t"];
    let query = ["query", "select 1", "x y.csv", "--cluster", "a:1", "--token", "t"];
    for arguments in [&worker[..], &query] {
        let ran = Ran::from(alone(root, "retrace").args(arguments).output().unwrap()).code(2);
        ran.says(&["retrace-cluster", "neither beside this one nor in PATH", "cargo build --release --package"]);
    }
    let says = "#!/bin/sh\nprintf '%s|' WHICH \"$@\"\nexit 7\n";
    script(&root.join("programs/retrace-cluster"), &says.replace("WHICH", "path"));
    let ran = Ran::from(alone(root, "retrace").args(query).output().unwrap()).code(7);
    assert_eq!(ran.out, "path|query|select 1|x y.csv|--cluster|a:1|--token|t|");
    // The current directory can be a release from someone else: nothing in it is started.
    let ran = Ran::from(alone(root, "retrace").env("PATH", "programs").args(query).output().unwrap()).code(2);
    ran.says(&["neither beside this one nor in PATH"]);
    script(&root.join("retrace-cluster"), &says.replace("WHICH", "beside"));
    let ran = Ran::from(alone(root, "retrace").args(worker).output().unwrap()).code(7);
    assert_eq!(ran.out, "beside|cluster|worker|--scheduler|a:1|--token|t|");
}

/// A copy of `retrace` with the other's name would otherwise start itself endlessly.
#[test]
fn a_program_of_that_name_without_the_parts_says_so() {
    let directory = tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let arguments = ["cluster", "scheduler", "--token", "t"];
    let ran = Ran::from(alone(directory.path(), "retrace-cluster").args(arguments).output().unwrap()).code(2);
    ran.says(&["is built without the parts of a cluster"]);
}

//! Training that is killed, or whose disk is full: existing files are complete, and it resumes to the same bits.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use retrace_files::{hash_file, walk};
use retrace_numerics::random::Stream;
use retrace_spec::Digest;
use tempfile::tempdir;

use crate::support::{Ran, retrace, run_files, small_run, train_small};

/// Prepares the run that is interrupted here.
fn prepare(root: &Path) {
    small_run(root, 300, 4, 7, 0);
}

/// The files of an uninterrupted run.
fn undisturbed() -> Vec<(String, Digest)> {
    let directory = tempdir().unwrap();
    prepare(directory.path());
    Ran::from(train_small(directory.path(), &[]).output().unwrap()).code(0);
    run_files(directory.path())
}

/// The second would truncate the first one's journal.
#[test]
fn two_at_once_are_refused_and_the_first_goes_on() {
    let expected = undisturbed();
    let directory = tempdir().unwrap();
    let root = directory.path();
    prepare(root);
    let first = train_small(root, &[]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lock = root.join("runs/small/.retrace-lock");
    while !lock.exists() {
        sleep(Duration::from_millis(1));
    }
    for arguments in [&["--resume"][..], &[]] {
        let second = Ran::from(train_small(root, arguments).output().unwrap());
        second.code(2).says(&["runs/small is being written by process", &first.id().to_string()]);
    }
    // An incomplete run is not sealed either.
    let sealed = retrace().args(["seal", "."]).current_dir(root).output().unwrap();
    Ran::from(sealed).code(2).says(&["is being written by another process"]);
    Ran::from(first.wait_with_output().unwrap()).code(0);
    assert_eq!(run_files(root), expected);
}

#[test]
fn what_a_killed_replay_copied_is_removed_by_the_next() {
    let directory = tempdir().unwrap();
    let (root, scratch) = (directory.path().join("release"), directory.path().join("scratch"));
    for made in [&root, &scratch] {
        fs::create_dir(made).unwrap();
    }
    prepare(&root);
    Ran::from(train_small(&root, &[]).output().unwrap()).code(0);
    Ran::from(retrace().args(["seal", "."]).current_dir(&root).output().unwrap()).code(0);
    let replay = || {
        let mut command = retrace();
        command.args(["replay", "manifest.yaml", "--all", "--scratch", "../scratch"]).current_dir(&root);
        command
    };
    let there = || fs::read_dir(&scratch).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let copied = || there().iter().any(|made| made.join("step/runs/small/journal.jsonl").exists());
    let mut child = replay().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !copied() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before the kill");
        sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(copied());
    Ran::from(replay().output().unwrap()).code(0);
    assert_eq!(there(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn killed_twelve_times_it_ends_in_the_same_bits() {
    let expected = undisturbed();
    let directory = tempdir().unwrap();
    let root = directory.path();
    prepare(root);
    let journal = root.join("runs/small/journal.jsonl");
    let lines = || fs::read(&journal).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count());
    // Times that differ from test to test: the clock decides when each kill happens.
    let chance = Stream::new(std::process::id().into(), "kills");
    for kill in 0..12u64 {
        let resume: &[&str] = if kill == 0 { &[] } else { &["--resume"] };
        let mut child = train_small(root, resume).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let until = lines() + chance.below(0, kill, 20) as usize;
        // The first kills are at any time, also before the first step; the others after some steps.
        let mut waited = 0;
        while kill > 3 && lines() <= until && waited < 20_000 {
            sleep(Duration::from_millis(1));
            waited += 1;
        }
        sleep(Duration::from_micros(chance.below(1, kill, 30_000)));
        assert!(child.try_wait().unwrap().is_none(), "it had ended by itself before kill {kill}");
        child.kill().unwrap();
        child.wait().unwrap();
        if kill == 0 && !journal.exists() {
            // Killed before it began: there is nothing to resume.
            fs::remove_dir_all(root.join("runs")).ok();
            Ran::from(train_small(root, &["--resume"]).output().unwrap()).code(2).says(&["no complete checkpoint"]);
            let mut child = train_small(root, &[]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            while !journal.exists() {
                sleep(Duration::from_millis(1));
            }
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
    assert!(lines() < 300, "it had ended before it was resumed for the last time");
    Ran::from(train_small(root, &["--resume"]).output().unwrap()).code(0);
    assert_eq!(run_files(root), expected);
}

/// In a mount namespace of its own, a small tmpfs contains the run's directory.
#[test]
fn a_full_disk_loses_nothing() {
    let here = Command::new("unshare").args(["--map-root-user", "--mount", "true"]).output();
    if !here.is_ok_and(|output| output.status.success()) {
        println!("skipped: there is no mount namespace to be had");
        return;
    }
    let directory = tempdir().unwrap();
    let root = directory.path();
    prepare(root);
    fs::create_dir(root.join("runs")).unwrap();
    // Full twice, at different sizes, then with enough space. The files are copied out for inspection each time.
    let script = r#"
        set -u
        cd "$1"
        mount -t tmpfs -o size=4m none runs || exit 77
        "$2" train run.yaml 2>first.err; echo $? >first.code
        cp -a runs first
        mount -o remount,size=9300k runs
        "$2" train run.yaml --resume 2>second.err; echo $? >second.code
        cp -a runs second
        mount -o remount,size=400m runs
        "$2" train run.yaml --resume 2>third.err; echo $? >third.code
        rm -rf third; cp -a runs third
    "#;
    let ran = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .args([root, Path::new(env!("CARGO_BIN_EXE_retrace"))])
        .output()
        .unwrap();
    if ran.status.code() == Some(77) {
        println!("skipped: no tmpfs can be mounted");
        return;
    }
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap();
    let expected = undisturbed();
    for time in ["first", "second"] {
        assert_eq!(read(&format!("{time}.code")).trim(), "2");
        let error = read(&format!("{time}.err"));
        assert!(error.contains("No space left on device") && error.contains("runs/small"), "{error}");
        let there = root.join(time);
        // Every checkpoint with its final name equals one of the uninterrupted run, in all files.
        let mut checkpoints = 0;
        for found in walk(&there, &|_| false).unwrap() {
            let path = found.path().to_string();
            if path.contains("/step-") && !path.contains("retrace-partial") {
                let digest = hash_file(&found.path().under(&there)).unwrap().1;
                assert!(expected.contains(&(path.clone(), digest)), "{time}: {path}");
                checkpoints += usize::from(path.ends_with("/state.json"));
            }
        }
        assert!(checkpoints > 1, "{time}: {checkpoints}");
    }
    assert_eq!(read("third.code").trim(), "0", "{}", read("third.err"));
    fs::remove_dir_all(root.join("runs")).unwrap();
    fs::rename(root.join("third"), root.join("runs")).unwrap();
    assert_eq!(run_files(root), expected);
}

//! A cluster of processes: the answers of one process, even if a worker is lost, and no access without the token.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may take a thing for granted")]

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use retrace_spec::Step;
use retrace_tables::Metric;
use tempfile::tempdir;

/// The command line with cluster support.
fn retrace() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_retrace-cluster"));
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "RAYON_NUM_THREADS", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    // So that no notes are written to the user's own directories.
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command.stdin(Stdio::null());
    command
}

/// The output of a command that ended with `code`: standard output and standard error.
#[track_caller]
fn ended(output: Output, code: i32) -> (String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(code), "standard output:\n{out}\nstandard error:\n{err}");
    (out, err)
}

/// Several seconds of work for two processes: every pair of rows of a task.
const SQL: &str = "select a.task, count(*) as pairs, sum(a.value * b.value) as product, corr(a.value, b.value) as c \
    from metrics a join metrics b on a.task = b.task group by a.task order by a.task";

fn write(directory: &Path) {
    let row = |i: u64| Metric {
        release: "r".to_owned(),
        run: format!("run {}", i % 7),
        step: Some(Step(i / 7)),
        tokens: None,
        task: format!("task {}", i % 5),
        shots: None,
        metric: "m".to_owned(),
        value: ((i * 7919) as f64).sin() * 10f64.powi((i % 31) as i32 - 15),
        stderr: None,
        source: "s".to_owned(),
        place: String::new(),
        is_group: None,
        time: None,
    };
    retrace_tables::write(directory, &(0..5000).map(row).collect::<Vec<_>>()).unwrap();
}

/// A process that is killed when the test ends.
struct Part(Child);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a part of a cluster; returns the text that it prints after `ready`.
fn start(root: &Path, name: &str, arguments: &[&str], ready: &str) -> (Part, String) {
    let said = root.join(name);
    let mut command = retrace();
    command
        .current_dir(root)
        .arg("cluster")
        .args(arguments)
        .args(["--token", "token"])
        .env("TMPDIR", root.join("kept"));
    let child = command.stdout(Stdio::null()).stderr(fs::File::create(&said).unwrap()).spawn().unwrap();
    let part = Part(child);
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let text = fs::read_to_string(&said).unwrap();
        if let Some((found, _)) = text.split_once(ready).and_then(|(_, rest)| rest.split_once('\n')) {
            return (part, found.to_owned());
        }
        assert!(Instant::now() < until, "{name} does not say {ready:?}: {text}");
        sleep(Duration::from_millis(10));
    }
}

fn query(root: &Path, more: &[&str]) -> Command {
    let mut command = retrace();
    command.current_dir(root).args(["query", SQL, "tables", "--format", "csv"]).args(more);
    command
}

/// The directories of workers, with their content.
fn kept(root: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let list = |of: &Path| fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let directories = list(&root.join("kept"));
    let (mut all, mut at) = (directories.clone(), 0);
    while at < all.len() {
        if all[at].is_dir() {
            all.extend(list(&all[at]));
        }
        at += 1;
    }
    (directories, all)
}

#[test]
fn a_worker_is_killed_in_the_middle_of_a_query() {
    let directory = tempdir().unwrap();
    let root = directory.path();
    write(&root.join("tables"));
    fs::create_dir(root.join("kept")).unwrap();
    fs::write(root.join("token"), "0123456789abcdef").unwrap();
    let expected = ended(query(root, &[]).output().unwrap(), 0).0;
    assert_eq!(expected.lines().count(), 6, "{expected}");

    let (_scheduler, address) = start(root, "scheduler", &["scheduler", "--listen", "127.0.0.1:0"], "listening at ");
    let worker = |name: &str| start(root, name, &["worker", "--scheduler", &address, "--tasks", "2"], "results at ").0;
    let (mut lost, _stays) = (worker("one"), worker("two"));
    let cluster = ["--cluster", address.as_str(), "--token", "token"];
    assert_eq!(ended(query(root, &cluster).output().unwrap(), 0).0, expected);

    let mut asked = query(root, &cluster).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    sleep(Duration::from_millis(700));
    assert!(asked.try_wait().unwrap().is_none(), "it had ended before the kill");
    let (directories, all) = kept(root);
    assert!(directories.len() == 2 && all.len() > 2, "{all:?}");
    for path in all {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "others can read {}", path.display());
    }
    lost.0.kill().unwrap();
    assert_eq!(ended(asked.wait_with_output().unwrap(), 0).0, expected);

    // The next worker removes the data of the one that was killed, and its own when it is requested to end.
    lost.0.wait().unwrap();
    assert_eq!(kept(root).0.len(), 2);
    let mut next = worker("three");
    assert_eq!(kept(root).0.len(), 2);
    let asked_to_end = Command::new("kill").args(["-TERM", &next.0.id().to_string()]).status().unwrap();
    assert!(asked_to_end.success() && next.0.wait().unwrap().success());
    assert_eq!(kept(root).0.len(), 1);

    fs::write(root.join("token"), "fedcba9876543210").unwrap();
    let refused = "does not prove that it has the token: it has another token";
    let (_, err) = ended(query(root, &cluster).output().unwrap(), 2);
    assert!(err.contains(refused), "{err}");
    let mut other = retrace();
    other.current_dir(root).args(["cluster", "worker", "--scheduler", &address, "--token", "token"]);
    let (_, err) = ended(other.output().unwrap(), 2);
    assert!(err.contains(refused), "{err}");
}

/// A listener without the token, which sends arbitrary data.
#[test]
fn a_listener_without_the_token_is_told_nothing() {
    const TOKEN: &str = "0123456789abcdef";
    let directory = tempdir().unwrap();
    let root = directory.path();
    fs::write(root.join("token"), TOKEN).unwrap();
    fs::write(root.join("t.csv"), "a\n1\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heard = spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let (mut all, mut some) = (Vec::new(), [0; 4096]);
        let read = socket.read(&mut some).unwrap();
        all.extend_from_slice(&some[..read]);
        let _ = socket.write_all(b"\0\0\0\x04\0\0\0\0\0 \x1b]0;taken\x07\x1b[2J");
        let _ = socket.shutdown(Shutdown::Write);
        let _ = socket.read_to_end(&mut all);
        all
    });
    let mut query = retrace();
    query.current_dir(root).args(["query", "select 1", "t.csv", "--cluster", &address, "--token", "token"]);
    let (_, err) = ended(query.output().unwrap(), 2);
    assert!(!err.contains('\x1b') && err.contains("does not prove that it has the token"), "{err:?}");
    let heard = heard.join().unwrap();
    let part = |window: &[u8]| TOKEN.as_bytes().windows(8).any(|part| part == window);
    assert!(heard.len() > 50 && !heard.windows(8).any(part));
}

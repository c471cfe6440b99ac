//! Training with workers: the same bits, whichever process computes, is lost or is replaced.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::{TempDir, tempdir};

use crate::support::{Ran, retrace, run_files, small_run, train_small};

const TOKEN: &str = "0123456789abcdef0123";

/// Seven micro-batches per step, which is not a power of two and not a multiple of any number of workers.
fn prepare(root: &Path, steps: u64, offset: u64) {
    small_run(root, steps, 14, 20, offset);
    fs::write(root.join("token"), TOKEN).unwrap();
}

fn prepared(steps: u64) -> TempDir {
    let directory = tempdir().unwrap();
    prepare(directory.path(), steps, 0);
    directory
}

/// Waits until `there` returns a value.
#[track_caller]
fn wait_for<T>(what: &str, mut there: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = there() {
            return found;
        }
        assert!(Instant::now() < until, "waited in vain for {what}");
        sleep(Duration::from_millis(2));
    }
}

fn steps(root: &Path) -> usize {
    fs::read(root.join("runs/small/journal.jsonl"))
        .map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
}

#[test]
fn with_any_number_of_workers_the_same_bits() {
    let alone = prepared(20);
    Ran::from(train_small(alone.path(), &[]).output().unwrap()).code(0);
    let expected = run_files(alone.path());
    assert!(expected.len() > 5);
    for workers in ["0", "1", "2", "3", "5"] {
        let directory = prepared(20);
        let ran = Ran::from(train_small(directory.path(), &["--workers", workers]).output().unwrap()).code(0);
        assert_eq!(ran.err.matches(" joined from ").count().to_string(), workers, "{}", ran.err);
        assert!(!ran.err.contains("is gone"), "{}", ran.err);
        assert_eq!(run_files(directory.path()), expected, "{workers} workers");
    }
}

/// A coordinator that listens, its standard error, and its address.
fn coordinator(root: &Path, more: &[&str]) -> (Child, String) {
    let said = fs::File::create(root.join("said")).unwrap();
    let arguments = ["--listen", "127.0.0.1:0", "--token", "token"];
    let child = train_small(root, &arguments).args(more).stdout(Stdio::null()).stderr(said).spawn().unwrap();
    let address = wait_for("the address", || {
        let said = fs::read_to_string(root.join("said")).unwrap();
        Some(said.split_once("join at ")?.1.split_once('\n')?.0.to_owned())
    });
    (child, address)
}

fn work(root: &Path, address: &str) -> Command {
    let mut command = retrace();
    command.current_dir(root).args(["work", "run.yaml", "--coordinator", address, "--token", "token"]);
    command
}

#[test]
fn killed_and_replaced_in_mid_run_the_same_bits() {
    let alone = prepared(200);
    Ran::from(train_small(alone.path(), &[]).output().unwrap()).code(0);
    let directory = prepared(200);
    let root = directory.path();
    let (mut training, address) = coordinator(root, &["--workers", "1"]);
    let stays = work(root, &address).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    for kill in 0..3 {
        let mut worker = work(root, &address).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = steps(root) + 15;
        wait_for("steps", || (steps(root) >= until).then_some(()));
        assert!(training.try_wait().unwrap().is_none(), "it had ended before kill {kill}");
        worker.kill().unwrap();
        worker.wait().unwrap();
    }
    // The worker that the coordinator itself started, which it replaces.
    let child = wait_for("the worker's process", || {
        let threads = fs::read_dir(format!("/proc/{}/task", training.id())).ok()?;
        let children = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).ok();
        let children: String = threads.filter_map(|thread| children(thread.ok()?)).collect();
        children.split_whitespace().next().map(str::to_owned)
    });
    assert!(Command::new("kill").args(["-9", &child]).status().unwrap().success());
    wait_for("the end", || training.try_wait().unwrap());
    assert!(training.wait().unwrap().success());
    Ran::from(stays.wait_with_output().unwrap()).code(0).says(&["worked small: "]);
    let said = fs::read_to_string(root.join("said")).unwrap();
    assert_eq!((said.matches(" left (").count(), said.matches(" joined from ").count()), (4, 6), "{said}");
    assert_eq!(run_files(root), run_files(alone.path()));
}

#[test]
fn a_worker_is_not_let_in_with_another_token_run_or_corpus() {
    let directory = prepared(3000);
    let root = directory.path();
    let (mut training, address) = coordinator(root, &[]);
    fs::write(root.join("token"), "fedcba9876543210").unwrap();
    Ran::from(work(root, &address).output().unwrap())
        .code(2)
        .says(&["does not prove that it has the token: it has another token"]);
    let other = prepared(3001);
    Ran::from(work(other.path(), &address).output().unwrap())
        .code(2)
        .says(&["refuses this worker: its retrace-run is"]);
    // Shards of the same name with other tokens.
    prepare(other.path(), 3000, 1);
    let ran = Ran::from(work(other.path(), &address).output().unwrap()).code(2);
    ran.says(&["differs from the coordinator's"]);
    training.kill().unwrap();
    training.wait().unwrap();
    let ran = Ran::from(work(root, &address).args(["--patience", "0"]).output().unwrap()).code(2);
    ran.says(&["cannot reach a coordinator"]);
    fs::write(root.join("token"), "short").unwrap();
    Ran::from(work(root, &address).output().unwrap()).code(2).says(&["this is not a token"]);
    Ran::from(train_small(root, &["--resume", "--listen", "nowhere", "--token", "token"]).output().unwrap()).code(2);
}

/// A worker that reconnects after its coordinator was killed, and a coordinator that resumes.
#[test]
fn a_coordinator_that_is_killed_goes_on_to_the_same_bits() {
    let alone = prepared(120);
    Ran::from(train_small(alone.path(), &[]).output().unwrap()).code(0);
    let directory = prepared(120);
    let root = directory.path();
    let (mut training, address) = coordinator(root, &[]);
    let worker = work(root, &address).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    wait_for("steps", || (steps(root) >= 30).then_some(()));
    training.kill().unwrap();
    training.wait().unwrap();
    Ran::from(worker.wait_with_output().unwrap()).code(2).says(&["the connection to the coordinator at", "has ended"]);
    Ran::from(train_small(root, &["--resume", "--workers", "2"]).output().unwrap()).code(0);
    assert_eq!(run_files(root), run_files(alone.path()));
}

/// Connections without the token, and the limit of open files of a process.
#[test]
fn a_flood_of_idle_connections_does_not_end_a_training() {
    let alone = prepared(60);
    Ran::from(train_small(alone.path(), &[]).output().unwrap()).code(0);
    let directory = prepared(60);
    let root = directory.path();
    let train = train_small(root, &["--listen", "127.0.0.1:0", "--token", "token", "--workers", "1"]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 96; exec \"$0\" \"$@\""]).arg(train.get_program()).args(train.get_args());
    let said = fs::File::create(root.join("said")).unwrap();
    let mut training = limited.current_dir(root).stdout(Stdio::null()).stderr(said).spawn().unwrap();
    let address = wait_for("the address", || {
        let said = fs::read_to_string(root.join("said")).unwrap();
        Some(said.split_once("join at ")?.1.split_once('\n')?.0.to_owned())
    });
    let mut idle = Vec::new();
    for at in 0..400 {
        // If the machine is slow to accept them, fewer connections are also a flood.
        let Ok(mut socket) = TcpStream::connect(&address) else { break };
        if at % 2 == 0 {
            let _ = socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        }
        idle.push(socket);
    }
    assert!(idle.len() > 96);
    wait_for("the end", || training.try_wait().unwrap());
    let said = fs::read_to_string(root.join("said")).unwrap();
    assert!(training.wait().unwrap().success(), "{said}");
    assert_eq!(said.matches("not prove that").count(), 1, "{said}");
    assert_eq!(run_files(root), run_files(alone.path()));
}

/// A listener without the token, which sends arbitrary data.
#[test]
fn a_listener_without_the_token_is_told_nothing() {
    let directory = prepared(20);
    let root = directory.path();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let heard = std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let (mut all, mut some) = (Vec::new(), [0; 4096]);
        let read = socket.read(&mut some).unwrap();
        all.extend_from_slice(&some[..read]);
        let _ = socket.write_all(b"\0\0\0\x04\0\0\0\0\0 \x1b]0;taken\x07\x1b[2J");
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let _ = socket.read_to_end(&mut all);
        all
    });
    let ran = Ran::from(work(root, &address).args(["--patience", "0"]).output().unwrap()).code(2);
    assert!(!ran.err.contains('\x1b'), "{:?}", ran.err);
    ran.says(&["does not prove that it has the token"]);
    let heard = heard.join().unwrap();
    let part = |window: &[u8]| TOKEN.as_bytes().windows(8).any(|part| part == window);
    assert!(heard.len() > 50 && !heard.windows(8).any(part));
}

#[test]
fn a_token_that_others_can_read_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let directory = prepared(20);
    let root = directory.path();
    let ask = |mode: u32| {
        fs::set_permissions(root.join("token"), fs::Permissions::from_mode(mode)).unwrap();
        // No process listens there: the test checks the earlier output.
        Ran::from(work(root, "127.0.0.1:1").args(["--patience", "0"]).output().unwrap()).code(2).err
    };
    let said =
        "exposed token: others can read it: keep it in a directory that only you can write, and run `chmod 600 token`";
    assert!(ask(0o644).contains(said) && ask(0o640).contains(said) && ask(0o604).contains(said));
    assert!(!ask(0o600).contains("exposed"));
}

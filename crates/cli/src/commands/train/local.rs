//! The workers on this machine: started, monitored, and restarted when one is lost.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use retrace_files::Progress;
use retrace_workers::Local;

/// A worker that ends sooner than this counts as not started.
const STARTED: Duration = Duration::from_secs(5);
/// After this many that did not start, no more are started.
const TRIES: usize = 3;
/// How long a worker may take to end by itself after training.
const LEAVING: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(20);

/// Worker processes on this machine.
pub(super) struct LocalWorkers {
    watchers: Vec<JoinHandle<()>>,
    over: Arc<AtomicBool>,
    /// The number of slots without a worker.
    given_up: Arc<AtomicUsize>,
}

impl LocalWorkers {
    /// Starts this number of `workers`.
    pub(super) fn start(workers: usize, run: &Path, local: &Local, progress: &Arc<dyn Progress>) -> Self {
        let (over, given_up) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let threads = (rayon::current_num_threads() / workers.max(1)).max(1);
        let slot = || WorkerSlot { run: run.to_owned(), local: local.clone(), threads, over: Arc::clone(&over) };
        let watch = |slot: WorkerSlot| {
            let (given_up, progress) = (Arc::clone(&given_up), Arc::clone(progress));
            spawn(move || {
                if let Err(why) = slot.keep_running() {
                    progress.remark(&format!("a worker that ended is not restarted: {why}"));
                    given_up.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let watchers = (0..workers).map(|_| watch(slot())).collect();
        Self { watchers, over, given_up }
    }

    /// Whether a worker could not be started.
    pub(super) fn has_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed) > 0
    }

    /// Called when training has ended.
    pub(super) fn stop(self) {
        self.over.store(true, Ordering::Relaxed);
        for watcher in self.watchers {
            let _ = watcher.join();
        }
    }
}

/// A slot with one local worker process at a time.
struct WorkerSlot {
    run: PathBuf,
    local: Local,
    threads: usize,
    over: Arc<AtomicBool>,
}

impl WorkerSlot {
    /// Starts a worker, and another when it is lost, until training is over; the error is why the last one did not
    /// start.
    fn keep_running(&self) -> Result<(), String> {
        let mut tries = 0;
        loop {
            let began = Instant::now();
            let mut child = self.start().map_err(|e| e.to_string())?;
            let ended = loop {
                match child.try_wait().map_err(|e| e.to_string())? {
                    Some(status) => break status,
                    None if self.over.load(Ordering::Relaxed) => return leave(child).map_err(|e| e.to_string()),
                    None => sleep(GLANCE),
                }
            };
            if ended.success() {
                return Ok(());
            }
            tries = if began.elapsed() < STARTED { tries + 1 } else { 0 };
            if tries == TRIES {
                let mut said = String::new();
                if let Some(mut stderr) = child.stderr.take() {
                    let _ = stderr.read_to_string(&mut said);
                }
                let said = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it printed nothing").trim();
                return Err(format!("{ended}, {said}"));
            }
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        Command::new(std::env::current_exe()?)
            .args(["work", "--quiet", "--coordinator", "-", "--threads", &self.threads.to_string()])
            .arg(&self.run)
            .stdin(self.local.connection()?)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
    }
}

/// Waits until a worker ends; kills it after the time limit.
fn leave(mut child: Child) -> std::io::Result<()> {
    let until = Instant::now() + LEAVING;
    while child.try_wait()?.is_none() {
        if Instant::now() > until {
            child.kill()?;
        }
        sleep(GLANCE);
    }
    Ok(())
}

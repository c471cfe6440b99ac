//! The shared state of the trainer's thread and the workers' streams: the current step, which worker computes which
//! part of it, and the results so far.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prost::bytes::Bytes;
use retrace_spec::{Digest, Step};
use retrace_train::Block;
use tokio::sync::Notify;

use crate::schedule::{Patience, Schedule, Speeds, WorkerId};

/// Maximum number of gradients whose memory is kept for reuse.
const SPARE: usize = 4;

#[derive(Debug)]
pub(crate) struct Board {
    patience: Patience,
    inner: Mutex<Inner>,
    /// Notifies that there may be something to compute.
    posted: Notify,
    /// Notifies that there may be a result to add, or that no worker can compute it any more.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    joined: u64,
    speeds: Speeds,
    work: Option<Work>,
    /// Computed blocks, by their first micro-batch.
    results: BTreeMap<usize, (usize, Block)>,
    spare: Vec<Vec<f32>>,
    closed: bool,
}

/// The current step.
#[derive(Debug)]
struct Work {
    step: Step,
    batch: Digest,
    schedule: Schedule,
    /// Their bytes; `None` if there was no worker when the step began.
    weights: Option<Bytes>,
}

/// A task for a worker.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    pub(crate) step: Step,
    pub(crate) block: Range<usize>,
    pub(crate) batch: Digest,
    /// The weights' bytes.
    pub(crate) weights: Bytes,
    /// Its maximum time.
    pub(crate) deadline: Duration,
}

/// What the trainer's thread receives after waiting.
#[derive(Debug)]
pub(crate) enum Next {
    /// A block of this many micro-batches, the next of the step.
    Block(usize, Block),
    /// No worker can compute these.
    Local(Range<usize>),
}

impl Board {
    /// An empty one.
    pub(crate) fn new(patience: Patience) -> Self {
        Self { patience, inner: Mutex::default(), posted: Notify::new(), changed: Condvar::new() }
    }

    /// A thread that panicked has left nothing incomplete: every change is one call.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn join(&self) -> WorkerId {
        let mut inner = self.lock();
        inner.joined += 1;
        let worker = WorkerId(inner.joined);
        inner.speeds.join(worker);
        self.changed.notify_all();
        worker
    }

    /// Returns a worker's unfinished blocks to the schedule.
    pub(crate) fn leave(&self, worker: WorkerId, undone: &[(Step, Range<usize>)]) {
        let mut inner = self.lock();
        inner.speeds.leave(worker);
        if let Some(work) = &mut inner.work {
            let of_this_step = undone.iter().filter(|(step, _)| *step == work.step);
            of_this_step.for_each(|(_, block)| work.schedule.give_back(block));
        }
        self.changed.notify_all();
        self.posted.notify_waiters();
    }

    pub(crate) fn workers(&self) -> usize {
        self.lock().speeds.workers()
    }

    /// Waits until there are this many workers, or `done` says that they will not come.
    pub(crate) fn wait_for_workers(&self, workers: usize, mut done: impl FnMut() -> bool) {
        let mut inner = self.lock();
        while inner.speeds.workers() < workers && !done() {
            let waited = self.changed.wait_timeout(inner, Duration::from_millis(50));
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Begins a step. `weights` is called only if there is a worker that needs them.
    pub(crate) fn post(&self, step: Step, batch: Digest, micro_batches: usize, weights: impl FnOnce() -> Bytes) {
        let weights = (self.workers() > 0).then(weights);
        let mut inner = self.lock();
        inner.results.clear();
        inner.work = Some(Work { step, batch, schedule: Schedule::new(micro_batches), weights });
        drop(inner);
        self.posted.notify_waiters();
    }

    /// Waits for the block that begins at micro-batch `at` of the step.
    pub(crate) fn next(&self, at: usize) -> Next {
        let mut inner = self.lock();
        loop {
            if let Some((count, block)) = inner.results.remove(&at) {
                return Next::Block(count, block);
            }
            let workers = inner.speeds.workers();
            if let Some(work) = &mut inner.work
                && (workers == 0 || work.weights.is_none())
                && let Some(block) = work.schedule.take_up_to(1)
            {
                return Next::Local(block);
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The next task for `worker`, as soon as there is one; `last` is the step of its previous task. `None` at the
    /// end. May be dropped while it waits.
    pub(crate) async fn assignment(&self, worker: WorkerId, last: Option<Step>) -> Option<Assignment> {
        loop {
            let posted = self.posted.notified();
            tokio::pin!(posted);
            posted.as_mut().enable();
            {
                let mut inner = self.lock();
                if inner.closed {
                    return None;
                }
                let Inner { work, speeds, .. } = &mut *inner;
                if let Some(Work { step, batch, schedule, weights: Some(weights) }) = work
                    && let Some(block) = schedule.take(worker, speeds, last != Some(*step))
                {
                    let deadline = speeds.deadline(worker, block.len(), self.patience);
                    return Some(Assignment { step: *step, block, batch: *batch, weights: weights.clone(), deadline });
                }
            }
            posted.await;
        }
    }

    pub(crate) fn measured(&self, worker: WorkerId, micro_batches: usize, seconds: f64) {
        self.lock().speeds.measured(worker, micro_batches, seconds);
    }

    pub(crate) fn handed_in(&self, worker: WorkerId, micro_batches: usize, seconds: f64) {
        self.lock().speeds.handed_in(worker, micro_batches, seconds);
    }

    /// Stores a computed block.
    pub(crate) fn deliver(&self, step: Step, range: &Range<usize>, block: Block) {
        let mut inner = self.lock();
        if inner.work.as_ref().is_some_and(|work| work.step == step) {
            inner.results.insert(range.start, (range.len(), block));
        }
        self.changed.notify_all();
    }

    /// Memory for a gradient of this length.
    pub(crate) fn spare(&self, parameters: usize) -> Vec<f32> {
        let mut values = self.lock().spare.pop().unwrap_or_default();
        values.resize(parameters, 0.0);
        values
    }

    /// Keeps memory for the next gradient.
    pub(crate) fn keep(&self, spare: Vec<f32>) {
        let mut inner = self.lock();
        if inner.spare.len() < SPARE {
            inner.spare.push(spare);
        }
    }

    /// There will be no more steps.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.posted.notify_waiters();
    }
}

//! Which worker computes which micro-batches of a step.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// A worker, numbered in the order of joining.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WorkerId(pub(crate) u64);

/// The deadline of a task, as a multiple of the longest time so far, because machines also do other work.
const SLACK: f64 = 10.0;
/// The assumed minimum speed of a machine, in operations per second: that of one core, without wide instructions.
const SLOWEST_MACHINE: f64 = 4e9;
/// The maximum deadline of a task, whatever was measured.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The assumed minimum speed of a network, in bytes per second.
const SLOWEST_NETWORK: f64 = 1e7;

/// The measured speed of the workers.
#[derive(Debug, Default)]
pub(crate) struct Speeds(BTreeMap<WorkerId, Shown>);

/// The measurements of a worker.
#[derive(Debug, Clone, Copy, Default)]
struct Shown {
    /// Micro-batches per second of computation.
    speed: Option<f64>,
    /// The time of its tasks, including all transfers.
    turn: Option<Turn>,
}

/// The longest time of tasks from sending to receiving the result, in seconds.
#[derive(Debug, Clone, Copy)]
struct Turn {
    task: f64,
    micro_batch: f64,
}

impl Turn {
    fn longer(self, other: Self) -> Self {
        Self { task: self.task.max(other.task), micro_batch: self.micro_batch.max(other.micro_batch) }
    }
}

/// The maximum time of a task.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// The minimum deadline.
    pub(crate) least: Duration,
    /// Seconds per micro-batch, before anything was measured.
    guess: f64,
}

impl Patience {
    /// For a run whose model has this many parameters and whose micro-batches have this many tokens.
    pub(crate) fn new(least: Duration, parameters: usize, tokens: usize) -> Self {
        // A token takes 6 operations per parameter, forward and backward; weights and gradient have 4 bytes each.
        let (parameters, tokens) = (parameters as f64, tokens as f64);
        Self { least, guess: 6.0 * parameters * tokens / SLOWEST_MACHINE + 8.0 * parameters / SLOWEST_NETWORK }
    }
}

impl Speeds {
    pub(crate) fn join(&mut self, worker: WorkerId) {
        self.0.insert(worker, Shown::default());
    }

    pub(crate) fn leave(&mut self, worker: WorkerId) {
        self.0.remove(&worker);
    }

    /// The number of workers.
    pub(crate) fn workers(&self) -> usize {
        self.0.len()
    }

    /// `worker` computed this many micro-batches in this many seconds. The new measurement has weight one half, and
    /// the previous estimate the other half.
    pub(crate) fn measured(&mut self, worker: WorkerId, micro_batches: usize, seconds: f64) {
        let now = micro_batches as f64 / seconds.max(1e-9);
        if let Some(Shown { speed, .. }) = self.0.get_mut(&worker) {
            *speed = Some(speed.map_or(now, |before| f64::midpoint(before, now)));
        }
    }

    /// `worker` finished a task of this many micro-batches this many seconds after it was sent.
    pub(crate) fn handed_in(&mut self, worker: WorkerId, micro_batches: usize, seconds: f64) {
        let now = Turn { task: seconds, micro_batch: seconds / micro_batches as f64 };
        if let Some(Shown { turn, .. }) = self.0.get_mut(&worker) {
            *turn = Some(turn.map_or(now, |before| before.longer(now)));
        }
    }

    /// The maximum time of `worker` for a task of this many micro-batches: ten times its slowest so far, or, before it
    /// has any measurement, the slowest of the others.
    pub(crate) fn deadline(&self, worker: WorkerId, micro_batches: usize, patience: Patience) -> Duration {
        let own = self.0.get(&worker).and_then(|shown| shown.turn);
        let turn = own.or_else(|| self.0.values().filter_map(|shown| shown.turn).reduce(Turn::longer));
        let seconds = match turn {
            Some(turn) => SLACK * turn.task.max(turn.micro_batch * micro_batches as f64),
            None => patience.guess * micro_batches as f64,
        };
        Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST).max(patience.least).min(LONGEST)
    }

    /// The worker's fraction of the work that all of them do in the same time; `None` before it has a measurement.
    fn share(&self, worker: WorkerId) -> Option<f64> {
        let own = self.0.get(&worker)?.speed?;
        let known: Vec<f64> = self.0.values().filter_map(|shown| shown.speed).collect();
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        let all: f64 = self.0.values().map(|shown| shown.speed.unwrap_or(mean)).sum();
        Some(own / all)
    }
}

/// The micro-batches of a step that have not been given to a worker yet.
#[derive(Debug)]
pub(crate) struct Schedule {
    micro_batches: usize,
    /// The length of each range, by its start.
    free: BTreeMap<usize, usize>,
}

impl Schedule {
    /// All `micro_batches` of a step.
    pub(crate) fn new(micro_batches: usize) -> Self {
        Self { micro_batches, free: BTreeMap::from([(0, micro_batches)]) }
    }

    /// The next block for `worker`. Its first block of a step is its expected fraction of the complete step, so that
    /// few messages are needed; later ones are its expected fraction of the rest. A worker without a measurement gets
    /// one micro-batch. A block is 2^k micro-batches, and begins at a multiple of its length.
    pub(crate) fn take(&mut self, worker: WorkerId, speeds: &Speeds, first: bool) -> Option<Range<usize>> {
        let of = if first { self.micro_batches } else { self.free.values().sum() };
        self.take_up_to((speeds.share(worker).unwrap_or(0.0) * of as f64) as usize)
    }

    /// The next block of at most `most` micro-batches, or of one.
    pub(crate) fn take_up_to(&mut self, most: usize) -> Option<Range<usize>> {
        let (start, length) = self.free.pop_first()?;
        let aligned = if start == 0 { usize::MAX } else { 1 << start.trailing_zeros() };
        let block = power_below(most.max(1).min(length).min(aligned));
        if block < length {
            self.free.insert(start + block, length - block);
        }
        Some(start..start + block)
    }

    /// Returns a block that was not computed.
    pub(crate) fn give_back(&mut self, block: &Range<usize>) {
        self.free.insert(block.start, block.len());
    }
}

/// The greatest power of two that is at most `n`, which is not 0.
const fn power_below(n: usize) -> usize {
    1 << (usize::BITS - 1 - n.leading_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: WorkerId = WorkerId(1);
    const TWO: WorkerId = WorkerId(2);

    fn both(one: Option<f64>, two: Option<f64>) -> Speeds {
        let shown = |speed| Shown { speed, turn: None };
        Speeds(BTreeMap::from([(ONE, shown(one)), (TWO, shown(two))]))
    }

    #[test]
    fn shares_worked_out_by_hand() {
        assert_eq!(both(None, None).share(ONE), None);
        assert_eq!(both(Some(3.0), Some(1.0)).share(ONE), Some(0.75));
        assert_eq!(both(Some(3.0), None).share(ONE), Some(0.5));
        assert_eq!(both(Some(3.0), None).share(TWO), None);
        assert_eq!(both(Some(3.0), None).share(WorkerId(7)), None);
        let mut speeds = both(None, None);
        speeds.measured(ONE, 8, 2.0);
        speeds.measured(ONE, 8, 1.0);
        speeds.measured(TWO, 2, 1.0);
        assert_eq!(speeds.share(ONE), Some(0.75));
        speeds.leave(TWO);
        assert_eq!((speeds.share(ONE), speeds.workers()), (Some(1.0), 1));
    }

    #[test]
    fn deadlines_worked_out_by_hand() {
        let seconds = Duration::from_secs;
        // 6e6 operations per token and 4000 tokens at 4e9 per second, and 8e6 bytes at 1e7: 6.8 s.
        let patience = Patience::new(seconds(30), 1_000_000, 4000);
        let mut speeds = both(None, None);
        assert_eq!(speeds.deadline(ONE, 1, patience), seconds(30));
        assert_eq!(speeds.deadline(ONE, 10, patience), seconds(68));
        // Two micro-batches in 8 s: 4 s each, so 10 x 4 x 5, and no task has less than 10 x 8.
        speeds.handed_in(ONE, 2, 8.0);
        assert_eq!(speeds.deadline(ONE, 5, patience), seconds(200));
        assert_eq!(speeds.deadline(ONE, 1, patience), seconds(80));
        // Another's deadline is derived from it; its own measurement is used once there is one.
        assert_eq!(speeds.deadline(TWO, 1, patience), seconds(80));
        speeds.handed_in(TWO, 1, 0.5);
        assert_eq!(speeds.deadline(TWO, 1, patience), seconds(30));
        // The slowest is used, not the last.
        speeds.handed_in(ONE, 2, 0.1);
        assert_eq!(speeds.deadline(ONE, 1, patience), seconds(80));
        speeds.handed_in(ONE, 1, f64::INFINITY);
        assert_eq!(speeds.deadline(ONE, 1, patience), LONGEST);
    }

    #[test]
    fn two_equal_workers_send_one_gradient_each() {
        let (mut schedule, speeds) = (Schedule::new(16), both(Some(2.0), Some(2.0)));
        assert_eq!(schedule.take(TWO, &speeds, true), Some(0..8));
        assert_eq!(schedule.take(ONE, &speeds, true), Some(8..16));
        assert_eq!(schedule.take(ONE, &speeds, false), None);
    }

    #[test]
    fn a_worker_that_has_shown_nothing_gets_one_micro_batch() {
        let (mut schedule, speeds) = (Schedule::new(16), both(Some(2.0), None));
        assert_eq!(schedule.take(TWO, &speeds, true), Some(0..1));
        assert_eq!(schedule.take(WorkerId(3), &speeds, true), Some(1..2));
    }

    #[test]
    fn a_faster_worker_gets_more() {
        let (mut schedule, speeds) = (Schedule::new(16), both(Some(3.0), Some(1.0)));
        assert_eq!(schedule.take(ONE, &speeds, true), Some(0..8));
        assert_eq!(schedule.take(TWO, &speeds, true), Some(8..12));
        assert_eq!(schedule.take(ONE, &speeds, false), Some(12..14));
        assert_eq!(schedule.take(TWO, &speeds, false), Some(14..15));
    }

    /// Whichever worker asks, is lost or is slow: the remaining blocks are nodes of the tree and cover the step.
    #[test]
    fn blocks_are_aligned_and_cover_everything_once() {
        let chance = retrace_numerics::random::Stream::new(1, "schedule");
        for time in 0..400u64 {
            let micro_batches = 1 + chance.below(time, 0, 70) as usize;
            let speeds = both(Some(1.0 + chance.below(time, 1, 9) as f64), Some(1.0));
            let mut schedule = Schedule::new(micro_batches);
            let (mut done, mut asked) = (Vec::new(), 1);
            loop {
                asked += 1;
                let worker = if chance.below(time, asked, 2) == 0 { ONE } else { TWO };
                let Some(block) = schedule.take(worker, &speeds, chance.below(time, asked + 1000, 3) == 0) else {
                    break;
                };
                if chance.below(time, asked + 2000, 4) == 0 {
                    schedule.give_back(&block);
                } else {
                    done.push(block);
                }
            }
            done.sort_by_key(|block| block.start);
            let mut at = 0;
            for block in done {
                assert_eq!(block.start, at);
                assert!(block.len().is_power_of_two() && block.start.is_multiple_of(block.len()), "{block:?}");
                at = block.end;
            }
            assert_eq!(at, micro_batches);
        }
    }
}

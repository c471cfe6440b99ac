//! Which worker computes which micro-batches of a step.

use std::collections::BTreeMap;
use std::ops::Range;

/// A worker, by the order in which they joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WorkerId(pub(crate) u64);

/// How fast the workers are, as far as they have shown it.
#[derive(Debug, Default)]
pub(crate) struct Speeds(BTreeMap<WorkerId, Option<f64>>);

impl Speeds {
    pub(crate) fn join(&mut self, worker: WorkerId) {
        self.0.insert(worker, None);
    }

    pub(crate) fn leave(&mut self, worker: WorkerId) {
        self.0.remove(&worker);
    }

    /// How many there are.
    pub(crate) fn workers(&self) -> usize {
        self.0.len()
    }

    /// `worker` computed so many micro-batches in so many seconds. It counts half, and what was
    /// known of it before the other half.
    pub(crate) fn measured(&mut self, worker: WorkerId, micro_batches: usize, seconds: f64) {
        let now = micro_batches as f64 / seconds.max(1e-9);
        if let Some(speed) = self.0.get_mut(&worker) {
            *speed = Some(speed.map_or(now, |before| f64::midpoint(before, now)));
        }
    }

    /// The worker's part of what all of them do in the same time; one that has shown nothing yet is
    /// as fast as the mean of those that have.
    fn share(&self, worker: WorkerId) -> f64 {
        let known: Vec<f64> = self.0.values().flatten().copied().collect();
        let mean = if known.is_empty() { 1.0 } else { known.iter().sum::<f64>() / known.len() as f64 };
        let all: f64 = self.0.values().map(|speed| speed.unwrap_or(mean)).sum();
        self.0.get(&worker).map_or(0.0, |speed| speed.unwrap_or(mean) / all)
    }
}

/// The micro-batches of a step that nobody has been asked to compute yet.
#[derive(Debug)]
pub(crate) struct Schedule {
    micro_batches: usize,
    /// By where they begin; the length of each.
    free: BTreeMap<usize, usize>,
}

impl Schedule {
    /// All `micro_batches` of a step.
    pub(crate) fn new(micro_batches: usize) -> Self {
        Self { micro_batches, free: BTreeMap::from([(0, micro_batches)]) }
    }

    /// The next block for `worker`. Its first of a step is what it can be expected to do of the whole,
    /// so that there is little to send; those after it are what it can be expected to do of the rest.
    /// It is 2^k micro-batches, and begins at a multiple of that.
    pub(crate) fn take(&mut self, worker: WorkerId, speeds: &Speeds, first: bool) -> Option<Range<usize>> {
        let of = if first { self.micro_batches } else { self.free.values().sum() };
        self.take_up_to((speeds.share(worker) * of as f64) as usize)
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

    /// Takes back a block that was not computed.
    pub(crate) fn give_back(&mut self, block: &Range<usize>) {
        self.free.insert(block.start, block.len());
    }
}

/// The greatest power of two that is not above `n`, which is not 0.
const fn power_below(n: usize) -> usize {
    1 << (usize::BITS - 1 - n.leading_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: WorkerId = WorkerId(1);
    const TWO: WorkerId = WorkerId(2);

    fn both(one: Option<f64>, two: Option<f64>) -> Speeds {
        Speeds(BTreeMap::from([(ONE, one), (TWO, two)]))
    }

    #[test]
    fn shares_worked_out_by_hand() {
        assert_eq!(both(None, None).share(ONE), 0.5);
        assert_eq!(both(Some(3.0), Some(1.0)).share(ONE), 0.75);
        assert_eq!(both(Some(3.0), None).share(TWO), 0.5);
        assert_eq!(both(None, None).share(WorkerId(7)), 0.0);
        let mut speeds = both(None, None);
        speeds.measured(ONE, 8, 2.0);
        speeds.measured(ONE, 8, 1.0);
        speeds.measured(TWO, 2, 1.0);
        assert_eq!(speeds.share(ONE), 0.75);
        speeds.leave(TWO);
        assert_eq!((speeds.share(ONE), speeds.workers()), (1.0, 1));
    }

    #[test]
    fn two_equal_workers_send_one_gradient_each() {
        let (mut schedule, speeds) = (Schedule::new(16), both(None, None));
        assert_eq!(schedule.take(TWO, &speeds, true), Some(0..8));
        assert_eq!(schedule.take(ONE, &speeds, true), Some(8..16));
        assert_eq!(schedule.take(ONE, &speeds, false), None);
    }

    #[test]
    fn a_faster_worker_gets_more() {
        let (mut schedule, speeds) = (Schedule::new(16), both(Some(3.0), Some(1.0)));
        assert_eq!(schedule.take(ONE, &speeds, true), Some(0..8));
        assert_eq!(schedule.take(TWO, &speeds, true), Some(8..12));
        assert_eq!(schedule.take(ONE, &speeds, false), Some(12..14));
        assert_eq!(schedule.take(TWO, &speeds, false), Some(14..15));
    }

    /// Whoever asks, loses or is slow: the blocks that stay are nodes of the tree and cover the step.
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

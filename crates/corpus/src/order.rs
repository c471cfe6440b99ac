//! Data order: which sequence is used at which position of which step, and the inverse, in constant time and
//! without a stored index.

use retrace_numerics::random::Stream;
use retrace_spec::run::Order;
use retrace_spec::{Seed, Step};

use crate::CorpusError;

/// Rounds of the Feistel network. Four give a pseudo-random permutation from pseudo-random functions (Luby and
/// Rackoff, 1988); twice as many compensate for small domains.
const ROUNDS: u64 = 8;
/// Minimum number of bits of half a block.
const FEWEST_BITS: u32 = 3;

/// A keyed permutation of 0..n.
///
/// A balanced Feistel network over twice `bits` bits, where 2^(2·bits) ≥ n; a result outside 0..n is encrypted again
/// until it is inside (cycle walking; Black and Rogaway, 2002). Round r of tweak t maps halves (left, right) to
/// (right, left xor F(right)), where F(right) is the low `bits` bits of the stream's first word at step t·8 + r and
/// index `right`.
#[derive(Debug, Clone, Copy)]
pub struct Permutation {
    stream: Stream,
    tweak: u64,
    bits: u32,
    n: u64,
}

impl Permutation {
    /// The permutation of 0..n of the given stream and tweak.
    pub fn new(stream: Stream, tweak: u64, n: u64) -> Self {
        let needed = u64::BITS - n.saturating_sub(1).leading_zeros();
        Self { stream, tweak, bits: needed.div_ceil(2).max(FEWEST_BITS), n }
    }

    fn mask(&self) -> u64 {
        (1 << self.bits) - 1
    }

    fn round(&self, round: u64, half: u64) -> u64 {
        u64::from(self.stream.at(self.tweak.wrapping_mul(ROUNDS).wrapping_add(round), half)[0]) & self.mask()
    }

    /// The image of `at`, below n.
    pub fn at(&self, at: u64) -> u64 {
        let mut value = at;
        loop {
            let (mut left, mut right) = (value >> self.bits, value & self.mask());
            for round in 0..ROUNDS {
                (left, right) = (right, left ^ self.round(round, right));
            }
            value = left << self.bits | right;
            if value < self.n {
                return value;
            }
        }
    }

    /// The preimage of `to`, below n.
    pub fn inverse(&self, to: u64) -> u64 {
        let mut value = to;
        loop {
            let (mut left, mut right) = (value >> self.bits, value & self.mask());
            for round in (0..ROUNDS).rev() {
                (left, right) = (right ^ self.round(round, left), left);
            }
            value = left << self.bits | right;
            if value < self.n {
                return value;
            }
        }
    }
}

/// A phase of a run, as the order needs it.
#[derive(Debug, Clone, Copy)]
pub struct PhaseOrder<'a> {
    /// Its number of steps.
    pub steps: u64,
    /// Share and number of sequences of each source.
    pub sources: &'a [(u32, u64)],
}

/// A sequence and its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// The phase.
    pub phase: usize,
    /// The source in the phase's mix.
    pub source: usize,
    /// The epoch: how often the source was used completely before.
    pub epoch: u64,
    /// The index of the sequence in the source.
    pub sequence: u64,
}

/// The order of a run.
///
/// Position x of a phase is position x mod (batch size) of its step x / (batch size). Of every W consecutive
/// positions, W being the sum of the shares, each source has as many as its share: position x is mapped, by a
/// permutation of 0..W with tweak x / W, to one of W values, of which the first source has the first, and so on. The
/// j-th sequence of a source in a phase is number (j mod n) of its epoch j / n, where the epoch is the tweak of a
/// permutation of its n sequences. In the stored order, every permutation is the identity.
#[derive(Debug)]
pub struct DataOrder {
    order: Order,
    batch_size: u64,
    phases: Vec<Phase>,
}

#[derive(Debug)]
struct Phase {
    before: u64,
    steps: u64,
    total: u64,
    mix: Stream,
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    /// The sum of the shares of the sources before it.
    first: u64,
    share: u64,
    sequences: u64,
    stream: Stream,
}

impl DataOrder {
    /// The order of a run with the given seed. The streams are `data order/phase P` and
    /// `data order/phase P/source S`, numbered from 0.
    pub fn new(order: Order, seed: Seed, batch_size: u64, phases: &[PhaseOrder<'_>]) -> Self {
        let mut before = 0;
        let phases = phases.iter().enumerate().map(|(number, phase)| {
            let mut total = 0;
            let sources = phase.sources.iter().enumerate().map(|(source, (share, sequences))| {
                let first = total;
                total += u64::from(*share);
                let stream = Stream::new(seed.get(), &format!("data order/phase {number}/source {source}"));
                Source { first, share: u64::from(*share), sequences: *sequences, stream }
            });
            let sources = sources.collect();
            let mix = Stream::new(seed.get(), &format!("data order/phase {number}"));
            let phase = Phase { before, steps: phase.steps, total, mix, sources };
            before += phase.steps;
            phase
        });
        Self { order, batch_size, phases: phases.collect() }
    }

    /// The image of `at`, below n.
    fn sent(&self, stream: Stream, tweak: u64, n: u64, at: u64) -> u64 {
        match self.order {
            Order::Shuffled => Permutation::new(stream, tweak, n).at(at),
            Order::AsStored => at,
        }
    }

    /// The preimage of `to`, below n.
    fn sent_from(&self, stream: Stream, tweak: u64, n: u64, to: u64) -> u64 {
        match self.order {
            Order::Shuffled => Permutation::new(stream, tweak, n).inverse(to),
            Order::AsStored => to,
        }
    }

    /// The sequence at position `slot` of the batch of update number `step`, from 1.
    ///
    /// # Errors
    /// If there is no such position, or its source has no sequences.
    pub fn draw(&self, step: Step, slot: u64) -> Result<Drawn, CorpusError> {
        let none = CorpusError::Order { step, slot };
        let Some(before) = step.get().checked_sub(1).filter(|_| slot < self.batch_size) else { return Err(none) };
        let found = self.phases.iter().enumerate().find(|(_, p)| (p.before..p.before + p.steps).contains(&before));
        let Some((number, phase)) = found else { return Err(none) };
        let position = (before - phase.before) * self.batch_size + slot;
        let Some(block) = position.checked_div(phase.total) else { return Err(none) };
        let within = position % phase.total;
        let place = self.sent(phase.mix, block, phase.total, within);
        let found = phase.sources.iter().enumerate().find(|(_, s)| (s.first..s.first + s.share).contains(&place));
        let Some((index, source)) = found else { return Err(none) };
        let drawn = block * source.share + (place - source.first);
        let Some(epoch) = drawn.checked_div(source.sequences) else { return Err(none) };
        let sequence = self.sent(source.stream, epoch, source.sequences, drawn % source.sequences);
        Ok(Drawn { phase: number, source: index, epoch, sequence })
    }

    /// The steps and positions at which a sequence of a source is used in a phase, ascending by epoch.
    pub fn seen(&self, phase: usize, source: usize, sequence: u64) -> impl Iterator<Item = (Step, u64)> + '_ {
        let found = self.phases.get(phase).and_then(|phase| Some((phase, phase.sources.get(source)?)));
        let found = found.filter(|(_, source)| sequence < source.sequences && source.share > 0);
        found
            .into_iter()
            .flat_map(move |(phase, source)| {
                let positions = phase.steps * self.batch_size;
                (0..).map_while(move |epoch| {
                    let first = epoch * source.sequences;
                    // No later epoch begins before this one's earliest possible position.
                    if first / source.share * phase.total >= positions {
                        return None;
                    }
                    let drawn = first + self.sent_from(source.stream, epoch, source.sequences, sequence);
                    let block = drawn / source.share;
                    let place = source.first + drawn % source.share;
                    let position = block * phase.total + self.sent_from(phase.mix, block, phase.total, place);
                    Some(
                        (position < positions)
                            .then(|| (Step(phase.before + position / self.batch_size + 1), position % self.batch_size)),
                    )
                })
            })
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn permutation(n: u64, tweak: u64) -> Permutation {
        Permutation::new(Stream::new(5, "test"), tweak, n)
    }

    proptest! {
        #[test]
        fn a_permutation_is_one(n in 1u64..2000, tweak in 0u64..5) {
            let p = permutation(n, tweak);
            let mut seen = vec![false; n as usize];
            for at in 0..n {
                let to = p.at(at);
                prop_assert!(!std::mem::replace(&mut seen[to as usize], true));
                prop_assert_eq!(p.inverse(to), at);
            }
        }

        #[test]
        fn a_huge_permutation_is_invertible(n in (1u64 << 40)..(1 << 62), at in any::<u64>()) {
            let p = permutation(n, 1);
            prop_assert_eq!(p.inverse(p.at(at % n)), at % n);
        }

        /// Compared with a table of all draws, made by iterating over the run.
        #[test]
        fn every_draw_is_found_again(stored: bool, seed in any::<u64>(), batch in 1u64..9, steps in prop::collection::vec(1u64..12, 1..3), sources in prop::collection::vec((1u32..5, 1u64..9), 1..4)) {
            let phases: Vec<_> = steps.iter().map(|steps| PhaseOrder { steps: *steps, sources: &sources }).collect();
            let order = if stored { Order::AsStored } else { Order::Shuffled };
            let order = DataOrder::new(order, Seed(seed), batch, &phases);
            let total: u64 = sources.iter().map(|(share, _)| u64::from(*share)).sum();
            let mut before = 0;
            for (number, phase) in phases.iter().enumerate() {
                let mut draws = Vec::new();
                for step in before + 1..=before + phase.steps {
                    for slot in 0..batch {
                        draws.push((Step(step), slot, order.draw(Step(step), slot).unwrap()));
                    }
                }
                // Shares are exact in every whole block.
                for block in draws.chunks_exact(total as usize) {
                    for (source, (share, _)) in sources.iter().enumerate() {
                        prop_assert_eq!(block.iter().filter(|(.., d)| d.source == source).count(), *share as usize);
                    }
                }
                for (source, (_, sequences)) in sources.iter().enumerate() {
                    for sequence in 0..*sequences {
                        let mut expected: Vec<_> = draws.iter().filter(|(.., d)| d.source == source && d.sequence == sequence).map(|(step, slot, d)| (d.epoch, *step, *slot)).collect();
                        prop_assert!(draws.iter().all(|(.., d)| d.phase == number));
                        expected.sort();
                        // Once per epoch.
                        prop_assert!(expected.windows(2).all(|pair| pair[0].0 < pair[1].0));
                        let found: Vec<_> = order.seen(number, source, sequence).collect();
                        prop_assert_eq!(found, expected.into_iter().map(|(_, step, slot)| (step, slot)).collect::<Vec<_>>());
                    }
                }
                before += phase.steps;
            }
            prop_assert!(order.draw(Step(0), 0).is_err());
            prop_assert!(order.draw(Step(before + 1), 0).is_err());
            prop_assert!(order.draw(Step(1), batch).is_err());
        }
    }

    #[test]
    fn an_empty_source_is_an_error_and_is_never_seen() {
        for sources in [&[][..], &[(1, 0)], &[(0, 5)]] {
            let order = DataOrder::new(Order::Shuffled, Seed(1), 2, &[PhaseOrder { steps: 3, sources }]);
            assert!(order.draw(Step(1), 0).is_err());
            assert_eq!(order.seen(0, 0, 0).take(1).count(), 0);
        }
    }

    #[test]
    fn seeds_phases_and_epochs_have_orders_of_their_own() {
        let sources = [(1, 20)];
        let phase = PhaseOrder { steps: 8, sources: &sources };
        let draws = |seed, steps: std::ops::RangeInclusive<u64>| -> Vec<u64> {
            let order = DataOrder::new(Order::Shuffled, Seed(seed), 5, &[phase, phase]);
            steps
                .flat_map(|step| (0..5).map(move |slot| (step, slot)))
                .map(|(step, slot)| order.draw(Step(step), slot).unwrap().sequence)
                .collect()
        };
        // Four steps of five sequences are one epoch; a phase has two.
        let first = draws(1, 1..=4);
        for other in [draws(2, 1..=4), draws(1, 5..=8), draws(1, 9..=12)] {
            assert_ne!(first, other);
            let mut sorted = other;
            sorted.sort_unstable();
            assert_eq!(sorted, (0..20).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_stored_order_goes_through_the_source_and_begins_again() {
        let phase = PhaseOrder { steps: 3, sources: &[(2, 5)] };
        let order = DataOrder::new(Order::AsStored, Seed(1), 3, &[phase, phase]);
        let at = |step| [0, 1, 2].map(|slot| order.draw(Step(step), slot).unwrap().sequence);
        assert_eq!([1, 2, 3, 4].map(at), [[0, 1, 2], [3, 4, 0], [1, 2, 3], [0, 1, 2]]);
        assert_eq!(order.seen(1, 0, 0).collect::<Vec<_>>(), [(Step(4), 0), (Step(5), 2)]);
    }

    #[test]
    fn images_are_spread_evenly() {
        // Over many tweaks, each of 10 values should be at each position about equally often: chi-squared with 81
        // degrees of freedom is under 130 with probability 0.9995.
        let mut counts = [[0f64; 10]; 10];
        for tweak in 0..2000 {
            for at in 0..10 {
                counts[at as usize][permutation(10, tweak).at(at) as usize] += 1.0;
            }
        }
        let chi: f64 = counts.iter().flatten().map(|count| (count - 200.0).powi(2) / 200.0).sum();
        assert!(chi < 130.0, "{chi}");
    }
}

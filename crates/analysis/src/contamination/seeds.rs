//! The seeds of a search, numbered: short runs of units that lead from a document to the texts that it may have.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::text::{Unit, mixed};

/// Units of a seed that starts with a word, and of one that starts with a character. A question of seven words with one
/// replaced still has a seed.
pub(super) const LENGTH: [usize; 2] = [3, 4];

/// No seed.
pub(super) const NONE: u32 = u32::MAX;

/// So many places of a document are looked up together, so that the processor fetches what they need at the same time.
const BATCH: usize = 256;

/// The hash value of the seed that starts at `at`, if there are units enough.
pub(super) fn seed_at(unit: impl Fn(usize) -> Option<(u64, bool)>, at: usize) -> Option<u64> {
    let (first, cjk) = unit(at)?;
    let mut sum = first;
    for k in 1..LENGTH[usize::from(cjk)] {
        sum = joined(sum, unit(at + k)?.0);
    }
    Some(mixed(sum))
}

#[inline(always)]
const fn joined(sum: u64, unit: u64) -> u64 {
    sum.rotate_left(23).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ unit
}

/// Hash values as they are: they are mixed already.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = mixed(self.0 ^ u64::from(*b));
        }
    }
    fn write_u64(&mut self, x: u64) {
        self.0 = x;
    }
}

/// Numbers by hash value, while seeds are collected.
pub(super) type Numbers = HashMap<u64, u32, BuildHasherDefault<AsIs>>;

/// The numbers of seeds by their hash values.
#[derive(Debug, Default)]
pub(super) struct Seeds {
    /// Two bits for each hash value, in one word: most places of a document end here.
    filter: Vec<u64>,
    /// Each seed at its place or the next that was free. An empty one has no number.
    slots: Vec<Slot>,
    /// The targets that seeds lead to, the last of each with a mark.
    leads: Vec<u32>,
    count: usize,
}

/// A seed of the table.
#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u64,
    number: u32,
    /// Where its targets are in `leads`; [`NONE`] if it leads to none.
    leads: u32,
}

const EMPTY: Slot = Slot { hash: 0, number: NONE, leads: NONE };

/// Of a target that is the last of a seed.
const LAST: u32 = 1 << 31;

/// A seed in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hit {
    pub(super) seed: u32,
    /// The unit that it starts with.
    pub(super) at: u32,
    leads: u32,
}

impl Seeds {
    /// A table of the seeds `numbers`, of which pairs of seed and target, sorted, say where they lead.
    pub(super) fn new(numbers: &Numbers, pairs: &[(u32, u32)]) -> Self {
        let mut seeds = Self {
            filter: vec![0; (numbers.len() / 8).next_power_of_two().max(16)],
            slots: vec![EMPTY; (numbers.len() * 3 / 2).next_power_of_two().max(16)],
            leads: pairs.iter().map(|(_, target)| *target).collect(),
            count: numbers.len(),
        };
        // In the order of their numbers, so that the table is the same each time.
        let mut all: Vec<(u32, u64)> = numbers.iter().map(|(hash, number)| (*number, *hash)).collect();
        all.sort_unstable();
        let mask = seeds.slots.len() - 1;
        let mut pairs = pairs.iter().enumerate().peekable();
        for (number, hash) in all {
            let (word, bits) = seeds.place(hash);
            if let Some(word) = seeds.filter.get_mut(word) {
                *word |= bits;
            }
            let mut leads = NONE;
            while let Some((at, _)) = pairs.next_if(|(_, pair)| pair.0 == number) {
                leads = leads.min(at as u32);
                let last = pairs.peek().is_none_or(|(_, next)| next.0 != number);
                if let Some(lead) = seeds.leads.get_mut(at).filter(|_| last) {
                    *lead |= LAST;
                }
            }
            let free = (0..).map(|next| (hash as usize + next) & mask);
            let free =
                free.take(seeds.slots.len()).find(|at| seeds.slots.get(*at).is_some_and(|slot| slot.number == NONE));
            if let Some(slot) = free.and_then(|at| seeds.slots.get_mut(at)) {
                *slot = Slot { hash, number, leads };
            }
        }
        seeds
    }

    /// How many seeds there are.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// The word of the filter that knows a hash value, and its bits there.
    #[inline(always)]
    fn place(&self, hash: u64) -> (usize, u64) {
        ((hash >> 12) as usize & (self.filter.len() - 1), 1 << (hash & 63) | 1 << (hash >> 6 & 63))
    }

    /// The seed with this hash value, if `first` is what stands at its place.
    #[inline(always)]
    fn seed(&self, hash: u64, first: Slot) -> Slot {
        let mut slot = first;
        let mut at = hash as usize;
        // The table has more slots than seeds: an empty one comes.
        while slot.hash != hash && slot.number != NONE {
            at += 1;
            slot = self.slots.get(at & (self.slots.len() - 1)).copied().unwrap_or(EMPTY);
        }
        slot
    }

    /// The seeds of a document, in place of what `hits` had, in the order of their places.
    ///
    /// Where a seed is in memory nobody can foresee: each loop here fetches for many of them at once.
    pub(super) fn find(&self, units: &[Unit], hits: &mut Vec<Hit>) {
        hits.clear();
        let mut hashes = [0_u64; BATCH];
        let mut words = [(0_u64, 0_u64); BATCH];
        let mut may_be = [(0_u64, 0_u32); BATCH];
        let mut slots = [EMPTY; BATCH];
        for from in (0..units.len()).step_by(BATCH) {
            let places = from..(from + BATCH).min(units.len());
            for ((at, hash), word) in places.clone().zip(&mut hashes).zip(&mut words) {
                let of_seed = match units.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
                    Some([first, second, third, fourth]) => {
                        let three = joined(joined(first.hash, second.hash), third.hash);
                        Some(mixed(if first.cjk { joined(three, fourth.hash) } else { three }))
                    }
                    None => seed_at(|k| units.get(k).map(|unit| (unit.hash, unit.cjk)), at),
                };
                *hash = of_seed.unwrap_or(0);
                let (place, bits) = self.place(*hash);
                // Without units enough there is no seed: bits that no word has.
                *word = (self.filter.get(place).copied().unwrap_or(0), if of_seed.is_some() { bits } else { !0 });
            }
            let mut count = 0;
            for ((at, hash), (word, bits)) in places.zip(&hashes).zip(&words) {
                // Without a branch.
                if let Some(slot) = may_be.get_mut(count) {
                    *slot = (*hash, at as u32);
                }
                count += usize::from(word & bits == *bits);
            }
            for ((hash, _), slot) in may_be.iter().take(count).zip(&mut slots) {
                *slot = self.slots.get(*hash as usize & (self.slots.len() - 1)).copied().unwrap_or(EMPTY);
            }
            let found = may_be.iter().take(count).zip(&slots).map(|((hash, at), slot)| (self.seed(*hash, *slot), *at));
            let found = found.filter(|(slot, _)| slot.number != NONE);
            hits.extend(found.map(|(Slot { number, leads, .. }, at)| Hit { seed: number, at, leads }));
        }
    }

    /// The targets that the seed of `hit` leads to.
    #[inline(always)]
    pub(super) fn targets(&self, hit: Hit) -> impl Iterator<Item = u32> {
        let leads = self.leads.get(hit.leads as usize..).unwrap_or_default().iter();
        let mut ended = false;
        leads.map_while(move |target| (!std::mem::replace(&mut ended, target & LAST != 0)).then_some(target & !LAST))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_seeds_of_a_document_are_those_of_a_map(
            seeds in proptest::collection::vec(0_u64..40, 0..300),
            text in proptest::collection::vec((0_u64..6, any::<bool>()), 0..600),
            leads in proptest::collection::vec((0_u32..40, 0_u32..9), 0..60),
        ) {
            let unit = |(hash, cjk): (u64, bool)| Unit { hash: mixed(hash), start: 0, end: 0, cjk };
            let units: Vec<Unit> = text.into_iter().map(unit).collect();
            let of = |at: usize| seed_at(|k| units.get(k).map(|unit| (unit.hash, unit.cjk)), at);
            let mut numbers = Numbers::default();
            // Some that the document has, some that end at the same place of the table, and 0.
            for seed in seeds {
                let hash = of(seed as usize * 7).unwrap_or(seed << 32);
                let next = numbers.len() as u32;
                numbers.entry(hash).or_insert(next);
            }
            let expected: Vec<(u32, u32)> = (0..units.len())
                .filter_map(|at| Some((*numbers.get(&of(at)?)?, at as u32)))
                .collect();
            let mut pairs: Vec<(u32, u32)> = leads.into_iter().filter(|pair| (pair.0 as usize) < numbers.len()).collect();
            pairs.sort_unstable();
            pairs.dedup();
            let (seeds, mut hits) = (Seeds::new(&numbers, &pairs), Vec::new());
            seeds.find(&units, &mut hits);
            prop_assert_eq!(hits.iter().map(|hit| (hit.seed, hit.at)).collect::<Vec<_>>(), expected);
            for hit in hits {
                let of_seed = pairs.iter().filter(|pair| pair.0 == hit.seed).map(|pair| pair.1);
                prop_assert!(seeds.targets(hit).eq(of_seed));
            }
            prop_assert_eq!(seeds.len(), numbers.len());
        }
    }
}

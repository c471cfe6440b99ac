//! What scans add up to: mergeable, in any order, and kept between runs.

use std::collections::BTreeMap;

use retrace_spec::recipe::{Method, Verdict};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::finding::Finding;

/// So many findings are kept of one item by one method, if nothing else is said. Others are counted.
pub const KEPT: usize = 50;

/// Of so many of them, the document's text around what was found is kept too.
const EXCERPTS: usize = 8;

/// How a finding of [`Method::Spans`] stands to what only the whole corpus can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Basis {
    /// It does not depend on other documents.
    Settled,
    /// A short question without choices and answer: stock if many documents have it like this.
    Bare,
    /// A piece: stock if many documents have it that do not have the item.
    Piece,
}

/// A finding before all documents are known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Candidate {
    pub(super) finding: Finding,
    pub(super) basis: Basis,
    /// Seeds of what was found, for their number of documents.
    pub(super) seeds: Vec<u32>,
}

/// What was found of one item by one method.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct OfItem {
    /// The worst first.
    pub(super) candidates: Vec<Candidate>,
    /// How many there were by verdict in the document alone.
    pub(super) documents: BTreeMap<Verdict, u64>,
    /// Documents with the whole question: with choices or answer, or long enough to stand alone.
    pub(super) whole: u64,
    /// Documents with a short question alone.
    pub(super) bare: u64,
}

/// The results of scanning some documents: of a shard, or of several merged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Which search it belongs to.
    pub(super) search: u64,
    /// So many findings are kept of an item by a method.
    pub(super) kept: usize,
    /// Documents scanned.
    pub documents: u64,
    /// Bytes of text scanned.
    pub bytes: u64,
    /// For each seed, how many documents have it.
    #[serde(with = "sparse")]
    pub(super) seeds: Vec<u32>,
    #[serde(with = "pairs")]
    pub(super) items: BTreeMap<(Method, u32), OfItem>,
}

/// Why two tallies cannot be merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the results are of a search for other items or by other methods")]
pub struct OtherSearch;

impl Tally {
    pub(super) fn new(search: u64, seeds: usize, kept: usize) -> Self {
        Self { search, kept, documents: 0, bytes: 0, seeds: vec![0; seeds], items: BTreeMap::new() }
    }

    /// Adds the results of other documents. The order does not matter.
    ///
    /// # Errors
    /// If they are of another search.
    pub fn merge(&mut self, other: Self) -> Result<(), OtherSearch> {
        if (self.search, self.seeds.len(), self.kept) != (other.search, other.seeds.len(), other.kept) {
            return Err(OtherSearch);
        }
        self.documents += other.documents;
        self.bytes += other.bytes;
        for (count, more) in self.seeds.iter_mut().zip(&other.seeds) {
            *count = count.saturating_add(*more);
        }
        for (key, theirs) in other.items {
            let ours = self.items.entry(key).or_default();
            ours.whole += theirs.whole;
            ours.bare += theirs.bare;
            for (verdict, count) in theirs.documents {
                *ours.documents.entry(verdict).or_insert(0) += count;
            }
            for candidate in theirs.candidates {
                ours.keep(candidate, self.kept);
            }
        }
        Ok(())
    }

    pub(super) fn add(&mut self, candidate: Candidate) {
        let of_item = self.items.entry((candidate.finding.method, candidate.finding.item)).or_default();
        *of_item.documents.entry(candidate.finding.verdict).or_insert(0) += 1;
        if candidate.finding.verdict == Verdict::Leak {
            match candidate.basis {
                Basis::Settled => of_item.whole += 1,
                Basis::Bare => of_item.bare += 1,
                Basis::Piece => {}
            }
        }
        of_item.keep(candidate, self.kept);
    }
}

impl OfItem {
    /// Keeps `candidate` if it is among the worst. Of all that are ever given, the same ones are kept in any order.
    fn keep(&mut self, candidate: Candidate, most: usize) {
        let worse = |one: &Candidate, two: &Candidate| {
            // One that may turn out to be a stock phrase must not push out one that cannot.
            let basis = one.basis.cmp(&two.basis);
            let (one, two) = (&one.finding, &two.finding);
            one.verdict
                .cmp(&two.verdict)
                .then(basis)
                .then(two.score.total_cmp(&one.score))
                .then_with(|| one.shard.cmp(&two.shard))
                .then_with(|| one.document.cmp(&two.document))
                .then(one.line.cmp(&two.line))
        };
        let at = self.candidates.partition_point(|kept| worse(kept, &candidate).is_le());
        if at < most {
            self.candidates.insert(at, candidate);
            self.candidates.truncate(most);
            // None that is here now was or will be among the worst.
            self.candidates.iter_mut().skip(EXCERPTS).for_each(|candidate| candidate.finding.excerpt = None);
        }
    }

    /// How many were found but not kept.
    pub(super) fn dropped(&self) -> u64 {
        self.documents.values().sum::<u64>() - self.candidates.len() as u64
    }

    /// How many of these leak the item, by what is in the document alone.
    pub(super) fn dropped_leaks(&self) -> u64 {
        let kept = self.candidates.iter().filter(|candidate| candidate.finding.verdict == Verdict::Leak).count();
        self.documents.get(&Verdict::Leak).copied().unwrap_or(0) - kept as u64
    }
}

/// Counts of which most are 0, as their length and pairs of place and count.
mod sparse {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(counts: &[u32], serializer: S) -> Result<S::Ok, S::Error> {
        let pairs: Vec<(usize, u32)> = counts.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect();
        (counts.len(), pairs).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u32>, D::Error> {
        let (length, pairs) = <(usize, Vec<(usize, u32)>)>::deserialize(deserializer)?;
        // A search of more seeds than this does not fit a seed's number.
        if length > u32::MAX as usize {
            return Err(D::Error::custom("more counts than there can be seeds"));
        }
        let mut counts = Vec::new();
        counts.try_reserve_exact(length).map_err(D::Error::custom)?;
        counts.resize(length, 0);
        for (place, count) in pairs {
            *counts.get_mut(place).ok_or_else(|| D::Error::custom("a count beyond the last seed"))? = count;
        }
        Ok(counts)
    }
}

/// A map by method and item as a list: a key of JSON is a string.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Method, OfItem};

    type Items = BTreeMap<(Method, u32), OfItem>;

    pub(super) fn serialize<S: Serializer>(items: &Items, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(items.iter())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Items, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

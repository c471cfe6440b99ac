//! The benchmarks' items, arranged so that a document is compared only with the few that it may have.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::item::{BenchmarkItem, Part, Piece};
use super::judge::SHORTEST_ANSWER;
use super::seeds::{LENGTH, NONE, Numbers, Seeds, seed_at};
use super::sentences::{asking, asks, frames, quoted};
use super::text::{Reader, Unit};
use super::words::{Class, Commonness};

/// A seed that stands in more targets than this leads to none of them, unless they have hardly any other.
const CROWDED: usize = 200;

/// A phrase belongs to a form if so many items have it, and half of those that have most phrases of the target: a value
/// that is one of a few is in some items too.
const FORM: u32 = 4;

/// Of a target, at least this many seeds lead to it, the rarest.
const LEADING: usize = 3;

/// A text that is searched for: a part of one item, or of several that have the same text there.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) part: Part,
    pub(super) units: Vec<u64>,
    /// What each unit is and how much it tells, from 0 to 1.
    pub(super) classes: Vec<Class>,
    pub(super) weights: Vec<f64>,
    /// How much the units tell together, however common each word is among items.
    pub(super) content: f64,
    /// The same, however many items have its phrases.
    pub(super) alone: f64,
    /// Whether each unit stands in a phrase of the form that many items have. All false if they have no form.
    pub(super) of_form: Vec<bool>,
    /// The number of the seed that starts at each unit, or [`NONE`].
    pub(super) seeds: Vec<u32>,
    /// How many different seeds there are that lead to the target.
    pub(super) leading: u32,
    /// The items that have it.
    pub(super) items: Vec<u32>,
    /// How many items have its text as an answer or a choice.
    pub(super) alike: usize,
    /// Whether it has a word that asks.
    pub(super) asks: bool,
    /// Whether each unit is such a word.
    pub(super) asking: Vec<bool>,
    /// Of a question: the sentences that ask about the rest of it.
    pub(super) frames: Vec<Range<usize>>,
    /// Whether each unit stands within quotation marks.
    pub(super) quoted: Vec<bool>,
}

impl Target {
    /// Its length in words; three characters are as long as two words.
    pub(super) fn words(&self) -> f64 {
        self.classes.iter().map(|class| if class.is_cjk() { 2.0 / 3.0 } else { 1.0 }).sum()
    }
}

/// A piece of an item and its target.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) piece: Piece,
    /// None if it has no units.
    pub(super) target: Option<u32>,
    /// Where the units of the piece are in its text, in bytes from the start of the piece.
    pub(super) places: Vec<(u32, u32)>,
}

/// Targets by their seeds.
#[derive(Debug)]
pub(super) struct Targets {
    pub(super) all: Vec<Target>,
    /// For each item, its pieces.
    pub(super) own: Vec<Vec<Own>>,
    pub(super) seeds: Seeds,
    /// The letters of choices, from A on, as units.
    pub(super) letters: Vec<u64>,
    /// For each target, how many of its seeds a document must have to be compared with it.
    pub(super) least: Vec<u32>,
}

impl Targets {
    pub(super) fn new(items: &[BenchmarkItem], reader: &Reader) -> Self {
        let commonness = Commonness::new(reader);
        let mut targets = Self {
            all: Vec::new(),
            own: Vec::with_capacity(items.len()),
            seeds: Seeds::default(),
            least: Vec::new(),
            letters: Vec::new(),
        };
        let mut letters = Vec::new();
        reader.units("a b c d e f g h i j", &mut letters);
        targets.letters = letters.iter().map(|unit| unit.hash).collect();
        let mut same: HashMap<(Part, Vec<u64>), u32> = HashMap::new();
        let mut units = Vec::new();
        let mut cjk: Vec<Vec<bool>> = Vec::new();
        for (number, item) in items.iter().enumerate() {
            let mut own = Vec::new();
            for piece in item.pieces() {
                let text = item.text(&piece);
                reader.units(text, &mut units);
                let question = piece.part == Part::Question;
                let target = (!units.is_empty()).then(|| {
                    let hashes: Vec<u64> = units.iter().map(|unit| unit.hash).collect();
                    let target = *same.entry((piece.part, hashes)).or_insert_with_key(|(_, hashes)| {
                        targets.all.push(Target {
                            part: piece.part,
                            units: hashes.clone(),
                            classes: commonness.classes(text, &units),
                            weights: Vec::new(),
                            content: 0.0,
                            alone: 0.0,
                            of_form: Vec::new(),
                            seeds: Vec::new(),
                            leading: 0,
                            items: Vec::new(),
                            alike: 0,
                            asks: question && asks(text),
                            asking: if question { asking(text, &units) } else { Vec::new() },
                            frames: if question { frames(text, &units) } else { Vec::new() },
                            quoted: if question { quoted(text, &units) } else { Vec::new() },
                        });
                        cjk.push(units.iter().map(|unit| unit.cjk).collect());
                        targets.all.len() as u32 - 1
                    });
                    if let Some(known) = targets.all.get_mut(target as usize)
                        && known.items.last() != Some(&(number as u32))
                    {
                        known.items.push(number as u32);
                    }
                    target
                });
                let places = places(&units);
                own.push(Own { piece, target, places });
            }
            targets.own.push(own);
        }
        let answers = |target: &Target| {
            let of = |part: Part| targets.all.get(*same.get(&(part, target.units.clone()))? as usize);
            [Part::Choices, Part::Answer].into_iter().filter_map(of).map(|of| of.items.len()).max().unwrap_or(0)
        };
        let alike: Vec<usize> = targets.all.iter().map(answers).collect();
        targets.all.iter_mut().zip(alike).for_each(|(target, alike)| target.alike = alike);
        drop(same);
        let numbers = targets.number_seeds(&cjk);
        targets.weigh(items.len(), &commonness, numbers.len());
        let pairs = targets.lead(numbers.len());
        targets.seeds = Seeds::new(&numbers, &pairs);
        targets
    }

    /// Numbers the seeds of all targets that are looked for by themselves.
    fn number_seeds(&mut self, cjk: &[Vec<bool>]) -> Numbers {
        let mut numbers = Numbers::default();
        for (target, cjk) in self.all.iter_mut().zip(cjk) {
            let unit = |at: usize| Some((*target.units.get(at)?, *cjk.get(at)?));
            target.seeds = (0..target.units.len())
                .map(|at| {
                    let Some(hash) = seed_at(unit, at) else { return NONE };
                    let next = numbers.len() as u32;
                    *numbers.entry(hash).or_insert(next)
                })
                .collect();
        }
        numbers
    }

    /// Weighs units: what stands in many items tells little (a template), and so do common words, and what the
    /// target repeats.
    fn weigh(&mut self, items: usize, commonness: &Commonness, seeds: usize) {
        let mut in_items = vec![0_u32; seeds];
        let mut units: HashMap<u64, u32> = HashMap::new();
        for target in &self.all {
            // Items share a passage without being of one template.
            let owners = if target.part == Part::Question { target.items.len() as u32 } else { 1 };
            let mut seeds = target.seeds.clone();
            seeds.sort_unstable();
            seeds.dedup();
            for seed in seeds.into_iter().filter(|seed| *seed != NONE) {
                if let Some(count) = in_items.get_mut(seed as usize) {
                    *count += owners;
                }
            }
            let mut different = target.units.clone();
            different.sort_unstable();
            different.dedup();
            for unit in different {
                *units.entry(unit).or_insert(0) += owners;
            }
        }
        let whole = libm::log(items as f64 + 1.0);
        // 1 for what one item has, 0 for what all have. ln((n + 1) / df) / ln(n + 1), so that it holds for one item too.
        let rarity = |count: u32| ((whole - libm::log(f64::from(count.max(1)))) / whole).clamp(0.0, 1.0);
        // A phrase that many items have is a template, however many items there are. Four may be versions of one.
        let own = |count: u32| libm::sqrt(4.0 / f64::from(count.max(4)));
        for target in &mut self.all {
            let mut template = vec![1.0_f64; target.units.len()];
            target.of_form = vec![false; target.units.len()];
            let count = |seed: &u32| in_items.get(*seed as usize).copied();
            let mut counts: Vec<u32> = target.seeds.iter().filter_map(count).collect();
            counts.sort_unstable();
            let least = FORM.max(counts.get(counts.len() * 9 / 10).map_or(0, |most| most.div_ceil(2)));
            for (at, seed) in target.seeds.iter().enumerate() {
                let Some(count) = count(seed) else { continue };
                let length = LENGTH[usize::from(target.classes.get(at).is_some_and(|class| class.is_cjk()))];
                for weight in template.iter_mut().skip(at).take(length) {
                    *weight = weight.min(own(count));
                }
                for of_form in target.of_form.iter_mut().skip(at).take(length) {
                    *of_form |= target.part == Part::Question && count >= least;
                }
            }
            // Few phrases have the first and the last words: there the word alone says it.
            let edge = target.seeds.iter().filter(|seed| **seed == NONE).count();
            let inside = edge..target.units.len().saturating_sub(edge);
            for (at, (unit, of_form)) in target.units.iter().zip(&mut target.of_form).enumerate() {
                let common = units.get(unit).is_some_and(|count| *count >= least);
                *of_form |= target.part == Part::Question && common && !inside.contains(&at);
            }
            let mut repeats: BTreeMap<u64, u32> = BTreeMap::new();
            for unit in &target.units {
                *repeats.entry(*unit).or_insert(0) += 1;
            }
            target.weights.clear();
            for ((unit, class), template) in target.units.iter().zip(&target.classes).zip(template) {
                let known = units.get(unit).copied().unwrap_or(1);
                let repeated = f64::from(repeats.get(unit).copied().unwrap_or(1));
                let alone = commonness.weight(*unit, *class) / libm::sqrt(repeated);
                let content = alone * template;
                target.alone += alone;
                target.content += content;
                target.weights.push(content * (0.5 + 0.5 * rarity(known)));
            }
        }
    }

    /// Says which targets each seed leads to: pairs of seed and target, sorted.
    fn lead(&mut self, seeds: usize) -> Vec<(u32, u32)> {
        let mut counts = vec![0_u32; seeds];
        let looked_for = |target: &Target| match target.part {
            Part::Question | Part::Passage | Part::Solution => true,
            Part::Answer | Part::Choices => target.units.len() >= SHORTEST_ANSWER,
        };
        let different = |target: &Target| {
            let mut seeds: Vec<u32> = target.seeds.iter().copied().filter(|seed| *seed != NONE).collect();
            seeds.sort_unstable();
            seeds.dedup();
            seeds
        };
        for target in self.all.iter().filter(|target| looked_for(target)) {
            for seed in different(target) {
                if let Some(count) = counts.get_mut(seed as usize) {
                    *count += 1;
                }
            }
        }
        let mut pairs: Vec<(u32, u32)> = Vec::new();
        for (number, target) in self.all.iter_mut().enumerate() {
            if !looked_for(target) {
                continue;
            }
            let mut seeds: Vec<(u32, u32)> = different(target)
                .into_iter()
                .map(|seed| (counts.get(seed as usize).copied().unwrap_or(0), seed))
                .collect();
            seeds.sort_unstable();
            let uncrowded = seeds.iter().take_while(|(count, _)| *count as usize <= CROWDED).count();
            seeds.truncate(uncrowded.max(LEADING));
            target.leading = seeds.len() as u32;
            pairs.extend(seeds.into_iter().map(|(_, seed)| (seed, number as u32)));
        }
        self.least = self
            .all
            .iter()
            .map(|target| match target.part {
                // A fifth: of a text with a tenth of its words replaced, a third and more are left.
                Part::Question | Part::Passage | Part::Solution => target.leading.div_ceil(5),
                Part::Answer | Part::Choices => target.leading.div_ceil(2),
            })
            .collect();
        pairs.sort_unstable();
        pairs
    }

    pub(super) fn get(&self, target: u32) -> Option<&Target> {
        self.all.get(target as usize)
    }
}

fn places(units: &[Unit]) -> Vec<(u32, u32)> {
    units.iter().map(|unit| (unit.start as u32, unit.end as u32)).collect()
}

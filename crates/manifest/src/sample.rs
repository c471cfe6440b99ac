//! A random part of the files, and what checking it proves.

use std::collections::BTreeSet;

use retrace_spec::RelPath;
use serde::Serialize;

/// A random choice of files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileSample {
    /// The chosen files.
    #[serde(skip)]
    pub chosen: BTreeSet<RelPath>,
    /// The number of chosen files.
    pub files: usize,
    /// The total number of files.
    pub of: usize,
    /// If this many files were changed, the sample would contain one of them with a probability of at least 95 %.
    pub would_find: usize,
    /// The seed of the choice: with it, anyone can reproduce the choice.
    pub seed: String,
}

/// Chooses `fraction` of `paths`, rounded up: those with the smallest BLAKE3 over the seed and the path. Without
/// knowing the seed in advance the choice cannot be predicted.
pub fn sample<'a>(paths: impl Iterator<Item = &'a RelPath>, fraction: f64, seed: &str) -> FileSample {
    let key = |path: &RelPath| {
        let mut hasher = blake3::Hasher::new_derive_key("retrace 2026 sample of files");
        hasher.update(&(seed.len() as u64).to_le_bytes()).update(seed.as_bytes()).update(path.as_str().as_bytes());
        *hasher.finalize().as_bytes()
    };
    let mut all: Vec<([u8; 32], &RelPath)> = paths.map(|path| (key(path), path)).collect();
    all.sort();
    let files = ((all.len() as f64 * fraction).ceil() as usize).min(all.len());
    let chosen = all.iter().take(files).map(|(_, path)| (*path).clone()).collect();
    FileSample { chosen, files, of: all.len(), would_find: would_find(files, all.len(), 0.95), seed: seed.to_owned() }
}

/// The smallest number of changed files among `of` for which a random choice of `files` contains one with a
/// probability of at least `confidence`: 1 − C(of − k, files) / C(of, files), from the hypergeometric distribution.
/// More than `of` if the choice is empty.
pub fn would_find(files: usize, of: usize, confidence: f64) -> usize {
    let mut missed = 1.0;
    for changed in 0..=of {
        if 1.0 - missed >= confidence {
            return changed;
        }
        // One more changed file, and none of them is chosen.
        let left = of - changed;
        missed *= (left.saturating_sub(files)) as f64 / left.max(1) as f64;
    }
    of + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_the_seed_s() {
        let paths: Vec<RelPath> = (0..1000).map(|i| format!("f{i}").parse().unwrap()).collect();
        let chosen = |seed| sample(paths.iter(), 0.05, seed).chosen;
        assert_eq!(chosen("a").len(), 50);
        assert_eq!(chosen("a"), chosen("a"));
        assert_ne!(chosen("a"), chosen("b"));
        assert_eq!(sample(paths.iter(), 0.0001, "a").files, 1);
        assert_eq!(sample(paths.iter(), 1.0, "a").would_find, 1);
        assert_eq!(sample([].into_iter(), 0.5, "a").files, 0);
    }

    /// Compared with all possible choices, counted.
    #[test]
    fn what_it_proves_is_the_count_of_choices() {
        for of in 1usize..=10 {
            for files in 0..=of {
                let choices: Vec<u32> = (0u32..1 << of).filter(|set| set.count_ones() as usize == files).collect();
                let finds = |changed: usize| {
                    let hit = choices.iter().filter(|set| *set & ((1 << changed) - 1) != 0).count();
                    hit as f64 / choices.len() as f64
                };
                for confidence in [0.5, 0.9, 0.95] {
                    // A small tolerance, because 1 − 0.1 is not exactly 0.9 in floating point.
                    let expected = (0..=of).find(|changed| finds(*changed) >= confidence - 1e-12).unwrap_or(of + 1);
                    let found = would_find(files, of, confidence - 1e-12);
                    assert_eq!(found, expected, "{files} of {of} at {confidence}");
                }
            }
        }
    }
}

//! Which steps use a document, against the batches themselves.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use retrace_corpus::tokens::Writer;
use retrace_files::{Root, WholeFile};
use retrace_numerics::random::Stream;
use retrace_spec::{Digest, Document, RelPath, Run, Step};
use retrace_train::Batches;

mod small;

use small::RUN;

/// Tokens of the model.
const VOCABULARY: u32 = 512;

/// The documents of a token shard: where each is from, and the one token that all of it consists of and no other has.
type Tokens = BTreeMap<(RelPath, usize), u32>;

/// Writes a token shard of documents of 1 to 40 tokens, from two files of which every second line is a document.
fn write(root: &Path, name: &str, seed: u64, documents: u64, next: &mut u32) -> Tokens {
    let file = WholeFile::create(&root.join(format!("{name}.tokens"))).unwrap();
    let mut writer = Writer::create(file, VOCABULARY, Digest::of(b"")).unwrap();
    let lengths = Stream::new(seed, name);
    let mut tokens = Tokens::new();
    for part in 0..2 {
        let shard: RelPath = format!("raw/{name}-{part}.jsonl").parse().unwrap();
        writer.begin_shard(shard.clone());
        for number in 0..documents {
            let (line, length) = (number as usize * 2 + 1, 1 + lengths.below(part, number, 40) as usize);
            writer.add(line, &vec![*next; length]).unwrap();
            tokens.insert((shard.clone(), line), *next);
            *next += 1;
        }
    }
    writer.finish().unwrap();
    tokens
}

/// The steps in whose batches each token stands, as an input or as a target.
fn drawn(batches: &Batches, steps: u64) -> BTreeMap<u32, BTreeSet<Step>> {
    let mut drawn: BTreeMap<u32, BTreeSet<Step>> = BTreeMap::new();
    for step in (1..=steps).map(Step) {
        let batch = batches.batch(step).unwrap();
        for token in batch.inputs.into_iter().chain(batch.targets.into_iter().flatten()) {
            drawn.entry(token).or_default().insert(step);
        }
    }
    drawn
}

#[test]
fn the_steps_of_a_document_are_those_whose_batches_have_its_tokens() {
    let (mut once, mut often, mut never) = (0, 0, 0);
    for seed in 0..12 {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let mut next = 1;
        let mut tokens = write(root, "a", seed, 30, &mut next);
        tokens.extend(write(root, "b", seed, 4 + seed, &mut next));
        let run = RUN
            .replace("vocab_size: 32", &format!("vocab_size: {VOCABULARY}"))
            .replace("seed: 1", &format!("seed: {seed}"))
            .replace("batch_size: 6", &format!("batch_size: {}", [2, 4, 6][seed as usize % 3]))
            .replace("sequence_length: 16", &format!("sequence_length: {}", 8 + seed));
        let run = match seed % 4 {
            3 => run.replace("share: 3}, {tokens: b.tokens, ", "") + "order: as_stored\n",
            _ => run,
        };
        let run = Run::parse(&run, "run.yaml").unwrap();
        let batches = Batches::open(&Root::open(root).unwrap(), &run).unwrap();
        let drawn = drawn(&batches, 12);
        for ((shard, line), token) in &tokens {
            let expected = drawn.get(token).cloned().unwrap_or_default();
            match expected.len() {
                0 => never += 1,
                1 => once += 1,
                _ => often += 1,
            }
            assert_eq!(batches.seen(shard, *line), Some(expected), "{shard}:{line}, seed {seed}");
            // The line after it is no document.
            assert_eq!(batches.seen(shard, line + 1), None);
        }
        assert_eq!(batches.seen(&"clean/a-0.jsonl".parse().unwrap(), 1), None);
    }
    assert!(once > 100 && often > 100 && never > 100, "{once} {often} {never}");
}

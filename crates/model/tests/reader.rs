//! A reader's scores with every family and engine: those of complete sequences, to the bit, however the sequences are
//! divided.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use retrace_files::Root;
use retrace_model::{Engine, Inference, Node, Part, Reader, Score, hub};
use retrace_numerics::cross_entropy::scores;
use retrace_numerics::random::Stream;

fn cases() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hub");
    let mut found: Vec<PathBuf> = std::fs::read_dir(all).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    assert!(found.len() >= 35, "{}", found.len());
    found
}

fn model(case: &Path, engine: Engine) -> Inference {
    let (model, weights) = hub::read(&Root::open(case).unwrap()).unwrap();
    Inference::new(&model, weights, engine).unwrap()
}

/// Numbers below a bound, the same in every run.
struct Chance(Stream, u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.1 += 1;
        self.0.below(0, self.1, n as u64) as usize
    }
}

/// A node of a random tree: its parent, and all tokens up to its end.
struct Grown {
    node: Node,
    parent: Option<usize>,
    sequence: Vec<u32>,
    kept: bool,
    followed: bool,
}

/// Whether a node and all before it are kept, or were read in this call.
fn is_here(grown: &[Grown], touched: &[usize], at: usize) -> bool {
    let here = grown[at].kept || touched.contains(&at);
    here && grown[at].parent.is_none_or(|parent| is_here(grown, touched, parent))
}

/// The scores of the last `count` tokens of a sequence, from the logits of the complete sequence.
fn whole(model: &Inference, sequence: &[u32], count: usize, asked: &[(usize, u32)]) -> Vec<Score> {
    let mut logits = model.logits(sequence, sequence.len()).unwrap();
    let width = model.description().vocab_size;
    scores(&mut logits[(sequence.len() - count) * width..], width, asked)
}

fn bits(scores: &[Score]) -> Vec<(u32, u32)> {
    scores.iter().map(|score| (score.loss.to_bits(), score.best)).collect()
}

/// Grows a random tree: several parts in a call, some after others of the same call, some kept and continued.
fn grow(model: &Inference, chance: &mut Chance, calls: usize) {
    let (longest, vocabulary) = (model.description().max_position_embeddings, model.description().vocab_size);
    let reader = Reader::new(model);
    let mut reader = if chance.below(2) == 0 { reader.packed() } else { reader };
    let mut grown: Vec<Grown> = Vec::new();
    for _ in 0..calls {
        let mut parts = Vec::new();
        let mut touched = Vec::new();
        for _ in 0..1 + chance.below(4) {
            let continued = (0..grown.len()).find(|at| {
                is_here(&grown, &touched, *at) && !grown[*at].followed && !touched.contains(at) && chance.below(3) == 0
            });
            let at = match continued {
                Some(at) => at,
                None => {
                    let parent = match grown.is_empty() {
                        true => None,
                        false => Some(chance.below(grown.len())).filter(|at| is_here(&grown, &touched, *at)),
                    };
                    let node = reader.node(parent.map(|at| grown[at].node)).unwrap();
                    let sequence = parent.map(|at| grown[at].sequence.clone()).unwrap_or_default();
                    if let Some(parent) = parent {
                        grown[parent].followed = true;
                    }
                    grown.push(Grown { node, parent, sequence, kept: true, followed: false });
                    grown.len() - 1
                }
            };
            let room = longest - grown[at].sequence.len();
            if room == 0 {
                // A node that is never read cannot be continued.
                grown[at].kept = continued.is_some();
                continue;
            }
            let few = [2, 5, 40][chance.below(3)];
            let count = 1 + chance.below(room.min(few));
            let tokens: Vec<u32> = (0..count).map(|_| chance.below(vocabulary) as u32).collect();
            let mut asked: Vec<(usize, u32)> = Vec::new();
            for row in 0..count {
                for _ in 0..chance.below(3) {
                    asked.push((row, chance.below(vocabulary) as u32));
                }
            }
            grown[at].sequence.extend_from_slice(&tokens);
            grown[at].kept = chance.below(3) > 0;
            touched.push(at);
            parts.push((at, tokens, asked));
        }
        let given: Vec<Part<'_>> = parts
            .iter()
            .map(|(at, tokens, asked)| Part { node: grown[*at].node, tokens, asked, keep: grown[*at].kept })
            .collect();
        let found = reader.read(&given).unwrap();
        for ((at, tokens, asked), found) in parts.iter().zip(found) {
            let expected = whole(model, &grown[*at].sequence, tokens.len(), asked);
            assert_eq!(bits(&found), bits(&expected));
        }
    }
}

#[test]
fn every_family_is_read_to_the_bit() {
    for case in cases() {
        for engine in Engine::ALL {
            let model = model(&case, engine);
            let mut chance = Chance(Stream::new(11, &case.file_name().unwrap().to_string_lossy()), 0);
            for _ in 0..3 {
                grow(&model, &mut chance, if engine == Engine::Fused { 8 } else { 2 });
            }
        }
    }
}

#[test]
fn threads_make_no_difference() {
    let case = cases().swap_remove(0);
    let read = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let model = model(&case, Engine::Fused);
            let mut reader = Reader::new(&model);
            let node = reader.node(None).unwrap();
            let part = Part { node, tokens: &[1, 2, 3, 4, 5], asked: &[(0, 2), (4, 1)], keep: false };
            bits(&reader.read(&[part]).unwrap().concat())
        })
    };
    let one = read(1);
    assert!([2, 3].into_iter().all(|threads| read(threads) == one));
}

fn part<'a>(node: Node, tokens: &'a [u32], asked: &'a [(usize, u32)], keep: bool) -> Part<'a> {
    Part { node, tokens, asked, keep }
}

#[test]
fn what_cannot_be_read_is_refused() {
    for engine in Engine::ALL {
        let model = model(&cases()[0], engine);
        let (longest, vocabulary) =
            (model.description().max_position_embeddings, model.description().vocab_size as u32);
        let mut reader = Reader::new(&model);
        let root = reader.node(None).unwrap();
        let refused = |reader: &mut Reader<'_>, part: Part<'_>| reader.read(&[part]).unwrap_err().to_string();
        assert!(refused(&mut reader, part(root, &[], &[], true)).contains("no tokens"));
        assert!(refused(&mut reader, part(root, &vec![1; longest + 1], &[], true)).contains("longer than"));
        assert!(refused(&mut reader, part(root, &[vocabulary], &[], true)).contains("outside the vocabulary"));
        assert!(refused(&mut reader, part(root, &[1], &[(0, vocabulary)], true)).contains("outside the vocabulary"));
        assert!(refused(&mut reader, part(root, &[1], &[(1, 0)], true)).contains("not about tokens"));
        assert!(refused(&mut reader, part(root, &[1, 2], &[(1, 0), (0, 0)], true)).contains("ascending"));
        let child = reader.node(Some(root)).unwrap();
        assert!(refused(&mut reader, part(child, &[1], &[], true)).contains("was not read"));
        // What was refused was not read: the root still has no tokens.
        reader.read(&[part(root, &[1, 2], &[], true), part(child, &[3], &[(0, 1)], false)]).unwrap();
        assert!(refused(&mut reader, part(root, &[4], &[], true)).contains("cannot be continued"));
        assert!(refused(&mut reader, part(child, &[4], &[], true)).contains("cannot be continued"));
        let grandchild = reader.node(Some(child)).unwrap();
        assert!(refused(&mut reader, part(grandchild, &[4], &[], true)).contains("not kept"));
        reader.forget(root);
        assert!(reader.node(Some(root)).unwrap_err().to_string().contains("forgotten"));
        let again = reader.node(None).unwrap();
        assert_ne!(again, root);
    }
}

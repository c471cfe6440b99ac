//! The hash by which Xet storage names a file, which hubs list as `xetHash`.
//!
//! A file is cut into chunks where its content says so (8 KiB to 128 KiB, 64 KiB on average); a chunk is hashed by keyed
//! BLAKE3, and the hashes are the leaves of a tree whose branching follows from the hashes too. The source is the Xet
//! Protocol Specification 1.1.0, `spec/chunking.md` and `spec/hashing.md` in <https://github.com/huggingface/xet-core>.
//! The rule by which nodes are grouped is not in it, but in `aggregated_hashes.rs` there, and in the Internet-Draft
//! draft-denis-xet-03.

use std::fmt::Write;

/// A chunk is not cut before it has this many bytes, unless the file ends.
const LEAST: usize = 8 << 10;
/// A chunk is cut when it has this many bytes.
const MOST: usize = 128 << 10;
/// A chunk is cut where these bits of the rolling hash are zero: one position in 65,536.
const MASK: u64 = 0xffff << 48;
/// The rolling hash has 64 bits and is shifted by one for each byte: earlier bytes have left it.
const WINDOW: usize = 64;
/// The key of a chunk's hash.
const CHUNK_KEY: [u8; 32] = [
    102, 151, 245, 119, 91, 149, 80, 222, 49, 53, 203, 172, 165, 151, 24, 28, 157, 228, 33, 16, 155, 235, 43, 88, 180,
    208, 176, 75, 147, 173, 242, 41,
];
/// The key of a node's hash.
const NODE_KEY: [u8; 32] = [
    1, 126, 197, 199, 165, 71, 41, 150, 253, 148, 102, 102, 180, 138, 2, 230, 93, 221, 83, 111, 55, 199, 109, 210, 248,
    99, 82, 230, 74, 83, 113, 63,
];
/// The key of a file's hash.
const FILE_KEY: [u8; 32] = [0; 32];
/// A group of nodes ends at the first one, from the third, whose last eight bytes as a number are divisible by this.
const BRANCHING: u64 = 4;
/// A group of nodes has at most this many.
const LARGEST_GROUP: usize = 9;

/// A chunk, or the nodes below it.
#[derive(Clone, Copy)]
struct Node {
    hash: blake3::Hash,
    /// The bytes of the file that it covers.
    length: u64,
}

/// The state of a file's hash. It takes a few kilobytes, however long the file is.
pub(crate) struct Xet {
    rolling: gearhash::Hasher<'static>,
    /// The bytes of the chunk that is not yet cut.
    chunk: blake3::Hasher,
    /// Their number.
    length: usize,
    /// For each level of the tree, from the chunks up, the nodes whose group is not yet complete.
    levels: Vec<Vec<Node>>,
}

impl Xet {
    pub(crate) fn new() -> Self {
        let chunk = blake3::Hasher::new_keyed(&CHUNK_KEY);
        Self { rolling: gearhash::Hasher::default(), chunk, length: 0, levels: Vec::new() }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, cut) = self.of_chunk(bytes);
            let (of_chunk, rest) = bytes.split_at(now);
            self.chunk.update(of_chunk);
            self.length += now;
            if cut {
                self.cut();
            }
            bytes = rest;
        }
    }

    /// How many of `bytes` belong to the current chunk, and whether it ends with them.
    fn of_chunk(&mut self, bytes: &[u8]) -> (usize, bool) {
        let until = |length: usize| bytes.len().min(length.saturating_sub(self.length));
        // What has left the rolling hash before the first possible cut needs not enter it.
        let (skipped, untested, most) = (until(LEAST - WINDOW), until(LEAST - 1), until(MOST));
        self.rolling.update(bytes.get(skipped..untested).unwrap_or_default());
        match self.rolling.next_match(bytes.get(untested..most).unwrap_or_default(), MASK) {
            Some(more) => (untested + more, true),
            None => (most, self.length + most == MOST),
        }
    }

    /// Ends the chunk.
    fn cut(&mut self) {
        let node = Node { hash: self.chunk.finalize(), length: self.length as u64 };
        self.chunk.reset();
        self.rolling.set_hash(0);
        self.length = 0;
        self.add(0, node);
    }

    /// Adds a node to a level, and the node of its group to the level above if that is complete now.
    fn add(&mut self, level: usize, mut node: Node) {
        for level in level.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let Some(group) = self.levels.get_mut(level) else { return };
            group.push(node);
            let ends = number_at_end(&node.hash).is_multiple_of(BRANCHING);
            if group.len() < LARGEST_GROUP && !(group.len() > 2 && ends) {
                return;
            }
            node = merge(group);
            group.clear();
        }
    }

    /// The hash, in the order of its hexadecimal form.
    pub(crate) fn finish(mut self) -> [u8; 32] {
        if self.length > 0 {
            self.cut();
        }
        let mut level = 0;
        while let Some(group) = self.levels.get(level) {
            match group.as_slice() {
                // The only node of the highest level: if there were others, there would be a level above.
                [root] if level + 1 == self.levels.len() => {
                    return in_words(&blake3::keyed_hash(&FILE_KEY, root.hash.as_bytes()));
                }
                [] => {}
                rest => {
                    let node = merge(rest);
                    self.add(level + 1, node);
                }
            }
            level += 1;
        }
        // Of an empty file, by definition.
        [0; 32]
    }
}

/// The node above a group.
fn merge(group: &[Node]) -> Node {
    let mut text = String::new();
    for Node { hash, length } in group {
        let hash = blake3::Hash::from(in_words(hash)).to_hex();
        // Writing to a text does not fail.
        let _ = writeln!(text, "{hash} : {length}");
    }
    Node {
        hash: blake3::keyed_hash(&NODE_KEY, text.as_bytes()),
        length: group.iter().fold(0, |sum, node| sum.saturating_add(node.length)),
    }
}

fn number_at_end(hash: &blake3::Hash) -> u64 {
    hash.as_bytes().last_chunk().map_or(0, |last| u64::from_le_bytes(*last))
}

/// A hash as it is written: as four numbers whose bytes are in little-endian order.
fn in_words(hash: &blake3::Hash) -> [u8; 32] {
    let mut bytes = *hash.as_bytes();
    bytes.chunks_exact_mut(8).for_each(<[u8]>::reverse);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The lengths of chunks, as the specification's pseudocode finds them: byte by byte.
    fn lengths(bytes: &[u8]) -> Vec<usize> {
        let (mut out, mut hash, mut begin) = (Vec::new(), 0_u64, 0);
        for (at, byte) in bytes.iter().enumerate() {
            hash = (hash << 1).wrapping_add(gearhash::DEFAULT_TABLE[usize::from(*byte)]);
            let length = at + 1 - begin;
            if length >= LEAST && (length >= MOST || hash & MASK == 0) {
                out.push(length);
                (begin, hash) = (at + 1, 0);
            }
        }
        out.extend((begin < bytes.len()).then_some(bytes.len() - begin));
        out
    }

    /// The root of the tree over `nodes`, level by level, with all nodes of a level in memory.
    fn root(mut nodes: Vec<Node>) -> blake3::Hash {
        while nodes.len() > 1 {
            let mut above = Vec::new();
            while !nodes.is_empty() {
                let ends = |at: &usize| number_at_end(&nodes[*at].hash).is_multiple_of(4);
                let most = nodes.len().min(9);
                let length = (2..most).find(ends).map_or(most, |at| at + 1);
                above.push(merge(&nodes[..length]));
                nodes.drain(..length);
            }
            nodes = above;
        }
        nodes[0].hash
    }

    proptest! {
        /// The bytes come in pieces of any length, also where a chunk or the window of the rolling hash is split.
        #[test]
        fn pieces_do_not_matter(
            seed in any::<u64>(),
            pieces in prop::collection::vec(prop_oneof![0..70_usize, 8_000..8_300_usize, 0..300_000_usize], 0..12),
        ) {
            let mut state = seed | 1;
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            };
            let pieces: Vec<Vec<u8>> = pieces.iter().map(|length| (0..*length).map(|_| next()).collect()).collect();
            let all = pieces.concat();
            let mut xet = Xet::new();
            pieces.iter().for_each(|piece| xet.update(piece));
            let mut rest = all.as_slice();
            let chunk = |length| {
                let (chunk, after) = rest.split_at(length);
                rest = after;
                Node { hash: blake3::keyed_hash(&CHUNK_KEY, chunk), length: length as u64 }
            };
            let nodes: Vec<Node> = lengths(&all).into_iter().map(chunk).collect();
            let expected = match nodes.is_empty() {
                true => [0; 32],
                false => in_words(&blake3::keyed_hash(&FILE_KEY, root(nodes).as_bytes())),
            };
            prop_assert_eq!(xet.finish(), expected);
        }

        /// A tree of any number of chunks, also one that is too large for a test with bytes.
        #[test]
        fn the_tree_is_the_one_built_level_by_level(count in 1_usize..3000, seed in any::<u64>()) {
            let node = |at: usize| {
                let hash = blake3::hash(&[seed.to_le_bytes(), (at as u64).to_le_bytes()].concat());
                Node { hash, length: at as u64 }
            };
            let mut xet = Xet::new();
            (0..count).for_each(|at| xet.add(0, node(at)));
            prop_assert!(xet.levels.iter().all(|group| group.len() < LARGEST_GROUP));
            let expected = root((0..count).map(node).collect());
            prop_assert_eq!(xet.finish(), in_words(&blake3::keyed_hash(&FILE_KEY, expected.as_bytes())));
        }
    }
}

//! Adds complete gradients in a fixed binary tree over their global index.

use rayon::prelude::*;

/// Adds leaves one after another, in the order of their index, as the contract's tree.
///
/// Holds at most log2(n) + 1 partial sums: like a binary counter, a partial sum over 2^k leaves is added to its left
/// neighbour of the same size as soon as there is one.
#[derive(Debug, Default)]
pub struct TreeSum {
    /// (leaves, sum), sizes descending.
    partial: Vec<(u64, Vec<f32>)>,
    /// Memory for further leaves.
    free: Vec<Vec<f32>>,
}

impl TreeSum {
    /// Memory for a leaf of `length` numbers, with arbitrary content.
    pub fn leaf(&mut self, length: usize) -> Vec<f32> {
        let mut leaf = self.free.pop().unwrap_or_default();
        leaf.resize(length, 0.0);
        leaf
    }

    /// Returns the memory of a leaf or a sum for reuse.
    pub fn recycle(&mut self, leaf: Vec<f32>) {
        self.free.push(leaf);
    }

    /// Unused memory, if there is any.
    pub fn spare(&mut self) -> Option<Vec<f32>> {
        self.free.pop()
    }

    /// Adds the next leaf. All leaves have the same length.
    pub fn push(&mut self, leaf: Vec<f32>) {
        self.push_node(1, leaf);
    }

    /// Adds the next `leaves` leaves, whose tree sum is `sum`: their number must be a power of two that divides the
    /// number of leaves before.
    pub fn push_node(&mut self, leaves: u64, sum: Vec<f32>) {
        let mut node = (leaves, sum);
        while let Some((_, left)) = self.partial.pop_if(|(size, _)| *size == node.0) {
            let sum = add(left, &node.1);
            self.free.push(std::mem::replace(&mut node.1, sum));
            node.0 *= 2;
        }
        self.partial.push(node);
    }

    /// The sum of all leaves, and removes them; `None` if there were none.
    pub fn finish(&mut self) -> Option<Vec<f32>> {
        let (_, mut sum) = self.partial.pop()?;
        while let Some((_, left)) = self.partial.pop() {
            let right = std::mem::replace(&mut sum, left);
            sum = add(sum, &right);
            self.free.push(right);
        }
        Some(sum)
    }
}

fn add(mut left: Vec<f32>, right: &[f32]) -> Vec<f32> {
    left.par_chunks_mut(1 << 14).zip(right.par_chunks(1 << 14)).for_each(|(left, right)| {
        for (left, right) in left.iter_mut().zip(right) {
            *left += right;
        }
    });
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition in the contract.
    fn by_the_contract(leaves: &[f32]) -> f32 {
        if let [leaf] = leaves {
            return *leaf;
        }
        let mut half = 1;
        while half * 2 < leaves.len() {
            half *= 2;
        }
        by_the_contract(&leaves[..half]) + by_the_contract(&leaves[half..])
    }

    #[test]
    fn is_the_contract() {
        for n in 1..70usize {
            let leaves: Vec<f32> = (0..n).map(|i| ((i * i * 7919 % 1013) as f32).sqrt() - 11.3).collect();
            let mut sum = TreeSum::default();
            leaves.iter().for_each(|leaf| sum.push(vec![*leaf]));
            assert_eq!(sum.finish().unwrap()[0].to_bits(), by_the_contract(&leaves).to_bits(), "{n} leaves");
        }
        assert!(TreeSum::default().finish().is_none());
    }

    /// Leaves that were summed elsewhere, in aligned blocks of any size, including incomplete ones at the end.
    #[test]
    fn is_the_contract_over_nodes() {
        let chance = crate::random::Stream::new(1, "cuts");
        for n in 1..70usize {
            let leaves: Vec<f32> = (0..n).map(|i| ((i * i * 7919 % 1013) as f32).sqrt() - 11.3).collect();
            for time in 0..20 {
                let (mut sum, mut at) = (TreeSum::default(), 0);
                while at < n {
                    let most = if at == 0 { 64 } else { 1 << at.trailing_zeros() };
                    let mut size = 1 << chance.below(time, (n * 100 + at) as u64, 7);
                    while size > most || at + size > n {
                        size /= 2;
                    }
                    let mut node = TreeSum::default();
                    leaves[at..at + size].iter().for_each(|leaf| node.push(vec![*leaf]));
                    sum.push_node(size as u64, node.finish().unwrap());
                    at += size;
                }
                assert_eq!(sum.finish().unwrap()[0].to_bits(), by_the_contract(&leaves).to_bits(), "{n} leaves");
            }
        }
    }
}

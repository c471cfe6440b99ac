//! Where the bytes of a part of a tensor belong in the tensor.

/// The place of a part's bytes in the tensor, both in row-major order: runs of equal length, which follow one another in
/// the part, and in the tensor are at regular distances in a few dimensions. A part of the rows is one run; a part of
/// the columns is a run in each row. The number of runs costs no memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Runs {
    /// The offset of the first run in the tensor, in bytes.
    first: u64,
    /// The length of each run in bytes.
    length: u64,
    /// The dimensions in which runs repeat, outermost first: how often, and at which distance in bytes.
    repeats: Vec<(u64, u64)>,
}

/// A range of a part that belongs into a range of the tensor.
#[derive(Debug)]
pub(crate) struct Within {
    /// The offset of the range's first byte in the part.
    pub(crate) from: u64,
    /// The number of its bytes.
    pub(crate) length: usize,
    /// Where they belong, in their order: offset in the range of the tensor, and number of bytes.
    pub(crate) copies: Vec<(usize, usize)>,
}

impl Runs {
    /// The only part of a tensor of `length` bytes.
    pub(crate) const fn whole(length: u64) -> Self {
        Self::at(0, length)
    }

    /// One run.
    pub(crate) const fn at(first: u64, length: u64) -> Self {
        Self { first, length, repeats: Vec::new() }
    }

    /// The place of the part with these `offsets` and `sizes` in a tensor of this `shape`, whose numbers have `number`
    /// bytes. `None` if the part is not inside the tensor, or the tensor has more than 2^64 bytes. No size is 0.
    pub(crate) fn of_part(shape: &[usize], offsets: &[usize], sizes: &[usize], number: u64) -> Option<Self> {
        if shape.len() != offsets.len() || shape.len() != sizes.len() {
            return None;
        }
        let (mut stride, mut first, mut length) = (number, 0u64, number);
        let mut repeats: Vec<(u64, u64)> = Vec::new();
        // Whether all dimensions so far are complete, so that the run goes on.
        let mut complete = true;
        for ((size, offset), count) in shape.iter().zip(offsets).zip(sizes).rev() {
            offset.checked_add(*count).filter(|end| end <= size)?;
            first = first.checked_add((*offset as u64).checked_mul(stride)?)?;
            match complete {
                true => length = length.checked_mul(*count as u64)?,
                false if *count != 1 => repeats.push((*count as u64, stride)),
                false => {}
            }
            complete &= count == size;
            stride = stride.checked_mul(*size as u64)?;
        }
        repeats.reverse();
        Some(Self { first, length, repeats })
    }

    /// The offset of the first byte in the tensor.
    pub(crate) const fn first(&self) -> u64 {
        self.first
    }

    /// The offset behind the last byte in the tensor.
    pub(crate) fn end(&self) -> u64 {
        self.first + self.length + self.repeats.iter().map(|(count, distance)| (count - 1) * distance).sum::<u64>()
    }

    /// The number of runs.
    pub(crate) fn count(&self) -> u64 {
        self.repeats.iter().map(|(count, _)| count).product()
    }

    /// The offset of a run in the tensor. It grows with the number of the run.
    fn start(&self, mut run: u64) -> u64 {
        let mut start = self.first;
        for (count, distance) in self.repeats.iter().rev() {
            start += run % count * distance;
            run /= count;
        }
        start
    }

    /// The first run for which `is` is false; it is so for all after it.
    fn partition(&self, is: impl Fn(u64) -> bool) -> u64 {
        let (mut low, mut high) = (0, self.count());
        while low < high {
            let middle = low + (high - low) / 2;
            match is(middle) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    /// What the `length` bytes of the tensor from `offset` on have of this part; `None` if nothing.
    pub(crate) fn within(&self, offset: u64, length: u64) -> Option<Within> {
        let end = offset + length;
        let from = self.partition(|run| self.start(run) + self.length <= offset);
        let to = self.partition(|run| self.start(run) < end);
        if from >= to || self.length == 0 || length == 0 {
            return None;
        }
        // At most as many as the range has bytes.
        let mut copies = Vec::with_capacity((to - from) as usize);
        let (mut total, mut begin) = (0, 0);
        for run in from..to {
            let start = self.start(run);
            let (first, last) = (start.max(offset), (start + self.length).min(end));
            if run == from {
                begin = run * self.length + (first - start);
            }
            copies.push(((first - offset) as usize, (last - first) as usize));
            total += (last - first) as usize;
        }
        Some(Within { from: begin, length: total, copies })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the definition: number (i, j, …) of the part is number (i + offset, j + offset, …) of the tensor.
        #[test]
        fn each_number_of_a_part_has_its_place(dimensions in prop::collection::vec((1usize..5, any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..5), number in 1u64..4, from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
            let shape: Vec<usize> = dimensions.iter().map(|(size, ..)| *size).collect();
            let offsets: Vec<usize> = dimensions.iter().map(|(size, offset, _)| offset.index(*size)).collect();
            let sizes: Vec<usize> = dimensions.iter().zip(&offsets).map(|((size, _, count), offset)| 1 + count.index(size - offset)).collect();
            let runs = Runs::of_part(&shape, &offsets, &sizes, number).unwrap();
            // The bytes of the part by their offset in the tensor.
            let mut expected = Vec::new();
            for nth in 0..sizes.iter().product::<usize>() {
                let (mut rest, mut at, mut stride) = (nth, 0, 1);
                for ((size, offset), count) in shape.iter().zip(&offsets).zip(&sizes).rev() {
                    at += (rest % count + offset) * stride;
                    rest /= count;
                    stride *= size;
                }
                expected.extend((0..number).map(|byte| at as u64 * number + byte));
            }
            prop_assert_eq!(runs.first(), expected[0]);
            prop_assert_eq!(runs.end(), expected[expected.len() - 1] + 1);
            let total = shape.iter().product::<usize>() * number as usize;
            let (a, b) = (from.index(total + 1) as u64, to.index(total + 1) as u64);
            let (from, to) = (a.min(b), a.max(b));
            let inside: Vec<(usize, u64)> = expected.iter().copied().enumerate().filter(|(_, at)| (from..to).contains(at)).collect();
            match runs.within(from, to - from) {
                None => prop_assert!(inside.is_empty()),
                Some(within) => {
                    prop_assert_eq!(within.from, inside[0].0 as u64);
                    prop_assert_eq!(within.length, inside.len());
                    let places: Vec<u64> = within.copies.iter().flat_map(|(at, length)| (*at..at + length).map(|at| at as u64 + from)).collect();
                    prop_assert_eq!(places, inside.iter().map(|(_, at)| *at).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn a_part_outside_the_tensor_has_no_place() {
        assert_eq!(Runs::of_part(&[4, 4], &[2, 0], &[3, 4], 2), None);
        assert_eq!(Runs::of_part(&[4, 4], &[0], &[4], 2), None);
        assert_eq!(Runs::of_part(&[4], &[usize::MAX], &[2], 2), None);
        assert_eq!(Runs::of_part(&[usize::MAX, 2], &[0, 0], &[1, 1], 8), None);
        // Rows are one run, however many; and so are the numbers of a single row.
        assert_eq!(Runs::of_part(&[8, 3], &[2, 0], &[4, 3], 2), Some(Runs::at(12, 24)));
        assert_eq!(Runs::of_part(&[8, 3], &[2, 1], &[1, 2], 2), Some(Runs::at(14, 4)));
    }
}

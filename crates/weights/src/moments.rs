//! Sums over the numbers of a tensor, from which its statistics are computed.

use retrace_numerics::isa::{Plain, plain};

/// The number of parallel sums, so that they can be kept in vectors. It determines the order in which numbers are
/// added, and so every bit.
const LANES: usize = 16;

/// Moments of the finite numbers around a reference near them: the first number, so that numbers far from 0 lose no
/// precision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments {
    about: f64,
    count: u64,
    non_finite: u64,
    /// Sums of the powers 1 to 4 of the distance from `about`.
    powers: [f64; 4],
    min: f64,
    max: f64,
}

impl Moments {
    /// Empty, with `first` as the reference, or 0 if that is not finite.
    pub const fn about(first: f64) -> Self {
        let about = if first.is_finite() { first } else { 0.0 };
        Self { about, count: 0, non_finite: 0, powers: [0.0; 4], min: f64::INFINITY, max: f64::NEG_INFINITY }
    }

    /// Adds more numbers, lane by lane, and adds the lanes' sums to the previous sums.
    pub fn add(&mut self, values: &[f64]) {
        let lanes = plain(Block { about: self.about, values });
        let finite = lanes.count.iter().sum::<f64>() as u64;
        self.count += finite;
        self.non_finite += values.len() as u64 - finite;
        for (power, sum) in self.powers.iter_mut().zip(&lanes.powers) {
            *power += sum.iter().sum::<f64>();
        }
        self.min = lanes.min.iter().fold(self.min, |least, value| least.min(*value));
        self.max = lanes.max.iter().fold(self.max, |most, value| most.max(*value));
    }

    /// The number of finite numbers.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The number of others.
    pub const fn non_finite(&self) -> u64 {
        self.non_finite
    }

    /// The minimum; `None` if there are no numbers.
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The maximum; `None` if there are no numbers.
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    /// The mean of the powers of the distance from `about`.
    fn raw(&self) -> Option<[f64; 4]> {
        (self.count > 0).then(|| self.powers.map(|power| power / self.count as f64))
    }

    /// The mean.
    pub fn mean(&self) -> Option<f64> {
        self.raw().map(|raw| self.about + raw[0])
    }

    /// The variance, of the population.
    pub fn variance(&self) -> Option<f64> {
        self.raw().map(|[first, second, ..]| (second - first * first).max(0.0))
    }

    /// The square root of the sum of squares.
    pub fn norm(&self) -> f64 {
        let [first, second, ..] = self.powers;
        let square = second + self.about * (2.0 * first + self.about * self.count as f64);
        square.max(0.0).sqrt()
    }

    /// The fourth central moment divided by the squared variance; `None` if all numbers are the same.
    pub fn kurtosis(&self) -> Option<f64> {
        let [first, second, third, fourth] = self.raw()?;
        let variance = self.variance()?;
        let square = first * first;
        let central = fourth - 4.0 * first * third + 6.0 * square * second - 3.0 * square * square;
        (variance > 0.0).then(|| central / (variance * variance)).filter(|kurtosis| kurtosis.is_finite())
    }
}

/// Numbers whose lane sums are computed.
struct Block<'a> {
    about: f64,
    values: &'a [f64],
}

impl Plain for Block<'_> {
    type Output = Lanes;

    #[inline(always)]
    fn run(self) -> Lanes {
        let mut lanes = Lanes::new();
        let (whole, rest) = self.values.as_chunks::<LANES>();
        for chunk in whole {
            lanes.add(self.about, chunk);
        }
        if !rest.is_empty() {
            // The padding of the last chunk is not finite, and is subtracted from the count afterwards.
            let mut last = [f64::NAN; LANES];
            last[..rest.len()].copy_from_slice(rest);
            lanes.add(self.about, &last);
        }
        lanes
    }
}

struct Lanes {
    count: [f64; LANES],
    powers: [[f64; LANES]; 4],
    min: [f64; LANES],
    max: [f64; LANES],
}

impl Lanes {
    const fn new() -> Self {
        Self {
            count: [0.0; LANES],
            powers: [[0.0; LANES]; 4],
            min: [f64::INFINITY; LANES],
            max: [f64::NEG_INFINITY; LANES],
        }
    }

    #[inline(always)]
    fn add(&mut self, about: f64, values: &[f64; LANES]) {
        for (lane, value) in values.iter().enumerate() {
            let finite = value.is_finite();
            let apart = if finite { value - about } else { 0.0 };
            let square = apart * apart;
            self.count[lane] += f64::from(u8::from(finite));
            self.powers[0][lane] += apart;
            self.powers[1][lane] += square;
            self.powers[2][lane] += square * apart;
            self.powers[3][lane] += square * square;
            let (low, high) = if finite { (*value, *value) } else { (f64::INFINITY, f64::NEG_INFINITY) };
            self.min[lane] = if low < self.min[lane] { low } else { self.min[lane] };
            self.max[lane] = if high > self.max[lane] { high } else { self.max[lane] };
        }
    }
}

/// Numbers of two tensors, for whose products the lane sums are computed.
struct Both<'a> {
    a: &'a [f64],
    b: &'a [f64],
}

impl Plain for Both<'_> {
    type Output = [[f64; LANES]; 4];

    #[inline(always)]
    fn run(self) -> [[f64; LANES]; 4] {
        let mut lanes = [[0f64; LANES]; 4];
        let (whole_a, rest_a) = self.a.as_chunks::<LANES>();
        let (whole_b, rest_b) = self.b.as_chunks::<LANES>();
        for (a, b) in whole_a.iter().zip(whole_b) {
            for lane in 0..LANES {
                Pair::add_one(&mut lanes, lane, a[lane], b[lane]);
            }
        }
        for (lane, (a, b)) in rest_a.iter().zip(rest_b).enumerate() {
            Pair::add_one(&mut lanes, lane, *a, *b);
        }
        lanes
    }
}

/// The relation between two tensors of the same shape.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pair {
    /// Sums of (a − b)², ab, a² and b².
    sums: [f64; 4],
}

impl Pair {
    /// Adds more numbers of both, lane by lane.
    pub fn add(&mut self, a: &[f64], b: &[f64]) {
        for (sum, lanes) in self.sums.iter_mut().zip(&plain(Both { a, b })) {
            *sum += lanes.iter().sum::<f64>();
        }
    }

    #[inline(always)]
    fn add_one(lanes: &mut [[f64; LANES]; 4], lane: usize, a: f64, b: f64) {
        lanes[0][lane] += (a - b) * (a - b);
        lanes[1][lane] += a * b;
        lanes[2][lane] += a * a;
        lanes[3][lane] += b * b;
    }

    /// The norm of the difference; `None` if a number is not finite.
    pub fn distance(&self) -> Option<f64> {
        Some(self.sums[0].sqrt()).filter(|distance| distance.is_finite())
    }

    /// The cosine of the angle; `None` if a tensor is all 0 or has a number that is not finite.
    pub fn cosine(&self) -> Option<f64> {
        let [_, product, a, b] = self.sums;
        let cosine = product / (a.sqrt() * b.sqrt());
        cosine.is_finite().then(|| cosine.clamp(-1.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use retrace_numerics::isa::{Isa, force};
    use retrace_numerics::random::Stream;

    use super::*;

    fn near(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance * expected.abs().max(1e-300), "{found} is not {expected}");
    }

    #[test]
    fn every_instruction_set_has_the_same_bits() {
        let mut normal = vec![0f32; 10_007];
        Stream::new(5, "moments").normal(0, 1.0, &mut normal);
        let values: Vec<f64> = normal.iter().map(|x| if *x > 3.5 { f64::NAN } else { f64::from(*x) }).collect();
        let all = Isa::ALL.into_iter().filter(|isa| force(*isa)).map(|_| {
            let (mut moments, mut pair) = (Moments::about(values[0]), Pair::default());
            moments.add(&values);
            pair.add(&values[1..5000], &values[5001..]);
            format!("{moments:?} {pair:?}")
        });
        let all: Vec<String> = all.collect();
        assert!(all.iter().all(|found| *found == all[0]), "{all:?}");
    }

    /// In two passes, around the mean, as in a textbook.
    #[test]
    fn as_in_a_textbook() {
        for (offset, scale) in [(0.0, 1.0), (1.0, 0.01), (-3e5, 1e-2), (0.0, 1e-30)] {
            let mut normal = vec![0f32; 10_007];
            Stream::new(3, "moments").normal(0, 1.0, &mut normal);
            let values: Vec<f64> = normal.iter().map(|x| offset + scale * f64::from(*x)).collect();
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let central = |power: i32| values.iter().map(|x| (x - mean).powi(power)).sum::<f64>() / n;
            let mut moments = Moments::about(values[0]);
            values.chunks(1000).for_each(|chunk| moments.add(chunk));
            near(moments.mean().unwrap(), mean, 1e-11);
            near(moments.variance().unwrap(), central(2), 1e-9);
            near(moments.kurtosis().unwrap(), central(4) / central(2).powi(2), 1e-8);
            near(moments.norm(), values.iter().map(|x| x * x).sum::<f64>().sqrt(), 1e-12);
            assert_eq!(moments.min(), values.iter().copied().reduce(f64::min));
            assert_eq!(moments.max(), values.iter().copied().reduce(f64::max));
            assert_eq!((moments.count(), moments.non_finite()), (10_007, 0));
        }
    }

    #[test]
    fn what_is_not_finite_is_counted_and_left_out() {
        let mut moments = Moments::about(f64::NAN);
        moments.add(&[f64::NAN, 1.0, f64::INFINITY, 3.0, f64::NEG_INFINITY]);
        assert_eq!((moments.count(), moments.non_finite()), (2, 3));
        assert_eq!((moments.mean(), moments.variance(), moments.max()), (Some(2.0), Some(1.0), Some(3.0)));
        assert_eq!(moments.kurtosis(), Some(1.0));
        let mut none = Moments::about(0.0);
        none.add(&[f64::NAN; 40]);
        assert_eq!((none.mean(), none.min(), none.kurtosis(), none.norm()), (None, None, None, 0.0));
        // All the same: no variance, not even from rounding.
        let mut same = Moments::about(0.1);
        same.add(&[0.1; 1000]);
        assert_eq!((same.variance(), same.kurtosis(), same.mean()), (Some(0.0), None, Some(0.1)));
    }

    #[test]
    fn pairs_by_hand() {
        let mut pair = Pair::default();
        pair.add(&[3.0, 0.0], &[0.0, 4.0]);
        assert_eq!((pair.distance(), pair.cosine()), (Some(5.0), Some(0.0)));
        let mut same = Pair::default();
        let values: Vec<f64> = (0..100).map(f64::from).collect();
        same.add(&values, &values);
        assert_eq!((same.distance(), same.cosine()), (Some(0.0), Some(1.0)));
        let mut nothing = Pair::default();
        nothing.add(&[0.0], &[1.0]);
        assert_eq!((nothing.distance(), nothing.cosine()), (Some(1.0), None));
        nothing.add(&[f64::NAN], &[1.0]);
        assert_eq!(nothing.distance(), None);
    }
}

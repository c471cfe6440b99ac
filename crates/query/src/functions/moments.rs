//! Statistics computed from sums of numbers, squares and products. The sums are exact, and each result is the exact
//! one, rounded once to the nearest binary64 number.
//!
//! With n rows, and S for sums: Sxx = n·Σx² − (Σx)², Syy in the same way, Sxy = n·Σxy − Σx·Σy. All of them are integer
//! multiples of a power of two, so nothing is lost when large numbers cancel. A sum that is infinite or NaN makes
//! everything except `sum` and `avg` NaN.

use super::exact::{Exact, NEAR, take};
use super::ratio::Number;
use super::statistic::Statistic;

/// The state of `sum` and `avg` for a column.
#[derive(Debug, Clone, Default)]
pub(super) struct Total {
    count: u64,
    sum: Exact<2>,
}

impl Statistic<1> for Total {
    fn add(&mut self, [x]: [f64; 1]) {
        self.count += 1;
        self.sum.add(x);
    }

    fn remove(&mut self, [x]: [f64; 1]) {
        self.count = self.count.saturating_sub(1);
        self.sum.subtract(x);
    }

    fn add_all(&mut self, [x]: [&[f64]; 1]) {
        self.count += x.len() as u64;
        self.sum.add_all(x);
    }

    fn merge(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum.merge(&other.sum);
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.count.to_le_bytes());
        self.sum.write(out);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(Self { count: u64::from_le_bytes(take(bytes)?), sum: Exact::read(bytes)? })
    }

    fn heap(&self) -> usize {
        self.sum.heap()
    }
}

impl Total {
    pub(super) fn sum(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum.value())
    }

    pub(super) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum.mean(self.count))
    }
}

/// The state of the variance of a column.
#[derive(Debug, Clone, Default)]
pub(super) struct Moments {
    count: u64,
    x: Exact<2>,
    xx: Exact<4>,
}

impl Statistic<1> for Moments {
    fn add(&mut self, [x]: [f64; 1]) {
        self.count += 1;
        self.x.add(x);
        self.xx.add_product(x, x);
    }

    fn remove(&mut self, [x]: [f64; 1]) {
        self.count = self.count.saturating_sub(1);
        self.x.subtract(x);
        self.xx.subtract_product(x, x);
    }

    fn add_all(&mut self, [x]: [&[f64]; 1]) {
        self.count += x.len() as u64;
        self.x.add_all(x);
        self.xx.add_products(x, x);
    }

    fn merge(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.x.merge(&other.x);
        self.xx.merge(&other.xx);
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.count.to_le_bytes());
        self.x.write(out);
        self.xx.write(out);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(Self { count: u64::from_le_bytes(take(bytes)?), x: Exact::read(bytes)?, xx: Exact::read(bytes)? })
    }

    fn heap(&self) -> usize {
        self.x.heap() + self.xx.heap()
    }
}

impl Moments {
    pub(super) fn mean(&self) -> f64 {
        self.x.mean(self.count)
    }

    /// The variance, with `less` subtracted from the rows for the degrees of freedom: 1 for a sample, 0 for a
    /// population.
    pub(super) fn variance(&self, less: u64) -> Option<f64> {
        self.spread(less, Number::over)
    }

    /// The standard deviation, with the same `less`.
    pub(super) fn deviation(&self, less: u64) -> Option<f64> {
        self.spread(less, Number::root_over)
    }

    /// Whether a number differs from the mean by more than `deviations` sample standard deviations; null with fewer than
    /// two rows.
    pub(super) fn is_beyond(&self, x: f64, deviations: f64) -> Option<bool> {
        let exactly = || self.deviation(1).map(|deviation| (x - self.mean()).abs() > deviations * deviation);
        self.is_clearly_beyond(x, deviations).or_else(exactly)
    }

    /// [`Self::is_beyond`] from sums that are not exact, if their errors cannot change it. Bounds are larger than needed:
    /// only numbers close to the limit need the exact sums, which take a hundred times as long.
    fn is_clearly_beyond(&self, x: f64, deviations: f64) -> Option<bool> {
        if self.count < 2 {
            return None;
        }
        let n = self.count as f64;
        let (sum, squares) = (self.x.near()?, self.xx.near()?);
        let mean = sum / n;
        let variance = (squares - sum * mean) / (n - 1.0);
        let error = 8.0 * NEAR * (squares + sum.abs() * mean.abs()) / (n - 1.0);
        let apart = (x - mean).abs();
        let error_apart = 4.0 * NEAR * (x.abs() + mean.abs());
        let limit = |variance: f64| deviations * variance.sqrt();
        let (least, most) = (limit(variance - error) * (1.0 - NEAR), limit(variance + error) * (1.0 + NEAR));
        // Each is false if a number is NaN, as with a variance that is negative by its error.
        if apart - error_apart > most && most.is_finite() {
            Some(true)
        } else if apart + error_apart < least {
            Some(false)
        } else {
            None
        }
    }

    fn spread(&self, less: u64, of: fn(&Number, &Number) -> f64) -> Option<f64> {
        if self.count <= less {
            return None;
        }
        let (Some(x), Some(xx)) = (finite(&self.x), finite(&self.xx)) else { return Some(f64::NAN) };
        let n = Number::from(self.count);
        let spread = n.times(&xx).minus(&x.times(&x));
        Some(of(&spread, &n.times(&Number::from(self.count - less))))
    }
}

fn finite<const WORDS: usize>(sum: &Exact<WORDS>) -> Option<Number> {
    sum.exactly().ok().map(Number::from)
}

/// The state of covariance, correlation and regression for the columns y and x.
#[derive(Debug, Clone, Default)]
pub(super) struct Pairs {
    count: u64,
    y: Exact<2>,
    x: Exact<2>,
    yy: Exact<4>,
    xx: Exact<4>,
    xy: Exact<4>,
}

impl Statistic<2> for Pairs {
    fn add(&mut self, [y, x]: [f64; 2]) {
        self.count += 1;
        self.y.add(y);
        self.x.add(x);
        self.yy.add_product(y, y);
        self.xx.add_product(x, x);
        self.xy.add_product(x, y);
    }

    fn remove(&mut self, [y, x]: [f64; 2]) {
        self.count = self.count.saturating_sub(1);
        self.y.subtract(y);
        self.x.subtract(x);
        self.yy.subtract_product(y, y);
        self.xx.subtract_product(x, x);
        self.xy.subtract_product(x, y);
    }

    fn add_all(&mut self, [y, x]: [&[f64]; 2]) {
        self.count += x.len() as u64;
        self.y.add_all(y);
        self.x.add_all(x);
        self.yy.add_products(y, y);
        self.xx.add_products(x, x);
        self.xy.add_products(x, y);
    }

    fn merge(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.y.merge(&other.y);
        self.x.merge(&other.x);
        self.yy.merge(&other.yy);
        self.xx.merge(&other.xx);
        self.xy.merge(&other.xy);
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.count.to_le_bytes());
        self.y.write(out);
        self.x.write(out);
        self.yy.write(out);
        self.xx.write(out);
        self.xy.write(out);
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(Self {
            count: u64::from_le_bytes(take(bytes)?),
            y: Exact::read(bytes)?,
            x: Exact::read(bytes)?,
            yy: Exact::read(bytes)?,
            xx: Exact::read(bytes)?,
            xy: Exact::read(bytes)?,
        })
    }

    fn heap(&self) -> usize {
        self.y.heap() + self.x.heap() + self.yy.heap() + self.xx.heap() + self.xy.heap()
    }
}

/// The sums of a [`Pairs`], each times the factor that makes it an integer.
struct Sums {
    n: Number,
    y: Number,
    x: Number,
    syy: Number,
    sxx: Number,
    sxy: Number,
}

impl Pairs {
    fn sums(&self) -> Option<Sums> {
        let (n, y, x) = (Number::from(self.count), finite(&self.y)?, finite(&self.x)?);
        Some(Sums {
            syy: n.times(&finite(&self.yy)?).minus(&y.times(&y)),
            sxx: n.times(&finite(&self.xx)?).minus(&x.times(&x)),
            sxy: n.times(&finite(&self.xy)?).minus(&x.times(&y)),
            n,
            y,
            x,
        })
    }

    /// `of` applied to the sums, if there are at least `least` rows; null if there are fewer, or if `of` returns null.
    fn of(&self, least: u64, of: impl Fn(&Sums) -> Option<f64>) -> Option<f64> {
        if self.count < least {
            return None;
        }
        match self.sums() {
            Some(sums) => of(&sums),
            None => Some(f64::NAN),
        }
    }

    pub(super) fn covariance(&self, less: u64) -> Option<f64> {
        self.of(less + 1, |s| Some(s.sxy.over(&s.n.times(&Number::from(self.count - less)))))
    }

    /// Pearson's r; null if a column does not vary.
    pub(super) fn correlation(&self) -> Option<f64> {
        self.of(2, |s| {
            let varies = !s.sxx.is_zero() && !s.syy.is_zero();
            let r = || s.sxy.times(&s.sxy).root_over(&s.sxx.times(&s.syy)).copysign(s.sxy.round());
            varies.then(r)
        })
    }

    pub(super) fn slope(&self) -> Option<f64> {
        self.of(2, |s| (!s.sxx.is_zero()).then(|| s.sxy.over(&s.sxx)))
    }

    pub(super) fn intercept(&self) -> Option<f64> {
        let intercept = |s: &Sums| s.y.times(&s.sxx).minus(&s.sxy.times(&s.x)).over(&s.n.times(&s.sxx));
        self.of(2, |s| (!s.sxx.is_zero()).then(|| intercept(s)))
    }

    pub(super) fn r2(&self) -> Option<f64> {
        let r2 = |s: &Sums| s.sxy.times(&s.sxy).over(&s.sxx.times(&s.syy));
        self.of(2, |s| (!s.sxx.is_zero() && !s.syy.is_zero()).then(|| r2(s)))
    }

    pub(super) fn mean_x(&self) -> Option<f64> {
        (self.count > 0).then(|| self.x.mean(self.count))
    }

    pub(super) fn mean_y(&self) -> Option<f64> {
        (self.count > 0).then(|| self.y.mean(self.count))
    }

    pub(super) fn sxx(&self) -> Option<f64> {
        self.of(1, |s| Some(s.sxx.over(&s.n)))
    }

    pub(super) fn syy(&self) -> Option<f64> {
        self.of(1, |s| Some(s.syy.over(&s.n)))
    }

    pub(super) fn sxy(&self) -> Option<f64> {
        self.of(1, |s| Some(s.sxy.over(&s.n)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The fast answer is the exact one, also where numbers cancel, are huge or tiny, or lie on the limit.
        #[test]
        fn what_is_clearly_beyond_is_beyond(
            rows in prop::collection::vec(prop_oneof![
                -1e3..1e3, Just(0.1), 1e15..1e15 + 8.0, any::<f64>().prop_filter("finite", |x| x.is_finite()), -1e-300..1e-300,
            ], 1..6),
            x in prop_oneof![-1e4..1e4, Just(0.1), 1e15..1e15 + 9.0, any::<f64>().prop_filter("finite", |x| x.is_finite())],
            deviations in prop_oneof![0.0..9.0, Just(0.0), Just(1.0)],
            steps in -3i64..4,
        ) {
            let mut moments = Moments::default();
            moments.add_all([&rows]);
            let (mean, deviation) = (moments.mean(), moments.deviation(1));
            // A number on the limit, and its neighbours.
            let limit: f64 = deviation.map_or(x, |deviation| mean + deviations * deviation);
            let near = f64::from_bits(limit.to_bits().wrapping_add_signed(steps));
            for x in [x, near] {
                let exactly = deviation.map(|deviation| (x - mean).abs() > deviations * deviation);
                prop_assert_eq!(moments.is_beyond(x, deviations), exactly, "{} of {:?}", x, rows);
            }
        }
    }

    #[test]
    fn usual_numbers_need_no_exact_sums() {
        let mut moments = Moments::default();
        moments.add_all([&[2.5, 2.25, 2.75, 2.625]]);
        assert_eq!(moments.is_clearly_beyond(2.7, 6.0), Some(false));
        assert_eq!(moments.is_clearly_beyond(9.0, 6.0), Some(true));
    }
}

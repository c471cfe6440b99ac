//! Exact sums compared with integers of `num-bigint`: a sum of floats in units of 2^-2148.

use num_bigint::{BigInt, BigUint, Sign};
use proptest::prelude::*;
use retrace_numerics::random::Stream;
use retrace_query::functions::exact::Exact;

/// A finite number in units of 2^-1074.
pub(crate) fn whole(x: f64) -> BigInt {
    let bits = x.to_bits();
    let (exponent, fraction) = (bits >> 52 & 0x7ff, bits & ((1 << 52) - 1));
    let magnitude = match exponent {
        0 => BigUint::from(fraction),
        _ => BigUint::from(fraction | 1 << 52) << (exponent - 1),
    };
    BigInt::from_biguint(if x.is_sign_negative() { Sign::Minus } else { Sign::Plus }, magnitude)
}

/// The nearest float to `above`/`below`·2^-`units`, found by comparing with neighbours: slow, and sharing no code with
/// what is tested.
pub(crate) fn nearest(above: &BigInt, below: &BigInt, units: u32) -> f64 {
    assert!(below.sign() == Sign::Plus && units >= 1074);
    // x is too low if x·below < above, all in units of 2^-units.
    let scaled = |x: f64| (whole(x) * below) << (units - 1074);
    let negative = above.sign() == Sign::Minus;
    let target = BigInt::from(above.magnitude().clone());
    // The greatest float that is not above the target: floats of one sign have the order of their bits.
    let (mut low, mut high) = (0u64, f64::INFINITY.to_bits());
    while high - low > 1 {
        let middle = low.midpoint(high);
        if scaled(f64::from_bits(middle)) <= target { low = middle } else { high = middle }
    }
    // The value that represents infinity in rounding: the float after the greatest.
    let after = match f64::from_bits(high).is_finite() {
        true => scaled(f64::from_bits(high)),
        false => below << (units - 1074 + 1074 + 1024),
    };
    let (under, over) = (&target - scaled(f64::from_bits(low)), after - &target);
    let up = under > over || under == over && low & 1 == 1;
    let magnitude = f64::from_bits(if up { high } else { low });
    if negative { -magnitude } else { magnitude }
}

pub(crate) fn sum_of(values: &[f64]) -> f64 {
    let total: BigInt = values.iter().map(|x| whole(*x)).sum();
    nearest(&total, &BigInt::from(1), 1074)
}

/// Random bit patterns; `spread` limits the exponents; 2047 allows all finite numbers.
pub(crate) fn patterns(name: &str, count: u64, spread: u64) -> Vec<f64> {
    let stream = Stream::new(7, name);
    let one = |index| {
        let [low, high, exponent, _] = stream.at(0, index);
        let bits = u64::from(low) | u64::from(high) << 32;
        let exponent = 1023 - spread / 2 + u64::from(exponent) % spread.max(1);
        f64::from_bits(bits & !(0x7ff << 52) | exponent.min(2046) << 52)
    };
    (0..count).map(one).collect()
}

fn exact(values: &[f64]) -> f64 {
    let mut sum = Exact::<2>::default();
    values.iter().for_each(|x| sum.add(*x));
    sum.value()
}

/// The sum in every possible way: one by one, in blocks, in parts that are merged (directly and as bytes), and with
/// other numbers added and removed.
fn every_way(values: &[f64], expected: f64) {
    let same = |way: &str, sum: f64| {
        assert!(
            sum.to_bits() == expected.to_bits() || sum.is_nan() && expected.is_nan(),
            "{way}: {sum:e}, not {expected:e}"
        );
    };
    same("one by one", exact(values));
    let turned: Vec<f64> = values.iter().rev().copied().collect();
    same("backwards", exact(&turned));
    let mut sum = Exact::<2>::default();
    sum.add_all(values);
    same("in blocks", sum.value());
    for parts in [2, 3, 7] {
        let (mut merged, mut sent) = (Exact::<2>::default(), Exact::<4>::default());
        for part in 0..parts {
            let (mut narrow, mut broad) = (Exact::<2>::default(), Exact::<4>::default());
            values.iter().skip(part).step_by(parts).for_each(|x| {
                narrow.add(*x);
                broad.add_product(*x, 1.0);
            });
            merged.merge(&narrow);
            let mut bytes = Vec::new();
            broad.write(&mut bytes);
            let mut rest = bytes.as_slice();
            sent.merge(&Exact::read(&mut rest).unwrap());
            assert!(rest.is_empty());
        }
        same("merged", merged.value());
        same("products by one, sent", sent.value());
    }
    let others = [1e300, -1e-300, f64::INFINITY, f64::NAN, 5e-324, 0.1, f64::NEG_INFINITY];
    let mut sum = Exact::<2>::default();
    others.iter().for_each(|x| sum.add(*x));
    values.iter().for_each(|x| sum.add(*x));
    others.iter().for_each(|x| sum.subtract(*x));
    same("taken out", sum.value());
}

#[test]
fn sums_by_hand() {
    let (tiny, huge) = (5e-324, f64::MAX);
    for (values, expected) in [
        (vec![], 0.0),
        (vec![-0.0], 0.0),
        (vec![-0.0, 0.0], 0.0),
        (vec![1.0, 1e100, 1.0, -1e100], 2.0),
        (vec![huge, huge, -huge], huge),
        (vec![huge, huge], f64::INFINITY),
        (vec![-huge, -huge, 1.0], f64::NEG_INFINITY),
        // Half a unit in the last place above the greatest rounds to infinity, less than half does not.
        (vec![huge, 2f64.powi(970)], f64::INFINITY),
        (vec![huge, 2f64.powi(970), -tiny], huge),
        (vec![tiny; 3], 15e-324),
        (vec![f64::MIN_POSITIVE, -tiny], f64::from_bits(f64::MIN_POSITIVE.to_bits() - 1)),
        // Ties round to even, and any additional amount decides a tie.
        (vec![1.0, 2f64.powi(-53)], 1.0),
        (vec![1.0, 2f64.powi(-53), tiny], 1.0 + f64::EPSILON),
        (vec![1.0, 2f64.powi(-53), 2f64.powi(-52)], 1.0 + 2.0 * f64::EPSILON),
        (vec![0.1; 10], 1.0),
        (vec![f64::INFINITY, 1.0], f64::INFINITY),
        (vec![f64::INFINITY, f64::NEG_INFINITY], f64::NAN),
        (vec![f64::INFINITY, f64::NAN], f64::NAN),
        (vec![f64::NAN, 1.0], f64::NAN),
    ] {
        let got = exact(&values);
        assert!(got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan(), "{values:?}: {got:e}");
        if values.iter().all(|x| x.is_finite()) {
            every_way(&values, expected);
        }
    }
}

#[test]
fn sums_of_random_bit_patterns() {
    for (name, spread) in [("narrow", 10), ("middle", 70), ("broad", 200), ("all", 2047)] {
        let values = patterns(name, 100_000, spread);
        every_way(&values, sum_of(&values));
    }
    let subnormal: Vec<f64> =
        patterns("subnormal", 5_000, 1).iter().map(|x| f64::from_bits(x.to_bits() & !(0x7ff << 52))).collect();
    every_way(&subnormal, sum_of(&subnormal));
    // Everything except the last place cancels.
    let mut values = patterns("cancels", 10_000, 2000);
    let turned: Vec<f64> = values.iter().map(|x| -x).collect();
    values.extend(turned);
    values.push(5e-324);
    every_way(&values, 5e-324);
}

#[test]
fn products_are_exact() {
    for (name, spread) in [("one", 1), ("narrow", 10), ("middle", 60), ("broad", 200), ("all", 2047)] {
        let (x, y) = (patterns(name, 20_000, spread), patterns(&format!("{name} y"), 20_000, spread));
        let mut sum = Exact::<4>::default();
        x.iter().zip(&y).for_each(|(x, y)| sum.add_product(*x, *y));
        let total: BigInt = x.iter().zip(&y).map(|(x, y)| whole(*x) * whole(*y)).sum();
        let expected = nearest(&total, &BigInt::from(1), 2148);
        assert_eq!(sum.value().to_bits(), expected.to_bits(), "{name}");
        let mut blocks = Exact::<4>::default();
        blocks.add_products(&x, &y);
        assert_eq!(blocks.value().to_bits(), expected.to_bits(), "{name}, in blocks");
        x.iter().zip(&y).skip(3).for_each(|(x, y)| sum.subtract_product(*x, *y));
        let total: BigInt = x.iter().zip(&y).take(3).map(|(x, y)| whole(*x) * whole(*y)).sum();
        assert_eq!(sum.value().to_bits(), nearest(&total, &BigInt::from(1), 2148).to_bits(), "{name}");
    }
}

proptest! {
    #[test]
    fn sums_and_means_are_the_exact_ones(
        values in prop::collection::vec(prop_oneof![any::<f64>(), -1.0..1.0f64, Just(f64::MAX), Just(-5e-324)], 1..60),
    ) {
        let finite: Vec<f64> = values.into_iter().filter(|x| x.is_finite()).collect();
        every_way(&finite, sum_of(&finite));
        let mut sum = Exact::<2>::default();
        sum.add_all(&finite);
        let total: BigInt = finite.iter().map(|x| whole(*x)).sum();
        for count in [1, 2, 3, finite.len().max(1) as u64, u64::MAX] {
            let expected = nearest(&total, &BigInt::from(count), 1074);
            let mean = sum.mean(count);
            prop_assert!(mean == expected, "{mean:e} {expected:e}");
        }
    }

    #[test]
    fn bytes_that_are_no_sum_are_none(bytes in prop::collection::vec(any::<u8>(), 0..80), form in 0u8..4) {
        let bytes: Vec<u8> = [form].into_iter().chain(bytes).collect();
        for cut in 0..bytes.len() {
            let mut rest = &bytes[..cut];
            if let Some(mut sum) = Exact::<2>::read(&mut rest) {
                // Any bytes either give a usable sum or are refused.
                sum.add(1e300);
                sum.merge(&sum.clone());
                sum.value();
                sum.mean(3);
            }
        }
    }
}

/// Most sums stay small: the numbers of a column of metrics need only a window, in memory and as bytes.
#[test]
fn sums_of_like_numbers_are_small() {
    assert!(size_of::<Exact<2>>() <= 24 && size_of::<Exact<4>>() <= 40);
    let mut sum = Exact::<2>::default();
    // Twelve decimal orders, and as many terms as a large group has.
    patterns("small", 100_000, 40).iter().for_each(|x| sum.add(*x));
    assert_eq!(sum.heap(), 0);
    let mut bytes = Vec::new();
    sum.write(&mut bytes);
    assert!(bytes.len() <= 20, "{}", bytes.len());
}

//! Student's t distribution, and Welch's interval of a difference of means.

use super::Interval;

/// The part of intervals that holds the true difference.
const LEVEL: f64 = 0.95;

/// The mean of values; 0 if there are none.
pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The square of the standard error of the mean: the sample's variance divided by n; `None` for fewer than two values.
pub(super) fn squared_error(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (values.len() > 1).then(|| squares / (n - 1.0) / n)
}

/// The difference of the means of two samples, and its 95 % interval without the assumption of equal variances (Welch
/// 1947). There is none with fewer than two values on a side, or if no sample varies.
pub(super) fn welch(a: &[f64], b: &[f64]) -> Option<Interval> {
    let (of_a, of_b) = (squared_error(a)?, squared_error(b)?);
    let squared = of_a + of_b;
    if squared <= 0.0 {
        return None;
    }
    // Satterthwaite's degrees of freedom.
    let free = squared * squared / (of_a * of_a / (a.len() as f64 - 1.0) + of_b * of_b / (b.len() as f64 - 1.0));
    let half = quantile(0.5 + LEVEL / 2.0, free) * squared.sqrt();
    let difference = mean(a) - mean(b);
    Some(Interval { low: difference - half, high: difference + half })
}

/// The probability that t with `free` degrees of freedom is at most `t`, for t ≥ 0 (Abramowitz and Stegun 26.7.1 by the
/// incomplete beta function).
fn distribution(t: f64, free: f64) -> f64 {
    1.0 - 0.5 * incomplete_beta(free / (free + t * t), free / 2.0, 0.5)
}

/// The t that this part of the distribution is below; `part` is from ½ to below 1.
fn quantile(part: f64, free: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while distribution(high, free) < part && high < 1e12 {
        high *= 2.0;
    }
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if distribution(middle, free) < part { low = middle } else { high = middle }
    }
    high
}

/// The regularised incomplete beta function I_x(a, b), by its continued fraction (DLMF 8.17.22), evaluated from the front
/// as Lentz does.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges fast below this, and the function is symmetric (DLMF 8.17.4).
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    const SMALL: f64 = 1e-300;
    let bounded = |value: f64| if value.abs() < SMALL { SMALL } else { value };
    let log_beta = libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b);
    let front = libm::exp(a * libm::log(x) + b * libm::log1p(-x) - log_beta) / a;
    let (mut c, mut d, mut fraction) = (1.0, 0.0, 1.0);
    for place in 0..10_000u32 {
        let m = f64::from(place / 2);
        let numerator = match (place, place % 2) {
            (0, _) => 1.0,
            (_, 0) => m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            _ => -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        };
        d = 1.0 / bounded(1.0 + numerator * d);
        c = bounded(1.0 + numerator / c);
        fraction *= c * d;
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front * (fraction - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of Student's distribution in Abramowitz and Stegun, 26.10.
    #[test]
    fn quantiles_of_a_published_table() {
        for (free, expected) in [
            (1.0, 12.706),
            (2.0, 4.303),
            (3.0, 3.182),
            (5.0, 2.571),
            (10.0, 2.228),
            (30.0, 2.042),
            (120.0, 1.980),
            (1e9, 1.960),
        ] {
            let found = quantile(0.975, free);
            assert!((found - expected).abs() < 5.1e-4, "{free}: {found}");
        }
    }

    /// scipy.stats.t.ppf and scipy.stats.ttest_ind(…, equal_var=False).confidence_interval(), version 1.17.1.
    #[test]
    fn quantiles_and_interval_of_scipy() {
        for (free, expected) in [
            (0.5, 164.557_673_480_488_2),
            (1.3, 7.500_529_325_562_029),
            (2.5, 3.574_654_842_003_681_7),
            (7.77, 2.317_939_929_891_557),
            (1234.5, 1.961_887_483_331_345_3),
        ] {
            let found = quantile(0.975, free);
            assert!((found / expected - 1.0).abs() < 1e-10, "{free}: {found}");
        }
        let (a, b) = ([3.1, -0.4, 2.2, 5.0, 1.7], [0.3, -1.1, 0.8, 0.0, -0.2, 1.4, 0.9]);
        let Interval { low, high } = welch(&a, &b).unwrap();
        assert!((low + 0.385_496_112_919_295_1).abs() < 1e-10 && (high - 4.425_496_112_919_295).abs() < 1e-10);
        assert_eq!(welch(&[1.0], &b), None);
        assert_eq!(welch(&[1.0, 1.0], &[0.0, 0.0]), None);
    }
}

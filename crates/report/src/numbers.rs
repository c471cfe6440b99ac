//! Numbers for display: always in the same format, whatever the reader's settings.

/// A number in few characters, with the precision of `step`: 1.5M, 200k, 0.35.
pub(crate) fn short(value: f64, step: f64) -> String {
    let size = value.abs();
    if size >= 0.999_5e15 {
        // Compute, in floating-point operations, is counted so: 3e20.
        return format!("{value:.1e}").replace(".0e", "e");
    }
    let (unit, suffix) = match size {
        _ if size >= 0.999_5e12 => (1e12, "T"),
        _ if size >= 0.999_5e9 => (1e9, "B"),
        _ if size >= 0.999_5e6 => (1e6, "M"),
        _ if size >= 0.999_5e3 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let step = step.abs() / unit;
    let places = if step > 0.0 { (-libm::floor(libm::log10(step * 1.000_001))).clamp(0.0, 6.0) as usize } else { 0 };
    format!("{:.places$}{suffix}", value / unit)
}

/// A number with three digits: 0.310, 42, 1.23M.
pub(crate) fn three_digits(value: f64) -> String {
    if value == value.round() && value.abs() < 10_000.0 { format!("{value}") } else { rounded(value) }
}

fn rounded(value: f64) -> String {
    short(value, libm::pow(10.0, libm::floor(libm::log10(value.abs())) - 2.0))
}

/// A number with as many digits as it has, at most three: 1M, 2.5k, 20.
pub(crate) fn digits(value: f64) -> String {
    let text = if value.abs() < 1000.0 { three_digits(value) } else { rounded(value) };
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number}{suffix}")
}

/// 1234567 as 1,234,567.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of things: 1 shard, 1,200 shards.
pub(crate) fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A number of parameters or similar, with three digits: 128k, 7.08B.
pub(crate) fn round(number: f64) -> String {
    let power = libm::floor(libm::log10(number.abs().max(1.0)));
    short(number, libm::pow(10.0, power - 2.0).max(1.0))
}

pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} bytes"),
        _ if value < 9.95 => format!("{value:.1}\u{a0}{}", UNITS[unit]),
        _ => format!("{value:.0}\u{a0}{}", UNITS[unit]),
    }
}

pub(crate) fn percent(share: f64) -> String {
    let value = 100.0 * share;
    if value == value.round() { format!("{value:.0}\u{a0}%") } else { format!("{value:.1}\u{a0}%") }
}

/// The first digits of a digest, for display.
pub(crate) fn brief(digest: &str) -> &str {
    let hex = digest.strip_prefix("b3:").unwrap_or(digest);
    hex.get(..12).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, step, expected) in [
            (0.0, 0.5, "0.0"),
            (2.5, 0.5, "2.5"),
            (200_000.0, 100_000.0, "200k"),
            (1_500_000.0, 500_000.0, "1.5M"),
            (7.08e9, 1e7, "7.08B"),
            (-0.25, 0.05, "-0.25"),
            (999.0, 1.0, "999"),
            (1e20, 9e19, "1e20"),
            (2.5e18, 5e17, "2.5e18"),
            (1e18, 5e17, "1e18"),
        ] {
            assert_eq!(short(value, step), expected);
        }
    }

    #[test]
    fn numbers_have_three_digits() {
        // By hand.
        for (value, three, few) in [
            (0.0, "0", "0"),
            (0.123_45, "0.123", "0.123"),
            (-1.5, "-1.50", "-1.5"),
            (42.0, "42", "42"),
            (2500.0, "2500", "2.5k"),
            (1_000_000.0, "1.00M", "1M"),
            (1_234_567.0, "1.23M", "1.23M"),
            (20e9, "20.0B", "20B"),
            (0.001_234, "0.00123", "0.00123"),
        ] {
            assert_eq!((three_digits(value).as_str(), digits(value).as_str()), (three, few));
        }
    }

    #[test]
    fn numbers_are_written_as_people_do() {
        // By hand.
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([12.0, 168_000.0, 1_120_000.0, 7.08e9].map(round), ["12", "168k", "1.12M", "7.08B"]);
        assert_eq!(
            [999, 1500, 999_600, 15_000_000].map(size),
            ["999 bytes", "1.5\u{a0}kB", "1.0\u{a0}MB", "15\u{a0}MB"]
        );
        assert_eq!([0.5, 0.8321, 1.0].map(percent), ["50\u{a0}%", "83.2\u{a0}%", "100\u{a0}%"]);
        assert_eq!((brief("b3:0123456789abcdef"), brief("ab")), ("0123456789ab", "ab"));
    }
}

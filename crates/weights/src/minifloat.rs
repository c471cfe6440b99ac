//! Floats of 8 and 4 bits.

/// What the codes at the end of the range mean.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    /// The highest exponent is of infinities and NaN, as in IEEE 754.
    Ieee,
    /// Only the highest code of each sign is NaN, and there is no infinity.
    HighestNan,
    /// Only the code of a negative zero is NaN, and there is no infinity.
    NegativeZeroNan,
    /// All codes are finite numbers.
    Finite,
}

/// OCP 8-bit Floating Point Specification 1.0, E4M3.
pub(crate) const F8_E4M3: [f64; 256] = table(4, 3, 7, Ends::HighestNan);
/// OCP 8-bit Floating Point Specification 1.0, E5M2.
pub(crate) const F8_E5M2: [f64; 256] = table(5, 2, 15, Ends::Ieee);
/// arXiv 2206.02915.
pub(crate) const F8_E4M3FNUZ: [f64; 256] = table(4, 3, 8, Ends::NegativeZeroNan);
/// arXiv 2206.02915.
pub(crate) const F8_E5M2FNUZ: [f64; 256] = table(5, 2, 16, Ends::NegativeZeroNan);
/// OCP Microscaling Formats 1.0, E2M1; two share a byte, the first in its lower half.
pub(crate) const F4: [f64; 16] = table(2, 1, 1, Ends::Finite);

/// OCP Microscaling Formats 1.0, E8M0: a power of two, or NaN.
pub(crate) fn f8_e8m0(code: u8) -> f64 {
    match code {
        0xff => f64::NAN,
        // The exponent of a binary64 has another bias.
        _ => f64::from_bits((u64::from(code) + 1023 - 127) << 52),
    }
}

/// The number of each code: a sign, then an exponent, then a fraction of so many bits.
const fn table<const CODES: usize>(exponent: u32, fraction: u32, bias: i32, ends: Ends) -> [f64; CODES] {
    let mut numbers = [0.0; CODES];
    let positive = CODES / 2;
    let mut code = 0;
    while code < positive {
        let (power, digits) = (code >> fraction, code & ((1 << fraction) - 1));
        // Numbers with the lowest exponent have no leading one.
        let (whole, power) = if power == 0 { (digits, 1) } else { (digits + (1 << fraction), power as i32) };
        let highest = code >> fraction == (1 << exponent) - 1;
        let number = match ends {
            Ends::Ieee if highest && digits == 0 => f64::INFINITY,
            Ends::Ieee if highest => f64::NAN,
            Ends::HighestNan if code + 1 == positive => f64::NAN,
            _ => whole as f64 * power_of_two(power - bias - fraction as i32),
        };
        numbers[code] = number;
        numbers[positive + code] = -number;
        code += 1;
    }
    if matches!(ends, Ends::NegativeZeroNan) {
        numbers[positive] = f64::NAN;
    }
    numbers
}

const fn power_of_two(power: i32) -> f64 {
    f64::from_bits(((power + 1023) as u64) << 52)
}
